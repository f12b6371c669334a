//! Sockets: message streams, dialling, listeners, LAN discovery. Knows frames and seals, no messages.

pub mod stream;
