//! The composed machine: whose datagrams count, what garbage does, how a name is resolved.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

use super::*;
use crate::wire::addr::mangle;
use crate::wire::message::encode_rendezvous;
use proptest::prelude::*;

const SERVER: &str = "192.0.2.1:21116";

fn client(now: Instant) -> Client {
    let server = Endpoint::parse("rd.example.org", RENDEZVOUS_PORT).unwrap();
    let settings =
        ClientSettings::new(server, "234567891".parse().unwrap(), DeviceUuid::Hex([1; 16]), [2; 32]);
    Client::new(settings, now, Seed::from_bytes([3; 32]))
}

fn drain(client: &mut Client) -> Vec<Output> {
    let mut all = vec![];
    loop {
        match client.poll_output() {
            Output::Timeout { .. } => return all,
            other => all.push(other),
        }
    }
}

fn punch_hole() -> Vec<u8> {
    encode_rendezvous(Union::PunchHole(hbb::PunchHole {
        socket_addr: mangle("198.51.100.9:5000".parse().unwrap(), 3),
        nat_type: 1,
        // All of these can come from a controller and are not read.
        udp_port: 4000,
        socket_addr_v6: vec![9; 18],
        control_permissions: Some(hbb::ControlPermissions { permissions: u64::MAX }),
        ..Default::default()
    }))
}

#[test]
fn the_first_walk() {
    let now = Instant::now();
    let mut c = client(now);
    assert_eq!(drain(&mut c), [Output::Event(Event::Resolve)]);
    c.handle_input(Input::ServerAt(SERVER.parse().unwrap()), now);
    let out = drain(&mut c);
    assert!(matches!(&out[0], Output::Transmit(b) if b[0] == 0x7a), "RegisterPk first: {out:?}");
    assert!(matches!(&out[1], Output::Event(Event::MeasureNat(_))));
    let from = SERVER.parse().unwrap();
    c.handle_input(Input::Datagram { from, bytes: &[0x82, 1, 0] }, now);
    assert_eq!(
        drain(&mut c),
        [
            Output::Event(Event::Registration(registrar::Event::KeyConfirmed)),
            Output::Transmit(b"\x32\x0d\x0a\x09234567891\x10\x03".to_vec())
        ]
    );
}

#[test]
fn only_the_server_is_heard() {
    let now = Instant::now();
    let mut c = client(now);
    c.handle_input(Input::ServerAt(SERVER.parse().unwrap()), now);
    drain(&mut c);
    for from in ["192.0.2.1:21115", "192.0.2.2:21116", "[::1]:21116"] {
        c.handle_input(Input::Datagram { from: from.parse().unwrap(), bytes: &punch_hole() }, now);
        c.handle_input(Input::Datagram { from: from.parse().unwrap(), bytes: &[0x82, 1, 0] }, now);
    }
    assert_eq!(drain(&mut c), []);
    // The same server seen through a dual-stack socket is the same server.
    let from = "[::ffff:192.0.2.1]:21116".parse().unwrap();
    c.handle_input(Input::Datagram { from, bytes: &punch_hole() }, now);
    let out = drain(&mut c);
    assert!(
        matches!(
            &out[..],
            [Output::Event(Event::Introduce { introduction, .. })]
                if matches!(**introduction, Introduction::PunchHole(_))
        ),
        "{out:?}"
    );
}

#[test]
fn requests_do_not_touch_the_timers() {
    let now = Instant::now();
    let mut c = client(now);
    let from = SERVER.parse().unwrap();
    c.handle_input(Input::ServerAt(from), now);
    drain(&mut c);
    let Output::Timeout { at: before, .. } = c.poll_output() else { panic!() };
    c.handle_input(Input::Datagram { from, bytes: &punch_hole() }, now + Duration::from_secs(1));
    drain(&mut c);
    let Output::Timeout { at, why } = c.poll_output() else { panic!() };
    assert_eq!((at, why), (before, "registration is unanswered"));
    assert_eq!(at, Some(now + Duration::from_secs(3)));
}

#[test]
fn a_name_that_does_not_resolve_is_tried_again_more_and_more_slowly() {
    let mut now = Instant::now();
    let mut c = client(now);
    drain(&mut c);
    let mut waits = vec![];
    for _ in 0..7 {
        c.handle_input(Input::ResolveFailed, now);
        let Output::Timeout { at: Some(at), .. } = c.poll_output() else { panic!() };
        waits.push((at - now).as_secs());
        now = at;
        c.handle_input(Input::Tick, now);
        assert_eq!(drain(&mut c), [Output::Event(Event::Resolve)]);
    }
    assert_eq!(waits, [3, 6, 12, 24, 30, 30, 30]);
}

#[test]
fn a_moved_server_is_measured_anew() {
    let now = Instant::now();
    let mut c = client(now);
    c.handle_input(Input::ServerAt(SERVER.parse().unwrap()), now);
    drain(&mut c);
    let answer = [0xaa, 0x01, 0x04, 0x08, 0xf3, 0xad, 0x02];
    c.handle_input(Input::NatAnswers { first: &answer, second: &answer }, now);
    assert_eq!(drain(&mut c), [Output::Event(Event::NatKnown(NatKind::Asymmetric))]);
    c.handle_input(Input::ServerAt("192.0.2.99:21116".parse().unwrap()), now);
    assert!(drain(&mut c).iter().any(|o| matches!(o, Output::Event(Event::MeasureNat(_)))));
}

proptest! {
    #[test]
    fn t32_garbage_never_panics_and_always_comes_to_rest(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..40),
        cut in 0usize..60,
    ) {
        let now = Instant::now();
        let mut c = client(now);
        let from = SERVER.parse().unwrap();
        c.handle_input(Input::ServerAt(from), now);
        drain(&mut c);
        let whole = punch_hole();
        for (n, bytes) in datagrams.iter().enumerate() {
            let at = now + Duration::from_millis(n as u64);
            c.handle_input(Input::Datagram { from, bytes }, at);
            c.handle_input(Input::Datagram { from, bytes: &whole[..cut.min(whole.len())] }, at);
        }
        prop_assert!(drain(&mut c).len() < 200);
    }
}
