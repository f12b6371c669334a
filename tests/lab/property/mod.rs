//! The property of the hands: whatever is pressed, typed and moved, and whatever comes between the board and its
//! computer meanwhile, in the end no key is down, the pointer stands where it was last told, and the text that came is the text
//! that was sent while the computer could be reached, in order, nothing late, nothing twice.

mod expect;
mod steps;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use super::machine::{Machine, Recording, say};
use super::plan::{Random, seed, summary};
use super::recovery::SOON;
use super::{CONFIG, Session, config, install, start, stop};
use expect::Fate;

/// What comes in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// The controller goes, whatever it was at, and comes back.
    Left,
    DriverUnbound,
    PortDisabled,
    /// The gadget is unbound and left so.
    GadgetUnbound,
    /// It is unbound and bound again by somebody else than kvmdesk.
    GadgetRebound,
    Suspended,
}

const TROUBLES: [Trouble; 6] = [
    Trouble::Left,
    Trouble::DriverUnbound,
    Trouble::PortDisabled,
    Trouble::GadgetUnbound,
    Trouble::GadgetRebound,
    Trouble::Suspended,
];

pub fn walk_through(machine: &Machine) {
    let (seed, is_long) = seed();
    let count = if is_long { 500 } else { 20 };
    say(&format!("seed {seed}, {count} sequences"));
    // A still card leaves the emulated processor to the keys.
    machine.run("lab usb; lab video 1; lab mode 640x480p59; lab signal none");
    install(machine);
    // Linux suspends only a keyboard that may wake it.
    let settings = config("[gadget]\nwake = \"input\"");
    fs::write(machine.share().join("kvmdesk.toml"), settings).unwrap();
    machine.run(&format!("kvmdesk gadget up --config {CONFIG}"));
    machine.run(&format!("lab repairs kvmdesk gadget repair --config {CONFIG}"));
    start(machine);

    let mut random = Random(seed);
    let troubles = random.deal(&TROUBLES, count);
    let mut hands = Hands::new(machine, random);
    let mut times = vec![];
    for (number, trouble) in troubles.into_iter().enumerate() {
        hands.begin(format!("sequence {number}, {trouble:?}"));
        let time = hands.sequence(trouble);
        times.extend(time.map(|time| (trouble, time)));
        let back = time.map_or(String::new(), |time| format!(", back after {:.1} s", time.as_secs_f64()));
        let (came, all) = (hands.seen.chars().count(), hands.since.elapsed().as_secs_f64());
        say(&format!("ok: {}: {came} strokes{back} ({all:.1} s)", hands.what));
    }
    for trouble in TROUBLES {
        let mut of_it: Vec<Duration> =
            times.iter().filter(|(other, _)| *other == trouble).map(|(_, time)| *time).collect();
        if !of_it.is_empty() {
            say(&format!("{trouble:?}: {}", summary(&mut of_it)));
        }
    }
    let mut times: Vec<Duration> = times.into_iter().map(|(_, time)| time).collect();
    say(&format!("ok: {count} sequences, seed {seed}: input is back: {}", summary(&mut times)));
    assert!(times[times.len() / 2] <= SOON, "{times:?}");
    drop(hands);
    stop(machine);
}

/// A controller's hands, what they did, and what the computer saw of it.
struct Hands<'a> {
    machine: &'a Machine,
    random: Random,
    session: Session<'a>,
    keyboard: Recording<'a>,
    /// What happens now, and since when.
    what: String,
    since: Instant,
    /// The strokes of this sequence, as characters, and what was done in words.
    sent: Vec<(char, Fate)>,
    deeds: Vec<String>,
    /// The strokes that came.
    seen: String,
    is_shifted: bool,
    /// The function keys that were down at some time since all had come last, the same when the computer's node went, and
    /// which strokes may be one that the new node learned of.
    maybe_held: BTreeSet<char>,
    held_before: BTreeSet<char>,
    maybe_again: Vec<usize>,
    /// How often F1 went up.
    probes: usize,
    /// What is down at the computer, in words, and where its pointer stands.
    down: Vec<String>,
    at: Option<(i32, i32)>,
    /// What the controller's user holds.
    keys: Vec<char>,
    buttons: Vec<i32>,
    /// Where the user pointed last, in pixels.
    place: (i32, i32),
}

impl<'a> Hands<'a> {
    fn new(machine: &'a Machine, random: Random) -> Self {
        let keyboard = Recording::start(machine, 0);
        // Linux reads only devices that somebody has open, and a desktop has them all.
        for other in 1..4 {
            Recording::start(machine, other);
        }
        let mut hands = Self {
            machine,
            random,
            session: Session::log_in(machine),
            keyboard,
            what: "at first".to_owned(),
            since: Instant::now(),
            sent: vec![],
            deeds: vec![],
            seen: String::new(),
            is_shifted: false,
            maybe_held: BTreeSet::new(),
            held_before: BTreeSet::new(),
            maybe_again: vec![],
            probes: 0,
            down: vec![],
            at: None,
            keys: vec![],
            buttons: vec![],
            place: (0, 0),
        };
        hands.probe();
        hands.point();
        hands
    }

    fn begin(&mut self, what: String) {
        self.what = what;
        self.since = Instant::now();
        self.sent.clear();
        self.deeds.clear();
        self.seen.clear();
        self.maybe_held.clear();
        self.held_before.clear();
        self.maybe_again.clear();
    }

    /// Notes what is done, for the report of a fault.
    fn note(&mut self, deed: String) {
        self.deeds.push(format!("{:.1} s {deed}", self.since.elapsed().as_secs_f64()));
    }

    fn size(&self) -> (usize, usize) {
        self.session.app.picture().map(|p| (p.width, p.height)).unwrap()
    }

    fn in_guest(&mut self, script: &str) {
        self.note(script.to_owned());
        self.session.in_guest(script);
    }
}
