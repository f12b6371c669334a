//! USB sticks that go on sending an invented picture when HDMI is dead (MacroSilicon MS2109 and MS2130): asked over
//! the HID interface of the same USB device whether something is connected. Unproven without the device, so that
//! anything but a clear answer counts as none; their invented picture itself is not recognised, because a computer may
//! show one colour too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::hidraw::Hidraw;

/// Reads one byte of the chip's memory.
const READ: u8 = 0xb5;
/// A report: its ID 0, the command, the address (big endian), the value, nothing.
const REPORT: usize = 9;

/// A chip that is known, and where it keeps whether HDMI is connected.
struct Chip {
    vendor: u16,
    product: u16,
    connected_at: u16,
}

const CHIPS: [Chip; 2] = [
    Chip { vendor: 0x534d, product: 0x2109, connected_at: 0xfa8c },
    Chip { vendor: 0x345f, product: 0x2130, connected_at: 0xfa8d },
];

/// The feature reports of a HID device; the first byte is the report's ID.
pub trait FeatureReports: Send {
    /// Sends one.
    fn set(&mut self, report: &[u8]) -> io::Result<()>;

    /// Asks for one; gives its length.
    fn get(&mut self, report: &mut [u8]) -> io::Result<usize>;
}

/// The HID side of a stick.
pub struct Stick {
    reports: Box<dyn FeatureReports>,
    connected_at: u16,
    /// It once said that HDMI is connected: so the byte means what it should.
    is_believed: bool,
    is_mute: bool,
}

impl Stick {
    /// The one of the USB device that a video node belongs to; `None` if it is no such stick or may not be asked.
    pub fn beside(node: &Path) -> Option<Self> {
        let (connected_at, hidraw) = find(Path::new("/sys"), node)?;
        match Hidraw::open(&Path::new("/dev").join(&hidraw)) {
            Ok(reports) => {
                tracing::info!(hidraw, "the grabber is asked over HID whether HDMI is connected");
                Some(Self::with(Box::new(reports), connected_at))
            }
            Err(error) => {
                tracing::warn!(hidraw, %error, "the grabber cannot be asked whether HDMI is connected");
                None
            }
        }
    }

    fn with(reports: Box<dyn FeatureReports>, connected_at: u16) -> Self {
        Self { reports, connected_at, is_believed: false, is_mute: false }
    }

    /// Whether HDMI is connected; `None` if the stick does not say, or was never heard to say that it is.
    pub fn has_hdmi(&mut self) -> Option<bool> {
        if self.is_mute {
            return None;
        }
        let value = self.read().unwrap_or_else(|error| {
            // Once is enough: a device that does not answer keeps the caller waiting.
            tracing::info!(%error, "the grabber does not say whether HDMI is connected");
            self.is_mute = true;
            None
        })?;
        let is_connected = value & 1 != 0;
        self.is_believed |= is_connected;
        self.is_believed.then_some(is_connected)
    }

    fn read(&mut self) -> io::Result<Option<u8>> {
        let [high, low] = self.connected_at.to_be_bytes();
        let question = [0, READ, high, low, 0, 0, 0, 0, 0];
        self.reports.set(&question)?;
        let mut answer = [0; REPORT];
        let length = self.reports.get(&mut answer)?;
        let is_answer = length >= 5 && answer[1..4] == question[1..4];
        Ok(is_answer.then_some(answer[4]))
    }
}

/// The address to ask for and the name of the hidraw node of the USB device behind a video node.
fn find(sys: &Path, node: &Path) -> Option<(u16, String)> {
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
    Some((chip.connected_at, hidraw.file_name()?.to_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Answers as told, and checks what it is asked.
    struct Fake {
        answers: VecDeque<io::Result<Vec<u8>>>,
    }

    impl FeatureReports for Fake {
        fn set(&mut self, report: &[u8]) -> io::Result<()> {
            assert_eq!(report, [0, READ, 0xfa, 0x8c, 0, 0, 0, 0, 0]);
            Ok(())
        }

        fn get(&mut self, report: &mut [u8]) -> io::Result<usize> {
            let answer = self.answers.pop_front().expect("asked too often")?;
            report[..answer.len()].copy_from_slice(&answer);
            Ok(answer.len())
        }
    }

    fn stick(answers: Vec<io::Result<Vec<u8>>>) -> Stick {
        Stick::with(Box::new(Fake { answers: answers.into() }), 0xfa8c)
    }

    fn saying(value: u8) -> io::Result<Vec<u8>> {
        Ok(vec![0, READ, 0xfa, 0x8c, value, 0, 0, 0, 0])
    }

    #[test]
    fn no_is_believed_after_a_yes() {
        let mut stick = stick([0, 1, 0, 1].map(saying).into());
        assert_eq!([(); 4].map(|()| stick.has_hdmi()), [None, Some(true), Some(false), Some(true)]);
    }

    #[test]
    fn an_echo_of_something_else_is_no_answer_and_an_error_is_the_last_word() {
        let other = Ok(vec![0, READ, 0xfa, 0x8d, 1, 0, 0, 0, 0]);
        let short = Ok(vec![0, READ, 0xfa]);
        let error = Err(io::Error::from_raw_os_error(libc::EPIPE));
        let mut stick = stick(vec![saying(1), other, short, error]);
        let heard = [(); 6].map(|()| stick.has_hdmi());
        assert_eq!(heard, [Some(true), None, None, None, None, None]);
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
        assert_eq!(find(root, Path::new("/dev/video7")), Some((0xfa8c, "hidraw3".to_owned())));
        assert_eq!(find(root, Path::new("/dev/video8")), None);
        fs::write(usb.join("idProduct"), "1234\n").unwrap();
        assert_eq!(find(root, Path::new("/dev/video7")), None);
    }
}
