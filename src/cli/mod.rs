//! The command line: one file a subcommand. Exit codes follow sysexits: 0, 64 usage, 69 device or daemon unavailable,
//! 70 a fault of the program, 74 other failure, 77 permission, 78 configuration.

pub mod args;
mod bench;
mod check;
mod console;
mod demo;
mod doctor;
mod gadget;
mod heap;
mod holders;
mod id;
mod logging;
mod manual;
mod password;
mod pipe;
mod place;
mod probe;
mod quiet;
mod report;
mod run;
mod serve;
mod sessions;
mod setup;
mod snapshot;
mod status;
mod type_text;
mod unlock;
mod wake;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::agent::agent::StartError;
use crate::agent::control::AskError;
use crate::agent::password::PasswordError;
use crate::agent::store::StoreError;
use crate::config::file::ConfigError;

use args::{Args, Command};

/// The command line was wrong (EX_USAGE).
pub const USAGE: u8 = 64;
/// A device, an address or the daemon is not available (EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;
/// Reading or writing failed (EX_IOERR).
pub const IO: u8 = 74;
/// A fault of the program itself (sysexits.h).
pub const SOFTWARE: u8 = 70;
/// Not permitted (EX_NOPERM).
pub const NO_PERMISSION: u8 = 77;
/// The configuration is wrong (EX_CONFIG).
pub const CONFIG: u8 = 78;

/// Why a command failed: a sentence for standard error and the exit code.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(CONFIG, error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::InUse(_) => UNAVAILABLE,
            _ if error.is_permission() => NO_PERMISSION,
            StoreError::Io { .. } | StoreError::Damaged { .. } => IO,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let code = match &error {
            AskError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied => {
                NO_PERMISSION
            }
            AskError::NotRunning(_) | AskError::Io { .. } => UNAVAILABLE,
        };
        Self::new(code, error.to_string())
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Store(error) => error.into(),
            PasswordError::Empty
            | PasswordError::TooShort(_)
            | PasswordError::TooLong
            | PasswordError::Control => Self::new(USAGE, error.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Password(error) => error.into(),
            StartError::Layout(error) => Self::new(CONFIG, error.to_string()),
            StartError::Device(_) | StartError::Socket { .. } | StartError::Thread(_) => {
                Self::new(UNAVAILABLE, error.to_string())
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let is_permission = error.kind() == std::io::ErrorKind::PermissionDenied;
        Self::new(if is_permission { NO_PERMISSION } else { IO }, error.to_string())
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    heap::settle();
    quiet::hush();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if is_answer { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    if !matches!(args.command, Command::Run(_) | Command::Demo(_)) {
        pipe::end_with_its_reader();
    }
    let result = match args.command {
        Command::Setup(setup) => setup::run(&args.place, &setup),
        Command::Run(run) => run::run(&args.place, &run),
        Command::Demo(demo) => demo::run(&args.place, &demo),
        Command::Check(check) => check::run(&args.place, &check),
        Command::Gadget(gadget) => gadget::run(&args.place, &gadget),
        Command::Id(id) => id::run(&args.place, &id),
        Command::Password(password) => password::run(&args.place, &password),
        Command::Unlock => unlock::run(&args.place),
        Command::Sessions(sessions) => sessions::run(&args.place, &sessions),
        Command::Status(status) => status::run(&args.place, &status),
        Command::Snapshot(snapshot) => snapshot::run(&args.place, &snapshot),
        Command::Probe(probe) => probe::run(&args.place, &probe),
        Command::Doctor(doctor) => doctor::run(&args.place, &doctor),
        Command::Report(report) => report::run(&args.place, &report),
        Command::Bench(bench) => bench::run(&bench),
        Command::Type(text) => type_text::run(&args.place, &text),
        Command::Wake => wake::run(&args.place),
        Command::Manual(manual) => manual::run(&manual),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logging::say_failure(&failure.text);
            ExitCode::from(failure.code)
        }
    }
}
