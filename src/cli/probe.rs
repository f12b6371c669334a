//! `kvmdesk probe`: what this machine has, and what would be used of it and why. Only looks.

pub(super) mod text;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::settings::Settings;
use crate::config::settings::hid::HidChoice;
use crate::hid::backend::uinput;
use crate::hid::configfs::{self, KernelPaths};
use crate::media::audio::{AudioDevice, cards};
use crate::media::capture::PassedOver as PassedOverFormat;
use crate::media::capture::v4l2::V4l2Settings;
use crate::media::capture::v4l2::choose::Mode;
use crate::media::capture::v4l2::device;
use crate::media::encode::encoders::{CandidateReport, CandidateState, Encoders};
use crate::media::pipeline::{SourceSettings, VideoSettings};
use crate::media::probe::{self, CaptureDevice, PassedOver};
use crate::video::frame::Codec;

use super::args::{Place, Probe};
use super::{Failure, IO, place};

/// Everything that was found. Its JSON is for programs: keys stay, more may come.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) build: Build,
    pub(super) board: BoardLine,
    /// Why the configuration could not be used; the defaults are shown then.
    pub(super) config_problem: Option<String>,
    pub(super) captures: Vec<CaptureDevice>,
    pub(super) passed_over: Vec<PassedOver>,
    pub(super) sound_cards: Vec<SoundCard>,
    pub(super) encoders: Vec<EncoderLine>,
    pub(super) usb_controllers: Vec<UsbController>,
    pub(super) choice: Choice,
}

/// What this program was built with.
#[derive(Debug, Serialize)]
pub(super) struct Build {
    pub(super) gstreamer: bool,
    pub(super) sound: bool,
}

/// The board whose profile holds.
#[derive(Debug, Serialize)]
pub(super) struct BoardLine {
    /// What `board` in the configuration takes.
    pub(super) profile: String,
    pub(super) name: String,
    pub(super) why: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SoundCard {
    /// What `audio.device` takes.
    pub(super) device: String,
    /// The capture device of pictures that it is one device with.
    pub(super) belongs_to: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(super) struct EncoderLine {
    pub(super) codec: &'static str,
    pub(super) name: &'static str,
    /// `good`, `failed`, `not-there` or `not-tried`.
    pub(super) state: &'static str,
    /// What the check found, or why it failed.
    pub(super) note: String,
    /// CPU for a frame, in percent of openh264's.
    pub(super) cost: u32,
    pub(super) is_hardware: bool,
    /// Never run on the device that it is for, but for the check.
    pub(super) is_unproven: bool,
    /// The one that is taken for its codec.
    pub(super) is_chosen: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct UsbController {
    pub(super) name: String,
    /// The kernel's word; not to be trusted with every driver.
    pub(super) state: Option<String>,
    /// The gadget on it.
    pub(super) gadget: Option<String>,
}

/// What `kvmdesk run` would use.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    pub(super) displays: Vec<DisplayChoice>,
    pub(super) sound: Chosen,
    pub(super) hands: Chosen,
}

#[derive(Debug, Serialize)]
pub(super) struct DisplayChoice {
    #[serde(flatten)]
    pub(super) chosen: Chosen,
    /// FourCC of the format that is tried first.
    pub(super) format: Option<String>,
}

/// A device and a sentence about it.
#[derive(Debug, Serialize)]
pub(super) struct Chosen {
    /// `None` if there is none that would do.
    pub(super) device: Option<String>,
    pub(super) note: String,
}

pub(super) fn run(place: &Place, args: &Probe) -> Result<(), Failure> {
    let (settings, config_problem) = match place::settings(place) {
        Ok(settings) => (Some(settings), None),
        Err(failure) => (None, Some(failure.text)),
    };
    let report = look(settings.as_ref(), config_problem);
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| Failure::new(IO, e.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", text::render(&report));
    }
    Ok(())
}

/// Looks at everything; the encoders' self-checks take some seconds.
pub(super) fn look(settings: Option<&Settings>, config_problem: Option<String>) -> Report {
    let board = settings.map_or_else(|| place::boards().recognised(), |s| s.board.clone());
    let (captures, passed_over) = probe::capture_devices();
    let sound_cards = sound_cards(&captures);
    let usb_controllers = usb_controllers();
    let displays = settings.map_or(&[][..], |s| &s.displays);
    let choice = Choice {
        displays: displays
            .iter()
            .map(|display| {
                choose_display(display, &captures, &passed_over, |settings| {
                    device::probe(settings.clone()).ok()?.first_mode(display.max_size)
                })
            })
            .collect(),
        sound: choose_sound(settings, &sound_cards, |video| {
            cards::of_capture(&cards::system(), video, None).map(|card| card.name())
        }),
        hands: choose_hands(settings, &usb_controllers),
    };
    Report {
        version: env!("CARGO_PKG_VERSION"),
        build: Build { gstreamer: cfg!(feature = "gstreamer"), sound: cfg!(feature = "sound") },
        board: BoardLine { profile: board.id, name: board.profile.name, why: board.why },
        config_problem,
        captures,
        passed_over,
        sound_cards,
        encoders: encoders(settings.map_or(&[][..], |s| &s.encoder_order)),
        usb_controllers,
        choice,
    }
}

fn sound_cards(captures: &[CaptureDevice]) -> Vec<SoundCard> {
    let sys = cards::system();
    let owner = |card: &cards::Card| {
        let is_its = |video: &&CaptureDevice| cards::beside(&sys, &video.device).as_ref() == Some(card);
        captures.iter().find(is_its).map(|video| video.device.clone())
    };
    let all = cards::list(&sys).into_iter();
    all.map(|card| SoundCard { device: card.name(), belongs_to: owner(&card) }).collect()
}

fn usb_controllers() -> Vec<UsbController> {
    let found = configfs::controllers(&KernelPaths::default()).into_iter();
    found.map(|c| UsbController { name: c.name, state: c.state, gadget: c.gadget }).collect()
}

/// Every encoder after its check, those of `order` first.
fn encoders(order: &[String]) -> Vec<EncoderLine> {
    let encoders = Encoders::in_order(order);
    encoders.prove_all();
    let report = encoders.report();
    let of_codec = |codec: Codec| report.iter().filter(move |c| c.codec == codec);
    let line = |candidate: &CandidateReport| {
        let (state, note) = match &candidate.state {
            CandidateState::NotThere => ("not-there", String::new()),
            CandidateState::NotTried => ("not-tried", String::new()),
            CandidateState::Proven { note } => ("good", note.clone()),
            CandidateState::Rejected { reason } => ("failed", reason.clone()),
        };
        let best = of_codec(candidate.codec).find(|c| matches!(c.state, CandidateState::Proven { .. }));
        EncoderLine {
            codec: candidate.codec.name(),
            name: candidate.name,
            state,
            note,
            cost: candidate.cost,
            is_hardware: candidate.is_hardware,
            is_unproven: candidate.is_unproven,
            is_chosen: best.is_some_and(|best| best.name == candidate.name),
        }
    };
    [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1]
        .into_iter()
        .flat_map(|codec| of_codec(codec).map(line).collect::<Vec<_>>())
        .collect()
}

/// `first_mode` gives the mode of a device that is tried first; `None` if there is none that may be used.
fn choose_display(
    display: &VideoSettings,
    captures: &[CaptureDevice],
    passed_over: &[PassedOver],
    first_mode: impl Fn(&V4l2Settings) -> Option<Mode>,
) -> DisplayChoice {
    let nothing = |note: String| DisplayChoice { chosen: Chosen { device: None, note }, format: None };
    let settings = match &display.source {
        SourceSettings::Pattern => {
            let note = "as configured".to_owned();
            return DisplayChoice { chosen: Chosen { device: Some("test card".into()), note }, format: None };
        }
        SourceSettings::V4l2(settings) => settings,
    };
    let nodes = nodes(settings);
    let capture = nodes.iter().find_map(|(_, real)| captures.iter().find(|capture| capture.device == *real));
    if let Some(capture) = capture {
        let path =
            nodes.iter().find(|(_, real)| capture.device == *real).map_or(&capture.device, |(path, _)| path);
        let shown = path.display();
        let Some(mode) = first_mode(settings) else {
            let other = instead(captures, &capture.device);
            return nothing(format!("{shown} offers no format that may be used{other}"));
        };
        let format = PassedOverFormat::name_of(mode.fourcc);
        let rate = mode.fps().map_or_else(String::new, |fps| format!(", {fps} frames a second"));
        let note = match capture.signal.notice {
            "" => format!("{format} {}{rate}", mode.size),
            notice => format!("{format}. {notice}"),
        };
        let format = Some(format);
        return DisplayChoice { chosen: Chosen { device: Some(shown.to_string()), note }, format };
    }
    let refused =
        nodes.iter().find_map(|(path, real)| Some((path, passed_over.iter().find(|o| o.device == *real)?)));
    match refused {
        Some((path, other)) => {
            nothing(format!("{}: {}{}", path.display(), other.reason, instead(captures, &other.device)))
        }
        None => nothing(format!("{settings} is not there{}", instead(captures, Path::new("")))),
    }
}

/// The nodes that a display may be captured from now: as they are named, and as they are.
fn nodes(settings: &V4l2Settings) -> Vec<(PathBuf, PathBuf)> {
    let named = settings.devices.iter().flat_map(|device| device.mark.nodes());
    named.map(|path| (path.clone(), std::fs::canonicalize(&path).unwrap_or(path))).collect()
}

/// Another capture device that would do, as the end of a sentence.
fn instead(captures: &[CaptureDevice], not: &Path) -> String {
    let other =
        captures.iter().find(|c| c.device != not && c.formats.iter().any(|f| f.passed_over.is_none()));
    other.map_or_else(String::new, |other| {
        let path = other.stable_path.as_ref().unwrap_or(&other.device);
        format!("; set video.device = \"{}\" to use {}", path.display(), other.name)
    })
}

/// `sound_of` gives the sound card of what a display is captured with.
fn choose_sound(
    settings: Option<&Settings>,
    cards: &[SoundCard],
    sound_of: impl Fn(&V4l2Settings) -> Option<String>,
) -> Chosen {
    let none = |note: &str| Chosen { device: None, note: note.to_owned() };
    let Some(audio) = settings.and_then(|s| s.audio.as_ref()) else {
        return none(match settings {
            _ if !cfg!(feature = "sound") => "this kvmdesk was built without sound",
            None => "the configuration cannot be used",
            Some(_) => "off, or there is no capture device of pictures that it could belong to",
        });
    };
    match &audio.device {
        AudioDevice::Named(name) => {
            Chosen { device: Some(name.clone()), note: "as configured in audio.device".into() }
        }
        AudioDevice::Beside(video) => match sound_of(video) {
            Some(card) => Chosen { device: Some(card), note: "it belongs to the capture device".into() },
            None if cards.is_empty() => none("there is no sound card that captures"),
            None => none(&format!(
                "no sound card belongs to {video}; name one in audio.device if it has the computer's sound"
            )),
        },
    }
}

fn choose_hands(settings: Option<&Settings>, controllers: &[UsbController]) -> Chosen {
    let (name, udc) = match settings.map(|s| &s.hid) {
        Some(HidChoice::Recording { .. }) => {
            return Chosen { device: Some("recording".into()), note: "as configured: no keyboard".into() };
        }
        Some(HidChoice::Ch9329(settings)) => {
            let device = Some(settings.device.display().to_string());
            let note =
                if settings.device.exists() { "a CH9329, as configured" } else { "it is not there now" };
            return Chosen { device, note: note.into() };
        }
        Some(HidChoice::Uinput) => {
            let node = uinput::NODE;
            let note = match uinput::probe(Path::new(node)) {
                Ok(()) => "this machine's own input, as configured".to_owned(),
                Err(error) => format!("{error}; load the kernel module uinput"),
            };
            return Chosen { device: Some(node.into()), note };
        }
        Some(HidChoice::Gadget { spec, .. }) => (spec.name.as_str(), spec.udc.as_deref()),
        None => ("kvmdesk", None),
    };
    if let Some(ours) = controllers.iter().find(|c| c.gadget.as_deref() == Some(name)) {
        let note = format!("the gadget {name} is built");
        return Chosen { device: Some(ours.name.clone()), note };
    }
    let mut wanted = controllers.iter().filter(|c| udc.is_none_or(|udc| udc == c.name));
    let first = wanted.clone().next();
    if let (Some(udc), None, false) = (udc, first, controllers.is_empty()) {
        return Chosen { device: None, note: format!("gadget.udc names {udc}, which is not there") };
    }
    let free = wanted.find(|c| c.gadget.is_none());
    match (free, first) {
        (Some(free), _) => Chosen {
            device: Some(free.name.clone()),
            note: format!("`kvmdesk gadget up` builds the gadget {name} on it"),
        },
        (None, Some(taken)) => Chosen {
            device: None,
            note: format!(
                "{} is taken by the gadget {}",
                taken.name,
                taken.gadget.as_deref().unwrap_or_default()
            ),
        },
        (None, None) => Chosen {
            device: None,
            note:
                "this machine has no USB port that can be a keyboard (no device controller in /sys/class/udc)"
                    .to_owned(),
        },
    }
}

#[cfg(test)]
pub(super) mod tests;
