//! What the tests share: a scripted RustDesk controller, recorded transcripts, processes, the HID log.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "tests pick single arms of big unions")]

pub mod chip;
pub mod controller;
pub mod hidlog;
pub mod link;
pub mod procs;
pub mod terminal;
pub mod transcript;

/// Whether `KVMDESK_STRICT_TIMES` asks for the goals of speed, which need a machine that has nothing else to do.
pub fn is_strict() -> bool {
    std::env::var_os("KVMDESK_STRICT_TIMES").is_some()
}
