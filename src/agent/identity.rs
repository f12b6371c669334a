//! Who this target is: ID, uuid, key and salt, random at the first start and kept. Renewed by itself only on a
//! cloned card: the board's serial can be read, was stored, and differs.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::crypto::identity::IdentityKeyPair;
use crate::crypto::password::SALT_LEN;
use crate::crypto::secret::Secret;
use crate::crypto::seed::Seed;
use crate::wire::id::{DeviceUuid, PeerId};

use super::hex;
use super::store::{Store, StoreError, write_atomically};

/// Where a board tells its serial number, below the root.
const SERIAL_FILES: [&str; 2] =
    ["proc/device-tree/serial-number", "sys/firmware/devicetree/base/serial-number"];

/// A target's identity.
#[derive(Debug, Clone)]
pub struct Identity {
    /// What users dial.
    pub id: PeerId,
    /// Ties the ID to this device at the ID server.
    pub uuid: DeviceUuid,
    /// Seed of the Ed25519 key.
    pub key_seed: Secret<[u8; 32]>,
    /// Salt of passwords; apps that remember a password depend on it.
    pub salt: String,
    /// The board this identity was made on.
    pub board_serial: Option<String>,
    /// The ID server that has said yes to this ID, `HOST:PORT`.
    pub registered_with: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    id: String,
    uuid: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_uuid_raw: bool,
    key_seed: String,
    salt: String,
    board_serial: Option<String>,
    #[serde(default)]
    registered_with: Option<String>,
}

/// Who another program on this board is at the ID server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// What users dial.
    pub id: PeerId,
    /// What the server knows the ID by.
    pub uuid: DeviceUuid,
    /// Seed of its Ed25519 key.
    pub key_seed: Secret<[u8; 32]>,
}

/// How [`load_or_create`] came to its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// It was there.
    Kept,
    /// First start.
    Created,
    /// The state directory came from another board.
    RenewedOnOtherBoard,
}

impl Identity {
    /// A random identity.
    pub fn random(seed: &mut Seed, board_serial: Option<String>) -> Self {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&seed.next_bytes()[..16]);
        Self {
            id: PeerId::from_random(seed.next_u64()),
            uuid: DeviceUuid::Hex(uuid),
            key_seed: Secret::new(seed.next_bytes()),
            salt: seed.next_text(SALT_LEN),
            board_serial,
            registered_with: None,
        }
    }

    /// The key pair.
    pub fn key_pair(&self) -> IdentityKeyPair {
        IdentityKeyPair::from_seed(self.key_seed.reveal())
    }

    fn to_json(&self) -> String {
        let stored = Stored {
            version: 1,
            id: self.id.as_str().to_owned(),
            uuid: hex::encode(self.uuid.bytes()),
            is_uuid_raw: matches!(self.uuid, DeviceUuid::Raw(_)),
            key_seed: hex::encode(self.key_seed.reveal()),
            salt: self.salt.clone(),
            board_serial: self.board_serial.clone(),
            registered_with: self.registered_with.clone(),
        };
        // A struct of texts cannot fail to serialise.
        serde_json::to_string_pretty(&stored).unwrap_or_default() + "\n"
    }

    fn from_json(path: &Path, text: &str) -> Result<Self, StoreError> {
        let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
        let stored: Stored = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
        if stored.version != 1 {
            return Err(damaged(format!("version {} is not known here", stored.version)));
        }
        if stored.salt.len() < 6 || stored.salt.len() > 64 || !stored.salt.is_ascii() {
            return Err(damaged("the salt does not fit".into()));
        }
        Ok(Self {
            id: stored.id.parse().map_err(|e| damaged(format!("{e}")))?,
            uuid: match (stored.is_uuid_raw, hex::decode(&stored.uuid)) {
                (true, Some(bytes)) => DeviceUuid::Raw(bytes),
                (false, Some(bytes)) => DeviceUuid::Hex(bytes),
                (_, None) => return Err(damaged("the uuid does not fit".into())),
            },
            key_seed: Secret::new(
                hex::decode(&stored.key_seed).ok_or_else(|| damaged("the key does not fit".into()))?,
            ),
            salt: stored.salt,
            board_serial: stored.board_serial,
            registered_with: stored.registered_with,
        })
    }
}

/// Chance for a new identity, from the kernel.
pub fn chance() -> Seed {
    Seed::from_system()
}

/// The board's serial number; `root` is `/` but in tests.
pub fn board_serial(root: &Path) -> Option<String> {
    SERIAL_FILES.iter().find_map(|file| {
        let bytes = fs::read(root.join(file)).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
        // A board that says only zeros has none.
        (!text.is_empty() && text.chars().any(|c| c != '0')).then(|| text.chars().take(128).collect())
    })
}

fn path(store: &Store) -> std::path::PathBuf {
    store.target_dir().join("identity.json")
}

/// The stored identity, if there is one.
///
/// # Errors
/// [`StoreError`] if it cannot be read or is damaged.
pub fn load(store: &Store) -> Result<Option<Identity>, StoreError> {
    let path = path(store);
    store.read(&path)?.map(|text| Identity::from_json(&path, &text)).transpose()
}

/// Stores an identity.
///
/// # Errors
/// [`StoreError`]; the old one is then still there.
pub fn save(store: &Store, identity: &Identity) -> Result<(), StoreError> {
    store.write(&path(store), identity.to_json().as_bytes())
}

/// The stored identity, or a new one: at the first start, and when the board's serial shows that the state
/// directory was cloned from another board. The salt outlives that, so that the password stays.
///
/// # Errors
/// [`StoreError`] if it cannot be read, is damaged, or cannot be stored.
pub fn load_or_create(
    store: &Store,
    serial: Option<String>,
    seed: &mut Seed,
) -> Result<(Identity, Birth), StoreError> {
    let Some(mut identity) = load(store)? else {
        let identity = Identity::random(seed, serial);
        forget_password(store)?;
        save(store, &identity)?;
        return Ok((identity, Birth::Created));
    };
    match (&identity.board_serial, serial) {
        (Some(stored), Some(serial)) if *stored != serial => {
            let salt = identity.salt;
            identity = Identity { salt, ..Identity::random(seed, Some(serial)) };
            save(store, &identity)?;
            Ok((identity, Birth::RenewedOnOtherBoard))
        }
        (None, Some(serial)) => {
            identity.board_serial = Some(serial);
            save(store, &identity)?;
            Ok((identity, Birth::Kept))
        }
        (Some(_) | None, _) => Ok((identity, Birth::Kept)),
    }
}

/// A new identity in place of the old one; the salt stays, so that the password stays.
///
/// # Errors
/// [`StoreError`] if it cannot be stored.
pub fn reset(store: &Store, serial: Option<String>, seed: &mut Seed) -> Result<Identity, StoreError> {
    let mut fresh = Identity::random(seed, serial);
    match load(store) {
        Ok(Some(old)) => fresh.salt = old.salt,
        Ok(None) | Err(_) => forget_password(store)?,
    }
    save(store, &fresh)?;
    Ok(fresh)
}

/// A salt is lost: the hash that was made with it fits no password any more.
fn forget_password(store: &Store) -> Result<(), StoreError> {
    if super::password::clear(store)? {
        tracing::warn!("the password belonged to an identity that is lost: set one with `kvmdesk password`");
    }
    Ok(())
}

/// Becomes what another program on this board was; the salt stays, so that the password stays.
///
/// # Errors
/// [`StoreError`] if it cannot be stored.
pub fn become_that(
    store: &Store,
    who: &Newcomer,
    serial: Option<String>,
    seed: &mut Seed,
) -> Result<Identity, StoreError> {
    let (old, _) = load_or_create(store, serial, seed)?;
    let Newcomer { id, uuid, key_seed } = who.clone();
    let fresh = Identity { id, uuid, key_seed, registered_with: None, ..old };
    save(store, &fresh)?;
    Ok(fresh)
}

/// The identity's text as it is stored, secrets and all, to be put back later.
///
/// # Errors
/// [`StoreError`] if it cannot be read.
pub fn stored(store: &Store) -> Result<Option<String>, StoreError> {
    store.read(&path(store))
}

/// Puts an identity's text back, or the state of having none.
///
/// # Errors
/// [`StoreError`] if it is none, or cannot be stored.
pub fn put_back(store: &Store, text: Option<&str>) -> Result<(), StoreError> {
    let path = path(store);
    match text {
        Some(text) => save(store, &Identity::from_json(&path, text)?),
        None => store.remove(&path).map(|_| ()),
    }
}

/// Writes the identity, secrets and all, to a file (0600).
///
/// # Errors
/// [`StoreError`] if there is none, or the file cannot be written.
pub fn export(identity: &Identity, file: &Path) -> Result<(), StoreError> {
    write_atomically(file, identity.to_json().as_bytes())
}

/// Takes an exported identity over to this board. The password is removed if it belongs to another salt; whether
/// it was is told.
///
/// # Errors
/// [`StoreError`] if the file is no exported identity, or it cannot be stored.
pub fn import(store: &Store, file: &Path, serial: Option<String>) -> Result<(Identity, bool), StoreError> {
    let text = store.read(file)?.ok_or_else(|| StoreError::Io {
        what: "read",
        path: file.to_owned(),
        error: std::io::ErrorKind::NotFound.into(),
        hint: "; name a file that `kvmdesk id --export` wrote",
    })?;
    let mut fresh = Identity::from_json(file, &text)?;
    fresh.board_serial = serial;
    let is_other_salt = load(store).ok().flatten().is_none_or(|old| old.salt != fresh.salt);
    let is_password_gone = is_other_salt && super::password::clear(store)?;
    save(store, &fresh)?;
    Ok((fresh, is_password_gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store, Seed) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store, Seed::from_bytes([7; 32]))
    }

    #[test]
    fn kept_over_restarts() {
        let (_dir, store, mut seed) = store();
        let (first, birth) = load_or_create(&store, None, &mut seed).unwrap();
        assert_eq!(birth, Birth::Created);
        let (again, birth) = load_or_create(&store, None, &mut seed).unwrap();
        assert_eq!(birth, Birth::Kept);
        assert_eq!((first.id, first.uuid, first.salt), (again.id, again.uuid, again.salt));
        assert_eq!(first.key_seed, again.key_seed);
    }

    #[test]
    fn a_cloned_card_becomes_somebody_else_but_an_unreadable_serial_does_not() {
        let (_dir, store, mut seed) = store();
        let (first, _) = load_or_create(&store, None, &mut seed).unwrap();
        // The serial is learnt later, lost, and then differs.
        let (learnt, birth) = load_or_create(&store, Some("100".into()), &mut seed).unwrap();
        assert_eq!((learnt.id.as_str(), birth), (first.id.as_str(), Birth::Kept));
        let (lost, birth) = load_or_create(&store, None, &mut seed).unwrap();
        assert_eq!((lost.id.as_str(), birth), (first.id.as_str(), Birth::Kept));
        let (other, birth) = load_or_create(&store, Some("200".into()), &mut seed).unwrap();
        assert_eq!(birth, Birth::RenewedOnOtherBoard);
        assert_ne!(other.id, first.id);
        assert_ne!(other.uuid, first.uuid);
        assert_ne!(other.key_seed, first.key_seed);
        assert_eq!(other.salt, first.salt, "the password stays");
    }

    #[test]
    fn serials_are_read_below_a_root() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(board_serial(root.path()), None);
        let file = root.path().join(SERIAL_FILES[1]);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "0000000000000000\0").unwrap();
        assert_eq!(board_serial(root.path()), None, "zeros are no serial");
        fs::write(&file, "10000000abcdef12\0").unwrap();
        assert_eq!(board_serial(root.path()).as_deref(), Some("10000000abcdef12"));
    }

    #[test]
    fn moves_to_another_board() {
        let (dir, store, mut seed) = store();
        let (first, _) = load_or_create(&store, Some("100".into()), &mut seed).unwrap();
        let file = dir.path().join("export.json");
        export(&first, &file).unwrap();
        let other_dir = tempfile::tempdir().unwrap();
        let other = Store::open(other_dir.path()).unwrap();
        let (_, _) = load_or_create(&other, Some("200".into()), &mut seed).unwrap();
        super::super::password::set(&other, "secret12", &load(&other).unwrap().unwrap().salt).unwrap();
        let (moved, is_password_gone) = import(&other, &file, Some("200".into())).unwrap();
        assert_eq!((moved.id.as_str(), is_password_gone), (first.id.as_str(), true));
        let (kept, birth) = load_or_create(&other, Some("200".into()), &mut seed).unwrap();
        assert_eq!((kept.id, birth), (first.id, Birth::Kept));
    }

    #[test]
    fn another_program_s_identity_is_kept_byte_by_byte_and_can_be_given_back() {
        let (_dir, store, mut seed) = store();
        assert_eq!(stored(&store).unwrap(), None);
        let (first, _) = load_or_create(&store, Some("100".into()), &mut seed).unwrap();
        let before = stored(&store).unwrap().unwrap();
        assert!(!before.contains("is_uuid_raw"), "older versions read it: {before}");
        let who = Newcomer {
            id: "234567891".parse().unwrap(),
            uuid: DeviceUuid::Raw([7; 16]),
            key_seed: Secret::new([9; 32]),
        };
        become_that(&store, &who, Some("100".into()), &mut seed).unwrap();
        let (kept, birth) = load_or_create(&store, Some("100".into()), &mut seed).unwrap();
        assert_eq!((kept.id, kept.uuid, birth), (who.id, who.uuid, Birth::Kept));
        assert_eq!((kept.key_seed, kept.salt), (who.key_seed, first.salt));
        put_back(&store, Some(&before)).unwrap();
        assert_eq!(stored(&store).unwrap().unwrap(), before);
        put_back(&store, None).unwrap();
        assert_eq!(stored(&store).unwrap(), None);
    }

    #[test]
    fn damage_is_told() {
        let (_dir, store, mut seed) = store();
        store.write(&path(&store), b"{\"version\":1}").unwrap();
        let error = load_or_create(&store, None, &mut seed).unwrap_err().to_string();
        assert!(error.contains("identity.json is damaged (missing field `id`"), "{error}");
    }
}
