use std::io;
use std::sync::Mutex;

use crate::hid::backend::recording::{RecordedReports, Recording};
use crate::hid::backend::{HidDevice, WriteOutcome};
use crate::input::event::{AbsolutePoint, LockKey};
use crate::input::usage::KeyUsage;

use super::*;

fn settings() -> HidSettings {
    HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() }
}

fn writer() -> (HidWriter, RecordedReports) {
    let (backend, reports) = Recording::in_memory();
    (HidWriter::spawn(Box::new(backend), settings()), reports)
}

fn key(usage: KeyUsage, is_down: bool) -> InputEvent {
    InputEvent::Key { usage, is_down }
}

/// Waits for a condition, generously.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const UP: &str = "0000000000000000";

#[test]
fn a_dropped_handle_lifts_its_keys_and_a_dropped_writer_everything() {
    let (writer, reports) = writer();
    let (one, two) = (writer.open_session(), writer.open_session());
    one.send(key(KeyUsage::A, true)).unwrap();
    until("the first key", || reports.all().len() == 1);
    two.send(key(KeyUsage::B, true)).unwrap();
    until("both keys", || reports.all().len() == 2);
    drop(one);
    until("the first key goes up", || reports.all().len() == 3);
    drop(writer);
    assert_eq!(
        reports.of(HidDevice::Keyboard),
        ["0000040000000000", "0000040500000000", "0000050000000000", UP]
    );
    assert_eq!(two.send(key(KeyUsage::C, true)), Err(QueueFull), "the writer is gone");
}

#[test]
fn an_event_sent_just_before_the_end_is_still_written() {
    let (writer, reports) = writer();
    let session = writer.open_session();
    session.send(key(KeyUsage::A, true)).unwrap();
    session.send(InputEvent::Text("never ending ".repeat(1000))).unwrap();
    drop(session);
    drop(writer);
    let keys = reports.of(HidDevice::Keyboard);
    assert_eq!((keys.first().unwrap().as_str(), keys.last().unwrap().as_str()), ("0000040000000000", UP));
}

/// Takes nothing, ever, and counts how often it is asked.
struct Deaf(Arc<Mutex<u64>>);

impl HidBackend for Deaf {
    fn write(&mut self, _device: HidDevice, _report: &[u8]) -> io::Result<WriteOutcome> {
        *self.0.lock().unwrap() += 1;
        Ok(WriteOutcome::Busy)
    }
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn poll_leds(&mut self) -> Option<LedState> {
        None
    }
    fn name(&self) -> &'static str {
        "deaf"
    }
}

#[test]
fn sending_never_blocks_and_presses_are_refused_in_the_end() {
    let asked = Arc::new(Mutex::new(0));
    let writer = HidWriter::spawn(Box::new(Deaf(asked.clone())), settings());
    let session = writer.open_session();
    let mut refused = 0;
    for n in 0..5000u16 {
        refused += u32::from(session.send(key(KeyUsage(4 + (n % 90) as u8), true)).is_err());
        session.send(key(KeyUsage::A, false)).unwrap();
        session.send(InputEvent::PointerAbsolute(AbsolutePoint { x: n, y: n })).unwrap();
    }
    assert!(refused > 0);
    until("it was tried", || *asked.lock().unwrap() > 0);
    let mut health = writer.health();
    until("the notice", || health.borrow_and_update().notice.contains("discarded"));
    assert!(!health.borrow().is_connected);
    // A host that takes nothing cannot hold the end up; the bound is generous for a loaded machine.
    let start = Instant::now();
    drop(writer);
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn leds_are_seen_and_steer_the_lock_keys() {
    let (writer, reports) = writer();
    let leds = writer.leds();
    reports.show_leds(LedState::from_report(2));
    let session = writer.open_session();
    until("the LED report", || leds.borrow().is_caps_lock);
    session.send(InputEvent::Lock { lock: LockKey::CapsLock, is_on: true }).unwrap();
    session.send(InputEvent::Lock { lock: LockKey::CapsLock, is_on: false }).unwrap();
    until("the click", || reports.of(HidDevice::Keyboard).len() == 2);
    assert_eq!(reports.of(HidDevice::Keyboard), ["0000390000000000", UP]);
}

#[test]
fn an_unknown_layout_types_nothing_and_says_so() {
    let (backend, reports) = Recording::in_memory();
    let settings = HidSettings { keyboard_layout: "klingon".into(), ..HidSettings::default() };
    let writer = HidWriter::spawn(Box::new(backend), settings);
    let session = writer.open_session();
    session.send(InputEvent::Text("a".into())).unwrap();
    session.send(key(KeyUsage::B, true)).unwrap();
    until("the key after the text", || !reports.all().is_empty());
    assert_eq!(reports.of(HidDevice::Keyboard), ["0000050000000000"]);
    let mut health = writer.health();
    until("the notice", || health.borrow_and_update().notice.contains("there is: us"));
}

#[test]
fn counters_are_published_in_the_end() {
    let (writer, _reports) = writer();
    let session = writer.open_session();
    for _ in 0..50 {
        session.send(key(KeyUsage::A, true)).unwrap();
        session.send(key(KeyUsage::A, false)).unwrap();
    }
    let mut health = writer.health();
    until("all hundred", || health.borrow_and_update().reports_written == 100);
}
