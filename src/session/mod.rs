//! Drives one controller's connection: the only place where the network half and the device half meet.

pub mod driver;
mod outbox;
mod senses;
pub mod stats;
mod wait;
