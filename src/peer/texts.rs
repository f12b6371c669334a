//! Every sentence that a controller is shown. Login texts are matched exactly by the apps (reference: session
//! 2.4); close texts decide whether the app dials again by itself (reference: session 2.10).

/// The words that stop an app's automatic reconnect when a close text holds one, in lower case.
pub const FINAL_WORDS: &[&str] = &[
    "offline",
    "not exist",
    "handshake",
    "failed",
    "resolve",
    "mismatch",
    "manually",
    "restricted",
    "incoming only",
    "not allowed",
];

/// Whether a `close_reason` with this text keeps the app from dialling again by itself. Texts without such a word
/// are for ends after which the controller should come back.
pub fn is_final(text: &str) -> bool {
    let lower = text.to_lowercase();
    FINAL_WORDS.iter().any(|word| lower.contains(word))
}

/// Login error for an ID that is not ours.
pub const OFFLINE: &str = "Offline";
/// Login error for a wrong password; the connection stays open.
pub const WRONG_PASSWORD: &str = "Wrong Password";
/// Login error above 6 failures in a minute.
pub const ONE_MINUTE_LATER: &str = "Please try 1 minute later";
/// Login error of a locked address.
pub const TOO_MANY: &str = "Too many wrong attempts";
/// Login errors of locked IPv6 prefixes.
pub const TOO_MANY_64: &str = "Too many wrong attempts for IPv6 prefix /64";
/// As above.
pub const TOO_MANY_56: &str = "Too many wrong attempts for IPv6 prefix /56";
/// As above.
pub const TOO_MANY_48: &str = "Too many wrong attempts for IPv6 prefix /48";
/// Login error when a second request on a connection names somebody or something else.
pub const NOT_ALLOWED: &str = "Connection not allowed";
/// Login error of file-manager sessions.
pub const NO_FILES: &str = "No permission of file transfer";
/// Login error of camera sessions.
pub const NO_CAMERA: &str = "No permission of viewing camera";
/// Login error of terminal sessions.
pub const NO_TERMINAL: &str = "No permission of terminal";
/// Login error of tunnel sessions.
pub const NO_TUNNEL: &str = "No permission of IP tunneling";
/// Login error of a controller that decodes no H.264.
pub const NO_H264: &str = "Connection failed: this device sends H.264 video, which this app cannot decode. \
    Use a current RustDesk app for Windows, macOS, Linux, Android (arm) or iOS.";

/// Close text when a controller withdraws H.264 in a session.
pub const H264_WITHDRAWN: &str = "The app failed to decode H.264 video and this device has no other. \
    Connect again; if it returns, turn hardware decoding off in the app's settings.";
/// Close text of a session in clear through a server, where encryption is required.
pub const CLEAR_REFUSED: &str = "Unencrypted sessions are not allowed. Enter the ID server's key in this app's \
    network settings, or set security.require-encryption = false on the device.";
/// Close text of direct access where it is not allowed.
pub const DIRECT_REFUSED: &str = "Direct access is not allowed, because RustDesk does not encrypt it. \
    Connect by ID, or set direct.allow-plaintext = true on the device.";
/// Close text after 30 s of silence; the app may dial again.
pub const TIMEOUT: &str = "Timeout";

/// Answer to a screenshot request.
pub const NO_SCREENSHOT: &str = "Failed to take screenshot, please try again later.";
/// Details of a refused privacy mode.
pub const NO_PRIVACY: &str = "Privacy mode is not supported by this device.";
/// Details of a refused input block.
pub const NO_BLOCK: &str = "Blocking the local keyboard and mouse is not supported by this device.";
/// Title of notices about the keyboard and mouse of the target.
pub const HID_TITLE: &str = "Keyboard and mouse";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_final_refusal_stops_the_automatic_reconnect() {
        for text in [NO_H264, H264_WITHDRAWN, CLEAR_REFUSED, DIRECT_REFUSED, OFFLINE, NOT_ALLOWED] {
            assert!(is_final(text), "{text}");
        }
        assert!(is_final("Closed manually by the peer"));
        for text in [TIMEOUT, "", "The device restarts"] {
            assert!(!is_final(text), "{text}");
        }
    }

    #[test]
    fn login_texts_that_keep_the_connection_do_not_look_final() {
        for text in [WRONG_PASSWORD, ONE_MINUTE_LATER, TOO_MANY, TOO_MANY_64, TOO_MANY_56, TOO_MANY_48] {
            assert!(!is_final(text), "{text}");
        }
    }
}
