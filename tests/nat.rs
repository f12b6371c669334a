//! What must result for every pair of NAT kinds, with the relay forced by one side or nobody: a direct connection
//! exactly where both ends can be punched and nobody forbids it.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

use std::net::SocketAddr;
use std::time::Instant;

use kvmdesk::crypto::seed::Seed;
use kvmdesk::rendezvous::client::{Client, ClientSettings, Event, Input, Output};
use kvmdesk::rendezvous::introduction::Introduction;
use kvmdesk::wire::addr::mangle;
use kvmdesk::wire::endpoint::Endpoint;
use kvmdesk::wire::id::DeviceUuid;
use kvmdesk::wire::message::hbb::rendezvous_message::Union;
use kvmdesk::wire::message::{decode_rendezvous, encode_rendezvous, hbb};

const SERVER: &str = "192.0.2.1:21116";
const UNKNOWN: i32 = 0;
const ASYMMETRIC: i32 = 1;
const SYMMETRIC: i32 = 2;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Punch,
    Lan,
    Relay,
}

/// Which side forces the relay.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Forced {
    Nobody,
    Server,
    Ourselves,
}

fn device(our_nat: i32, forced: Forced) -> (Client, Instant) {
    let now = Instant::now();
    let server = Endpoint::parse("192.0.2.1", 21116).unwrap();
    let mut settings =
        ClientSettings::new(server, "234567891".parse().unwrap(), DeviceUuid::Hex([1; 16]), [2; 32]);
    settings.introduction.is_relay_forced = forced == Forced::Ourselves;
    let mut client = Client::new(settings, now, Seed::from_bytes([3; 32]));
    client.handle_input(Input::ServerAt(SERVER.parse().unwrap()), now);
    drain(&mut client);
    // The kind is measured as in life: by the ports that the server saw.
    let seen = |port| encode_rendezvous(Union::TestNatResponse(hbb::TestNatResponse { port, cu: None }));
    match our_nat {
        ASYMMETRIC => client.handle_input(Input::NatAnswers { first: &seen(4000), second: &seen(4000) }, now),
        SYMMETRIC => client.handle_input(Input::NatAnswers { first: &seen(4000), second: &seen(4001) }, now),
        _ => client.handle_input(Input::NatFailed, now),
    }
    drain(&mut client);
    (client, now)
}

fn drain(client: &mut Client) -> Vec<Introduction> {
    let mut introductions = vec![];
    loop {
        match client.poll_output() {
            Output::Event(Event::Introduce { introduction, .. }) => introductions.push(*introduction),
            Output::Event(_) | Output::Transmit(_) => {}
            Output::Timeout { .. } => return introductions,
        }
    }
}

fn ask(client: &mut Client, now: Instant, union: Union) -> (Way, Introduction) {
    let bytes = encode_rendezvous(union);
    client.handle_input(Input::Datagram { from: SERVER.parse().unwrap(), bytes: &bytes }, now);
    let mut got = drain(client);
    assert_eq!(got.len(), 1, "one answer per request");
    let got = got.remove(0);
    let way = match &got {
        Introduction::PunchHole(_) => Way::Punch,
        Introduction::LocalAddr(_) => Way::Lan,
        Introduction::Relay(_) => Way::Relay,
    };
    (way, got)
}

#[test]
fn nat_by_nat_by_relay() {
    use Way::{Punch, Relay};
    let table = [
        // controller, ourselves, nobody forces, the server forces, we force
        (UNKNOWN, UNKNOWN, [Punch, Relay, Relay]),
        (UNKNOWN, ASYMMETRIC, [Punch, Relay, Relay]),
        (UNKNOWN, SYMMETRIC, [Relay, Relay, Relay]),
        (ASYMMETRIC, UNKNOWN, [Punch, Relay, Relay]),
        (ASYMMETRIC, ASYMMETRIC, [Punch, Relay, Relay]),
        (ASYMMETRIC, SYMMETRIC, [Relay, Relay, Relay]),
        (SYMMETRIC, UNKNOWN, [Relay, Relay, Relay]),
        (SYMMETRIC, ASYMMETRIC, [Relay, Relay, Relay]),
        (SYMMETRIC, SYMMETRIC, [Relay, Relay, Relay]),
    ];
    for (theirs, ours, want) in table {
        for (forced, want) in [Forced::Nobody, Forced::Server, Forced::Ourselves].into_iter().zip(want) {
            let (mut client, now) = device(ours, forced);
            let controller: SocketAddr = "198.51.100.9:5000".parse().unwrap();
            let request = Union::PunchHole(hbb::PunchHole {
                socket_addr: mangle(controller, 1),
                relay_server: "relay.example.org".into(),
                nat_type: theirs,
                force_relay: forced == Forced::Server,
                ..Default::default()
            });
            let (way, introduction) = ask(&mut client, now, request);
            assert_eq!(way, want, "controller {theirs}, ourselves {ours}, forced by {forced:?}");
            match introduction {
                Introduction::PunchHole(hole) => {
                    let union = decode_rendezvous(&hole.answer).unwrap().union;
                    let Some(Union::PunchHoleSent(m)) = union else { panic!("{union:?}") };
                    assert_eq!(m.nat_type, ours, "our own kind is reported, never a guess");
                    assert_eq!((m.relay_server.as_str(), hole.controller), ("relay.example.org", controller));
                }
                Introduction::Relay(relay) => {
                    let union = decode_rendezvous(&relay.answer).unwrap().union;
                    let Some(Union::RelayResponse(m)) = union else { panic!("{union:?}") };
                    assert_eq!((m.uuid, m.relay_server.as_str()), (relay.uuid, "relay.example.org"));
                    assert!(relay.is_secure);
                }
                Introduction::LocalAddr(_) => panic!("nobody asked for the LAN"),
            }
        }
    }
}

#[test]
fn the_lan_needs_no_punching_whatever_the_nat() {
    for ours in [UNKNOWN, ASYMMETRIC, SYMMETRIC] {
        for (forced, want) in [(Forced::Nobody, Way::Lan), (Forced::Ourselves, Way::Relay)] {
            let (mut client, now) = device(ours, forced);
            let request = Union::FetchLocalAddr(hbb::FetchLocalAddr {
                socket_addr: mangle("198.51.100.9:5000".parse().unwrap(), 1),
                ..Default::default()
            });
            assert_eq!(ask(&mut client, now, request).0, want);
        }
    }
}

#[test]
fn a_controller_that_comes_back_for_the_relay_gets_it_while_the_punch_may_still_run() {
    let (mut client, now) = device(ASYMMETRIC, Forced::Nobody);
    let socket_addr = mangle("198.51.100.9:5000".parse().unwrap(), 1);
    let punch = Union::PunchHole(hbb::PunchHole { socket_addr: socket_addr.clone(), ..Default::default() });
    assert_eq!(ask(&mut client, now, punch).0, Way::Punch);
    let relay = Union::RequestRelay(hbb::RequestRelay {
        socket_addr,
        uuid: "meeting".into(),
        relay_server: "relay.example.org".into(),
        secure: true,
        ..Default::default()
    });
    assert_eq!(ask(&mut client, now, relay).0, Way::Relay);
}
