//! What pipelines, the sound and sessions measured, in the words of `status`.

use std::time::Duration;

use crate::media::audio::AudioReport;
use crate::media::capture::{PassedOver, SourceReport};
use crate::media::histogram::Percentiles;
use crate::media::pipeline::{LaneStats, SourceSettings, VideoHandle, VideoSettings};
use crate::session::stats::SessionStats;

use super::status::{
    AudioStatus, CaptureStatus, DroppedFrames, DroppedPictures, LaneStatus, Latency, StageLatencies,
    StreamStatus, VideoStatus,
};

/// One display.
pub(super) fn video_status(settings: &VideoSettings, handle: &VideoHandle) -> VideoStatus {
    let state = *handle.state().borrow();
    let stats = handle.stats();
    // A source that shows its picture can still have something to say.
    let notice = match stats.source.edid_fault {
        Some(ref fault) if state.signal.sentence().is_empty() => fault.clone(),
        _ => state.signal.sentence().to_owned(),
    };
    VideoStatus {
        source: match &settings.source {
            SourceSettings::Pattern => "pattern".to_owned(),
            SourceSettings::V4l2(capture) => {
                let opened = stats.source.opened.as_ref().map(|opened| opened.node.clone());
                match opened.or_else(|| capture.present().next().map(|(node, _)| node)) {
                    Some(node) => node.display().to_string(),
                    None => capture.to_string(),
                }
            }
        },
        signal: state.signal.word().to_owned(),
        notice,
        resolution: state.resolution.to_string(),
        original_resolution: state.original_resolution.to_string(),
        captured: stats.captured,
        unchanged: stats.unchanged,
        encoded: stats.encoded,
        keyframes: stats.keyframes,
        refinements: stats.refinements,
        passed_through: stats.passed_through,
        handed_over: stats.handed_over,
        fps_in: tenths(stats.fps_in),
        fps_out: tenths(stats.fps_out),
        dropped: DroppedPictures {
            no_room: stats.dropped_no_room,
            not_wanted: stats.dropped_not_wanted,
            unusable: stats.dropped_unusable,
        },
        capture: capture_status(&stats.source),
        encoder_failures: stats.encoder_failures,
        latency: StageLatencies {
            convert: latency(&stats.convert),
            encode: latency(&stats.encode),
            hand_out: latency(&stats.hand_out),
        },
        lanes: stats.lanes.iter().map(lane_status).collect(),
    }
}

fn capture_status(report: &SourceReport) -> CaptureStatus {
    CaptureStatus {
        format: report.format.map(PassedOver::name_of),
        damaged: report.damaged,
        requeries: report.recovery.requeries,
        restarts: report.recovery.restarts,
        reopens: report.recovery.reopens,
        hot_plugs: report.recovery.hot_plugs,
        passed_over: report.passed_over.iter().map(|p| (p.name(), p.reason.clone())).collect(),
    }
}

fn lane_status(lane: &LaneStats) -> LaneStatus {
    LaneStatus {
        codec: lane.codec.name().to_owned(),
        encoder: lane.encoder.to_owned(),
        is_second: lane.is_second,
        fps: tenths(lane.fps),
        bits_per_second: lane.bits_per_second,
        quantiser: lane.quantiser,
        wished_quantiser: lane.wished_quantiser,
        watchers: lane.watchers,
    }
}

fn tenths(number: f32) -> f64 {
    (f64::from(number) * 10.0).round() / 10.0
}

fn millis(time: Duration) -> f64 {
    // Measured within a fifth: more digits would only look like knowledge.
    (time.as_secs_f64() * 1e5).round() / 1e2
}

fn latency(measured: &Percentiles) -> Latency {
    let Percentiles { p50, p95, p99 } = *measured;
    Latency { p50_ms: millis(p50), p95_ms: millis(p95), p99_ms: millis(p99) }
}

/// The sound.
pub(super) fn audio_status(report: AudioReport) -> AudioStatus {
    AudioStatus {
        device: report.device,
        state: report.state.word().to_owned(),
        notice: report.notice,
        packets: report.packets,
        silent: report.silent,
        overruns: report.overruns,
    }
}

/// One controller's picture and line.
pub(super) fn stream_status(stats: &SessionStats) -> StreamStatus {
    let dropped = &stats.dropped;
    StreamStatus {
        codecs: stats.codecs.iter().map(|codec| codec.name().to_owned()).collect(),
        fps: stats.frames_per_second,
        bits_per_second: stats.sent_bits_per_second,
        line_bits_per_second: stats.line_bits_per_second,
        round_trip_ms: stats.round_trip.map(millis),
        frames: stats.frames,
        keyframes: stats.keyframes,
        bytes: stats.bytes,
        dropped: DroppedFrames {
            awaiting_keyframe: dropped.awaiting_keyframe,
            unacknowledged: dropped.unacknowledged,
            old_size: dropped.old_size,
            undecodable: dropped.undecodable,
            line_full: dropped.line_full,
        },
    }
}
