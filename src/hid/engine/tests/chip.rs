//! The writer's decisions and a CH9329's machine together, against a scripted chip on a line that fails.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::hid::backend::ch9329::chip::{Baud, Chip};
use crate::hid::backend::ch9329::line::Line;
use crate::hid::backend::ch9329::reports;

use super::*;

/// As the backend and the writer's thread do, with a clock that jumps.
struct Pair {
    engine: Engine,
    line: Line,
    reopens: u32,
}

impl Pair {
    fn new(has: u32) -> Self {
        let typist = Typist::new(Layout::by_name("us").unwrap(), UnicodeEntry::Off);
        let mut engine = Engine::new(Ok(typist), true);
        engine.open(A, Arc::default());
        engine.open(B, Arc::default());
        Self { engine, line: Line::new(Baud::Auto, has), reopens: 0 }
    }

    fn send(&mut self, owner: OwnerId, event: InputEvent) {
        Gauge::default().admit(&event).unwrap();
        self.engine.push(owner, event, self.line.now);
    }

    fn run(&mut self, milliseconds: u64) {
        let end = self.line.now + Duration::from_millis(milliseconds);
        loop {
            if self.line.arrive() {
                self.engine.nudge(self.line.now);
            }
            if let Some(leds) = self.line.chip.take_leds() {
                self.engine.set_leds(leds);
            }
            if self.line.chip.take_news() {
                self.engine.inquire();
            }
            let now = self.line.now;
            while let Some(deed) = self.engine.poll_deed(now) {
                match deed {
                    Deed::Reopen => {
                        if !self.line.chip.is_working() {
                            self.line.chip = Chip::new(Baud::Auto, now);
                            self.reopens += 1;
                        }
                        self.engine.reopened(Ok(()), now);
                    }
                    Deed::Repair(_) | Deed::Wake => panic!("a chip has neither"),
                    Deed::Write(report) => {
                        let command = reports::command(report.device(), report.bytes()).unwrap();
                        let outcome = self.line.chip.offer(command, now).map_err(|error| error.to_string());
                        self.engine.wrote(report.device(), outcome, now);
                    }
                }
                self.line.step();
            }
            let _ = self.engine.health(now);
            let due = self.engine.deadline().into_iter().chain(self.line.next()).min();
            match due {
                Some(at) if at <= end => self.line.now = self.line.now.max(at),
                _ => break,
            }
        }
        self.line.now = end;
    }

    /// Runs until the session has nothing left to do.
    fn finish(&mut self, owner: OwnerId) {
        for _ in 0..100_000 {
            if !self.engine.sessions[&owner].has_work() {
                return self.run(3000);
            }
            self.run(50);
        }
        panic!("never done");
    }
}

/// What the computer reads: letters, with Shift or without.
fn text_of(line: &Line) -> String {
    let mut text = String::new();
    let mut down = BTreeSet::new();
    for (_, data) in line.far.seen.iter().filter(|(code, _)| *code == 2) {
        let now: BTreeSet<u8> = data[2..].iter().copied().filter(|usage| *usage != 0).collect();
        for usage in now.difference(&down) {
            let c = match usage {
                0x2C => b' ',
                usage => b'a' + usage - 4,
            };
            let c = char::from(c);
            text.push(if data[0] & 2 != 0 { c.to_ascii_uppercase() } else { c });
        }
        down = now;
    }
    text
}

#[test]
fn a_long_text_at_9600_baud_through_noise_arrives_whole_and_once() {
    let text = "The quick brown fox jumps over the lazy dog ".repeat(50);
    for (seed, noise) in [(1, 0), (2, 10), (3, 30)] {
        let mut pair = Pair::new(9600);
        pair.line.seed(seed);
        // A frame of 14 bytes, its reply of 7, and the chip's own time.
        pair.line.delay = Duration::from_millis(25);
        pair.run(1000);
        pair.line.noise = noise;
        let began = pair.line.now;
        pair.send(A, InputEvent::Text(text.clone()));
        pair.finish(A);
        assert_eq!(text_of(&pair.line), text, "noise {noise}");
        assert_eq!(pair.engine.health.events_discarded, 0);
        // Two reports a character, 25 ms each, and an info frame a second.
        let most = if noise == 0 { 120 } else { 300 };
        assert!(pair.line.now - began < Duration::from_secs(most), "noise {noise}");
        println!("{} characters at noise {noise}: {:?}", text.len(), pair.line.now - began);
    }
}

#[test]
fn a_chip_that_loses_its_power_and_its_rate_is_found_again_with_nothing_stale() {
    let mut pair = Pair::new(115_200);
    pair.run(1000);
    pair.send(A, key(KeyUsage::A, true));
    pair.run(100);
    pair.line.far.is_powered = false;
    pair.send(A, key(KeyUsage::B, true));
    pair.run(4000);
    let (is_connected, notice) = {
        let h = pair.engine.health(pair.line.now);
        (h.is_connected, h.notice)
    };
    assert!(!is_connected && notice.contains("CH9329"), "{notice}");
    pair.line.far.power_on();
    pair.line.far.baud = 9600;
    let seen = pair.line.far.seen.len();
    let back = pair.line.now;
    while !pair.engine.health(pair.line.now).is_connected {
        pair.run(50);
        assert!(pair.line.now - back <= Duration::from_secs(3), "back within three seconds");
    }
    pair.run(1000);
    assert!(pair.reopens > 0);
    assert!(
        pair.line.far.seen[seen..].iter().all(|(code, data)| *code != 2 || *data == [0; 8]),
        "nothing stale"
    );
    pair.send(A, InputEvent::Text("x".into()));
    pair.run(500);
    assert_eq!(pair.line.far.typed().last(), Some(&0x1B));
}

#[test]
fn a_chip_that_is_missing_is_lost_once_and_looked_for_in_peace() {
    let mut pair = Pair::new(9600);
    pair.line.far.is_powered = false;
    pair.run(60_000);
    let health = pair.engine.health(pair.line.now);
    assert!(!health.is_connected && health.notice.contains("no CH9329 chip answers"), "{}", health.notice);
    assert_eq!((health.recovery.losses, health.recovery.rung), (1, Some(Rung::Reopen)));
    assert!((20..45).contains(&pair.reopens), "each second and a round through the rates: {}", pair.reopens);
    pair.line.far.power_on();
    pair.run(3000);
    assert!(pair.engine.health(pair.line.now).is_connected);
}

fn event() -> impl Strategy<Value = InputEvent> {
    prop_oneof![
        4 => (0u8..12, any::<bool>()).prop_map(|(k, d)| key(KeyUsage(if k < 3 { 0xE0 + k } else { k + 1 }), d)),
        2 => any::<bool>().prop_map(left),
        2 => any::<u16>().prop_map(place),
        1 => (-300i32..300).prop_map(|dx| InputEvent::PointerRelative { dx, dy: 1 }),
        1 => (-3i32..3).prop_map(|vertical| InputEvent::Wheel { vertical, horizontal: 0 }),
        1 => Just(InputEvent::Tap { usage: KeyUsage::A, modifiers: vec![KeyUsage::LEFT_CONTROL] }),
        1 => Just(InputEvent::Text("aB\n".into())),
        1 => Just(InputEvent::Lock { lock: LockKey::CapsLock, is_on: true }),
        1 => Just(InputEvent::ReleaseAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..Default::default() })]
    /// Whatever sessions do and whatever befalls chip and line: once both are well and all sessions are gone, the
    /// computer sees everything up, and never saw a key that nobody pressed.
    #[test]
    fn everything_is_up_in_the_end(
        seed in any::<u64>(),
        deeds in proptest::collection::vec((any::<bool>(), event(), 0u64..700, 0u8..20), 1..60)
    ) {
        let mut pair = Pair::new(9600);
        pair.line.seed(seed);
        let mut pressed = BTreeSet::from([0u8, 1, KeyUsage::A.0, KeyUsage::B.0, 0x28, 0x39]);
        for (is_a, event, wait, mood) in deeds {
            if let InputEvent::Key { usage, is_down: true } = &event {
                pressed.insert(usage.0);
            }
            match mood {
                0 => pair.line.far.is_powered = false,
                1 => pair.line.far.power_on(),
                2 => pair.line.far.connect(false),
                3 => pair.line.far.connect(true),
                4 => pair.line.noise = 100,
                5 => pair.line.noise = 0,
                6 => pair.line.delay = Duration::from_millis(180),
                7 => pair.line.delay = Duration::from_millis(20),
                8 => pair.line.far.refuses = 20,
                9 if pair.line.far.baud == 9600 => pair.line.far.baud = 115_200,
                _ => {}
            }
            pair.send(if is_a { A } else { B }, event);
            pair.run(wait);
        }
        pair.line.far.power_on();
        pair.line.far.connect(true);
        pair.line.far.refuses = 0;
        pair.line.noise = 0;
        pair.line.delay = Duration::from_millis(20);
        pair.run(4000);
        pair.engine.close(A);
        pair.run(1500);
        pair.engine.close(B);
        pair.run(3000);
        prop_assert!(pair.engine.state.is_all_up() && pair.engine.is_drained());
        let health = pair.engine.health(pair.line.now);
        prop_assert!(health.is_connected, "{}", health.notice);
        for (code, at) in [(2, 0), (4, 1), (5, 1)] {
            let last = pair.line.far.seen.iter().rfind(|(c, _)| *c == code);
            prop_assert!(last.is_none_or(|(_, data)| data[at] == 0), "{:?}", last);
        }
        let keyboard = pair.line.far.seen.iter().filter(|(code, _)| *code == 2);
        prop_assert!(keyboard.clone().next_back().is_none_or(|(_, data)| *data == [0; 8]));
        for (_, data) in keyboard {
            prop_assert!(data[2..].iter().all(|usage| pressed.contains(usage)), "{:?}", data);
        }
    }
}
