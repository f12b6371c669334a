//! The CH9329's frames (WCH, "CH9329 serial communication protocol" 1.0): `57 AB`, address, command, length, data, and
//! the sum of all bytes before. Pure. A reply's command has bit 7 set for success, bits 7 and 6 for failure.

/// Asks for version, USB state and LEDs.
pub const GET_INFO: u8 = 0x01;
/// Eight bytes of the boot keyboard.
pub const SEND_KEYBOARD: u8 = 0x02;
/// Media keys (`02` and three bytes of bits) or power keys (`01` and one byte).
pub const SEND_MEDIA: u8 = 0x03;
/// Pointer at a place: `02`, buttons, X and Y of 0..=4095 (little-endian), wheel.
pub const SEND_ABSOLUTE: u8 = 0x04;
/// Pointer by a distance: `01`, buttons, dX, dY, wheel.
pub const SEND_RELATIVE: u8 = 0x05;
/// Asks for the 50 bytes of the configuration.
pub const GET_PARAMETERS: u8 = 0x08;
/// Stores the configuration; it holds after the next reset.
pub const SET_PARAMETERS: u8 = 0x09;
/// Restarts the chip.
pub const RESET: u8 = 0x0F;

/// Bytes of the configuration.
pub const PARAMETERS: usize = 50;
/// Where the configuration has its baud rate: four bytes, big-endian.
pub const PARAMETERS_BAUD: std::ops::Range<usize> = 3..7;

const HEAD: [u8; 2] = [0x57, 0xAB];
/// Most data bytes of a frame.
pub const MAX_DATA: usize = 64;
/// Bytes of a frame around its data.
const AROUND: usize = 6;

/// The frame of a command to the chip at address 0, which every chip has from the factory. Data beyond
/// [`MAX_DATA`] is cut off.
pub fn command(code: u8, data: &[u8]) -> Vec<u8> {
    let data = &data[..data.len().min(MAX_DATA)];
    let mut frame = vec![HEAD[0], HEAD[1], 0, code, data.len() as u8];
    frame.extend_from_slice(data);
    frame.push(sum(&frame));
    frame
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Why a command was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It arrived damaged (`E1` to `E4`): sending it again helps.
    Damaged,
    /// Its data mean nothing to this chip (`E5`).
    Parameter,
    /// It could not be carried out (`E6`), because the computer does not take it.
    NotCarriedOut,
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The command was carried out; the data are its answer.
    Done {
        /// Which command.
        code: u8,
        /// What it answers.
        data: Vec<u8>,
    },
    /// The command was refused.
    Refused {
        /// Which command, as the chip read it.
        code: u8,
        /// Why.
        why: Refusal,
    },
}

/// What the chip says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// `0x30` is version 1.0.
    pub version: u8,
    /// The computer has taken the chip as a USB device.
    pub is_connected: bool,
    /// Bits as in a boot keyboard's output report.
    pub leds: u8,
}

impl Info {
    /// From the data of a reply to [`GET_INFO`].
    pub fn from_data(data: &[u8]) -> Option<Self> {
        match data {
            [version, usb, leds, ..] => {
                Some(Self { version: *version, is_connected: *usb == 1, leds: *leds & 7 })
            }
            _ => None,
        }
    }
}

/// Finds replies in what the line brings: whatever is lost or damaged, the next whole frame is found. Holds one frame
/// at most.
#[derive(Debug, Default)]
pub struct ReplyReader {
    bytes: Vec<u8>,
}

impl ReplyReader {
    /// Takes what was read and hands out every whole reply in it.
    pub fn read(&mut self, bytes: &[u8], mut found: impl FnMut(Reply)) {
        for &byte in bytes {
            self.bytes.push(byte);
            // A false start is left byte by byte: a real one may lie within.
            loop {
                match self.look() {
                    Look::Wait => break,
                    Look::Skip => {
                        self.bytes.remove(0);
                    }
                    Look::Whole(reply) => {
                        self.bytes.clear();
                        if let Some(reply) = reply {
                            found(reply);
                        }
                    }
                }
            }
        }
    }

    /// Bytes that wait for the rest of their frame.
    pub fn waiting(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets a half frame.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn look(&self) -> Look {
        let bytes = self.bytes.as_slice();
        let is_head = bytes.iter().zip(HEAD).all(|(byte, head)| *byte == head);
        if !is_head || bytes.get(4).is_some_and(|len| usize::from(*len) > MAX_DATA) {
            return Look::Skip;
        }
        let Some(len) = bytes.get(4).map(|len| usize::from(*len)) else { return Look::Wait };
        if bytes.len() < AROUND + len {
            return Look::Wait;
        }
        let Some((last, before)) = bytes.split_last() else { return Look::Wait };
        if sum(before) != *last {
            return Look::Skip;
        }
        Look::Whole(reply(bytes[3], &bytes[5..5 + len]))
    }
}

enum Look {
    Wait,
    Skip,
    /// `None`: a frame that is no reply.
    Whole(Option<Reply>),
}

fn reply(code: u8, data: &[u8]) -> Option<Reply> {
    let (kind, code) = (code & 0xC0, code & 0x3F);
    let why = match data.first() {
        Some(0xE5) => Refusal::Parameter,
        Some(0xE6) => Refusal::NotCarriedOut,
        _ => Refusal::Damaged,
    };
    match (kind, data) {
        // Commands without an answer of their own end with a status.
        (0x80, [status]) if *status != 0 => Some(Reply::Refused { code, why }),
        (0x80, _) => Some(Reply::Done { code, data: data.to_vec() }),
        (0xC0, _) => Some(Reply::Refused { code, why }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Reply> {
        let mut replies = vec![];
        ReplyReader::default().read(bytes, |reply| replies.push(reply));
        replies
    }

    fn done(code: u8, data: &[u8]) -> Reply {
        Reply::Done { code, data: data.to_vec() }
    }

    const TAKEN: [u8; 7] = [0x57, 0xAB, 0x00, 0x82, 0x01, 0x00, 0x85];

    #[test]
    fn commands_are_the_documented_bytes() {
        assert_eq!(command(GET_INFO, &[]), [0x57, 0xAB, 0, 1, 0, 0x03]);
        let a = [0, 0, 4, 0, 0, 0, 0, 0];
        assert_eq!(command(SEND_KEYBOARD, &a), [0x57, 0xAB, 0, 2, 8, 0, 0, 4, 0, 0, 0, 0, 0, 0x10]);
    }

    #[test]
    fn both_kinds_of_reply_are_told_apart() {
        assert_eq!(read(&TAKEN), [done(SEND_KEYBOARD, &[0])]);
        // Seen from a chip whose first command was damaged.
        let damaged = [0x57, 0xAB, 0x00, 0xC5, 0x01, 0xE4, 0xAC];
        assert_eq!(read(&damaged), [Reply::Refused { code: SEND_RELATIVE, why: Refusal::Damaged }]);
        let mut busy = vec![0x57, 0xAB, 0x00, 0xC2, 0x01, 0xE6];
        busy.push(sum(&busy));
        assert_eq!(read(&busy), [Reply::Refused { code: SEND_KEYBOARD, why: Refusal::NotCarriedOut }]);
    }

    #[test]
    fn info_is_read_with_its_leds() {
        let mut frame = vec![0x57, 0xAB, 0, 0x81, 8, 0x30, 1, 0b010, 0, 0, 0, 0, 0];
        frame.push(sum(&frame));
        let replies = read(&frame);
        let [Reply::Done { code: GET_INFO, data }] = replies.as_slice() else { panic!("{replies:?}") };
        assert_eq!(Info::from_data(data), Some(Info { version: 0x30, is_connected: true, leds: 2 }));
        assert_eq!(Info::from_data(&[0x30, 1]), None);
    }

    #[test]
    fn a_whole_frame_is_found_behind_damage() {
        for cut in 0..TAKEN.len() {
            let mut line = TAKEN[..cut].to_vec();
            line.extend(TAKEN);
            // The rest of the first may swallow the second, but never the third.
            line.extend(TAKEN);
            assert!(!read(&line).is_empty(), "cut at {cut}");
        }
        let mut wrong = TAKEN;
        wrong[6] ^= 1;
        let mut line = wrong.to_vec();
        line.extend(TAKEN);
        assert_eq!(read(&line), [done(SEND_KEYBOARD, &[0])]);
        assert_eq!(read(&[0x57, 0x57, 0xAB, 0, 0x82, 1, 0, 0x85]), [done(SEND_KEYBOARD, &[0])]);
        assert_eq!(read(&[&[0x57, 0xAB, 0, 0x82, 0xFF][..], &TAKEN].concat()), [done(SEND_KEYBOARD, &[0])]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut reader = ReplyReader::default();
        for _ in 0..1000 {
            reader.read(&[0x57, 0xAB, 0x00, 0x82, 0x40, 1, 2, 3], |_| {});
            assert!(reader.waiting() < MAX_DATA + AROUND);
        }
    }
}
