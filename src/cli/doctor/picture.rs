//! Pictures and sound: what is captured, what it is encoded with.

use std::fs;

use crate::agent::status::{Status as Snapshot, VideoStatus};
use crate::cli::probe::Report;
use crate::config::settings::Settings;
use crate::media::audio::AudioDevice;
use crate::media::capture::v4l2::{V4l2Device, V4l2Settings};
use crate::media::pipeline::SourceSettings;
use crate::media::probe::CaptureDevice;

use super::Finding;

/// Bytes of an EDID that the driver gives back as they were written; behind them it may set the HDMI address.
const EDID_BASE: usize = 128;

/// What helps while no picture comes.
const NO_PICTURE: &str = "switch the computer on and look at the cable; some computers give no signal until they see a \
                          monitor (video.edid)";

/// Every configured display.
pub(super) fn pictures(
    settings: Option<&Settings>,
    report: &Report,
    daemon: Option<&Snapshot>,
) -> Vec<Finding> {
    let displays = settings.map_or(&[][..], |settings| &settings.displays);
    let mut findings = vec![];
    for (n, (display, choice)) in displays.iter().zip(&report.choice.displays).enumerate() {
        let subject = if displays.len() > 1 { format!("picture {}", n + 1) } else { "picture".to_owned() };
        let SourceSettings::V4l2(v4l2) = &display.source else {
            findings.push(Finding::ok(&subject, "a moving test card, as configured: no computer is shown"));
            continue;
        };
        let told = daemon.and_then(|daemon| daemon.target.displays.get(n));
        let Some(device) = &choice.chosen.device else {
            // It may have followed the device to another number, or may open what we may not.
            if let Some(told) = told.filter(|told| told.signal != "no-device") {
                findings.push(as_told(&subject, told));
                continue;
            }
            let remedy = "connect the grabber or load its driver; `kvmdesk probe` shows every device and what it offers";
            findings.push(Finding::fail(&subject, &choice.chosen.note, remedy));
            continue;
        };
        let Some((wanted, capture)) = captured(v4l2, &report.captures) else { continue };
        let notice = told.map(|told| told.notice.as_str());
        findings.push(signal(&subject, device, &choice.chosen.note, capture, notice));
        findings.push(edid(&subject, wanted, capture));
    }
    findings
}

/// The first of the devices that a display may be captured from that is there, and what was found of it.
fn captured<'a>(
    v4l2: &'a V4l2Settings,
    captures: &'a [CaptureDevice],
) -> Option<(&'a V4l2Device, &'a CaptureDevice)> {
    let nodes =
        v4l2.devices.iter().flat_map(|device| device.mark.nodes().into_iter().map(move |n| (device, n)));
    nodes.into_iter().find_map(|(device, named)| {
        let node = fs::canonicalize(&named).unwrap_or(named);
        Some((device, captures.iter().find(|capture| capture.device == node)?))
    })
}

/// What the running daemon says of a display whose device cannot be asked.
fn as_told(subject: &str, told: &VideoStatus) -> Finding {
    let VideoStatus { source, notice, original_resolution, .. } = told;
    match notice.as_str() {
        "" => Finding::ok(subject, format!("kvmdesk captures {original_resolution} from {source}")),
        notice => Finding::warn(subject, format!("{source}: {notice}"), NO_PICTURE),
    }
}

fn signal(subject: &str, device: &str, note: &str, capture: &CaptureDevice, told: Option<&str>) -> Finding {
    let signal = &capture.signal;
    let on_cable = match (&signal.resolution, signal.fps) {
        (Some(size), Some(fps)) => format!("; on the cable {size} at {fps}"),
        _ => String::new(),
    };
    let trouble = told.filter(|told| !told.is_empty()).unwrap_or(signal.notice);
    match trouble {
        "" if signal.is_interlaced => Finding::warn(
            subject,
            format!("{device}: {note}{on_cable}, half-frames"),
            "choose a progressive mode (without an `i`) on the computer",
        ),
        "" => Finding::ok(subject, format!("{device}: {note}{on_cable}")),
        trouble => Finding::warn(subject, format!("{device}: {trouble}"), NO_PICTURE),
    }
}

fn edid(subject: &str, wanted: &V4l2Device, capture: &CaptureDevice) -> Finding {
    let monitor = capture.edid.monitor.as_deref().unwrap_or("a monitor without a name");
    let base = |bytes: &[u8]| bytes.iter().take(EDID_BASE).copied().collect::<Vec<_>>();
    match (capture.edid.state, &wanted.edid) {
        ("set", Some(wanted)) if base(wanted) != base(&capture.edid.data) => Finding::warn(
            subject,
            format!("the receiver shows the EDID \"{monitor}\" and not the configured one"),
            "(re)start kvmdesk, which sets it; if it stays so, the device did not accept it: try a smaller mode",
        ),
        ("set", _) => Finding::ok(subject, format!("the computer sees the monitor \"{monitor}\" (EDID)")),
        ("none", Some(_)) => Finding::warn(
            subject,
            "the computer sees no monitor yet: the configured EDID is set when kvmdesk starts",
            "start kvmdesk; if it runs, the device did not accept the EDID: try a smaller mode in video.edid",
        ),
        ("none", None) => Finding::fail(
            subject,
            "the computer sees no monitor: the receiver has no EDID",
            "set video.edid, for instance to \"1080p50\", and restart kvmdesk",
        ),
        _ => Finding::ok(subject, "the grabber has an EDID of its own, which it shows to the computer alone"),
    }
}

/// What pictures are encoded with, after each encoder's self-check.
pub(super) fn encoders(report: &Report) -> Vec<Finding> {
    let chosen: Vec<_> = report.encoders.iter().filter(|encoder| encoder.is_chosen).collect();
    let mut findings = vec![];
    if chosen.iter().any(|encoder| encoder.codec == "H.264") {
        let is_hardware = |is: bool| if is { " (hardware)" } else { "" };
        let list = chosen.iter().map(|e| format!("{} by {}{}", e.codec, e.name, is_hardware(e.is_hardware)));
        findings.push(Finding::ok("encoders", list.collect::<Vec<_>>().join(", ")));
    } else {
        findings.push(Finding::fail(
            "encoders",
            "no encoder of H.264 passed its self-check: most apps would stay black",
            "`kvmdesk probe` says why each failed; reinstall kvmdesk, or the GStreamer plugins that it names",
        ));
    }
    for failed in report.encoders.iter().filter(|encoder| encoder.state == "failed") {
        findings.push(Finding::warn(
            "encoders",
            format!("{} failed its self-check and is passed over: {}", failed.name, failed.note),
            "nothing has to be done while another one does its codec; a newer kernel or GStreamer may mend it",
        ));
    }
    findings
}

/// The computer's sound.
pub(super) fn sound(settings: Option<&Settings>, report: &Report, daemon: Option<&Snapshot>) -> Finding {
    let chosen = &report.choice.sound;
    let is_named = settings
        .and_then(|settings| settings.audio.as_ref())
        .is_some_and(|audio| matches!(audio.device, AudioDevice::Named(_)));
    let told = daemon.and_then(|daemon| daemon.target.audio.as_ref()).map_or("", |told| &told.notice);
    let remedy =
        "`kvmdesk probe` lists the sound cards that capture; set audio.device to one of them, or to \"off\"";
    match &chosen.device {
        Some(device) if is_named && !told.is_empty() => {
            Finding::warn("sound", format!("{device}: {told}"), remedy)
        }
        Some(device) if is_named && report.sound_cards.is_empty() => {
            Finding::warn("sound", format!("{device} is configured, but no sound card captures"), remedy)
        }
        Some(device) => Finding::ok("sound", format!("{device}: {}", chosen.note)),
        None => Finding::ok("sound", format!("none: {}", chosen.note)),
    }
}
