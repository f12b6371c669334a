//! From Hash to PeerInfo: what is announced before login, which requests are refused, and the answer to a good one
//! (reference: session 2.1 to 2.9).

use crate::wire::message::{encode_message, hbb};
use hbb::login_request::Union as Kind;
use hbb::message::Union;
use hbb::permission_info::Permission;

use super::displays::Displays;
use super::texts;
use super::types::{AnnouncedPlatform, LocalPointer, PeerSettings};

/// The RustDesk version whose messages we speak (reference: session 2.7).
pub const VERSION: &str = "1.4.9";

/// What we cannot do (sound only where there is none); absent means allowed in the apps. The number of `PrivacyMode` meant the camera in
/// controllers 1.3.8 to 1.4.0, which we refuse as well (reference: session 2.9).
const DENIED: [Permission; 6] = [
    Permission::Clipboard,
    Permission::Audio,
    Permission::File,
    Permission::Restart,
    Permission::BlockInput,
    Permission::PrivacyMode,
];

/// The messages that open a session after the handshake: Hash and the permissions that are off. Controllers
/// forget permissions at a reconnect, so that every connection gets them.
pub fn opening(salt: &str, challenge: &str, has_sound: bool) -> Vec<Vec<u8>> {
    let hash = hbb::Hash { salt: salt.to_owned(), challenge: challenge.to_owned() };
    let is_denied = |permission: &&Permission| !(has_sound && **permission == Permission::Audio);
    let denied = DENIED.iter().filter(is_denied).map(|denied| permission(*denied, false));
    std::iter::once(encode_message(Union::Hash(hash))).chain(denied).collect()
}

/// Says whether the controller may do something.
pub fn permission(permission: Permission, enabled: bool) -> Vec<u8> {
    let info = hbb::PermissionInfo { permission: permission.into(), enabled };
    encode_misc(hbb::misc::Union::PermissionInfo(info))
}

/// Wraps one arm of `Misc`.
pub fn encode_misc(union: hbb::misc::Union) -> Vec<u8> {
    encode_message(Union::Misc(hbb::Misc { union: Some(union) }))
}

/// `LoginResponse.error`.
pub fn error(text: &str) -> Vec<u8> {
    let union = Some(hbb::login_response::Union::Error(text.to_owned()));
    encode_message(Union::LoginResponse(hbb::LoginResponse { enable_trusted_devices: false, union }))
}

/// Who and what the first request on a connection named; later ones must name the same.
#[derive(Debug, PartialEq)]
pub struct Scope {
    my_id: String,
    kind: Option<Kind>,
}

/// Checks what needs no password, in the reference's order (session 2.3, steps 2 to 6). The text is final: the
/// connection closes after it.
pub fn check(
    request: &hbb::LoginRequest,
    scope: &mut Option<Scope>,
    settings: &PeerSettings,
    is_direct: bool,
) -> Result<(), &'static str> {
    let now = Scope { my_id: request.my_id.clone(), kind: request.union.clone() };
    if scope.get_or_insert_with(|| Scope { my_id: now.my_id.clone(), kind: now.kind.clone() }) != &now {
        return Err(texts::NOT_ALLOWED);
    }
    match request.union {
        Some(Kind::FileTransfer(_)) => return Err(texts::NO_FILES),
        Some(Kind::ViewCamera(_)) => return Err(texts::NO_CAMERA),
        Some(Kind::Terminal(_)) => return Err(texts::NO_TERMINAL),
        Some(Kind::PortForward(_)) => return Err(texts::NO_TUNNEL),
        None => {}
    }
    if request.username != settings.id.as_str() && !(is_direct && is_address(&request.username)) {
        return Err(texts::OFFLINE);
    }
    Ok(())
}

/// Whether a user dialled this as an address: an IP address with or without a port, or `domain:port`.
fn is_address(text: &str) -> bool {
    if text.parse::<std::net::IpAddr>().is_ok() || text.parse::<std::net::SocketAddr>().is_ok() {
        return true;
    }
    let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if bracketed.is_some_and(|t| t.parse::<std::net::Ipv6Addr>().is_ok()) {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    is_host && port.parse::<u16>().is_ok_and(|p| p != 0)
}

/// Whether the app draws its own pointer (`pointer.local`): phones and slow lines, unless the user decided.
pub fn draws_pointer(choice: LocalPointer, my_platform: &str, is_slow: bool) -> bool {
    let is_phone = ["android", "ios"].iter().any(|p| my_platform.eq_ignore_ascii_case(p));
    match choice {
        LocalPointer::Auto => is_phone || is_slow,
        LocalPointer::On => true,
        LocalPointer::Off => false,
    }
}

/// Whether a controller's version text is before 1.2.4: its privacy switch is an option then. The old web client
/// says nothing.
pub fn is_before_1_2_4(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|p| p.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) < (1, 2, 4)
}

/// The answer to a good login.
pub fn welcome(settings: &PeerSettings, displays: &Displays, encoding: hbb::SupportedEncoding) -> Vec<u8> {
    let (platform, sas_enabled) = match settings.announce {
        AnnouncedPlatform::Windows => ("Windows", true),
        AnnouncedPlatform::Linux => ("Linux", false),
        AnnouncedPlatform::MacOs => ("Mac OS", true),
    };
    let username = if settings.username.is_empty() { "kvmdesk" } else { &settings.username };
    let info = hbb::PeerInfo {
        username: username.to_owned(),
        hostname: settings.hostname.clone(),
        platform: platform.to_owned(),
        displays: displays.infos(),
        current_display: 0,
        sas_enabled,
        version: VERSION.to_owned(),
        features: Some(hbb::Features { privacy_mode: false, terminal: false }),
        encoding: Some(encoding),
        resolutions: Some(displays.modes(0)),
        platform_additions: String::new(),
        windows_sessions: None,
    };
    let union = Some(hbb::login_response::Union::PeerInfo(info));
    encode_message(Union::LoginResponse(hbb::LoginResponse { enable_trusted_devices: false, union }))
}

/// A ring of 16 x 16 pixels with its hot spot in the middle, for apps that draw the pointer (reference: session
/// 3.8). `build.rs` draws and compresses it.
pub fn ring() -> Vec<u8> {
    const SIZE: i32 = 16;
    let colors = include_bytes!(concat!(env!("OUT_DIR"), "/ring.zst")).to_vec();
    let data = hbb::CursorData { id: 1, hotx: SIZE / 2, hoty: SIZE / 2, width: SIZE, height: SIZE, colors };
    encode_message(Union::CursorData(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::decode_message;

    #[test]
    fn addresses() {
        for good in
            ["10.77.0.2", "10.77.0.2:21118", "::1", "[::1]:21118", "[fe80::1]", "kvm.local:21118", "a:1"]
        {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "123456789", "kvm.local", "kvm:0", ":21118", "a b:1", "kvm:port", "x:70000"] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn versions_and_pointers() {
        for (version, is_old) in
            [("", true), ("1.1.9", true), ("1.2.3-2", true), ("1.2.4", false), ("1.4.9", false), ("x", true)]
        {
            assert_eq!(is_before_1_2_4(version), is_old, "{version}");
        }
        let draws = |choice, platform| draws_pointer(choice, platform, false);
        assert!(draws(LocalPointer::Auto, "Android") && draws(LocalPointer::Auto, "iOS"));
        assert!(!draws(LocalPointer::Auto, "Windows") && !draws(LocalPointer::Auto, ""));
        assert!(draws_pointer(LocalPointer::Auto, "Linux", true));
        assert!(draws(LocalPointer::On, "Linux") && !draws_pointer(LocalPointer::Off, "Android", true));
    }

    #[test]
    fn the_ring_is_a_picture() {
        let Some(Union::CursorData(data)) = decode_message(&ring()).unwrap().union else { panic!() };
        let pixels = zstd::bulk::decompress(&data.colors, 4096).unwrap();
        assert_eq!(pixels.len(), (data.width * data.height * 4) as usize);
        assert_eq!(pixels[3], 0, "corners are clear");
        assert!(pixels.chunks(4).any(|p| p == [255; 4]) && pixels.chunks(4).any(|p| p == [0, 0, 0, 255]));
    }
}
