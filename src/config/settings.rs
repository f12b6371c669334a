//! Settings, resolved: defaults < board < file < environment < flags, each value with its [`Origin`]. What the rooms below
//! are run with is built here; nothing below sees an `Option` that means "default".

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::crypto::identity::IdentityKeyPair;
use crate::crypto::secret::Secret;
use crate::hid::pointing::PointerMode;
use crate::input::layout::Layout;
use crate::input::typist::UnicodeEntry;
use crate::media::audio::AudioSettings;
use crate::media::pipeline::VideoSettings;
use crate::peer::machine::{
    AnnouncedPlatform, BadLink, KeyboardSettings, LocalPointer, PeerSettings, TargetOs,
};
use crate::peer::sharing::Sharing;
use crate::rendezvous::client::{ClientSettings, RENDEZVOUS_PORT};
use crate::wire::endpoint::Endpoint;
use crate::wire::id::{DeviceUuid, PeerId};

use hid::HidChoice;

use super::board::{Board, Boards};
use super::file::{
    Announce, ConfigError, HidBackendName, LogLevel, Os, ParsedFile, TargetSection, VideoSource,
};

mod audio;
mod gadget;
mod hands;
pub mod hid;
pub mod live;
pub mod metrics;
mod typing;
mod video;

/// Where the configuration file is looked for without `--config`.
pub const DEFAULT_CONFIG: &str = "/etc/kvmdesk/kvmdesk.toml";
/// The state directory without `--state-dir` and `KVMDESK_STATE_DIR`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/kvmdesk";
/// The port that the apps dial by IP address.
pub const DIRECT_PORT: u16 = 21118;

/// The environment variables that are read, with the key each one sets.
pub const ENVIRONMENT: [(&str, &str); 4] = [
    ("KVMDESK_STATE_DIR", "state-dir"),
    ("KVMDESK_SERVER", "server.host"),
    ("KVMDESK_SERVER_KEY", "server.key"),
    ("KVMDESK_LOG", "log.level"),
];

/// Who said a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody: it is built in.
    Default,
    /// The board's profile.
    Board,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::Board => "board",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// One line of `check --show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The dotted key; `display-2.…` for the first `[[display]]`, which is the app's second display.
    pub key: String,
    /// The value as text; secrets are `***`.
    pub value: String,
    /// Who said it.
    pub origin: Origin,
}

/// What flags of the command line set; `None` is "not given".
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--state-dir`
    pub state_dir: Option<PathBuf>,
    /// `--server`
    pub server_host: Option<String>,
    /// `--key`
    pub server_key: Option<String>,
    /// `--direct`
    pub direct_listen: Option<SocketAddr>,
    /// What `--direct` implies.
    pub direct_allow_plaintext: Option<bool>,
    /// What `demo` implies.
    pub video_source: Option<VideoSource>,
    /// What `demo` implies.
    pub hid_backend: Option<HidBackendName>,
    /// `--hid-log`
    pub hid_log: Option<PathBuf>,
    /// `--log-level`
    pub log_level: Option<LogLevel>,
}

/// The ID server.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// hbbs.
    pub host: Endpoint,
    /// The server's key, empty if none was given.
    pub key: Secret<String>,
    /// `HOST` or `HOST:PORT` of hbbr; `None` for what the ID server names.
    pub relay: Option<String>,
}

/// Direct access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether sessions in clear are served (else they are told what to set).
    pub is_plaintext_allowed: bool,
}

/// The computer behind the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// Host name in the app.
    pub name: String,
    /// What it runs.
    pub os: TargetOs,
    /// Its keyboard layout.
    pub keyboard_layout: String,
    /// What becomes of characters that the layout has no keys for.
    pub unicode_entry: UnicodeEntry,
    /// Whether keys that type are clicked instead of held.
    pub bad_link: BadLink,
    /// Whether the app draws a pointer.
    pub local_pointer: LocalPointer,
    /// Which pointer devices it understands.
    pub pointer: PointerMode,
}

/// Everything, resolved.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The board whose profile holds.
    pub board: Board,
    /// The ID server; `None`: no registration.
    pub server: Option<ServerSettings>,
    /// Direct access; `None`: no listener.
    pub direct: Option<DirectSettings>,
    /// Whether the LAN search is answered.
    pub is_lan_discovery_on: bool,
    /// Whether it was said that it is not, before setup neither.
    pub is_lan_discovery_refused: bool,
    /// Whether clear sessions through a server are refused.
    pub is_encryption_required: bool,
    /// The platform we say we are.
    pub announce: AnnouncedPlatform,
    /// The computer.
    pub target: TargetSettings,
    /// The pictures, one for each display of the computer; at least one, in the order in which the app counts them.
    pub displays: Vec<VideoSettings>,
    /// Encoders that come before the others, best first.
    pub encoder_order: Vec<String>,
    /// The sound; `None`: none is captured.
    pub audio: Option<AudioSettings>,
    /// The hands.
    pub hid: HidChoice,
    /// Who may type when several controllers are there.
    pub sharing: Sharing,
    /// What metrics are served on; `None`: they are not.
    pub metrics: Option<metrics::MetricsAddress>,
    /// Log level word.
    pub log_level: LogLevel,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Every value with its origin, in the order of the file.
    pub shown: Vec<Shown>,
    /// Sentences about settings that work but will surprise.
    pub warnings: Vec<String>,
}

/// Picks the strongest of the sayings and notes it.
struct Resolver {
    shown: Vec<Shown>,
}

impl Resolver {
    fn pick<T>(
        &mut self,
        key: impl Into<String>,
        sayings: [Option<T>; 4],
        show: impl Fn(&T) -> String,
    ) -> (Option<T>, Origin) {
        self.pick_on(None, key, sayings, show)
    }

    /// As `pick`, where the board's profile may say something too.
    fn pick_on<T>(
        &mut self,
        board: Option<T>,
        key: impl Into<String>,
        [default, file, environment, flag]: [Option<T>; 4],
        show: impl Fn(&T) -> String,
    ) -> (Option<T>, Origin) {
        let sayings = [
            (flag, Origin::Flag),
            (environment, Origin::Environment),
            (file, Origin::File),
            (board, Origin::Board),
            (default, Origin::Default),
        ];
        let strongest = sayings.into_iter().find(|(said, _)| said.is_some());
        let (value, origin) = strongest.unwrap_or((None, Origin::Default));
        let text = value.as_ref().map_or_else(|| "(none)".to_owned(), show);
        self.shown.push(Shown { key: key.into(), value: text, origin });
        (value, origin)
    }
}

/// Resolves all settings. `environment` looks a variable up (an argument, so that tests and `demo` need no real one).
///
/// # Errors
/// The first value that cannot be used, with file and line where it came from the file.
pub fn resolve(
    parsed: &ParsedFile,
    boards: &Boards,
    environment: impl Fn(&str) -> Option<String>,
    flags: &Overrides,
) -> Result<Settings, ConfigError> {
    let file = &parsed.file;
    let empty = TargetSection::default();
    let target = file.target.first().unwrap_or(&empty);
    let env_error = |variable: &str, message: String| ConfigError {
        file: PathBuf::from("environment"),
        line: None,
        key: variable.to_owned(),
        message,
    };
    let mut r = Resolver { shown: vec![] };
    let path = |p: &PathBuf| p.display().to_string();
    let quiet = |_: &String| "***".to_owned();

    let (state_dir, _) = r.pick(
        "state-dir",
        [
            Some(PathBuf::from(DEFAULT_STATE_DIR)),
            file.state_dir.clone(),
            environment("KVMDESK_STATE_DIR").map(PathBuf::from),
            flags.state_dir.clone(),
        ],
        path,
    );
    let board = board(parsed, boards, &mut r)?;
    let section = file.server.as_ref();
    let (host, host_origin) = r.pick(
        "server.host",
        [None, section.map(|s| s.host.clone()), environment("KVMDESK_SERVER"), flags.server_host.clone()],
        Clone::clone,
    );
    let (key, key_origin) = r.pick(
        "server.key",
        [
            None,
            section.and_then(|s| s.key.clone()),
            environment("KVMDESK_SERVER_KEY"),
            flags.server_key.clone(),
        ],
        quiet,
    );
    let (relay, _) =
        r.pick("server.relay", [None, section.and_then(|s| s.relay.clone()), None, None], Clone::clone);
    let complain = |key: &str, origin: Origin, message: String| match origin {
        Origin::Environment => {
            let variable = ENVIRONMENT.iter().find(|(_, k)| *k == key).map_or(key, |(v, _)| v);
            env_error(variable, message)
        }
        Origin::Flag => ConfigError { file: "command line".into(), line: None, key: key.into(), message },
        Origin::File | Origin::Board | Origin::Default => parsed.error(key, message),
    };
    let host = host
        .map(|h| Endpoint::parse(&h, RENDEZVOUS_PORT))
        .transpose()
        .map_err(|e| complain("server.host", host_origin, e.to_string()))?;
    if let Some(relay) = &relay {
        Endpoint::parse(relay, RENDEZVOUS_PORT + 1)
            .map_err(|e| complain("server.relay", Origin::File, e.to_string()))?;
    }
    if let Some(key) = &key {
        if key.is_empty() || key.contains(char::is_whitespace) {
            let message =
                "the key is one word: the line in hbbs's file id_ed25519.pub; leave it out for none"
                    .to_owned();
            return Err(complain("server.key", key_origin, message));
        }
        if host.is_none() {
            let message = "a server key without a server: name the server too".to_owned();
            return Err(complain("server.key", key_origin, message));
        }
    }

    let (listen, _) =
        r.pick("direct.listen", [None, file.direct.listen, None, flags.direct_listen], ToString::to_string);
    let (plaintext, _) = r.pick(
        "direct.allow-plaintext",
        [Some(false), file.direct.allow_plaintext, None, flags.direct_allow_plaintext],
        ToString::to_string,
    );
    let (discovery, discovery_origin) =
        r.pick("lan.discovery", [Some(false), file.lan.discovery, None, None], ToString::to_string);
    let (encryption, _) = r.pick(
        "security.require-encryption",
        [Some(true), file.security.require_encryption, None, None],
        ToString::to_string,
    );
    let (announce, _) =
        r.pick("app.announce", [Some(Announce::Windows), file.app.announce, None, None], |a| word(*a));
    let (name, _) =
        r.pick("target.name", [Some("kvmdesk".to_owned()), target.name.clone(), None, None], Clone::clone);
    let (os, _) = r.pick("target.os", [Some(Os::Windows), target.os, None, None], |o| word(*o));
    let (keyboard_layout, unicode_entry) = typing::resolve(parsed, target, &mut r)?;
    let bad_link = typing::resolve_bad_link(target, &mut r);
    let (local_pointer, pointer) = hands::pointer(target, &mut r);
    let displays = video::resolve(parsed, &board.profile, flags, &mut r)?;
    let encoder_order = video::encoder_order(parsed, &board.profile, &mut r)?;
    let audio = audio::resolve(parsed, &displays, &mut r)?;
    let hid = hid::resolve(parsed, (&board.profile, &boards.machine), flags, &mut r)?;
    let sharing = hands::sharing(parsed, &mut r);
    let metrics = metrics::resolve(parsed, &mut r)?;
    let env_level = match environment("KVMDESK_LOG") {
        None => None,
        Some(word) => Some(LogLevel::from_word(&word).ok_or_else(|| {
            env_error("KVMDESK_LOG", format!("`{word}` is none of error, warn, info, debug, trace"))
        })?),
    };
    let (level, _) =
        r.pick("log.level", [Some(LogLevel::Info), file.log.level, env_level, flags.log_level], |l| {
            l.word().to_owned()
        });

    let name = name.unwrap_or_default();
    if name.trim().is_empty() || name.chars().count() > 63 || name.contains(char::is_control) {
        return Err(parsed.error("target[0].name", "a name has 1 to 63 characters, all printable"));
    }
    let server = host.map(|host| ServerSettings { host, key: Secret::new(key.unwrap_or_default()), relay });
    let direct =
        listen.map(|listen| DirectSettings { listen, is_plaintext_allowed: plaintext.unwrap_or(false) });
    let mut warnings =
        warnings(server.as_ref(), direct.as_ref(), encryption.unwrap_or(true), metrics.as_ref());
    warnings.extend(boards.faults.iter().map(|fault| format!("a board's profile is not used: {fault}")));
    Ok(Settings {
        board,
        server,
        direct,
        is_lan_discovery_on: discovery.unwrap_or(false),
        is_lan_discovery_refused: discovery == Some(false) && discovery_origin != Origin::Default,
        is_encryption_required: encryption.unwrap_or(true),
        announce: match announce.unwrap_or(Announce::Windows) {
            Announce::Windows => AnnouncedPlatform::Windows,
            Announce::Linux => AnnouncedPlatform::Linux,
            Announce::Macos => AnnouncedPlatform::MacOs,
        },
        target: TargetSettings {
            name,
            os: match os.unwrap_or(Os::Windows) {
                Os::Windows => TargetOs::Windows,
                Os::Linux => TargetOs::Linux,
                Os::Macos => TargetOs::MacOs,
            },
            keyboard_layout,
            unicode_entry,
            bad_link,
            local_pointer,
            pointer,
        },
        displays,
        encoder_order,
        audio,
        hid,
        sharing,
        metrics,
        log_level: level.unwrap_or(LogLevel::Info),
        state_dir: state_dir.unwrap_or_default(),
        shown: r.shown,
        warnings,
    })
}

/// The board that is named, else the one that this machine is.
fn board(parsed: &ParsedFile, boards: &Boards, r: &mut Resolver) -> Result<Board, ConfigError> {
    let named = match parsed.file.board.as_deref() {
        None | Some("auto") => None,
        Some(name) => Some(boards.named(name).ok_or_else(|| {
            let message = format!("`{name}` is none of auto, {}", boards.names().join(", "));
            parsed.error("board", message)
        })?),
    };
    let (board, _) =
        r.pick_on(Some(boards.recognised()), "board", [None, named, None, None], |b| b.id.clone());
    Ok(board.unwrap_or_default())
}

impl Settings {
    /// What a session of this target is run with.
    pub fn peer(&self, id: PeerId, identity: IdentityKeyPair, salt: String) -> PeerSettings {
        PeerSettings {
            id,
            salt,
            identity,
            is_encryption_required: self.is_encryption_required,
            is_direct_plaintext_allowed: self.direct.is_some_and(|d| d.is_plaintext_allowed),
            announce: self.announce,
            os: self.target.os,
            hostname: self.target.name.clone(),
            username: "kvmdesk".to_owned(),
            local_pointer: self.target.local_pointer,
            keyboard: KeyboardSettings {
                layout: Layout::by_name(&self.target.keyboard_layout).unwrap_or_default(),
                bad_link: self.target.bad_link,
            },
        }
    }
}

impl ServerSettings {
    /// What this target is registered with.
    pub fn client(
        &self,
        id: PeerId,
        uuid: DeviceUuid,
        public_key: [u8; 32],
        is_confirmed_before: bool,
    ) -> ClientSettings {
        let mut client = ClientSettings::new(self.host.clone(), id, uuid, public_key);
        client.registrar.is_confirmed_before = is_confirmed_before;
        client.introduction.relay_server.clone_from(&self.relay);
        client.introduction.licence_key.clone_from(self.key.reveal());
        client
    }
}

/// A unit value of the file in its own spelling.
fn word(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn warnings(
    server: Option<&ServerSettings>,
    direct: Option<&DirectSettings>,
    is_strict: bool,
    metrics: Option<&metrics::MetricsAddress>,
) -> Vec<String> {
    let mut out = vec![];
    match direct {
        Some(d) if !d.is_plaintext_allowed => out.push(
            "direct.listen is set, but direct.allow-plaintext is false: the RustDesk app cannot encrypt direct \
             access, so every caller is refused with a sentence; set direct.allow-plaintext = true to let them in"
                .to_owned(),
        ),
        Some(d) => out.push(format!(
            "direct access on {} is not encrypted: picture and keys travel in clear; use it on networks you trust",
            d.listen
        )),
        None if server.is_none() => out.push(
            "neither [server] nor direct.listen is set: no RustDesk app can reach this device, except before setup"
                .to_owned(),
        ),
        None => {}
    }
    if !is_strict {
        out.push(
            "security.require-encryption is false: a controller can ask for a session in clear".to_owned(),
        );
    }
    if let Some(metrics) = metrics.filter(|metrics| metrics.is_public()) {
        out.push(format!(
            "metrics.listen is {metrics}: everybody on the network can read the metrics; name 127.0.0.1 or a socket if \
             the collector runs here"
        ));
    }
    out
}
