//! One snapshot of a running daemon, as the control socket gives it and `kvmdesk status` shows it. No secrets.

use serde::{Deserialize, Serialize};

/// Everything worth knowing at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Of kvmdesk.
    pub version: String,
    /// Seconds since start.
    pub uptime_seconds: u64,
    /// What the admin should look at; empty when all is well.
    pub problems: Vec<String>,
    /// The metrics; `None` if they are not served.
    #[serde(default)]
    pub metrics: Option<MetricsStatus>,
    /// The target, one in this release.
    pub target: TargetStatus,
}

/// The metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsStatus {
    /// `ADDRESS:PORT`, or the path of a Unix socket.
    pub listen: String,
    /// Whether they are served now.
    pub is_open: bool,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The sound; `None` if none is captured.
    #[serde(default)]
    pub audio: Option<AudioStatus>,
    /// The hands.
    pub hid: HidStatus,
    /// Controllers that are logged in.
    pub sessions: Vec<SessionStatus>,
}

/// Registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectStatus {
    /// `ADDRESS:PORT` listened on.
    pub listen: String,
    /// Whether it is open now.
    pub is_open: bool,
    /// Whether sessions in clear are served.
    pub is_plaintext_allowed: bool,
}

/// One display.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    /// Of those, refinements of a still picture.
    pub refinements: u64,
    /// Of those encoded, as they were captured, without conversion.
    #[serde(default)]
    pub passed_through: u64,
    /// Of those, handed to the encoder as DMABUF, without the CPU.
    #[serde(default)]
    pub handed_over: u64,
    /// Frames a second from the source, over the last second.
    pub fps_in: f64,
    /// Frames a second encoded, over the last second.
    pub fps_out: f64,
    /// Changed pictures that were not sent, because of a newer one.
    pub dropped: DroppedPictures,
    /// What is captured and what was done to keep it going.
    #[serde(default)]
    pub capture: CaptureStatus,
    /// Encoders that failed while in use; others took over.
    pub encoder_failures: u64,
    /// How long each stage takes.
    pub latency: StageLatencies,
    /// The encoded streams.
    pub lanes: Vec<LaneStatus>,
}

/// The capture device's format and recoveries.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CaptureStatus {
    /// FourCC of the format that is captured; `None` for the test card and while there is no device.
    pub format: Option<String>,
    /// Frames left out because they were damaged.
    pub damaged: u64,
    /// How often the signal's timings were asked for again.
    pub requeries: u64,
    /// How often the stream was started again.
    pub restarts: u64,
    /// How often the device was opened again.
    pub reopens: u64,
    /// How often the computer was shown a cable pulled and put in.
    pub hot_plugs: u64,
    /// Formats that the device offers and that are not used: FourCC and reason.
    pub passed_over: Vec<(String, String)>,
}

/// Changed pictures that were not sent, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DroppedPictures {
    /// No controller had room for it.
    pub no_room: u64,
    /// The controllers' frame rate or lines did not ask for it.
    pub not_wanted: u64,
    /// The captured frame could not be used.
    pub unusable: u64,
}

/// How long each stage of the picture's way takes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct StageLatencies {
    /// From capture until the picture is converted.
    pub convert: Latency,
    /// Encoding one frame.
    pub encode: Latency,
    /// From encoded until a session took it.
    pub hand_out: Latency,
}

/// Milliseconds that 50, 95 and 99 of a hundred took at most; 0 if there was none yet.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50_ms: f64,
    /// 95 of a hundred.
    pub p95_ms: f64,
    /// 99 of a hundred.
    pub p99_ms: f64,
}

/// One encoded stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Its codec, for instance `H.264`.
    pub codec: String,
    /// The encoder's name; empty before the first frame.
    pub encoder: String,
    /// Whether it is a second stream of its codec, for slow lines.
    pub is_second: bool,
    /// Frames a second, over the last second.
    pub fps: f64,
    /// Bits over the last second.
    pub bits_per_second: u64,
    /// How coarse the last frame was, on the scale of H.264: 0 (best) to 51.
    pub quantiser: u8,
    /// How coarse changes should be, as the controllers wish.
    pub wished_quantiser: u8,
    /// Controllers that get it.
    pub watchers: usize,
}

/// The sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioStatus {
    /// The device.
    pub device: String,
    /// `asleep`, `no-device`, `silent` or `sounding`.
    pub state: String,
    /// Why there is no device; empty when all is well.
    pub notice: String,
    /// Packets of 10 ms sent since start.
    pub packets: u64,
    /// Packets of silence that were not sent.
    pub silent: u64,
    /// How often some sound was lost.
    pub overruns: u64,
}

/// The hands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Characters of texts left out because nothing types them on the computer.
    #[serde(default)]
    pub characters_not_typed: u64,
    /// Lock LEDs that are lit, by name.
    pub leds: Vec<String>,
    /// What was done while the computer took nothing.
    #[serde(default)]
    pub recovery: RecoveryStatus,
}

/// Recovery of the hands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RecoveryStatus {
    /// The highest rung tried for the present trouble: `retry`, `reopen`, `rebind` or `rebuild`; `None` while reports
    /// are taken.
    pub rung: Option<String>,
    /// How often the computer or the device was lost since start.
    pub losses: u64,
    /// How often root was asked to bind the gadget again.
    pub rebinds: u64,
    /// How often root was asked to build the gadget again.
    pub rebuilds: u64,
}

/// One controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Its picture and line.
    #[serde(default)]
    pub stream: StreamStatus,
}

/// What one controller gets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamStatus {
    /// Codecs of the last second's frames; empty while the picture is still.
    pub codecs: Vec<String>,
    /// Frames sent in the last second.
    pub fps: u32,
    /// Bits sent in the last second.
    pub bits_per_second: u64,
    /// What the line carries, in bits a second; `None` while it limits nothing.
    pub line_bits_per_second: Option<u32>,
    /// The newest round trip in milliseconds, waiting on the line included.
    pub round_trip_ms: Option<f64>,
    /// Frames sent since login.
    pub frames: u64,
    /// Of those, key frames.
    pub keyframes: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Frames that were left out, by reason.
    pub dropped: DroppedFrames,
}

/// Frames that were encoded and did not go to a controller, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DroppedFrames {
    /// A key frame had to come first.
    pub awaiting_keyframe: u64,
    /// The controller had not acknowledged those before.
    pub unacknowledged: u64,
    /// They had a size that is no longer announced.
    pub old_size: u64,
    /// The controller cannot decode them (any more).
    pub undecodable: u64,
    /// Too much waited to go out.
    pub line_full: u64,
}
