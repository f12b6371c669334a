//! For tests: a machine and a scripted chip at both ends of a simulated line, which loses, damages, delays and swaps.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    missing_docs,
    dead_code,
    reason = "a base for simulated time; not every test turns every screw"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::chip::{Baud, Chip, Order};

#[path = "../../../../tests/support/chip.rs"]
mod scripted;

pub use scripted::ScriptedChip;

/// Both ends.
#[derive(Debug)]
pub struct Line {
    pub chip: Chip,
    pub far: ScriptedChip,
    pub now: Instant,
    pub start: Instant,
    baud: u32,
    /// Replies under way, by arrival and order.
    replies: BTreeMap<(Instant, u64), Vec<u8>>,
    count: u64,
    /// How long a reply takes.
    pub delay: Duration,
    pub lose_commands: u32,
    pub damage_commands: u32,
    pub lose_replies: u32,
    /// If not 0: a share in a thousand of what goes either way is lost or damaged, replies take up to 0.2 s longer.
    pub noise: u64,
    chance: u64,
}

impl Line {
    pub fn new(baud: Baud, has: u32) -> Self {
        let now = Instant::now();
        let mut line = Self {
            chip: Chip::new(baud, now),
            far: ScriptedChip::new(has),
            now,
            start: now,
            baud: 0,
            replies: BTreeMap::new(),
            count: 0,
            delay: Duration::from_millis(5),
            lose_commands: 0,
            damage_commands: 0,
            lose_replies: 0,
            noise: 0,
            chance: 0x9E37_79B9_7F4A_7C15,
        };
        line.step();
        line
    }

    /// A fixed sequence of numbers below `end`.
    fn roll(&mut self, end: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % end
    }

    pub fn seed(&mut self, seed: u64) {
        self.chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        if self.noise == 0 || self.roll(1000) >= self.noise {
            return;
        }
        let at = self.roll(bytes.len() as u64) as usize;
        match self.roll(3) {
            0 => bytes.clear(),
            1 => drop(bytes.remove(at)),
            _ => bytes[at] ^= 1 << self.roll(8),
        }
    }

    /// Does what the machine orders at this time.
    pub fn step(&mut self) {
        while let Some(order) = self.chip.poll_order() {
            let mut bytes = match order {
                Order::SetBaud(baud) => {
                    self.baud = baud;
                    continue;
                }
                Order::Send(bytes) => bytes,
            };
            if self.lose_commands > 0 {
                self.lose_commands -= 1;
                continue;
            }
            if self.damage_commands > 0 {
                self.damage_commands -= 1;
                *bytes.last_mut().unwrap() ^= 1;
            }
            self.spoil(&mut bytes);
            for mut reply in self.far.take(&bytes, self.baud) {
                if self.lose_replies > 0 {
                    self.lose_replies -= 1;
                    continue;
                }
                self.spoil(&mut reply);
                let more = if self.noise > 0 && self.roll(20) == 0 { self.roll(200) } else { 0 };
                self.count += 1;
                let at = self.now + self.delay + Duration::from_millis(more);
                self.replies.insert((at, self.count), reply);
            }
        }
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Instant> {
        let reply = self.replies.keys().next().map(|(at, _)| *at);
        reply.into_iter().chain(self.chip.deadline()).min()
    }

    /// Brings what is due at this time; whether a reply was among it.
    pub fn arrive(&mut self) -> bool {
        let mut has_arrived = false;
        while let Some(entry) = self.replies.first_entry()
            && entry.key().0 <= self.now
        {
            let bytes = entry.remove();
            has_arrived = true;
            self.chip.handle_bytes(&bytes, self.now);
            self.step();
        }
        self.chip.handle_timeout(self.now);
        self.step();
        has_arrived
    }

    pub fn run(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.arrive();
        }
        self.now = end;
    }
}
