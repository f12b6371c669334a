//! Who already has what kvmdesk needs: the capture device, the serial line of a CH9329, the USB port. Programs by the files
//! that they have open (root sees all), with the unit that starts them; the port by the gadget that is bound to it.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::settings::Settings;
use crate::config::settings::hid::HidChoice;
use crate::hid::configfs;
use crate::hid::configfs::spec::GadgetSpec;
use crate::media::pipeline::SourceSettings;

use super::doctor::Roots;

/// Programs of ours, by the kernel's name of the process.
const OURS: &str = "kvmdesk";
/// Gadgets by the name that their makers give them, and the unit that builds them (One-KVM: src/otg/configfs.rs,
/// build/one-kvm.service; PiKVM: kvmd's option otg.gadget, kvmd-otg.service, which ends once it has built it).
const BUILDERS: [(&str, &str); 2] = [("one-kvm", "one-kvm.service"), ("kvmd", "kvmd-otg.service")];

/// What kvmdesk wants for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Device nodes, behind links.
    nodes: BTreeSet<PathBuf>,
    /// A USB port that some gadget is bound to which is not ours.
    port: Option<TakenPort>,
}

/// A USB device controller that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TakenPort {
    /// Its name in `/sys/class/udc`.
    udc: String,
    /// The gadget, or the driver of an older kind.
    gadget: String,
}

/// One who has some of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// The unit that systemd starts it by, if that is known.
    pub(super) unit: Option<String>,
    /// The program's name and process ID, if a process was seen.
    program: Option<String>,
    /// What it has, each as a noun of a sentence.
    has: BTreeSet<String>,
    /// The gadget of it, if it is the port that it has.
    pub(super) gadget: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holders {
    /// Everybody, by unit where that is known.
    pub(super) found: Vec<Holder>,
    /// Whether there are processes that we may not look into.
    pub(super) is_partial: bool,
}

impl Wanted {
    /// What these settings want on this machine.
    pub(super) fn of(settings: &Settings, roots: &Roots) -> Self {
        let mut named: Vec<PathBuf> = vec![];
        for display in &settings.displays {
            if let SourceSettings::V4l2(v4l2) = &display.source {
                let mut nodes = v4l2.devices.iter().flat_map(|device| device.mark.nodes());
                // The first that is there is captured from.
                named.extend(nodes.find(|node| node.exists()));
            }
        }
        let mut port = None;
        match &settings.hid {
            HidChoice::Gadget { spec, .. } => port = taken_port(spec, roots),
            HidChoice::Ch9329(chip) => named.push(chip.device.clone()),
            HidChoice::Uinput | HidChoice::Recording { .. } => {}
        }
        Self { nodes: named.iter().filter_map(|node| fs::canonicalize(node).ok()).collect(), port }
    }
}

/// The port that our gadget would be bound to, if another one is. While one is free, nobody stands in our way.
fn taken_port(spec: &GadgetSpec, roots: &Roots) -> Option<TakenPort> {
    let mut ours = configfs::controllers(&roots.kernel);
    ours.retain(|controller| spec.udc.as_ref().is_none_or(|udc| *udc == controller.name));
    let is_in_the_way = |gadget: &Option<String>| gadget.as_ref().is_some_and(|gadget| *gadget != spec.name);
    if !ours.iter().all(|controller| is_in_the_way(&controller.gadget)) {
        return None;
    }
    let first = ours.into_iter().next()?;
    Some(TakenPort { udc: first.name, gadget: first.gadget? })
}

/// Looks who has any of it.
pub(super) fn look(wanted: &Wanted, roots: &Roots) -> Holders {
    let mut holders = Holders::default();
    let ourselves = std::process::id();
    let mut ids: Vec<u32> = fs::read_dir(&roots.proc)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| *id != ourselves)
        .collect();
    ids.sort_unstable();
    let reports = roots.kernel.dev.join("hidg");
    for id in ids {
        let process = roots.proc.join(id.to_string());
        let files = match fs::read_dir(process.join("fd")) {
            Ok(files) => files,
            Err(error) => {
                // Else it has ended meanwhile.
                holders.is_partial |= error.kind() == ErrorKind::PermissionDenied;
                continue;
            }
        };
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let name = name.trim();
        if name == OURS {
            continue;
        }
        let open: BTreeSet<PathBuf> =
            files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).collect();
        let program = || Some(format!("{name}, process {id}"));
        let unit = || fs::read_to_string(process.join("cgroup")).ok().and_then(|text| unit_of(&text));
        for node in open.intersection(&wanted.nodes) {
            holders.add(unit(), program(), node.display().to_string(), None);
        }
        // While the port is theirs, so are the nodes for reports.
        let is_typing = |file: &PathBuf| {
            file.as_os_str().as_encoded_bytes().starts_with(reports.as_os_str().as_encoded_bytes())
        };
        if let Some(port) = &wanted.port
            && open.iter().any(is_typing)
        {
            holders.add(unit(), program(), port.noun(), Some(port.gadget.clone()));
        }
    }
    if let Some(port) = &wanted.port
        && !holders.found.iter().any(|holder| holder.gadget.is_some())
    {
        let builder = BUILDERS.iter().find(|(gadget, _)| *gadget == port.gadget);
        let unit = builder.map(|(_, unit)| (*unit).to_owned());
        holders.add(unit, None, port.noun(), Some(port.gadget.clone()));
    }
    holders
}

impl TakenPort {
    fn noun(&self) -> String {
        format!("the USB port {} (gadget {})", self.udc, self.gadget)
    }
}

impl Holders {
    /// Adds what one has to what is known of it.
    fn add(&mut self, unit: Option<String>, program: Option<String>, what: String, gadget: Option<String>) {
        let is_it = |holder: &&mut Holder| match &unit {
            Some(_) => holder.unit == unit,
            None => holder.unit.is_none() && holder.program == program,
        };
        match self.found.iter_mut().find(is_it) {
            Some(holder) => {
                holder.has.insert(what);
                holder.gadget = holder.gadget.take().or(gadget);
            }
            None => self.found.push(Holder { unit, program, has: BTreeSet::from([what]), gadget }),
        }
    }
}

impl Holder {
    /// Who has what, as a sentence without its full stop.
    pub(super) fn sentence(&self) -> String {
        let who = match (&self.unit, &self.program) {
            (Some(unit), Some(program)) => format!("{unit} ({program})"),
            (Some(unit), None) => unit.clone(),
            (None, Some(program)) => program.clone(),
            (None, None) => "a program that is not to be seen".to_owned(),
        };
        let has: Vec<&str> = self.has.iter().map(String::as_str).collect();
        format!("{who} has {}", has.join(" and "))
    }
}

/// The system's unit that a process belongs to, by its file `cgroup` (cgroups(7): `number:controllers:path` a line). Programs
/// of users and in containers have none that could be stopped by its name.
fn unit_of(cgroup: &str) -> Option<String> {
    let paths = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut below = paths.filter_map(|path| path.strip_prefix("/system.slice/"));
    let last = below.find_map(|path| {
        let name = Path::new(path)
            .components()
            .rev()
            .find_map(|part| part.as_os_str().to_str().filter(|name| name.ends_with(".service")))?;
        Some(name.to_owned())
    })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    (!last.starts_with('-') && last.chars().all(is_plain)).then_some(last)
}

#[cfg(test)]
pub(super) mod tests;
