//! Chance as an argument: pure rooms draw from a [`Seed`] that an edge made with [`Seed::from_system`].

/// Thirty-two random bytes and a counter: an endless, repeatable stream of derived values.
#[derive(Clone)]
pub struct Seed {
    key: [u8; 32],
    drawn: u64,
}

/// The 32 symbols of generated challenges, salts and one-time passwords: no 0, 1, l, o (reference: network 10.1).
pub const SYMBOLS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";

impl Seed {
    /// A seed from the kernel's random numbers. For edges; pure rooms are handed one.
    pub fn from_system() -> Self {
        super::identity::ensure_ready();
        let mut key = [0u8; 32];
        sodiumoxide::randombytes::randombytes_into(&mut key);
        Self { key, drawn: 0 }
    }

    /// A fixed seed, for tests that must repeat.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self { key, drawn: 0 }
    }

    /// The next thirty-two bytes.
    pub fn next_bytes(&mut self) -> [u8; 32] {
        use sha2::Digest as _;
        self.drawn += 1;
        let mut hash = sha2::Sha256::new();
        hash.update(self.key);
        hash.update(self.drawn.to_le_bytes());
        hash.finalize().into()
    }

    /// The next 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        let b = self.next_bytes();
        u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// `len` (at most 32) characters of [`SYMBOLS`].
    pub fn next_text(&mut self, len: usize) -> String {
        self.next_bytes().iter().take(len).map(|b| SYMBOLS[(*b & 31) as usize] as char).collect()
    }

    /// A random (version 4) UUID in text form, as relay sessions are named.
    pub fn next_uuid(&mut self) -> String {
        use std::fmt::Write as _;
        let mut b = self.next_bytes();
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let mut out = String::with_capacity(36);
        for (n, byte) in b.iter().take(16).enumerate() {
            if matches!(n, 4 | 6 | 8 | 10) {
                out.push('-');
            }
            let _ = write!(out, "{byte:02x}");
        }
        out
    }

    /// An independent seed for a child.
    pub fn split(&mut self) -> Seed {
        Seed { key: self.next_bytes(), drawn: 0 }
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_and_repeat() {
        let mut a = Seed::from_bytes([1; 32]);
        let mut b = Seed::from_bytes([1; 32]);
        let first = a.next_bytes();
        assert_eq!(first, b.next_bytes());
        assert_ne!(first, a.next_bytes());
        assert_eq!(a.next_text(6).len(), 6);
        let uuid = a.next_uuid();
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"));
    }
}
