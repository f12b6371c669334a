//! Base64 as RustDesk writes keys and server settings (RFC 4648).

use sodiumoxide::base64::{self, Variant};

/// With the alphabet for addresses, without padding.
pub fn encode_url(bytes: &[u8]) -> String {
    base64::encode(bytes, Variant::UrlSafeNoPadding)
}

/// Either alphabet, padded or not; `None` if it is no base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    base64::decode(text, Variant::OriginalNoPadding).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_alphabets_with_and_without_padding() {
        assert_eq!(encode_url(&[0xfb, 0xff, 0xbf, 1]), "-_-_AQ");
        for text in ["-_-_AQ", "+/+/AQ==", "+/+/AQ"] {
            assert_eq!(decode(text).as_deref(), Some(&[0xfb, 0xff, 0xbf, 1][..]), "{text}");
        }
        for bad in ["a", "ab cd", "a.cd", "é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
