//! `kvmdesk status`: the running daemon on one screen.

mod watch;

use crate::agent::control::{self, Answer, Request};
use crate::agent::status::{
    AudioStatus, Latency, RecoveryStatus, SessionStatus, Status as Snapshot, StreamStatus, TargetStatus,
    VideoStatus,
};
use crate::agent::store::Store;

use super::args::{Place, Status};
use super::{Failure, IO, UNAVAILABLE, place, sessions};

pub(super) fn run(place: &Place, args: &Status) -> Result<(), Failure> {
    let store = Store::at(&place::state_dir(place)?);
    if args.watch {
        return watch::watch(&store);
    }
    let status = ask(&store)?;
    if args.json {
        let json = serde_json::to_string_pretty(&status).map_err(|e| Failure::new(IO, e.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", to_text(&status));
    }
    Ok(())
}

/// The snapshot of the daemon that runs on a state directory.
pub(super) fn ask(store: &Store) -> Result<Box<Snapshot>, Failure> {
    match control::ask(&store.socket(), &Request::Status)? {
        Answer::Status(status) => Ok(status),
        Answer::Failed { text } => Err(Failure::new(UNAVAILABLE, text)),
        Answer::Done { .. } | Answer::OneTimePassword { .. } | Answer::Picture(_) | Answer::Typing { .. } => {
            Err(Failure::new(UNAVAILABLE, "the daemon answered something else"))
        }
    }
}

/// Lines with a head in the first column.
struct Page(Vec<String>);

impl Page {
    fn row(&mut self, head: &str, text: impl AsRef<str>) {
        self.0.push(format!("{head:<10} {}", text.as_ref()).trim_end().to_owned());
    }
}

pub(super) fn to_text(status: &Snapshot) -> String {
    let target = &status.target;
    let mut page = Page(vec![format!(
        "kvmdesk {}, up {}: {}",
        status.version,
        sessions::duration(status.uptime_seconds),
        if status.problems.is_empty() { "all is well" } else { "look at this" }
    )]);
    page.0.extend(status.problems.iter().map(|p| format!("  ! {p}")));
    page.row("Target", format!("{}, ID {}, {} password", target.name, target.id, target.password));
    show_ways_in(&mut page, target);
    if let Some(metrics) = &status.metrics {
        page.row(
            "Metrics",
            format!("{} {}", metrics.listen, if metrics.is_open { "open" } else { "NOT OPEN" }),
        );
    }
    for (n, video) in target.displays.iter().enumerate() {
        let head =
            if target.displays.len() > 1 { format!("Display {}", n + 1) } else { "Picture".to_owned() };
        show_video(&mut page, &head, video);
    }
    page.row("Sound", target.audio.as_ref().map_or_else(|| "off".to_owned(), sound));
    let hid = &target.hid;
    let leds = if hid.leds.is_empty() { String::new() } else { format!(", lit: {}", hid.leds.join(" ")) };
    let not_typed = match hid.characters_not_typed {
        0 => String::new(),
        n => format!(", {} not typed", plural(n, "character")),
    };
    let recovery = hid.recovery.rung.as_ref().map_or_else(String::new, |rung| format!(", recovery: {rung}"));
    page.row(
        "Hands",
        format!(
            "{}: {}{recovery}, {} reports, {} events discarded{not_typed}{leds}",
            hid.backend,
            if hid.is_connected { "connected" } else { "NOT CONNECTED" },
            hid.reports_written,
            hid.events_discarded
        ),
    );
    let done = &hid.recovery;
    if done.losses > 0 {
        let RecoveryStatus { losses, rebinds, rebuilds, .. } = done;
        page.row(
            "",
            format!("lost {losses} times, bound again {rebinds} times, built again {rebuilds} times"),
        );
    }
    if target.suspects > 0 {
        page.row("Locks", format!("{} addresses with wrong passwords (`kvmdesk unlock`)", target.suspects));
    }
    if target.sessions.is_empty() {
        page.row("Sessions", "none");
    }
    for session in &target.sessions {
        show_session(&mut page, session);
    }
    page.0.join("\n") + "\n"
}

fn show_ways_in(page: &mut Page, target: &TargetStatus) {
    page.row(
        "Server",
        match &target.server {
            None => "none: not registered anywhere".to_owned(),
            Some(s) => {
                format!("{} {}, NAT {}", s.host, if s.is_online { "online" } else { "NOT ONLINE" }, s.nat)
            }
        },
    );
    page.row(
        "Direct",
        match &target.direct {
            None => "off".to_owned(),
            Some(d) => format!(
                "{} {}, {}",
                d.listen,
                if d.is_open { "open" } else { "NOT OPEN" },
                if d.is_plaintext_allowed { "in clear" } else { "refused: direct.allow-plaintext is false" }
            ),
        },
    );
    page.row("Discovery", if target.is_lan_discovery_on { "on" } else { "off" });
}

fn show_video(page: &mut Page, head: &str, video: &VideoStatus) {
    let size = if video.resolution == video.original_resolution {
        video.resolution.clone()
    } else {
        format!("{}, sent as {}", video.original_resolution, video.resolution)
    };
    let format = video.capture.format.as_ref().map_or_else(String::new, |format| format!(" {format}"));
    page.row(head, format!("{}: {},{format} {size}", video.source, video.signal));
    let (fps_in, fps_out) = (video.fps_in, video.fps_out);
    let failures = match video.encoder_failures {
        0 => String::new(),
        n => format!("; encoders failed {n} times"),
    };
    page.row("", format!("now {fps_in:.0} frames/s captured, {fps_out:.0} encoded"));
    page.row(
        "",
        format!(
            "since start {} captured, {} unchanged, {} encoded ({} key, {} refined){failures}",
            video.captured, video.unchanged, video.encoded, video.keyframes, video.refinements
        ),
    );
    let dropped = &video.dropped;
    let reasons = [
        (dropped.no_room, "no controller had room"),
        (dropped.not_wanted, "slower was asked for"),
        (dropped.unusable + video.capture.damaged, "damaged"),
    ];
    if let Some(text) = reasons_text(&reasons) {
        page.row("", format!("changes left out: {text}"));
    }
    let capture = &video.capture;
    // Opening it at the start counts as one.
    let recoveries = [
        (capture.restarts, "stream started again"),
        (capture.reopens.saturating_sub(1), "device opened again"),
        (capture.hot_plugs, "cable shown pulled and put in"),
    ];
    if let Some(text) = reasons_text(&recoveries) {
        page.row("", format!("recovered: {text}"));
    }
    let stages = [
        ("capture", &video.latency.convert),
        ("encode", &video.latency.encode),
        ("hand out", &video.latency.hand_out),
    ];
    for (name, l) in stages.into_iter().filter(|(_, latency)| **latency != Latency::default()) {
        let (half, most, nearly_all) = (millis(l.p50_ms), millis(l.p95_ms), millis(l.p99_ms));
        let takes = format!("{name} takes");
        page.row("", format!("{takes:<14} {half:>5} ms (95 %: {most}, 99 %: {nearly_all})"));
    }
    for lane in &video.lanes {
        let encoder = if lane.encoder.is_empty() { "(starting)" } else { &lane.encoder };
        let second = if lane.is_second { " for slow lines" } else { "" };
        let wish = if lane.quantiser == lane.wished_quantiser {
            String::new()
        } else {
            format!(" (for changes {})", lane.wished_quantiser)
        };
        page.row(
            "  stream",
            format!(
                "{} by {encoder}{second}: {:.0} frames/s, {}, coarseness {} of 51{wish}, {}",
                lane.codec,
                lane.fps,
                bits(lane.bits_per_second),
                lane.quantiser,
                plural(lane.watchers as u64, "controller")
            ),
        );
    }
}

fn sound(audio: &AudioStatus) -> String {
    let overruns =
        if audio.overruns > 0 { format!(", lost some {} times", audio.overruns) } else { String::new() };
    match audio.state.as_str() {
        "asleep" => format!("{}: nobody listens", audio.device),
        "no-device" => format!("NO DEVICE: {}", audio.notice),
        state => format!(
            "{}: {state}, {} sent, {} of silence left out{overruns}",
            audio.device,
            sessions::duration(audio.packets / 100),
            sessions::duration(audio.silent / 100)
        ),
    }
}

fn show_session(page: &mut Page, s: &SessionStatus) {
    page.row(
        &format!("Session {}", s.session),
        format!(
            "{} ({}) on {}, {} from {}, {}",
            s.my_name,
            s.my_id,
            s.platform,
            s.route,
            s.address,
            sessions::duration(s.seconds)
        ),
    );
    let [rates, counts] = stream(&s.stream);
    page.row("", rates);
    page.row("", counts);
}

fn stream(stream: &StreamStatus) -> [String; 2] {
    let codecs =
        if stream.codecs.is_empty() { "still picture".to_owned() } else { stream.codecs.join(" and ") };
    let mut parts = vec![codecs, format!("{} frames/s", stream.fps), bits(stream.bits_per_second)];
    if let Some(line) = stream.line_bits_per_second {
        parts.push(format!("line carries {}", bits(line.into())));
    }
    if let Some(round_trip) = stream.round_trip_ms {
        parts.push(format!("round trip {} ms", millis(round_trip)));
    }
    let dropped = &stream.dropped;
    let reasons = [
        (dropped.line_full, "line full"),
        (dropped.unacknowledged, "not acknowledged"),
        (dropped.awaiting_keyframe, "before a key frame"),
        (dropped.old_size, "old size"),
        (dropped.undecodable, "not decodable"),
    ];
    let dropped = reasons_text(&reasons).map_or_else(String::new, |text| format!("; left out: {text}"));
    [parts.join(", "), format!("{} frames sent{dropped}", stream.frames)]
}

fn reasons_text(reasons: &[(u64, &str)]) -> Option<String> {
    let told: Vec<_> = reasons.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{n} {why}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

fn millis(number: f64) -> String {
    if number < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

fn bits(a_second: u64) -> String {
    match a_second {
        0..1_000 => format!("{a_second} bit/s"),
        1_000..1_000_000 => format!("{} kbit/s", a_second / 1000),
        _ => format!("{:.1} Mbit/s", a_second as f64 / 1e6),
    }
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
pub(super) mod tests;
