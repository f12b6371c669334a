//! The names a device goes by: the ID that users dial and the uuid that ties it to the server's record.

use std::fmt;
use std::str::FromStr;

/// The ID that users type into the RustDesk app: 6 to 16 of letters, digits, `-`, `_`, `.`; ours have 9 digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(String);

/// Why a text is no ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an ID has 6 to 16 letters, digits, `-`, `_` or `.`; `{0}` does not fit")]
pub struct BadPeerId(String);

impl PeerId {
    /// A 9-digit ID from a random number: 100 000 000 to 999 999 999.
    pub fn from_random(random: u64) -> Self {
        Self((100_000_000 + random % 900_000_000).to_string())
    }

    /// The ID's text, as dialled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID in groups of three digits, as the app shows it (`123 456 789`).
    pub fn spaced(&self) -> String {
        if !self.0.bytes().all(|b| b.is_ascii_digit()) {
            return self.0.clone();
        }
        let mut out = String::new();
        for (n, c) in self.0.chars().enumerate() {
            if n > 0 && (self.0.len() - n).is_multiple_of(3) {
                out.push(' ');
            }
            out.push(c);
        }
        out
    }
}

impl FromStr for PeerId {
    type Err = BadPeerId;
    fn from_str(text: &str) -> Result<Self, BadPeerId> {
        let fits = (6..=16).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fits { Ok(Self(text.to_owned())) } else { Err(BadPeerId(text.to_owned())) }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sixteen random bytes that tie an ID to this device at the ID server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceUuid {
    /// Sent as 32 lower-case hexadecimal characters: ours.
    Hex([u8; 16]),
    /// Sent as they are: One-KVM's.
    Raw([u8; 16]),
}

impl DeviceUuid {
    /// The random bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        match self {
            Self::Hex(bytes) | Self::Raw(bytes) => bytes,
        }
    }

    /// What goes into `RegisterPk.uuid`; the server compares it byte by byte.
    pub fn as_registered(&self) -> Vec<u8> {
        use fmt::Write as _;
        let bytes = match self {
            Self::Raw(bytes) => return bytes.to_vec(),
            Self::Hex(bytes) => bytes,
        };
        let mut text = String::with_capacity(32);
        for byte in bytes {
            let _ = write!(text, "{byte:02x}");
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_nine_digits() {
        for random in [0, 1, 899_999_999, 900_000_000, u64::MAX] {
            let id = PeerId::from_random(random);
            assert_eq!(id.as_str().len(), 9);
            assert_eq!(id.as_str().parse::<PeerId>().unwrap(), id);
        }
        assert_eq!(PeerId::from_random(23_456_789).spaced(), "123 456 789");
    }

    #[test]
    fn foreign_texts_are_refused() {
        for bad in ["", "12345", "12345678901234567", "a b c d", "1234567\n"] {
            assert!(bad.parse::<PeerId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uuids_travel_as_hex_unless_another_program_sent_them_raw() {
        assert_eq!(DeviceUuid::Hex([0xab; 16]).as_registered(), b"abababababababababababababababab");
        assert_eq!(DeviceUuid::Raw([0xab; 16]).as_registered(), [0xab; 16]);
    }
}
