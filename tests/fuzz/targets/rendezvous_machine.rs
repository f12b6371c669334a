//! The machine towards the ID server under any sequence of datagrams, NAT answers and time steps: no panic, no
//! flood of its own, no busy loop, and only what it was asked for.
#![no_main]

use std::time::{Duration, Instant};

use kvmdesk::crypto::seed::Seed;
use kvmdesk::rendezvous::client::{Client, ClientSettings, Event, Input, Output};
use kvmdesk::rendezvous::introduction::Introduction;
use kvmdesk::wire::endpoint::Endpoint;
use kvmdesk::wire::id::DeviceUuid;
use libfuzzer_sys::fuzz_target;

struct Run {
    client: Client,
    now: Instant,
    wake: Option<Instant>,
    sent: u32,
    tickets: Vec<u64>,
}

impl Run {
    fn input(&mut self, input: Input<'_>) {
        self.client.handle_input(input, self.now);
        let mut transmits = 0;
        loop {
            match self.client.poll_output() {
                Output::Transmit(bytes) => {
                    transmits += 1;
                    assert!(transmits <= 4, "one input made it send {transmits} datagrams");
                    assert!(bytes.len() < 512);
                    self.sent += 1;
                }
                Output::Event(Event::Introduce { ticket, introduction }) => {
                    assert!(!self.tickets.contains(&ticket), "a ticket was given twice");
                    self.tickets.push(ticket);
                    let answer = match *introduction {
                        Introduction::PunchHole(punch) => punch.answer,
                        Introduction::LocalAddr(local) => local.answer(([10, 0, 0, 2], 4000).into()),
                        Introduction::Relay(relay) => {
                            assert!(!relay.uuid.is_empty() && !relay.request.is_empty());
                            relay.answer
                        }
                    };
                    assert!(!answer.is_empty());
                }
                Output::Event(_) => {}
                Output::Timeout { at, why } => {
                    assert!(!why.is_empty());
                    self.wake = at;
                    return;
                }
            }
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let Some((&len, rest)) = bytes.split_first() else { return &[] };
    let (piece, rest) = rest.split_at(usize::from(len).min(most).min(rest.len()));
    *bytes = rest;
    piece
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes;
    let server = ([192, 0, 2, 1], 21116).into();
    let endpoint = Endpoint::parse("rd.example.org", 21116).expect("a name");
    let id = "234567891".parse().expect("an ID");
    let settings = ClientSettings::new(endpoint, id, DeviceUuid::Hex([1; 16]), [2; 32]);
    let now = Instant::now();
    let client = Client::new(settings, now, Seed::from_bytes([3; 32]));
    let mut run = Run { client, now, wake: None, sent: 0, tickets: vec![] };
    run.input(Input::ServerAt(server));
    let mut busy = 0;
    while let Some((&op, rest)) = bytes.split_first() {
        bytes = rest;
        let before = run.now;
        match op % 10 {
            0 | 1 => {
                let datagram = take(&mut bytes, 255);
                run.input(Input::Datagram { from: server, bytes: datagram });
            }
            2 => {
                // A field of the union around raw bytes, so that the inside is what changes.
                let Some((&field, rest)) = bytes.split_first() else { break };
                bytes = rest;
                let inside = take(&mut bytes, 120);
                let mut datagram = vec![];
                prost::encoding::encode_key(
                    u32::from(field % 23) + 6,
                    prost::encoding::WireType::LengthDelimited,
                    &mut datagram,
                );
                datagram.push(inside.len() as u8);
                datagram.extend_from_slice(inside);
                run.input(Input::Datagram { from: server, bytes: &datagram });
            }
            3 => run.input(Input::Datagram { from: server, bytes: &[0x82, 1, 0] }),
            4 => {
                if let Some(at) = run.wake {
                    run.now = at.max(run.now);
                }
                run.input(Input::Tick);
            }
            5 => {
                let step = take(&mut bytes, 2).iter().fold(0, |n, b| n * 256 + u64::from(*b));
                run.now += Duration::from_millis(step);
                run.input(Input::Tick);
            }
            6 => {
                let (first, second) = (take(&mut bytes, 20), take(&mut bytes, 20));
                run.input(Input::NatAnswers { first, second });
            }
            7 => {
                if let Some(ticket) = run.tickets.pop() {
                    run.input(Input::IntroductionEnded(ticket));
                }
            }
            8 => run.input(Input::ResolveFailed),
            _ => run.input(Input::ServerAt(server)),
        }
        // A deadline that a tick does not move on is a busy loop.
        busy = if op % 10 == 4 && run.now == before { busy + 1 } else { 0 };
        assert!(busy < 20 || run.wake.is_none_or(|at| at > run.now), "ticks do not move the deadline");
        let seconds = (run.now - now).as_secs() as u32;
        let heard = 256 * 8;
        assert!(run.sent <= heard + seconds, "it sends {} datagrams in {seconds} s", run.sent);
    }
});
