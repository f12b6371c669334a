//! The device's Ed25519 key, the per-connection X25519 key and the handshake made of them (reference: network 9).

use sodiumoxide::crypto::{box_, secretbox, sign};

use super::CryptoError;
use super::seal::SessionKey;

/// Makes libsodium ready; cheap after the first call.
pub(super) fn ensure_ready() {
    // The only failure is a machine without any random source; keys made there would be worthless.
    assert!(sodiumoxide::init().is_ok(), "libsodium found no random source");
}

/// The device's long-lived Ed25519 pair: its public half is registered at the ID server.
#[derive(Clone)]
pub struct IdentityKeyPair {
    public: sign::PublicKey,
    secret: sign::SecretKey,
}

impl IdentityKeyPair {
    /// The pair that belongs to a 32-byte seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        ensure_ready();
        let (public, secret) = sign::keypair_from_seed(&sign::Seed(*seed));
        Self { public, secret }
    }

    /// The 32-byte seed the pair was made from, to be stored (0600) and never shown.
    pub fn seed(&self) -> [u8; 32] {
        let mut seed = [0u8; 32];
        seed.copy_from_slice(&self.secret.0[..32]);
        seed
    }

    /// The 32-byte public key, as `RegisterPk.pk` carries it.
    pub fn public_key(&self) -> [u8; 32] {
        self.public.0
    }

    /// The combined signature: 64 bytes of signature, then `message`.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        sign::sign(message, &self.secret)
    }
}

impl std::fmt::Debug for IdentityKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityKeyPair(***)")
    }
}

/// Checks a combined signature and returns the message in it.
///
/// # Errors
/// [`CryptoError::DoesNotOpen`] if it was not signed by `public_key`.
pub fn verify(signed: &[u8], public_key: &[u8; 32]) -> Result<Vec<u8>, CryptoError> {
    ensure_ready();
    sign::verify(signed, &sign::PublicKey(*public_key)).map_err(|()| CryptoError::DoesNotOpen)
}

/// A fresh X25519 pair for one connection.
pub struct BoxKeyPair {
    public: box_::PublicKey,
    secret: box_::SecretKey,
}

impl BoxKeyPair {
    /// The pair whose secret half is exactly these 32 bytes.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        ensure_ready();
        let secret = box_::SecretKey(*secret);
        Self { public: secret.public_key(), secret }
    }

    /// The 32-byte public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public.0
    }

    /// Opens `PublicKey.symmetric_value`, the session key that the controller boxed for us.
    ///
    /// # Errors
    /// [`CryptoError::DoesNotOpen`] if it was boxed for another key, [`CryptoError::BadLength`] if it is no key.
    pub fn open_session_key(&self, sealed: &[u8], from: &[u8; 32]) -> Result<SessionKey, CryptoError> {
        let nonce = box_::Nonce([0; box_::NONCEBYTES]);
        let key = box_::open(sealed, &nonce, &box_::PublicKey(*from), &self.secret)
            .map_err(|()| CryptoError::DoesNotOpen)?;
        Ok(SessionKey::from_bytes(key.try_into().map_err(|_| CryptoError::BadLength)?))
    }

    /// Boxes a session key for `to`: what a controller sends as `PublicKey.symmetric_value` (48 bytes).
    pub fn seal_session_key(&self, key: &[u8; secretbox::KEYBYTES], to: &[u8; 32]) -> Vec<u8> {
        let nonce = box_::Nonce([0; box_::NONCEBYTES]);
        box_::seal(key, &nonce, &box_::PublicKey(*to), &self.secret)
    }
}

impl std::fmt::Debug for BoxKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BoxKeyPair(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_worked_example_of_the_reference() {
        let mut seed = [0u8; 32];
        for (n, byte) in seed.iter_mut().enumerate() {
            *byte = n as u8;
        }
        let device = IdentityKeyPair::from_seed(&seed);
        assert_eq!(device.seed(), seed);
        assert_eq!(
            device.public_key().to_vec(),
            hex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
        );
        let ours = BoxKeyPair::from_secret(&[0x11; 32]);
        assert_eq!(
            ours.public_key().to_vec(),
            hex("7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13")
        );
        let mut id_pk = hex("0a0931323334353637383912 20".replace(' ', "").as_str());
        id_pk.extend_from_slice(&ours.public_key());
        let signed = device.sign(&id_pk);
        assert_eq!(
            signed[..64].to_vec(),
            hex(
                "7bf636f3d728c3a7e06faecbfde53e859f6e3907a318d8f5662df236904654862e04afe131a0bb2833a47bd93772caf8f02221d1965e7aaf55e95548e8d5ea0a"
            )
        );
        assert_eq!(verify(&signed, &device.public_key()).unwrap(), id_pk);
        let theirs = BoxKeyPair::from_secret(&[0x22; 32]);
        let sealed = theirs.seal_session_key(&[0x33; 32], &ours.public_key());
        assert_eq!(
            sealed,
            hex(
                "7e23d90f0c455a0e3e633d6e800f8e6b4717555154619a58b13291dcb98cafaa18a9cc1a883aab54386e39de02b2a5b7"
            )
        );
        let key = ours.open_session_key(&sealed, &theirs.public_key()).unwrap();
        assert_eq!(key, SessionKey::from_bytes([0x33; 32]));
    }

    #[test]
    fn a_key_for_somebody_else_does_not_open() {
        let (a, b) = (BoxKeyPair::from_secret(&[1; 32]), BoxKeyPair::from_secret(&[2; 32]));
        let sealed = a.seal_session_key(&[3; 32], &b.public_key());
        assert!(a.open_session_key(&sealed, &b.public_key()).is_ok(), "a box is symmetric");
        let c = BoxKeyPair::from_secret(&[4; 32]);
        assert_eq!(c.open_session_key(&sealed, &a.public_key()), Err(CryptoError::DoesNotOpen));
    }
}
