//! Password hash, challenge and proof (reference: network 10.1). Only `h1`, the salted hash, is ever kept.

use sha2::{Digest as _, Sha256};

/// Length of a generated salt, in characters.
pub const SALT_LEN: usize = 32;
/// Length of a challenge, in characters.
pub const CHALLENGE_LEN: usize = 6;

/// `h1` = SHA-256(password ‖ salt): what is stored, and what apps remember.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash([u8; 32]);

impl PasswordHash {
    /// Hashes a password (UTF-8 bytes) with the device's salt.
    pub fn new(password: &str, salt: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(password.as_bytes());
        hash.update(salt.as_bytes());
        Self(hash.finalize().into())
    }

    /// A hash that was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The proof a controller must send: SHA-256(h1 ‖ challenge).
    pub fn proof(&self, challenge: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(challenge.as_bytes());
        hash.finalize().into()
    }

    /// Whether `proof` answers `challenge`; takes the same time for every wrong proof of the right length.
    pub fn is_proven_by(&self, proof: &[u8], challenge: &str) -> bool {
        sodiumoxide::utils::memcmp(&self.proof(challenge), proof)
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_reference() {
        let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let h1 = PasswordHash::new("secret12", "a2b3c4d5");
        assert_eq!(hex(h1.as_bytes()), "f50891e4d71ac51c163c29122c765c9c5c70f1f20b605c1414f58bfe240c5323");
        let proof = h1.proof("k7m9pq");
        assert_eq!(hex(&proof), "2a3bafd11a52a28ff948445d759f67d7dc79abc9dad4c0bf0574a6ac481a41cb");
        assert!(h1.is_proven_by(&proof, "k7m9pq"));
        assert!(!h1.is_proven_by(&proof, "k7m9pr"));
        assert!(!h1.is_proven_by(&[], "k7m9pq"));
        assert!(!h1.is_proven_by(h1.as_bytes(), "k7m9pq"), "the stored hash is no proof");
    }
}
