//! Against the real hbbs and hbbr, in network namespaces of the test's own (T-numbers: protocol reference, 12.1).
//! Needs root and `KVMDESK_HBBS` / `KVMDESK_HBBR` with the paths of the two programs; says "skipped" without.
//!
//! Three namespaces on one bridge: `s` 10.77.0.1 (servers), `b` 10.77.0.2 (device), `a` 10.77.0.3 (controller).
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

mod controller;
mod device;
mod direct;
mod lab;
mod registration;
mod relay;
mod restart;
mod whole;

/// The lab, or the reason on stderr and `None`.
macro_rules! lab_or_skip {
    ($($option:tt)*) => {
        match $crate::servers::lab::Lab::start($($option)*) {
            Ok(lab) => lab,
            Err(why) => {
                eprintln!("skipped: {why}");
                return;
            }
        }
    };
}
pub(crate) use lab_or_skip;
