//! Nothing is lost and nothing waits for what it need not wait for, on a host that takes one report in each interval.

use super::*;

const INTERVAL: Duration = Duration::from_millis(8);

/// Runs the engine against a host that polls each device once an interval, as a full-speed bus does.
struct Polled {
    sim: Sim,
    /// When each lane's next report is taken.
    free_at: [Instant; 4],
}

impl Polled {
    fn new() -> Self {
        let sim = Sim::new();
        Self { free_at: [sim.now; 4], sim }
    }

    fn run(&mut self, time: Duration) {
        let end = self.sim.now + time;
        loop {
            let now = self.sim.now;
            for lane in &mut self.sim.engine.lanes {
                lane.nudge(now);
            }
            while let Some(deed) = self.sim.engine.poll_deed(now) {
                let Deed::Write(report) = deed else { panic!("the host is there") };
                let free_at = &mut self.free_at[lane_index(report.device())];
                let answer = if *free_at <= now { WRITTEN } else { BUSY };
                if answer == WRITTEN {
                    *free_at = now + INTERVAL;
                    let hex = report.bytes().iter().map(|b| format!("{b:02x}")).collect();
                    self.sim.log.push(((now - self.sim.start).as_millis() as u64, report.device(), hex));
                }
                self.sim.engine.wrote(report.device(), answer, now);
            }
            if now >= end {
                return;
            }
            self.sim.now += Duration::from_millis(1);
        }
    }
}

#[test]
fn a_thousand_quick_taps_arrive_all_and_in_order() {
    for has_gaps in [false, true] {
        let mut host = Polled::new();
        let gauge = Arc::<Gauge>::default();
        host.sim.engine.open(A, gauge.clone());
        let mut meant = vec![];
        for n in 0..1000_u32 {
            // Each key twice, so that a lost release would show.
            let usage = KeyUsage(0x04 + (n / 2 * 7 % 36) as u8);
            meant.extend([format!("0000{:02x}0000000000", usage.0), UP.to_owned()]);
            for is_down in [true, false] {
                let event = key(usage, is_down);
                gauge.admit(&event).unwrap();
                host.sim.engine.push(A, event, host.sim.now);
            }
            if has_gaps {
                host.run(Duration::from_millis(u64::from(n % 5)));
            }
        }
        host.run(INTERVAL * 2010);
        assert_eq!(host.sim.keys(), meant);
    }
}

/// All of a session at once, one after the other, and from another session.
#[test]
fn a_flood_of_ten_thousand_moves_delays_no_key_by_more_than_an_interval() {
    for is_relative in [false, true] {
        for (owner, burst) in [(A, 10_000), (A, 40), (B, 40)] {
            let mut host = Polled::new();
            let mut slowest = 0;
            for n in 0..10_000_u32 / burst {
                for m in 0..burst {
                    let at = n * burst + m;
                    let movement = if is_relative {
                        InputEvent::PointerRelative { dx: 10, dy: -(at as i32 % 3) }
                    } else {
                        place((at % 32_000) as u16)
                    };
                    host.sim.send(owner, [movement]);
                }
                let before = host.sim.keys().len();
                let pressed_at = (host.sim.now - host.sim.start).as_millis() as u64;
                host.sim.send(A, [key(KeyUsage::A, n % 2 == 0)]);
                host.run(Duration::from_millis(40));
                let times: Vec<u64> =
                    host.sim.log.iter().filter(|l| l.1 == HidDevice::Keyboard).map(|l| l.0).collect();
                assert_eq!(times.len(), before + 1, "one report for each key");
                slowest = slowest.max(times[before] - pressed_at);
            }
            assert!(
                slowest <= INTERVAL.as_millis() as u64,
                "{slowest} ms, relative {is_relative}, {burst} at once from {owner:?}"
            );
            // And the last place, or all of the way, comes too.
            host.run(Duration::from_secs(40));
            if is_relative {
                let byte = |r: &str| i64::from(u8::from_str_radix(&r[2..4], 16).unwrap() as i8);
                let way: i64 = host.sim.got(HidDevice::Relative).iter().map(|r| byte(r)).sum();
                let most = if burst == 10_000 { 32_767 } else { 100_000 };
                assert_eq!(way, most, "a single sum is clamped");
            } else {
                assert_eq!(host.sim.got(HidDevice::Absolute).last(), Some(&"000f27000000000"[..14].into()));
            }
        }
    }
}

#[test]
fn clicks_wait_for_their_place_and_chords_for_nothing() {
    let mut host = Polled::new();
    host.sim.send(A, [place(1)]);
    host.run(Duration::ZERO);
    let ctrl = key(KeyUsage::LEFT_CONTROL, true);
    host.sim.send(A, [place(2), ctrl, place(3), left(true), place(4), key(KeyUsage::A, true)]);
    host.run(Duration::from_millis(60));
    let got: Vec<&str> = host.sim.log.iter().map(|l| l.2.as_str()).collect();
    let place = |n: u8, buttons: u8| format!("{buttons:02x}{n:02x}0000000000");
    let want = [
        place(1, 0),
        "0100000000000000".to_owned(),
        place(3, 0),
        place(3, 1),
        "0100040000000000".to_owned(),
        place(4, 1),
    ];
    assert_eq!(got, want);
}

#[test]
fn clicks_that_a_line_held_back_catch_up() {
    let mut host = Polled::new();
    let tap = || InputEvent::Tap { usage: KeyUsage::A, modifiers: vec![] };
    host.sim.send(A, std::iter::repeat_with(tap).take(150));
    host.run(Duration::from_secs(3));
    assert_eq!(host.sim.keys(), [A_DOWN, UP].repeat(150), "5 s of a held key in less than 3 s");
    host.sim.forget();
    host.sim.send(A, [tap()]);
    host.run(Duration::from_secs(1));
    assert!(host.sim.log[1].0 - host.sim.log[0].0 >= CLICK_HOLD.as_millis() as u64);
}

/// A lock key that is pressed and a letter that tells the lock's new state come together after a stall: before any
/// LED report, the letter must not turn it back.
#[test]
fn a_lock_key_of_the_users_own_counts_before_its_led_does() {
    let mut sim = Sim::new();
    sim.engine.set_leds(LedState::default());
    let caps = |is_on| InputEvent::Lock { lock: LockKey::CapsLock, is_on };
    let caps_key = |is_down| key(KeyUsage::CAPS_LOCK, is_down);
    sim.send(
        A,
        [caps_key(true), caps_key(false), caps(true), key(KeyUsage::A, true), key(KeyUsage::A, false)],
    );
    sim.run(500);
    assert_eq!(sim.keys(), ["0000390000000000", UP, A_DOWN, UP]);
    sim.engine.set_leds(LedState::from_report(2));
    sim.forget();
    sim.send(A, [InputEvent::Tap { usage: KeyUsage::CAPS_LOCK, modifiers: vec![] }, caps(false)]);
    sim.run(500);
    assert_eq!(sim.keys(), ["0000390000000000", UP]);
}
