//! Identity, sealing and password proofs. sodiumoxide is named only here. Pure: chance comes in as [`seed::Seed`]s.

pub mod base64;
pub mod identity;
pub mod password;
pub mod seal;
pub mod secret;
pub mod seed;

/// What can go wrong with keys and sealed bytes. Never says more than an attacker may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A key or a sealed value has the wrong length.
    #[error("a key has the wrong length")]
    BadLength,
    /// The bytes were not made with the expected key, or were changed on the way.
    #[error("the bytes do not open with this key")]
    DoesNotOpen,
}
