//! The USB gadget itself: built by root once, used by the unprivileged daemon through [`super::backend::gadget`].
//! `up` leaves a gadget of the same shape alone, so that running it again never unplugs the keyboard.
//! Kernel: Documentation/usb/gadget_configfs.rst and gadget_hid.rst; `no_out_endpoint` needs Linux 5.17.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use usb_gadget::function::other::Other;
use usb_gadget::{Class, Config, Gadget, Id, Strings};

use super::backend::gadget::{node_of, parse_device_number};
use super::descriptor::HidFunction;
use error::{GadgetError, refused};
use spec::{BusSpeed, GadgetSpec};

pub mod error;
pub mod repair;
mod role;
pub mod spec;

/// Where the kernel shows what we touch; arguments, so that tests can bring a tree of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPaths {
    /// `/sys/kernel/config`
    pub configfs: PathBuf,
    /// `/sys`
    pub sysfs: PathBuf,
    /// `/dev`
    pub dev: PathBuf,
    /// `/etc/group`
    pub group_file: PathBuf,
    /// `/run`
    pub run: PathBuf,
}

impl Default for KernelPaths {
    fn default() -> Self {
        Self {
            configfs: "/sys/kernel/config".into(),
            sysfs: "/sys".into(),
            dev: "/dev".into(),
            group_file: "/etc/group".into(),
            run: "/run".into(),
        }
    }
}

/// What `up` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GadgetUp {
    /// The controller it is bound to.
    pub udc: String,
    /// The gadget was there already, in this shape.
    pub was_kept: bool,
    /// The nodes, in the order of the spec's functions.
    pub nodes: Vec<PathBuf>,
    /// What the user should know, such as that the group does not exist.
    pub remarks: Vec<String>,
}

/// A gadget as it stands, for `status`; nothing is decided on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GadgetView {
    /// The controller it is bound to.
    pub udc: Option<String>,
    /// What the controller's `state` file says. It is not to be trusted: some drivers never leave `configured`.
    pub udc_state: Option<String>,
}

/// Builds and binds the gadget, or leaves it alone if it stands in this shape; then gives its nodes to the group.
///
/// # Errors
/// Any [`GadgetError`]; a half-built gadget is removed again.
pub fn up(spec: &GadgetSpec, paths: &KernelPaths) -> Result<GadgetUp, GadgetError> {
    // Best effort: support may be built in, and what is missing is told below.
    for module in ["libcomposite", "usb_f_hid"] {
        let _ = std::process::Command::new("modprobe").arg("-q").arg(module).output();
    }
    let gadgets = gadgets_dir(paths)?;
    let dir = gadgets.join(&spec.name);
    let role = role::take_device_role(spec.udc.as_deref(), paths);
    let udc = choose_udc(spec.udc.as_deref(), paths)?;
    if let Some(holder) = holder_of(&udc, &gadgets, paths, &spec.name) {
        return Err(GadgetError::UdcTaken { udc, holder });
    }
    let is_same = dir.is_dir() && has_shape(&dir, spec);
    let bound_to = if is_same { attribute(&dir.join("UDC")).filter(|udc| !udc.is_empty()) } else { None };
    let was_kept = bound_to.as_deref() == Some(udc.as_str());
    if !was_kept {
        if dir.is_dir() {
            remove(&spec.name)?;
        }
        build(spec, &udc)?;
    }
    // From here on it may be repaired.
    let _ = fs::remove_file(repair::down_file(paths));
    let nodes = wait_for_nodes(&dir, paths)?;
    let mut remarks: Vec<String> = role.into_iter().collect();
    if spec.interval.is_some() && !has_interval(&dir) {
        remarks.push("gadget.interval was left out: the kernel offers it from Linux 6.16 on".to_owned());
    }
    remarks.extend(hand_over(&nodes, &udc, spec, paths)?);
    Ok(GadgetUp { udc, was_kept, nodes, remarks })
}

/// Unbinds and removes the gadget, and leaves word that this was meant, so that nothing repairs it. `false` if there
/// was none.
///
/// # Errors
/// The kernel refused, or we are not root.
pub fn down(name: &str, paths: &KernelPaths) -> Result<bool, GadgetError> {
    let dir = paths.configfs.join("usb_gadget").join(name);
    if !dir.is_dir() {
        return Ok(false);
    }
    let note = repair::down_file(paths);
    fs::write(&note, "").map_err(refused(format!("{} cannot be written", note.display())))?;
    remove(name)?;
    Ok(true)
}

/// The gadget as it stands; `None` if there is none of that name.
pub fn view(name: &str, paths: &KernelPaths) -> Option<GadgetView> {
    let dir = paths.configfs.join("usb_gadget").join(name);
    dir.is_dir().then(|| {
        let udc = attribute(&dir.join("UDC")).filter(|udc| !udc.is_empty());
        let state = udc.as_ref().and_then(|udc| attribute(&udc_class(paths).join(udc).join("state")));
        GadgetView { udc, udc_state: state }
    })
}

/// The file that wakes the host of the gadget called `name` when `1` is written to it; `None` while it is not bound.
/// Kernel: Documentation/ABI/stable/sysfs-class-udc, `srp`; the core hands it to the controller's remote wake-up. The
/// write never fails: whether the host awoke is told only by reports that are taken again.
pub fn wake_file(name: &str, paths: &KernelPaths) -> Option<PathBuf> {
    let udc = view(name, paths)?.udc?;
    Some(udc_class(paths).join(udc).join("srp"))
}

/// A USB device controller: a port through which this machine can be somebody's keyboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Its name in `/sys/class/udc`.
    pub name: String,
    /// What its `state` file says; see [`GadgetView::udc_state`].
    pub state: Option<String>,
    /// The gadget that is bound to it: its name in configfs, or the name of an old-style gadget driver.
    pub gadget: Option<String>,
}

/// Every USB device controller of this machine, by name.
pub fn controllers(paths: &KernelPaths) -> Vec<Controller> {
    let gadgets = paths.configfs.join("usb_gadget");
    let names = names_in(&udc_class(paths)).into_iter();
    let controllers = names.map(|name| Controller {
        state: attribute(&udc_class(paths).join(&name).join("state")),
        gadget: holder_of(&name, &gadgets, paths, ""),
        name,
    });
    controllers.collect()
}

fn gadgets_dir(paths: &KernelPaths) -> Result<PathBuf, GadgetError> {
    let dir = paths.configfs.join("usb_gadget");
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(GadgetError::NoGadgetSupport {
        path: dir.display().to_string(),
        configfs: paths.configfs.display().to_string(),
    })
}

fn udc_class(paths: &KernelPaths) -> PathBuf {
    paths.sysfs.join("class/udc")
}

fn choose_udc(wanted: Option<&str>, paths: &KernelPaths) -> Result<String, GadgetError> {
    let class = udc_class(paths);
    let mut available = names_in(&class);
    match (wanted, available.len()) {
        (_, 0) => Err(GadgetError::NoUdc(class.display().to_string())),
        (Some(name), _) if available.iter().any(|udc| udc == name) => Ok(name.to_owned()),
        (Some(name), _) => {
            let reason = format!("there is no USB device controller {name}");
            Err(GadgetError::ChooseUdc { reason, available })
        }
        (None, 1) => Ok(available.remove(0)),
        (None, _) => {
            let reason = "there are several USB device controllers".to_owned();
            Err(GadgetError::ChooseUdc { reason, available })
        }
    }
}

/// Who else holds the controller: another gadget in configfs, or a gadget driver of the old kind.
fn holder_of(udc: &str, gadgets: &Path, paths: &KernelPaths, our_name: &str) -> Option<String> {
    let bound = |name: &String| attribute(&gadgets.join(name).join("UDC")).is_some_and(|held| held == udc);
    let names = names_in(gadgets);
    if let Some(other) = names.iter().find(|name| *name != our_name && bound(name)) {
        return Some(other.clone());
    }
    let is_ours = names.iter().any(|name| name == our_name && bound(name));
    attribute(&udc_class(paths).join(udc).join("function")).filter(|driver| !driver.is_empty() && !is_ours)
}

/// Whether the gadget in `dir` is what `spec` asks for, so that it need not be rebuilt.
fn has_shape(dir: &Path, spec: &GadgetSpec) -> bool {
    let number = |name: &str| {
        attribute(&dir.join(name))
            .and_then(|text| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    };
    // One language; the kernel keeps its directory's name as it was written (0x409, 0x0409).
    let language = names_in(&dir.join("strings")).into_iter().next().unwrap_or_default();
    let string = |name: &str| attribute(&dir.join("strings").join(&language).join(name));
    let functions = dir.join("functions");
    let config = dir.join("configs/c.1");
    let speed = attribute(&dir.join("max_speed")).unwrap_or_default();
    let is_speed = match spec.max_speed {
        Some(wanted) => speed == wanted.word(),
        // The kernel's own choice was super-speed or more in every version.
        None => ![BusSpeed::Full, BusSpeed::High].iter().any(|slower| speed == slower.word()),
    };
    number("idVendor") == Some(spec.vendor_id)
        && number("idProduct") == Some(spec.product_id)
        && string("manufacturer").as_deref() == Some(&spec.manufacturer)
        && string("product").as_deref() == Some(&spec.product)
        && string("serialnumber").as_deref() == Some(&spec.serial_number)
        && number("configs/c.1/bmAttributes") == Some(spec.attributes().into())
        && attribute(&config.join("MaxPower")) == Some(spec.max_power.to_string())
        && is_speed
        && names_in(&functions).len() == spec.functions.len()
        && spec.functions.iter().enumerate().all(|(index, function)| {
            let name = function_name(spec, index);
            let text = |attr: &str| attribute(&functions.join(&name).join(attr));
            let is_interval = match (text("interval"), spec.interval) {
                (None, _) => true,
                (Some(set), Some(wanted)) => set == wanted.to_string(),
                (Some(set), None) => set == DEFAULT_INTERVAL,
            };
            fs::read(functions.join(&name).join("report_desc"))
                .is_ok_and(|bytes| bytes == function.report_descriptor)
                && text("subclass") == Some(function.subclass.to_string())
                && text("protocol") == Some(function.protocol.to_string())
                && text("report_length") == Some(function.report_length.to_string())
                && text("no_out_endpoint").as_deref() == Some("1")
                && is_interval
                && fs::symlink_metadata(config.join(&name)).is_ok()
        })
}

/// What the kernel shows in `interval` when nothing was written to it.
const DEFAULT_INTERVAL: &str = "4";

/// Whether this kernel's HID functions have the attribute `interval`.
fn has_interval(dir: &Path) -> bool {
    let functions = dir.join("functions");
    names_in(&functions).iter().any(|name| functions.join(name).join("interval").exists())
}

/// As usb-gadget names functions; the index is the interface number.
fn function_name(spec: &GadgetSpec, index: usize) -> String {
    format!("hid.{}-{index}", spec.name)
}

fn build(spec: &GadgetSpec, udc: &str) -> Result<(), GadgetError> {
    match build_with(spec, spec.interval, udc) {
        // The first attribute that an older kernel does not have; without it, another's lack is told as it is.
        Err(GadgetError::Refused { source, .. })
            if source.kind() == io::ErrorKind::Unsupported && spec.interval.is_some() =>
        {
            build_with(spec, None, udc)
        }
        outcome => outcome,
    }
}

fn build_with(spec: &GadgetSpec, interval: Option<u8>, udc_name: &str) -> Result<(), GadgetError> {
    let what = format!("the USB gadget \"{}\" cannot be built on {udc_name}", spec.name);
    let mut config = Config::new("keyboard and mouse");
    config.max_power = spec.max_power;
    config.self_powered = spec.is_self_powered;
    config.remote_wakeup = spec.can_wake;
    for HidFunction { subclass, protocol, report_length, report_descriptor, .. } in &spec.functions {
        // Not usb-gadget's own Hid, which has no interval.
        let hid = || {
            let mut hid = Other::builder("hid")?;
            hid.set("subclass", subclass.to_string())?;
            hid.set("protocol", protocol.to_string())?;
            hid.set("report_length", report_length.to_string())?;
            hid.set("report_desc", report_descriptor)?;
            // LEDs come by SET_REPORT; OUT endpoints are scarce on small controllers.
            hid.set("no_out_endpoint", "1")?;
            if let Some(interval) = interval {
                hid.set("interval", interval.to_string())?;
            }
            Ok(hid.build().1)
        };
        config.add_function(hid().map_err(refused(what.clone()))?);
    }
    let strings = Strings::new(&spec.manufacturer, &spec.product, &spec.serial_number);
    let id = Id::new(spec.vendor_id, spec.product_id);
    let mut gadget = Gadget::new(Class::INTERFACE_SPECIFIC, id, strings).with_config(config);
    gadget.name = Some(spec.name.clone());
    gadget.max_speed = spec.max_speed.map(Into::into);
    let udcs = usb_gadget::udcs().map_err(refused(what.clone()))?;
    let udc = udcs
        .iter()
        .find(|udc| udc.name() == OsStr::new(udc_name))
        .ok_or_else(|| refused(what.clone())(io::Error::other("the controller has just gone")))?;
    let mut registered = gadget.bind(udc).map_err(refused(what))?;
    // It is to outlive this process.
    registered.detach();
    Ok(())
}

fn remove(name: &str) -> Result<(), GadgetError> {
    let what = || format!("the USB gadget \"{name}\" cannot be removed");
    let all = usb_gadget::registered().map_err(refused(what()))?;
    match all.into_iter().find(|gadget| gadget.name() == OsStr::new(name)) {
        Some(gadget) => gadget.remove().map_err(refused(what())),
        None => Ok(()),
    }
}

/// The nodes appear a moment after the binding.
fn wait_for_nodes(dir: &Path, paths: &KernelPaths) -> Result<Vec<PathBuf>, GadgetError> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(30);
    let mut names = names_in(&dir.join("functions"));
    names.retain(|name| name.starts_with("hid."));
    names
        .iter()
        .map(|name| {
            let file = dir.join("functions").join(name).join("dev");
            for _ in 0..TRIES {
                let number = attribute(&file).and_then(|text| parse_device_number(&text));
                if let Some(node) = number.and_then(|(major, minor)| node_of(&paths.dev, major, minor)) {
                    return Ok(node);
                }
                std::thread::sleep(PAUSE);
            }
            let what =
                format!("no device node for {name} in {} after the gadget was bound", paths.dev.display());
            Err(GadgetError::Refused { what, source: io::Error::other("waited 3 s") })
        })
        .collect()
}

/// Gives the nodes, and what wakes the host, to the group. Returns what the user should know if that is in vain.
fn hand_over(
    nodes: &[PathBuf],
    udc: &str,
    spec: &GadgetSpec,
    paths: &KernelPaths,
) -> Result<Vec<String>, GadgetError> {
    let Some(group) = &spec.group else { return Ok(vec![]) };
    let Some(id) = group_id(group, &paths.group_file) else {
        return Ok(vec![format!(
            "the group \"{group}\" does not exist, so only root may use the keyboard and mouse nodes; create it with \
             `groupadd --system {group}` and run this again"
        )]);
    };
    let give = |file: &Path, mode| {
        std::os::unix::fs::chown(file, None, Some(id))?;
        fs::set_permissions(file, fs::Permissions::from_mode(mode))
    };
    for node in nodes {
        let what = || format!("{} cannot be given to the group \"{group}\"", node.display());
        give(node, 0o660).map_err(refused(what()))?;
    }
    let srp = udc_class(paths).join(udc).join("srp");
    let wake = if spec.can_wake { give(&srp, 0o220) } else { Ok(()) };
    Ok(wake
        .err()
        .map(|error| format!("the computer cannot be woken by {} ({error})", srp.display()))
        .into_iter()
        .collect())
}

/// The number of a group in a file like `/etc/group`.
pub fn group_id(name: &str, file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn attribute(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
