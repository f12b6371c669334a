//! Captured NV12 that goes to encoders as it is: what the receiver's driver makes of buffers that are kept, and the whole way
//! through an encoder to the app, in the guest.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kvmdesk::media::capture::v4l2::{V4l2Settings, V4l2Source};
use kvmdesk::media::capture::{FramePair, Source, SourceEvent};
use kvmdesk::media::captured::CapturedPicture;
use kvmdesk::media::convert::convert_stripes;
use kvmdesk::media::encode::encoders::handed_dmabufs;
use kvmdesk::media::encode::{FrameOrder, Way, decode};
use kvmdesk::media::picture::{I420Picture, Stripes};
use kvmdesk::media::wake::{self, WakeReceiver, WakeSender};
use kvmdesk::video::format::PixelFormat;
use kvmdesk::video::frame::Codec;

use super::capture::{Bars, FAULTS, Mode, bars_come, modes, recover};
use super::machine::{Machine, PATIENCE, say};
use super::{Session, config, install, start, stop};

/// Sizes whose colours need no conversion, as all of vivid's.
const MODES: [&str; 2] = ["640x480p59", "800x600p60"];

/// `own` is this test's program.
pub fn walk_through(machine: &Machine, own: &Path) {
    machine.put(own, "tests");
    machine.run("lab usb; lab video 1; lab mode 640x480p59");
    install(machine);
    let settings = format!("{}[encoder]\norder = [\"x264enc\"]\n", config("formats = [\"NV12\"]"));
    fs::write(machine.share().join("kvmdesk.toml"), settings).unwrap();
    for planes in [1, 2] {
        if planes == 2 {
            machine.run("rmmod vivid; lab video 2; lab mode 640x480p59");
        }
        // The text on the picture counts, so that no frame is like another.
        let said = machine.run("/host/tests --ignored --test-threads 1 lab::kept::");
        assert!(said.contains("2 passed"), "{said}");
        say(&format!(
            "ok: frames of {planes} memory planes are kept as long as they are read, and handed over"
        ));
        start(machine);
        to_the_app(machine);
        stop(machine);
    }
}

/// Right pictures, and without conversion, in every mode and after every fault; then nothing is kept any more.
fn to_the_app(machine: &Machine) {
    let mut bars = Bars { number: 0 };
    machine.run(&format!("lab control osd_text_mode=2; lab {}", bars.set()));
    let mut session = Session::connect(machine);
    bars_come(&mut session, (640, 480), bars, None, PATIENCE, "NV12");
    assert_eq!(session.status("/target/video/lanes/0/encoder"), "x264enc");
    let counted = |session: &Session<'_>, name: &str| {
        session.status("/target/video")[name].as_u64().unwrap_or_else(|| panic!("no {name}"))
    };
    let all = modes(machine);
    let named = |name: &str| -> &Mode { all.iter().find(|mode| mode.name == name).unwrap() };
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let before = counted(&session, "passed_through");
        bars = bars.next();
        let mode = named(MODES[(number + 1) % 2]);
        recover(&mut session, fault, mode, bars, &format!("fault {number}"));
        session.until("a picture passes as it is", |s| (counted(s, "passed_through") > before).then_some(()));
    }
    let (passed, encoded) = (counted(&session, "passed_through"), counted(&session, "encoded"));
    say(&format!("ok: {passed} of {encoded} pictures went through x264enc as they were captured"));
    assert_eq!(counted(&session, "encoder_failures"), 0);

    let kept = "grep -c /dev/video /proc/$(cat /tmp/agent.pid)/maps || true";
    assert_ne!(machine.run(kept).trim(), "0");
    session.in_guest("lab signal none");
    session.until("all is let go of", |s| (s.in_guest(kept).trim() == "0").then_some(()));
    session.in_guest("lab signal ok");
    bars_come(&mut session, (640, 480), bars, None, PATIENCE, "after all");
}

/// A sum of the visible rows.
fn sum(picture: &CapturedPicture) -> u64 {
    let rows = picture.rows().into_iter().flatten();
    rows.flatten().fold(1, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The receiver, looked at frame by frame.
struct Looking {
    source: V4l2Source,
    wake: WakeReceiver,
    /// Kept, because a sender that is gone wakes.
    _sender: WakeSender,
}

impl Looking {
    /// At NV12 in the guest.
    fn new() -> Self {
        let mut settings = V4l2Settings::at("/dev/video0");
        settings.devices[0].formats = vec![PixelFormat::Nv12];
        let mut source = V4l2Source::new(settings);
        source.set_awake(true);
        let (sender, wake) = wake::pair().unwrap();
        Self { source, wake, _sender: sender }
    }

    fn next<T>(&mut self, look: impl FnOnce(&FramePair<'_>) -> T) -> T {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            assert!(now < give_up, "no frame: {:?}", self.source);
            let event = self.source.wait(&self.wake, now, now + Duration::from_secs(1));
            if event == SourceEvent::Frame
                && let Some(pair) = self.source.frame()
            {
                return look(&pair);
            }
        }
    }
}

#[test]
#[ignore = "the lab runs it in its guest, on the receiver there"]
fn frames_stay_as_long_as_they_are_read() {
    let mut looking = Looking::new();
    // A reader that lets go of nothing gets a few, and frames go on without it.
    let mut kept: Vec<(u64, CapturedPicture)> = vec![];
    let mut sums = vec![];
    for _ in 0..40 {
        looking.next(|pair| {
            let picture = pair.captured.clone();
            sums.extend(picture.as_ref().map(sum));
            kept.extend(picture.map(|picture| (sum(&picture), picture)));
        });
    }
    assert!((2..=3).contains(&kept.len()), "{} of 40 frames were kept", kept.len());
    sums.dedup();
    assert_eq!(sums.len(), kept.len(), "frames differ");
    let check = |kept: &[(u64, CapturedPicture)], when: &str| {
        kept.iter().for_each(|(before, picture)| assert_eq!(sum(picture), *before, "{when}"));
    };
    check(&kept, "while others come");

    // Let go of, they come again; one at a time goes on for ever.
    kept.truncate(1);
    let mut last = None;
    for _ in 0..40 {
        looking.next(|pair| last = pair.captured.clone().or(last.take()));
    }
    assert!(last.is_some(), "frames may be kept again");
    drop(last);
    check(&kept, "after another one was given back");

    // The stream ends and begins again, and the source goes, while they are read.
    let now = Instant::now();
    looking.source.set_awake(false);
    looking.source.wait(&looking.wake, now, now);
    check(&kept, "after the stream");
    looking.source.set_awake(true);
    looking.next(|pair| assert!(pair.captured.is_some(), "of another stream"));
    check(&kept, "while another stream runs");
    drop(looking);
    check(&kept, "without the device");
}

/// Descriptors of this process that are DMABUFs.
fn dmabufs() -> usize {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().contains("dmabuf")).count()
}

#[test]
#[ignore = "the lab runs it in its guest, on the receiver there"]
fn frames_are_handed_to_an_encoder_as_dmabufs() {
    for candidate in handed_dmabufs() {
        let mut looking = Looking::new();
        let size = looking.next(|pair| pair.current.resolution);
        assert!(dmabufs() >= 8, "all buffers are exported");
        let (mut encoder, mut decoder) = (candidate.open(size).unwrap(), decode::open(Codec::H264).unwrap());
        let mut wanted = I420Picture::new(size);
        for n in 0..40 {
            looking.next(|pair| {
                let captured = pair.captured.as_ref().expect("an encoder that lets go always gets one");
                let order = FrameOrder { wants_keyframe: false, quantiser: 12, bits_per_second: None };
                let frame = encoder.encode_captured(captured, order).unwrap();
                assert_eq!((encoder.way(), frame.is_keyframe), (Way::DmaBuf, n == 0), "{n}");
                let decoded = decoder.decode(&frame.data).unwrap();
                convert_stripes(&captured.frame(), &Stripes::all(size.height), &mut wanted).unwrap();
                let off = decoded.y().iter().zip(wanted.y()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(off.is_some_and(|off| off < 60), "{off:?} in frame {n}");
            });
        }
        drop(encoder);
        drop(looking);
        assert_eq!(dmabufs(), 0, "none is left open");
    }
}
