//! What One-KVM's RustDesk module keeps: server, relay, key, and who the device is. One-KVM (src/config/store.rs,
//! src/rustdesk/config.rs) has one JSON text under the key `app_config` of the table `config` in its SQLite file.

use serde::Deserialize;

use crate::crypto::base64;
use crate::crypto::identity::IdentityKeyPair;
use crate::crypto::secret::Secret;
use crate::wire::id::{DeviceUuid, PeerId};

use super::hex;
use super::identity::Newcomer;

/// How the text is asked for.
pub const QUERY: &str = "SELECT value FROM config WHERE key = 'app_config'";

/// Settings that can be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneKvm {
    /// The ID server, `HOST` or `HOST:PORT`.
    pub host: String,
    /// The relay, if one is named.
    pub relay: Option<String>,
    /// The server's key, if one is named.
    pub key: Option<Secret<String>>,
    /// Who the device is at that server, or why that cannot be taken over, as a sentence.
    pub who: Result<Newcomer, &'static str>,
}

#[derive(Deserialize)]
struct AppConfig {
    #[serde(default)]
    rustdesk: Option<RustDesk>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RustDesk {
    rendezvous_server: String,
    relay_server: Option<String>,
    relay_key: Option<String>,
    device_id: String,
    signing_public_key: Option<String>,
    signing_private_key: Option<String>,
    uuid: Option<String>,
}

impl OneKvm {
    /// Reads its JSON; `None` if its RustDesk module is not set up: no server is named.
    ///
    /// # Errors
    /// A sentence: it is not what One-KVM writes.
    pub fn parse(json: &str) -> Result<Option<Self>, String> {
        let config: AppConfig = serde_json::from_str(json)
            // The parser's words may quote a secret.
            .map_err(|e| {
                format!(
                    "One-KVM's settings are not as they are known here (line {}, column {})",
                    e.line(),
                    e.column()
                )
            })?;
        let given =
            |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let Some(mut module) = config.rustdesk else { return Ok(None) };
        let Some(host) = given(Some(std::mem::take(&mut module.rendezvous_server))) else { return Ok(None) };
        Ok(Some(Self {
            host,
            relay: given(module.relay_server.take()),
            key: given(module.relay_key.take()).map(Secret::new),
            who: module.who(),
        }))
    }
}

impl RustDesk {
    fn who(&self) -> Result<Newcomer, &'static str> {
        let id: PeerId = self.device_id.parse().map_err(|_| "its ID is not one that kvmdesk can have")?;
        let never = "it was never registered at a server, so no address book can have its ID";
        let [public, private, uuid] =
            [&self.signing_public_key, &self.signing_private_key, &self.uuid].map(|text| text.as_deref());
        let (Some(public), Some(private), Some(uuid)) = (public, private, uuid) else { return Err(never) };
        let odd_uuid = "its uuid does not fit, and the server knows its ID by that";
        let uuid: [u8; 16] = hex::decode(&uuid.replace('-', "")).ok_or(odd_uuid)?;
        // libsodium's form: the seed, then the public key once more.
        let odd_key = "its key does not fit, and the server knows its ID by that";
        let private: [u8; 64] =
            base64::decode(private).and_then(|bytes| bytes.try_into().ok()).ok_or(odd_key)?;
        let mut seed = [0; 32];
        seed.copy_from_slice(&private[..32]);
        let pair = IdentityKeyPair::from_seed(&seed).public_key();
        if base64::decode(public).as_deref() != Some(&pair[..]) || private[32..] != pair {
            return Err(odd_key);
        }
        Ok(Newcomer { id, uuid: DeviceUuid::Raw(uuid), key_seed: Secret::new(seed) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key pair of the seed 0, 1, 2 ... 31, as the other tests have it.
    const PUBLIC: &str = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    const PRIVATE: &str =
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";

    fn json(change: impl Fn(&mut serde_json::Value)) -> String {
        let mut config = serde_json::json!({"initialized": true, "auth": {"x": 1}, "rustdesk": {
            "enabled": true, "codec": "h264", "rendezvous_server": "rustdesk.example.org", "relay_server": "",
            "relay_key": "OeVuKk5nlHiXp+APNn0Y3pC1Iwpwn44JGqrQCsWqmBw=", "device_id": "234567891",
            "device_password": "abcdefgh", "public_key": null, "private_key": null, "signing_public_key": PUBLIC,
            "signing_private_key": PRIVATE, "uuid": "6fa459ea-ee8a-3ca4-894e-db77e160355e"}});
        change(&mut config["rustdesk"]);
        config.to_string()
    }

    #[test]
    fn server_and_identity_are_taken_as_they_are_registered() {
        let found = OneKvm::parse(&json(|_| {})).unwrap().unwrap();
        assert_eq!((found.host.as_str(), found.relay.as_deref()), ("rustdesk.example.org", None));
        assert_eq!(found.key.as_ref().map(|key| key.reveal().len()), Some(44));
        let who = found.who.clone().unwrap();
        assert_eq!(who.id.as_str(), "234567891");
        let uuid = b"\x6f\xa4\x59\xea\xee\x8a\x3c\xa4\x89\x4e\xdb\x77\xe1\x60\x35\x5e";
        assert_eq!(who.uuid.as_registered(), uuid, "sixteen bytes, not text: the server compares them");
        let pair = IdentityKeyPair::from_seed(who.key_seed.reveal());
        assert_eq!(base64::decode(PUBLIC).unwrap(), pair.public_key());
        assert!(!format!("{found:?}").contains("OeVu"), "no log line shows it");
    }

    #[test]
    fn what_cannot_be_taken_over_has_its_reason() {
        let who = |change: &dyn Fn(&mut serde_json::Value)| {
            OneKvm::parse(&json(change)).unwrap().unwrap().who.unwrap_err()
        };
        assert!(who(&|r| r["uuid"] = serde_json::Value::Null).contains("never registered"));
        assert!(who(&|r| r["signing_private_key"] = serde_json::Value::Null).contains("never registered"));
        assert!(who(&|r| r["uuid"] = "6fa459ea".into()).contains("uuid"));
        assert!(who(&|r| r["device_id"] = "12 45".into()).contains("its ID"));
        for (name, value) in
            [("signing_private_key", PUBLIC), ("signing_public_key", "AAAA"), ("signing_private_key", "?")]
        {
            assert!(who(&|r| r[name] = value.into()).contains("key does not fit"), "{name} {value}");
        }
        assert_eq!(OneKvm::parse(&json(|r| r["rendezvous_server"] = " ".into())), Ok(None));
        assert_eq!(OneKvm::parse("{\"initialized\": false}"), Ok(None));
        for odd in ["", "7", "{\"rustdesk\": {\"uuid\": 7}}"] {
            assert!(OneKvm::parse(odd).unwrap_err().contains("not as they are known"), "{odd}");
        }
    }
}
