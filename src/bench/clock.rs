//! The two clocks of a measurement: CPU time of the whole process, all threads together, and real time.
#![allow(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "an edge: measuring is reading clocks")]

use std::time::{Duration, Instant};

/// What one step took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// CPU time of all threads of the process.
    pub cpu: Duration,
    /// Real time.
    pub wall: Duration,
}

/// A measurement that runs.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    cpu: Duration,
    wall: Instant,
}

/// Begins to measure. Nothing else may run in the process until [`Started::stop`].
pub fn start() -> Started {
    Started { wall: Instant::now(), cpu: cpu() }
}

impl Started {
    /// What it took since.
    pub fn stop(self) -> Taken {
        let cpu = cpu().saturating_sub(self.cpu);
        Taken { cpu, wall: self.wall.elapsed() }
    }
}

/// Now, in real time.
pub fn now() -> Instant {
    Instant::now()
}

fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is valid and written by the call alone.
    let code = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    if code != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Median CPU milliseconds of each step. The steps take turns, and so does who begins, so that a busy machine slows all
/// of them alike; the first rounds are left out.
pub fn medians<const N: usize>(rounds: usize, steps: [&mut dyn FnMut(); N]) -> [f64; N] {
    const WARM_UP: usize = 5;
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..rounds + WARM_UP {
        for turn in 0..N {
            let n = (round + turn) % N;
            let started = start();
            steps[n]();
            if round >= WARM_UP {
                times[n].push(started.stop().cpu.as_secs_f64() * 1e3);
            }
        }
    }
    times.map(|times| percentile(times, 0.5))
}

/// The value below which `part` (0 to 1) of them are; 0 if there is none.
pub fn percentile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * part) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_other_threads_counts_as_cpu() {
        let started = start();
        let work = || {
            let began = cpu();
            while cpu() - began < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
        });
        assert!(started.stop().cpu >= Duration::from_millis(30));
    }

    #[test]
    fn percentiles() {
        let values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 0.5), 50.0);
        assert_eq!(percentile(values.clone(), 0.99), 99.0);
        assert_eq!(percentile(values, 1.0), 99.0);
        assert_eq!(percentile(vec![], 0.5), 0.0);
    }
}
