//! Sealing of frames after the handshake (reference: network 9.4): XSalsa20-Poly1305, the 16-byte tag in front,
//! one 64-bit counter a direction as the nonce, incremented before use. Works in place: the caller leaves room
//! for the tag and no byte is copied.

use sodiumoxide::crypto::secretbox::{self, Key, Nonce, Tag};

use super::CryptoError;

/// Bytes that sealing adds in front of a payload.
pub const TAG_LEN: usize = secretbox::MACBYTES;

/// The key that a controller chose for one connection.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Key);

impl SessionKey {
    /// Wraps the 32 bytes of a key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Key(bytes))
    }
}

impl std::fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionKey(***)")
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0u8; secretbox::NONCEBYTES];
    bytes[..8].copy_from_slice(&counter.to_le_bytes());
    Nonce(bytes)
}

/// Seals the frames that we send, in order.
#[derive(Debug)]
pub struct Sealer {
    key: SessionKey,
    counter: u64,
}

impl Sealer {
    /// A sealer whose first frame has counter 1.
    pub fn new(key: SessionKey) -> Self {
        Self { key, counter: 0 }
    }

    /// Seals `buffer[TAG_LEN..]` in place and writes the tag into `buffer[..TAG_LEN]`.
    ///
    /// # Errors
    /// [`CryptoError::BadLength`] if there is no room for the tag; nothing is counted then.
    pub fn seal_in_place(&mut self, buffer: &mut [u8]) -> Result<(), CryptoError> {
        let (tag, payload) = buffer.split_at_mut_checked(TAG_LEN).ok_or(CryptoError::BadLength)?;
        self.counter += 1;
        let made = secretbox::seal_detached(payload, &nonce(self.counter), &self.key.0);
        tag.copy_from_slice(&made.0);
        Ok(())
    }
}

/// Opens the frames that we receive, in order.
#[derive(Debug)]
pub struct Opener {
    key: SessionKey,
    counter: u64,
}

impl Opener {
    /// An opener whose first frame has counter 1.
    pub fn new(key: SessionKey) -> Self {
        Self { key, counter: 0 }
    }

    /// Opens a frame's payload in place and returns the plain part of it. Payloads of at most one byte pass
    /// untouched and uncounted (reference: network 1.5).
    ///
    /// # Errors
    /// [`CryptoError::DoesNotOpen`] for a frame that was not sealed with this key and counter: the connection
    /// must end, there is no way back into step.
    pub fn open_in_place<'a>(&mut self, payload: &'a mut [u8]) -> Result<&'a [u8], CryptoError> {
        if payload.len() <= 1 {
            return Ok(payload);
        }
        let (tag, sealed) = payload.split_at_mut_checked(TAG_LEN).ok_or(CryptoError::DoesNotOpen)?;
        let tag = Tag::from_slice(tag).ok_or(CryptoError::DoesNotOpen)?;
        secretbox::open_detached(sealed, &tag, &nonce(self.counter + 1), &self.key.0)
            .map_err(|()| CryptoError::DoesNotOpen)?;
        self.counter += 1;
        Ok(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; TAG_LEN];
        buffer.extend_from_slice(plain);
        sealer.seal_in_place(&mut buffer).unwrap();
        buffer
    }

    #[test]
    fn the_first_hash_frame_of_the_reference() {
        let plain = b"\x4a\x12\x0a\x08a2b3c4d5\x12\x06k7m9pq";
        let mut sealer = Sealer::new(SessionKey::from_bytes([0x33; 32]));
        let want =
            "092667a1a08aaa6f056625365766 53e36fe01387723b9caa03baa73b4dc0e6af6a1701df".replace(' ', "");
        let got: String = sealed(&mut sealer, plain).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_thousand_frames_stay_in_step_and_a_changed_one_ends_it() {
        let key = SessionKey::from_bytes([9; 32]);
        let (mut sealer, mut opener) = (Sealer::new(key.clone()), Opener::new(key));
        for n in 0..1000usize {
            let plain: Vec<u8> = (0..n % 97 + 1).map(|i| (i * n) as u8).collect();
            let mut frame = sealed(&mut sealer, &plain);
            assert_eq!(opener.open_in_place(&mut frame).unwrap(), plain);
            if n % 100 == 0 {
                assert_eq!(opener.open_in_place(&mut [0]).unwrap(), [0], "short frames are not counted");
            }
        }
        let mut frame = sealed(&mut sealer, b"abc");
        frame[17] ^= 1;
        assert_eq!(opener.open_in_place(&mut frame), Err(CryptoError::DoesNotOpen));
        assert_eq!(opener.open_in_place(&mut [0; 5]), Err(CryptoError::DoesNotOpen));
    }
}
