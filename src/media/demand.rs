//! Merges what all watchers of a display want into what is encoded. Pure.

use std::time::Duration;

use crate::video::request::VideoRequest;

/// What is encoded for all watchers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Most frames a second, 1..=120.
    pub fps: u32,
    /// Quality ratio in percent, 20..=4000 (reference: session 3.7).
    pub quality_percent: u32,
}

impl Demand {
    /// Time between two frames.
    pub fn interval(self) -> Duration {
        Duration::from_secs(1) / self.fps.max(1)
    }
}

/// The demand of all `requests`; `None` if nobody watches. Frames as often as the one who wants most of them
/// (the others get more than they asked for); quality as the least wants it, because a line that cannot take the
/// bytes of a shared encode would lose whole pictures.
pub fn merge<'a>(requests: impl IntoIterator<Item = &'a VideoRequest>, max_fps: u32) -> Option<Demand> {
    let mut merged: Option<Demand> = None;
    for request in requests {
        let (fps, quality) = (request.max_fps.clamp(1, 120), request.quality_percent.clamp(20, 4000));
        let so_far = merged.unwrap_or(Demand { fps, quality_percent: quality });
        merged =
            Some(Demand { fps: so_far.fps.max(fps), quality_percent: so_far.quality_percent.min(quality) });
    }
    merged.map(|demand| Demand { fps: demand.fps.min(max_fps.clamp(1, 120)), ..demand })
}

/// The quantiser of a quality ratio: 20 % is 36, 50 % is 30, 67 % is 26, 150 % is 22, 4000 % is 14, between them
/// straight in the logarithm of the ratio.
pub fn quantiser(percent: u32) -> u8 {
    const POINTS: [(f64, f64); 5] = [(20.0, 36.0), (50.0, 30.0), (67.0, 26.0), (150.0, 22.0), (4000.0, 14.0)];
    let percent = f64::from(percent).clamp(20.0, 4000.0);
    for pair in POINTS.windows(2) {
        let ((low, worst), (high, best)) = (pair[0], pair[1]);
        if percent <= high {
            let part = (percent / low).ln() / (high / low).ln();
            return (worst + (best - worst) * part).round() as u8;
        }
    }
    14
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(max_fps: u32, quality_percent: u32) -> VideoRequest {
        VideoRequest { max_fps, quality_percent, ..VideoRequest::default() }
    }

    #[test]
    fn more_quality_is_never_a_coarser_quantiser() {
        let named: Vec<_> = [0, 20, 50, 67, 150, 4000, u32::MAX].map(quantiser).to_vec();
        assert_eq!(named, [36, 36, 30, 26, 22, 14, 14]);
        let all: Vec<_> = (1..5000).map(quantiser).collect();
        assert!(all.windows(2).all(|w| w[1] <= w[0]));
    }

    #[test]
    fn most_frames_least_quality_within_the_settings() {
        assert_eq!(merge(&[], 60), None);
        let two = [request(10, 150), request(45, 67)];
        assert_eq!(merge(&two, 60), Some(Demand { fps: 45, quality_percent: 67 }));
        assert_eq!(merge(&two, 20), Some(Demand { fps: 20, quality_percent: 67 }));
        let wild = [request(0, 0), request(u32::MAX, u32::MAX)];
        assert_eq!(merge(&wild, 0), Some(Demand { fps: 1, quality_percent: 20 }));
        assert_eq!(merge(&wild, u32::MAX), Some(Demand { fps: 120, quality_percent: 20 }));
    }
}
