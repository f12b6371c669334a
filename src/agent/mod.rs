//! Supervision: tasks, limits, status, state directory.

pub mod direct_task;
pub mod lan_task;
pub mod rendezvous_task;
