//! The snapshot as Prometheus' text exposition format 0.0.4. No names, IDs or addresses of controllers: whoever may read
//! the metrics need not know who was there, and the number of series stays bounded.

use std::fmt::Write as _;

use super::status::{LaneStatus, Latency, Status, VideoStatus};

/// What a page of metrics is sent as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether a value only grows.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// A value with its labels.
type Labelled<'v> = (Vec<(&'static str, &'v str)>, f64);

/// Families one after the other, each with its samples behind it.
struct Page(String);

impl Page {
    fn family(&mut self, kind: Kind, name: &'static str, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: self, name }
    }
}

struct Family<'a> {
    page: &'a mut Page,
    name: &'static str,
}

impl Family<'_> {
    fn value(self, value: f64) {
        self.with(&[], value);
    }

    fn with(self, labels: &[(&str, &str)], value: f64) -> Self {
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escaped(v))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.page.0, "{}{labels} {value}", self.name);
        self
    }

    /// A sample a display.
    fn of_displays(self, status: &Status, value: impl Fn(&VideoStatus) -> f64) {
        self.of_parts(status, |video| vec![(vec![], value(video))]);
    }

    /// Some samples a display, with further labels.
    fn of_parts<'v>(mut self, status: &'v Status, parts: impl Fn(&'v VideoStatus) -> Vec<Labelled<'v>>) {
        for (n, video) in status.target.displays.iter().enumerate() {
            let display = (n + 1).to_string();
            for (labels, value) in parts(video) {
                let labels = [vec![("display", display.as_str())], labels].concat();
                self = self.with(&labels, value);
            }
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn of(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// The page.
pub fn render(status: &Status) -> String {
    use Kind::{Counter, Gauge};
    let mut page = Page(String::new());
    let target = &status.target;
    page.family(Gauge, "kvmdesk_build_info", "The version that runs; always 1.")
        .with(&[("version", &status.version)], 1.0);
    page.family(Gauge, "kvmdesk_uptime_seconds", "Time since the start.").value(status.uptime_seconds as f64);
    page.family(Gauge, "kvmdesk_problems", "Things to look at, as `kvmdesk status` tells them.")
        .value(status.problems.len() as f64);
    if let Some(server) = &target.server {
        page.family(Gauge, "kvmdesk_server_online", "Whether the ID server knows this device now.")
            .value(of(server.is_online));
    }
    if let Some(direct) = &target.direct {
        page.family(Gauge, "kvmdesk_direct_open", "Whether direct access is open.").value(of(direct.is_open));
    }
    page.family(Gauge, "kvmdesk_suspect_addresses", "Addresses with counted wrong passwords.")
        .value(target.suspects as f64);

    let mut sessions = page.family(Gauge, "kvmdesk_sessions", "Controllers that are logged in, by route.");
    for route in ["direct", "punched", "relayed"] {
        let count = target.sessions.iter().filter(|session| session.route == route).count();
        sessions = sessions.with(&[("route", route)], count as f64);
    }
    let streams = || target.sessions.iter().map(|session| &session.stream);
    page.family(
        Gauge,
        "kvmdesk_sessions_sent_bytes_per_second",
        "Sent to all controllers over the last second.",
    )
    .value(streams().map(|stream| stream.bits_per_second).sum::<u64>() as f64 / 8.0);
    let slowest = streams()
        .filter_map(|stream| stream.round_trip_ms)
        .fold(None, |most: Option<f64>, ms| Some(most.map_or(ms, |most| most.max(ms))));
    if let Some(slowest) = slowest {
        let help = "Round trip of the slowest controller, waiting on the line included.";
        page.family(Gauge, "kvmdesk_sessions_round_trip_max_seconds", help).value(slowest / 1000.0);
    }
    video(&mut page, status);
    if let Some(audio) = &target.audio {
        let is_there = audio.state != "no-device";
        page.family(Gauge, "kvmdesk_audio_present", "Whether the sound device is there.").value(of(is_there));
        page.family(Counter, "kvmdesk_audio_packets_total", "Packets of 10 ms sent.")
            .value(audio.packets as f64);
        page.family(Counter, "kvmdesk_audio_silent_packets_total", "Packets of silence that were not sent.")
            .value(audio.silent as f64);
        page.family(Counter, "kvmdesk_audio_overruns_total", "How often some sound was lost.")
            .value(audio.overruns as f64);
    }
    let hid = &target.hid;
    page.family(Gauge, "kvmdesk_hid_connected", "Whether the computer takes reports.")
        .value(of(hid.is_connected));
    let counters = [
        ("kvmdesk_hid_reports_written_total", "Reports written.", hid.reports_written),
        (
            "kvmdesk_hid_events_discarded_total",
            "Events thrown away because the computer was gone.",
            hid.events_discarded,
        ),
        (
            "kvmdesk_hid_characters_not_typed_total",
            "Characters of texts that nothing types on the computer.",
            hid.characters_not_typed,
        ),
        ("kvmdesk_hid_losses_total", "How often the computer or the device was lost.", hid.recovery.losses),
        ("kvmdesk_hid_rebinds_total", "How often the gadget was to be bound again.", hid.recovery.rebinds),
        ("kvmdesk_hid_rebuilds_total", "How often the gadget was to be built again.", hid.recovery.rebuilds),
    ];
    for (name, help, count) in counters {
        page.family(Counter, name, help).value(count as f64);
    }
    page.0
}

fn video(page: &mut Page, status: &Status) {
    use Kind::{Counter, Gauge};
    page.family(Gauge, "kvmdesk_video_signal_active", "Whether pictures arrive.")
        .of_displays(status, |video| of(video.signal == "active"));
    type Count = fn(&VideoStatus) -> u64;
    let counters: [(&'static str, &str, Count); 6] = [
        ("kvmdesk_video_captured_frames_total", "Frames captured.", |v| v.captured),
        ("kvmdesk_video_unchanged_frames_total", "Frames equal to the one before.", |v| v.unchanged),
        ("kvmdesk_video_encoded_frames_total", "Frames encoded, by all encoders.", |v| v.encoded),
        ("kvmdesk_video_keyframes_total", "Of the encoded frames, key frames.", |v| v.keyframes),
        ("kvmdesk_video_refinements_total", "Of the encoded frames, refinements of a still picture.", |v| {
            v.refinements
        }),
        ("kvmdesk_video_encoder_failures_total", "Encoders that failed in use.", |v| v.encoder_failures),
    ];
    for (name, help, count) in counters {
        page.family(Counter, name, help).of_displays(status, |video| count(video) as f64);
    }
    page.family(Counter, "kvmdesk_video_dropped_pictures_total", "Changed pictures not sent, by reason.")
        .of_parts(status, |video| {
            let dropped = &video.dropped;
            let reasons = [
                ("no_room", dropped.no_room),
                ("not_wanted", dropped.not_wanted),
                ("unusable", dropped.unusable),
                ("damaged", video.capture.damaged),
            ];
            reasons.map(|(reason, count)| (vec![("reason", reason)], count as f64)).to_vec()
        });
    page.family(Counter, "kvmdesk_video_recoveries_total", "What was done to keep capturing, by kind.")
        .of_parts(status, |video| {
            let capture = &video.capture;
            let kinds = [
                ("requery", capture.requeries),
                ("restart", capture.restarts),
                ("reopen", capture.reopens),
                ("hot_plug", capture.hot_plugs),
            ];
            kinds.map(|(kind, count)| (vec![("kind", kind)], count as f64)).to_vec()
        });
    let help = "What half, 95 and 99 of a hundred frames took at most, by stage.";
    page.family(Gauge, "kvmdesk_video_stage_seconds", help).of_parts(status, |video| {
        let latency = &video.latency;
        let stages =
            [("capture", &latency.convert), ("encode", &latency.encode), ("hand_out", &latency.hand_out)];
        let percentiles = |(stage, l): (&'static str, &Latency)| {
            [("50", l.p50_ms), ("95", l.p95_ms), ("99", l.p99_ms)]
                .map(|(percentile, ms)| (vec![("stage", stage), ("percentile", percentile)], ms / 1000.0))
        };
        stages.into_iter().flat_map(percentiles).collect()
    });
    type Rate = fn(&LaneStatus) -> f64;
    let streams: [(&'static str, &str, Rate); 3] = [
        (
            "kvmdesk_video_stream_frames_per_second",
            "Frames of each encoded stream over the last second.",
            |l| l.fps,
        ),
        (
            "kvmdesk_video_stream_bytes_per_second",
            "Bytes of each encoded stream over the last second.",
            |l| l.bits_per_second as f64 / 8.0,
        ),
        ("kvmdesk_video_stream_watchers", "Controllers that get each encoded stream.", |l| l.watchers as f64),
    ];
    for (name, help, value) in streams {
        page.family(Kind::Gauge, name, help).of_parts(status, |video| {
            let labels = |lane: &LaneStatus| if lane.is_second { "slow" } else { "main" };
            video
                .lanes
                .iter()
                .map(|lane| {
                    let labels = vec![
                        ("codec", lane.codec.as_str()),
                        ("encoder", lane.encoder.as_str()),
                        ("stream", labels(lane)),
                    ];
                    (labels, value(lane))
                })
                .collect()
        });
    }
}
