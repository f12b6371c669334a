//! The NAT test (reference: network 4): the same local port towards two ports of the server; equal outside ports
//! mean that holes can be punched. Until it is known, "unknown" is reported rather than guessed.

use std::time::{Duration, Instant};

use crate::wire::message::{decode_rendezvous, encode_rendezvous, hbb};

/// Waits between tries, in seconds; the last one repeats (reference: network 4.1).
const RETRY_SECONDS: [u64; 9] = [1, 3, 7, 15, 31, 63, 127, 255, 300];

/// What stands between a side and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum NatKind {
    /// Not measured.
    #[default]
    Unknown,
    /// The outside port does not depend on the destination: holes can be punched.
    Asymmetric,
    /// It does: only the relay works.
    Symmetric,
}

impl NatKind {
    /// The protocol's value; anything unheard of counts as unknown.
    pub(super) fn from_wire(value: i32) -> Self {
        match hbb::NatType::try_from(value) {
            Ok(hbb::NatType::Asymmetric) => Self::Asymmetric,
            Ok(hbb::NatType::Symmetric) => Self::Symmetric,
            Ok(hbb::NatType::UnknownNat) | Err(_) => Self::Unknown,
        }
    }

    pub(super) fn to_wire(self) -> i32 {
        match self {
            Self::Unknown => hbb::NatType::UnknownNat as i32,
            Self::Asymmetric => hbb::NatType::Asymmetric as i32,
            Self::Symmetric => hbb::NatType::Symmetric as i32,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The two payloads that came back, from the server's port and from the one below.
    Answers {
        /// From the rendezvous port.
        first: &'a [u8],
        /// From the port below.
        second: &'a [u8],
    },
    /// A connection failed or stayed silent.
    Failed,
    /// The server or our network is another one: measure anew.
    NetworkChanged,
    /// A deadline passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this request over two connections of one local port and hand in the answers.
    Measure(Vec<u8>),
    /// The result.
    Known(NatKind),
    /// Nothing until then (`None`: nothing at all).
    Timeout {
        /// When to tick.
        at: Option<Instant>,
        /// Why.
        why: &'static str,
    },
}

#[derive(Debug)]
enum State {
    Due(Instant),
    Measuring,
    Announce(NatKind),
    Done,
}

/// The machine of one NAT test.
#[derive(Debug)]
pub struct NatTest {
    state: State,
    tries: usize,
    now: Instant,
    serial: i32,
}

impl NatTest {
    /// A test that starts at once; `serial` goes into the request.
    pub fn new(serial: i32, now: Instant) -> Self {
        Self { state: State::Due(now), tries: 0, now, serial }
    }

    /// Takes one input.
    pub fn handle_input(&mut self, input: Input<'_>, now: Instant) {
        self.now = now;
        match (input, &self.state) {
            (Input::NetworkChanged, _) => {
                self.tries = 0;
                self.state = State::Due(now);
            }
            (Input::Answers { first, second }, State::Measuring) => {
                match (outside_port(first), outside_port(second)) {
                    (Some(a), Some(b)) => {
                        let kind = if a == b { NatKind::Asymmetric } else { NatKind::Symmetric };
                        self.state = State::Announce(kind);
                    }
                    _ => self.retry(),
                }
            }
            (Input::Failed, State::Measuring) => self.retry(),
            (Input::Answers { .. } | Input::Failed | Input::Tick, _) => {}
        }
    }

    fn retry(&mut self) {
        let wait = RETRY_SECONDS[self.tries.min(RETRY_SECONDS.len() - 1)];
        self.tries += 1;
        self.state = State::Due(self.now + Duration::from_secs(wait));
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        match self.state {
            State::Due(at) if at <= self.now => {
                self.state = State::Measuring;
                let request = hbb::TestNatRequest { serial: self.serial };
                Output::Measure(encode_rendezvous(hbb::rendezvous_message::Union::TestNatRequest(request)))
            }
            State::Due(at) => Output::Timeout { at: Some(at), why: "next NAT test" },
            State::Announce(kind) => {
                self.state = State::Done;
                Output::Known(kind)
            }
            State::Measuring => Output::Timeout { at: None, why: "NAT test is running" },
            State::Done => Output::Timeout { at: None, why: "NAT kind is known" },
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "one arm of a big union matters here")]
fn outside_port(payload: &[u8]) -> Option<i32> {
    match decode_rendezvous(payload).ok()?.union? {
        hbb::rendezvous_message::Union::TestNatResponse(r) if r.port > 0 => Some(r.port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

    use super::*;

    fn answer(port: i32) -> Vec<u8> {
        encode_rendezvous(hbb::rendezvous_message::Union::TestNatResponse(hbb::TestNatResponse {
            port,
            cu: None,
        }))
    }

    #[test]
    fn bytes_of_the_recorded_test() {
        let now = Instant::now();
        let mut test = NatTest::new(3, now);
        assert_eq!(test.poll_output(), Output::Measure(vec![0xa2, 0x01, 0x02, 0x08, 0x03]));
        let recorded = [0xaa, 0x01, 0x04, 0x08, 0xf3, 0xad, 0x02];
        test.handle_input(Input::Answers { first: &recorded, second: &recorded }, now);
        assert_eq!(test.poll_output(), Output::Known(NatKind::Asymmetric));
        assert!(matches!(test.poll_output(), Output::Timeout { at: None, .. }));
    }

    #[test]
    fn different_ports_are_symmetric_and_a_port_of_nothing_proves_nothing() {
        let now = Instant::now();
        let mut test = NatTest::new(3, now);
        test.poll_output();
        test.handle_input(Input::Answers { first: &answer(0), second: &answer(5) }, now);
        assert!(matches!(test.poll_output(), Output::Timeout { at: Some(_), .. }));
        test.handle_input(Input::Tick, now + Duration::from_secs(1));
        assert!(matches!(test.poll_output(), Output::Measure(_)));
        test.handle_input(Input::Answers { first: &answer(4), second: &answer(5) }, now);
        assert_eq!(test.poll_output(), Output::Known(NatKind::Symmetric));
    }

    #[test]
    fn failures_follow_the_schedule_and_never_stop() {
        let mut now = Instant::now();
        let mut test = NatTest::new(3, now);
        let mut waits = vec![];
        for _ in 0..11 {
            assert!(matches!(test.poll_output(), Output::Measure(_)));
            test.handle_input(Input::Failed, now);
            let Output::Timeout { at: Some(at), .. } = test.poll_output() else { panic!("no retry") };
            waits.push((at - now).as_secs());
            now = at;
            test.handle_input(Input::Tick, now);
        }
        assert_eq!(waits, [1, 3, 7, 15, 31, 63, 127, 255, 300, 300, 300]);
    }
}
