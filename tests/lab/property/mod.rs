//! The property of the hands: whatever is pressed, typed and moved, and whatever comes between the board and its
//! computer meanwhile, in the end no key is down, the pointer stands where it was last told, and the text that came is the text
//! that was sent while the computer could be reached, in order, nothing late, nothing twice.

use std::fs;
use std::time::{Duration, Instant};

use kvmdesk::wire::message::hbb::misc::Union as Misc;

use super::hands::key;
use super::machine::{Machine, PATIENCE, Recording, parse_event, say};
use super::plan::{Random, seed, summary};
use super::recovery::{Cause, SOON};
use super::{CONFIG, Session, config, install, start, stop};
use crate::support::controller::button;

const EV_KEY: u16 = 1;
/// Marks the end of a part; all before it has come when it comes.
const MARK: u16 = 87;
/// Rows of evdev codes from the first one on, with the characters that stand for them: letters, F2 to F10, and F11.
const ROWS: [(u16, &str); 5] =
    [(16, "qwertyuiop"), (30, "asdfghjkl"), (44, "zxcvbnm"), (60, "234567890"), (MARK, "\n")];
const BUTTONS: [i32; 3] = [button::LEFT, button::RIGHT, button::MIDDLE];

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

/// What becomes of something that is sent. Each has its own keys, so that what comes tells which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The computer is there: it comes.
    Comes,
    /// At the edge of a trouble: a beginning of it, or all or nothing of it, comes in its turn.
    MayCome,
    /// Known not to be reachable: it never comes.
    Lost,
}

impl Fate {
    fn letters(self) -> &'static str {
        match self {
            Self::Comes => "abcdefgh",
            Self::MayCome => "ijklmnopqrst",
            Self::Lost => "uvwxyz",
        }
    }

    fn keys(self) -> [char; 3] {
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

fn code(wanted: char) -> u16 {
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
        let begin = Instant::now();
        hands.begin(format!("sequence {number}, {trouble:?}"));
        let time = hands.sequence(trouble);
        times.extend(time.map(|time| (trouble, time)));
        let back = time.map_or(String::new(), |time| format!(", back after {:.1} s", time.as_secs_f64()));
        let (came, all) = (hands.seen.chars().count(), begin.elapsed().as_secs_f64());
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
    /// What happens now.
    what: String,
    /// The strokes of this sequence, as characters, and what was done in words.
    sent: Vec<(char, Fate)>,
    deeds: Vec<String>,
    /// The strokes that came.
    seen: String,
    is_shifted: bool,
    /// How often F1 went up.
    probes: usize,
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
            sent: vec![],
            deeds: vec![],
            seen: String::new(),
            is_shifted: false,
            probes: 0,
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
        self.sent.clear();
        self.deeds.clear();
        self.seen.clear();
    }

    /// Something, the trouble, something; gives the time from its end until input was back.
    fn sequence(&mut self, trouble: Trouble) -> Option<Duration> {
        if self.random.below(2) == 0 {
            self.act(Fate::Comes);
            self.settle();
        }
        let time = self.endure(trouble);
        self.act(Fate::Comes);
        // Linux throws away what waits in a device when it is opened (usbhid_open), so a place that was told meanwhile is
        // told again by the user's next move only.
        self.point();
        if self.random.below(4) == 0 {
            // What waits for the computer would end with the session.
            self.settle();
            self.leave(true);
        } else {
            self.let_go();
        }
        self.settle();
        self.expect("everything up, the pointer in its place", |hands| {
            let (down, is_in_place) = hands.state();
            down.is_empty() && is_in_place
        });
        time
    }

    fn endure(&mut self, trouble: Trouble) -> Option<Duration> {
        let (begin, end) = match trouble {
            Trouble::Left => {
                self.settle();
                self.hold();
                self.leave(true);
                return None;
            }
            Trouble::Suspended => return Some(self.endure_suspension()),
            Trouble::GadgetRebound => ("lab unplug; lab plug || true", None),
            Trouble::GadgetUnbound => (Cause::GadgetUnbound.begin(), None),
            Trouble::PortDisabled => (Cause::PortDisabled.begin(), Cause::PortDisabled.end()),
            Trouble::DriverUnbound => (Cause::DriverUnbound.begin(), Cause::DriverUnbound.end()),
        };
        self.act(Fate::MayCome);
        self.in_guest(begin);
        let Some(end) = end else {
            let since = Instant::now();
            self.act(Fate::MayCome);
            return Some(self.recover_from_repairs(since));
        };
        // A driver that comes back before the daemon gave up gets what waited.
        let is_cut_off = trouble == Trouble::PortDisabled;
        let is_noticed = is_cut_off || self.random.below(2) == 0;
        if is_noticed {
            self.type_text(if is_cut_off { Fate::Lost } else { Fate::MayCome });
            self.expect("trouble is noticed", |hands| !hands.is_connected());
            self.act(Fate::Lost);
            if self.random.below(3) == 0 {
                self.leave(false);
            }
            self.point();
            // They are thrown away by the time that the status comes.
            assert!(!self.is_connected(), "{}", self.report("nobody is there"));
        } else {
            self.act(Fate::MayCome);
        }
        self.in_guest(end);
        let since = Instant::now();
        Some(self.probe().saturating_duration_since(since))
    }

    /// The computer sleeps until it is woken by input.
    fn endure_suspension(&mut self) -> Duration {
        // Linux suspends no keyboard with a key down.
        self.let_go();
        self.settle();
        self.in_guest(Cause::Suspended.begin());
        let since = Instant::now();
        self.act(Fate::MayCome);
        let time = self.probe().saturating_duration_since(since);
        // Until then it goes to sleep again and again.
        self.in_guest("lab suspend off");
        self.probe();
        time
    }

    /// A repair that was asked for before the gadget was back unplugs it once more.
    fn recover_from_repairs(&mut self, since: Instant) -> Duration {
        let time = self.probe().saturating_duration_since(since);
        self.expect("no repair under way", |hands| {
            // Who runs it is told apart from the loop that starts it by the column before it.
            let look =
                "[ -e /run/kvmdesk/gadget-repair ] && echo asked; ps | grep 'root  *kvmdesk gadget repair'";
            hands.machine.try_run(look).0.is_empty()
        });
        self.probe();
        time
    }

    /// A few deeds of the user.
    fn act(&mut self, fate: Fate) {
        for _ in 0..=self.random.below(4) {
            match self.random.below(7) {
                0..=2 => self.type_text(fate),
                3 => self.press(fate),
                4 => self.release(),
                5 => self.button(),
                _ => self.point(),
            }
        }
    }

    /// Keys and a button down, and the middle of a text.
    fn hold(&mut self) {
        self.press(Fate::MayCome);
        self.button();
        self.press(Fate::MayCome);
        if self.random.below(2) == 0 {
            self.type_text(Fate::MayCome);
            self.type_text(Fate::MayCome);
        }
    }

    fn type_text(&mut self, fate: Fate) {
        let letters = fate.letters();
        let at = self.random.below(letters.len());
        let length = letters.len() / 2 + self.random.below(letters.len() / 2);
        // Of what is at the edge the recorder may miss Shift alone.
        let has_capitals = fate == Fate::Comes;
        let text: String = letters
            .chars()
            .cycle()
            .skip(at)
            .take(length)
            .map(|c| if has_capitals && self.random.below(3) == 0 { c.to_ascii_uppercase() } else { c })
            .collect();
        self.sent.extend(text.chars().map(|c| (c, fate)));
        self.session.app.type_text(&text).unwrap();
        self.deeds.push(format!("type {text}"));
    }

    fn press(&mut self, fate: Fate) {
        let free: Vec<char> = fate.keys().into_iter().filter(|key| !self.keys.contains(key)).collect();
        if free.is_empty() {
            return self.release();
        }
        let key = free[self.random.below(free.len())];
        self.keys.push(key);
        self.sent.push((key, fate));
        self.session.app.map_key(code(key).into(), true).unwrap();
        self.deeds.push(format!("press {key}"));
    }

    fn release(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let key = self.keys.swap_remove(self.random.below(self.keys.len()));
        self.session.app.map_key(code(key).into(), false).unwrap();
        self.deeds.push(format!("release {key}"));
    }

    fn button(&mut self) {
        let button = BUTTONS[self.random.below(BUTTONS.len())];
        if let Some(at) = self.buttons.iter().position(|held| *held == button) {
            self.buttons.swap_remove(at);
            self.session.app.button_up(button).unwrap();
        } else {
            self.buttons.push(button);
            self.session.app.button_down(button).unwrap();
        }
        self.deeds.push(format!("button {button}"));
    }

    fn point(&mut self) {
        let (width, height) = self.size();
        // The origin is what apps tell after a change of the display, and is not believed.
        self.place = (1 + self.random.below(width - 1) as i32, 1 + self.random.below(height - 1) as i32);
        self.session.app.move_to(self.place.0, self.place.1).unwrap();
        self.deeds.push(format!("point {:?}", self.place));
    }

    fn let_go(&mut self) {
        while !self.keys.is_empty() {
            self.release();
        }
        while let Some(button) = self.buttons.pop() {
            self.session.app.button_up(button).unwrap();
            self.deeds.push(format!("button {button}"));
        }
    }

    /// The controller goes, with a word or without, or when its successor is there already; another comes.
    fn leave(&mut self, is_host_there: bool) {
        let kind = self.random.below(3);
        self.deeds.push(format!("leave {kind}"));
        self.keys.clear();
        self.buttons.clear();
        if kind == 0 {
            self.session.app.send_misc(Misc::CloseReason(String::new())).unwrap();
        }
        if kind < 2 {
            self.session.app.link().shut_down().unwrap();
            if is_host_there {
                self.expect("everything up without a controller", |hands| {
                    let (down, is_in_place) = hands.state();
                    down.is_empty() && is_in_place
                });
            }
        }
        self.session = Session::log_in(self.machine);
    }

    /// Everything that has to come has come, and the pointer is in its place.
    fn settle(&mut self) {
        self.session.app.map_click(MARK.into()).unwrap();
        self.sent.push(('\n', Fate::Comes));
        let marks = self.sent.iter().filter(|(c, _)| *c == '\n').count();
        self.expect("what was sent", |hands| hands.seen.matches('\n').count() == marks);
        self.expect("the pointer in its place", |hands| hands.state().1);
    }

    /// Presses F1 until it has come and the daemon knows it; gives the time when it came first.
    fn probe(&mut self) -> Instant {
        self.deeds.push("probe".to_owned());
        let before = self.probes;
        let mut came_at = None;
        self.expect("input that works", |hands| {
            if hands.probes == before {
                hands.session.app.map_click(key::F1.into()).unwrap();
                hands.session.app.idle(Duration::from_millis(100)).unwrap();
                return false;
            }
            came_at.get_or_insert_with(Instant::now);
            hands.is_connected()
        });
        came_at.unwrap_or_else(Instant::now)
    }

    /// Reads what the computer saw until it fits; says what is missing if it never does.
    fn expect(&mut self, what: &str, mut fits: impl FnMut(&mut Self) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.read();
            if fits(self) {
                return;
            }
            assert!(Instant::now() < give_up, "{}", self.report(&format!("never came: {what}")));
            self.session.app.idle(Duration::from_millis(50)).unwrap();
        }
    }

    fn read(&mut self) {
        for line in self.keyboard.take_lines() {
            match parse_event(&line) {
                // The node is another one, with everything up.
                None => self.is_shifted = false,
                Some((EV_KEY, key::LEFT_SHIFT, value)) => self.is_shifted = value != 0,
                Some((EV_KEY, key::F1, value)) => self.probes += usize::from(value == 0),
                Some((EV_KEY, code, 1)) => self.seen.push(character(code, self.is_shifted)),
                Some(_) => {}
            }
        }
        if let Some(fault) = fault_in(&self.sent, &self.seen) {
            panic!("{}", self.report(&fault));
        }
    }

    fn report(&self, what: &str) -> String {
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

    /// What is down at the computer, and whether its pointer stands where it was last told.
    fn state(&self) -> (Vec<String>, bool) {
        // A device that is just going is no answer.
        let said = self.machine.try_run("lab state").0;
        let (width, height) = self.size();
        let scaled = |at: i32, size: usize| at * 32767 / (size as i32 - 1);
        let wanted = (scaled(self.place.0, width), scaled(self.place.1, height));
        let mut down = vec![];
        let mut is_in_place = false;
        for line in said.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["at", x, y] => {
                    let is_near =
                        |at: &str, wanted: i32| at.parse::<i32>().is_ok_and(|at| (at - wanted).abs() <= 1);
                    is_in_place = is_near(x, wanted.0) && is_near(y, wanted.1);
                }
                _ => down.push(line.to_owned()),
            }
        }
        (down, is_in_place)
    }

    fn size(&self) -> (usize, usize) {
        self.session.app.picture().map(|p| (p.width, p.height)).unwrap()
    }

    fn is_connected(&self) -> bool {
        self.session.status("/target/hid/is_connected") == true
    }

    fn in_guest(&mut self, script: &str) {
        self.deeds.push(script.to_owned());
        self.session.in_guest(script);
    }
}
