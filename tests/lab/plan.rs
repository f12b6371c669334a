//! What tests that draw lots share: a repeatable sequence, the seed of a long run, and how long things took.

use std::time::Duration;

/// What CI repeats each time. `tests/lab/long` takes another.
const SEED: u64 = 20_261_125;

/// The seed of this run, and whether it is a long one: `KVMDESK_LAB_LONG` names the seed then.
pub fn seed() -> (u64, bool) {
    match std::env::var("KVMDESK_LAB_LONG") {
        Ok(seed) => (seed.parse().expect("KVMDESK_LAB_LONG is a number"), true),
        Err(_) => (SEED, false),
    }
}

/// A repeatable sequence (Knuth's MMIX constants).
pub struct Random(pub u64);

impl Random {
    /// One of `0..most`.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    /// So many of `kinds`, each as often as the others, in any order.
    pub fn deal<T: Copy>(&mut self, kinds: &[T], count: usize) -> Vec<T> {
        let mut dealt: Vec<T> = kinds.iter().copied().cycle().take(count).collect();
        for n in (1..dealt.len()).rev() {
            dealt.swap(n, self.below(n + 1));
        }
        dealt
    }
}

/// In words; sorts them.
pub fn summary(times: &mut [Duration]) -> String {
    times.sort();
    let at =
        |part: usize| times.get(times.len() * part / 100).or(times.last()).map_or(0.0, Duration::as_secs_f64);
    format!("median {:.1} s, 90 % within {:.1} s, longest {:.1} s", at(50), at(90), at(100))
}
