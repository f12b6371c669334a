//! Handshake, login, refusals, silence (network 9.5, 10; session 2).

use kvmdesk::peer::machine::*;
use kvmdesk::peer::texts;
use kvmdesk::wire::message::hbb::login_request::Union as Kind;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use kvmdesk::wire::message::{encode_message, hbb};

use super::rig::*;

fn name(union: &Union) -> &'static str {
    match union {
        Union::Hash(_) => "hash",
        Union::TestDelay(_) => "ping",
        Union::SignedId(_) => "signed-id",
        Union::LoginResponse(_) => "login",
        Union::VideoFrame(_) => "video",
        Union::CursorData(_) => "cursor",
        Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(_)) }) => "permission",
        Union::Misc(hbb::Misc { union: Some(Misc::CloseReason(_)) }) => "close",
        _ => "other",
    }
}

fn peer_info(rig: &mut Rig) -> hbb::PeerInfo {
    rig.take_seen()
        .into_iter()
        .find_map(|union| match union {
            Union::LoginResponse(hbb::LoginResponse {
                union: Some(hbb::login_response::Union::PeerInfo(info)),
                ..
            }) => Some(info),
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_sealed_session_in_the_order_of_the_reference() {
    let mut rig = Rig::sealed();
    let denied: Vec<i32> = rig
        .seen
        .iter()
        .filter_map(|union| match union {
            Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(info)) }) if !info.enabled => {
                Some(info.permission)
            }
            _ => None,
        })
        .collect();
    assert_eq!(denied, [2, 3, 4, 5, 7, 8]);
    let names: Vec<_> = rig.take_seen().iter().map(name).collect();
    assert_eq!((names[0], names[7], names.len()), ("hash", "ping", 8));
    let request = rig.login(PASSWORD);
    rig.send(Union::LoginRequest(request));
    let info = peer_info(&mut rig);
    assert_eq!((info.platform.as_str(), info.sas_enabled, info.version.as_str()), ("Windows", true, "1.4.9"));
    assert_eq!((info.username.as_str(), info.hostname.as_str()), ("desk", "kvm"));
    assert_eq!(info.features, Some(hbb::Features::default()));
    assert_eq!(info.encoding, Some(hbb::SupportedEncoding { h264: true, ..Default::default() }));
    assert!(info.resolutions.unwrap().resolutions.len() <= 1);
    assert_eq!((info.platform_additions.as_str(), info.windows_sessions), ("", None));
    let display = &info.displays[0];
    assert_eq!((display.width, display.height, display.scale), (1280, 720, 1.0));
    assert_eq!(display.original_resolution, Some(hbb::Resolution { width: 1280, height: 720 }));
    assert!(display.cursor_embedded, "a desktop app shows the pointer in the picture");
    rig.frame(true);
    let names: Vec<_> = rig.take_seen().iter().map(name).collect();
    assert_eq!(names, ["video", "ping"], "the first picture is followed by a ping at once");
    rig.send_misc(Misc::CloseReason(String::new()));
    assert_eq!(rig.closed, Some(CloseReason::LeftByController(String::new())));
}

#[test]
fn linux_and_phones_are_told_otherwise() {
    let mut rig = Rig::sealed_with(PeerSettings {
        announce: AnnouncedPlatform::Linux,
        username: String::new(),
        ..settings()
    });
    let mut request = rig.login(PASSWORD);
    request.my_platform = "Android".into();
    rig.send(Union::LoginRequest(request));
    assert!(rig.seen.iter().any(|u| matches!(u, Union::CursorData(_))), "phones paint the ring");
    let info = peer_info(&mut rig);
    assert_eq!((info.platform.as_str(), info.sas_enabled), ("Linux", false));
    assert!(!info.displays[0].cursor_embedded);
    assert!(!info.username.is_empty());
}

/// T23, row by row, with and without `require-encryption`.
#[test]
fn the_handshake_table() {
    let key = |asymmetric: usize| {
        encode_message(Union::PublicKey(hbb::PublicKey {
            asymmetric_value: vec![0; asymmetric],
            symmetric_value: vec![],
        }))
    };
    let ping = encode_message(Union::TestDelay(hbb::TestDelay::default()));
    for is_encryption_required in [true, false] {
        let start = || Rig::new(PeerSettings { is_encryption_required, ..settings() }, Opening::Secure);
        for (first, is_unconfirmed) in [(key(0), 1), (vec![], 0), (ping.clone(), 0)] {
            let mut rig = start();
            assert!(matches!(rig.take_seen().as_slice(), [Union::SignedId(_)]));
            rig.send_bytes(&first);
            assert_eq!(rig.key_not_confirmed, is_unconfirmed);
            let text = rig.refusal();
            if is_encryption_required {
                assert_eq!(text, texts::CLEAR_REFUSED, "never Hash");
                assert!(texts::is_final(&text) && text.contains("security.require-encryption"));
                assert_eq!(rig.closed, Some(CloseReason::Refused(text)));
            } else {
                assert_eq!((text.as_str(), &rig.closed), ("HASH", &None));
                let request = rig.login(PASSWORD);
                rig.send(Union::LoginRequest(request));
                assert_eq!(rig.requests.len(), 1, "logged in, in clear");
            }
        }
        for first in [key(31), key(32), vec![0xff; 20]] {
            let mut rig = start();
            rig.take_seen();
            rig.send_bytes(&first);
            assert!(matches!(rig.closed, Some(CloseReason::HandshakeFailed(_))), "{:?}", rig.closed);
            assert!(rig.seen.is_empty());
        }
        let mut rig = start();
        rig.seconds(17);
        assert_eq!(rig.closed, None);
        rig.seconds(1);
        assert!(matches!(rig.closed, Some(CloseReason::HandshakeFailed(_))));
    }
}

/// T25.
#[test]
fn secure_false_is_refused_or_begins_with_hash() {
    let mut rig = Rig::new(settings(), Opening::Insecure);
    assert_eq!(rig.refusal(), texts::CLEAR_REFUSED);
    let mut rig = Rig::new(PeerSettings { is_encryption_required: false, ..settings() }, Opening::Insecure);
    assert_eq!(name(&rig.seen[0]), "hash");
    let request = rig.login(PASSWORD);
    rig.send(Union::LoginRequest(request));
    assert_eq!(rig.requests.len(), 1);
}

/// T26.
#[test]
fn direct_access() {
    let mut rig = Rig::new(settings(), Opening::Direct);
    let text = rig.refusal();
    assert!(texts::is_final(&text) && text.contains("direct.allow-plaintext"));
    let allowed = PeerSettings { is_direct_plaintext_allowed: true, ..settings() };
    for (username, is_in) in
        [("10.77.0.2:21118", true), ("kvm.lan:21118", true), (ID, true), ("234567891", false), ("", false)]
    {
        let mut rig = Rig::new(allowed.clone(), Opening::Direct);
        assert_eq!(name(&rig.seen[0]), "hash", "no SignedId");
        rig.take_seen();
        let request = hbb::LoginRequest { username: username.into(), ..rig.login(PASSWORD) };
        rig.send(Union::LoginRequest(request));
        assert_eq!(rig.requests.len(), usize::from(is_in), "{username}");
        if !is_in {
            assert_eq!(rig.refusal(), "Offline");
            assert!(rig.closed.is_some());
        }
    }
    let mut rig = Rig::sealed();
    rig.take_seen();
    let request = hbb::LoginRequest { username: "10.77.0.2:21118".into(), ..rig.login(PASSWORD) };
    rig.send(Union::LoginRequest(request));
    assert_eq!(rig.refusal(), "Offline", "an address does not come through the ID server");
}

/// T27, the part that the connection sees.
#[test]
fn wrong_and_empty_passwords_keep_the_connection() {
    let mut rig = Rig::sealed();
    rig.take_seen();
    let empty = rig.login("");
    for _ in 0..20 {
        rig.send(Union::LoginRequest(empty.clone()));
        assert!(rig.take_seen().is_empty(), "silence");
    }
    let wrong = rig.login("wrong");
    for _ in 0..7 {
        rig.send(Union::LoginRequest(wrong.clone()));
        assert_eq!(rig.refusal(), "Wrong Password");
    }
    let right = rig.login(PASSWORD);
    rig.send(Union::LoginRequest(right.clone()));
    assert_eq!(rig.refusal(), "Please try 1 minute later");
    rig.seconds(60);
    rig.take_seen();
    rig.send(Union::LoginRequest(right));
    assert_eq!((rig.requests.len(), &rig.closed), (1, &None));
}

/// T28.
#[test]
fn a_replayed_login_is_refused() {
    let mut first = Rig::sealed();
    let captured = first.login(PASSWORD);
    first.send(Union::LoginRequest(captured.clone()));
    assert_eq!(first.requests.len(), 1);
    let mut second = Rig::seeded(settings(), Opening::Secure, vec![state(SIZE)], 99);
    let key = second.box_session_key();
    second.send(Union::PublicKey(key));
    assert_ne!(first.challenge, second.challenge);
    second.take_seen();
    second.send(Union::LoginRequest(captured));
    assert_eq!(second.refusal(), "Wrong Password");
}

/// T28 of the session reference: another type must not start a video session.
#[test]
fn other_session_types_get_their_own_refusal() {
    for (kind, text) in [
        (Kind::FileTransfer(hbb::FileTransfer::default()), "No permission of file transfer"),
        (Kind::ViewCamera(hbb::ViewCamera::default()), "No permission of viewing camera"),
        (Kind::Terminal(hbb::Terminal::default()), "No permission of terminal"),
        (Kind::PortForward(hbb::PortForward::default()), "No permission of IP tunneling"),
    ] {
        let mut rig = Rig::sealed();
        rig.take_seen();
        let request = hbb::LoginRequest { union: Some(kind), ..rig.login(PASSWORD) };
        rig.send(Union::LoginRequest(request));
        assert_eq!(rig.refusal(), text);
        assert_eq!(rig.closed, Some(CloseReason::Refused(text.into())));
        assert!(rig.requests.is_empty());
    }
    let mut rig = Rig::sealed();
    rig.take_seen();
    let empty = rig.login("");
    rig.send(Union::LoginRequest(empty));
    let other = hbb::LoginRequest { my_id: "111111111".into(), ..rig.login(PASSWORD) };
    rig.send(Union::LoginRequest(other));
    assert_eq!(rig.refusal(), "Connection not allowed");
}

#[test]
fn pings_come_each_second_and_only_after_an_echo() {
    let mut rig = Rig::watching();
    rig.seconds(10);
    assert_eq!(rig.take_seen().iter().filter(|u| name(u) == "ping").count(), 10);
    rig.seconds(3600);
    assert_eq!(rig.closed, None, "an idle session lives");
    rig.echoes = false;
    rig.take_seen();
    rig.seconds(29);
    assert_eq!(rig.take_seen().iter().filter(|u| name(u) == "ping").count(), 1);
    rig.seconds(2);
    assert_eq!(rig.refusal(), "Timeout");
    assert_eq!(rig.closed, Some(CloseReason::TimedOut));
}

#[test]
fn a_prompt_may_stay_open_for_minutes_but_not_for_ever() {
    let mut rig = Rig::sealed();
    rig.seconds(599);
    assert_eq!(rig.closed, None);
    rig.input(Input::Verdict(kvmdesk::peer::gate::Verdict::Accepted));
    assert!(rig.requests.is_empty(), "a verdict that nobody asked for");
    rig.take_seen();
    rig.seconds(1);
    assert_eq!(rig.refusal(), "Timeout");
    assert_eq!(rig.closed, Some(CloseReason::TimedOut));
    let mut rig = Rig::watching();
    rig.input(Input::Verdict(kvmdesk::peer::gate::Verdict::Accepted));
    rig.map(28, true);
    assert_eq!(rig.hands.len(), 1, "a stray verdict changes nothing");
}

#[test]
fn a_controllers_own_ping_is_returned_unchanged() {
    let mut rig = Rig::watching();
    let ping = hbb::TestDelay { time: 1_795_347_740_223, from_client: true, ..Default::default() };
    rig.send(Union::TestDelay(ping));
    assert_eq!(rig.take_seen(), [Union::TestDelay(ping)]);
}

#[test]
fn garbage_ends_a_session_and_nothing_unknown_does() {
    let mut rig = Rig::watching();
    rig.send(Union::SwitchSidesResponse(hbb::SwitchSidesResponse {
        uuid: vec![0; 16],
        lr: Some(rig.login("")),
    }));
    rig.send(Union::Clipboard(hbb::Clipboard::default()));
    rig.send_bytes(&[]);
    rig.send_bytes(&[0x07]);
    rig.send_bytes(b"\xf2\x7f\x00");
    assert_eq!((rig.closed.clone(), rig.peer.ignored()), (None, 5));
    rig.send_bytes(&[0xff; 9]);
    assert!(matches!(rig.closed, Some(CloseReason::PeerMisbehaved(_))));
    let mut early = Rig::sealed();
    early.map(30, true);
    early.send_misc(Misc::RefreshVideo(true));
    early.frame(true);
    assert_eq!((early.hands.len(), early.wanted.len(), early.peer.ignored()), (0, 0, 2));
}

#[test]
fn the_agent_ends_sessions_with_and_without_words() {
    let mut rig = Rig::watching();
    rig.input(Input::End("Closed manually by the peer"));
    assert_eq!(rig.refusal(), "Closed manually by the peer");
    assert!(matches!(rig.closed, Some(CloseReason::EndedHere(_))));
    let mut rig = Rig::watching();
    rig.input(Input::End(""));
    assert!(rig.seen.is_empty() && rig.closed.is_some(), "without words the app comes back");
}
