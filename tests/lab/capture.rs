//! The guest's HDMI receiver through everything that can happen to it: each of its formats, random modes, random
//! faults. The picture is the receiver's own colour bars, changed after every step, so that an old picture is no
//! right one.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kvmdesk::video::edid::Edid;
use kvmdesk::video::format::PixelFormat;

use super::machine::{Machine, PATIENCE, say};
use super::plan::{Random, seed, summary};
use super::{CONFIG, Session, config, install, launch, start, stop};
use crate::support::controller::{Picture, write_png};

/// After the end of a cause the right picture or card is there within this.
const AT_MOST: Duration = Duration::from_secs(30);
/// Two bars differ by 191 or more; encoding costs up to 5, RGB565 up to 4.
const TOLERANCE: u8 = 10;

/// How much is done.
struct Plan {
    seed: u64,
    modes: usize,
    faults: usize,
    /// Modes of more pixels, or more pictures a second, are left out: in emulation they take longer than CI has.
    most_pixels: usize,
    most_hertz: usize,
    /// Each format costs a start of the daemon; CI takes one of each kind.
    has_all_formats: bool,
}

impl Plan {
    /// CI's, or the whole of it.
    fn of_this_run() -> Self {
        let (seed, is_long) = seed();
        if is_long {
            return Self {
                seed,
                modes: usize::MAX,
                faults: 200,
                most_pixels: usize::MAX,
                most_hertz: usize::MAX,
                has_all_formats: true,
            };
        }
        Self { seed, modes: 12, faults: 20, most_pixels: 1_000_000, most_hertz: 75, has_all_formats: false }
    }
}

/// vivid's colour bars of 75 % or 100 % (its test patterns 0 and 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bars {
    pub number: u8,
}

impl Bars {
    pub fn next(self) -> Self {
        Self { number: 1 - self.number }
    }

    /// From left to right, white to black.
    fn colour(self, bar: usize) -> [u8; 3] {
        let level = [191, 255][usize::from(self.number)];
        [2usize, 4, 1].map(|bit| if bar & bit == 0 { level } else { 0 })
    }

    pub fn set(self) -> String {
        format!("control test_pattern={}", self.number)
    }
}

/// How a bar looks once it went through a format.
fn shown_by(format: Option<PixelFormat>, rgb: [u8; 3]) -> [u8; 3] {
    if format != Some(PixelFormat::Grey) {
        return rgb;
    }
    // vivid's GREY is full range and nothing says so: it is taken for limited range. Its luma is BT.709's.
    let luma = 0.2126 * f64::from(rgb[0]) + 0.7152 * f64::from(rgb[1]) + 0.0722 * f64::from(rgb[2]);
    [((luma - 16.0) * 255.0 / 219.0).round().clamp(0.0, 255.0) as u8; 3]
}

/// The first place where the picture is not these bars.
fn fault_in(picture: &Picture, bars: Bars, format: Option<PixelFormat>) -> Option<String> {
    for bar in 0..8 {
        let wanted = shown_by(format, bars.colour(bar));
        for place in [3, 5, 7] {
            for height in [1, 4, 7] {
                let (x, y) = ((bar * 10 + place) * picture.width / 80, picture.height * height / 8);
                let seen = picture.mean(x - 2, y - 2, 4, 4);
                if seen.iter().zip(wanted).any(|(seen, wanted)| seen.abs_diff(wanted) > TOLERANCE) {
                    let size = format!("{}x{}", picture.width, picture.height);
                    return Some(format!("{size} at {x},{y}: {seen:?} instead of {wanted:?}"));
                }
            }
        }
    }
    None
}

/// Waits for these bars in this size.
pub fn bars_come(
    session: &mut Session<'_>,
    size: (usize, usize),
    bars: Bars,
    format: Option<PixelFormat>,
    within: Duration,
    what: &str,
) {
    let fits = |p: &Picture| (p.width, p.height) == size && fault_in(p, bars, format).is_none();
    if let Err(error) = session.app.wait_for_picture(within, fits) {
        let seen = session.app.picture().map(|p| (p.width, p.height, fault_in(p, bars, format)));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-failure.png");
        let shown = session.app.picture().map(|picture| write_png(picture, &path));
        say(&format!("the picture at last: {} {shown:?}", path.display()));
        say(&session.in_guest(&format!("kvmdesk status --json --config {CONFIG}")));
        let stacks =
            "for task in /proc/$(cat /tmp/agent.pid)/task/*; do cat $task/comm $task/stack; done || true";
        say(&session.in_guest(stacks));
        panic!("{what}: {error}; saw {seen:?}");
    }
}

/// A picture that shows no bars, not even in a part, and is not empty.
fn is_card(picture: &Picture) -> bool {
    let shows = |bars: Bars, height: usize| {
        (0..8).all(|bar| {
            let (x, y) = ((bar * 10 + 5) * picture.width / 80, picture.height * height / 8);
            let seen = picture.mean(x - 2, y - 2, 4, 4);
            seen.iter().zip(bars.colour(bar)).all(|(seen, wanted)| seen.abs_diff(wanted) <= TOLERANCE)
        })
    };
    let is_drawn = picture.rgb.chunks(3).any(|pixel| *pixel != picture.rgb[..3]);
    is_drawn && (0..2).all(|number| [1, 7].iter().all(|height| !shows(Bars { number }, *height)))
}

fn card_comes(session: &mut Session<'_>, what: &str) {
    session.app.wait_for_picture(AT_MOST, is_card).unwrap_or_else(|e| panic!("{what}: no card: {e}"));
}

fn bars_or_card_come(session: &mut Session<'_>, bars: Bars, what: &str) {
    let fits = |p: &Picture| fault_in(p, bars, None).is_none() || is_card(p);
    session.app.wait_for_picture(AT_MOST, fits).unwrap_or_else(|e| panic!("{what}: neither: {e}"));
}

pub fn walk_through(machine: &Machine) {
    let plan = Plan::of_this_run();
    say(&format!("seed {}", plan.seed));
    machine.run("lab usb; lab video 1");
    install(machine);
    fs::write(machine.share().join("kvmdesk.toml"), config("edid = \"1080p60\"")).unwrap();
    start(machine);
    edid_is_shown(machine);
    modes_and_faults(machine, &plan);
    edid_is_shown(machine);
    stop(machine);
    machine.run("rmmod vivid; lab video 1");
    let few =
        [PixelFormat::Yuyv, PixelFormat::Nv16, PixelFormat::Yv12, PixelFormat::Bgr24, PixelFormat::Grey];
    if plan.has_all_formats {
        formats(
            machine,
            &PixelFormat::ALL,
            &["NV12", "NV21", "NV16", "NV61", "NV24", "YUYV", "YU12", "YV12", "GREY"],
        );
    } else {
        formats(machine, &few, &["YUYV", "NV16", "YV12", "BGR3", "GREY"]);
    }
    stop(machine);
    machine.run("rmmod vivid; lab video 2");
    // With this interface vivid has several memory planes, and an offset in the plane of packed formats.
    if plan.has_all_formats {
        let planar = [
            PixelFormat::Nv12,
            PixelFormat::Nv21,
            PixelFormat::Nv16,
            PixelFormat::Nv61,
            PixelFormat::Yu12,
            PixelFormat::Yv12,
            PixelFormat::Yuyv,
            PixelFormat::Bgr24,
        ];
        formats(machine, &planar, &["NM12", "NM21", "NM16", "NM61", "YM12", "YM21", "YUYV", "BGR3"]);
    } else {
        formats(
            machine,
            &[PixelFormat::Nv12, PixelFormat::Yv12, PixelFormat::Yuyv],
            &["NM12", "YM21", "YUYV"],
        );
    }
    stop(machine);
}

/// The computer reads the EDID that was configured, but for the CEC address that the driver puts into its extension.
fn edid_is_shown(machine: &Machine) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("hw/edid/1080p60.hex");
    let wanted = Edid::from_hex(&fs::read_to_string(path).unwrap()).unwrap();
    let is_it =
        |said: &str| Edid::from_hex(said).is_ok_and(|shown| shown.bytes()[..128] == wanted.bytes()[..128]);
    machine.wait_for("lab edid", is_it);
    say(&format!("ok: the EDID {:?} is shown", wanted.name()));
}

/// A signal that cannot be locked to for long: the device is opened again, then the EDID goes and comes.
fn hot_plug_is_tried(session: &mut Session<'_>, bars: Bars) {
    session.in_guest("lab signal nolock");
    let rung = |session: &mut Session<'_>, rung: &str| {
        let count = session.in_guest(&format!("grep -c 'rung={rung}' /tmp/agent.log || true"));
        (count.trim() != "0").then_some(())
    };
    session.until("opening again", |session| rung(session, "Reopen"));
    session.until("a hot-plug pulse", |session| rung(session, "HotPlug"));
    session.in_guest("lab signal ok");
    bars_come(session, (640, 480), bars, None, AT_MOST, "after a hot-plug pulse");
    say("ok: a signal without lock is answered by opening again and a hot-plug pulse");
}

/// Those of `formats` that the guest's receiver offers, chosen by the configuration one after the other; `wanted` has
/// to be among what the driver calls them.
fn formats(machine: &Machine, formats: &[PixelFormat], wanted: &[&str]) {
    machine.run("lab mode 640x480p59; lab control osd_text_mode=2");
    let listed = machine.run("v4l2-ctl -d /dev/video0 --list-formats");
    let offered: Vec<&str> = listed.split('\'').skip(1).step_by(2).collect();
    assert!(offered.len() > 20, "{listed}");
    let mut bars = Bars { number: 0 };
    let mut taken = vec![];
    let begin = Instant::now();
    for format in formats {
        let name = String::from_utf8_lossy(&format.fourcc()).into_owned();
        if !offered.contains(&name.as_str()) {
            continue;
        }
        bars = bars.next();
        fs::write(machine.share().join("kvmdesk.toml"), config(&format!("formats = [\"{name}\"]"))).unwrap();
        restart(machine, &format!("lab {}", bars.set()));
        let mut session = Session::connect(machine);
        bars_come(&mut session, (640, 480), bars, Some(*format), PATIENCE, &name);
        let lines = machine.run("grep 'capture format' /tmp/agent.log | tail -1");
        let fourcc = lines.split("format=").nth(1).and_then(|rest| rest.split(' ').next());
        taken.push(fourcc.unwrap_or_default().to_owned());
    }
    say(&format!("ok: the right picture in {} ({:.0} s)", taken.join(" "), begin.elapsed().as_secs_f64()));
    for fourcc in wanted {
        assert!(taken.iter().any(|t| t == fourcc), "{fourcc} is not among {taken:?}");
    }
    // The others are passed over, and why.
    for reason in ["not a layout that is read here", "not among the configured formats"] {
        machine.run(&format!("grep -q '{reason}' /tmp/agent.log"));
    }
}

/// Ends the daemon and starts it, with a script between.
fn restart(machine: &Machine, between: &str) {
    let end = "kill -TERM $(cat /tmp/agent.pid); while kill -0 $(cat /tmp/agent.pid); do usleep 20000; done 2>/dev/null";
    machine.run(&format!("{end}; {between}"));
    launch(machine);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    None,
    NoLock,
    OutOfRange,
    Stalled,
    Disconnect,
    FatalError,
    /// The driver is unbound and bound.
    Unbound,
    /// The driver goes, and comes back as another node.
    Moved,
}

pub const FAULTS: [Fault; 8] = [
    Fault::None,
    Fault::NoLock,
    Fault::OutOfRange,
    Fault::Stalled,
    Fault::Disconnect,
    Fault::FatalError,
    Fault::Unbound,
    Fault::Moved,
];

#[derive(Debug, Clone)]
pub struct Mode {
    number: String,
    pub name: String,
    width: usize,
    height: usize,
    hertz: usize,
    is_interlaced: bool,
}

impl Mode {
    fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// The size in which it is shown; none for interlaced ones, which a receiver may give as single fields, and for what is
    /// too large for H.264: those may be a card.
    fn shown(&self) -> Option<(usize, usize)> {
        let is_shown = !self.is_interlaced && self.width <= 3840 && self.height <= 2160;
        is_shown.then_some((self.width & !1, self.height & !1))
    }
}

/// The modes that the guest's receiver knows.
pub fn modes(machine: &Machine) -> Vec<Mode> {
    let listed = machine.run("lab modes");
    let parse = |line: &str| {
        let (number, name) = line.split_once(' ')?;
        let (width, rest) = name.split_once('x')?;
        let height: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let (width, height): (usize, usize) = (width.parse().ok()?, height.parse().ok()?);
        let rate = &rest[height.to_string().len()..];
        let hertz = rate.get(1..)?.chars().take_while(char::is_ascii_digit).collect::<String>();
        let (hertz, is_interlaced) = (hertz.parse().ok()?, rate.starts_with('i'));
        Some(Mode { number: number.to_owned(), name: name.to_owned(), width, height, hertz, is_interlaced })
    };
    listed.lines().filter_map(parse).collect()
}

fn modes_and_faults(machine: &Machine, plan: &Plan) {
    let mut random = Random(plan.seed);
    let mut bars = Bars { number: 0 };
    machine.run(&format!("lab mode 640x480p59; lab control osd_text_mode=2; lab {}", bars.set()));
    let process = machine.run("cat /tmp/agent.pid");
    let mut session = Session::connect(machine);
    bars_come(&mut session, (640, 480), bars, None, PATIENCE, "at first");
    hot_plug_is_tried(&mut session, bars);

    let all = modes(machine);
    assert!(all.len() > 100, "{all:?}");
    let mut chosen = all.clone();
    chosen.retain(|mode| mode.pixels() <= plan.most_pixels && mode.hertz <= plan.most_hertz);
    while chosen.len() > plan.modes {
        chosen.remove(random.below(chosen.len()));
    }
    let mut times = vec![];
    for mode in &chosen {
        bars = bars.next();
        session.in_guest(&format!("lab mode {}; lab {}", mode.number, bars.set()));
        let begin = Instant::now();
        match mode.shown() {
            Some(size) => bars_come(&mut session, size, bars, None, AT_MOST, &mode.name),
            None => bars_or_card_come(&mut session, bars, &mode.name),
        }
        times.push(begin.elapsed());
        say(&format!("ok: {}: {:.1} s", mode.name, begin.elapsed().as_secs_f64()));
    }
    say(&format!("ok: {} modes, {}", chosen.len(), summary(&mut times)));

    // Each kind comes at least twice in twenty.
    let faults = random.deal(&FAULTS, plan.faults);
    let mut times = vec![];
    let small = small_modes(&all);
    for (number, fault) in faults.into_iter().enumerate() {
        let mode = &small[random.below(small.len())];
        bars = bars.next();
        times.push(recover(&mut session, fault, mode, bars, &format!("fault {number}")));
    }
    say(&format!("ok: {} faults, {}", times.len(), summary(&mut times)));
    drop(session);
    let running = machine.run("kill -0 $(cat /tmp/agent.pid); cat /tmp/agent.pid");
    assert_eq!(running, process, "the daemon was not restarted");
}

/// Those that are shown and cost the emulation little.
fn small_modes(all: &[Mode]) -> Vec<Mode> {
    all.iter()
        .filter(|mode| mode.shown().is_some() && mode.pixels() <= 1024 * 768 && mode.hertz <= 75)
        .cloned()
        .collect()
}

/// A fault, then the right picture in another mode; gives the time from the one to the other.
pub fn recover(session: &mut Session<'_>, fault: Fault, mode: &Mode, bars: Bars, what: &str) -> Duration {
    let what = format!("{what}: {fault:?}, then {}", mode.name);
    let after = format!("lab mode {}; lab control osd_text_mode=2; lab {}", mode.number, bars.set());
    let begin = suffer(session, fault, &after, &what);
    let size = mode.shown().expect("only modes that can be shown are asked for");
    bars_come(session, size, bars, None, AT_MOST, &what);
    say(&format!("ok: {what}: {:.1} s", begin.elapsed().as_secs_f64()));
    begin.elapsed()
}

/// One fault from its beginning to its end; gives the time of the end.
fn suffer(session: &mut Session<'_>, fault: Fault, after: &str, what: &str) -> Instant {
    let signal = match fault {
        Fault::None => "none",
        Fault::NoLock => "nolock",
        Fault::OutOfRange => "range",
        Fault::Stalled => "stalled",
        Fault::Disconnect => return suffer_once(session, "disconnect=1", "no capture device", after, what),
        Fault::FatalError => {
            let control = "inject_fatal_streaming_error=1";
            return suffer_once(session, control, "capture failed", after, what);
        }
        Fault::Unbound | Fault::Moved => {
            session.in_guest("lab unbind");
            card_comes(session, what);
            let comes_back = if fault == Fault::Moved { "lab move" } else { "lab bind" };
            session.in_guest(&format!("{comes_back}; {after}"));
            return Instant::now();
        }
    };
    session.in_guest(&format!("lab signal {signal}"));
    card_comes(session, what);
    session.in_guest(&format!("lab signal ok; {after}"));
    Instant::now()
}

/// A fault that is over by itself; but it has to have been noticed, by a line in the daemon's log.
fn suffer_once(session: &mut Session<'_>, control: &str, line: &str, after: &str, what: &str) -> Instant {
    let count = format!("grep -c '{line}' /tmp/agent.log || true");
    let before = session.in_guest(&count);
    let begin = Instant::now();
    // Between two streams there is nothing that could fail, so it is done until it shows.
    while session.in_guest(&format!("lab control {control}; sleep 1; {count}")) == before {
        assert!(begin.elapsed() < AT_MOST, "{what}: not noticed");
    }
    session.in_guest(after);
    Instant::now()
}
