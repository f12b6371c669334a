//! kvmdesk makes a computer with nothing installed on it appear in the ordinary RustDesk app: HDMI is captured
//! and sent as RustDesk video, RustDesk's keyboard and mouse become USB HID reports.
//!
//! # The house
//!
//! ```text
//!  6   main.rs                                   argv -> exit code
//!  5   cli/                                      one file a subcommand
//!  4   agent/                                    supervision: tasks, limits, status, state directory
//!  3   session/     config/     bench/           drives one controller | settings, resolved | measuring
//!  2   rendezvous/  peer/  |  net/  hid/  media/ sans-IO machines | edges, each on its own
//!  1   wire/  crypto/  input/  video/  audio/    vocabulary: pure, no folder knows another
//! ```
//!
//! `tests/floors.rs` holds who may name whom. The network half and the device half meet only in `session`;
//! generated protobuf types stop at floor 2.
//!
//! # The law of the machines
//!
//! `rendezvous` and `peer` are machines without I/O: bytes, time and chance are arguments. *After every
//! `handle_input`, poll `poll_output` until it answers `Timeout`; then wait for input or for that instant;
//! nothing else.* A bad peer is an output, never a panic. A deadline says why it stands.

pub mod agent;
pub mod audio;
pub mod bench;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod hid;
pub mod input;
pub mod media;
pub mod net;
pub mod peer;
pub mod rendezvous;
pub mod session;
pub mod video;
pub mod wire;
