//! Sockets: message streams, dialling, listeners, LAN discovery. Knows frames and seals, no messages.

pub mod dial;
pub mod lan;
pub mod listener;
pub mod stream;
pub mod udp;
