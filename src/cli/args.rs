//! The command line's shape, for clap. What `--help` says is written here.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::config::file::LogLevel;

/// Headless IP-KVM daemon: a computer with nothing installed appears in the ordinary RustDesk app.
///
/// HDMI is captured and sent as RustDesk video; RustDesk's keyboard and mouse become a USB keyboard and mouse.
#[derive(Debug, Parser)]
#[command(
    name = "kvmdesk",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Try it without any hardware:\n  kvmdesk demo\n\n\
                  Exit codes: 0 well, 64 wrong command line, 69 device or daemon not available, 70 a fault of kvmdesk, 74 reading or writing \
                  failed, 77 not permitted, 78 wrong configuration."
)]
pub struct Args {
    /// Where things lie.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, ClapArgs)]
pub struct Place {
    /// Configuration file [default: /etc/kvmdesk/kvmdesk.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of identity, password and log-ins [default: /var/lib/kvmdesk]
    ///
    /// Also set by the environment variable KVMDESK_STATE_DIR, or by `state-dir` in the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How much is logged to standard error
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<LevelArg>,
}

/// Values of `--log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// Failures only
    Error,
    /// Also what works but should be looked at
    Warn,
    /// Also what happens
    Info,
    /// Also why
    Debug,
    /// Everything
    Trace,
}

impl From<LevelArg> for LogLevel {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Error => Self::Error,
            LevelArg::Warn => Self::Warn,
            LevelArg::Info => Self::Info,
            LevelArg::Debug => Self::Debug,
            LevelArg::Trace => Self::Trace,
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set server, password and the computer's name and keyboard, and show the ID
    Setup(Setup),
    /// Run the daemon with a configuration
    Run(Run),
    /// Run without hardware, root or configuration: a moving test card, keys that go nowhere
    Demo(Demo),
    /// Check the configuration strictly and say what it means
    Check(Check),
    /// Build, repair or remove the USB keyboard and mouse (as root, once after boot)
    Gadget(Gadget),
    /// Show the ID that users type, or renew, export, import it
    Id(Id),
    /// Set the password, or show the one-time password
    Password(Password),
    /// Let addresses in again that were locked out after wrong passwords
    Unlock,
    /// Show who is and who was connected, or end a session
    Sessions(Sessions),
    /// Show how the running daemon does
    Status(Status),
    /// Store what the computer shows as a PNG file
    Snapshot(Snapshot),
    /// Look at the devices and encoders of this machine, and say what would be used
    Probe(Probe),
    /// Look whether this board can serve a computer now, and what to do where it cannot
    Doctor(Doctor),
    /// Write what somebody who helps needs to know to a text file, without passwords and keys
    Report(Report),
    /// Measure what the picture costs on this machine, beside a reference
    Bench(Bench),
    /// Type a text on the computer
    Type(Type),
    /// Wake the computer by USB; gadget.wake has to be "command" or "input"
    Wake,
    /// Write manual pages and completions, for packages
    #[command(hide = true)]
    Manual(Manual),
}

/// `kvmdesk setup`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "What is not given stays as it is in the configuration, whose comments are kept; the file from before is \
                        kept beside it, with `.bak` behind its name. A wrong value changes nothing. With \
                        --non-interactive or --seed the answer is JSON without secrets.\n\nSeed file: settings for a board that is set up \
                        with a card reader alone. Put it on the card's boot partition as kvmdesk.toml \
                        (/boot/firmware/kvmdesk.toml or /boot/kvmdesk.toml on the board); kvmdesk-seed.service takes it \
                        over at the next start, before kvmdesk runs. All keys may be left out:\n\n  \
                        server-config = \"what the app exports; in place of the next three\"\n  \
                        server = \"rustdesk.example.org\"\n  key = \"OeVu…qmBw=\"\n  relay = \"relay.example.org\"\n  \
                        password = \"at least 6 characters\"\n  name = \"office\"\n  os = \"windows\"\n  \
                        keyboard-layout = \"de\"\n\nAfterwards it is overwritten and removed, and kvmdesk-id.txt beside it \
                        tells ID and key fingerprint; a card's flash may keep a copy of the password all the same, so take \
                        another one for each board or change it later. A file that is wrong, or cannot be erased, changes \
                        nothing: the board starts without it, and kvmdesk-error.txt, `kvmdesk doctor` and `journalctl -u \
                        kvmdesk-seed` say why.\n\nA program that has the devices is stopped only if that is agreed to or \
                        --take-over is given.\n\nExamples:\n  sudo kvmdesk setup\n  \
                        sudo kvmdesk setup --non-interactive --server rustdesk.example.org --key OeVu…qmBw= \\\n    \
                        --password-file /run/secrets/kvmdesk --name office --target-os windows --layout de\n  \
                        sudo kvmdesk setup --non-interactive --take-over --boot gadget"
)]
pub struct Setup {
    /// Ask nothing: take what is given here
    #[arg(long)]
    pub non_interactive: bool,
    /// Take over this seed file, and erase it; asks nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "key", "relay", "server_config", "password_file", "name", "target_os", "layout", "boot", "take_over"])]
    pub seed: Option<PathBuf>,
    /// The ID server; key and relay of another server are forgotten
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// The ID server's public key
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// The relay, if it is not where the ID server says
    #[arg(long, value_name = "HOST[:PORT]")]
    pub relay: Option<String>,
    /// Server, key and relay as the RustDesk app exports them
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["server", "key", "relay"])]
    pub server_config: Option<String>,
    /// Take the password from this file; /dev/stdin is standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The computer's name in the app
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the computer runs
    #[arg(long, value_name = "OS")]
    pub target_os: Option<OsArg>,
    /// The keyboard layout set on the computer, for instance us, gb or de
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<String>,
    /// Write the board's boot lines for this, for instance gadget or tc358743; may be given again
    #[arg(long, value_name = "PART")]
    pub boot: Vec<String>,
    /// Stop the services that have the devices, and become what One-KVM was: its server, its ID
    #[arg(long, requires = "non_interactive")]
    pub take_over: bool,
    /// Put back what was taken over: the other program, ID and configuration; kvmdesk stops
    #[arg(long, conflicts_with_all = ["server", "key", "relay", "server_config", "password_file", "name", "target_os",
        "layout", "boot", "take_over", "seed"])]
    pub undo: bool,
}

/// Values of `--target-os`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OsArg {
    /// Windows
    Windows,
    /// Linux
    Linux,
    /// macOS
    Macos,
}

/// `kvmdesk run`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A configuration that is wrong does not stop a board that worked: the last good copy is used, \
                        and said so.\n\nSIGHUP (`systemctl reload kvmdesk`) reads the configuration anew: what can change \
                        while sessions go on does, the log and `kvmdesk status` name what holds only after a restart, and \
                        a wrong file changes nothing.\n\nBefore setup, that is until a password, an ID server or direct \
                        access is set or `kvmdesk setup` was run once, RustDesk apps on the local network find this board \
                        under \"Discovered\", and dial its IP address (which is read from their source, and was not tried \
                        with one). They get in, not encrypted, from private addresses and with the one-time password that \
                        the console shows above its log-in prompt. `discovery = false` in [lan] forbids it.\n\nExample:\n  kvmdesk run --config /etc/kvmdesk/kvmdesk.toml"
)]
pub struct Run {}

/// `kvmdesk demo`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "With neither --direct nor --server it listens for direct access on 0.0.0.0:21118. Direct access \
                        is not encrypted: the RustDesk app cannot do that.\n\n\
                        Examples:\n  kvmdesk demo\n  kvmdesk demo --server rustdesk.example.org --key OeVu…qmBw="
)]
pub struct Demo {
    /// Listen for direct access; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub direct: Option<SocketAddr>,
    /// Register at this ID server; alone, it opens no listener
    #[arg(long, value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// The ID server's public key
    #[arg(long, value_name = "KEY", requires = "server")]
    pub key: Option<String>,
    /// Take the password from this file for this run, instead of a one-time password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Append each keyboard and mouse report to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub hid_log: Option<PathBuf>,
}

/// `kvmdesk check`
#[derive(Debug, ClapArgs)]
#[command(after_help = "Example:\n  kvmdesk check --config /etc/kvmdesk/kvmdesk.toml --show")]
pub struct Check {
    /// Show every value with where it comes from
    #[arg(long)]
    pub show: bool,
}

/// `kvmdesk gadget`
#[derive(Debug, ClapArgs)]
pub struct Gadget {
    /// What to do with it
    #[command(subcommand)]
    pub deed: GadgetDeed,
}

/// `kvmdesk gadget up|down|rebind|rebuild|repair`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum GadgetDeed {
    /// Build the gadget and bind it to the USB port
    Up,
    /// Remove it: the computer sees keyboard and mouse unplugged; nothing repairs it until the next `up`
    Down,
    /// Unplug it and plug it in again
    Rebind,
    /// Remove it and build it anew
    Rebuild,
    /// Do what the daemon asked for, if it did (kvmdesk-gadget-repair.service runs this)
    Repair,
}

/// `kvmdesk id`
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
#[command(
    after_help = "Examples:\n  kvmdesk id\n  kvmdesk id --export board.json      (holds the private key)\n  \
                        kvmdesk id --import board.json"
)]
pub struct Id {
    /// Make a new ID and key; the daemon must not run
    #[arg(long)]
    pub reset: bool,
    /// Write ID and private key to a file
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Take ID and key from such a file; the daemon must not run
    #[arg(long, value_name = "FILE")]
    pub import: Option<PathBuf>,
}

/// `kvmdesk password`
#[derive(Debug, ClapArgs)]
#[group(multiple = false)]
#[command(
    after_help = "The password is never taken from the command line, where others could read it. A newline at its \
                        end is not part of it. Sessions that used another password end.\n\n\
                        Examples:\n  kvmdesk password\n  kvmdesk password --file /run/secrets/kvmdesk\n  \
                        kvmdesk password --show-once"
)]
pub struct Password {
    /// Take the password from a file
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Take the password from standard input
    #[arg(long)]
    pub stdin: bool,
    /// Show the one-time password of the running daemon
    #[arg(long)]
    pub show_once: bool,
    /// Remove the password; a one-time password holds from then on
    #[arg(long)]
    pub clear: bool,
}

/// `kvmdesk sessions`
#[derive(Debug, ClapArgs)]
pub struct Sessions {
    /// End this session of the running daemon
    #[arg(long, value_name = "N")]
    pub end: Option<u64>,
}

/// `kvmdesk status`
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  kvmdesk status\n  kvmdesk status --watch\n  \
                        kvmdesk status --json | jq .target.hid")]
pub struct Status {
    /// For programs
    #[arg(long)]
    pub json: bool,
    /// Show it anew every second: in place on a terminal, block after block elsewhere; Ctrl+C ends it
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
}

/// `kvmdesk snapshot`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "The running daemon is asked; if none runs, the configured device is opened for one picture.\n\n\
                        Examples:\n  kvmdesk snapshot now.png\n  kvmdesk snapshot - | ssh desk 'cat >now.png'"
)]
pub struct Snapshot {
    /// Where the PNG goes; `-` is standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which display, counted as the app does
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub display: u8,
}

/// `kvmdesk probe`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Nothing is changed and a running daemon is not disturbed. The encoders are tried out, which takes \
                        some seconds."
)]
pub struct Probe {
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// `kvmdesk doctor`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Each line is ok, warn or fail, with what helps behind `->`. Nothing is changed; a running daemon is \
                        asked about what it has open. As root it sees most. Takes some seconds.\n\nExit codes: 0 well, also \
                        with warnings, 69 if something failed.\n\nExamples:\n  sudo kvmdesk doctor\n  \
                        kvmdesk doctor --json | jq '.checks[] | select(.verdict != \"ok\")'"
)]
pub struct Doctor {
    /// For programs
    #[arg(long)]
    pub json: bool,
}

/// `kvmdesk report`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "One text file that can be read and pasted: system, doctor, status, probe, settings, configuration \
                        file, USB gadget, device nodes, kernel log and journal, as far as they may be read; as root that is \
                        all. Passwords and keys are left out. It does name this device's ID, its server and controllers. \
                        Takes some seconds.\n\nExamples:\n  sudo kvmdesk report\n  sudo kvmdesk report - | less"
)]
pub struct Report {
    /// Where it goes; `-` is standard output
    #[arg(value_name = "FILE", default_value = "kvmdesk-report.txt")]
    pub file: PathBuf,
}

/// `kvmdesk bench`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Takes some minutes and one core or two; let nothing else run meanwhile. Exit code 0 also if a goal is \
                        missed.\n\nExamples:\n  kvmdesk bench\n  kvmdesk bench --clip session --json"
)]
pub struct Bench {
    /// For programs
    #[arg(long)]
    pub json: bool,
    /// Measure this clip alone; may be given again: session, idle, type, scroll, drag, video
    #[arg(long, value_name = "NAME")]
    pub clip: Vec<String>,
    /// Measure this encoder of ours alone, by its name in `kvmdesk probe`; may be given again
    #[arg(long, value_name = "NAME")]
    pub encoder: Vec<String>,
    /// How often the session is measured; the median counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub rounds: u32,
    /// Be the process whose memory is measured
    #[arg(long, hide = true)]
    pub child_memory: bool,
}

/// `kvmdesk type`
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "The keys are those of the target's keyboard-layout. A command line can be read by others on this \
                        machine: give secrets on standard input.\n\nExamples:\n  kvmdesk type 'ls -l /dev/hidg*'\n  \
                        kvmdesk type < script.sh"
)]
pub struct Type {
    /// The text, as it is; without it, standard input is typed
    #[arg(value_name = "TEXT")]
    pub text: Option<String>,
}

/// `kvmdesk manual`
#[derive(Debug, ClapArgs)]
pub struct Manual {
    /// Directory that stands for /usr/share; made if it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
