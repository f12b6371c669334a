//! One controller's session from the first byte to the close, against a scripted controller in simulated time.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the generated unions are large and a test looks for few of their arms"
)]

mod bad_line;
mod codecs;
mod driver;
mod entry;
mod hands;
mod line;
mod many;
mod model;
mod picture;
mod real;
mod rig;
mod sound;
mod typist;
