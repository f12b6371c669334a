//! One contract for every HID backend that can run without a USB port: what goes in as events comes out as exactly
//! the promised bytes, in order, on the right device; everything is up in the end; LEDs come back where there are any.
//!
//! The gadget backend runs here on pseudo-terminals in the place of `/dev/hidgN`. That shows its paths, byte counts,
//! LED reading and its way through a failing device; what the kernel's `f_hid` answers is shown by the lab's tests.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kvmdesk::hid::backend::gadget::{Gadget, GadgetNodes, NodePaths};
use kvmdesk::hid::backend::recording::{RecordedReport, RecordedReports, Recording};
use kvmdesk::hid::backend::{self, BackendSettings, HidBackend, HidDevice, WriteOutcome};
use kvmdesk::hid::writer::{HidSettings, HidWriter};
use kvmdesk::input::event::{AbsolutePoint, InputEvent, LedState, PointerButton};
use kvmdesk::input::usage::{ConsumerUsage, KeyUsage, SystemUsage};

use crate::support::terminal::raw_terminal;

/// A backend under test and a view of what it delivered.
struct Case {
    backend: Box<dyn HidBackend>,
    seen: Seen,
}

/// How to look at what arrived.
enum Seen {
    Memory(RecordedReports),
    File { path: PathBuf, _dir: tempfile::TempDir },
    Terminals(Box<Terminals>),
}

/// The far ends of the pseudo-terminals, and what came out of them so far. Media and power keys share one.
struct Terminals {
    ends: Vec<File>,
    bytes: Vec<Vec<u8>>,
    dir: tempfile::TempDir,
}

const FUNCTIONS: [(HidDevice, usize); 3] =
    [(HidDevice::Keyboard, 8), (HidDevice::Absolute, 7), (HidDevice::Relative, 5)];

impl Seen {
    /// The hex reports of one device so far.
    fn of(&mut self, device: HidDevice) -> Vec<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        match self {
            Self::Memory(reports) => reports.of(device),
            Self::File { path, .. } => lines(path)
                .into_iter()
                .filter(|line| line.device == device.name())
                .map(|line| line.report)
                .collect(),
            Self::Terminals(terminals) => {
                terminals.drain();
                if let Some(at) = FUNCTIONS.iter().position(|(d, _)| *d == device) {
                    return terminals.bytes[at].chunks(FUNCTIONS[at].1).map(hex).collect();
                }
                let mut control = terminals.bytes[3].as_slice();
                let mut reports = vec![];
                while let [id, ..] = control {
                    let (report, rest) = control.split_at(if *id == 1 { 3 } else { 2 });
                    control = rest;
                    if (*id == 1) == (device == HidDevice::Consumer) {
                        reports.push(hex(report));
                    }
                }
                reports
            }
        }
    }
}

impl Terminals {
    fn drain(&mut self) {
        for (end, bytes) in self.ends.iter_mut().zip(&mut self.bytes) {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = end.read(&mut chunk) {
                bytes.extend_from_slice(&chunk[..n]);
            }
        }
    }
}

fn lines(path: &PathBuf) -> Vec<RecordedReport> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Four pseudo-terminals in raw mode behind links that stand for `/dev/hidg0..3`.
fn terminals() -> (Terminals, NodePaths) {
    let dir = tempfile::tempdir().unwrap();
    let mut ends = vec![];
    let node = |n: usize| dir.path().join(format!("hidg{n}"));
    for n in 0..4 {
        let (end, near) = raw_terminal();
        std::os::unix::fs::symlink(near, node(n)).unwrap();
        ends.push(end);
    }
    let paths = NodePaths {
        keyboard: node(0),
        absolute: Some(node(1)),
        relative: Some(node(2)),
        control: Some(node(3)),
    };
    (Terminals { ends, bytes: vec![vec![]; 4], dir }, paths)
}

fn cases() -> Vec<Case> {
    let (memory, reports) = Recording::in_memory();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hid.jsonl");
    let file = backend::open(&BackendSettings::Recording { file: Some(path.clone()) }).unwrap();
    let (terminals, paths) = terminals();
    let gadget = backend::open(&BackendSettings::Gadget(GadgetNodes::Paths(paths))).unwrap();
    vec![
        Case { backend: Box::new(memory), seen: Seen::Memory(reports) },
        Case { backend: file, seen: Seen::File { path, _dir: dir } },
        Case { backend: gadget, seen: Seen::Terminals(Box::new(terminals)) },
    ]
}

/// Waits for a condition, generously.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn writer(backend: Box<dyn HidBackend>) -> HidWriter {
    HidWriter::spawn(backend, HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() })
}

#[test]
fn events_become_exactly_the_promised_bytes() {
    for Case { backend, mut seen } in cases() {
        let name = backend.name();
        let writer = writer(backend);
        let session = writer.open_session();
        let click = |is_down| InputEvent::Button { button: PointerButton::Right, is_down };
        for event in [
            InputEvent::Text("Hi\n".into()),
            InputEvent::Tap { usage: KeyUsage::L, modifiers: vec![KeyUsage::LEFT_GUI] },
            InputEvent::PointerAbsolute(AbsolutePoint { x: 0x1234, y: 0x5678 }),
            click(true),
            click(false),
            InputEvent::Wheel { vertical: 1, horizontal: 0 },
            InputEvent::PointerRelative { dx: -1, dy: 200 },
            InputEvent::Consumer(ConsumerUsage(0x00E9)),
            InputEvent::System(SystemUsage::Sleep),
            InputEvent::Key { usage: KeyUsage::Z, is_down: true },
        ] {
            session.send(event).unwrap();
        }
        let up = "0000000000000000";
        until("the last key", || {
            seen.of(HidDevice::Keyboard).last().is_some_and(|last| last == "00001d0000000000")
        });
        drop(session);
        drop(writer);
        let mut keyboard = vec![
            "02000b0000000000",
            up,
            "00000c0000000000",
            up,
            "0000280000000000",
            up, // Hi and Enter
            "0800000000000000",
            "08000f0000000000",
            "0800000000000000",
            up, // Win+L
            "00001d0000000000",
            up, // held until the session ended
        ];
        let absolute = ["00341278560000", "02341278560000", "00341278560000", "00341278560100"];
        let mut relative = vec!["00ff640000", "0000640000"];
        let (mut consumer, mut system) = (vec!["01e900", "010000"], vec!["0202", "0200"]);
        if name == "gadget" {
            // What an earlier process may have left down goes up first.
            keyboard.insert(0, up);
            relative.insert(0, "0000000000");
            consumer.insert(0, "010000");
            system.insert(0, "0200");
        }
        assert_eq!(seen.of(HidDevice::Keyboard), keyboard, "{name}");
        assert_eq!(seen.of(HidDevice::Absolute), absolute, "{name}");
        let relative_seen = seen.of(HidDevice::Relative);
        let sum = |at: usize| -> i32 {
            relative_seen
                .iter()
                .map(|r| i32::from(u8::from_str_radix(&r[at..at + 2], 16).unwrap() as i8))
                .sum()
        };
        assert_eq!((relative_seen.len(), sum(2), sum(4)), (relative.len(), -1, 200), "{name}");
        assert_eq!(seen.of(HidDevice::Consumer), consumer, "{name}");
        assert_eq!(seen.of(HidDevice::System), system, "{name}");
    }
}

#[test]
fn reopening_loses_nothing_that_comes_after() {
    for Case { mut backend, mut seen } in cases() {
        let name = backend.name();
        assert_eq!(backend.write(HidDevice::Keyboard, &[1; 8]).unwrap(), WriteOutcome::Written, "{name}");
        until("the first", || seen.of(HidDevice::Keyboard).len() == 1);
        backend.reopen().unwrap();
        assert_eq!(backend.write(HidDevice::Keyboard, &[2; 8]).unwrap(), WriteOutcome::Written, "{name}");
        until("the second", || seen.of(HidDevice::Keyboard).len() == 2);
        assert_eq!(seen.of(HidDevice::Keyboard)[1], "0202020202020202", "{name}");
        assert_eq!(backend.poll_leds(), None, "{name}");
    }
}

#[test]
fn a_recording_line_is_whole_at_once_and_has_the_documented_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut recording = Recording::to_file(&path).unwrap();
    recording.write(HidDevice::Consumer, &[1, 0xE9, 0]).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(json["device"], "consumer");
    assert_eq!(json["report"], "01e900");
    assert!(json["t_ms"].is_u64() && json.as_object().unwrap().len() == 3, "{line}");
    let missing = dir.path().join("no/such/dir");
    let error = backend::open(&BackendSettings::Recording { file: Some(missing) }).err().unwrap();
    assert!(error.to_string().contains("no/such/dir"), "{error}");
}

#[test]
fn leds_come_back_through_the_gadget_without_being_asked_for() {
    let (mut terminals, paths) = terminals();
    let writer = writer(Box::new(Gadget::new(GadgetNodes::Paths(paths))));
    let leds = writer.leds();
    for byte in [2u8, 0, 5] {
        terminals.ends[0].write_all(&[byte]).unwrap();
        until("the LED report", || *leds.borrow() == LedState::from_report(byte));
    }
}

#[test]
fn a_node_that_fails_and_comes_back_is_found_again() {
    let (mut terminals, paths) = terminals();
    let writer = writer(Box::new(Gadget::new(GadgetNodes::Paths(paths.clone()))));
    let session = writer.open_session();
    let mut health = writer.health();
    let key = |is_down| InputEvent::Key { usage: KeyUsage::A, is_down };
    session.send(key(true)).unwrap();
    terminals.drain();
    // The far end goes: the device fails, as a gadget does that was taken down.
    let (end, near) = raw_terminal();
    terminals.ends[0] = end;
    terminals.bytes[0].clear();
    let mut is_down = false;
    until("the notice", || {
        is_down = !is_down;
        let _ = session.send(key(is_down));
        !health.borrow_and_update().is_connected
    });
    assert!(!health.borrow().notice.is_empty());
    std::fs::remove_file(&paths.keyboard).unwrap();
    std::os::unix::fs::symlink(near, terminals.dir.path().join("hidg0")).unwrap();
    until("recovery", || health.borrow_and_update().is_connected);
    let mut seen = Seen::Terminals(Box::new(terminals));
    until("all up first", || !seen.of(HidDevice::Keyboard).is_empty());
    assert_eq!(seen.of(HidDevice::Keyboard)[0], "0000000000000000");
    assert_eq!(health.borrow().notice, "");
}

#[test]
fn a_gadget_that_is_not_there_yet_is_waited_for() {
    let (terminals, mut paths) = terminals();
    let there = paths.keyboard.clone();
    paths.keyboard = terminals.dir.path().join("later");
    let writer = writer(Box::new(Gadget::new(GadgetNodes::Paths(paths.clone()))));
    let mut health = writer.health();
    until("the notice", || health.borrow_and_update().notice.contains("kvmdesk gadget up"));
    std::os::unix::fs::symlink(std::fs::read_link(there).unwrap(), &paths.keyboard).unwrap();
    until("recovery", || health.borrow_and_update().is_connected);
}

/// What the kernel makes of uinput's events is shown by the lab; here is what a machine without it is told.
#[test]
fn a_uinput_that_is_not_there_is_told_before_anything_is_typed() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("uinput");
    let writer = writer(backend::open(&BackendSettings::Uinput(node.clone())).unwrap());
    let mut health = writer.health();
    until("the notice", || !health.borrow_and_update().is_connected);
    let is_told = |notice: &str| notice.contains("uinput") && notice.contains("Load the kernel module");
    until("the advice", || is_told(&health.borrow_and_update().notice));
    // A node that is no uinput does not make keyboards either.
    std::fs::write(&node, "").unwrap();
    let session = writer.open_session();
    session.send(InputEvent::Text("x".into())).unwrap();
    drop(session);
    drop(writer);
    assert!(!health.borrow().is_connected && std::fs::read(&node).unwrap().is_empty());
}
