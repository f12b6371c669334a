//! Supervision: the state directory, the tasks of a running daemon, limits, status and the control socket.

pub mod control;
pub mod direct_task;
pub mod hex;
pub mod identity;
pub mod lan_task;
pub mod logbook;
pub mod password;
pub mod rendezvous_task;
pub mod status;
pub mod store;
pub mod systemd;
