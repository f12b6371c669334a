//! The part between the ID server and us: each recorded request of the server leads to the answers that the official
//! side gave, byte for byte but for the names of meetings and the time mixed into addresses.

use std::time::{Duration, Instant};

use hbb::rendezvous_message::Union;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::rendezvous::client::{Client, ClientSettings, Event, Input, Output, RENDEZVOUS_PORT};
use kvmdesk::rendezvous::introduction::Introduction;
use kvmdesk::wire::addr::{mangle, unmangle};
use kvmdesk::wire::endpoint::Endpoint;
use kvmdesk::wire::id::DeviceUuid;
use kvmdesk::wire::message::{decode_rendezvous, encode_rendezvous, hbb};

use crate::support::transcript::{Body, Channel, Transcript, from_hex};

fn poll(client: &mut Client, introductions: &mut Vec<Introduction>) {
    loop {
        match client.poll_output() {
            Output::Event(Event::Introduce { introduction, .. }) => introductions.push(*introduction),
            Output::Event(Event::Dropped(why)) => panic!("a recorded request was dropped: {why:?}"),
            Output::Event(_) | Output::Transmit(_) => {}
            Output::Timeout { .. } => return,
        }
    }
}

/// What our side sends for the recorded requests: to hbbs, to hbbr.
fn answers(transcript: &Transcript) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let server = "10.77.0.1:21116".parse().unwrap();
    let endpoint = Endpoint::parse("10.77.0.1", RENDEZVOUS_PORT).unwrap();
    let id = transcript.value("id").unwrap().parse().unwrap();
    let mut settings = ClientSettings::new(endpoint, id, DeviceUuid::Hex([1; 16]), [2; 32]);
    settings.introduction.licence_key = transcript.value("licence-key").unwrap_or_default().into();
    let begin = Instant::now();
    let mut client = Client::new(settings, begin, Seed::from_bytes([3; 32]));
    let mut got = vec![];
    client.handle_input(Input::ServerAt(server), begin);
    poll(&mut client, &mut got);
    // The registration that was recorded before, and its NAT test: port 38643 from both ports.
    client.handle_input(Input::Datagram { from: server, bytes: b"\x82\x01\x00" }, begin);
    let port = b"\xaa\x01\x04\x08\xf3\xad\x02";
    client.handle_input(Input::NatAnswers { first: port, second: port }, begin);
    poll(&mut client, &mut got);
    assert!(got.is_empty());
    for entry in transcript.entries.iter().filter(|e| e.channel == Channel::Udp && e.is_received) {
        let Body::Message(bytes) = &entry.body else { continue };
        let now = begin + Duration::from_secs(10) + Duration::from_secs_f64(entry.at);
        client.handle_input(Input::Datagram { from: server, bytes }, now);
        poll(&mut client, &mut got);
    }
    let (mut to_server, mut to_relay) = (vec![], vec![]);
    for introduction in got {
        match introduction {
            Introduction::PunchHole(punch) => to_server.push(punch.answer),
            Introduction::LocalAddr(local) => {
                to_server.push(local.answer(transcript.value("local").unwrap().parse().unwrap()));
            }
            Introduction::Relay(relay) => {
                assert!(relay.is_secure);
                assert_eq!((relay.relay.host(), relay.relay.port()), ("10.77.0.1", 21117));
                to_server.push(relay.answer);
                to_relay.push(relay.request);
            }
        }
    }
    (to_server, to_relay)
}

/// A message with the addresses mangled at one time and the meeting's name checked and taken out.
fn even(bytes: &[u8], uuids: &mut Vec<String>) -> Vec<u8> {
    let again = |bytes: &[u8]| mangle(unmangle(bytes), 0);
    let mut union = decode_rendezvous(bytes).unwrap().union.unwrap();
    let mut name = |uuid: &mut String| {
        if !uuid.is_empty() {
            assert_eq!(uuid.len(), 36);
            uuids.push(std::mem::replace(uuid, "named".into()));
        }
    };
    match &mut union {
        Union::PunchHoleSent(m) => m.socket_addr = again(&m.socket_addr),
        Union::LocalAddr(m) => {
            m.socket_addr = again(&m.socket_addr);
            m.local_addr = again(&m.local_addr);
        }
        Union::RelayResponse(m) => {
            m.socket_addr = again(&m.socket_addr);
            name(&mut m.uuid);
        }
        Union::RequestRelay(m) => name(&mut m.uuid),
        other => panic!("not expected in a recording: {other:?}"),
    }
    encode_rendezvous(union)
}

fn replay(name: &str) -> (usize, usize) {
    let transcript = Transcript::load(name);
    let (to_server, to_relay) = answers(&transcript);
    let sent = |channel| -> Vec<Vec<u8>> {
        let sent = transcript.entries.iter().filter(|e| e.channel == channel && !e.is_received);
        sent.map(|e| match &e.body {
            Body::Message(bytes) => bytes.clone(),
            Body::Video { .. } => panic!("video on a server's channel"),
        })
        .collect()
    };
    let (mut theirs, mut ours) = (vec![], vec![]);
    for (channel, mine) in [(Channel::Hbbs, &to_server), (Channel::Hbbr, &to_relay)] {
        let want: Vec<_> = sent(channel).iter().map(|m| even(m, &mut theirs)).collect();
        let got: Vec<_> = mine.iter().map(|m| even(m, &mut ours)).collect();
        assert_eq!(got, want, "{name}, {channel:?}");
    }
    // A meeting has one name at both servers, on both sides.
    let is_one = |names: &[String]| names.windows(2).all(|w| w[0] == w[1]);
    assert!(is_one(&theirs) && is_one(&ours), "{ours:?}");
    assert_eq!(theirs.len(), ours.len());
    (to_server.len(), to_relay.len())
}

#[test]
fn a_punch_hole() {
    assert_eq!(replay("punch-and-session"), (1, 0));
    assert_eq!(replay("wrong-password"), (1, 0));
}

#[test]
fn relays_that_the_device_opens() {
    assert_eq!(replay("forced-relay"), (1, 1));
    assert_eq!(replay("symmetric-nat-relay"), (1, 1));
}

#[test]
fn the_same_address_and_then_the_controllers_relay() {
    assert_eq!(replay("same-ip-local-addr"), (2, 1));
}

/// The registration: the same datagrams in the same order, RegisterPeer once earlier.
#[test]
fn the_registration() {
    let transcript = Transcript::load("registration");
    let bytes = |name: &str| from_hex(transcript.value(name).unwrap());
    let server = "10.77.0.1:21116".parse().unwrap();
    let endpoint = Endpoint::parse("10.77.0.1", RENDEZVOUS_PORT).unwrap();
    let id = transcript.value("id").unwrap().parse().unwrap();
    let uuid = DeviceUuid::Hex(bytes("uuid").try_into().unwrap());
    let settings = ClientSettings::new(endpoint, id, uuid, bytes("key").try_into().unwrap());
    let mut now = Instant::now();
    let mut client = Client::new(settings, now, Seed::from_bytes([3; 32]));
    let (mut sent, mut measured, mut wake) = (vec![], vec![], None);
    let mut poll = |client: &mut Client, sent: &mut Vec<Vec<u8>>, wake: &mut Option<Instant>| loop {
        match client.poll_output() {
            Output::Transmit(bytes) => sent.push(bytes),
            Output::Event(Event::MeasureNat(request)) => measured.push(request),
            Output::Event(_) => {}
            Output::Timeout { at, .. } => {
                *wake = at;
                return;
            }
        }
    };
    client.handle_input(Input::ServerAt(server), now);
    poll(&mut client, &mut sent, &mut wake);
    let (mut official, mut tests) = (vec![], vec![]);
    for entry in &transcript.entries {
        let Body::Message(bytes) = &entry.body else { continue };
        match (entry.channel, entry.is_received) {
            (Channel::Udp, true) => {
                client.handle_input(Input::Datagram { from: server, bytes }, now);
                poll(&mut client, &mut sent, &mut wake);
            }
            (Channel::Udp, false) => {
                official.push(bytes.clone());
                // Time goes on to our own next datagram.
                while sent.len() < official.len() {
                    now = wake.unwrap().max(now);
                    client.handle_input(Input::Tick, now);
                    poll(&mut client, &mut sent, &mut wake);
                }
            }
            (_, false) => tests.push(bytes.clone()),
            (_, true) => {}
        }
    }
    assert_eq!(sent[..official.len()], official);
    assert_eq!(measured, [tests[0].clone()], "one request, sent to both ports");
    assert_eq!(tests[0], tests[1]);
}
