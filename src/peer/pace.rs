//! What the encoder is told of the line: nothing while it carries everything, else a rate that follows what was
//! measured, up as well as down, and changes only if the change is worth a message (reference: session 3.7).

use std::time::{Duration, Instant};

use super::flow::Flow;

/// After so long without a line that limits, a rate is tried that is higher by the first factor, or by the second if the line was
/// full not long ago.
const TRY_EVERY: Duration = Duration::from_millis(500);
const TRY: f64 = 1.5;
const TRY_CAREFULLY: f64 = 1.25;
const NOT_LONG_AGO: Duration = Duration::from_secs(5);
/// What part of the measured rate is given to the picture.
const SHARE: f64 = 0.9;
/// Lines above this are no limit, in bytes a second.
const FAST: f64 = 30e6 / 8.0;
/// Changes below this factor are not worth a message.
const WORTH: f64 = 1.2;
/// Lowest rate that is told, in bits a second.
const LEAST: u32 = 50_000;

/// The rate that the encoder is told.
#[derive(Debug)]
pub struct Pace {
    /// In bytes a second.
    limit: Option<f64>,
    told: Option<u32>,
    full_at: Instant,
    tried_at: Instant,
    sent_then: u64,
}

impl Pace {
    /// No limit is known.
    pub fn new(now: Instant) -> Self {
        Self { limit: None, told: None, full_at: now, tried_at: now, sent_then: 0 }
    }

    /// What the line carries, in bits a second; `None` while it limits nothing.
    pub fn bits_per_second(&self) -> Option<u32> {
        self.told
    }

    /// Looks at the line after an echo; true if what the encoder is told changes.
    pub fn update(&mut self, flow: &Flow, now: Instant) -> bool {
        let Some(rate) = flow.rate().map(|rate| rate * SHARE) else { return false };
        if flow.is_limiting() {
            self.limit = Some(rate);
            (self.full_at, self.tried_at, self.sent_then) = (now, now, flow.sent_bytes());
        } else if let Some(limit) = self.limit {
            let waited = now.saturating_duration_since(self.tried_at);
            if rate > limit {
                self.limit = Some(rate);
            }
            if waited >= TRY_EVERY {
                let used = (flow.sent_bytes() - self.sent_then) as f64 / waited.as_secs_f64();
                // Only a limit that is felt is worth a try.
                if used > limit / 4.0 {
                    let is_careful = now.saturating_duration_since(self.full_at) < NOT_LONG_AGO;
                    let factor = if is_careful { TRY_CAREFULLY } else { TRY };
                    self.limit = self.limit.map(|limit| limit * factor);
                }
                (self.tried_at, self.sent_then) = (now, flow.sent_bytes());
            }
        }
        self.limit = self.limit.filter(|limit| *limit < FAST);
        let bits = self.limit.map(|limit| ((limit * 8.0) as u32).max(LEAST));
        let is_worth = match (self.told, bits) {
            (None, None) => false,
            (Some(told), Some(bits)) => {
                let (told, bits) = (f64::from(told), f64::from(bits));
                bits > told * WORTH || told > bits * WORTH
            }
            (Some(_), None) | (None, Some(_)) => true,
        };
        if is_worth {
            self.told = bits;
        }
        is_worth
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests;
