//! A typist on a line that delivers unevenly and stalls: controller, line, session, writer and computer in simulated
//! time. What counts is the text on the computer, with the repeats that it makes itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kvmdesk::hid::backend::{HidDevice, WriteOutcome};
use kvmdesk::hid::engine::{Deed, Engine};
use kvmdesk::hid::queue::Gauge;
use kvmdesk::hid::report::OwnerId;
use kvmdesk::input::event::LedState;
use kvmdesk::input::layout::Layout;
use kvmdesk::input::typist::{Typist, UnicodeEntry};
use kvmdesk::peer::machine::*;
use kvmdesk::wire::message::hbb::message::Union;

use super::rig::*;
use super::typist::*;

const ME: OwnerId = OwnerId(1);
/// The computer takes a report so often.
const INTERVAL: Duration = Duration::from_millis(4);
const TICK: Duration = Duration::from_millis(1);

/// One direction of a line, in order: each message takes its own time, and during the stall nothing arrives.
struct Way<T> {
    milliseconds: (u64, u64),
    stall: (Instant, Instant),
    under_way: VecDeque<(Instant, T)>,
}

impl<T> Way<T> {
    fn send(&mut self, what: T, now: Instant, dice: &mut Dice) {
        let takes = Duration::from_millis(dice.roll(self.milliseconds.0, self.milliseconds.1));
        let mut at = now + takes;
        if (self.stall.0..self.stall.1).contains(&at) {
            at = self.stall.1;
        }
        let at = self.under_way.back().map_or(at, |(before, _)| at.max(*before));
        self.under_way.push_back((at, what));
    }

    fn arrived(&mut self, now: Instant) -> Option<T> {
        self.under_way.front().filter(|(at, _)| *at <= now)?;
        self.under_way.pop_front().map(|(_, what)| what)
    }
}

/// What came of it.
struct Outcome {
    text: String,
    /// Repeats of the computer's own.
    repeated: usize,
}

/// Types a script through a line of `milliseconds`, which stalls for five seconds from `stall_at` on.
fn type_through(
    script: &Script,
    bad_link: BadLink,
    milliseconds: (u64, u64),
    stall_at: Duration,
    dice: &mut Dice,
) -> Outcome {
    let keyboard = KeyboardSettings { bad_link, ..KeyboardSettings::default() };
    let mut rig = Rig::new(PeerSettings { keyboard, ..settings() }, Opening::Secure);
    // From now on everything takes its time, the echo of the first ping too.
    rig.echoes = false;
    let key = rig.box_session_key();
    rig.send(Union::PublicKey(key));
    let begins = rig.now + Duration::from_secs(2);
    let stall = (begins + stall_at, begins + stall_at + Duration::from_secs(5));
    let mut up = Way { milliseconds, stall, under_way: VecDeque::new() };
    let mut down = Way { milliseconds, stall, under_way: VecDeque::new() };
    let login = rig.login(PASSWORD);
    up.send(Union::LoginRequest(login), rig.now, dice);

    let typist = Typist::new(Layout::default(), UnicodeEntry::Off);
    let mut engine = Engine::new(Ok(typist), false);
    let gauge = std::sync::Arc::<Gauge>::default();
    engine.open(ME, gauge.clone());
    engine.set_leds(LedState::default());
    let mut evdev = Evdev::new();
    let mut takes_at = rig.now;
    let mut strokes = script.strokes.iter().peekable();
    let last = script.strokes.last().unwrap().at;
    let end = begins + last + Duration::from_secs(10);
    while rig.now < end {
        let now = rig.now;
        while let Some(stroke) = strokes.next_if(|stroke| begins + stroke.at <= now) {
            let event = kvmdesk::wire::message::hbb::KeyEvent {
                down: stroke.is_down,
                mode: 1,
                union: Some(kvmdesk::wire::message::hbb::key_event::Union::Chr(stroke.code)),
                ..Default::default()
            };
            up.send(Union::KeyEvent(event), now, dice);
        }
        while let Some(union) = down.arrived(now) {
            up.send(union, now, dice);
        }
        while let Some(union) = up.arrived(now) {
            rig.send(union);
        }
        rig.pass(TICK);
        for union in rig.take_seen() {
            if matches!(&union, Union::TestDelay(ping) if !ping.from_client) {
                down.send(union, rig.now, dice);
            }
        }
        for event in rig.take_hands() {
            gauge.admit(&event).unwrap();
            engine.push(ME, event, rig.now);
        }
        let now = rig.now;
        while let Some(deed) = engine.poll_deed(now) {
            let Deed::Write(report) = deed else { panic!("the computer is there") };
            let is_taken = report.device() != HidDevice::Keyboard || takes_at <= now;
            if is_taken && report.device() == HidDevice::Keyboard {
                takes_at = now + INTERVAL;
                evdev.take(report.bytes(), now);
            }
            let outcome = if is_taken { WriteOutcome::Written } else { WriteOutcome::Busy };
            engine.wrote(report.device(), Ok(outcome), now);
        }
        evdev.pass(now);
    }
    assert!(rig.closed.is_none() && up.under_way.len() < 5);
    Outcome { text: evdev.sheet.text, repeated: evdev.repeated }
}

const BAD: (u64, u64) = (50, 550);

/// 300 ms ± 250 ms, and a stall of five seconds in the middle.
#[test]
fn a_text_of_two_thousand_characters_comes_through_a_bad_line_as_it_is_meant() {
    for seed in 1..=6 {
        for bad_link in [BadLink::On, BadLink::Auto] {
            let mut dice = Dice::new(seed);
            let script = Script::new(2000, true, &mut dice);
            let stall_at = Duration::from_millis(dice.roll(20_000, 150_000));
            let got = type_through(&script, bad_link, BAD, stall_at, &mut dice);
            assert!(
                got.text == script.meant,
                "seed {seed}, {bad_link:?}: {}",
                differ(&script.meant, &got.text)
            );
            assert_eq!(got.repeated, 0);
        }
    }
}

/// The same line without clicks shows that the model counts.
#[test]
fn held_keys_repeat_on_a_bad_line() {
    let mut dice = Dice::new(1);
    let script = Script::new(2000, true, &mut dice);
    let got = type_through(&script, BadLink::Off, BAD, Duration::from_secs(60), &mut dice);
    assert_ne!(got.text, script.meant);
    assert!(got.repeated > 100, "{}", got.repeated);
}

/// A line that was good until now and stalls just when a key is down.
#[test]
fn a_good_line_that_stalls_in_the_middle_of_a_key_repeats_nothing() {
    for seed in 1..=40 {
        let mut dice = Dice::new(seed);
        let script = Script::new(150, false, &mut dice);
        let presses: Vec<_> =
            script.strokes.iter().filter(|s| s.is_down && s.at > Duration::from_secs(5)).collect();
        let pick = dice.roll(0, presses.len() as u64 - 1) as usize;
        let stall_at = presses[pick].at + Duration::from_millis(dice.roll(5, 60));
        let got = type_through(&script, BadLink::Auto, (5, 15), stall_at, &mut dice);
        assert!(got.text == script.meant, "seed {seed}: {}", differ(&script.meant, &got.text));
        assert_eq!(got.repeated, 0, "seed {seed}");
    }
}

/// Where two texts part.
fn differ(meant: &str, got: &str) -> String {
    let at = meant.bytes().zip(got.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| text.chars().skip(at.saturating_sub(20)).take(60).collect::<String>();
    format!("at {at} of {}: meant {:?}, got {:?}", meant.len(), around(meant), around(got))
}
