//! The text that the RustDesk app exports and imports server settings as: JSON, in base64 with the alphabet for
//! addresses, written from its end to its start (reference: field 18; flutter/lib/common.dart and src/custom_server.rs
//! of RustDesk).

use serde::{Deserialize, Serialize};

use crate::crypto::base64;

/// Longest text that is looked at, in bytes.
const MOST: usize = 4096;
/// What the phone app's scanner wants before the text (flutter/lib/mobile/pages/scan_page.dart of RustDesk).
const SCANNED: &str = "config=";

/// Server settings of the app; a field that is not set is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerString {
    /// `HOST[:PORT]` of the ID server.
    pub host: String,
    /// `HOST[:PORT]` of the relay.
    pub relay: String,
    /// Address of the API server, which kvmdesk does not use.
    pub api: String,
    /// The server's public key.
    pub key: String,
}

/// The text is no exported server settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no server configuration of the RustDesk app; copy it there with Settings, Network, ID/Relay server, \
     the copy button, or give server and key themselves"
)]
pub struct BadServerString;

impl ServerString {
    /// Reads an exported text, also with the scanner's prefix.
    ///
    /// # Errors
    /// [`BadServerString`] if it is none, or names no ID server.
    pub fn decode(text: &str) -> Result<Self, BadServerString> {
        let text = text.trim();
        let text = text.strip_prefix(SCANNED).unwrap_or(text);
        if text.len() > MOST {
            return Err(BadServerString);
        }
        let forwards: String = text.chars().rev().collect();
        let json = base64::decode(&forwards).ok_or(BadServerString)?;
        let all: Self = serde_json::from_slice(&json).map_err(|_| BadServerString)?;
        let trimmed = |field: String| field.trim().to_owned();
        let all = Self {
            host: trimmed(all.host),
            relay: trimmed(all.relay),
            api: trimmed(all.api),
            key: trimmed(all.key),
        };
        if all.host.is_empty() { Err(BadServerString) } else { Ok(all) }
    }

    /// The text that the app imports.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        base64::encode_url(&json).chars().rev().collect()
    }

    /// What a QR code for the phone app's scanner holds.
    pub fn scanned(&self) -> String {
        format!("{SCANNED}{}", self.encode())
    }
}

/// Whether a text is a server's public key: base64 of 32 bytes (reference: network 9.2).
pub fn is_public_key(text: &str) -> bool {
    base64::decode(text).is_some_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's base64 and json, padding kept, as the app does.
    const EXPORTED: &str = "9JSP3JUbxd1cDFlcxdkS0Qjb3B3dJFzQwNTWw4mTQF0KwhVaIxmb1s2S1ZVZPJiOikXZrJCLicmcv5SZsBXbhhXZus2clRGdzVncv8iOzBHd0hmI6ISawFmIsIiI6ISehxWZyJCLicmcv5SZsBXbhhXZus2clRGdzVnciojI0N3boJye";

    fn server() -> ServerString {
        ServerString {
            host: "rustdesk.example.org".into(),
            relay: String::new(),
            api: "https://rustdesk.example.org".into(),
            key: "OeVuKk5nlHiXp+APNn0Y3pC1Iwpwn44JGqrQCsWqmBw=".into(),
        }
    }

    #[test]
    fn what_the_app_exports_is_read() {
        assert_eq!(ServerString::decode(EXPORTED), Ok(server()));
        assert_eq!(ServerString::decode(&format!(" config={EXPORTED}\n")), Ok(server()));
        assert_eq!(ServerString::decode(EXPORTED.trim_start_matches('=')), Ok(server()), "without padding");
        assert_eq!(server().encode(), EXPORTED.trim_start_matches('='));
        assert_eq!(ServerString::decode(&server().scanned()), Ok(server()));
    }

    #[test]
    fn what_is_none_is_refused() {
        let nameless = ServerString { host: " ".into(), ..server() }.encode();
        let forwards: String = EXPORTED.chars().rev().collect();
        for bad in ["", "config=", "rustdesk.example.org", &nameless, &forwards, &"A".repeat(5000), "ééé"]
        {
            assert_eq!(ServerString::decode(bad), Err(BadServerString), "{bad}");
        }
    }
}
