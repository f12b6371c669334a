//! Our reports as the CH9329's commands. Pure. The chip has three buttons and no horizontal wheel.

use super::frame::{SEND_ABSOLUTE, SEND_KEYBOARD, SEND_MEDIA, SEND_RELATIVE};
use crate::hid::backend::HidDevice;
use crate::input::event::AbsolutePoint;

/// A command with its data, and what is sent if it has to be said again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The command.
    pub code: u8,
    /// Its data.
    pub data: Vec<u8>,
    /// The same without what would count twice: distances and wheel.
    pub again: Vec<u8>,
}

/// Largest coordinate of the chip.
const MAX_PLACE: u32 = 4095;
/// Left, right and middle.
const BUTTONS: u8 = 0b111;

/// The consumer usages that the chip has, in the order of its bits.
const MEDIA: [u16; 24] = [
    0x00E9, 0x00EA, 0x00E2, 0x00CD, 0x00B5, 0x00B6, 0x00B7,
    0x00B8, // volume, mute, play, tracks, stop, eject
    0x018A, 0x0221, 0x022A, 0x0223, 0x0224, 0x0225, 0x0226, 0x0227, // mail and browser
    0x0183, 0, 0x0192, 0x019E, 0x0194, 0x0206, 0x00B2,
    0x00B4, // media, calculator, lock, computer, record, rewind
];

/// The command for a report; `None` if the chip has nothing like it.
pub fn command(device: HidDevice, report: &[u8]) -> Option<Command> {
    let place = |low: u8, high: u8| {
        let place = u32::from(u16::from_le_bytes([low, high]).min(AbsolutePoint::MAX));
        let max = u32::from(AbsolutePoint::MAX);
        ((place * MAX_PLACE).div_ceil(max) as u16).to_le_bytes()
    };
    match (device, report) {
        (HidDevice::Keyboard, report) if report.len() == 8 => {
            Some(Command { code: SEND_KEYBOARD, data: report.to_vec(), again: report.to_vec() })
        }
        (HidDevice::Absolute, [buttons, xl, xh, yl, yh, wheel, _]) => {
            let ([xl, xh], [yl, yh]) = (place(*xl, *xh), place(*yl, *yh));
            let data = |wheel| vec![2, buttons & BUTTONS, xl, xh, yl, yh, wheel];
            Some(Command { code: SEND_ABSOLUTE, data: data(*wheel), again: data(0) })
        }
        (HidDevice::Relative, [buttons, dx, dy, wheel, _]) => Some(Command {
            code: SEND_RELATIVE,
            data: vec![1, buttons & BUTTONS, *dx, *dy, *wheel],
            again: vec![1, buttons & BUTTONS, 0, 0, 0],
        }),
        (HidDevice::Consumer, [_, low, high]) => {
            let usage = u16::from_le_bytes([*low, *high]);
            let bits = match usage {
                0 => 0,
                usage => 1u32 << MEDIA.iter().position(|known| *known == usage)?,
            };
            let [a, b, c, _] = bits.to_le_bytes();
            Some(Command { code: SEND_MEDIA, data: vec![2, a, b, c], again: vec![2, a, b, c] })
        }
        (HidDevice::System, [_, bits]) => {
            Some(Command { code: SEND_MEDIA, data: vec![1, *bits], again: vec![1, *bits] })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(device: HidDevice, report: &[u8]) -> Option<(u8, Vec<u8>)> {
        command(device, report).map(|command| (command.code, command.data))
    }

    #[test]
    fn edges_are_edges_and_the_middle_is_the_middle() {
        let at = |place: u16| {
            let [low, high] = place.to_le_bytes();
            let (_, data) = data(HidDevice::Absolute, &[0, low, high, low, high, 0, 0]).unwrap();
            assert_eq!(data[2..4], data[4..6]);
            u16::from_le_bytes([data[2], data[3]])
        };
        assert_eq!([at(0), at(16384), at(32767), at(65535)], [0, 2048, 4095, 4095]);
    }

    #[test]
    fn every_device_has_its_command() {
        assert_eq!(
            data(HidDevice::Keyboard, &[2, 0, 4, 0, 0, 0, 0, 0]),
            Some((2, vec![2, 0, 4, 0, 0, 0, 0, 0]))
        );
        assert_eq!(data(HidDevice::Relative, &[9, 0xFF, 5, 1, 7]), Some((5, vec![1, 1, 0xFF, 5, 1])));
        assert_eq!(data(HidDevice::Consumer, &[1, 0xE9, 0]), Some((3, vec![2, 1, 0, 0])));
        assert_eq!(data(HidDevice::Consumer, &[1, 0x94, 1]), Some((3, vec![2, 0, 0, 0x10])));
        assert_eq!(data(HidDevice::Consumer, &[1, 0, 0]), Some((3, vec![2, 0, 0, 0])));
        assert_eq!(data(HidDevice::Consumer, &[1, 0x34, 0x12]), None);
        assert_eq!(data(HidDevice::System, &[2, 2]), Some((3, vec![1, 2])));
    }

    #[test]
    fn said_again_nothing_counts_twice() {
        let again = |device, report: &[u8]| command(device, report).unwrap().again;
        assert_eq!(again(HidDevice::Relative, &[1, 5, 6, 7, 0]), [1, 1, 0, 0, 0]);
        assert_eq!(again(HidDevice::Absolute, &[1, 0, 0, 0, 0, 3, 0]), [2, 1, 0, 0, 0, 0, 0]);
        assert_eq!(again(HidDevice::Keyboard, &[0; 8]), [0; 8]);
    }
}
