//! `[gadget]`, as written.

use serde::Deserialize;

/// `[gadget]`: what the computer sees on its USB port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GadgetSection {
    /// Which devices there are.
    pub functions: Option<FunctionsValue>,
    /// The USB device controller's name.
    pub udc: Option<String>,
    /// USB vendor ID.
    pub vendor_id: Option<u32>,
    /// USB product ID.
    pub product_id: Option<u32>,
    /// Manufacturer string.
    pub manufacturer: Option<String>,
    /// Product string.
    pub product: Option<String>,
    /// Serial number string.
    pub serial_number: Option<String>,
    /// Fastest speed.
    pub max_speed: Option<SpeedName>,
    /// Milliampere.
    pub max_power: Option<u32>,
    /// The board has a power supply of its own.
    pub self_powered: Option<bool>,
    /// `bInterval`.
    pub interval: Option<u32>,
    /// What wakes the computer.
    pub wake: Option<WakeName>,
}

/// Values of `gadget.functions`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "write \"all\", \"hid-only\", or a list of \"keyboard\", \"absolute\", \"relative\" and \"control\""
)]
pub enum FunctionsValue {
    /// A word for a set.
    Profile(ProfileName),
    /// One by one.
    List(Vec<FunctionName>),
}

/// Words for sets of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// Every function.
    All,
    /// Boot keyboard and boot mouse.
    HidOnly,
}

/// One function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionName {
    /// The boot keyboard.
    Keyboard,
    /// The absolute pointer.
    Absolute,
    /// The relative mouse.
    Relative,
    /// Media and power keys.
    Control,
}

/// Values of `gadget.max-speed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpeedName {
    /// The controller's fastest.
    Auto,
    /// 12 Mbit/s.
    Full,
    /// 480 Mbit/s.
    High,
    /// 5 Gbit/s.
    Super,
}

/// Values of `gadget.wake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WakeName {
    /// Nothing; the computer is not told that it could be woken.
    Off,
    /// `kvmdesk wake`.
    Command,
    /// The same, and input.
    Input,
}
