//! Registration at the ID server and its requests, as machines without I/O (reference: network 3 to 6).
//! [`client`] composes [`registrar`], [`introduction`] and [`nat`]; each can be run and tested alone.
//! [`own_call`] is the other side: what an app would see of us.

pub mod client;
pub mod introduction;
pub mod nat;
pub mod own_call;
pub mod registrar;
