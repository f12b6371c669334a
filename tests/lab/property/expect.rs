//! What has to come of what is sent, and what came.

use std::time::{Duration, Instant};

use super::Hands;
use crate::lab::CONFIG;
use crate::lab::hands::key;
use crate::lab::machine::{PATIENCE, parse_event};

const EV_KEY: u16 = 1;
/// Marks the end of a part; all before it has come when it comes.
const MARK: u16 = 87;
/// Rows of evdev codes from the first one on, with the characters that stand for them: letters, F2 to F10, and F11.
const ROWS: [(u16, &str); 5] =
    [(16, "qwertyuiop"), (30, "asdfghjkl"), (44, "zxcvbnm"), (60, "234567890"), (MARK, "\n")];

/// What becomes of something that is sent. Each has its own keys, so that what comes tells which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The computer is there: it comes.
    Comes,
    /// At the edge of a trouble: a beginning of it, or all or nothing of it, comes in its turn.
    MayCome,
    /// Known not to be reachable: it never comes.
    Lost,
}

impl Fate {
    pub(super) fn letters(self) -> &'static str {
        match self {
            Self::Comes => "abcdefgh",
            Self::MayCome => "ijklmnopqrst",
            Self::Lost => "uvwxyz",
        }
    }

    pub(super) fn keys(self) -> [char; 3] {
        match self {
            Self::Comes => ['2', '3', '4'],
            Self::MayCome => ['5', '6', '7'],
            Self::Lost => ['8', '9', '0'],
        }
    }
}

/// A key that is no Shift, as a character.
fn character(code: u16, is_shifted: bool) -> char {
    let of_row = |&(first, row): &(u16, &str)| row.chars().nth(usize::from(code.checked_sub(first)?));
    let c = ROWS.iter().find_map(of_row).unwrap_or('?');
    if is_shifted { c.to_ascii_uppercase() } else { c }
}

pub(super) fn code(wanted: char) -> u16 {
    let of_row = |&(first, row): &(u16, &str)| {
        row.chars().position(|c| c == wanted).and_then(|n| u16::try_from(n).ok()).map(|n| first + n)
    };
    ROWS.iter().find_map(of_row).expect("a key of the table")
}

/// The first thing that came and was not sent or had come before, or that did not come and is passed by. What is still to
/// come is no fault.
fn fault_in(sent: &[(char, Fate)], seen: &str) -> Option<String> {
    let mut left = sent.iter().filter(|(_, fate)| *fate != Fate::Lost);
    for (n, c) in seen.chars().enumerate() {
        loop {
            match left.next() {
                Some((next, _)) if *next == c => break,
                Some((_, Fate::MayCome)) => {}
                Some((next, _)) => return Some(format!("{c:?} came as {n} instead of {next:?}")),
                None => return Some(format!("{c:?} came as {n} and was not to come")),
            }
        }
    }
    None
}

#[test]
fn faults_are_found() {
    let sent = |text: &str, fate| text.chars().map(move |c| (c, fate)).collect::<Vec<_>>();
    let all =
        [sent("ab", Fate::Comes), sent("ijk", Fate::MayCome), sent("u", Fate::Lost), sent("c", Fate::Comes)]
            .concat();
    for right in ["", "a", "abc", "abic", "abikc", "abijkc"] {
        assert_eq!(fault_in(&all, right), None, "{right}");
    }
    for wrong in ["b", "ac", "aab", "abiic", "abkjc", "abuc", "abci", "abcc", "abc?"] {
        assert!(fault_in(&all, wrong).is_some(), "{wrong}");
    }
    for code_of in ['q', 'm', '2', '0', '\n'] {
        assert_eq!(character(code(code_of), false), code_of);
    }
    assert_eq!((character(30, true), character(1, false)), ('A', '?'));
}

impl Hands<'_> {
    /// Everything that has to come has come, and the pointer is in its place.
    pub(super) fn settle(&mut self) {
        self.session.app.map_click(MARK.into()).unwrap();
        self.sent.push(('\n', Fate::Comes));
        let marks = self.sent.iter().filter(|(c, _)| *c == '\n').count();
        self.expect("what was sent", |hands| hands.seen.matches('\n').count() == marks);
        self.expect("the pointer in its place", |hands| hands.is_in_place());
        self.maybe_held = self.keys.iter().copied().collect();
    }

    /// Presses F1 until it has come; gives the time when it did.
    pub(super) fn probe(&mut self) -> Instant {
        self.note("probe".to_owned());
        self.read();
        let before = self.probes;
        self.expect("input that works", |hands| {
            if hands.probes == before {
                hands.session.app.map_click(key::F1.into()).unwrap();
                hands.session.app.idle(Duration::from_millis(100)).unwrap();
            }
            hands.probes > before
        });
        Instant::now()
    }

    /// Reads what the computer saw until it fits; says what is missing if it never does.
    pub(super) fn expect(&mut self, what: &str, mut fits: impl FnMut(&mut Self) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.read();
            if fits(self) {
                return;
            }
            assert!(Instant::now() < give_up, "{}", self.report(&format!("never came: {what}")));
            self.session.app.idle(Duration::from_millis(20)).unwrap();
        }
    }

    fn read(&mut self) {
        let (lines, state) = self.keyboard.take_lines("lab state");
        for line in lines {
            match parse_event(&line) {
                // The node is another one, with everything up; it learns of a key that is still held by the next report.
                None => {
                    self.is_shifted = false;
                    self.held_before = self.maybe_held.clone();
                }
                Some((EV_KEY, key::LEFT_SHIFT, value)) => self.is_shifted = value != 0,
                Some((EV_KEY, key::F1, value)) => self.probes += usize::from(value == 0),
                Some((EV_KEY, code, 1)) => {
                    let c = character(code, self.is_shifted);
                    if c.is_ascii_digit() {
                        if self.held_before.remove(&c) {
                            self.maybe_again.push(self.seen.chars().count());
                        }
                        self.maybe_held.insert(c);
                    }
                    self.seen.push(c);
                }
                Some(_) => {}
            }
        }
        (self.down, self.at) = (vec![], None);
        for line in state.lines() {
            let mut words = line.split(' ');
            let is_place = words.next() == Some("at");
            let mut number = || words.next()?.parse::<i32>().ok();
            match (is_place, number(), number()) {
                (true, Some(x), Some(y)) => self.at = Some((x, y)),
                _ => self.down.push(line.to_owned()),
            }
        }
        if let Some(fault) = self.fault() {
            panic!("{}", self.report(&fault));
        }
    }

    /// [`fault_in`] what came; a held key of which the computer's new node learned anew may count or not.
    fn fault(&self) -> Option<String> {
        let mut readings = vec![String::new()];
        for (n, c) in self.seen.chars().enumerate() {
            if self.maybe_again.contains(&n) {
                readings.extend_from_within(..);
                let half = readings.len() / 2;
                readings[..half].iter_mut().for_each(|reading| reading.push(c));
            } else {
                readings.iter_mut().for_each(|reading| reading.push(c));
            }
        }
        let mut faults = readings.iter().map(|reading| fault_in(&self.sent, reading));
        let first = faults.next()??;
        faults.all(|fault| fault.is_some()).then_some(first)
    }

    pub(super) fn report(&self, what: &str) -> String {
        let sent: String = self.sent.iter().map(|(c, _)| *c).collect();
        let look = format!(
            "lab state; cat /tmp/repairs.log; kvmdesk status --json --config {CONFIG} | grep -A 30 '\"hid\"'"
        );
        let state = self.machine.try_run(&look).0;
        format!(
            "{}: {what}\nsent {sent:?}\nseen {:?}\nplace {:?} of {:?}\nstate {state}\nsession ended: {}, {:?}\nlast {}",
            self.what,
            self.seen,
            self.place,
            self.size(),
            self.session.app.is_ended,
            self.session.app.close_reason,
            self.deeds.join(", ")
        )
    }

    /// Whether the pointer stands where it was last told.
    fn is_in_place(&self) -> bool {
        let (width, height) = self.size();
        let scaled = |at: i32, size: usize| at * 32767 / (size as i32 - 1);
        let (x, y) = (scaled(self.place.0, width), scaled(self.place.1, height));
        self.at.is_some_and(|at| (at.0 - x).abs() <= 1 && (at.1 - y).abs() <= 1)
    }

    /// The same, with nothing down.
    pub(super) fn is_at_rest(&self) -> bool {
        self.down.is_empty() && self.is_in_place()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.status("/target/hid/is_connected") == true
    }
}
