//! Who may log in: passwords, limits, one-time password; one gate per target, shared by its sessions, fed with
//! time (reference: network 10.2, 10.3). (Contract; to be built.)

use std::net::IpAddr;

/// One LoginRequest, as far as the gate needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAttempt {
    /// Address of the controller (as the ID server reported it for relays).
    pub address: IpAddr,
    /// The controller's own ID.
    pub my_id: String,
    /// The controller's user name.
    pub my_name: String,
    /// The controller's platform text.
    pub my_platform: String,
    /// The controller's version text.
    pub version: String,
    /// Stable over reconnects of one window.
    pub session_id: u64,
    /// 32 proof bytes, or empty for "none given".
    pub proof: Vec<u8>,
    /// The challenge of this connection.
    pub challenge: String,
}

/// What the gate answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Welcome.
    Accepted,
    /// LoginResponse.error with this text; the connection stays open for another try.
    Refused(&'static str),
    /// Say nothing and wait: the password was empty (reference: session 2.3 step 9).
    Silent,
}
