//! What a pipeline counts and measures, for `status`. Pure: time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::fanout::LaneId;
use super::histogram::Histogram;
use super::pipeline::{LaneStats, PipelineStats};

/// Rates are taken over so long.
const WINDOW: Duration = Duration::from_secs(1);

/// The counters of one pipeline.
#[derive(Debug)]
pub(super) struct Meters {
    /// Counters and the rates of the last window; latencies and lanes are filled in when asked.
    pub(super) counts: PipelineStats,
    convert: Histogram,
    encode: Histogram,
    hand_out: Histogram,
    lanes: BTreeMap<LaneId, LaneMeter>,
    window_start: Instant,
    captured_before: u64,
    encoded_before: u64,
}

#[derive(Debug)]
struct LaneMeter {
    stats: LaneStats,
    frames: u32,
    bytes: u64,
}

impl Meters {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counts: PipelineStats::default(),
            convert: Histogram::default(),
            encode: Histogram::default(),
            hand_out: Histogram::default(),
            lanes: BTreeMap::new(),
            window_start: now,
            captured_before: 0,
            encoded_before: 0,
        }
    }

    /// Everything until now.
    pub(super) fn stats(&self) -> PipelineStats {
        PipelineStats {
            convert: self.convert.percentiles(),
            encode: self.encode.percentiles(),
            hand_out: self.hand_out.percentiles(),
            lanes: self.lanes.values().map(|lane| lane.stats).collect(),
            ..self.counts.clone()
        }
    }

    /// A frame was taken from the source and its picture is there `after` its capture.
    pub(super) fn captured(&mut self, is_changed: bool, after: Duration) {
        self.counts.captured += 1;
        self.counts.unchanged += u64::from(!is_changed);
        self.convert.record(after);
    }

    /// A lane encoded a frame.
    pub(super) fn encoded(
        &mut self,
        lane: LaneId,
        is_keyframe: bool,
        bytes: usize,
        took: Duration,
        encoder: &'static str,
        quantiser: u8,
    ) {
        self.counts.encoded += 1;
        self.counts.keyframes += u64::from(is_keyframe);
        self.encode.record(took);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.frames += 1;
            lane.bytes += bytes as u64;
            lane.stats.encoder = encoder;
            lane.stats.quantiser = quantiser;
        }
    }

    /// A session took a frame that had waited so long.
    pub(super) fn handed_out(&mut self, waited: Duration) {
        self.hand_out.record(waited);
    }

    /// These are the lanes from now on; what was measured of those that stay is kept.
    pub(super) fn set_lanes(&mut self, lanes: impl IntoIterator<Item = (LaneId, LaneStats)>) {
        let mut old = std::mem::take(&mut self.lanes);
        for (id, new) in lanes {
            let lane = match old.remove(&id) {
                Some(lane) => LaneMeter {
                    stats: LaneStats {
                        watchers: new.watchers,
                        wished_quantiser: new.wished_quantiser,
                        ..lane.stats
                    },
                    ..lane
                },
                None => LaneMeter { stats: new, frames: 0, bytes: 0 },
            };
            self.lanes.insert(id, lane);
        }
    }

    /// Goes on in time; how long the window was that ended by it.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Duration> {
        let window = now.saturating_duration_since(self.window_start);
        if window < WINDOW {
            return None;
        }
        let seconds = window.as_secs_f32();
        let rate = |count: u64, before: &mut u64| (count - std::mem::replace(before, count)) as f32 / seconds;
        self.counts.fps_in = rate(self.counts.captured, &mut self.captured_before);
        self.counts.fps_out = rate(self.counts.encoded, &mut self.encoded_before);
        for lane in self.lanes.values_mut() {
            lane.stats.fps = std::mem::take(&mut lane.frames) as f32 / seconds;
            let bits = std::mem::take(&mut lane.bytes) as f64 * 8.0;
            lane.stats.bits_per_second = (bits / f64::from(seconds)) as u64;
        }
        self.window_start = now;
        Some(window)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;
    use crate::video::frame::Codec;

    #[test]
    fn rates_are_those_of_the_last_window() {
        let start = Instant::now();
        let mut meters = Meters::new(start);
        let lane = LaneStats {
            codec: Codec::Vp9,
            encoder: "",
            is_second: false,
            quantiser: 0,
            wished_quantiser: 26,
            bits_per_second: 0,
            fps: 0.0,
            watchers: 1,
        };
        meters.set_lanes([(LaneId(1), lane)]);
        for n in 0..60 {
            meters.captured(n % 2 == 0, Duration::from_millis(2));
        }
        for n in 0..30 {
            meters.encoded(LaneId(1), n == 0, 1000, Duration::from_millis(5), "some", 30);
        }
        assert_eq!(meters.tick(start + Duration::from_millis(999)), None);
        meters.set_lanes([(LaneId(1), LaneStats { watchers: 3, ..lane })]);
        assert_eq!(meters.tick(start + Duration::from_secs(2)), Some(Duration::from_secs(2)));
        let stats = meters.stats();
        assert_eq!((stats.captured, stats.unchanged, stats.encoded, stats.keyframes), (60, 30, 30, 1));
        assert_eq!((stats.fps_in, stats.fps_out), (30.0, 15.0));
        let (seen, used) = (stats.lanes[0], (stats.lanes[0].encoder, stats.lanes[0].quantiser));
        assert_eq!((seen.watchers, seen.fps, seen.bits_per_second, used), (3, 15.0, 120_000, ("some", 30)));
        assert!(stats.encode.p99 >= Duration::from_millis(5) && stats.convert.p50 < Duration::from_millis(3));
        meters.tick(start + Duration::from_secs(3));
        assert_eq!((meters.stats().fps_in, meters.stats().lanes[0].bits_per_second), (0.0, 0));
        meters.set_lanes([]);
        assert!(meters.stats().lanes.is_empty());
    }
}
