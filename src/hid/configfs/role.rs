//! The role switch of a USB port that can be host or device (kernel: Documentation/ABI/testing/sysfs-class-usb_role).
//! A switch that the kernel does not leave to user space has no `role` file and is passed over.

use std::fs;
use std::time::Duration;

use super::{KernelPaths, attribute, names_in, udc_class};

/// A controller may appear only once its port is a device.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(30);

/// Makes the port a device: the switch of the controller called `udc`, or of the only controller, or the only switch.
/// Waits up to 3 s for a controller that appears by it. Returns what the user should know if that failed.
pub(super) fn take_device_role(udc: Option<&str>, paths: &KernelPaths) -> Option<String> {
    let class = paths.sysfs.join("class/usb_role");
    let switches = names_in(&class);
    let controllers = || names_in(&udc_class(paths));
    let there = controllers();
    let of_controller = match (udc, there.as_slice()) {
        (Some(name), _) => Some(name.to_owned()),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    };
    let switch = match (&of_controller, switches.as_slice()) {
        // The kernel names a switch after its controller: fcc00000.usb-role-switch.
        (Some(name), _) => switches.iter().find(|s| s.strip_suffix("-role-switch") == Some(name))?,
        (None, [only]) if there.is_empty() => only,
        (None, _) => return None,
    };
    let file = class.join(switch).join("role");
    if attribute(&file)? == "device" {
        return None;
    }
    if let Err(error) = fs::write(&file, "device\n") {
        return Some(format!(
            "the USB port {switch} cannot be made a device ({error}), so it may stay without a computer; look whether \
             its mode is fixed in the device tree (dr_mode)"
        ));
    }
    for _ in 0..TRIES {
        if udc.map_or_else(|| !controllers().is_empty(), |name| controllers().iter().any(|c| c == name)) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    None
}
