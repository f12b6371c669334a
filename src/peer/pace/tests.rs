use super::*;

/// A line in the simplest form: bytes go out at `rate` bytes a second, echoes come back after `way`.
struct Line {
    now: Instant,
    flow: Flow,
    pace: Pace,
    way: Duration,
    rate: f64,
    free_at: Instant,
    echoes: std::collections::VecDeque<(Instant, super::super::flow::Mark)>,
    delays: Vec<Duration>,
    frames: u32,
    /// Bytes of sound each 20 ms.
    sound: usize,
}

impl Line {
    fn new(rate: f64, way: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            flow: Flow::new(now),
            pace: Pace::new(now),
            way: Duration::from_millis(way),
            rate,
            free_at: now,
            echoes: std::collections::VecDeque::new(),
            delays: vec![],
            frames: 0,
            sound: 0,
        }
    }

    fn carry(&mut self, bytes: f64) -> Instant {
        self.free_at = self.free_at.max(self.now) + Duration::from_secs_f64(bytes / self.rate);
        self.free_at + self.way
    }

    /// Time passes in milliseconds; each `every` a new picture is there, of `size` bytes if nothing limits it.
    fn run(&mut self, ms: u64, every: u64, size: f64) {
        self.delays.clear();
        self.frames = 0;
        for n in 0..ms {
            self.now += Duration::from_millis(1);
            while self.echoes.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, mark) = self.echoes.pop_front().unwrap();
                self.flow.echoed(mark, self.now);
                self.pace.update(&self.flow, self.now);
            }
            if n % 20 == 0 && self.sound > 0 {
                self.carry(self.sound as f64);
                self.flow.sent(self.sound, false, self.now);
            }
            if n % every == 0 && self.flow.has_room(0, self.now) {
                let budget = self.pace.bits_per_second().map_or(size, |bits| f64::from(bits) / 8.0 / 10.0);
                let bytes = size.min(budget);
                let arrives = self.carry(bytes);
                self.delays.push(arrives - self.now);
                self.frames += 1;
                self.flow.sent(bytes as usize, true, self.now);
            }
            if self.flow.mark_at().is_some_and(|at| at <= self.now) {
                let mark = self.flow.mark(self.now);
                let arrives = self.carry(30.0);
                self.echoes.push_back((arrives + self.way, mark));
            }
        }
    }

    fn slowest(&self) -> u128 {
        self.delays.iter().max().map_or(0, Duration::as_millis)
    }

    fn bits(&self) -> u32 {
        self.pace.bits_per_second().unwrap_or(u32::MAX)
    }
}

#[test]
fn a_fast_line_limits_nothing() {
    let mut line = Line::new(12.5e6, 1);
    line.run(3000, 16, 30_000.0);
    assert_eq!(line.pace.bits_per_second(), None);
    assert_eq!(line.frames, 188, "each picture goes out");
    assert!(line.slowest() < 10, "{}", line.slowest());
}

#[test]
fn a_long_fast_line_limits_nothing_either() {
    let mut line = Line::new(6.25e6, 60);
    line.run(1000, 33, 400.0);
    line.run(5000, 16, 15_000.0);
    assert_eq!(line.pace.bits_per_second(), None);
    assert!(line.frames > 290, "{}", line.frames);
}

#[test]
fn sound_on_a_long_line_does_not_freeze_the_picture_while_the_round_trip_is_measured() {
    let mut line = Line::new(6.25e6, 100);
    line.sound = 256;
    line.run(3000, 33, 15_000.0);
    for second in 0..30 {
        line.run(1000, 33, 15_000.0);
        assert!(line.frames >= 20, "{} pictures in second {second}", line.frames);
    }
}

#[test]
fn a_slow_line_is_measured_and_its_changes_are_followed() {
    let (fast, slow) = (250_000.0, 37_500.0);
    let mut line = Line::new(fast, 50);
    line.run(3000, 33, 15_000.0);
    line.run(5000, 33, 15_000.0);
    assert!((1_200_000..=2_100_000).contains(&line.bits()), "{}", line.bits());
    assert!(line.slowest() < 350, "{} ms", line.slowest());
    let undisturbed = line.slowest();
    line.rate = slow;
    line.run(2000, 33, 15_000.0);
    line.run(10_000, 33, 15_000.0);
    assert!((150_000..=330_000).contains(&line.bits()), "{}", line.bits());
    assert!(line.slowest() < 500, "{} ms", line.slowest());
    line.rate = fast;
    line.run(2000, 33, 15_000.0);
    line.run(5000, 33, 15_000.0);
    assert!((1_200_000..=2_100_000).contains(&line.bits()), "{}", line.bits());
    assert!(line.slowest() * 2 <= undisturbed * 3, "{} against {undisturbed} ms", line.slowest());
}

#[test]
fn a_limit_that_is_not_felt_stays_and_one_that_is_gone_is_found_out() {
    let mut line = Line::new(37_500.0, 20);
    line.run(5000, 33, 15_000.0);
    assert!(line.bits() < 400_000, "{}", line.bits());
    let before = line.bits();
    line.run(5000, 200, 100.0);
    assert_eq!(line.bits(), before, "a few bytes say nothing about a line");
    line.rate = 12.5e6;
    line.run(10_000, 16, 60_000.0);
    assert_eq!(line.pace.bits_per_second(), None);
}

/// Frames that are small enough for the line as it was, and a little too large for what it became: nothing is ever full.
#[test]
fn a_queue_that_grows_slowly_is_seen() {
    let mut line = Line::new(250_000.0, 50);
    line.run(5000, 33, 1_750.0);
    assert_eq!(line.pace.bits_per_second(), None);
    line.rate = 37_500.0;
    line.run(2000, 33, 1_750.0);
    line.run(5000, 33, 1_750.0);
    assert!((150_000..=330_000).contains(&line.bits()), "{}", line.bits());
    assert!(line.slowest() < 450, "{} ms", line.slowest());
}
