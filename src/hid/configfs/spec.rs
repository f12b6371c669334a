//! What the target is to see on its USB port: values only, made true by [`super`].

use usb_gadget::Speed;

use crate::hid::descriptor::{FUNCTIONS, HidFunction, KEYBOARD, RELATIVE};

/// What the target is to see on its USB port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GadgetSpec {
    /// Name in configfs.
    pub name: String,
    /// The functions, some of [`FUNCTIONS`] in that order, the keyboard always among them: its reports tell whether
    /// there is a host at all.
    pub functions: Vec<HidFunction>,
    /// USB vendor ID.
    pub vendor_id: u16,
    /// USB product ID.
    pub product_id: u16,
    /// Manufacturer string.
    pub manufacturer: String,
    /// Product string.
    pub product: String,
    /// Serial number string.
    pub serial_number: String,
    /// Fastest speed that is offered; `None`: the controller's.
    pub max_speed: Option<BusSpeed>,
    /// `MaxPower`, in milliampere, 0 to 500: what the host is asked for.
    pub max_power: u16,
    /// `bmAttributes` bit 6: the board does not live on the target's current.
    pub is_self_powered: bool,
    /// `bmAttributes` bit 5, remote wake-up. With it a host may suspend the port while it runs, so it is only for those
    /// who want to wake the host; see [`super::wake_file`].
    pub can_wake: bool,
    /// `bInterval` of each function's endpoint, 1 to 16 (USB 2.0 section 9.6.6: milliseconds at full speed,
    /// 2^(n-1) × 125 µs at high speed); `None`: the kernel's, which is 10 and 4. Needs Linux 6.16.
    pub interval: Option<u8>,
    /// USB device controller; `None`: the only one there is.
    pub udc: Option<String>,
    /// Group that may use the `/dev/hidg*` nodes (mode 0660). A group that does not exist leaves them to root.
    pub group: Option<String>,
}

impl Default for GadgetSpec {
    /// The Linux Foundation's multifunction composite gadget (1d6b:0104) with every function, for the group `kvmdesk`.
    fn default() -> Self {
        Self {
            name: "kvmdesk".into(),
            functions: FUNCTIONS.to_vec(),
            vendor_id: 0x1d6b,
            product_id: 0x0104,
            manufacturer: "kvmdesk".into(),
            product: "KVM keyboard and mouse".into(),
            serial_number: "0001".into(),
            max_speed: None,
            max_power: 500,
            is_self_powered: false,
            can_wake: false,
            interval: None,
            udc: None,
            group: Some("kvmdesk".into()),
        }
    }
}

impl GadgetSpec {
    /// For a BIOS that takes fright at anything else: a boot keyboard and a boot mouse.
    pub const HID_ONLY: [HidFunction; 2] = [KEYBOARD, RELATIVE];

    /// `bmAttributes` of the configuration (USB 2.0 section 9.6.3).
    pub fn attributes(&self) -> u8 {
        0x80 | u8::from(self.is_self_powered) << 6 | u8::from(self.can_wake) << 5
    }
}

/// A speed that a gadget can be held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusSpeed {
    /// 12 Mbit/s: for KVM switches and BIOSes that know no more.
    Full,
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s.
    Super,
}

impl BusSpeed {
    /// The kernel's word in `max_speed`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full-speed",
            Self::High => "high-speed",
            Self::Super => "super-speed",
        }
    }
}

impl From<BusSpeed> for Speed {
    fn from(speed: BusSpeed) -> Self {
        match speed {
            BusSpeed::Full => Self::FullSpeed,
            BusSpeed::High => Self::HighSpeed,
            BusSpeed::Super => Self::SuperSpeed,
        }
    }
}
