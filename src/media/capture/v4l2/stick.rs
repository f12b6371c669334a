//! USB sticks that go on sending an invented picture when HDMI is dead (MacroSilicon's chips): asked over the HID interface
//! of the same USB device whether something comes in. Unproven without the devices (`hw/grabbers/NOTES.md`), so that
//! anything but a clear answer counts as none; their invented picture itself is not recognised, because a computer may show
//! one colour too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::hidraw::Hidraw;

/// Reads one byte of the chip's memory.
const READ: u8 = 0xb5;
/// Where the answer to it is in a report: behind the ID, the command and the address (big endian).
const VALUE: usize = 4;
/// The longest report.
const LONGEST: usize = 11;
/// Nothing comes in if the chip says so so often in a row.
const DENIALS: u32 = 2;

/// A chip that is known.
#[derive(Debug, PartialEq, Eq)]
struct Chip {
    vendor: u16,
    product: u16,
    /// Where it keeps whether something comes in, and which bits say so.
    signal: (u16, u8),
    /// Where it keeps the width of it, the high byte and then the low one.
    width: Option<u16>,
    /// ID and length of its reports, the likelier first.
    reports: &'static [(u8, usize)],
}

const CHIPS: [Chip; 5] = [
    // MS2109
    Chip {
        vendor: 0x534d,
        product: 0x2109,
        signal: (0xfa8c, 1),
        width: Some(0xc6af),
        reports: &[(0, 9), (1, 9)],
    },
    // MS2109S
    Chip {
        vendor: 0x345f,
        product: 0x2109,
        signal: (0xfd9c, 1),
        width: Some(0xc703),
        reports: &[(0, 11), (1, 11), (0, 9)],
    },
    // MS2130
    Chip {
        vendor: 0x345f,
        product: 0x2130,
        signal: (0xe180, 0xff),
        width: None,
        reports: &[(0, 9), (1, 11)],
    },
    // MS2131
    Chip {
        vendor: 0x345f,
        product: 0x2131,
        signal: (0xe180, 0xff),
        width: None,
        reports: &[(0, 9), (1, 11)],
    },
    // MS2130S
    Chip {
        vendor: 0x345f,
        product: 0x2132,
        signal: (0xfa8d, 1),
        width: Some(0x1cfc),
        reports: &[(1, 11), (0, 11), (0, 9)],
    },
];

/// The feature reports of a HID device; the first byte is the report's ID.
pub trait FeatureReports: Send {
    /// Sends one.
    fn set(&mut self, report: &[u8]) -> io::Result<()>;

    /// Asks for one; gives its length.
    fn get(&mut self, report: &mut [u8]) -> io::Result<usize>;
}

/// What a stick once said that something comes in by; "nothing" is believed of this only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Believed {
    /// USB vendor and product.
    of: (u16, u16),
    signal: bool,
    width: bool,
}

/// The HID side of a stick.
pub struct Stick {
    reports: Box<dyn FeatureReports>,
    chip: &'static Chip,
    /// Which of the chip's reports is used; behind the last it is mute.
    report: usize,
    /// One of these reports was answered.
    is_answering: bool,
    believed: Believed,
    denials: u32,
}

impl Stick {
    /// The one of the USB device that a video node belongs to; `None` if it is no such stick or may not be asked.
    /// `believed`: what it was when it was open before.
    pub fn beside(node: &Path, believed: Believed) -> Option<Self> {
        let (chip, hidraw) = find(Path::new("/sys"), node)?;
        match Hidraw::open(&Path::new("/dev").join(&hidraw)) {
            Ok(reports) => {
                tracing::info!(hidraw, "the grabber is asked over HID whether HDMI is connected");
                Some(Self::with(Box::new(reports), chip, believed))
            }
            Err(error) => {
                tracing::warn!(
                    hidraw,
                    %error,
                    "the grabber cannot be asked whether HDMI is connected; install hw/grabbers/udev.rules"
                );
                None
            }
        }
    }

    fn with(reports: Box<dyn FeatureReports>, chip: &'static Chip, believed: Believed) -> Self {
        let of = (chip.vendor, chip.product);
        let believed = if believed.of == of { believed } else { Believed { of, ..Believed::default() } };
        Self { reports, chip, report: 0, is_answering: false, believed, denials: 0 }
    }

    /// What it was heard to say so far.
    pub fn believed(&self) -> Believed {
        self.believed
    }

    /// Whether something comes in; `None` if the stick does not say, or was never heard to say that it does, or says no
    /// for the first time.
    pub fn has_hdmi(&mut self) -> Option<bool> {
        let (address, mask) = self.chip.signal;
        let mut has_signal = self.ask(address)? & mask != 0;
        let mut is_believed = self.believed.signal;
        self.believed.signal |= has_signal;
        if let Some(width) = self.chip.width.filter(|_| has_signal)
            && let (Some(high), Some(low)) = (self.ask(width), self.ask(width + 1))
        {
            has_signal = (high, low) != (0, 0);
            is_believed = self.believed.width;
            self.believed.width |= has_signal;
        }
        if has_signal {
            self.denials = 0;
            return Some(true);
        }
        self.denials = self.denials.saturating_add(u32::from(is_believed));
        (is_believed && self.denials >= DENIALS).then_some(false)
    }

    /// A byte of the chip's memory.
    fn ask(&mut self, address: u16) -> Option<u8> {
        while let Some((id, length)) = self.chip.reports.get(self.report) {
            match self.read(*id, *length, address) {
                Ok(value) => {
                    self.is_answering |= value.is_some();
                    if self.is_answering {
                        return value;
                    }
                }
                // Once is enough: a device that does not answer keeps the caller waiting.
                Err(error) => tracing::debug!(%error, id, length, "the grabber takes no such report"),
            }
            self.report = if self.is_answering { usize::MAX } else { self.report + 1 };
            if self.chip.reports.get(self.report).is_none() {
                tracing::info!("the grabber does not say whether HDMI is connected");
            }
        }
        None
    }

    fn read(&mut self, id: u8, length: usize, address: u16) -> io::Result<Option<u8>> {
        let [high, low] = address.to_be_bytes();
        let mut question = [0; LONGEST];
        question[..VALUE].copy_from_slice(&[id, READ, high, low]);
        self.reports.set(&question[..length])?;
        let mut answer = [0; LONGEST];
        answer[0] = id;
        let got = self.reports.get(&mut answer[..length])?;
        let is_answer = got > VALUE && answer[1..VALUE] == question[1..VALUE];
        Ok(is_answer.then_some(answer[VALUE]))
    }
}

/// The chip and the name of the hidraw node of the USB device behind a video node.
fn find(sys: &Path, node: &Path) -> Option<(&'static Chip, String)> {
    let node = fs::canonicalize(node).unwrap_or_else(|_| node.to_owned());
    let interface =
        fs::canonicalize(sys.join("class/video4linux").join(node.file_name()?).join("device")).ok()?;
    let usb = interface.parent()?;
    let number = |name: &str| {
        let text = fs::read_to_string(usb.join(name)).ok()?;
        u16::from_str_radix(text.trim(), 16).ok()
    };
    let (vendor, product) = (number("idVendor")?, number("idProduct")?);
    let chip = CHIPS.iter().find(|chip| (chip.vendor, chip.product) == (vendor, product))?;
    // usb device / interface / HID device / hidraw / hidrawN
    let inner = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).map(|entries| entries.flatten().map(|e| e.path()).collect()).unwrap_or_default()
    };
    let hids = inner(usb).into_iter().flat_map(|interface| inner(&interface));
    let hidraw = hids.flat_map(|hid| inner(&hid.join("hidraw"))).next()?;
    Some((chip, hidraw.file_name()?.to_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    /// A chip with some memory, which takes reports of one ID and length.
    #[derive(Default)]
    struct Fake {
        takes: (u8, usize),
        memory: BTreeMap<u16, u8>,
        is_gone: bool,
        /// Answers to another question than the last.
        is_behind: bool,
        asked: Option<u16>,
        questions: usize,
    }

    struct Shared(Arc<Mutex<Fake>>);

    impl FeatureReports for Shared {
        fn set(&mut self, report: &[u8]) -> io::Result<()> {
            let mut fake = self.0.lock().unwrap();
            fake.questions += 1;
            if fake.is_gone || (report[0], report.len()) != fake.takes {
                return Err(io::Error::from_raw_os_error(libc::EPIPE));
            }
            assert_eq!((report[1], report[4..].iter().max()), (READ, Some(&0)));
            fake.asked = Some(u16::from_be_bytes([report[2], report[3]]));
            Ok(())
        }

        fn get(&mut self, report: &mut [u8]) -> io::Result<usize> {
            let fake = self.0.lock().unwrap();
            assert_eq!((report[0], report.len()), fake.takes);
            let address = fake.asked.expect("asked first");
            let [high, low] = address.wrapping_add(u16::from(fake.is_behind)).to_be_bytes();
            report[1..5].copy_from_slice(&[READ, high, low, fake.memory.get(&address).copied().unwrap_or(0)]);
            Ok(report.len())
        }
    }

    fn stick(chip: usize, takes: (u8, usize)) -> (Stick, Arc<Mutex<Fake>>) {
        let fake = Arc::new(Mutex::new(Fake { takes, ..Fake::default() }));
        (Stick::with(Box::new(Shared(fake.clone())), &CHIPS[chip], Believed::default()), fake)
    }

    /// What it says while its memory is so, each asked once.
    fn says(stick: &mut Stick, fake: &Mutex<Fake>, values: &[&[(u16, u8)]]) -> Vec<Option<bool>> {
        let say = |memory: &&[(u16, u8)]| {
            fake.lock().unwrap().memory = memory.iter().copied().collect();
            stick.has_hdmi()
        };
        values.iter().map(say).collect()
    }

    #[test]
    fn no_is_believed_after_a_yes_and_when_it_is_said_twice() {
        for chip in [2, 3] {
            let (mut stick, fake) = stick(chip, (0, 9));
            let (yes, no): (&[_], &[_]) = (&[(0xe180, 0x40)], &[]);
            let heard = says(&mut stick, &fake, &[no, no, no, yes, no, yes, no, no, no, yes]);
            let (is, is_not) = (Some(true), Some(false));
            assert_eq!(heard, [None, None, None, is, None, is, None, is_not, is_not, is]);
            // The same stick, opened again.
            let mut again = Stick::with(Box::new(Shared(fake.clone())), &CHIPS[chip], stick.believed());
            assert_eq!(says(&mut again, &fake, &[no, no]), [None, Some(false)]);
            // Another one in its place.
            let mut other = Stick::with(Box::new(Shared(fake.clone())), &CHIPS[5 - chip], stick.believed());
            assert_eq!(says(&mut other, &fake, &[no, no, no]), [None; 3]);
        }
    }

    #[test]
    fn a_connected_cable_without_a_picture_is_no_signal() {
        for (chip, report) in [(0, (0, 9)), (1, (0, 11)), (4, (1, 11))] {
            let (at, width) = (CHIPS[chip].signal.0, CHIPS[chip].width.unwrap());
            let (picture, cable, nothing): (&[_], &[_], &[_]) =
                (&[(at, 1), (width, 7), (width + 1, 0x80)], &[(at, 1)], &[(at, 0xfe)]);
            let (mut stick, fake) = stick(chip, report);
            // A width that was never more than nothing says nothing.
            let heard = says(&mut stick, &fake, &[cable, cable, picture, cable, cable, nothing, picture]);
            let (is, is_not) = (Some(true), Some(false));
            assert_eq!(heard, [None, None, is, None, is_not, is_not, is]);
        }
    }

    #[test]
    fn every_kind_of_report_of_a_chip_is_tried_once() {
        for chip in &CHIPS {
            for takes in chip.reports {
                let fake = Arc::new(Mutex::new(Fake { takes: *takes, ..Fake::default() }));
                let memory = [(chip.signal.0, 1), (chip.width.unwrap_or(0), 5)];
                fake.lock().unwrap().memory = memory.into_iter().collect();
                let mut stick = Stick::with(Box::new(Shared(fake.clone())), chip, Believed::default());
                assert_eq!(stick.has_hdmi(), Some(true), "{takes:?} of {chip:?}");
            }
            let fake = Arc::new(Mutex::new(Fake { takes: (7, 7), ..Fake::default() }));
            let mut mute = Stick::with(Box::new(Shared(fake.clone())), chip, Believed::default());
            assert_eq!([(); 5].map(|()| mute.has_hdmi()), [None; 5]);
            assert_eq!(fake.lock().unwrap().questions, chip.reports.len(), "and then it is left alone");
        }
    }

    #[test]
    fn an_answer_to_something_else_is_none_and_an_error_is_the_last_word() {
        let (mut stick, fake) = stick(2, (0, 9));
        let (yes, no): (&[_], &[_]) = (&[(0xe180, 1)], &[]);
        assert_eq!(says(&mut stick, &fake, &[yes]), [Some(true)]);
        fake.lock().unwrap().is_behind = true;
        assert_eq!(says(&mut stick, &fake, &[no, no, no]), [None; 3]);
        fake.lock().unwrap().is_behind = false;
        assert_eq!(says(&mut stick, &fake, &[yes]), [Some(true)]);
        fake.lock().unwrap().is_gone = true;
        let before = fake.lock().unwrap().questions;
        assert_eq!(says(&mut stick, &fake, &[no, no, no]), [None; 3]);
        fake.lock().unwrap().is_gone = false;
        assert_eq!(says(&mut stick, &fake, &[no, no, yes]), [None; 3]);
        assert_eq!(fake.lock().unwrap().questions, before + 1);
    }

    #[test]
    fn the_rules_and_the_notes_name_every_chip() {
        let rules = include_str!("../../../../hw/grabbers/udev.rules");
        let notes = include_str!("../../../../hw/grabbers/NOTES.md");
        for chip in &CHIPS {
            let (vendor, product) = (chip.vendor, chip.product);
            let rule = format!("ATTRS{{idVendor}}==\"{vendor:04x}\", ATTRS{{idProduct}}==\"{product:04x}\"");
            assert!(rules.contains(&rule), "{rule}");
            let row = format!("| {vendor:04x}:{product:04x} | {:04x} |", chip.signal.0);
            assert!(notes.contains(&row), "{row}");
            assert!(chip.reports.iter().all(|(_, length)| (VALUE + 1..=LONGEST).contains(length)));
        }
        assert_eq!(rules.matches("hidraw\"").count(), CHIPS.len());
    }

    #[test]
    fn the_hid_node_of_the_same_usb_device_is_found() {
        let sys = tempfile::tempdir().unwrap();
        let root = sys.path();
        let usb = root.join("devices/usb1/1-2");
        fs::create_dir_all(usb.join("1-2:1.0")).unwrap();
        fs::create_dir_all(usb.join("1-2:1.4/0003:534D:2109.0001/hidraw/hidraw3")).unwrap();
        fs::write(usb.join("idVendor"), "534d\n").unwrap();
        fs::write(usb.join("idProduct"), "2109\n").unwrap();
        let class = root.join("class/video4linux/video7");
        fs::create_dir_all(&class).unwrap();
        std::os::unix::fs::symlink(usb.join("1-2:1.0"), class.join("device")).unwrap();
        assert_eq!(find(root, Path::new("/dev/video7")), Some((&CHIPS[0], "hidraw3".to_owned())));
        assert_eq!(find(root, Path::new("/dev/video8")), None);
        fs::write(usb.join("idProduct"), "1234\n").unwrap();
        assert_eq!(find(root, Path::new("/dev/video7")), None);
    }
}
