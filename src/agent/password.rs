//! The permanent password: kept as its salted hash only.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::crypto::password::PasswordHash;
use crate::crypto::secret::Secret;

use super::store::{Store, StoreError};
use super::{first_run, hex};

/// Longest password, in bytes; far over what the apps' field takes.
const MAX_LEN: usize = 256;

/// Why a text is no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Nothing left after the trailing newline.
    #[error("the password is empty; type one of at least 6 characters, or use --clear to have none")]
    Empty,
    /// Guessed in no time.
    #[error("the password has {0} characters; take at least 6")]
    TooShort(usize),
    /// The app could not send it.
    #[error("the password is longer than {MAX_LEN} bytes")]
    TooLong,
    /// The app could not type it.
    #[error("the password holds a control character, which nobody can type into the app")]
    Control,
    /// The state directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    h1: String,
}

fn path(store: &Store) -> PathBuf {
    store.target_dir().join("password.json")
}

/// A password as typed or read from a file: one trailing newline is not part of it.
///
/// # Errors
/// [`PasswordError`] if it cannot serve as one.
pub fn check(text: &str) -> Result<&str, PasswordError> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text.chars().count() {
        0 => Err(PasswordError::Empty),
        _ if text.len() > MAX_LEN => Err(PasswordError::TooLong),
        _ if text.contains(char::is_control) => Err(PasswordError::Control),
        count @ 1..6 => Err(PasswordError::TooShort(count)),
        _ => Ok(text),
    }
}

/// A password that no log can show.
pub fn secret(text: String) -> Secret<String> {
    Secret::new(text)
}

/// Sets the password.
///
/// # Errors
/// [`PasswordError`] if it cannot serve as one or cannot be stored.
pub fn set(store: &Store, text: &str, salt: &str) -> Result<(), PasswordError> {
    let hash = PasswordHash::new(check(text)?, salt);
    let stored = Stored { h1: hex::encode(hash.as_bytes()) };
    let json = serde_json::to_string(&stored).unwrap_or_default() + "\n";
    store.write(&path(store), json.as_bytes())?;
    first_run::keep_set_up(store)?;
    Ok(())
}

/// Removes the password; whether there was one.
///
/// # Errors
/// [`StoreError`] if it cannot be removed.
pub fn clear(store: &Store) -> Result<bool, StoreError> {
    store.remove(&path(store))
}

/// The stored hash, if a password is set.
///
/// # Errors
/// [`StoreError`] if it cannot be read or is damaged.
pub fn load(store: &Store) -> Result<Option<PasswordHash>, StoreError> {
    let path = path(store);
    let Some(text) = store.read(&path)? else { return Ok(None) };
    let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
    let stored: Stored = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    let bytes = hex::decode(&stored.h1).ok_or_else(|| damaged("the hash does not fit".into()))?;
    Ok(Some(PasswordHash::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hash_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert!(load(&store).unwrap().is_none());
        set(&store, "secret12\n", "a2b3c4d5").unwrap();
        assert_eq!(load(&store).unwrap(), Some(PasswordHash::new("secret12", "a2b3c4d5")));
        let text = store.read(&path(&store)).unwrap().unwrap();
        assert!(text.contains("f50891e4d71ac51c") && !text.contains("secret12"));
        assert!(clear(&store).unwrap());
        assert!(load(&store).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_a_password() {
        for bad in ["", "\n", "\r\n", "short", "seven\x1b77", "two\nlines", &"x".repeat(257)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check("with space \r\n").unwrap(), "with space ");
        assert_eq!(check("pässwört").unwrap(), "pässwört");
    }
}
