//! How fast this machine encodes, and so how many threads software encoders get: no more than they need. Cutting a
//! picture for more threads costs bytes, because nothing is predicted across the cut, and memory.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::time::Duration;

use super::openh264::{OpenH264, blocks_of};
use super::{Encoder as _, FrameOrder};
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;

/// CPU time that one thread's part of a picture that changes everywhere may take: 60 a second, with room for the rest.
const THREAD_TIME: Duration = Duration::from_millis(14);
/// Most threads for one encoder.
const MOST_THREADS: usize = 4;
/// The picture that the speed is measured with.
const TRIAL_SIZE: Resolution = Resolution::new(640, 360);
/// Frames of it; the fastest counts.
const TRIAL_FRAMES: usize = 8;

/// The fewest threads, each on a core of its own, with which an encoder of `cost` (in percent of openh264's) holds 60
/// pictures of this size a second; at most one a core and four. The first call measures, for some milliseconds.
pub(super) fn threads(resolution: Resolution, cost: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS) as u32);
    if cores == 1 {
        return 1;
    }
    static TRIAL: OnceLock<Option<Duration>> = OnceLock::new();
    let trial = TRIAL.get_or_init(|| {
        let trial = time_trial();
        tracing::debug!(?trial, size = %TRIAL_SIZE, "speed of openh264");
        trial
    });
    trial.map_or(cores, |trial| threads_of(trial, blocks_of(resolution), cost, cores))
}

/// The same for pictures of `blocks` macroblocks, where openh264 takes `trial` for one of [`TRIAL_SIZE`].
fn threads_of(trial: Duration, blocks: u32, cost: u32, cores: u32) -> u32 {
    let whole = trial.as_micros() * u128::from(blocks) * u128::from(cost);
    let needed = whole.div_ceil(THREAD_TIME.as_micros() * u128::from(blocks_of(TRIAL_SIZE)) * 100);
    u32::try_from(needed).unwrap_or(cores).clamp(1, cores)
}

/// CPU time of a changed picture of [`TRIAL_SIZE`] in one slice; `None` if it cannot be measured.
fn time_trial() -> Option<Duration> {
    let mut encoder = OpenH264::open_sliced(TRIAL_SIZE, 1).ok()?;
    let mut picture = I420Picture::new(TRIAL_SIZE);
    let width = TRIAL_SIZE.width as usize;
    let mut fastest = None;
    for frame in 0..TRIAL_FRAMES {
        // Lines of small boxes, as dense as text, that go up by three rows a frame.
        for (n, y) in picture.rows_mut(0, TRIAL_SIZE.height).y.iter_mut().enumerate() {
            let (column, row) = (n % width, n / width + frame * 3);
            let is_ink =
                row % 20 < 12 && (column * 7 + row / 20 * 13) % 11 < 4 && (column / 3 + row / 2) % 3 == 0;
            *y = if is_ink { 30 } else { 220 };
        }
        let started = thread_time()?;
        let order = FrameOrder { wants_keyframe: false, quantiser: 26, bits_per_second: None };
        let encoded = encoder.encode(&picture, order).ok()?;
        let taken = thread_time()?.checked_sub(started)?;
        if !encoded.is_keyframe {
            fastest = Some(fastest.map_or(taken, |so_far: Duration| so_far.min(taken)));
        }
    }
    fastest
}

/// CPU time of this thread, which others on the machine hardly change.
fn thread_time() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid and written by the call alone.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    (code == 0).then(|| Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_threads_as_hold_the_rate() {
        let hd = blocks_of(Resolution::new(1920, 1080));
        // A picture of 1920x1080 is 8.87 trial pictures.
        let threads = |micros, cost| threads_of(Duration::from_micros(micros), hd, cost, 4);
        assert_eq!([0, 500, 1500, 1600, 3200, 9000].map(|micros| threads(micros, 100)), [1, 1, 1, 2, 3, 4]);
        assert_eq!([50, 100, 200, 300, 1000].map(|cost| threads(1500, cost)), [1, 1, 2, 3, 4]);
        assert_eq!(threads_of(Duration::from_secs(9), u32::MAX, u32::MAX, 2), 2);
    }

    #[test]
    fn the_trial_takes_time() {
        let trial = time_trial().expect("the library encodes");
        assert!(trial > Duration::from_micros(20), "{trial:?}");
    }
}
