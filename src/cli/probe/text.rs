//! The report for people.

use std::fmt::Write as _;

use super::{Chosen, Report};
use crate::media::probe::{CaptureDevice, Format, Size};

/// Sizes of a format that are shown; the others are counted.
const SIZES_SHOWN: usize = 4;

/// Characters a line.
const WIDTH: usize = 100;

/// The whole report.
pub(in crate::cli) fn render(report: &Report) -> String {
    let mut out = String::new();
    let yes = |is: bool, what: &'static str| if is { what } else { "" };
    let built = [yes(report.build.gstreamer, "GStreamer"), yes(report.build.sound, "sound")];
    let built: Vec<_> = built.into_iter().filter(|what| !what.is_empty()).collect();
    let with = if built.is_empty() {
        "without GStreamer and sound".to_owned()
    } else {
        format!("with {}", built.join(" and "))
    };
    line(&mut out, &format!("kvmdesk {}, built {with}", report.version));
    let board = &report.board;
    line(&mut out, &format!("Board: {} (profile {}: {})", board.name, board.profile, board.why));
    if let Some(problem) = &report.config_problem {
        line(&mut out, &format!("  ! {problem}"));
    }

    line(&mut out, "\nPictures");
    if report.captures.is_empty() {
        line(&mut out, "  no capture device: is the HDMI grabber connected, and its driver there?");
    }
    for capture in &report.captures {
        show_capture(&mut out, capture);
    }
    for other in &report.passed_over {
        line(&mut out, &format!("  {}  passed over: {}", other.device.display(), other.reason));
    }

    line(&mut out, "\nSound");
    if report.sound_cards.is_empty() {
        line(&mut out, "  no sound card that captures");
    }
    for card in &report.sound_cards {
        let of = card
            .belongs_to
            .as_ref()
            .map_or_else(String::new, |v| format!("  one device with {}", v.display()));
        line(&mut out, &format!("  {}{of}", card.device));
    }

    line(&mut out, "\nUSB ports that can be a keyboard");
    if report.usb_controllers.is_empty() {
        line(&mut out, "  none");
    }
    for usb in &report.usb_controllers {
        let gadget = usb.gadget.as_ref().map_or_else(|| "free".to_owned(), |g| format!("gadget {g}"));
        let state = usb.state.as_ref().map_or_else(String::new, |state| format!(", {state}"));
        line(&mut out, &format!("  {}  {gadget}{state}", usb.name));
    }

    show_encoders(&mut out, report);
    show_choice(&mut out, report);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn show_capture(out: &mut String, capture: &CaptureDevice) {
    line(out, &format!("  {}  {} ({})", capture.device.display(), capture.name, capture.driver));
    let mut row = |head: &str, text: String| {
        let _ = writeln!(out, "    {head:<8} {}", wrapped(&text, 13));
    };
    row("at", capture.bus.clone());
    if let Some(link) = &capture.stable_path {
        row("link", link.display().to_string());
    }
    if !capture.in_use_by.is_empty() {
        row("in use", format!("by {}", capture.in_use_by.join(", ")));
    }
    let input = capture.input.as_ref().map_or_else(String::new, |input| format!("{input}: "));
    let signal = &capture.signal;
    let text = match (&signal.resolution, signal.fps) {
        (Some(size), Some(fps)) => {
            let kind = if signal.is_interlaced { "half-frames" } else { "frames" };
            format!("{size}, {fps} {kind} a second")
        }
        _ if signal.state == "unknown" => "the device does not say what is on its input".to_owned(),
        _ => signal.notice.to_owned(),
    };
    row("signal", input + &text);
    row(
        "EDID",
        match (capture.edid.state, &capture.edid.monitor) {
            ("set", Some(monitor)) => format!("\"{monitor}\", {} bytes", capture.edid.bytes),
            ("set", None) => format!("{} bytes", capture.edid.bytes),
            ("none", _) => "none: the computer sees no monitor; set video.edid".to_owned(),
            _ => "built in".to_owned(),
        },
    );
    // Those of the same sizes share a line.
    let mut shared: Vec<(String, Vec<&str>)> = vec![];
    for format in capture.formats.iter().filter(|f| f.passed_over.is_none()) {
        let sizes = sizes(format);
        match shared.iter_mut().find(|(known, _)| *known == sizes) {
            Some((_, names)) => names.push(&format.fourcc),
            None => shared.push((sizes, vec![&format.fourcc])),
        }
    }
    let mut head = "formats";
    for (sizes, names) in shared {
        row(head, if sizes.is_empty() { names.join(" ") } else { format!("{}: {sizes}", names.join(" ")) });
        head = "";
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = vec![];
    for format in &capture.formats {
        let Some(reason) = &format.passed_over else { continue };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, names)) => names.push(&format.fourcc),
            None => reasons.push((reason, vec![&format.fourcc])),
        }
    }
    for (reason, names) in reasons {
        row("not used", format!("{reason}: {}", names.join(" ")));
    }
}

/// A text in lines of at most so many characters where there are spaces, the later ones behind `indent` spaces.
pub(in crate::cli) fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if !last.is_empty() && indent + last.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

fn sizes(format: &Format) -> String {
    if let Some([least, most]) = &format.range {
        return if least == most { most.clone() } else { format!("{least} to {most}") };
    }
    let mut sorted: Vec<&Size> = format.sizes.iter().collect();
    sorted.sort_by_key(|size| std::cmp::Reverse(u64::from(size.width) * u64::from(size.height)));
    let one = |size: &&Size| match size.most_fps {
        Some(fps) => format!("{}x{} at {fps}", size.width, size.height),
        None => format!("{}x{}", size.width, size.height),
    };
    let mut shown: Vec<String> = sorted.iter().take(SIZES_SHOWN).map(one).collect();
    if let more @ 1.. = sorted.len().saturating_sub(SIZES_SHOWN) {
        shown.push(format!("{more} smaller"));
    }
    shown.join(", ")
}

fn show_encoders(out: &mut String, report: &Report) {
    line(out, "\nEncoders (`*`: taken for its codec; cost: CPU for a frame, in percent of openh264's)");
    for encoder in report.encoders.iter().filter(|e| e.state != "not-there") {
        let mark = if encoder.is_chosen { '*' } else { ' ' };
        let cost = if encoder.is_hardware { "hardware".to_owned() } else { format!("{} %", encoder.cost) };
        let unproven = if encoder.is_unproven { " (never run on such hardware by us)" } else { "" };
        let text = format!(
            "{mark} {:<6} {:<14} {cost:>8}  {}: {}{unproven}",
            encoder.codec, encoder.name, encoder.state, encoder.note
        );
        line(out, text.trim_end_matches(": "));
    }
    let missing: Vec<_> = report.encoders.iter().filter(|e| e.state == "not-there").map(|e| e.name).collect();
    if !missing.is_empty() {
        line(out, &format!("  not on this machine: {}", wrapped(&missing.join(" "), 23)));
    }
    if !report.build.gstreamer {
        line(out, "  built without GStreamer: H.264 only");
    }
}

fn show_choice(out: &mut String, report: &Report) {
    line(out, "\n`kvmdesk run` would use");
    let mut row = |head: &str, chosen: &Chosen| {
        let device = chosen.device.as_deref().unwrap_or("NOTHING");
        let text = wrapped(&format!("{device}: {}", chosen.note), 13);
        let _ = writeln!(out, "  {head:<10} {text}");
    };
    for (n, display) in report.choice.displays.iter().enumerate() {
        let head =
            if report.choice.displays.len() > 1 { format!("Display {}", n + 1) } else { "Picture".into() };
        row(&head, &display.chosen);
    }
    row("Sound", &report.choice.sound);
    row("Hands", &report.choice.hands);
    let chosen: Vec<_> = report
        .encoders
        .iter()
        .filter(|e| e.is_chosen)
        .map(|e| format!("{} by {}", e.codec, e.name))
        .collect();
    let codecs = if chosen.is_empty() { "NOTHING".to_owned() } else { chosen.join(", ") };
    line(out, &format!("  {:<10} {codecs}", "Encoders"));
}
