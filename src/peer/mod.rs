//! One controller's session as a machine without I/O: handshake, login, options, input, video gating.
//! It does not know that a gadget, a camera or a socket exists (reference: network 9 and 10, session 1 to 7).

mod acting;
mod control;
mod displays;
mod entry;
mod evenness;
mod flow;
pub mod gate;
mod hands;
pub mod handshake;
mod input;
mod latency;
pub mod limits;
mod login;
pub mod machine;
mod misc;
mod options;
mod pace;
mod picture;
mod pointer;
mod proof;
pub mod script;
pub mod sharing;
mod sound;
pub mod tally;
pub mod texts;
pub mod types;
pub mod video;
