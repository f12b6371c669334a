//! The configuration file as written: TOML, kebab-case, unknown keys refused, every fault told with its file,
//! line and key and with what would be right. Nothing here is a default: see [`super::settings`].

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use places::{key_at, line_of, offset_of, wrong_brackets};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use hands::{InputSection, KeyboardSection, PointerSection};

pub mod gadget;
pub mod hands;
mod places;

/// A fault in a configuration file, told as `FILE:LINE: KEY: what is wrong and what would be right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line of the fault, from 1; `None` if the file could not be read at all.
    pub line: Option<usize>,
    /// The dotted key, empty if the fault belongs to none.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// The whole file. Every section and every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigFile {
    /// Where identity, password and log-ins lie.
    pub state_dir: Option<PathBuf>,
    /// The board's profile, by its name or a word.
    pub board: Option<String>,
    /// `[server]`: without it nothing is registered anywhere.
    pub server: Option<ServerSection>,
    /// `[direct]`
    pub direct: DirectSection,
    /// `[lan]`
    pub lan: LanSection,
    /// `[security]`
    pub security: SecuritySection,
    /// `[app]`
    pub app: AppSection,
    /// `[[target]]`: exactly one in this release.
    pub target: Vec<TargetSection>,
    /// `[video]`: the first display.
    pub video: VideoSection,
    /// `[[display]]`: further displays of the same computer, in the order in which the app counts them.
    pub display: Vec<VideoSection>,
    /// `[encoder]`
    pub encoder: EncoderSection,
    /// `[audio]`
    pub audio: AudioSection,
    /// `[hid]`
    pub hid: HidSection,
    /// `[input]`
    pub input: InputSection,
    /// `[gadget]`
    pub gadget: gadget::GadgetSection,
    /// `[metrics]`
    pub metrics: MetricsSection,
    /// `[log]`
    pub log: LogSection,
}

/// `[server]`: the ID server to register with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerSection {
    /// `HOST[:PORT]` of hbbs.
    pub host: String,
    /// The server's public key (`id_ed25519.pub`), base64; hbbr asks for it if it was started with `-k`.
    #[serde(default)]
    pub key: Option<String>,
    /// `HOST[:PORT]` of hbbr, if it is not beside hbbs.
    #[serde(default)]
    pub relay: Option<String>,
}

/// `[direct]`: access by IP address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DirectSection {
    /// `ADDRESS:PORT` to listen on; without it there is no listener.
    pub listen: Option<SocketAddr>,
    /// Consent to sessions in clear.
    pub allow_plaintext: Option<bool>,
}

/// `[lan]`: the local network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LanSection {
    /// Answer the app's "Discovered" search.
    pub discovery: Option<bool>,
}

/// `[security]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SecuritySection {
    /// Refuse sessions in clear that come through a server.
    pub require_encryption: Option<bool>,
}

/// `[app]`: how we look in the RustDesk app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AppSection {
    /// The platform we say we are.
    pub announce: Option<Announce>,
}

/// Values of `app.announce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Announce {
    /// Most menus, Ctrl+Alt+Del.
    Windows,
    /// Linux.
    Linux,
    /// macOS.
    Macos,
}

/// One `[[target]]`: a computer behind this board.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TargetSection {
    /// Shown as the host name in the app.
    pub name: Option<String>,
    /// The computer's operating system.
    pub os: Option<Os>,
    /// The keyboard layout set on the computer.
    pub keyboard_layout: Option<String>,
    /// How the computer takes characters that the layout has no keys for.
    pub unicode_entry: Option<EntryName>,
    /// `keyboard.…`
    pub keyboard: KeyboardSection,
    /// `pointer.…`
    pub pointer: PointerSection,
}

/// Values of `target.os`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Os {
    /// Windows.
    Windows,
    /// Linux.
    Linux,
    /// macOS.
    Macos,
}

/// Values of `target.unicode-entry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryName {
    /// Not at all.
    Off,
    /// Alt and the keypad.
    Windows,
    /// Ctrl+Shift+U.
    Linux,
    /// Option and hex digits.
    Macos,
}

/// `[video]` or one `[[display]]`: what one display is captured with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct VideoSection {
    /// Where pictures come from.
    pub source: Option<VideoSource>,
    /// The capture device.
    pub device: Option<PathBuf>,
    /// Pixel formats by their FourCC, best first.
    pub formats: Option<Vec<String>>,
    /// What the receiver tells the computer that it can show: a word or a file.
    pub edid: Option<String>,
    /// How large pictures are sent: a word or `WIDTHxHEIGHT`.
    pub max_size: Option<String>,
    /// Most frames a second.
    pub max_fps: Option<u32>,
}

/// Values of `video.source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VideoSource {
    /// The moving test card.
    Pattern,
    /// A V4L2 capture device.
    V4l2,
}

/// `[encoder]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EncoderSection {
    /// Encoders that come before the others, best first.
    pub order: Option<Vec<String>>,
}

/// `[audio]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AudioSection {
    /// The capture device of ALSA, or a word.
    pub device: Option<String>,
}

/// `[hid]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct HidSection {
    /// Where reports go.
    pub backend: Option<HidBackendName>,
    /// Name of the USB gadget in configfs.
    pub gadget: Option<String>,
    /// The recording backend's file.
    pub log: Option<PathBuf>,
    /// The CH9329's serial device.
    pub device: Option<PathBuf>,
    /// The CH9329's baud rate.
    pub baud: Option<BaudValue>,
}

/// Values of `hid.baud`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "write \"auto\", 9600 or 115200")]
pub enum BaudValue {
    /// A rate.
    Rate(u32),
    /// A word.
    Word(String),
}

/// Values of `hid.backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HidBackendName {
    /// The USB gadget that `kvmdesk gadget up` builds.
    Gadget,
    /// A CH9329 on a serial line.
    Ch9329,
    /// This machine's own keyboard and pointer.
    Uinput,
    /// No hardware: each report becomes a JSON line.
    Recording,
}

/// `[metrics]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MetricsSection {
    /// `ADDRESS:PORT`, or the path of a Unix socket.
    pub listen: Option<String>,
}

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogSection {
    /// How much is logged.
    pub level: Option<LogLevel>,
}

/// Values of `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// Also what works but should be looked at.
    Warn,
    /// Also what happens.
    Info,
    /// Also why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word, as written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    /// The level of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace].into_iter().find(|l| l.word() == word)
    }
}

/// A parsed file with its text, so that later faults can still name their line.
#[derive(Debug, Clone, Default)]
pub struct ParsedFile {
    /// Where it came from.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What it says.
    pub file: ConfigFile,
}

/// Reads and parses a file.
///
/// # Errors
/// [`ConfigError`] if it cannot be read, is no TOML, or has unknown keys or values.
pub fn read(path: &Path) -> Result<ParsedFile, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| ConfigError {
        file: path.to_owned(),
        line: None,
        key: String::new(),
        message: format!("cannot be read ({e}); name a readable file with --config"),
    })?;
    parse(path, text)
}

/// Parses a file's text; `path` is for messages only.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: String) -> Result<ParsedFile, ConfigError> {
    if let Some((at, key, message)) = wrong_brackets(&text) {
        return Err(ConfigError { file: path.to_owned(), line: Some(line_of(&text, at)), key, message });
    }
    let file: ConfigFile = from_toml(path, &text)?;
    let parsed = ParsedFile { path: path.to_owned(), text, file };
    if parsed.file.target.len() > 1 {
        return Err(parsed.error(
            "target[1]",
            "several targets come later: this release serves one computer, so keep exactly one [[target]]",
        ));
    }
    Ok(parsed)
}

/// A text's TOML; faults are told with line and key. `path` is for messages only.
pub(super) fn from_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|e| {
        let at = e.span().map_or(0, |s| s.start);
        ConfigError {
            file: path.to_owned(),
            line: Some(line_of(text, at)),
            key: key_at(text, at),
            message: plain(e.message()),
        }
    })
}

/// A fault of one key's value in a file's text, see [`ParsedFile::error`].
pub(super) fn fault_at(path: &Path, text: &str, key: &str, message: impl Into<String>) -> ConfigError {
    let line = offset_of(text, key).map(|at| line_of(text, at));
    let key = key.split('.').map(|part| part.split('[').next().unwrap_or(part));
    let key = key.collect::<Vec<_>>().join(".");
    ConfigError { file: path.to_owned(), line, key, message: message.into() }
}

impl ParsedFile {
    /// A fault of one key's value. The dotted `key` may have `[n]` for the n-th `[[…]]` table, from 0.
    pub fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        fault_at(&self.path, &self.text, key, message)
    }
}

/// The parser's words in one line, without its jargon where a user would stumble.
fn plain(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = message
        .replace("unknown field", "unknown key")
        .replace("unknown variant", "unknown value")
        .replace("missing field", "missing key")
        .replace("invalid socket address syntax", "write ADDRESS:PORT, for instance 0.0.0.0:21118");
    // An integer type's name says nothing to a user; its range does.
    message
        .replace("expected u32", "expected a whole number, 0 or more")
        .replace("expected a boolean", "expected true or false, without quotes")
}
