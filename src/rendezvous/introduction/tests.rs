//! T15, T16, T32 and the bytes of the recorded official side.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

use super::*;
use crate::wire::message::decode_rendezvous;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn desk(now: Instant) -> Introductions {
    let settings = IntroductionSettings {
        server: Endpoint::parse("10.77.0.1", 21116).unwrap(),
        relay_server: None,
        is_relay_forced: false,
        licence_key: "TDvDUxsViKRY2W1RjdWx2Zvf5Dk13arO1kjM1o0l9pY=".into(),
        version: "1.4.9".into(),
    };
    Introductions::new(settings, now, Seed::from_bytes([5; 32]))
}

fn id() -> PeerId {
    "234567891".parse().unwrap()
}

fn punch(address: &str, nat: NatKind) -> Request {
    Request::PunchHole {
        socket_addr: mangle(address.parse().unwrap(), 77),
        relay_server: "10.77.0.1".into(),
        nat,
        is_relay_forced: false,
    }
}

fn relay_response(bytes: &[u8]) -> hbb::RelayResponse {
    let Some(Union::RelayResponse(m)) = decode_rendezvous(bytes).unwrap().union else {
        panic!("no RelayResponse")
    };
    m
}

#[test]
fn the_recorded_punch_hole_gets_the_recorded_answer() {
    let now = Instant::now();
    let request = Request::PunchHole {
        socket_addr: hex("68fc7aad84cd8f4785d301"),
        relay_server: "10.77.0.1".into(),
        nat: NatKind::Asymmetric,
        is_relay_forced: false,
    };
    let (_, got) = desk(now).decide(request, &id(), NatKind::Asymmetric, now).unwrap();
    let Introduction::PunchHole(got) = got else { panic!("{got:?}") };
    assert_eq!(got.controller, "10.77.0.3:42411".parse().unwrap());
    assert_eq!(
        got.answer,
        hex("522c0a0b68fc7aad84cd8f4785d30112093233343536373839311a0931302e37372e302e3120012a05312e342e39")
    );
}

#[test]
fn the_recorded_fetch_local_addr_names_the_same_addresses() {
    let now = Instant::now();
    let request = Request::FetchLocalAddr {
        socket_addr: hex("958135980fce493210d201"),
        relay_server: "10.77.0.1".into(),
    };
    let (_, got) = desk(now).decide(request, &id(), NatKind::Asymmetric, now).unwrap();
    let Introduction::LocalAddr(got) = got else { panic!("{got:?}") };
    let recorded = hex(
        "6a370a0bff9809c70fce1d6110d201120b95941dc70fce316110d2011a0931302e37372e302e3122093233343536373839312a05312e342e39",
    );
    let read = |bytes: &[u8]| {
        let Some(Union::LocalAddr(m)) = decode_rendezvous(bytes).unwrap().union else {
            panic!("no LocalAddr")
        };
        (unmangle(&m.socket_addr), unmangle(&m.local_addr), m.relay_server, m.id, m.version)
    };
    assert_eq!(read(&got.answer("10.77.0.2:45319".parse().unwrap())), read(&recorded));
    assert!(got.fallback.is_secure);
}

#[test]
fn the_recorded_relays_in_both_directions() {
    let now = Instant::now();
    let mut desk = desk(now);
    // Asked for by the controller: its uuid and relay, nothing of ours in the answer.
    let request = Request::Relay {
        socket_addr: hex("9f90380510ce4d9f10d201"),
        relay_server: "10.77.0.1".into(),
        uuid: "8f2e352e-ece2-474e-a7cf-99c9b651062e".into(),
        is_secure: true,
    };
    let (_, got) = desk.decide(request, &id(), NatKind::Asymmetric, now).unwrap();
    let Introduction::Relay(got) = got else { panic!("{got:?}") };
    assert_eq!(got.answer, hex("9a01140a0b9f90380510ce4d9f10d2013a05312e342e39"));
    assert_eq!(
        got.request,
        hex(
            "920154122438663265333532652d656365322d343734652d613763662d393963396236353130363265322c5444764455787356694b5259325731526a645778325a766635446b313361724f316b6a4d316f306c3970593d"
        )
    );
    assert_eq!(got.relay.to_string(), "10.77.0.1:21117");
    // Asked for by us: the same fields as recorded, another uuid.
    let request = Request::PunchHole {
        socket_addr: hex("9334f904bbcd0d9fbbd301"),
        relay_server: "10.77.0.1".into(),
        nat: NatKind::Symmetric,
        is_relay_forced: false,
    };
    let (_, got) = desk.decide(request, &id(), NatKind::Asymmetric, now).unwrap();
    let Introduction::Relay(got) = got else { panic!("{got:?}") };
    let mut recorded = relay_response(&hex(
        "9a01500a0b9334f904bbcd0d9fbbd301122465366134303135342d343739392d343561372d383838302d3433613264613138396232351a0931302e37372e302e313a05312e342e392209323334353637383931",
    ));
    recorded.uuid = got.uuid.clone();
    assert_eq!(relay_response(&got.answer), recorded);
    assert_eq!((got.is_secure, got.uuid.len()), (true, 36));
}

#[test]
fn t15_t16_repeats_within_100_ms_are_one_request() {
    let start = Instant::now();
    let ms = |n: u64| start + Duration::from_millis(n);
    let mut desk = desk(start);
    let mut ask = |address: &str, at| {
        desk.decide(punch(address, NatKind::Asymmetric), &id(), NatKind::Asymmetric, at)
            .map(|(ticket, _)| ticket)
    };
    assert_eq!(ask("10.77.0.3:1000", ms(0)), Ok(1));
    assert_eq!(ask("10.77.0.3:1000", ms(60)), Err(Dropped::Duplicate));
    assert_eq!(ask("10.77.0.3:1000", ms(120)), Err(Dropped::Duplicate), "dropped ones count too");
    assert_eq!(ask("10.77.0.3:1001", ms(130)), Ok(2), "another port is another request");
    assert_eq!(ask("10.77.0.3:1001", ms(3130)), Ok(3), "a repeat after 3 s is answered again");
    let relay = Request::Relay {
        socket_addr: mangle("10.77.0.3:1001".parse().unwrap(), 1),
        relay_server: "r".into(),
        uuid: "u".into(),
        is_secure: false,
    };
    let (_, got) = desk.decide(relay, &id(), NatKind::Asymmetric, ms(3131)).unwrap();
    assert!(matches!(got, Introduction::Relay(r) if !r.is_secure), "relay requests have their own slot");
}

#[test]
fn t32_odd_requests_are_dropped_not_obeyed() {
    let now = Instant::now();
    let mut desk = desk(now);
    let mut relay = |socket_addr: &[u8], relay: &str, uuid: &str, ms: u64| {
        let request = Request::Relay {
            socket_addr: socket_addr.to_vec(),
            relay_server: relay.into(),
            uuid: uuid.into(),
            is_secure: true,
        };
        let at = now + Duration::from_millis(ms);
        desk.decide(request, &id(), NatKind::Asymmetric, at).map(|(_, i)| i)
    };
    let good = mangle("10.77.0.3:1000".parse().unwrap(), 1);
    assert_eq!(relay(&[1; 17], "r", "u", 0), Err(Dropped::Unusable));
    assert_eq!(relay(&[], "r", "u", 200), Err(Dropped::Unusable));
    assert_eq!(relay(&good, "a b", "u", 400), Err(Dropped::Unusable));
    assert_eq!(relay(&good, "host:99999", "u", 600), Err(Dropped::Unusable));
    assert_eq!(relay(&good, "r", "", 800), Err(Dropped::Unusable));
    assert_eq!(relay(&good, "r", &"u".repeat(65), 1000), Err(Dropped::Unusable));
    assert!(relay(&good, "r", "u", 1200).is_ok());
}

#[test]
fn floods_are_bounded_in_rate_number_and_per_controller() {
    let start = Instant::now();
    let mut desk = desk(start);
    let mut given = 0;
    for n in 0..10_000u64 {
        let request = punch(&format!("10.{}.{}.3:1000", n / 250, n % 250), NatKind::Asymmetric);
        let at = start + Duration::from_millis(n);
        if let Ok((ticket, _)) = desk.decide(request, &id(), NatKind::Asymmetric, at) {
            desk.ended(ticket);
            given += 1;
        }
    }
    assert_eq!(given, BURST + 19, "32 at once, then two a second");
    let later = start + Duration::from_secs(100);
    let mut one = 0;
    for port in 1..100 {
        let request = punch(&format!("10.77.0.3:{port}"), NatKind::Asymmetric);
        one += usize::from(desk.decide(request, &id(), NatKind::Asymmetric, later).is_ok());
    }
    assert_eq!(one, MAX_PER_CONTROLLER);
    assert!(
        desk.decide(punch("10.77.0.4:1", NatKind::Asymmetric), &id(), NatKind::Asymmetric, later).is_ok()
    );
}

#[test]
fn a_controller_without_a_port_is_met_at_the_relay() {
    let now = Instant::now();
    let got = desk(now).decide(punch("10.77.0.3:0", NatKind::Asymmetric), &id(), NatKind::Asymmetric, now);
    assert!(matches!(got, Ok((_, Introduction::Relay(_)))));
}

#[test]
fn the_relay_named_is_never_empty_and_ours_goes_first() {
    let now = Instant::now();
    let request = |n: u16| Request::PunchHole {
        socket_addr: mangle(SocketAddr::from(([10, 77, 0, 3], n)), 1),
        relay_server: String::new(),
        nat: NatKind::Symmetric,
        is_relay_forced: false,
    };
    let mut desk = desk(now);
    let named = |desk: &mut Introductions, n| {
        let (_, got) = desk.decide(request(n), &id(), NatKind::Unknown, now).unwrap();
        let Introduction::Relay(got) = got else { panic!() };
        (relay_response(&got.answer).relay_server, got.relay.to_string())
    };
    assert_eq!(named(&mut desk, 1), ("10.77.0.1:21117".into(), "10.77.0.1:21117".into()));
    desk.settings.relay_server = Some("relay.example.org".into());
    assert_eq!(named(&mut desk, 2), ("relay.example.org".into(), "relay.example.org:21117".into()));
}
