//! Boards: what a machine is known by, and what is best on it. Each is a file `hw/NAME/board.toml`, built into the program
//! (`build.rs` makes the list), or a file `NAME.toml` in `/usr/share/kvmdesk/boards` or `/etc/kvmdesk/boards`. The device
//! tree's `compatible` tells which one this is.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::boot::BootEntry;
use super::edid;
use super::file::{self, ConfigError, HidBackendName};
use crate::media::capture::v4l2::V4l2Device;
use crate::media::capture::v4l2::mark::Mark;
use crate::video::format::PixelFormat;

include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// Where further profiles lie, below the root; the later ones come before the earlier ones and those built in.
const DIRECTORIES: [&str; 2] = ["usr/share/kvmdesk/boards", "etc/kvmdesk/boards"];
/// The profile of a machine that no other one knows.
const GENERIC: &str = "generic";

/// One board's profile, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BoardProfile {
    /// Its name for people.
    pub name: String,
    /// Strings of the device tree's `compatible` that it is recognised by.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// Processor architectures, as Rust names them, whose machines it is for if nothing else is known of them.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// Encoders that come before the others, best first.
    #[serde(default)]
    pub encoders: Vec<String>,
    /// Capture devices, best first.
    pub capture: Vec<CaptureEntry>,
    /// `[hid]`
    #[serde(default)]
    pub hid: HidEntry,
    /// `[boot]`
    #[serde(default)]
    pub boot: BootEntry,
}

/// One `[[capture]]`: a capture device and how it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CaptureEntry {
    /// Its driver's name in sysfs.
    pub driver: Option<String>,
    /// Or its node, a link to it, or a pattern for one.
    pub path: Option<PathBuf>,
    /// Pixel formats by their FourCC, best first.
    pub formats: Option<Vec<String>>,
    /// What the receiver tells the computer that it can show: a word or a file.
    pub edid: Option<String>,
    /// Short name of the sound card that carries its sound, if that is another device.
    pub sound: Option<String>,
}

/// `[hid]`: the hands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct HidEntry {
    /// Backends, best first: the first that is there, see [`BoardProfile::backend`]. Default: the gadget.
    pub backends: Vec<HidBackendName>,
    /// Names of USB device controllers, best first: for boards that have several, or whose port has to be switched.
    pub udcs: Vec<String>,
    /// The CH9329's serial device.
    pub device: Option<PathBuf>,
}

impl BoardProfile {
    /// Reads a profile's text; `path` is for messages only.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let profile: Self = file::from_toml(path, text)?;
        let fault = |key: &str, message: &str| Err(file::fault_at(path, text, key, message));
        if profile.capture.is_empty() {
            return fault("capture", "name at least one capture device");
        }
        for (n, entry) in profile.capture.iter().enumerate() {
            entry.device().map_err(|(key, message)| {
                file::fault_at(path, text, &format!("capture[{n}]{key}"), message)
            })?;
        }
        if let Some((key, message)) = profile.boot.fault() {
            return fault(&key, message);
        }
        if profile.hid.backends.contains(&HidBackendName::Ch9329) != profile.hid.device.is_some() {
            return fault(
                "hid",
                "`device` is the serial device of the backend \"ch9329\": write both or none",
            );
        }
        Ok(profile)
    }

    /// The capture devices, best first.
    pub fn devices(&self) -> Vec<V4l2Device> {
        self.capture.iter().filter_map(|entry| entry.device().ok()).collect()
    }

    /// The backend for a machine: the first that is there, else the first of all, which may still come. The gadget is where
    /// there is a USB device controller (one of the profile's will do whose port is still to be switched), a CH9329 where
    /// its serial device is.
    pub fn backend(&self, machine: &Machine) -> HidBackendName {
        let is_there = |backend: &&HidBackendName| match backend {
            HidBackendName::Gadget => !machine.udcs.is_empty() || self.udc(machine).is_some(),
            HidBackendName::Ch9329 => self.hid.device.as_ref().is_some_and(|device| machine.has(device)),
            HidBackendName::Uinput | HidBackendName::Recording => true,
        };
        let backends = &self.hid.backends;
        backends.iter().find(is_there).or(backends.first()).copied().unwrap_or(HidBackendName::Gadget)
    }

    /// Which USB device controller is the right one, if the profile names one that the machine has, or has as soon as
    /// its port is switched.
    pub fn udc(&self, machine: &Machine) -> Option<String> {
        let is_there = |name: &&String| machine.udcs.iter().chain(&machine.switches).any(|n| n == *name);
        self.hid.udcs.iter().find(is_there).cloned()
    }
}

impl CaptureEntry {
    /// As the capture room has it, or the key that is wrong (none: the whole) and why.
    fn device(&self) -> Result<V4l2Device, (&'static str, String)> {
        let mark = match (&self.driver, &self.path) {
            (Some(driver), None) => Mark::Driver(driver.clone()),
            (None, Some(path)) => Mark::Path(path.clone()),
            _ => return Err(("", "write either `driver` or `path`".to_owned())),
        };
        let names = self.formats.as_deref().unwrap_or_default();
        let formats = formats(names).map_err(|(_, message)| (".formats", message))?;
        let edid = match &self.edid {
            Some(word) => edid::named(word).map_err(|message| (".edid", message))?,
            None => None,
        };
        Ok(V4l2Device { mark, formats, edid, sound: self.sound.clone() })
    }
}

/// Pixel formats by the names that `v4l2-ctl --list-formats` prints; else which name is wrong and why.
pub(super) fn formats(names: &[String]) -> Result<Vec<PixelFormat>, (usize, String)> {
    let mut formats = vec![];
    for (n, name) in names.iter().enumerate() {
        let known = PixelFormat::ALL.into_iter().find(|format| fourcc(*format) == *name);
        let Some(format) = known else {
            let all: Vec<_> = PixelFormat::ALL.into_iter().map(fourcc).collect();
            return Err((n, format!("`{name}` is none of {}", all.join(", "))));
        };
        if formats.contains(&format) {
            return Err((n, format!("`{name}` is named twice")));
        }
        formats.push(format);
    }
    Ok(formats)
}

/// A format's name as `v4l2-ctl --list-formats` prints it.
fn fourcc(format: PixelFormat) -> String {
    String::from_utf8_lossy(&format.fourcc()).into_owned()
}

/// What a board is recognised by, and what its profile's choices depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The device tree's `compatible`, the most specific string first; empty without a device tree.
    pub compatible: Vec<String>,
    /// The processor architecture, as Rust names it.
    pub architecture: String,
    /// The USB device controllers.
    pub udcs: Vec<String>,
    /// Controllers whose port can be switched between host and device, by the kernel's names for the switches.
    pub switches: Vec<String>,
    /// Where its files are; `None`: nobody has looked.
    pub root: Option<PathBuf>,
}

impl Machine {
    /// Looks at the machine whose files are below `root`.
    pub fn look(root: &Path) -> Self {
        let places = ["proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible"];
        let read = places.iter().find_map(|place| fs::read(root.join(place)).ok()).unwrap_or_default();
        let strings = read.split(|byte| *byte == 0).filter(|string| !string.is_empty());
        let names = |class: &str| {
            let entries = fs::read_dir(root.join(class)).into_iter().flatten().flatten();
            let mut names: Vec<_> =
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            names.sort();
            names
        };
        let switches = names("sys/class/usb_role").into_iter();
        Self {
            compatible: strings.map(|string| String::from_utf8_lossy(string).into_owned()).collect(),
            architecture: std::env::consts::ARCH.to_owned(),
            udcs: names("sys/class/udc"),
            root: Some(root.to_owned()),
            switches: switches
                .filter_map(|name| Some(name.strip_suffix("-role-switch")?.to_owned()))
                .collect(),
        }
    }

    /// Whether a file of this absolute path is there.
    fn has(&self, path: &Path) -> bool {
        let below = path.strip_prefix("/").unwrap_or(path);
        self.root.as_ref().is_some_and(|root| root.join(below).exists())
    }
}

/// The profile that holds, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Board {
    /// The profile's name in settings: its folder's or file's.
    pub id: String,
    /// The profile.
    pub profile: BoardProfile,
    /// Why it was taken, as the end of a sentence.
    pub why: String,
}

/// Every profile, and the machine that one of them is for.
#[derive(Debug, Clone)]
pub struct Boards {
    /// By name; of those that fit equally well the last one is taken.
    profiles: Vec<(String, BoardProfile)>,
    /// The machine.
    pub machine: Machine,
    /// Files that are no profiles.
    pub faults: Vec<ConfigError>,
}

impl Default for Boards {
    /// Those that are built in, on a machine that nobody has looked at.
    fn default() -> Self {
        let mut boards = Self { profiles: vec![], machine: Machine::default(), faults: vec![] };
        for (id, text) in EMBEDDED {
            boards.add(id, &Path::new("hw").join(id).join("board.toml"), text);
        }
        boards
    }
}

impl Boards {
    /// Those of the machine whose files are below `root`.
    pub fn look(root: &Path) -> Self {
        let mut boards = Self { machine: Machine::look(root), ..Self::default() };
        for dir in DIRECTORIES {
            let entries = fs::read_dir(root.join(dir)).into_iter().flatten().flatten();
            let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            paths.sort();
            for path in paths {
                let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
                match fs::read_to_string(&path) {
                    Ok(text) => boards.add(id, &path, &text),
                    Err(error) => boards.faults.push(ConfigError {
                        file: path.clone(),
                        line: None,
                        key: String::new(),
                        message: format!("cannot be read ({error})"),
                    }),
                }
            }
        }
        boards
    }

    /// Adds a profile; another one of its name goes.
    fn add(&mut self, id: &str, path: &Path, text: &str) {
        match BoardProfile::parse(path, text) {
            Ok(profile) => {
                self.profiles.retain(|(other, _)| other != id);
                self.profiles.push((id.to_owned(), profile));
            }
            Err(fault) => self.faults.push(fault),
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.profiles.iter().map(|(id, _)| id.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The profile of a name.
    pub fn named(&self, name: &str) -> Option<Board> {
        self.first("as configured", |id, _| id == name)
    }

    /// The profile of this machine: the one that names the most specific string of its device tree, else one for its
    /// architecture, else the one for anything.
    pub fn recognised(&self) -> Board {
        let Machine { compatible, architecture, .. } = &self.machine;
        let by_string = |string: &String| {
            let why = format!("\"{string}\" in the device tree");
            self.first(&why, |_, profile| profile.compatible.contains(string))
        };
        let by_architecture = || {
            let why = format!("a machine with {architecture}");
            self.first(&why, |_, profile| profile.architectures.contains(architecture))
        };
        let anything = || self.first("no profile is for this machine", |id, _| id == GENERIC);
        let found = compatible.iter().find_map(by_string).or_else(by_architecture).or_else(anything);
        found.unwrap_or_default()
    }

    fn first(&self, why: &str, is_it: impl Fn(&str, &BoardProfile) -> bool) -> Option<Board> {
        let (id, profile) = self.profiles.iter().rev().find(|(id, profile)| is_it(id, profile))?;
        Some(Board { id: id.clone(), profile: profile.clone(), why: why.to_owned() })
    }
}
