//! Supervision: the state directory, the tasks of a running daemon, limits, status and the control socket.

#[allow(clippy::module_inception, reason = "the room's chief type has the room's name")]
pub mod agent;
pub mod answers;
pub mod board_card;
pub mod control;
pub mod direct_task;
mod doors;
pub mod first_run;
pub mod hex;
pub mod identity;
pub mod lan_task;
pub mod logbook;
mod measured;
pub mod metrics;
pub mod metrics_task;
pub mod one_kvm;
pub mod own_call;
pub mod password;
mod registration;
pub mod reload;
pub mod rendezvous_task;
pub mod secrets;
pub mod sessions;
mod sound;
pub mod status;
pub mod store;
pub mod systemd;
pub mod terminal;
pub mod vitals;
