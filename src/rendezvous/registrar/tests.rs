//! T4 to T7, T9 and T33 of the protocol reference, in simulated time.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

use super::*;
use crate::wire::message::decode_rendezvous;

const OK: i32 = PkResult::Ok as i32;
const MISMATCH: i32 = PkResult::UuidMismatch as i32;

/// What the machine did, with the second it did it in.
#[derive(Debug, Clone, PartialEq)]
enum Did {
    Peer(String),
    Key(String),
    Said(Event),
}

/// A registrar and its clock. `run` lets time pass; the server's answers come from a closure.
struct World {
    start: Instant,
    now: Instant,
    registrar: Registrar,
    log: Vec<(f64, Did)>,
}

impl World {
    fn new(is_confirmed_before: bool) -> Self {
        let start = Instant::now();
        let settings = RegistrarSettings {
            id: "234567891".parse().unwrap(),
            uuid: DeviceUuid::Hex(*b"=\x12\x19\xc7\xc4\xc5\x40\x4a\xaa\x1f\x6d\x2a\x48\xad\xfd\xa4"),
            public_key: [7; 32],
            is_confirmed_before,
        };
        Self { start, now: start, registrar: Registrar::new(settings, start), log: vec![] }
    }

    fn give(&mut self, input: Input) {
        self.registrar.handle_input(input, self.now);
    }

    /// Lets `seconds` pass; every datagram is answered by `server` at once (`None`: lost).
    fn run(&mut self, seconds: f64, mut server: impl FnMut(&Did) -> Option<Input>) {
        let end = self.now + Duration::from_secs_f64(seconds);
        for _ in 0..100_000 {
            let did = match self.registrar.poll_output() {
                Output::Timeout { at, .. } => match at.filter(|at| *at <= end) {
                    Some(at) => {
                        assert!(at >= self.now, "deadlines never lie in the past");
                        self.now = at;
                        self.give(Input::Tick);
                        continue;
                    }
                    None => {
                        self.now = end;
                        return;
                    }
                },
                Output::Event(event) => Did::Said(event),
                Output::Transmit(bytes) => match decode_rendezvous(&bytes).unwrap().union.unwrap() {
                    Union::RegisterPeer(m) => {
                        assert_eq!(m.serial, 3);
                        Did::Peer(m.id)
                    }
                    Union::RegisterPk(m) => {
                        assert_eq!((m.uuid.len(), m.pk.len()), (32, 32));
                        Did::Key(m.id)
                    }
                    other => panic!("unexpected {other:?}"),
                },
            };
            self.log.push(((self.now - self.start).as_secs_f64(), did.clone()));
            if let Some(input) = server(&did) {
                self.give(input);
            }
        }
        panic!("the machine never rests");
    }

    fn times(&self, wanted: impl Fn(&Did) -> bool) -> Vec<f64> {
        self.log.iter().filter(|(_, d)| wanted(d)).map(|(t, _)| *t).collect()
    }

    fn assert_key_budget(&self) {
        let keys = self.times(|d| matches!(d, Did::Key(_)));
        for (n, t) in keys.iter().enumerate() {
            let within = keys[n..].iter().filter(|u| **u < t + 60.0).count();
            assert!(within <= KEY_BUDGET, "{within} RegisterPk within a minute");
        }
    }
}

fn friendly(did: &Did) -> Option<Input> {
    match did {
        Did::Peer(_) => Some(Input::PeerAnswer { wants_key: false }),
        Did::Key(_) => Some(Input::KeyAnswer(OK)),
        Did::Said(_) => None,
    }
}

#[test]
fn the_recorded_bytes() {
    let mut registrar = World::new(false).registrar;
    registrar.settings.public_key.copy_from_slice(&[
        0x64, 0xb7, 0x74, 0x51, 0x43, 0xbb, 0xda, 0x73, 0x6a, 0x77, 0x29, 0x62, 0x1f, 0x45, 0x10, 0x6b, 0xa5,
        0x54, 0xea, 0xba, 0x07, 0x26, 0x55, 0x26, 0xb2, 0xe9, 0xde, 0xf6, 0xb1, 0x91, 0x73, 0x38,
    ]);
    registrar.handle_input(Input::ServerReady, registrar.now);
    let Output::Transmit(bytes) = registrar.poll_output() else { panic!() };
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(
        hex,
        "7a4f0a09323334353637383931122033643132313963376334633534303461616131663664326134386164666461341a2064b7745143bbda736a7729621f45106ba554eaba07265526b2e9def6b1917338"
    );
    registrar.handle_input(Input::KeyAnswer(OK), registrar.now);
    assert_eq!(registrar.poll_output(), Output::Event(Event::KeyConfirmed));
    let Output::Transmit(bytes) = registrar.poll_output() else { panic!("RegisterPeer follows at once") };
    assert_eq!(bytes, b"\x32\x0d\x0a\x09234567891\x10\x03");
}

#[test]
fn t4_steady_state_is_one_register_peer_every_15_s() {
    let mut w = World::new(true);
    w.give(Input::ServerReady);
    w.run(61.0, friendly);
    assert_eq!(w.times(|d| matches!(d, Did::Peer(_))), [0.0, 15.0, 30.0, 45.0, 60.0]);
    assert!(w.times(|d| matches!(d, Did::Key(_))).is_empty());
}

#[test]
fn t5_a_restarted_server_has_us_back_at_the_first_answer() {
    let mut w = World::new(true);
    w.give(Input::ServerReady);
    w.run(1.0, friendly);
    w.run(60.0, |_| None);
    let tries = w.times(|d| matches!(d, Did::Peer(_)));
    assert_eq!(&tries[..4], [0.0, 15.0, 18.0, 21.0], "a lost registration is repeated every 3 s");
    let from = w.log.len();
    // The restarted server knows nobody: it wants the key once, then all is well.
    let mut wants_key = true;
    w.run(4.0, |d| match d {
        Did::Peer(_) => Some(Input::PeerAnswer { wants_key: std::mem::take(&mut wants_key) }),
        Did::Key(_) => Some(Input::KeyAnswer(OK)),
        Did::Said(_) => None,
    });
    let after: Vec<_> = w.log[from..].iter().map(|(_, d)| d.clone()).collect();
    let id = || "234567891".to_owned();
    assert_eq!(
        after[after.len() - 5..],
        [
            Did::Peer(id()),
            Did::Key(id()),
            Did::Said(Event::KeyConfirmed),
            Did::Peer(id()),
            Did::Said(Event::Online)
        ]
    );
    assert!(w.log.last().unwrap().0 <= 65.0);
}

#[test]
fn t6_after_a_minute_of_silence_the_name_is_resolved_anew_and_not_more_often() {
    let mut w = World::new(true);
    w.give(Input::ServerReady);
    w.run(1.0, friendly);
    w.run(200.0, |_| None);
    let resolved = w.times(|d| *d == Did::Said(Event::ResolveAgain));
    assert!((59.0..80.0).contains(&resolved[0]), "{resolved:?}");
    assert!(resolved.windows(2).all(|p| p[1] - p[0] >= 60.0), "{resolved:?}");
    assert!(w.times(|d| *d == Did::Said(Event::Shaky)).first() < resolved.first());
    w.give(Input::ServerReady);
    w.run(1.0, friendly);
    assert_eq!(w.log.last().unwrap().1, Did::Said(Event::Online));
}

#[test]
fn t7_too_frequent_backs_off() {
    let mut w = World::new(false);
    w.give(Input::ServerReady);
    w.run(400.0, |d| matches!(d, Did::Key(_)).then_some(Input::KeyAnswer(PkResult::TooFrequent as i32)));
    assert_eq!(w.times(|d| matches!(d, Did::Key(_))), [0.0, 15.0, 45.0, 105.0, 225.0]);
    assert!(w.times(|d| matches!(d, Did::Peer(_))).is_empty(), "nobody's registration is touched meanwhile");
}

#[test]
fn t8_t9_a_foreign_id_that_was_never_ours_is_replaced() {
    let mut w = World::new(false);
    w.give(Input::ServerReady);
    w.run(1.0, |d| matches!(d, Did::Key(_)).then_some(Input::KeyAnswer(MISMATCH)));
    assert_eq!(w.log.last().unwrap().1, Did::Said(Event::NewIdWanted));
    w.run(120.0, |_| None);
    assert_eq!(w.times(|d| *d == Did::Said(Event::NewIdWanted)).len(), 3, "asked again each minute");
    assert_eq!(w.times(|d| matches!(d, Did::Key(_))).len(), 1, "and nothing is sent until there is one");
    w.give(Input::SetId("345678912".parse().unwrap()));
    w.run(1.0, friendly);
    let tail: Vec<_> = w.log.iter().rev().take(4).rev().map(|(_, d)| d.clone()).collect();
    let id = || "345678912".to_owned();
    assert_eq!(
        tail,
        [Did::Key(id()), Did::Said(Event::KeyConfirmed), Did::Peer(id()), Did::Said(Event::Online)]
    );
}

#[test]
fn a_server_that_refuses_every_id_gets_them_slowly() {
    let mut w = World::new(false);
    w.give(Input::ServerReady);
    w.run(600.0, |d| match d {
        Did::Key(_) => Some(Input::KeyAnswer(MISMATCH)),
        Did::Said(Event::NewIdWanted) => Some(Input::SetId("345678912".parse().unwrap())),
        Did::Peer(_) | Did::Said(_) => None,
    });
    let keys = w.times(|d| matches!(d, Did::Key(_))).len();
    assert!((4..12).contains(&keys), "{keys}");
    w.assert_key_budget();
}

#[test]
fn t8_an_id_that_was_ours_is_kept_and_the_conflict_reported() {
    let mut w = World::new(true);
    w.give(Input::ServerReady);
    w.run(300.0, |d| match d {
        Did::Peer(_) => Some(Input::PeerAnswer { wants_key: true }),
        Did::Key(_) => Some(Input::KeyAnswer(MISMATCH)),
        Did::Said(_) => None,
    });
    let conflicts = w.times(|d| *d == Did::Said(Event::Refused(Refusal::Conflict)));
    assert!((4..7).contains(&conflicts.len()), "{conflicts:?}");
    assert!(w.times(|d| *d == Did::Said(Event::NewIdWanted)).is_empty());
    assert_eq!(w.registrar.id().as_str(), "234567891");
}

#[test]
fn t33_every_refusal_is_reported_and_retried_with_measure() {
    for result in [3, 4, 5, 6, 7, 8, 99, -1] {
        let mut w = World::new(false);
        w.give(Input::ServerReady);
        w.run(3600.0, |d| matches!(d, Did::Key(_)).then_some(Input::KeyAnswer(result)));
        let keys = w.times(|d| matches!(d, Did::Key(_)));
        assert!((10..25).contains(&keys.len()), "result {result}: {keys:?}");
        assert_eq!(w.times(|d| matches!(d, Did::Said(Event::Refused(_)))).len(), keys.len());
        w.assert_key_budget();
        // And it heals by itself.
        w.run(301.0, friendly);
        assert_eq!(w.log.last().unwrap().1, Did::Said(Event::Online), "result {result}");
    }
}

#[test]
fn a_lost_register_pk_is_repeated_after_3_s() {
    let mut w = World::new(false);
    w.give(Input::ServerReady);
    let mut lost = 1;
    w.run(10.0, |d| match d {
        Did::Key(_) if lost > 0 => {
            lost -= 1;
            None
        }
        other => friendly(other),
    });
    assert_eq!(w.times(|d| matches!(d, Did::Key(_))), [0.0, 3.0]);
    assert_eq!(w.log.last().unwrap(), &(3.0, Did::Said(Event::Online)));
}

#[test]
fn a_silent_server_costs_no_key_budget_and_hears_from_us_every_3_s() {
    let mut w = World::new(false);
    w.give(Input::ServerReady);
    w.run(120.0, |_| None);
    assert_eq!(w.times(|d| matches!(d, Did::Key(_))).len(), 2);
    assert_eq!(w.times(|d| matches!(d, Did::Peer(_) | Did::Key(_))).len(), 41);
    w.run(3.0, friendly);
    assert_eq!(w.log.last().unwrap().1, Did::Said(Event::Online));
}

#[test]
fn a_server_that_always_wants_the_key_stays_within_the_budget() {
    let mut w = World::new(true);
    w.give(Input::ServerReady);
    w.run(600.0, |d| match d {
        Did::Peer(_) => Some(Input::PeerAnswer { wants_key: true }),
        other => friendly(other),
    });
    w.assert_key_budget();
    assert!(w.times(|d| matches!(d, Did::Key(_))).len() > 50, "it keeps trying");
}

#[test]
fn a_key_in_doubt_goes_out_with_the_next_registration_only() {
    let mut w = World::new(true);
    w.give(Input::ServerReady);
    w.run(1.0, friendly);
    for _ in 0..100 {
        w.give(Input::KeyNotConfirmed);
        w.run(0.1, friendly);
    }
    assert!(w.times(|d| matches!(d, Did::Key(_))).is_empty());
    w.run(6.0, friendly);
    assert_eq!(w.times(|d| matches!(d, Did::Key(_))), [15.0]);
    assert_eq!(w.times(|d| matches!(d, Did::Peer(_))), [0.0, 15.0]);
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut w = World::new(true);
    w.give(Input::KeyAnswer(OK));
    w.give(Input::ServerReady);
    w.run(1.0, friendly);
    let before = w.log.len();
    for result in [0, 2, 3, 8] {
        w.give(Input::KeyAnswer(result));
        w.give(Input::PeerAnswer { wants_key: true });
    }
    w.run(13.0, friendly);
    assert_eq!(w.log.len(), before);
    w.run(1.5, friendly);
    assert_eq!(w.times(|d| matches!(d, Did::Peer(_))), [0.0, 15.0], "and do not move the timers");
}
