//! Replays what unmodified RustDesk peers said (`tests/golden/`): the controller's and the server's messages go
//! through our machines, and what comes back equals the official controlled side's answers in kind and content but
//! for the differences that each file lists, with their reasons.

#![allow(clippy::wildcard_enum_match_arm, reason = "tests pick single arms of big unions")]

mod events;
mod introduction;
mod replay;
mod session;
