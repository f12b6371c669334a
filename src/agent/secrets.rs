//! What of the state directory must be in no report: every text of the identity and the password but the ID itself.

use serde_json::Value;

use super::store::Store;

/// What everybody may know who dials this device.
const PUBLIC: [&str; 2] = ["id", "registered_with"];

/// The secrets as they are written there. A file that cannot be read tells none.
pub fn of(store: &Store) -> Vec<String> {
    let mut secrets = vec![];
    for name in ["identity.json", "password.json"] {
        let text = store.read(&store.target_dir().join(name)).ok().flatten().unwrap_or_default();
        if let Ok(Value::Object(fields)) = serde_json::from_str(&text) {
            let texts = fields.into_iter().filter(|(name, _)| !PUBLIC.contains(&name.as_str()));
            secrets.extend(texts.filter_map(|(_, value)| value.as_str().map(str::to_owned)));
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{identity, password};
    use crate::crypto::seed::Seed;

    #[test]
    fn all_but_the_id_is_secret() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(of(&store).is_empty());
        let mut seed = Seed::from_bytes([7; 32]);
        let mut identity = identity::Identity::random(&mut seed, Some("0000beef".into()));
        identity.registered_with = Some("a.example:21116".into());
        identity::save(&store, &identity).unwrap();
        password::set(&store, "secret12", &identity.salt).unwrap();
        let secrets = of(&store);
        // uuid, key_seed, salt, board_serial, h1
        assert_eq!(secrets.len(), 5, "{secrets:?}");
        assert!(secrets.contains(&identity.salt) && secrets.contains(&"0000beef".to_owned()));
        assert!(!secrets.iter().any(|s| s == identity.id.as_str() || s == "a.example:21116"));
    }
}
