//! Supervision: the state directory, the tasks of a running daemon, limits, status and the control socket.

pub mod control;
pub mod hex;
pub mod identity;
pub mod logbook;
pub mod password;
pub mod status;
pub mod store;
pub mod systemd;
