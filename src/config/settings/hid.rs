//! `[hid]`: where keyboard and mouse reports go.

use std::path::PathBuf;

use super::{Origin, Overrides, Resolver, gadget, word};
use crate::config::board::{BoardProfile, Machine};
use crate::config::file::gadget::GadgetSection;
use crate::config::file::{BaudValue, ConfigError, ConfigFile, HidBackendName, ParsedFile};
use crate::hid::backend::BackendSettings;
use crate::hid::backend::ch9329::Ch9329Settings;
use crate::hid::backend::ch9329::chip::{BAUD_RATES, Baud};
use crate::hid::backend::gadget::GadgetNodes;
use crate::hid::backend::uinput;
use crate::hid::configfs::spec::GadgetSpec;

/// Where reports go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HidChoice {
    /// The USB gadget.
    Gadget {
        /// What `kvmdesk gadget up` builds.
        spec: Box<GadgetSpec>,
        /// Input wakes a computer that sleeps.
        wakes_on_input: bool,
    },
    /// A CH9329 on a serial line.
    Ch9329(Ch9329Settings),
    /// This machine's own input.
    Uinput,
    /// A log, or nowhere.
    Recording {
        /// The file, if any.
        log: Option<PathBuf>,
    },
}

impl HidChoice {
    /// What the backend is opened with.
    pub fn backend(&self) -> BackendSettings {
        match self {
            Self::Gadget { spec, .. } => BackendSettings::Gadget(GadgetNodes::of_gadget(&spec.name)),
            Self::Ch9329(settings) => BackendSettings::Ch9329(settings.clone()),
            Self::Uinput => BackendSettings::Uinput(uinput::NODE.into()),
            Self::Recording { log } => BackendSettings::Recording { file: log.clone() },
        }
    }

    /// Whether input wakes a computer that sleeps.
    pub fn wakes_on_input(&self) -> bool {
        matches!(self, Self::Gadget { wakes_on_input: true, .. })
    }
}

/// The backend that a file's other keys speak of: what was found when the machine started must not make them wrong.
fn spoken_of(file: &ConfigFile) -> Option<HidBackendName> {
    let speaks_of_gadget = file.gadget != GadgetSection::default() || file.hid.gadget.is_some();
    let speaks_of_chip = file.hid.device.is_some() || file.hid.baud.is_some();
    match (speaks_of_gadget, speaks_of_chip) {
        (true, _) => Some(HidBackendName::Gadget),
        (false, true) => Some(HidBackendName::Ch9329),
        (false, false) => None,
    }
}

/// The backend, with what belongs to it and nothing that belongs to another.
pub(super) fn resolve(
    parsed: &ParsedFile,
    (board, machine): (&BoardProfile, &Machine),
    flags: &Overrides,
    r: &mut Resolver,
) -> Result<HidChoice, ConfigError> {
    let file = &parsed.file;
    let path = |p: &PathBuf| p.display().to_string();
    let sayings = [None, file.hid.backend.or(spoken_of(file)), None, flags.hid_backend];
    let (backend, _) = r.pick_on(Some(board.backend(machine)), "hid.backend", sayings, |b| word(*b));
    let backend = backend.unwrap_or(HidBackendName::Gadget);
    let (gadget, gadget_origin) =
        r.pick("hid.gadget", [Some("kvmdesk".to_owned()), file.hid.gadget.clone(), None, None], Clone::clone);
    let (log, log_origin) =
        r.pick("hid.log", [None, file.hid.log.clone(), None, flags.hid_log.clone()], path);
    let of_board = board.hid.device.clone().filter(|_| backend == HidBackendName::Ch9329);
    let sayings = [None, file.hid.device.clone(), None, None];
    let (device, device_origin) = r.pick_on(of_board, "hid.device", sayings, path);
    let auto = || BaudValue::Word("auto".to_owned());
    let (baud, baud_origin) =
        r.pick("hid.baud", [Some(auto()), file.hid.baud.clone(), None, None], |baud| match baud {
            BaudValue::Rate(rate) => rate.to_string(),
            BaudValue::Word(word) => word.clone(),
        });
    let gadget = gadget.unwrap_or_default();
    let is_gadget_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if gadget.is_empty() || gadget.starts_with('.') || !gadget.chars().all(is_gadget_name) {
        return Err(parsed.error("hid.gadget", "a gadget's name has letters, digits, `-`, `_` and `.` only"));
    }
    let baud = match baud.unwrap_or_else(auto) {
        BaudValue::Word(word) if word == "auto" => Baud::Auto,
        BaudValue::Rate(rate) if BAUD_RATES.contains(&rate) => Baud::Fixed(rate),
        BaudValue::Word(_) | BaudValue::Rate(_) => {
            return Err(parsed.error("hid.baud", "write \"auto\", 9600 or 115200"));
        }
    };
    let usb = gadget::resolve(parsed, gadget, board.udc(machine), r)?;
    let usb_key = usb.first_said.as_deref().filter(|_| flags.hid_backend.is_none());
    // What `demo` chooses overrides a whole section.
    let is_of_file = |origin: Origin| origin == Origin::File && flags.hid_backend.is_none();
    let strangers = [
        ("hid.log", log_origin == Origin::File, HidBackendName::Recording, "a report log is", "recording"),
        ("hid.gadget", is_of_file(gadget_origin), HidBackendName::Gadget, "a gadget is", "gadget"),
        ("hid.device", is_of_file(device_origin), HidBackendName::Ch9329, "a serial device is", "ch9329"),
        ("hid.baud", is_of_file(baud_origin), HidBackendName::Ch9329, "a baud rate is", "ch9329"),
        (usb_key.unwrap_or_default(), usb_key.is_some(), HidBackendName::Gadget, "[gadget] is", "gadget"),
    ];
    for (key, is_said, owner, what, name) in strangers {
        if is_said && backend != owner {
            let message = format!("{what} for backend = \"{name}\"; remove it, or change `backend`");
            return Err(parsed.error(key, message));
        }
    }
    Ok(match (backend, device) {
        (HidBackendName::Gadget, _) => {
            HidChoice::Gadget { spec: Box::new(usb.spec), wakes_on_input: usb.wakes_on_input }
        }
        (HidBackendName::Uinput, _) => HidChoice::Uinput,
        (HidBackendName::Recording, _) => HidChoice::Recording { log },
        (HidBackendName::Ch9329, Some(device)) => HidChoice::Ch9329(Ch9329Settings { device, baud }),
        (HidBackendName::Ch9329, None) => {
            let message = "name the chip's serial device: device = \"/dev/ttyUSB0\", or better its link in \
                           /dev/serial/by-id";
            return Err(parsed.error("hid.backend", message));
        }
    })
}
