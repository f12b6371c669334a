//! A whole session over a line of a rate, a delay and losses, all in simulated time: how old pictures are when they
//! arrive, while the line changes under them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvmdesk::peer::machine::*;
use kvmdesk::video::frame::{Codec, EncodedFrame};
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};

use super::rig::*;

/// Overhead of a message on the wire beside TCP: head and seal.
const HEAD: usize = 20;

/// What a session sends, on its way.
struct Line {
    rig: Rig,
    /// Bytes a second.
    rate: f64,
    delay: Duration,
    /// A lost packet holds everything behind it back for so long; one in so many messages is.
    loss: (u64, Duration),
    random: u64,
    free_at: Instant,
    /// Messages behind a lost one come with it.
    not_before: Instant,
    to_controller: VecDeque<(Instant, Vec<u8>, Option<Instant>)>,
    to_peer: VecDeque<(Instant, Vec<u8>)>,
    echoes: bool,
    sequence: u64,
    captured_at: Instant,
    ages: Vec<u128>,
    keys: Vec<u128>,
}

impl Line {
    fn new(bits_per_second: f64, delay: u64, loss: u64, echoes: bool) -> Self {
        let mut rig = Rig::new(settings(), Opening::Secure);
        rig.echoes = false;
        let key = rig.box_session_key();
        rig.send(Union::PublicKey(key));
        let request = rig.login(PASSWORD);
        rig.send(Union::LoginRequest(request));
        let now = rig.now;
        let delay = Duration::from_millis(delay);
        let pings = rig.take_seen().into_iter().filter(|u| echoes && matches!(u, Union::TestDelay(_)));
        let to_peer = pings.map(|ping| (now + delay * 2, encode_message(ping))).collect();
        Self {
            rig,
            rate: bits_per_second / 8.0,
            delay,
            loss: (loss, delay * 2 + Duration::from_millis(50)),
            random: 1,
            free_at: now,
            not_before: now,
            to_controller: VecDeque::new(),
            to_peer,
            echoes,
            sequence: 0,
            captured_at: now,
            ages: vec![],
            keys: vec![],
        }
    }

    fn send(&mut self, message: Vec<u8>, captured_at: Option<Instant>) {
        let now = self.rig.now;
        let bytes = (message.len() + HEAD) as f64;
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(bytes / self.rate);
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let packets = (bytes / 1448.0).ceil() as u64;
        let is_lost = self.loss.0 > 0 && (self.random >> 33) % self.loss.0 < packets;
        let late = if is_lost { self.loss.1 } else { Duration::ZERO };
        self.not_before = self.not_before.max(self.free_at + self.delay + late);
        self.to_controller.push_back((self.not_before, message, captured_at));
    }

    /// What the session wants now; frames carry when they were captured.
    fn collect(&mut self) {
        loop {
            match self.rig.peer.poll_output() {
                Output::Transmit(message)
                | Output::TransmitSound(message)
                | Output::TransmitBulk(message) => {
                    self.send(message.to_vec(), None);
                }
                Output::TransmitVideo { head, payload, tail, .. } => {
                    self.send([&head[..], &payload, &tail].concat(), Some(self.captured_at));
                }
                Output::Event(Event::VideoWanted(request)) => self.rig.requests.push(request),
                Output::Event(_) | Output::Seal(_) => {}
                Output::Timeout { at, why } => {
                    self.rig.deadline = (at, why);
                    return;
                }
            }
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.rig.peer.handle_input(input, self.rig.now);
        self.collect();
    }

    fn size(&self, most: usize) -> usize {
        let line = self.rig.requests.last().unwrap().bits_per_second;
        line.map_or(most, |bits| (bits as usize / 8 / 11).min(most))
    }

    /// The picture scrolls for some seconds, each millisecond one step; frames of `most` bytes if nothing limits them.
    fn scroll(&mut self, seconds: u64, fps: u64, most: usize) {
        (self.ages, self.keys) = (vec![], vec![]);
        let mut next_frame = self.rig.now;
        for ms in 0..seconds * 1000 {
            self.rig.now += Duration::from_millis(1);
            let now = self.rig.now;
            while self.to_peer.front().is_some_and(|(at, _)| *at <= now) {
                let (_, message) = self.to_peer.pop_front().unwrap();
                self.input(Input::Payload(&message));
            }
            while self.to_controller.front().is_some_and(|(at, ..)| *at <= now) {
                let (at, message, captured_at) = self.to_controller.pop_front().unwrap();
                if let Some(captured_at) = captured_at {
                    self.ages.push((at - captured_at).as_millis());
                }
                let union = decode_message(&message).unwrap().union;
                if self.echoes && matches!(union, Some(Union::TestDelay(_))) {
                    self.to_peer.push_back((now + self.delay, message));
                }
            }
            if self.rig.deadline.0 <= now {
                self.input(Input::Timeout);
            }
            if ms % 500 == 250 {
                let key = hbb::KeyEvent {
                    press: true,
                    mode: 1,
                    union: Some(hbb::key_event::Union::Chr(30)),
                    ..Default::default()
                };
                self.rig.peer.handle_input(Input::Payload(&encode_message(Union::KeyEvent(key))), now);
                let mut is_typed = false;
                while let output = self.rig.peer.poll_output()
                    && !matches!(output, Output::Timeout { .. })
                {
                    is_typed |= matches!(output, Output::Event(Event::Hands { .. }));
                }
                assert!(is_typed, "keys wait for no picture");
            }
            if next_frame <= now && self.rig.peer.can_take_frame(0, now) {
                next_frame = now + Duration::from_millis(1000 / fps);
                let is_keyframe = self.sequence == 0;
                let bytes = self.size(most) * if is_keyframe { 4 } else { 1 };
                let frame = EncodedFrame {
                    data: Bytes::from(vec![1; bytes]),
                    codec: Codec::H264,
                    is_keyframe,
                    captured_at: now,
                    sequence: self.sequence,
                    resolution: SIZE,
                    original_resolution: SIZE,
                };
                self.sequence += 1;
                self.captured_at = now;
                self.input(Input::Frame { index: 0, frame });
            }
        }
    }

    fn report(&mut self) {
        self.ages.sort_unstable();
        let n = self.ages.len();
        println!(
            "{n} frames, {:?}, {:?}",
            [50, 75, 90, 95, 99].map(|p| self.ages[n * p / 100]),
            self.rig.requests.last().unwrap().bits_per_second
        );
    }

    fn p95(&mut self) -> u128 {
        self.ages.sort_unstable();
        self.ages[self.ages.len() * 95 / 100]
    }
}

fn line(bits_per_second: f64, delay: u64, loss: u64) -> Line {
    Line::new(bits_per_second, delay, loss, true)
}

#[test]
fn two_megabits_then_300_kilobits_and_back() {
    for loss in [0, 100] {
        let mut line = line(2_000_000.0, 50, loss);
        line.scroll(2, 30, 15_000);
        line.scroll(10, 30, 15_000);
        let undisturbed = line.p95();
        line.report();
        assert!(undisturbed <= 600, "loss 1/{loss}: {undisturbed} ms");
        let frames = line.ages.len();
        assert!(frames > 80, "loss 1/{loss}: {frames} frames in 10 s");
        line.rate = 300_000.0 / 8.0;
        line.scroll(2, 30, 15_000);
        line.scroll(10, 30, 15_000);
        let slow = line.p95();
        line.report();
        assert!(slow <= 600, "loss 1/{loss}: {slow} ms");
        assert!(line.ages.len() > 40, "loss 1/{loss}: {} frames in 10 s", line.ages.len());
        line.rate = 2_000_000.0 / 8.0;
        line.scroll(2, 30, 15_000);
        line.scroll(10, 30, 15_000);
        let again = line.p95();
        line.report();
        assert!(again * 2 <= undisturbed * 3, "loss 1/{loss}: {again} after {undisturbed} ms");
        assert!(line.ages.len() * 4 > frames * 3, "loss 1/{loss}: {} after {frames} frames", line.ages.len());
    }
}

#[test]
fn sixty_frames_a_second_on_a_lan() {
    let mut line = line(100e6, 1, 0);
    line.scroll(5, 62, 30_000);
    assert_eq!(line.rig.requests.last().unwrap().bits_per_second, None);
    assert!(line.ages.len() >= 300, "{} frames in 5 s", line.ages.len());
    assert!(line.p95() < 12, "{} ms", line.p95());
}

#[test]
fn a_cut_line_stops_the_pictures_and_its_return_is_soon_used() {
    let mut line = line(2_000_000.0, 50, 0);
    line.scroll(3, 30, 15_000);
    line.rate = 100.0;
    line.scroll(8, 30, 15_000);
    let (sent, _) = (line.sequence, line.ages.clear());
    line.free_at = line.rig.now;
    line.rate = 250_000.0;
    // What was on its way arrives now, and then the new ones.
    for waiting in &mut line.to_controller {
        waiting.0 = line.rig.now;
    }
    line.not_before = line.rig.now;
    line.scroll(2, 30, 15_000);
    line.scroll(3, 30, 15_000);
    assert!(line.sequence > sent + 20, "{} frames after {sent}", line.sequence);
    assert!(line.p95() <= 600, "{} ms", line.p95());
}

#[test]
fn a_controller_that_echoes_nothing_is_paced_by_the_backlog() {
    let mut line = Line::new(2_000_000.0, 50, 0, false);
    line.scroll(4, 30, 15_000);
    line.scroll(5, 30, 2_000);
    // Nothing waits in front of the line, so that each picture goes.
    assert!(line.ages.len() > 120, "{} frames in 5 s", line.ages.len());
    line.input(Input::Backlog(100_000));
    let now = line.rig.now;
    assert!(!line.rig.peer.can_take_frame(0, now), "something waits");
    line.input(Input::Backlog(0));
    assert!(line.rig.peer.can_take_frame(0, now));
}

#[test]
fn sound_yields_to_the_picture_on_a_slow_line() {
    let mut line = line(300_000.0, 50, 0);
    line.scroll(5, 30, 15_000);
    let limit = line.rig.requests.last().unwrap().bits_per_second.unwrap();
    assert!((150_000..=320_000).contains(&limit), "{limit}");
    line.rig.send_misc(Misc::AutoAdjustFps(20));
    assert_eq!(
        line.rig.requests.last().unwrap().bits_per_second,
        Some(limit),
        "wishes keep the line's limit"
    );
}
