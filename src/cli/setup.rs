//! `kvmdesk setup`: server, password and the computer's name and keyboard, from flags, a seed file or in a dialogue.

mod codes;
mod dialogue;
mod overlays;
pub(super) mod seed;
mod takeover;

use std::fs;
use std::fs::Permissions;
use std::io::IsTerminal as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agent::identity::Identity;
use crate::agent::store::{self, Store, StoreError};
use crate::agent::{first_run, hex, password};
use crate::config::edit::Changes;
use crate::config::file;
use crate::config::server_string::{self, ServerString};
use crate::config::settings::{self, DEFAULT_CONFIG, Settings};

use super::args::{OsArg, Place, Setup};
use super::{Failure, IO, USAGE, place, status};
use takeover::{System, TakeOver};

/// What is to be set, checked as far as it can be: nothing is written yet.
struct Plan {
    /// The configuration file, behind links.
    path: PathBuf,
    /// Its text; `None` if there is none.
    before: Option<String>,
    /// The text that it is to have.
    after: String,
    /// What that text means.
    settings: Settings,
    /// The new password; `None` leaves the old one.
    password: Option<String>,
}

/// What was set. Its JSON is for programs: keys stay, more may come.
#[derive(Debug, Serialize)]
struct Outcome {
    /// What users type into the app.
    id: String,
    /// Fingerprint of this device's key, as the app shows it.
    key_fingerprint: String,
    /// The computer's name in the app.
    name: String,
    /// The ID server.
    server: Option<String>,
    /// `permanent` or `one-time`.
    password: &'static str,
    /// The configuration file.
    config: PathBuf,
    /// Whether it was changed.
    is_config_changed: bool,
    /// Its text from before.
    backup: Option<PathBuf>,
    /// Whether kvmdesk runs.
    is_running: bool,
    /// What was taken over of another program.
    take_over: Option<takeover::Taken>,
    /// What was changed in the boot configuration.
    boot: Option<overlays::Boot>,
    /// What should be looked at.
    warnings: Vec<String>,
}

pub(super) fn run(place: &Place, args: &Setup) -> Result<(), Failure> {
    if args.undo {
        return takeover::undo(place, args.non_interactive);
    }
    if let Some(file) = &args.seed {
        return print_json(&seed::take(place, file)?);
    }
    let password = args.password_file.as_deref().map(super::password::read_file).transpose()?;
    if !args.non_interactive {
        if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            let text = "this is no terminal to ask on: give flags and --non-interactive";
            return Err(Failure::new(USAGE, text));
        }
        return dialogue::hold(place, args, changes(args)?, password);
    }
    let mut changes = changes(args)?;
    let system = System::default();
    let mut taking = None;
    if args.take_over {
        let found = TakeOver::find(&Plan::new(place, &changes, None)?.settings, &system);
        found.add_to(&mut changes);
        taking = Some(found);
    }
    let plan = Plan::new(place, &changes, password)?;
    let boot = overlays::by_names(&args.boot, &plan.settings.board.profile.boot, Path::new("/"))?;
    print_json(&carry_out(plan, taking, boot, &system)?)
}

/// Does all that was decided.
fn carry_out(
    plan: Plan,
    taking: Option<TakeOver>,
    boot: Option<overlays::Work>,
    system: &System,
) -> Result<Outcome, Failure> {
    let mut taken = taking.map(|taking| taking.carry_out(&plan, system)).transpose()?;
    let mut outcome = plan.carry_out()?;
    outcome.boot = boot.map(overlays::Work::write).transpose()?;
    if let Some(taken) = &mut taken {
        outcome.warnings.extend(taken.finish(system));
        outcome.is_running |= taken.is_started;
    }
    outcome.take_over = taken;
    Ok(outcome)
}

fn print_json(outcome: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(outcome).map_err(|e| Failure::new(IO, e.to_string()))?;
    println!("{json}");
    Ok(())
}

/// What the flags change.
fn changes(args: &Setup) -> Result<Changes, Failure> {
    let mut changes = Changes {
        host: args.server.clone(),
        key: args.key.clone(),
        relay: args.relay.clone(),
        name: args.name.clone(),
        os: args.target_os.map(|os| os_word(os).to_owned()),
        layout: args.layout.clone(),
    };
    if let Some(text) = &args.server_config {
        take_exported(&mut changes, text)?;
    }
    Ok(changes)
}

/// Takes over what the app exports.
fn take_exported(changes: &mut Changes, text: &str) -> Result<(), Failure> {
    let server =
        ServerString::decode(text).map_err(|e| Failure::new(USAGE, format!("server-config: {e}")))?;
    let given = |field: String| Some(field).filter(|field| !field.is_empty());
    changes.host = given(server.host);
    changes.key = given(server.key);
    changes.relay = given(server.relay);
    Ok(())
}

fn os_word(os: OsArg) -> &'static str {
    match os {
        OsArg::Windows => "windows",
        OsArg::Linux => "linux",
        OsArg::Macos => "macos",
    }
}

impl Plan {
    /// Reads and checks; writes nothing.
    fn new(place: &Place, changes: &Changes, password: Option<String>) -> Result<Self, Failure> {
        let named = place.config.clone().unwrap_or_else(|| DEFAULT_CONFIG.into());
        let path = fs::canonicalize(&named).unwrap_or(named);
        let before = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(place::unreadable(&path, &error)),
        };
        let old = file::parse(&path, before.clone().unwrap_or_default())?;
        let resolve = |parsed: &file::ParsedFile| {
            settings::resolve(parsed, &place::boards(), place::environment, &place::overrides(place))
        };
        resolve(&old)?;
        // The old text was good, so what is wrong now was given.
        let wrong = |e: file::ConfigError| {
            let key = if e.key.is_empty() { String::new() } else { format!("{}: ", e.key) };
            Failure::new(USAGE, format!("{key}{}; nothing was changed", e.message))
        };
        let after = changes.apply(&path, &old.text).map_err(wrong)?;
        let settings = file::parse(&path, after.clone()).and_then(|new| resolve(&new)).map_err(wrong)?;
        let password = password
            .map(|text| password::check(&text).map(str::to_owned))
            .transpose()
            .map_err(|e| Failure::new(USAGE, format!("{e}; nothing was changed")))?;
        Ok(Self { path, before, after, settings, password })
    }

    fn is_config_changed(&self) -> bool {
        self.before.as_ref().map_or(!self.after.is_empty(), |before| *before != self.after)
    }

    /// Writes what was planned: the password, then the configuration.
    fn carry_out(self) -> Result<Outcome, Failure> {
        let store = Store::open(&self.settings.state_dir)?;
        let identity = super::password::identity_of(&store)?;
        let is_config_changed = self.is_config_changed();
        let mut warnings = self.settings.warnings.clone();
        let is_first = first_run::keep_set_up(&store)?;
        if let Some(password) = &self.password {
            password::set(&store, password, &identity.salt)?;
        }
        if (is_first || self.password.is_some())
            && let Err(failure) = super::password::tell_daemon(&store)
        {
            warnings.push(format!("It is set, but kvmdesk could not be told: {}", failure.text));
        }
        let backup = if is_config_changed { write(&self)? } else { None };
        let is_running = status::ask(&store).is_ok();
        warnings.extend(self.settings.server.as_ref().and_then(|s| odd_key(s.key.reveal())));
        if is_running && is_config_changed {
            warnings.push(
                "kvmdesk runs with the configuration from before: `systemctl reload kvmdesk` has it take the new one over"
                    .to_owned(),
            );
        }
        let is_permanent = password::load(&store)?.is_some();
        Ok(Outcome {
            id: identity.id.as_str().to_owned(),
            key_fingerprint: fingerprint(&identity),
            name: self.settings.target.name.clone(),
            server: self.settings.server.as_ref().map(|s| s.host.to_string()),
            password: if is_permanent { "permanent" } else { "one-time" },
            config: self.path,
            is_config_changed,
            backup,
            is_running,
            take_over: None,
            boot: None,
            warnings,
        })
    }
}

/// Writes the configuration, and the old one beside it.
fn write(plan: &Plan) -> Result<Option<PathBuf>, StoreError> {
    if let Some(dir) = plan.path.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.exists()) {
        // The daemon's user reads what is in it, whatever the umask.
        let made =
            fs::create_dir_all(dir).and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)));
        made.map_err(|error| StoreError::Io {
            what: "create",
            path: dir.to_owned(),
            error,
            hint: "; run as root",
        })?;
    }
    let backup = match &plan.before {
        Some(text) => {
            let backup = backup_of(&plan.path);
            store::write_shared(&backup, &plan.path, text.as_bytes())?;
            Some(backup)
        }
        None => None,
    };
    store::write_shared(&plan.path, &plan.path, plan.after.as_bytes())?;
    Ok(backup)
}

/// Where the file from before is kept.
fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".bak");
    path.with_file_name(name)
}

/// The public key in hexadecimal, in groups of four: the apps show it so (src/common.rs of RustDesk).
fn fingerprint(identity: &Identity) -> String {
    let digits = hex::encode(&identity.key_pair().public_key());
    let groups: Vec<&str> = (0..digits.len()).step_by(4).filter_map(|at| digits.get(at..at + 4)).collect();
    groups.join(" ")
}

/// A sentence about a server key that is none of a server of one's own; a word for `hbbr -k` is possible, but rare.
fn odd_key(key: &str) -> Option<String> {
    let sentence = "server.key is not what hbbs writes into id_ed25519.pub (44 characters that end with =): look whether \
                    it was copied whole";
    (!key.is_empty() && !server_string::is_public_key(key)).then(|| sentence.to_owned())
}
