//! How often an address may be wrong (reference: network 10.3): 7 tries a clock minute, 31 in all, and sums over
//! IPv6 prefixes. Unlike the reference's, a lock ages: 15 minutes, doubling up to 24 hours. Tables are bounded.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::texts;

/// The first lock of an address; each further one is twice as long.
pub const FIRST_LOCK: Duration = Duration::from_secs(15 * 60);
/// The longest lock.
pub const LONGEST_LOCK: Duration = Duration::from_secs(24 * 3600);
/// Most entries kept; the one whose last failure is oldest makes room.
pub const MAX_ENTRIES: usize = 4096;

/// An address (prefix length 128, or 0 for IPv4) or an IPv6 prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Address(IpAddr),
    Prefix(u8, u128),
}

/// IPv6 prefix lengths, the failures each stands, and the text beyond.
const PREFIXES: [(u8, u32, &str); 3] =
    [(64, 60, texts::TOO_MANY_64), (56, 80, texts::TOO_MANY_56), (48, 100, texts::TOO_MANY_48)];
/// Failures that an address stands in all, and in one clock minute.
const MOST_TOTAL: u32 = 30;
const MOST_A_MINUTE: u32 = 6;

#[derive(Debug, Clone, Copy)]
struct Entry {
    minute: u64,
    in_minute: u32,
    total: u32,
    last: Instant,
    locks: u32,
}

impl Entry {
    fn lock(&self) -> Duration {
        FIRST_LOCK.saturating_mul(1 << self.locks.min(10)).min(LONGEST_LOCK)
    }
}

/// The table of failures.
#[derive(Debug)]
pub struct Limits {
    started: Instant,
    started_unix_ms: u64,
    entries: BTreeMap<Key, Entry>,
}

impl Limits {
    /// An empty table; the two arguments are one moment on two clocks.
    pub fn new(started: Instant, started_unix_ms: u64) -> Self {
        Self { started, started_unix_ms, entries: BTreeMap::new() }
    }

    /// The text to refuse with, if this address may not try now.
    pub fn check(&mut self, address: IpAddr, now: Instant) -> Option<&'static str> {
        let address = address.to_canonical();
        if let IpAddr::V6(v6) = address {
            for (length, most, text) in PREFIXES {
                if self.is_locked(prefix(v6, length), most, now) {
                    return Some(text);
                }
            }
        }
        if self.is_locked(Key::Address(address), MOST_TOTAL, now) {
            return Some(texts::TOO_MANY);
        }
        let minute = self.minute(now);
        let entry = self.entries.get(&Key::Address(address))?;
        (entry.minute == minute && entry.in_minute > MOST_A_MINUTE).then_some(texts::ONE_MINUTE_LATER)
    }

    /// Counts one wrong try.
    pub fn count(&mut self, address: IpAddr, now: Instant) {
        let address = address.to_canonical();
        self.bump(Key::Address(address), now);
        if let IpAddr::V6(v6) = address {
            for (length, ..) in PREFIXES {
                self.bump(prefix(v6, length), now);
            }
        }
    }

    /// A right try: the address and its prefixes start anew.
    pub fn forgive(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        self.entries.remove(&Key::Address(address));
        if let IpAddr::V6(v6) = address {
            for (length, ..) in PREFIXES {
                self.entries.remove(&prefix(v6, length));
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Entries kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn minute(&self, now: Instant) -> u64 {
        let ms = now.saturating_duration_since(self.started).as_millis() as u64;
        (self.started_unix_ms + ms) / 60_000
    }

    fn is_locked(&mut self, key: Key, most: u32, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        if entry.total <= most {
            return false;
        }
        if now.saturating_duration_since(entry.last) < entry.lock() {
            return true;
        }
        entry.total = 0;
        entry.locks += 1;
        false
    }

    fn bump(&mut self, key: Key, now: Instant) {
        if self.entries.len() >= MAX_ENTRIES
            && !self.entries.contains_key(&key)
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, e)| e.last).map(|(k, _)| *k)
        {
            self.entries.remove(&oldest);
        }
        let minute = self.minute(now);
        let entry =
            self.entries.entry(key).or_insert(Entry { minute, in_minute: 0, total: 0, last: now, locks: 0 });
        if entry.minute != minute {
            entry.minute = minute;
            entry.in_minute = 0;
        }
        if now.saturating_duration_since(entry.last) > 2 * LONGEST_LOCK {
            entry.locks = 0;
        }
        entry.in_minute += 1;
        entry.total += 1;
        entry.last = now;
    }
}

fn prefix(address: Ipv6Addr, length: u8) -> Key {
    Key::Prefix(length, u128::from(address) >> (128 - u32::from(length)))
}
