//! One snapshot of a running daemon, as the control socket gives it and `kvmdesk status` shows it. No secrets.

use serde::{Deserialize, Serialize};

/// Everything worth knowing at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of kvmdesk.
    pub version: String,
    /// Seconds since start.
    pub uptime_seconds: u64,
    /// What the admin should look at; empty when all is well.
    pub problems: Vec<String>,
    /// The target, one in this release.
    pub target: TargetStatus,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// The ID to dial.
    pub id: String,
    /// `permanent` or `one-time`.
    pub password: String,
    /// Addresses with counted wrong passwords.
    pub suspects: usize,
    /// Registration; `None` without a server.
    pub server: Option<ServerStatus>,
    /// Direct access; `None` if off.
    pub direct: Option<DirectStatus>,
    /// Whether the LAN search is answered.
    pub is_lan_discovery_on: bool,
    /// The first display, as in `displays`.
    pub video: VideoStatus,
    /// Every display, in the order in which the app counts them.
    #[serde(default)]
    pub displays: Vec<VideoStatus>,
    /// The hands.
    pub hid: HidStatus,
    /// Controllers that are logged in.
    pub sessions: Vec<SessionStatus>,
}

/// Registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// As configured.
    pub host: String,
    /// Whether the server knows us now.
    pub is_online: bool,
    /// `unknown`, `asymmetric` (direct connections are possible) or `symmetric` (relay only).
    pub nat: String,
    /// A sentence.
    pub state: String,
}

/// Direct access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectStatus {
    /// `ADDRESS:PORT` listened on.
    pub listen: String,
    /// Whether it is open now.
    pub is_open: bool,
    /// Whether sessions in clear are served.
    pub is_plaintext_allowed: bool,
}

/// One display.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VideoStatus {
    /// `pattern`, or the device.
    pub source: String,
    /// The signal's state, a word.
    pub signal: String,
    /// What to do about it; empty if active.
    pub notice: String,
    /// Size of the pictures sent, `WIDTHxHEIGHT`.
    pub resolution: String,
    /// Size of the signal.
    pub original_resolution: String,
    /// Frames taken from the source since start.
    pub captured: u64,
    /// Frames equal to the one before.
    pub unchanged: u64,
    /// Frames encoded.
    pub encoded: u64,
    /// Of those, key frames.
    pub keyframes: u64,
}

/// The hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HidStatus {
    /// The backend's name.
    pub backend: String,
    /// Whether the computer takes reports.
    pub is_connected: bool,
    /// What is wrong; empty when all is well.
    pub notice: String,
    /// Reports written since start.
    pub reports_written: u64,
    /// Events thrown away because the computer was gone.
    pub events_discarded: u64,
    /// Lock LEDs that are lit, by name.
    pub leds: Vec<String>,
}

/// One controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its number, for `kvmdesk sessions --end`.
    pub session: u64,
    /// Its ID, as it says.
    pub my_id: String,
    /// Its user's name, as it says.
    pub my_name: String,
    /// Its platform, as it says.
    pub platform: String,
    /// Its address.
    pub address: String,
    /// `direct`, `punched` or `relayed`.
    pub route: String,
    /// Seconds since its login.
    pub seconds: u64,
}
