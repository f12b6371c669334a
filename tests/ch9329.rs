//! The CH9329 backend under the writer, on a pseudo-terminal whose far end is a scripted chip: it hears only at its own
//! rate, answers slowly or out of order, loses bytes and power. What chip and line do in simulated time is shown beside
//! the code; this shows the line itself, its rates, and the writer's thread.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kvmdesk::hid::backend::ch9329::Ch9329Settings;
use kvmdesk::hid::backend::ch9329::chip::Baud;
use kvmdesk::hid::backend::{self, BackendSettings};
use kvmdesk::hid::writer::{HidSettings, HidWriter};
use kvmdesk::input::event::{AbsolutePoint, InputEvent, LedState, PointerButton};
use kvmdesk::input::usage::{ConsumerUsage, KeyUsage, SystemUsage};

use crate::support::chip::ScriptedChip;
use crate::support::terminal::terminal;

/// What the line does to replies.
#[derive(Debug, Default)]
struct Mischief {
    /// Every so many commands: one is lost.
    loses_every: usize,
    /// A reply is held back until the next one has gone out.
    swaps_every: usize,
    heard: usize,
    held: Option<Vec<u8>>,
}

/// A chip on a pseudo-terminal.
struct Bench {
    chip: Arc<Mutex<(ScriptedChip, Mischief)>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Bench {
    fn new(chip: ScriptedChip) -> Self {
        let (end, path) = terminal();
        let chip = Arc::new(Mutex::new((chip, Mischief::default())));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (chip, stop) = (chip.clone(), stop.clone());
            move || serve(end, &chip, &stop)
        });
        Self { chip, stop, thread: Some(thread), path }
    }

    fn with<T>(&self, look: impl FnOnce(&mut ScriptedChip) -> T) -> T {
        look(&mut self.chip.lock().unwrap().0)
    }

    /// What the computer saw of one command, in hex.
    fn seen(&self, code: u8) -> Vec<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        self.with(|chip| chip.seen.iter().filter(|(c, _)| *c == code).map(|(_, data)| hex(data)).collect())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn serve(mut end: File, chip: &Mutex<(ScriptedChip, Mischief)>, stop: &AtomicBool) {
    let mut bytes = [0; 512];
    while !stop.load(Ordering::Relaxed) {
        // EIO: nobody has the near end open.
        let Ok(n @ 1..) = end.read(&mut bytes) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let baud = baud(&end);
        let mut guard = chip.lock().unwrap();
        let (chip, mischief) = &mut *guard;
        for reply in chip.take(&bytes[..n], baud) {
            mischief.heard += 1;
            let is_due = |every: usize| every > 0 && mischief.heard.is_multiple_of(every);
            if is_due(mischief.loses_every) {
                continue;
            }
            if is_due(mischief.swaps_every) && mischief.held.is_none() {
                mischief.held = Some(reply);
                continue;
            }
            for reply in [Some(reply), mischief.held.take()].into_iter().flatten() {
                // In two pieces, as a line brings them.
                let (a, b) = reply.split_at(3);
                end.write_all(a).unwrap();
                end.write_all(b).unwrap();
            }
        }
    }
}

/// The rate that the near end is set to.
fn baud(end: &File) -> u32 {
    // SAFETY: the descriptor is open, and `termios` is a plain structure that tcgetattr fills.
    let speed = unsafe {
        let mut termios: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(end.as_raw_fd(), &mut termios), 0);
        libc::cfgetospeed(&termios)
    };
    match speed {
        libc::B9600 => 9600,
        libc::B115200 => 115_200,
        _ => 0,
    }
}

fn writer(device: &Path, baud: Baud) -> HidWriter {
    let settings = Ch9329Settings { device: device.to_owned(), baud };
    let backend = backend::open(&BackendSettings::Ch9329(settings)).unwrap();
    HidWriter::spawn(backend, HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() })
}

/// Waits for a condition, generously.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Usages of `abc…` typed `count` times over.
fn letters(count: usize) -> (String, Vec<u8>) {
    let text: String = ('a'..='z').cycle().take(count).collect();
    let usages = text.bytes().map(|c| c - b'a' + 4).collect();
    (text, usages)
}

#[test]
fn events_become_the_chips_commands_at_either_rate() {
    for (has, wish) in [(9600, Baud::Auto), (115_200, Baud::Auto), (9600, Baud::Fixed(115_200))] {
        let bench = Bench::new(ScriptedChip::new(has));
        let writer = writer(&bench.path, wish);
        let session = writer.open_session();
        let click = |is_down| InputEvent::Button { button: PointerButton::Right, is_down };
        until("the chip is found", || writer.health().borrow().reports_written > 0);
        for event in [
            InputEvent::Text("Hi\n".into()),
            InputEvent::PointerAbsolute(AbsolutePoint { x: 32767, y: 16384 }),
            click(true),
            click(false),
            InputEvent::Wheel { vertical: 1, horizontal: 0 },
            InputEvent::PointerRelative { dx: -1, dy: 100 },
            InputEvent::Consumer(ConsumerUsage(0x00E9)),
            InputEvent::System(SystemUsage::Sleep),
            InputEvent::Key { usage: KeyUsage::Z, is_down: true },
        ] {
            session.send(event).unwrap();
        }
        until("the last key", || bench.seen(2).last().is_some_and(|last| last == "00001d0000000000"));
        drop(session);
        drop(writer);
        let up = "0000000000000000";
        until("the last release", || bench.seen(2).last().is_some_and(|last| last == up));
        let keys =
            ["02000b0000000000", up, "00000c0000000000", up, "0000280000000000", up, "00001d0000000000", up];
        assert_eq!(bench.seen(2), keys, "{has}");
        let places = ["0200ff0f000800", "0202ff0f000800", "0200ff0f000800", "0200ff0f000801"];
        assert_eq!(bench.seen(4), places);
        assert_eq!(bench.seen(5).last().map(String::as_str), Some("0100ff6400"));
        let media = bench.seen(3);
        assert!(
            media.ends_with(&["02010000".into(), "02000000".into(), "0102".into(), "0100".into()]),
            "{media:?}"
        );
        let rate = if let Baud::Fixed(rate) = wish { rate } else { has };
        assert_eq!(bench.with(|chip| chip.baud), rate);
    }
}

#[test]
fn leds_come_back_without_being_asked_for() {
    let bench = Bench::new(ScriptedChip::new(115_200));
    let writer = writer(&bench.path, Baud::Auto);
    let leds = writer.leds();
    for lit in [2, 0, 5] {
        bench.with(|chip| chip.leds = lit);
        until("the LEDs", || *leds.borrow() == LedState::from_report(lit));
    }
}

#[test]
fn a_text_is_whole_though_replies_are_lost_and_cross() {
    let bench = Bench::new(ScriptedChip::new(115_200));
    {
        let mut guard = bench.chip.lock().unwrap();
        (guard.1.loses_every, guard.1.swaps_every) = (37, 23);
    }
    let writer = writer(&bench.path, Baud::Auto);
    until("the chip is found", || writer.health().borrow().reports_written > 0);
    let session = writer.open_session();
    let (text, usages) = letters(150);
    session.send(InputEvent::Text(text)).unwrap();
    until("the whole text", || session.text_progress().bytes_waiting == 0);
    until("the last release", || bench.seen(2).last().is_some_and(|last| last == "0000000000000000"));
    assert_eq!(bench.with(|chip| chip.typed()), usages);
    assert_eq!(session.text_progress().cuts, 0);
}

#[test]
fn power_cable_and_adapter_come_and_go() {
    let first = Bench::new(ScriptedChip::new(115_200));
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("ttyUSB0");
    symlink(&first.path, &device).unwrap();
    let writer = writer(&device, Baud::Auto);
    let health = writer.health();
    until("the chip is found", || health.borrow().reports_written > 0);
    // Nobody presses anything: the keep-alive notices all of it.
    first.with(|chip| chip.is_powered = false);
    until("silence is noticed", || health.borrow().notice.contains("CH9329"));
    first.with(|chip| {
        chip.power_on();
        chip.baud = 9600;
    });
    until("it is found at its other rate", || health.borrow().is_connected);
    first.with(|chip| chip.connect(false));
    until("the cable is noticed", || health.borrow().notice.contains("not connected by USB"));
    first.with(|chip| chip.connect(true));
    until("the cable is back", || health.borrow().is_connected);
    std::fs::remove_file(&device).unwrap();
    drop(first);
    until("the adapter is missed", || health.borrow().notice.contains("`device` of [hid]"));
    let second = Bench::new(ScriptedChip::new(9600));
    symlink(&second.path, &device).unwrap();
    until("another adapter", || health.borrow().is_connected);
    let session = writer.open_session();
    session.send(InputEvent::Text("ok".into())).unwrap();
    until("the text", || second.with(|chip| chip.typed()) == [0x12, 0x0E]);
}
