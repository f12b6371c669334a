//! What pipelines, the sound and sessions measured, in the words of `status`.

use crate::media::audio::AudioReport;
use crate::session::stats::SessionStats;

use super::status::{AudioStatus, DroppedFrames, StreamStatus};

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
        round_trip_ms: stats.round_trip.map(|time| time.as_secs_f64() * 1e3),
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
