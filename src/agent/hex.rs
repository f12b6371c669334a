//! Bytes as lower-case hexadecimal text, for the state files.

use std::fmt::Write as _;

/// Two digits a byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Exactly `N` bytes from `2 * N` digits, else `None`.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_ways() {
        assert_eq!(super::encode(&[0, 0xab, 0x1f]), "00ab1f");
        assert_eq!(super::decode("00AB1f"), Some([0, 0xab, 0x1f]));
        for bad in ["", "0", "00ab1", "00ab1g", "00ab1f00", "é0ab1"] {
            assert_eq!(super::decode::<3>(bad), None, "{bad}");
        }
    }
}
