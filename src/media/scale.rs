//! Which size is sent: what fits the setting, and halved while the encoder cannot keep up. Pure.

use std::time::{Duration, Instant};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::picture::I420Picture;
use super::pipeline::MaxSize;
use crate::video::format::Resolution;

/// An encode that takes longer cannot hold 15 frames a second.
const SLOW: Duration = Duration::from_millis(66);
/// So long it has to be slow before the size is halved.
const PATIENCE: Duration = Duration::from_secs(3);
/// Least measurements for that.
const LEAST_FRAMES: u32 = 5;
/// First and longest time that it has to be fast before the size is doubled.
const CALM: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));
/// Four times the pixels take so much longer, with a margin.
const GROWTH: u32 = 6;
/// Halved so often at most, and never below this width and height.
const MOST_HALVINGS: u32 = 2;
const LEAST: Resolution = Resolution::new(320, 200);

/// Follows how long encoding takes.
#[derive(Debug)]
pub struct SizeBudget {
    max: MaxSize,
    halvings: u32,
    mean: Option<Duration>,
    frames: u32,
    slow_since: Option<Instant>,
    calm_since: Option<Instant>,
    /// How long the next calm has to be: twice as long each time that doubling was a mistake.
    calm: Duration,
}

impl SizeBudget {
    /// Nothing is known yet.
    pub fn new(max: MaxSize) -> Self {
        Self { max, halvings: 0, mean: None, frames: 0, slow_since: None, calm_since: None, calm: CALM.0 }
    }

    /// The size that a picture of `captured` is sent at; even.
    pub fn size(&self, captured: Resolution) -> Resolution {
        let even = captured.to_even();
        match self.max {
            MaxSize::Source => even,
            MaxSize::Fixed(most) => fit(even, most),
            MaxSize::Auto => halved(even, self.halvings),
        }
    }

    /// All lanes' encodes of a picture of size `sent`, made of `captured`, took `took` together (key frames, of
    /// which there are few, are not told). True if the size changes by it.
    pub fn encoded(&mut self, took: Duration, captured: Resolution, now: Instant) -> bool {
        if self.max != MaxSize::Auto {
            return false;
        }
        let mean = self.mean.map_or(took, |mean| (mean * 4 + took) / 5);
        self.mean = Some(mean);
        self.frames = self.frames.saturating_add(1);
        let keep = |since: &mut Option<Instant>, is_so: bool| {
            *since = if is_so { since.or(Some(now)) } else { None };
            since.map_or(Duration::ZERO, |since| now - since)
        };
        let slow = keep(&mut self.slow_since, mean > SLOW);
        let calm = keep(&mut self.calm_since, mean * GROWTH < SLOW);
        let can_halve = halved(captured.to_even(), self.halvings + 1) != self.size(captured);
        if slow >= PATIENCE && self.frames >= LEAST_FRAMES && self.halvings < MOST_HALVINGS && can_halve {
            self.step(self.halvings + 1);
            // Doubling did not work: the next try comes later.
            self.calm = (self.calm * 2).min(CALM.1);
            return true;
        }
        if self.halvings > 0 && calm >= self.calm {
            self.step(self.halvings - 1);
            return true;
        }
        false
    }

    /// Another signal: what was measured does not count.
    pub fn reset(&mut self) {
        *self = Self::new(self.max);
    }

    fn step(&mut self, halvings: u32) {
        self.halvings = halvings;
        self.mean = None;
        self.frames = 0;
        self.slow_since = None;
        self.calm_since = None;
    }
}

/// `size` halved so often, as long as it stays above the least size.
fn halved(size: Resolution, times: u32) -> Resolution {
    let mut size = size;
    for _ in 0..times {
        let half = Resolution::new(size.width / 2, size.height / 2).to_even();
        if half.width < LEAST.width || half.height < LEAST.height {
            break;
        }
        size = half;
    }
    size
}

/// The largest even size of the same shape as `size` that fits into `most`; never larger than `size`.
pub fn fit(size: Resolution, most: Resolution) -> Resolution {
    let most = Resolution::new(most.width.max(16), most.height.max(16));
    if size.width <= most.width && size.height <= most.height {
        return size.to_even();
    }
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let is_wide = width * u64::from(most.height) > u64::from(most.width) * height;
    let (width, height) = if is_wide {
        (u64::from(most.width), (u64::from(most.width) * height + width / 2) / width)
    } else {
        ((u64::from(most.height) * width + height / 2) / height, u64::from(most.height))
    };
    Resolution::new(width.max(2) as u32, height.max(2) as u32).to_even()
}

/// Scales a picture down, plane by plane.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
}

impl std::fmt::Debug for Scaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scaler")
    }
}

impl Scaler {
    /// Fills `small` with `picture`.
    pub fn scale(&mut self, picture: &I420Picture, small: &mut I420Picture) {
        let (from, to) = (picture.resolution(), small.resolution());
        let half = |size: Resolution| Resolution::new(size.width / 2, size.height / 2);
        let rows = small.rows_mut(0, to.height);
        self.plane(picture.y(), from, rows.y, to);
        self.plane(picture.u(), half(from), rows.u, half(to));
        self.plane(picture.v(), half(from), rows.v, half(to));
    }

    fn plane(&mut self, from: &[u8], size: Resolution, to: &mut [u8], small: Resolution) {
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Hamming));
        // Typed: the other pixel types, 3 MB of code, are not built in.
        let source = TypedImageRef::<U8>::from_buffer(size.width, size.height, from);
        let target = TypedImage::<U8>::from_buffer(small.width, small.height, to);
        let (Ok(source), Ok(mut target)) = (source, target) else {
            return tracing::error!(%size, %small, "a plane is shorter than its size");
        };
        if let Err(error) = self.resizer.resize_typed(&source, &mut target, &options) {
            tracing::error!(%error, "a picture could not be scaled");
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests {
    use super::*;

    const FULL_HD: Resolution = Resolution::new(1920, 1080);

    /// Encodes for `seconds`, each taking `nanos` a pixel; when the size changed, in seconds, and to which width.
    fn run(budget: &mut SizeBudget, at: &mut Instant, seconds: u64, nanos: u64) -> Vec<(u64, u32)> {
        let (start, end) = (*at, *at + Duration::from_secs(seconds));
        let mut changes = Vec::new();
        while *at < end {
            let size = budget.size(FULL_HD);
            let took = Duration::from_nanos(nanos * u64::from(size.width) * u64::from(size.height));
            *at += took.max(Duration::from_millis(33));
            if budget.encoded(took, FULL_HD, *at) {
                changes.push(((*at - start).as_secs(), budget.size(FULL_HD).width));
            }
        }
        changes
    }

    #[test]
    fn what_cannot_hold_fifteen_frames_is_halved_and_comes_back_without_flapping() {
        let mut at = Instant::now();
        let mut budget = SizeBudget::new(MaxSize::Auto);
        assert_eq!(run(&mut budget, &mut at, 60, 10), [], "21 ms: keeps up");
        assert_eq!(
            run(&mut budget, &mut at, 3600, 70),
            [(3, 960)],
            "145 ms, 36 ms when halved: and stays so"
        );
        assert_eq!(run(&mut budget, &mut at, 30, 300), [(3, 480)]);
        let back = run(&mut budget, &mut at, 3600, 5);
        assert_eq!(back.iter().map(|(_, width)| *width).collect::<Vec<_>>(), [960, 1920]);
        assert!(back[0].0 >= 60, "after a long calm: {back:?}");
    }

    #[test]
    fn a_load_that_comes_and_goes_is_tried_less_and_less_often() {
        let mut at = Instant::now();
        let mut budget = SizeBudget::new(MaxSize::Auto);
        let mut changes = 0;
        for _ in 0..60 {
            changes += run(&mut budget, &mut at, 60, 70).len() + run(&mut budget, &mut at, 60, 1).len();
        }
        assert!(changes <= 12, "{changes} changes in two hours");
    }

    #[test]
    fn settings_rule() {
        let mut at = Instant::now();
        let mut source = SizeBudget::new(MaxSize::Source);
        assert_eq!(run(&mut source, &mut at, 60, 900), []);
        assert_eq!(source.size(Resolution::new(1921, 1081)), FULL_HD);
        let fixed = SizeBudget::new(MaxSize::Fixed(Resolution::new(1280, 1024)));
        assert_eq!(fixed.size(FULL_HD), Resolution::new(1280, 720));
        let mut tiny = SizeBudget::new(MaxSize::Auto);
        let small = Resolution::new(400, 300);
        let slow = (0..1000).any(|_| {
            at += Duration::from_millis(500);
            tiny.encoded(Duration::from_millis(500), small, at)
        });
        assert!(!slow && tiny.size(small) == small, "too small to be halved");
    }

    #[test]
    fn fitting_keeps_the_shape_and_never_enlarges() {
        for (size, most, fits) in [
            ((1920, 1080), (960, 960), (960, 540)),
            ((1080, 1920), (960, 960), (540, 960)),
            ((1366, 768), (1280, 720), (1280, 720)),
            ((641, 481), (4000, 4000), (640, 480)),
            ((4096, 2), (16, 16), (16, 2)),
            ((1920, 1200), (0, 0), (16, 10)),
        ] {
            let made = fit(Resolution::new(size.0, size.1), Resolution::new(most.0, most.1));
            assert_eq!((made.width, made.height), fits, "{size:?} in {most:?}");
        }
    }

    #[test]
    fn a_scaled_picture_has_the_same_colours() {
        let mut picture = I420Picture::new(Resolution::new(64, 48));
        let rows = picture.rows_mut(0, 48);
        rows.y[..64 * 24].fill(200);
        rows.u.fill(90);
        rows.v.fill(170);
        let mut small = I420Picture::new(Resolution::new(32, 24));
        Scaler::default().scale(&picture, &mut small);
        assert_eq!((small.y()[5], small.y()[32 * 23], small.u()[7], small.v()[7]), (200, 16, 90, 170));
    }
}
