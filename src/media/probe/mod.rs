//! What this machine could capture from, for `kvmdesk probe`. Only asks: nothing is set, started or taken, so that a
//! running capture is not disturbed.

mod sys;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::capture::PassedOver as PassedOverFormat;
use super::capture::v4l2::sys::{Api, capability};
use super::capture::v4l2::{V4l2Settings, device};
use crate::video::edid;
use crate::video::format::Resolution;
use crate::video::signal::SignalState;

/// A node in `/dev` that may capture video.
#[derive(Debug, Clone, Serialize)]
pub struct CaptureDevice {
    /// `/dev/videoN`.
    pub device: PathBuf,
    /// A link to it that keeps its meaning over reboots and replugging, if there is one.
    pub stable_path: Option<PathBuf>,
    /// Its name.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// Where it sits.
    pub bus: String,
    /// The input that is chosen.
    pub input: Option<String>,
    /// Whether a buffer may have several memory planes.
    pub is_multi_planar: bool,
    /// Programs that have it open, as far as we may see: name and process ID.
    pub in_use_by: Vec<String>,
    /// What is on its input.
    pub signal: Signal,
    /// What it tells the computer that it can show.
    pub edid: Edid,
    /// What it offers, in its own order.
    pub formats: Vec<Format>,
}

/// A node that is no capture device, or could not be asked.
#[derive(Debug, Clone, Serialize)]
pub struct PassedOver {
    /// `/dev/videoN`.
    pub device: PathBuf,
    /// Why.
    pub reason: String,
}

/// What is on an input.
#[derive(Debug, Clone, Serialize)]
pub struct Signal {
    /// The state's word; `unknown` where the device has no timings to tell.
    pub state: &'static str,
    /// What to do about it; empty if all is well.
    pub notice: &'static str,
    /// Size on the cable.
    pub resolution: Option<String>,
    /// Frames (or half-frames) a second on the cable.
    pub fps: Option<f64>,
    /// Whether half-frames come.
    pub is_interlaced: bool,
}

/// The EDID of an input.
#[derive(Debug, Clone, Serialize)]
pub struct Edid {
    /// `set`, `none` (the computer sees no monitor) or `built-in` (the device has its own and shows it to nobody).
    pub state: &'static str,
    /// Its length.
    pub bytes: usize,
    /// The monitor's name in it.
    pub monitor: Option<String>,
    /// The EDID itself; empty if there is none to read.
    #[serde(skip)]
    pub data: Vec<u8>,
}

/// A pixel format on offer.
#[derive(Debug, Clone, Serialize)]
pub struct Format {
    /// FourCC.
    pub fourcc: String,
    /// The driver's words.
    pub description: String,
    /// Why it is not used; `None` if it could be.
    pub passed_over: Option<String>,
    /// Sizes, as far as they are listed.
    pub sizes: Vec<Size>,
    /// Smallest and largest size where anything between will do.
    pub range: Option<[String; 2]>,
}

/// A size on offer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Most frames a second; `None` if the device does not say.
    pub most_fps: Option<f64>,
}

/// Every video node of this machine: those that capture, then the others.
pub fn capture_devices() -> (Vec<CaptureDevice>, Vec<PassedOver>) {
    let (mut found, mut others) = (vec![], vec![]);
    let openers = openers();
    for device in video_nodes(Path::new("/dev")) {
        match look(&device, &openers) {
            Ok(Some(capture)) => found.push(capture),
            Ok(None) => others
                .push(PassedOver { device, reason: "it does not capture video from outside".to_owned() }),
            Err(error) => {
                let hint = match error.raw_os_error() {
                    Some(libc::EACCES | libc::EPERM) => ": run as root, or as a member of the group `video`",
                    Some(libc::EBUSY) => ": another program has it for itself",
                    _ => "",
                };
                others.push(PassedOver { device, reason: format!("it cannot be asked ({error}){hint}") });
            }
        }
    }
    (found, others)
}

/// `video*` in `dev`, by number.
fn video_nodes(dev: &Path) -> Vec<PathBuf> {
    let mut numbers: Vec<u32> = fs::read_dir(dev)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| dev.join(format!("video{number}"))).collect()
}

fn look(device: &Path, openers: &[(PathBuf, String)]) -> io::Result<Option<CaptureDevice>> {
    let node = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(device)?;
    let fd = node.as_raw_fd();
    let who = capability(fd)?;
    let Some(api) = who.api else { return Ok(None) };
    let settings = V4l2Settings::at(device);
    let facts = device::probe(settings)?;
    let input = sys::input(fd);
    let number = input.as_ref().map_or(0, |(number, _)| *number);
    Ok(Some(CaptureDevice {
        device: device.to_owned(),
        stable_path: stable_path(device),
        name: who.card,
        driver: who.driver,
        bus: who.bus_info,
        input: input.map(|(_, name)| name),
        is_multi_planar: api == Api::Multi,
        in_use_by: openers.iter().filter(|(node, _)| node == device).map(|(_, who)| who.clone()).collect(),
        signal: signal(fd),
        edid: edid(fd, number),
        formats: formats(fd, api, &facts.passed_over),
    }))
}

fn signal(fd: i32) -> Signal {
    let of = |state: SignalState| Signal {
        state: state.word(),
        notice: state.sentence(),
        resolution: None,
        fps: None,
        is_interlaced: false,
    };
    match sys::timings(fd) {
        Ok(timings) => Signal {
            resolution: Some(timings.resolution.to_string()),
            fps: Some(hundredths(timings.fps)),
            is_interlaced: timings.is_interlaced,
            ..of(SignalState::Active)
        },
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOLINK) => of(SignalState::NoSignal),
            Some(libc::ERANGE) => of(SignalState::OutOfRange),
            Some(libc::ENOLCK) => of(SignalState::NoSync),
            _ => Signal { state: "unknown", notice: "", ..of(SignalState::Active) },
        },
    }
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn edid(fd: i32, input: u32) -> Edid {
    match sys::edid(fd, input) {
        Ok(data) if !data.is_empty() => {
            let monitor = edid::Edid::parse(&data).ok().and_then(|edid| edid.name());
            Edid { state: "set", bytes: data.len(), monitor, data }
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
            Edid { state: "built-in", bytes: 0, monitor: None, data: vec![] }
        }
        Ok(_) | Err(_) => Edid { state: "none", bytes: 0, monitor: None, data: vec![] },
    }
}

fn formats(fd: i32, api: Api, passed_over: &[PassedOverFormat]) -> Vec<Format> {
    let offers = sys::offers(fd, api).into_iter();
    let formats = offers.map(|offer| {
        let passed_over =
            passed_over.iter().find(|one| one.fourcc == offer.fourcc).map(|one| one.reason.clone());
        let (sizes, range) = match sys::sizes(fd, offer.fourcc) {
            sys::Sizes::Listed(listed) => {
                let with_rate = |size: Resolution| Size {
                    width: size.width,
                    height: size.height,
                    most_fps: sys::most_fps(fd, offer.fourcc, size).map(hundredths),
                };
                (listed.into_iter().map(with_rate).collect(), None)
            }
            sys::Sizes::Range(least, most) => (vec![], Some([least.to_string(), most.to_string()])),
        };
        let fourcc = PassedOverFormat::name_of(offer.fourcc);
        Format { fourcc, description: offer.description, passed_over, sizes, range }
    });
    formats.collect()
}

/// A link to the node that names where it is plugged in, else one that names what it is.
fn stable_path(device: &Path) -> Option<PathBuf> {
    ["/dev/v4l/by-path", "/dev/v4l/by-id"].into_iter().find_map(|dir| {
        let mut links: Vec<PathBuf> = fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).collect();
        links.sort();
        links.into_iter().find(|link| fs::canonicalize(link).is_ok_and(|node| node == device))
    })
}

/// Open video nodes and who has them, of the processes that we may look into; not ourselves.
fn openers() -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    let ourselves = std::process::id();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if id == ourselves {
            continue;
        }
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(node) = fs::read_link(file.path()) else { continue };
            if !node.to_str().is_some_and(|node| node.starts_with("/dev/video")) {
                continue;
            }
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let who = format!("{} ({id})", name.trim());
            if !found.contains(&(node.clone(), who.clone())) {
                found.push((node, who));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_answer_is_unknown() {
        let signal = signal(-1);
        assert_eq!((signal.state, signal.notice, signal.resolution), ("unknown", "", None));
        assert_eq!(edid(-1, 0).state, "none");
    }

    #[test]
    fn nodes_come_by_number_and_what_is_no_device_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["video10", "video2", "videoX", "vbi0", "video"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let nodes = video_nodes(dir.path());
        assert_eq!(nodes, [dir.path().join("video2"), dir.path().join("video10")]);
        assert!(look(&nodes[0], &[]).is_err(), "a file is no device");
    }
}
