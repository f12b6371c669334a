//! One controller's session as a machine without I/O: handshake, login, options, input, video gating.
//! It does not know that a gadget, a camera or a socket exists (reference: network 9 and 10, session 1 to 7).

pub mod gate;
pub mod machine;
