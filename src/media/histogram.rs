//! How long something takes, in a histogram of fixed size. Pure.

use std::time::Duration;

/// Buckets: four for each doubling, from 8 microseconds to more than a minute.
const BUCKETS: usize = 96;
const PER_DOUBLING: f64 = 4.0;
const LEAST_MICROS: f64 = 8.0;
/// When so many are counted all counts are halved, so that the newer ones rule.
const MOST: u64 = 4096;

/// Counts of durations.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: [u32; BUCKETS],
    total: u64,
}

/// Half, 95 and 99 of a hundred took at most so long; each is right within a fifth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// Half of them.
    pub p50: Duration,
    /// 95 of a hundred.
    pub p95: Duration,
    /// 99 of a hundred.
    pub p99: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0 }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let micros = (took.as_secs_f64() * 1e6 / LEAST_MICROS).max(1.0);
        let bucket = ((micros.log2() * PER_DOUBLING).ceil() as usize).min(BUCKETS - 1);
        self.counts[bucket] += 1;
        self.total += 1;
        if self.total >= MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u64::from(*count)).sum();
        }
    }

    /// What they took; zero if none was counted.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles { p50: self.quantile(0.5), p95: self.quantile(0.95), p99: self.quantile(0.99) }
    }

    fn quantile(&self, part: f64) -> Duration {
        let rank = (self.total as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                let micros = LEAST_MICROS * (bucket as f64 / PER_DOUBLING).exp2();
                return Duration::from_secs_f64(micros / 1e6);
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_fifth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentiles(), Percentiles::default());
        for n in 1..=1000 {
            histogram.record(Duration::from_micros(n * 100));
        }
        let found = histogram.percentiles();
        for (found, right) in [(found.p50, 50.0), (found.p95, 95.0), (found.p99, 99.0)] {
            let ratio = found.as_secs_f64() * 1000.0 / right;
            assert!((1.0..1.2).contains(&ratio), "{found:?} for {right} ms");
        }
    }

    #[test]
    fn anything_can_be_counted_and_newer_ones_rule() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::MAX);
        (0..100_000).for_each(|_| histogram.record(Duration::from_millis(1)));
        (0..20_000).for_each(|_| histogram.record(Duration::from_millis(100)));
        let p50 = histogram.percentiles().p50;
        assert!(p50 > Duration::from_millis(99) && p50 < Duration::from_millis(120), "{p50:?}");
    }
}
