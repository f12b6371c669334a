//! Taking over from the programs that have the devices: they are stopped, One-KVM's server and ID become ours, and what was
//! before is written down first, so that `kvmdesk setup --undo` puts it back.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::{Deserialize, Serialize};

use crate::agent::identity;
use crate::agent::one_kvm::{self, OneKvm};
use crate::agent::store::{self, Store, StoreError};
use crate::config::edit::{self, Changes};
use crate::config::settings::Settings;

use super::super::args::Place;
use super::super::doctor::Roots;
use super::super::holders::{self, Holder, Holders, Wanted};
use super::super::{Failure, IO, UNAVAILABLE, USAGE, place, status};
use super::{Plan, dialogue};

/// The unit whose settings can be taken over (One-KVM: build/one-kvm.service).
const ONE_KVM: &str = "one-kvm.service";
/// Our own, which give the devices back.
const OURS: [&str; 3] = ["kvmdesk.service", "kvmdesk-gadget.service", "kvmdesk-gadget-repair.path"];

/// What this needs of the machine; arguments, so that tests can bring their own.
#[derive(Debug)]
pub(super) struct System {
    /// The program systemctl, and what stands before its arguments.
    systemctl: Vec<PathBuf>,
    /// The program sqlite3, likewise.
    sqlite3: Vec<PathBuf>,
    /// One-KVM's database (its src/main.rs).
    database: PathBuf,
    roots: Roots,
}

impl Default for System {
    fn default() -> Self {
        Self {
            systemctl: vec!["systemctl".into()],
            sqlite3: vec!["sqlite3".into()],
            database: "/etc/one-kvm/one-kvm.db".into(),
            roots: Roots::default(),
        }
    }
}

/// What could be taken over; nothing is done yet.
#[derive(Debug)]
pub(super) struct TakeOver {
    holders: Holders,
    /// Its settings, if they are to be taken over too.
    one_kvm: Option<OneKvm>,
    /// What should be known about it.
    notes: Vec<String>,
}

/// What was taken over. Its JSON is for programs: keys stay, more may come.
#[derive(Debug, Default, Serialize)]
pub(super) struct Taken {
    /// Units that were stopped.
    stopped: Vec<String>,
    /// Whether One-KVM's server settings were taken.
    has_settings: bool,
    /// Whether One-KVM's ID and key were taken.
    has_identity: bool,
    /// Whether a gadget was taken off the port.
    #[serde(skip)]
    is_port_free: bool,
    /// Whether kvmdesk was stopped for it.
    #[serde(skip)]
    is_to_be_started: bool,
    /// Whether it was started again.
    #[serde(skip)]
    pub(super) is_started: bool,
    #[serde(skip)]
    notes: Vec<String>,
}

/// How it was before the first take-over, in the state directory.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    units: Vec<Unit>,
    identity: Option<Before>,
    config: Option<Config>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unit {
    name: String,
    is_enabled: bool,
}

/// A file's text; `None` if there was none.
#[derive(Debug, Serialize, Deserialize)]
struct Before {
    text: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Config {
    path: PathBuf,
    text: Option<String>,
}

impl System {
    fn run(program: &[PathBuf], args: &[&str]) -> std::io::Result<Output> {
        let (name, before) = program.split_first().ok_or(ErrorKind::NotFound)?;
        Command::new(name).args(before).args(args).output()
    }

    /// Has systemd do something; what it said if it did not.
    fn systemctl(&self, args: &[&str]) -> Result<(), String> {
        let said = match Self::run(&self.systemctl, args) {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(format!("`systemctl {}` failed: {said}", args.join(" ")))
    }

    /// One-KVM's settings; a sentence if they are there and cannot be read.
    fn one_kvm(&self) -> Result<Option<OneKvm>, String> {
        if !self.database.exists() {
            return Ok(None);
        }
        let file = self.database.to_string_lossy();
        let args =
            ["-readonly", "-batch", "-init", "/dev/null", "-cmd", ".timeout 5000", &file, one_kvm::QUERY];
        let output = Self::run(&self.sqlite3, &args).map_err(|error| {
            if error.kind() != ErrorKind::NotFound {
                return format!("sqlite3: {error}");
            }
            format!(
                "One-KVM's server and ID are in {file}, which the program sqlite3 reads: `apt install sqlite3`, then \
                 `kvmdesk setup` again"
            )
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("One-KVM's settings cannot be read from {file}: {}", said.trim()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        match text.trim() {
            "" => Ok(None),
            text => OneKvm::parse(text),
        }
    }
}

impl TakeOver {
    /// Looks who has what these settings want, and what One-KVM would leave to us.
    pub(super) fn find(settings: &Settings, system: &System) -> Self {
        let holders = holders::look(&Wanted::of(settings, &system.roots), &system.roots);
        let is_there = holders.found.iter().any(|holder| holder.unit.as_deref() == Some(ONE_KVM));
        let mut notes = vec![];
        let one_kvm = match is_there.then(|| system.one_kvm()).transpose() {
            Ok(found) => found.flatten(),
            Err(sentence) => {
                notes.push(sentence);
                None
            }
        };
        if let Some(Err(why)) = one_kvm.as_ref().map(|found| &found.who) {
            notes.push(format!("One-KVM's ID cannot be taken over: {why}. kvmdesk keeps its own"));
        }
        for holder in holders.found.iter().filter(|holder| holder.unit.is_none()) {
            notes.push(format!("{}: stop that yourself, kvmdesk stops services only", holder.sentence()));
        }
        if holders.is_partial {
            notes.push("the programs of other users only root sees: run this as root".to_owned());
        }
        Self { holders, one_kvm, notes }
    }

    fn units(&self) -> impl Iterator<Item = &str> {
        self.holders.found.iter().filter_map(|holder| holder.unit.as_deref())
    }

    /// Asks whether that is wanted; `None` if not.
    pub(super) fn ask(mut self, place: &Place, changes: &mut Changes) -> Result<Option<Self>, Failure> {
        for holder in &self.holders.found {
            println!("{}.", holder.sentence());
        }
        let units: Vec<&str> = self.units().collect();
        if units.is_empty() {
            return Ok(None);
        }
        let question =
            format!("Stop {} for good, which `kvmdesk setup --undo` takes back (y/n)", units.join(" and "));
        if !dialogue::agrees(&question, true)? {
            return Ok(None);
        }
        if let Some(one_kvm) = &self.one_kvm {
            let id = one_kvm.who.as_ref().map_or_else(|_| String::new(), |who| format!(", ID {}", who.id));
            println!(
                "One-KVM is registered at {}{id}. With that, address books find the board as before.",
                one_kvm.host
            );
            let mut tried = changes.clone();
            self.add_to(&mut tried);
            let is_wanted = dialogue::agrees("Take that over (y/n)", true)?;
            match Plan::new(place, &tried, None) {
                Ok(_) if is_wanted => *changes = tried,
                Err(failure) if is_wanted => {
                    dialogue::tell(&failure);
                    self.one_kvm = None;
                }
                Ok(_) | Err(_) => self.one_kvm = None,
            }
        }
        Ok(Some(self))
    }

    /// Adds One-KVM's server to what is changed, unless another one is given.
    pub(super) fn add_to(&self, changes: &mut Changes) {
        if let (Some(one_kvm), None) = (&self.one_kvm, &changes.host) {
            changes.host = Some(one_kvm.host.clone());
            changes.relay = changes.relay.take().or_else(|| one_kvm.relay.clone());
            let key = || one_kvm.key.as_ref().map(|key| key.reveal().clone());
            changes.key = changes.key.take().or_else(key);
        }
    }

    /// Writes down how it is, stops the units and becomes what One-KVM was. The configuration comes after that.
    pub(super) fn carry_out(self, plan: &Plan, system: &System) -> Result<Taken, Failure> {
        let mut notes = self.notes.clone();
        if self.units().next().is_none() {
            notes.push("no service has the devices: none was stopped".to_owned());
            return Ok(Taken { notes, ..Taken::default() });
        }
        let who = self.one_kvm.as_ref().and_then(|found| found.who.as_ref().ok());
        let store = Store::open(&plan.settings.state_dir)?;
        let mut record = Record::load(&store)?.unwrap_or_default();
        for unit in self.units() {
            record.units.retain(|known| known.name != unit);
            let is_enabled = system.systemctl(&["is-enabled", "--quiet", unit]).is_ok();
            record.units.push(Unit { name: unit.to_owned(), is_enabled });
        }
        if who.is_some() && record.identity.is_none() {
            record.identity = Some(Before { text: identity::stored(&store)? });
        }
        if plan.is_config_changed() && record.config.is_none() {
            record.config = Some(Config { path: plan.path.clone(), text: plan.before.clone() });
        }
        record.save(&store)?;
        let is_port_free = self.holders.found.iter().any(has_left_gadget);
        let mut stopped = vec![];
        for Unit { name, is_enabled } in
            record.units.iter().filter(|unit| self.units().any(|u| u == unit.name))
        {
            let args: &[&str] = if *is_enabled { &["disable", "--now", name] } else { &["stop", name] };
            system.systemctl(args).map_err(|said| {
                let text = format!(
                    "{said}; `kvmdesk setup --undo` starts again what was stopped, nothing else was changed"
                );
                Failure::new(UNAVAILABLE, text)
            })?;
            stopped.push(name.clone());
        }
        if is_port_free {
            notes.extend(self.free_port(&plan.settings, system));
        }
        let mut is_to_be_started = false;
        if let Some(who) = who {
            // A running daemon would go on with the old one, and might write it back.
            is_to_be_started = status::ask(&store).is_ok();
            if is_to_be_started {
                system
                    .systemctl(&["stop", "kvmdesk.service"])
                    .map_err(|said| Failure::new(UNAVAILABLE, said))?;
            }
            let _lock = store.lock()?;
            let serial = identity::board_serial(Path::new("/"));
            identity::become_that(&store, who, serial, &mut identity::chance())?;
        }
        Ok(Taken {
            stopped,
            has_settings: self.one_kvm.as_ref().is_some_and(|one_kvm| {
                let server = plan.settings.server.as_ref().map(|server| server.host.to_string());
                edit::is_same_server(server.as_deref(), &one_kvm.host)
            }),
            has_identity: who.is_some(),
            is_port_free,
            is_to_be_started,
            is_started: false,
            notes,
        })
    }

    /// A gadget that its program left behind is taken off the port.
    fn free_port(&self, settings: &Settings, system: &System) -> Option<String> {
        let left = holders::look(&Wanted::of(settings, &system.roots), &system.roots);
        let gadget = left.found.into_iter().find(has_left_gadget)?.gadget?;
        let file = system.roots.kernel.configfs.join("usb_gadget").join(&gadget).join("UDC");
        let error = fs::write(&file, "\n").err()?;
        Some(format!(
            "the gadget {gadget} still has the USB port, and {} cannot be written: {error}",
            file.display()
        ))
    }
}

/// Whether this is the gadget of a service, which we stop: another one is not ours to take off the port.
fn has_left_gadget(holder: &Holder) -> bool {
    holder.unit.is_some() && holder.gadget.is_some()
}

impl Taken {
    /// Builds our gadget and starts kvmdesk again, now that the configuration is written; what should be known.
    pub(super) fn finish(&mut self, system: &System) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.notes);
        if self.is_port_free {
            notes.extend(system.systemctl(&["restart", "kvmdesk-gadget.service"]).err());
        }
        if self.is_to_be_started {
            let failed = system.systemctl(&["start", "kvmdesk.service"]).err();
            self.is_started = failed.is_none();
            notes.extend(failed);
        }
        self.notes.clone_from(&notes);
        notes
    }

    /// Says what was done.
    pub(super) fn tell(&self) {
        println!("Stopped: {}. `kvmdesk setup --undo` puts everything back.", self.stopped.join(", "));
        if self.has_identity {
            println!("This board has One-KVM's ID and key now; the password is kvmdesk's own.");
        }
        self.notes.iter().for_each(|note| println!("  {note}"));
    }
}

impl Record {
    fn path(store: &Store) -> PathBuf {
        store.target_dir().join("take-over.json")
    }

    fn load(store: &Store) -> Result<Option<Self>, StoreError> {
        let path = Self::path(store);
        let parse = |text: String| {
            serde_json::from_str(&text)
                .map_err(|e| StoreError::Damaged { path: path.clone(), why: format!("line {}", e.line()) })
        };
        store.read(&path)?.map(parse).transpose()
    }

    fn save(&self, store: &Store) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(self).map_err(|e| Failure::new(IO, e.to_string()))?;
        Ok(store.write(&Self::path(store), json.as_bytes())?)
    }
}

/// What was put back. Its JSON is for programs: keys stay, more may come.
#[derive(Debug, Serialize)]
struct Undone {
    /// Units that run again.
    started: Vec<String>,
    /// Whether the ID from before is back.
    has_identity: bool,
    /// Whether the configuration from before is back.
    has_config: bool,
    /// What did not work.
    warnings: Vec<String>,
}

/// `kvmdesk setup --undo`
pub(super) fn undo(place: &Place, is_json: bool) -> Result<(), Failure> {
    let store = Store::at(&place::state_dir(place)?);
    let undone = put_back(&store, &System::default())?;
    if is_json {
        return super::print_json(&undone);
    }
    println!("kvmdesk is stopped and stays so; running again: {}.", undone.started.join(", "));
    if undone.has_identity {
        println!("This board has the ID from before.");
    }
    if undone.has_config {
        println!("The configuration is as it was before.");
    }
    for warning in &undone.warnings {
        println!("  {warning}");
    }
    Ok(())
}

fn put_back(store: &Store, system: &System) -> Result<Undone, Failure> {
    let Some(record) = Record::load(store)? else {
        return Err(Failure::new(USAGE, "nothing was taken over, so there is nothing to put back"));
    };
    let mut warnings = vec![];
    for unit in OURS {
        warnings.extend(system.systemctl(&["disable", "--now", unit]).err());
    }
    if let Some(before) = &record.identity {
        let _lock = store.lock()?;
        identity::put_back(store, before.text.as_deref())?;
    }
    let mut has_config = false;
    if let Some(Config { path, text }) = &record.config {
        let now = fs::read_to_string(path).ok();
        has_config = now != *text;
        if let (true, Some(now)) = (has_config, now) {
            store::write_shared(&super::backup_of(path), path, now.as_bytes())?;
        }
        match text {
            Some(text) if has_config => store::write_shared(path, path, text.as_bytes())?,
            None if has_config => fs::remove_file(path)?,
            Some(_) | None => {}
        }
    }
    let mut started = vec![];
    let mut is_all = true;
    for Unit { name, is_enabled } in &record.units {
        let args: &[&str] = if *is_enabled { &["enable", "--now", name] } else { &["start", name] };
        match system.systemctl(args) {
            Ok(()) => started.push(name.clone()),
            Err(said) => {
                is_all = false;
                warnings.push(said);
            }
        }
    }
    if is_all {
        store.remove(&Record::path(store))?;
    }
    Ok(Undone { started, has_identity: record.identity.is_some(), has_config, warnings })
}

#[cfg(test)]
mod tests;
