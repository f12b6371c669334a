//! Every sentence that a controller is shown. Login texts are matched exactly by the apps (reference: session
//! 2.4); close texts decide whether the app dials again by itself (reference: session 2.10).

use crate::video::frame::{Codec, CodecSet};
use crate::wire::message::{encode_message, hbb};
use hbb::message::Union;

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
/// Answer to a screenshot request on a line that it would block for long.
pub const SLOW_SCREENSHOT: &str = "Failed to take screenshot: this connection is too slow for it.";
/// Title of notices about the picture.
pub const VIDEO_TITLE: &str = "Picture";
/// Title of notices about the keyboard and mouse of the target.
pub const HID_TITLE: &str = "Keyboard and mouse";

/// What a controller is told when its turn has come.
pub const YOURS: &str = "Keyboard and mouse are yours now.";

/// What a controller is told whose hands do not act.
pub fn held_by(holder: &str, can_take: bool) -> String {
    if can_take {
        format!("{holder} holds keyboard and mouse. Press a key or a mouse button to take them over.")
    } else {
        format!(
            "{holder} holds keyboard and mouse. You can watch, and they come to you when it is your turn."
        )
    }
}

/// A message box with a close button (reference: session 7.5).
pub fn notice(title: &str, text: String) -> Vec<u8> {
    encode_message(Union::MessageBox(hbb::MessageBox {
        msgtype: "custom-nook-nocancel-hasclose".into(),
        title: title.into(),
        text,
        link: String::new(),
    }))
}

/// Why there is no picture although all is connected: nothing that we encode is decoded. `had_one` says that the
/// app took a codec back in this session, which it does when it failed to decode.
pub fn no_codec(ours: CodecSet, theirs: CodecSet, had_one: bool) -> String {
    const HANDS: &str = "Keyboard and mouse work.";
    let apps = "a current RustDesk app for Windows, macOS, Linux, Android (arm) or iOS";
    if ours.is_empty() {
        return format!("No video encoder works on this device: run `kvmdesk probe` there. {HANDS}");
    }
    let (encoded, decoded) = (names(ours), names(theirs));
    if had_one {
        return format!(
            "This app failed to decode {encoded}, and this device can encode nothing else that it decodes. Connect \
             again; if it returns, turn hardware decoding off in the app's settings. {HANDS}"
        );
    }
    format!(
        "This device can encode {encoded} only; this app decodes {decoded}. Use {apps}, or install a GStreamer \
         encoder for {} on the device. {HANDS}",
        theirs.iter().map(Codec::name).collect::<Vec<_>>().join(" or ")
    )
}

/// `VP8, VP9 and H.264`.
fn names(codecs: CodecSet) -> String {
    let names: Vec<_> = codecs.iter().map(Codec::name).collect();
    match names.as_slice() {
        [] => "nothing".into(),
        [one] => (*one).into(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_final_refusal_stops_the_automatic_reconnect() {
        for text in [CLEAR_REFUSED, DIRECT_REFUSED, OFFLINE, NOT_ALLOWED] {
            assert!(is_final(text), "{text}");
        }
        assert!(is_final("Closed manually by the peer"));
        for text in [TIMEOUT, "", "The device restarts"] {
            assert!(!is_final(text), "{text}");
        }
    }

    #[test]
    fn no_common_codec_is_told_in_words_that_help() {
        let ours = CodecSet::of(&[Codec::H264]);
        let theirs = CodecSet::of(&[Codec::Vp8, Codec::Vp9]);
        let text = no_codec(ours, theirs, false);
        assert!(
            text.starts_with("This device can encode H.264 only; this app decodes VP8 and VP9."),
            "{text}"
        );
        assert!(text.contains("encoder for VP8 or VP9"), "{text}");
        assert!(no_codec(ours, theirs, true).contains("hardware decoding"));
        assert!(no_codec(CodecSet::EMPTY, theirs, false).contains("kvmdesk probe"));
        assert_eq!(names(CodecSet::all()), "VP8, VP9, AV1, H.264 and H.265");
    }

    #[test]
    fn login_texts_that_keep_the_connection_do_not_look_final() {
        for text in [WRONG_PASSWORD, ONE_MINUTE_LATER, TOO_MANY, TOO_MANY_64, TOO_MANY_56, TOO_MANY_48] {
            assert!(!is_final(text), "{text}");
        }
    }
}
