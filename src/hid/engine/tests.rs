#![allow(clippy::disallowed_methods, reason = "a base for simulated time")]

use crate::hid::work::{CLICK_HOLD, TEXT_PACE};
use crate::input::event::{AbsolutePoint, LockKey, PointerButton};
use crate::input::layout::Layout;
use crate::input::typist::{Typist, UnicodeEntry};
use crate::input::usage::{ConsumerUsage, KeyUsage};

use super::*;

mod chip;
mod layouts;
mod pace;
mod pointer;
mod property;
mod recovery;
mod typing;

const A: OwnerId = OwnerId(1);
const B: OwnerId = OwnerId(2);
const WRITTEN: Result<WriteOutcome, String> = Ok(WriteOutcome::Written);
const BUSY: Result<WriteOutcome, String> = Ok(WriteOutcome::Busy);
const GONE: Result<WriteOutcome, String> = Ok(WriteOutcome::HostGone);

/// An engine, a clock that jumps from deadline to deadline, and a host that answers as told.
struct Sim {
    engine: Engine,
    start: Instant,
    now: Instant,
    /// Milliseconds, device and hex of everything accepted.
    log: Vec<(u64, HidDevice, String)>,
    /// Answers per lane: keyboard, absolute, relative, control.
    answers: [Result<WriteOutcome, String>; 4],
    attempts: u64,
    reopens: u64,
    reopen_answer: Result<(), String>,
    repairs: Vec<(Instant, Repair)>,
    /// Whether a repair can be asked for.
    helper: Result<(), String>,
    /// The repair that helps, and how long it takes.
    heals_after: Option<(Repair, Duration)>,
    heals_at: Option<Instant>,
    wakes: u32,
}

impl Sim {
    fn new() -> Self {
        Self::typing("us", UnicodeEntry::Off)
    }

    fn typing(layout: &str, entry: UnicodeEntry) -> Self {
        let typist = Typist::new(Layout::by_name(layout).unwrap(), entry);
        let mut engine = Engine::new(Ok(typist), false);
        engine.open(A, Arc::default());
        engine.open(B, Arc::default());
        let now = Instant::now();
        let answers = [WRITTEN, WRITTEN, WRITTEN, WRITTEN];
        Self {
            engine,
            start: now,
            now,
            log: vec![],
            answers,
            attempts: 0,
            reopens: 0,
            reopen_answer: Ok(()),
            repairs: vec![],
            helper: Ok(()),
            heals_after: None,
            heals_at: None,
            wakes: 0,
        }
    }

    fn answer_all(&mut self, answer: Result<WriteOutcome, String>) {
        self.answers = std::array::from_fn(|_| answer.clone());
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        loop {
            if self.heals_at.take_if(|at| *at <= self.now).is_some() {
                self.answer_all(WRITTEN);
                self.reopen_answer = Ok(());
            }
            let mut idle = 0;
            while let Some(deed) = self.engine.poll_deed(self.now) {
                idle += 1;
                assert!(idle < 100_000, "the engine never comes to rest");
                match deed {
                    Deed::Reopen => {
                        self.reopens += 1;
                        self.engine.reopened(self.reopen_answer.clone(), self.now);
                    }
                    Deed::Repair(repair) => {
                        self.repairs.push((self.now, repair));
                        let helps = self.heals_after.filter(|(cure, _)| *cure == repair);
                        self.heals_at = helps.map(|(_, time)| self.now + time).or(self.heals_at);
                        self.engine.asked(repair, self.helper.clone(), self.now);
                    }
                    Deed::Wake => {
                        self.wakes += 1;
                        self.engine.woke(Ok(()), self.now);
                    }
                    Deed::Write(report) => {
                        self.attempts += 1;
                        let answer = self.answers[lane_index(report.device())].clone();
                        if answer == WRITTEN {
                            let hex = report.bytes().iter().map(|b| format!("{b:02x}")).collect();
                            let t = (self.now - self.start).as_millis() as u64;
                            self.log.push((t, report.device(), hex));
                        }
                        self.engine.wrote(report.device(), answer, self.now);
                    }
                }
            }
            let deadline = self.engine.deadline().into_iter().chain(self.heals_at).min();
            match deadline {
                Some(at) if at <= end => {
                    // A remark's deadline may lie in the past until the health is asked for.
                    let _ = self.engine.health(at);
                    self.now = self.now.max(at);
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
    }

    fn send(&mut self, owner: OwnerId, events: impl IntoIterator<Item = InputEvent>) {
        for event in events {
            // As the handle does.
            let gauge = Gauge::default();
            gauge.admit(&event).unwrap();
            self.engine.push(owner, event, self.now);
        }
    }

    /// The hex of what one device got since the last call to [`Self::forget`].
    fn got(&self, device: HidDevice) -> Vec<&str> {
        self.log.iter().filter(|l| l.1 == device).map(|l| l.2.as_str()).collect()
    }

    fn keys(&self) -> Vec<&str> {
        self.got(HidDevice::Keyboard)
    }

    fn forget(&mut self) {
        self.log.clear();
    }

    fn notice(&mut self) -> (bool, String) {
        let health = self.engine.health(self.now);
        (health.is_connected, health.notice)
    }
}

fn key(usage: KeyUsage, is_down: bool) -> InputEvent {
    InputEvent::Key { usage, is_down }
}

fn place(x: u16) -> InputEvent {
    InputEvent::PointerAbsolute(AbsolutePoint { x, y: 0 })
}

fn left(is_down: bool) -> InputEvent {
    InputEvent::Button { button: PointerButton::Left, is_down }
}

const UP: &str = "0000000000000000";
const A_DOWN: &str = "0000040000000000";

#[test]
fn a_quick_tap_under_eagain_keeps_down_and_up() {
    let mut sim = Sim::new();
    sim.answer_all(BUSY);
    sim.send(A, [key(KeyUsage::A, true), key(KeyUsage::A, false)]);
    sim.run(1500);
    assert!(sim.attempts > 50, "it is tried often: {}", sim.attempts);
    assert!(sim.log.is_empty());
    sim.answer_all(WRITTEN);
    sim.run(20);
    assert_eq!(sim.keys(), [A_DOWN, UP]);
    assert_eq!(sim.notice(), (true, String::new()));
}

#[test]
fn the_newest_position_comes_before_the_click() {
    let mut sim = Sim::new();
    sim.answer_all(BUSY);
    for x in 1..=500 {
        sim.send(A, [place(x)]);
        sim.run(1);
    }
    sim.send(A, [left(true), left(false), place(7)]);
    sim.run(50);
    sim.answer_all(WRITTEN);
    sim.run(20);
    let want = ["00f40100000000", "01f40100000000", "00f40100000000", "00070000000000"];
    assert_eq!(sim.got(HidDevice::Absolute), want);
}

#[test]
fn relative_moves_under_eagain_sum_up() {
    let mut sim = Sim::new();
    sim.answer_all(BUSY);
    for _ in 0..100 {
        sim.send(A, [InputEvent::PointerRelative { dx: 3, dy: -1 }]);
        sim.run(1);
    }
    sim.answer_all(WRITTEN);
    sim.run(20);
    let reports = sim.got(HidDevice::Relative);
    let sum: i32 = reports.iter().map(|r| i32::from(u8::from_str_radix(&r[2..4], 16).unwrap() as i8)).sum();
    assert_eq!((sum, reports.len()), (300, 4), "the first, then the sum in three");
}

#[test]
fn a_click_is_held_and_chords_nest() {
    let mut sim = Sim::new();
    let modifiers = vec![KeyUsage::LEFT_CONTROL, KeyUsage::LEFT_ALT];
    sim.send(A, [key(KeyUsage::LEFT_ALT, true)]);
    sim.send(A, [InputEvent::Tap { usage: KeyUsage::DELETE_FORWARD, modifiers }, key(KeyUsage::B, true)]);
    sim.run(100);
    let a = "0400000000000000";
    let (ca, cad) = ("0500000000000000", "05004c0000000000");
    assert_eq!(sim.keys(), [a, ca, cad, ca, a, "0400050000000000"], "Alt was held before and stays");
    let at: Vec<u64> = sim.log.iter().map(|l| l.0).collect();
    assert!(at[3] - at[2] >= CLICK_HOLD.as_millis() as u64);
}

#[test]
fn a_click_is_held_from_the_moment_the_host_takes_it() {
    let mut sim = Sim::new();
    sim.answer_all(BUSY);
    sim.send(A, [InputEvent::Tap { usage: KeyUsage::A, modifiers: vec![] }]);
    sim.run(500);
    sim.answer_all(WRITTEN);
    sim.run(100);
    assert_eq!(sim.keys(), [A_DOWN, UP]);
    assert!(sim.log[1].0 - sim.log[0].0 >= 25);
}

#[test]
fn text_is_typed_in_order_with_the_keys_around_it() {
    let mut sim = Sim::new();
    sim.send(A, [key(KeyUsage::B, true), key(KeyUsage::B, false), InputEvent::Text("aA".into())]);
    sim.send(A, [key(KeyUsage::C, true)]);
    sim.run(1000);
    assert_eq!(sim.keys(), ["0000050000000000", UP, A_DOWN, UP, "0200040000000000", UP, "0000060000000000"]);
    let gap = sim.log[4].0 - sim.log[3].0;
    assert!(gap >= TEXT_PACE.as_millis() as u64 && gap < 20, "{gap}");
}

#[test]
fn shift_held_for_text_goes_up_and_another_session_goes_on() {
    let mut sim = Sim::new();
    sim.send(A, [key(KeyUsage::LEFT_SHIFT, true), InputEvent::Text("a".repeat(50))]);
    sim.run(100);
    sim.send(B, [place(1)]);
    sim.run(1);
    assert_eq!(sim.got(HidDevice::Absolute).len(), 1, "B does not wait for A's text");
    assert_eq!(sim.keys()[..3], ["0200000000000000", UP, A_DOWN]);
}

#[test]
fn the_pointer_moves_on_while_a_long_text_is_typed_but_its_clicks_wait() {
    let mut sim = Sim::new();
    sim.send(A, [InputEvent::Text("a".repeat(50)), place(1), place(2), left(true), place(3)]);
    sim.run(100);
    assert_eq!(sim.got(HidDevice::Absolute), ["00020000000000"]);
    sim.run(3000);
    assert_eq!(sim.got(HidDevice::Absolute), ["00020000000000", "01020000000000", "01030000000000"]);
    let click = sim.log.iter().position(|l| l.2 == "01020000000000").unwrap();
    assert_eq!(sim.log[..click].iter().filter(|l| l.2 == A_DOWN).count(), 50);
}

#[test]
fn release_all_and_session_end_stop_text_at_once() {
    for ends in [false, true] {
        let mut sim = Sim::new();
        sim.send(A, [key(KeyUsage::LEFT_CONTROL, true), InputEvent::Text("aaaa".repeat(1000))]);
        sim.run(100);
        let before = sim.log.len();
        if ends {
            sim.engine.close(A);
        } else {
            sim.send(A, [InputEvent::ReleaseAll]);
        }
        sim.run(5000);
        assert!(sim.log.len() <= before + 2, "{} then {}", before, sim.log.len());
        assert_eq!(sim.keys().last(), Some(&UP));
        assert!(sim.engine.state.is_all_up());
    }
}

#[test]
fn what_came_before_the_end_of_a_session_is_still_done() {
    let mut sim = Sim::new();
    sim.send(A, [InputEvent::Tap { usage: KeyUsage::A, modifiers: vec![] }, key(KeyUsage::B, true)]);
    sim.engine.close(A);
    sim.engine.close(B);
    sim.run(100);
    assert_eq!(sim.keys(), [A_DOWN, UP, "0000050000000000", UP]);
    assert!(sim.engine.is_drained());
}

#[test]
fn two_sessions_share_a_key() {
    let mut sim = Sim::new();
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.send(B, [key(KeyUsage::A, true)]);
    sim.run(1);
    sim.engine.close(A);
    sim.run(1);
    assert_eq!(sim.keys(), [A_DOWN]);
    sim.send(B, [key(KeyUsage::A, false)]);
    sim.run(1);
    assert_eq!(sim.keys(), [A_DOWN, UP]);
}

#[test]
fn a_reboot_discards_and_recovers_by_itself() {
    let mut sim = Sim::new();
    sim.send(A, [key(KeyUsage::LEFT_SHIFT, true), place(500)]);
    sim.run(1);
    sim.answer_all(GONE);
    sim.send(A, [key(KeyUsage::A, true), InputEvent::Text("rm -rf /\n".into())]);
    sim.run(10_000);
    let (is_connected, notice) = sim.notice();
    assert!(!is_connected && notice.contains("USB"), "{notice}");
    assert!(sim.attempts < 30, "cheap: {}", sim.attempts);
    assert!(sim.reopens > 0, "a gadget built anew has a new node");
    sim.send(A, [key(KeyUsage::B, true), place(600)]);
    sim.forget();
    sim.answer_all(WRITTEN);
    sim.run(1100);
    assert_eq!(sim.keys(), [UP], "nothing old is replayed");
    assert_eq!(sim.got(HidDevice::Absolute), ["00580200000000"], "only the last position");
    assert_eq!(sim.got(HidDevice::Relative), ["0000000000"]);
    assert_eq!(sim.got(HidDevice::Consumer), ["010000"]);
    assert_eq!(sim.got(HidDevice::System), ["0200"]);
    assert_eq!(sim.notice(), (true, String::new()));
    sim.forget();
    sim.send(A, [key(KeyUsage::LEFT_SHIFT, false), key(KeyUsage::A, true), key(KeyUsage::A, false)]);
    sim.run(10);
    assert_eq!(sim.keys(), [A_DOWN, UP]);
}

#[test]
fn a_host_that_does_not_read_for_two_seconds_gets_nothing_old() {
    let mut sim = Sim::new();
    sim.send(A, [key(KeyUsage::LEFT_ALT, true)]);
    sim.run(1);
    sim.answer_all(BUSY);
    sim.send(A, [key(KeyUsage::F4, true), key(KeyUsage::F4, false), place(9), InputEvent::Text("x".into())]);
    sim.run(1990);
    assert_eq!(sim.notice(), (true, String::new()), "patience");
    sim.run(20);
    let (is_connected, notice) = sim.notice();
    assert!(!is_connected && notice.contains("discarded"), "{notice}");
    sim.run(60_000);
    sim.forget();
    sim.answer_all(WRITTEN);
    sim.run(1500);
    assert_eq!(sim.keys(), [UP]);
    assert_eq!(sim.got(HidDevice::Absolute), ["00090000000000"]);
    assert_eq!(sim.notice(), (true, String::new()));
}

#[test]
fn a_failed_device_is_reopened() {
    let mut sim = Sim::new();
    sim.answer_all(Err("Input/output error".into()));
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(200);
    assert!(sim.reopens >= 1);
    assert!(sim.notice().1.contains("Input/output error"));
    sim.answer_all(WRITTEN);
    sim.run(1100);
    assert_eq!(sim.keys(), [UP]);
}

/// A boot menu polls the keyboard only. The first move is lost on it, the keys are not.
#[test]
fn a_boot_menu_that_reads_only_the_keyboard_gets_its_keys() {
    let mut sim = Sim::new();
    sim.answers[1..3].fill(BUSY);
    sim.send(A, [place(1), key(KeyUsage::F2, true), key(KeyUsage::F2, false)]);
    sim.run(150);
    assert_eq!(sim.keys().len(), 2, "a move does not hold keys back for long");
    for n in 0..40 {
        sim.send(A, [place(n), left(true), left(false), key(KeyUsage::A, true), key(KeyUsage::A, false)]);
        sim.run(100);
    }
    let presses = sim.keys().iter().filter(|k| **k == A_DOWN).count();
    assert_eq!(presses, 40);
    let (is_connected, notice) = sim.notice();
    assert!(is_connected && notice.contains("mouse"), "{notice}");
    sim.answers[1..3].fill(WRITTEN);
    sim.run(1500);
    assert_eq!(sim.got(HidDevice::Absolute), ["00270000000000"], "no old click, only the place");
    assert_eq!(sim.notice(), (true, String::new()));
}

#[test]
fn a_pointer_nobody_reads_does_not_say_that_the_keyboard_is_gone() {
    let mut sim = Sim::new();
    sim.answers[1..3].fill(BUSY);
    sim.send(A, [place(1)]);
    sim.run(5000);
    let (is_connected, notice) = sim.notice();
    assert!(is_connected && notice.contains("mouse"), "{notice}");
}

/// The kernel takes a report or two for a device that nobody reads.
#[test]
fn an_accepted_pointer_report_does_not_speak_for_the_host() {
    let mut sim = Sim::new();
    sim.answers[0] = BUSY;
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(2500);
    let (is_connected, notice) = sim.notice();
    assert!(!is_connected && notice.contains("does not take"), "{notice}");
    sim.answers[0] = WRITTEN;
    sim.run(1500);
    assert_eq!(sim.keys(), [UP]);
    assert!(sim.notice().0);
}

#[test]
fn locks_follow_the_led_and_only_the_led() {
    let mut sim = Sim::new();
    let caps = |is_on| InputEvent::Lock { lock: LockKey::CapsLock, is_on };
    sim.send(A, [caps(true)]);
    sim.run(100);
    assert_eq!(sim.keys().len(), 0, "no LED report has ever come");
    sim.engine.set_leds(LedState::default());
    sim.send(A, [caps(false), caps(true), caps(true)]);
    sim.run(100);
    assert_eq!(sim.keys(), ["0000390000000000", UP], "one click, also before the LED answers");
    sim.engine.set_leds(LedState::from_report(2));
    sim.forget();
    sim.send(A, [caps(true), InputEvent::Text("aB1".into())]);
    sim.run(500);
    assert_eq!(sim.keys(), ["0200040000000000", UP, "0000050000000000", UP, "00001e0000000000", UP]);
    sim.forget();
    sim.answer_all(GONE);
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(100);
    sim.answer_all(WRITTEN);
    sim.run(2000);
    sim.forget();
    sim.send(A, [caps(false)]);
    sim.run(100);
    assert_eq!(sim.keys().len(), 0, "what the host before the reboot showed is no truth");
}

#[test]
fn a_click_on_a_lock_that_shows_no_effect_is_believed_for_a_second_only() {
    let mut sim = Sim::new();
    sim.engine.set_leds(LedState::default());
    let num = InputEvent::Lock { lock: LockKey::NumLock, is_on: true };
    sim.send(A, [num.clone()]);
    sim.run(900);
    sim.send(A, [num.clone()]);
    sim.run(200);
    assert_eq!(sim.keys().len(), 2);
    sim.send(A, [num]);
    sim.run(100);
    assert_eq!(sim.keys().len(), 4);
}

#[test]
fn after_a_restart_everything_is_lifted_first() {
    let mut sim = Sim::new();
    let typist = Typist::new(Layout::by_name("us").unwrap(), UnicodeEntry::Off);
    sim.engine = Engine::new(Ok(typist), true);
    sim.engine.open(A, Arc::default());
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(10);
    let devices: Vec<_> = sim.log.iter().map(|l| l.1).collect();
    let all = [HidDevice::Keyboard, HidDevice::Relative, HidDevice::Consumer, HidDevice::System];
    assert_eq!(devices[..4], all, "no absolute report: it would move the pointer");
    assert_eq!(sim.keys(), [UP, A_DOWN]);
}

#[test]
fn media_keys_click_on_their_own_device() {
    let mut sim = Sim::new();
    sim.send(
        A,
        [InputEvent::Consumer(ConsumerUsage(0xE2)), InputEvent::Wheel { vertical: -1, horizontal: 0 }],
    );
    sim.run(10);
    assert_eq!(sim.got(HidDevice::Consumer), ["01e200", "010000"]);
    assert_eq!(sim.got(HidDevice::Relative), ["000000ff00"], "no place is known to turn the wheel at");
}
