//! The soak: for as long as it is told to, modes change, the signal fails and comes back, controllers come, type and
//! go; memory, descriptors and threads of the daemon have to stay as they are. Run by `tests/lab/long/soak.sh`.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::machine::{Machine, PATIENCE, say};
use super::picture::shows_bars;
use super::{Session, install, start, stop};

/// What the computer sends, with what has to arrive.
const MODES: [(&str, usize, usize); 5] = [
    ("640x480p59", 640, 480),
    ("800x600p60", 800, 600),
    ("1024x768p60", 1024, 768),
    ("1280x720p60", 1280, 720),
    ("1280x1024p60", 1280, 1024),
];
/// What can fail: how it begins, and how it ends.
const FAULTS: [(&str, &str); 5] = [
    ("lab signal none", "lab signal ok"),
    ("lab signal nolock", "lab signal ok"),
    ("lab signal range", "lab signal ok"),
    ("lab signal stalled", "lab signal ok"),
    ("lab unbind", "lab bind"),
];
/// Most controllers at once.
const MOST_CONTROLLERS: usize = 3;
/// Rounds in which everything happens for the first time; they are not judged.
const WARM_UP: usize = 2;
/// Rounds that a judgement needs.
const LEAST_ROUNDS: usize = 6;
/// What may be more in the last third than in the first, in kB and as a share: what the allocator happens to keep.
const ALLOWED_KB: u64 = 2048;
const ALLOWED_SHARE: u64 = 10;

/// Warnings that this script causes, as a part of their words, and why they are right.
const EXPECTED: [(&str, &str); 4] = [
    ("direct access on", "the configuration asks for it"),
    ("capture recovery rung=", "the signal was made to fail, or the emulated receiver took its time"),
    ("no capture device", "its driver was unbound"),
    ("capture failed", "its driver was unbound"),
];

/// What the daemon holds when everybody has gone.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    rss_kb: u64,
    anonymous_kb: u64,
    descriptors: u64,
    threads: u64,
}

/// Takes one figure out of a sample.
type Measure = fn(&Sample) -> u64;

/// Chance from a seed (splitmix64), so that a run can be repeated.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

#[test]
#[ignore = "as long as it is told to be; tests/lab/long/soak.sh MINUTES"]
fn nothing_grows() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let minutes = number("KVMDESK_SOAK_MINUTES").unwrap_or(60);
    let seed = number("KVMDESK_SOAK_SEED").unwrap_or(1);
    let machine = Machine::boot(&[]).unwrap();
    machine.run("lab usb; lab video 1; lab mode 640x480p59");
    install(&machine);
    // What is no warning is not looked at, and an hour of it would fill the guest's memory.
    let config = machine.share().join("kvmdesk.toml");
    let quieter = fs::read_to_string(&config).unwrap().replace("\"debug\"", "\"info\"");
    fs::write(&config, quieter).unwrap();
    start(&machine);

    let begun = Instant::now();
    let until = begun + Duration::from_secs(minutes * 60);
    let mut soak =
        Soak { machine: &machine, chance: Chance(seed), sessions: vec![], mode: MODES[0], events: 0 };
    let mut samples = vec![];
    while Instant::now() < until || samples.len() < WARM_UP + LEAST_ROUNDS {
        if samples.len() < WARM_UP {
            soak.first_round()
        } else {
            soak.round()
        }
        let sample = soak.sample();
        say(&format!(
            "{:5} s, round {:4}, {:5} events: RSS {} kB, of it anonymous {} kB, {} descriptors, {} threads",
            begun.elapsed().as_secs(),
            samples.len() + 1,
            soak.events,
            sample.rss_kb,
            sample.anonymous_kb,
            sample.descriptors,
            sample.threads
        ));
        samples.push(sample);
    }
    let events = soak.events;
    stop(&machine);
    let log = fs::read_to_string(machine.share().join("agent.log")).unwrap();
    let faults = [judge(&samples[WARM_UP..]), unexplained(&log)].concat();
    say(&format!("{} rounds, {events} events, seed {seed}", samples.len()));
    assert!(faults.is_empty(), "{}\nthe daemon's last words:\n{}", faults.join("\n"), last_lines(&log, 40));
}

struct Soak<'a> {
    machine: &'a Machine,
    chance: Chance,
    sessions: Vec<Session<'a>>,
    mode: (&'static str, usize, usize),
    events: usize,
}

impl Soak<'_> {
    /// Everything once, so that what is kept for good is there before anything is measured.
    fn first_round(&mut self) {
        for _ in 0..MOST_CONTROLLERS {
            self.join();
        }
        for mode in MODES {
            self.change_mode(mode);
        }
        for fault in FAULTS {
            self.fail(fault);
        }
        self.use_hands();
        self.all_leave();
    }

    /// A few controllers, a few events, everybody leaves.
    fn round(&mut self) {
        for _ in 0..=self.chance.below(MOST_CONTROLLERS) {
            self.join();
        }
        for _ in 0..3 + self.chance.below(4) {
            match self.chance.below(5) {
                0 | 1 => {
                    let mode = MODES[self.chance.below(MODES.len())];
                    self.change_mode(mode);
                }
                2 => {
                    let fault = FAULTS[self.chance.below(FAULTS.len())];
                    self.fail(fault);
                }
                3 => self.use_hands(),
                _ => {
                    let leaving = self.chance.below(self.sessions.len());
                    drop(self.sessions.swap_remove(leaving));
                    self.join();
                }
            }
        }
        self.all_leave();
    }

    fn join(&mut self) {
        self.events += 1;
        // The app's windows differ in their IDs; the same window would replace its older session.
        self.sessions.push(Session::log_in_as(self.machine, self.events as u64));
        self.all_see("the mode of a new controller");
    }

    fn change_mode(&mut self, mode: (&'static str, usize, usize)) {
        self.events += 1;
        self.mode = mode;
        self.in_guest(&format!("lab mode {}", mode.0));
        self.all_see(mode.0);
    }

    fn fail(&mut self, (begin, end): (&str, &str)) {
        self.events += 1;
        self.in_guest(begin);
        self.until(&format!("the card of {begin}"), |s| s.app.picture().is_some_and(|p| !shows_bars(p)));
        // A driver that comes back has forgotten the mode.
        let mode = self.mode.0;
        self.in_guest(&format!("{end}; lab mode {mode}"));
        self.all_see(&format!("the picture after {begin}"));
    }

    fn use_hands(&mut self) {
        self.events += 1;
        let (_, width, height) = self.mode;
        let place = (self.chance.below(width) as i32, self.chance.below(height) as i32);
        for session in &mut self.sessions {
            session.app.move_to(place.0, place.1).unwrap();
            session.app.type_text("soak").unwrap();
        }
    }

    fn all_leave(&mut self) {
        self.events += self.sessions.len();
        // Some say good-bye, as the app does; of others only the connection ends.
        for session in self.sessions.drain(..) {
            if self.chance.below(2) == 0 {
                session.app.close().unwrap();
            }
        }
    }

    /// The bars of the current mode, at every controller.
    fn all_see(&mut self, what: &str) {
        let (_, width, height) = self.mode;
        self.until(what, |session| {
            session.app.picture().is_some_and(|p| (p.width, p.height) == (width, height) && shows_bars(p))
        });
    }

    /// Listens for every controller in turn until all of them are content.
    fn until(&mut self, what: &str, is_content: impl Fn(&Session<'_>) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !self.sessions.iter().all(&is_content) {
            assert!(Instant::now() < give_up, "event {}: never came: {what}", self.events);
            for session in &mut self.sessions {
                session.app.pump(Duration::from_millis(20)).unwrap();
                assert!(!session.app.is_ended, "event {}: a session ended: {what}", self.events);
            }
        }
    }

    /// Runs a script in the guest while every controller goes on.
    fn in_guest(&mut self, script: &str) {
        let machine = self.machine;
        std::thread::scope(|scope| {
            let running = scope.spawn(|| machine.run(script));
            while !running.is_finished() {
                for session in &mut self.sessions {
                    session.app.pump(Duration::from_millis(20)).unwrap();
                }
            }
            running.join().unwrap()
        });
    }

    /// What the daemon holds, once it has noticed that everybody has gone.
    fn sample(&self) -> Sample {
        let status = format!("kvmdesk status --json --config {}", super::CONFIG);
        self.machine.wait_for(&status, |said| {
            serde_json::from_str::<serde_json::Value>(said)
                .is_ok_and(|s| s.pointer("/target/sessions").is_some_and(|s| s == &serde_json::json!([])))
        });
        // Its encoder goes when the pipeline's thread next looks around: two equal readings are the end of that.
        let give_up = Instant::now() + PATIENCE;
        let mut last = self.read();
        loop {
            std::thread::sleep(Duration::from_secs(2));
            let sample = self.read();
            if (sample.anonymous_kb, sample.threads) == (last.anonymous_kb, last.threads) {
                return sample;
            }
            assert!(
                Instant::now() < give_up,
                "with nobody there it does not come to rest: {last:?}, {sample:?}"
            );
            last = sample;
        }
    }

    fn read(&self) -> Sample {
        let text = self.machine.run(
            "pid=$(cat /tmp/agent.pid); grep -E 'VmRSS|RssAnon|Threads' /proc/$pid/status; \
             echo Descriptors: $(ls /proc/$pid/fd | wc -l)",
        );
        let number = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        Sample {
            rss_kb: number("VmRSS:"),
            anonymous_kb: number("RssAnon:"),
            descriptors: number("Descriptors:"),
            threads: number("Threads:"),
        }
    }
}

/// Compares the last third of the rounds with the first.
fn judge(samples: &[Sample]) -> Vec<String> {
    let third = samples.len() / 3;
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    let median = |part: &[Sample], value: Measure| {
        let mut values: Vec<_> = part.iter().map(value).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let measures: [(&str, Measure, u64); 4] = [
        ("RSS in kB", |s| s.rss_kb, ALLOWED_KB),
        ("anonymous memory in kB", |s| s.anonymous_kb, ALLOWED_KB),
        ("descriptors", |s| s.descriptors, 0),
        ("threads", |s| s.threads, 0),
    ];
    let mut faults = vec![];
    for (name, value, allowed) in measures {
        let (before, after) = (median(first, value), median(last, value));
        let allowed = if allowed > 0 { allowed.max(before * ALLOWED_SHARE / 100) } else { 0 };
        say(&format!("{name}: {before} in the first third, {after} in the last"));
        if after > before + allowed {
            faults.push(format!("{name} grew from {before} to {after}"));
        }
    }
    faults
}

/// Warnings and errors that the script did not cause, each once with how often it came.
fn unexplained(log: &str) -> Vec<String> {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")) {
        // Without time and numbers, equal faults are equal.
        let words = line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
        let words: String = words.chars().filter(|c| !c.is_ascii_digit()).collect();
        *counted.entry(words).or_default() += 1;
    }
    let mut faults = vec![];
    for (words, count) in counted {
        match EXPECTED.iter().find(|(part, _)| words.contains(part)) {
            Some((_, why)) => say(&format!("{count} times, {why}: {words}")),
            None => faults.push(format!("{count} times: {words}")),
        }
    }
    faults
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
