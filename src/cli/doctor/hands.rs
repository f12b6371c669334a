//! Keyboard and pointer: the USB port, the gadget on it, its nodes; or the chip, or this machine's own input.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::agent::status::Status as Snapshot;
use crate::config::boot::{self, BootEntry, Edit};
use crate::config::settings::Settings;
use crate::config::settings::hid::HidChoice;
use crate::hid::backend::gadget::{self, GadgetNodes};
use crate::hid::backend::uinput;
use crate::hid::configfs::spec::GadgetSpec;
use crate::hid::configfs::{self, KernelPaths, repair};

use super::{Finding, Roots};

/// First Linux whose HID functions need no OUT endpoint (gadget_hid.rst).
const LEAST_LINUX: (u32, u32) = (5, 17);

/// What the configured backend needs.
pub(super) fn hands(settings: &Settings, roots: &Roots, daemon: Option<&Snapshot>) -> Vec<Finding> {
    let told = daemon.map(|daemon| &daemon.target.hid);
    let is_connected = told.map(|told| told.is_connected && told.reports_written > 0);
    let mut findings = match &settings.hid {
        HidChoice::Gadget { spec, .. } => of_gadget(settings, spec, roots, is_connected == Some(true)),
        HidChoice::Ch9329(chip) => vec![serial(&chip.device)],
        HidChoice::Uinput => vec![match uinput::probe(Path::new(uinput::NODE)) {
            Ok(()) => Finding::ok("hands", "this machine's own input can be written"),
            Err(error) => Finding::fail(
                "hands",
                error.to_string(),
                "load the kernel module uinput and let kvmdesk's user write /dev/uinput",
            ),
        }],
        HidChoice::Recording { .. } => {
            vec![Finding::ok(
                "hands",
                "reports are only written down, as configured: nothing is typed anywhere",
            )]
        }
    };
    if let Some(told) = told.filter(|told| !told.is_connected) {
        findings.push(Finding::warn(
            "hands",
            &told.notice,
            "`kvmdesk status --watch` shows when it is taken again",
        ));
    }
    findings
}

fn serial(device: &Path) -> Finding {
    let name = device.display();
    // Neither waited for nor made ours.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    match OpenOptions::new().read(true).write(true).custom_flags(flags).open(device) {
        Ok(_) => Finding::ok("hands", format!("the serial line {name} of the CH9329 can be opened")),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Finding::fail(
            "hands",
            format!("{name} may not be opened: {error}"),
            "let kvmdesk's user into the group that owns it: `ls -l` shows it, mostly `dialout`",
        ),
        // Ours is exclusive (TIOCEXCL).
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
            Finding::ok("hands", format!("the serial line {name} is in use, by kvmdesk if that runs"))
        }
        Err(error) => Finding::fail(
            "hands",
            format!("the serial line {name} of the CH9329 cannot be opened: {error}"),
            "plug the chip in; `ls /dev/serial/by-id` shows what is there, hid.device names it",
        ),
    }
}

fn of_gadget(settings: &Settings, spec: &GadgetSpec, roots: &Roots, is_taken: bool) -> Vec<Finding> {
    let kernel = &roots.kernel;
    let mut findings: Vec<Finding> = too_old(&roots.proc).into_iter().collect();
    let controllers = configfs::controllers(kernel);
    let named = |name: &str| controllers.iter().any(|c| c.name == name);
    if let Some(udc) = spec.udc.as_deref().filter(|udc| !named(udc)) {
        let names: Vec<_> = controllers.iter().map(|c| c.name.as_str()).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        findings.push(Finding::fail(
            "usb port",
            format!("gadget.udc names {udc}, which is not in /sys/class/udc (there: {there})"),
            "leave gadget.udc out, or name one that is there",
        ));
    }
    findings.extend(role(kernel, controllers.is_empty()));
    if controllers.is_empty() {
        findings.push(Finding::fail(
            "usb port",
            "no USB port of this machine can be a device now (/sys/class/udc is empty)",
            port_remedy(&settings.board.profile.boot, roots),
        ));
        return findings;
    }
    let Some(view) = configfs::view(&spec.name, kernel) else {
        let wanted = controllers.iter().filter(|c| spec.udc.as_ref().is_none_or(|udc| *udc == c.name));
        let holder = wanted.clone().find_map(|c| c.gadget.as_ref().map(|gadget| (&c.name, gadget)));
        findings.push(match holder {
            _ if repair::is_taken_down(kernel) => Finding::fail(
                "gadget",
                format!("the gadget {} was taken down by `kvmdesk gadget down`", spec.name),
                "`kvmdesk gadget up` as root builds it again",
            ),
            Some((udc, gadget)) if wanted.count() == 1 => Finding::fail(
                "gadget",
                format!("the port {udc} is held by the gadget {gadget}"),
                "stop the program that built it (see \"in use\"), then `kvmdesk gadget up` as root",
            ),
            Some(_) | None => Finding::fail(
                "gadget",
                format!("there is no gadget {}", spec.name),
                "`kvmdesk gadget up` as root builds it; kvmdesk-gadget.service does so after each boot",
            ),
        });
        return findings;
    };
    let Some(udc) = view.udc else {
        findings.push(Finding::fail(
            "gadget",
            format!("the gadget {} is built, but not bound to a USB port", spec.name),
            "`kvmdesk gadget rebind` as root",
        ));
        return findings;
    };
    findings.push(endpoints(spec, &udc, kernel));
    findings.push(cable(view.udc_state.as_deref(), is_taken));
    findings.extend(voltage(kernel, is_taken));
    findings.push(nodes(spec, kernel, is_taken));
    findings
}

/// What makes a port a device, by what the boot configuration lacks.
fn port_remedy(boot: &BootEntry, roots: &Roots) -> String {
    let chip = "take a CH9329 and hid.backend = \"ch9329\"";
    let Some(file) = boot.file(&roots.root) else {
        return format!(
            "set the port's mode in the boot configuration (Raspberry Pi: dtoverlay=dwc2,dr_mode=peripheral), or {chip}"
        );
    };
    let text = fs::read_to_string(&file).unwrap_or_default();
    match boot.named(boot::GADGET).map(|part| part.put_into(&text)) {
        Some(edit) if !edit.is_nothing() => format!(
            "`kvmdesk setup` as root offers to change {}: {}; then restart the board. Or {chip}",
            file.display(),
            edit.changes().join(", ")
        ),
        Some(Edit { other, .. }) if !other.is_empty() => {
            format!(
                "{} has {} instead of what boot.md says; change it, or {chip}",
                file.display(),
                other.join(", ")
            )
        }
        Some(_) | None => format!(
            "restart the board if that was not done since its boot configuration was changed, or {chip}"
        ),
    }
}

fn too_old(proc: &Path) -> Option<Finding> {
    let release = fs::read_to_string(proc.join("sys/kernel/osrelease")).ok()?;
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse().ok());
    let version = (numbers.next()?, numbers.next()?);
    let (major, minor) = LEAST_LINUX;
    (version < LEAST_LINUX).then(|| {
        Finding::fail(
            "kernel",
            format!("Linux {} is older than {major}.{minor}, which the USB keyboard needs", release.trim()),
            "take a newer kernel, or a CH9329 and hid.backend = \"ch9329\"",
        )
    })
}

/// The switches of ports that can be host or device.
fn role(kernel: &KernelPaths, is_without_controller: bool) -> Vec<Finding> {
    let mut switches: Vec<_> =
        fs::read_dir(kernel.sysfs.join("class/usb_role")).into_iter().flatten().flatten().collect();
    switches.sort_by_key(fs::DirEntry::file_name);
    let judge = |entry: fs::DirEntry| {
        let role = fs::read_to_string(entry.path().join("role")).ok()?;
        let (name, role) = (entry.file_name(), role.trim());
        let text = format!("the role switch of {} says {role}", name.to_string_lossy());
        Some(match role {
            "host" if is_without_controller => Finding::fail(
                "usb port",
                text,
                "`kvmdesk gadget up` as root makes it a device; if that is refused, set dr_mode to \"peripheral\" or \
                 \"otg\" in the board's device tree",
            ),
            _ => Finding::ok("usb port", text),
        })
    };
    switches.into_iter().filter_map(judge).collect()
}

/// Whether the controller has an endpoint for each function, as far as its driver tells (debugfs: root only).
fn endpoints(spec: &GadgetSpec, udc: &str, kernel: &KernelPaths) -> Finding {
    let needed = spec.functions.len();
    let bound = format!("the gadget {} is bound to {udc}, with {needed} functions", spec.name);
    let debug = kernel.sysfs.join("kernel/debug/usb").join(udc);
    let of_dwc2 = fs::read_to_string(debug.join("hw_params")).ok().and_then(|text| {
        let line = text.lines().find(|line| line.trim_start().starts_with("num_dev_in_eps"))?;
        line.rsplit(':').next()?.trim().parse::<usize>().ok()
    });
    // dwc3: one directory an endpoint, ep0in the control endpoint.
    let of_dwc3 = || {
        let names = fs::read_dir(&debug).ok()?.flatten().map(|entry| entry.file_name());
        let is_in = |name: &std::ffi::OsString| {
            name.to_str()
                .is_some_and(|name| name.starts_with("ep") && name.ends_with("in") && name != "ep0in")
        };
        let count = names.filter(is_in).count();
        (count > 0).then_some(count)
    };
    match of_dwc2.or_else(of_dwc3) {
        Some(there) if there < needed => Finding::fail(
            "gadget",
            format!("{bound}, but has {there} endpoints for reports"),
            "set gadget.functions to \"hid-only\" or to fewer, then `kvmdesk gadget up` as root",
        ),
        Some(there) => Finding::ok("gadget", format!("{bound}; the port has {there} endpoints for reports")),
        None => Finding::ok("gadget", bound),
    }
}

fn cable(state: Option<&str>, is_taken: bool) -> Finding {
    let state = state.unwrap_or("unknown");
    match state {
        _ if is_taken => Finding::ok("cable", "the computer takes reports"),
        "configured" => Finding::ok("cable", "the computer has taken keyboard and mouse (configured)"),
        "suspended" => Finding::warn(
            "cable",
            "the computer sleeps (suspended)",
            "`kvmdesk wake`, if gadget.wake is set and the computer allows it",
        ),
        "not attached" => Finding::warn(
            "cable",
            "no computer is there: the port sees no voltage on the cable (not attached)",
            "plug the cable into the board's device port and into the computer, and switch that on; a cable that only \
             charges has no data wires",
        ),
        other => Finding::warn(
            "cable",
            format!("the computer has not taken keyboard and mouse (state: {other})"),
            "try another port of the computer, without a hub; an old one may want gadget.max-speed = \"full\" and \
             gadget.functions = \"hid-only\"",
        ),
    }
}

/// What detectors of the cable's voltage say, where a board has some.
fn voltage(kernel: &KernelPaths, is_taken: bool) -> Option<Finding> {
    let states: Vec<String> = fs::read_dir(kernel.sysfs.join("class/extcon"))
        .ok()?
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path().join("state")).ok())
        .filter(|state| state.lines().any(|line| line.starts_with("USB=")))
        .collect();
    let has_voltage = states.iter().any(|state| state.lines().any(|line| line == "USB=1"));
    match states.is_empty() {
        true => None,
        false if has_voltage || is_taken => Some(Finding::ok("cable", "there is voltage on it (VBUS)")),
        false => Some(Finding::warn(
            "cable",
            "there is no voltage on it (VBUS)",
            "the computer is off, or the cable is not plugged in at both ends",
        )),
    }
}

/// Whether the daemon may write the nodes: open to us, and given to its group.
fn nodes(spec: &GadgetSpec, kernel: &KernelPaths, is_taken: bool) -> Finding {
    let nodes = GadgetNodes::ByGadget { gadget: spec.name.clone(), kernel: kernel.clone() };
    let keyboard = match gadget::probe(&nodes) {
        Ok(paths) => paths.keyboard,
        Err(error) if is_taken => {
            return Finding::ok("hid nodes", format!("kvmdesk has them; for this user: {error}"));
        }
        Err(error) => {
            let remedy = "`kvmdesk gadget up` as root gives them to the group kvmdesk; run this as root or as a member";
            return Finding::fail("hid nodes", error.to_string(), remedy);
        }
    };
    let name = keyboard.display();
    let group = spec.group.as_deref().unwrap_or("root");
    let wanted = configfs::group_id(group, &kernel.group_file);
    let is_given =
        fs::metadata(&keyboard).is_ok_and(|m| Some(m.gid()) == wanted && m.mode() & 0o060 == 0o060);
    if is_taken || is_given {
        return Finding::ok(
            "hid nodes",
            format!("{name} and the others may be written by the group {group}"),
        );
    }
    Finding::warn(
        "hid nodes",
        format!("{name} may not be written by the group {group}: only a daemon that runs as root can type"),
        format!("`groupadd --system {group}` if it is not there, then `kvmdesk gadget up` as root"),
    )
}
