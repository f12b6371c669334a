use super::*;
use crate::hid::backend::HidDevice;
use crate::hid::backend::ch9329::line::Line;
use crate::hid::backend::ch9329::reports;

const A: [u8; 8] = [0, 0, 4, 0, 0, 0, 0, 0];
const UP: [u8; 8] = [0; 8];

fn offer(line: &mut Line, device: HidDevice, report: &[u8]) -> Result<WriteOutcome, ChipError> {
    let outcome = line.chip.offer(reports::command(device, report).unwrap(), line.now);
    line.step();
    outcome
}

/// Offers until it is taken.
fn write(line: &mut Line, device: HidDevice, report: &[u8]) {
    for _ in 0..1000 {
        match offer(line, device, report) {
            Ok(WriteOutcome::Written) => return,
            Ok(WriteOutcome::Busy | WriteOutcome::Unknown) => line.run(10),
            other => panic!("{other:?}"),
        }
    }
    panic!("never taken");
}

fn key(line: &mut Line, report: &[u8; 8]) {
    write(line, HidDevice::Keyboard, report);
}

#[test]
fn it_is_found_at_either_rate_without_touching_its_configuration() {
    for baud in BAUD_RATES {
        let mut line = Line::new(Baud::Auto, baud);
        line.run(1000);
        assert!(line.chip.is_working(), "{baud}");
        key(&mut line, &A);
        line.run(100);
        assert_eq!(line.far.seen, [(2, A.to_vec())]);
        assert!(!line.far.heard.iter().any(|code| [8, 9, 15].contains(code)));
    }
}

#[test]
fn a_rate_that_is_asked_for_is_stored_once() {
    for (wanted, had) in [(115_200, 9600), (9600, 115_200)] {
        let mut line = Line::new(Baud::Fixed(wanted), had);
        line.run(5000);
        assert!(line.chip.is_working());
        assert_eq!((line.far.baud, line.far.resets), (wanted, 1));
        line.far.is_powered = false;
        line.run(3000);
        line.far.power_on();
        assert_eq!(line.far.baud, wanted, "it is kept");
    }
}

#[test]
fn nothing_there_is_said_in_time() {
    // A chip at another rate than any that is tried is as good as none.
    let mut line = Line::new(Baud::Auto, 1200);
    line.run(1000);
    assert_eq!(offer(&mut line, HidDevice::Keyboard, &A), Err(ChipError::NotFound));
    assert!(line.chip.take_news() && !line.chip.take_news());
    assert_eq!(line.chip.deadline(), None, "nothing is tried until it is opened anew");
}

#[test]
fn power_loss_is_noticed_by_writes_and_without_them() {
    for is_writing in [true, false] {
        let mut line = Line::new(Baud::Auto, 9600);
        line.run(1000);
        line.chip.take_news();
        line.far.is_powered = false;
        if is_writing {
            assert_eq!(offer(&mut line, HidDevice::Keyboard, &A), Ok(WriteOutcome::Written));
        }
        line.run(2500);
        assert!(line.chip.take_news());
        assert_eq!(offer(&mut line, HidDevice::Keyboard, &A), Err(ChipError::Silent));
    }
}

#[test]
fn the_cable_is_told_from_the_chip_and_comes_back() {
    let mut line = Line::new(Baud::Auto, 9600);
    line.run(1000);
    line.far.connect(false);
    line.run(1500);
    assert!(line.chip.take_news());
    assert_eq!(offer(&mut line, HidDevice::Keyboard, &A), Ok(WriteOutcome::HostGone));
    line.far.connect(true);
    line.run(1500);
    key(&mut line, &A);
}

#[test]
fn a_chip_that_lost_its_computer_for_good_is_reset_at_a_slowing_pace() {
    let mut line = Line::new(Baud::Auto, 9600);
    line.run(1000);
    line.far.connect(false);
    line.run(60_000);
    assert!((2..=4).contains(&line.far.resets), "{}", line.far.resets);
    line.far.needs_reset = true;
    line.run(60_000);
    key(&mut line, &A);
    let resets = line.far.resets;
    line.run(120_000);
    assert_eq!(line.far.resets, resets, "never while a computer is there");
}

#[test]
fn leds_are_asked_for_soon_after_a_lock_key_and_told_when_they_change() {
    let mut line = Line::new(Baud::Auto, 115_200);
    line.run(1000);
    assert_eq!(line.chip.take_leds(), Some(LedState::default()));
    key(&mut line, &[0, 0, 0x39, 0, 0, 0, 0, 0]);
    key(&mut line, &UP);
    line.run(200);
    assert_eq!(line.chip.take_leds(), Some(LedState::from_report(2)));
    line.run(3000);
    assert_eq!(line.chip.take_leds(), None, "the same again is no news");
    assert!(line.far.heard.iter().filter(|code| **code == 1).count() >= 4, "kept alive");
}

#[test]
fn a_lost_command_is_said_again_and_a_lost_reply_counts_nothing_twice() {
    let mut line = Line::new(Baud::Auto, 115_200);
    line.run(1000);
    line.lose_commands = 1;
    key(&mut line, &A);
    line.run(1000);
    assert_eq!(line.far.seen, [(2, A.to_vec())]);
    line.lose_replies = 1;
    write(&mut line, HidDevice::Relative, &[1, 5, 6, 1, 0]);
    line.run(1000);
    assert_eq!(line.far.seen[1..], [(5, vec![1, 1, 5, 6, 1]), (5, vec![1, 1, 0, 0, 0])]);
    line.damage_commands = 2;
    write(&mut line, HidDevice::Relative, &[1, 5, 6, 1, 0]);
    line.run(1000);
    assert_eq!(line.far.seen[3..], [(5, vec![1, 1, 5, 6, 1])], "what was refused did not count");
}

#[test]
fn slow_replies_that_cross_are_put_to_the_right_command() {
    let mut line = Line::new(Baud::Auto, 115_200);
    line.run(1000);
    // Each reply comes after the command was said again.
    line.delay = Duration::from_millis(200);
    for report in [&A, &UP, &A, &UP] {
        key(&mut line, report);
    }
    line.run(3000);
    assert_eq!(line.far.typed(), [4, 4]);
    assert_eq!(line.far.seen.last(), Some(&(2, UP.to_vec())));
    assert!(line.chip.is_working());
}

#[test]
fn what_the_computer_does_not_take_is_tried_for_a_while_and_then_lifts_everything() {
    let mut line = Line::new(Baud::Auto, 115_200);
    line.run(1000);
    line.far.refuses = 3;
    key(&mut line, &A);
    line.run(300);
    assert_eq!(line.far.seen, [(2, A.to_vec())]);
    line.far.refuses = 1000;
    key(&mut line, &UP);
    line.run(1000);
    assert!(line.chip.take_news());
    assert_eq!(offer(&mut line, HidDevice::Keyboard, &UP), Ok(WriteOutcome::HostGone));
    line.far.refuses = 0;
    line.run(100);
    key(&mut line, &UP);
    line.run(100);
    assert_eq!(line.far.seen.last(), Some(&(2, UP.to_vec())));
}
