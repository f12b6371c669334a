//! Report descriptors of the four HID functions, byte by byte (HID 1.11 section 6.2.2, HID Usage Tables 1.5). Pure.
//! The tests parse them and hold them against the report sizes that `backend` and `report` promise.

/// One HID function of the gadget: its interface class triple's second half, its descriptor and report length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HidFunction {
    /// Name in logs and errors.
    pub name: &'static str,
    /// `bInterfaceSubClass`: 1 = boot interface, 0 = none (HID 1.11 section 4.2).
    pub subclass: u8,
    /// `bInterfaceProtocol`: 1 = keyboard, 2 = mouse, 0 = none (HID 1.11 section 4.3).
    pub protocol: u8,
    /// Longest input report in bytes, the report ID included.
    pub report_length: u8,
    /// The report descriptor.
    pub report_descriptor: &'static [u8],
}

/// Boot keyboard (interface 0). Input, 8 bytes: modifiers, 0, six usages. Output, 1 byte: LEDs.
#[rustfmt::skip]
pub const KEYBOARD: HidFunction = HidFunction {
    name: "keyboard", subclass: 1, protocol: 1, report_length: 8,
    report_descriptor: &[
        0x05, 0x01,       // Usage Page (Generic Desktop)
        0x09, 0x06,       // Usage (Keyboard)
        0xA1, 0x01,       // Collection (Application)
        0x05, 0x07,       //   Usage Page (Keyboard/Keypad)
        0x19, 0xE0,       //   Usage Minimum (LeftControl)
        0x29, 0xE7,       //   Usage Maximum (Right GUI)
        0x15, 0x00,       //   Logical Minimum (0)
        0x25, 0x01,       //   Logical Maximum (1)
        0x75, 0x01,       //   Report Size (1)
        0x95, 0x08,       //   Report Count (8)
        0x81, 0x02,       //   Input (Data, Variable, Absolute): the modifiers
        0x75, 0x08,       //   Report Size (8)
        0x95, 0x01,       //   Report Count (1)
        0x81, 0x01,       //   Input (Constant): the reserved byte
        0x05, 0x08,       //   Usage Page (LEDs)
        0x19, 0x01,       //   Usage Minimum (Num Lock)
        0x29, 0x05,       //   Usage Maximum (Kana)
        0x75, 0x01,       //   Report Size (1)
        0x95, 0x05,       //   Report Count (5)
        0x91, 0x02,       //   Output (Data, Variable, Absolute): the LEDs
        0x75, 0x03,       //   Report Size (3)
        0x95, 0x01,       //   Report Count (1)
        0x91, 0x01,       //   Output (Constant): padding
        0x05, 0x07,       //   Usage Page (Keyboard/Keypad)
        0x19, 0x00,       //   Usage Minimum (0)
        0x2A, 0xDD, 0x00, //   Usage Maximum (Keypad Hexadecimal, the last key below the modifiers)
        0x15, 0x00,       //   Logical Minimum (0)
        0x26, 0xDD, 0x00, //   Logical Maximum (0xDD)
        0x75, 0x08,       //   Report Size (8)
        0x95, 0x06,       //   Report Count (6)
        0x81, 0x00,       //   Input (Data, Array): the keys
        0xC0,             // End Collection
    ],
};

/// Absolute pointer. Input, 7 bytes: buttons, X u16, Y u16 (0..=32767), wheel i8, AC Pan i8.
#[rustfmt::skip]
pub const ABSOLUTE: HidFunction = HidFunction {
    name: "absolute pointer", subclass: 0, protocol: 0, report_length: 7,
    report_descriptor: &[
        0x05, 0x01,       // Usage Page (Generic Desktop)
        0x09, 0x02,       // Usage (Mouse)
        0xA1, 0x01,       // Collection (Application)
        0x09, 0x01,       //   Usage (Pointer)
        0xA1, 0x00,       //   Collection (Physical)
        0x05, 0x09,       //     Usage Page (Button)
        0x19, 0x01,       //     Usage Minimum (1)
        0x29, 0x05,       //     Usage Maximum (5)
        0x15, 0x00,       //     Logical Minimum (0)
        0x25, 0x01,       //     Logical Maximum (1)
        0x75, 0x01,       //     Report Size (1)
        0x95, 0x05,       //     Report Count (5)
        0x81, 0x02,       //     Input (Data, Variable, Absolute): left, right, middle, back, forward
        0x75, 0x03,       //     Report Size (3)
        0x95, 0x01,       //     Report Count (1)
        0x81, 0x01,       //     Input (Constant): padding
        0x05, 0x01,       //     Usage Page (Generic Desktop)
        0x09, 0x30,       //     Usage (X)
        0x09, 0x31,       //     Usage (Y)
        0x15, 0x00,       //     Logical Minimum (0)
        0x26, 0xFF, 0x7F, //     Logical Maximum (32767)
        0x75, 0x10,       //     Report Size (16)
        0x95, 0x02,       //     Report Count (2)
        0x81, 0x02,       //     Input (Data, Variable, Absolute)
        0x09, 0x38,       //     Usage (Wheel)
        0x15, 0x81,       //     Logical Minimum (-127)
        0x25, 0x7F,       //     Logical Maximum (127)
        0x75, 0x08,       //     Report Size (8)
        0x95, 0x01,       //     Report Count (1)
        0x81, 0x06,       //     Input (Data, Variable, Relative)
        0x05, 0x0C,       //     Usage Page (Consumer)
        0x0A, 0x38, 0x02, //     Usage (AC Pan)
        0x81, 0x06,       //     Input (Data, Variable, Relative)
        0xC0,             //   End Collection
        0xC0,             // End Collection
    ],
};

/// Relative mouse. Input, 5 bytes: buttons, dX i8, dY i8, wheel i8, AC Pan i8; the first three are the boot mouse.
#[rustfmt::skip]
pub const RELATIVE: HidFunction = HidFunction {
    name: "relative mouse", subclass: 1, protocol: 2, report_length: 5,
    report_descriptor: &[
        0x05, 0x01,       // Usage Page (Generic Desktop)
        0x09, 0x02,       // Usage (Mouse)
        0xA1, 0x01,       // Collection (Application)
        0x09, 0x01,       //   Usage (Pointer)
        0xA1, 0x00,       //   Collection (Physical)
        0x05, 0x09,       //     Usage Page (Button)
        0x19, 0x01,       //     Usage Minimum (1)
        0x29, 0x05,       //     Usage Maximum (5)
        0x15, 0x00,       //     Logical Minimum (0)
        0x25, 0x01,       //     Logical Maximum (1)
        0x75, 0x01,       //     Report Size (1)
        0x95, 0x05,       //     Report Count (5)
        0x81, 0x02,       //     Input (Data, Variable, Absolute): left, right, middle, back, forward
        0x75, 0x03,       //     Report Size (3)
        0x95, 0x01,       //     Report Count (1)
        0x81, 0x01,       //     Input (Constant): padding
        0x05, 0x01,       //     Usage Page (Generic Desktop)
        0x09, 0x30,       //     Usage (X)
        0x09, 0x31,       //     Usage (Y)
        0x09, 0x38,       //     Usage (Wheel)
        0x15, 0x81,       //     Logical Minimum (-127)
        0x25, 0x7F,       //     Logical Maximum (127)
        0x75, 0x08,       //     Report Size (8)
        0x95, 0x03,       //     Report Count (3)
        0x81, 0x06,       //     Input (Data, Variable, Relative)
        0x05, 0x0C,       //     Usage Page (Consumer)
        0x0A, 0x38, 0x02, //     Usage (AC Pan)
        0x95, 0x01,       //     Report Count (1)
        0x81, 0x06,       //     Input (Data, Variable, Relative)
        0xC0,             //   End Collection
        0xC0,             // End Collection
    ],
};

/// Media and power keys. Input by report ID: `01` + u16 consumer usage; `02` + u8 system bits (1 power down,
/// 2 sleep, 4 wake up).
#[rustfmt::skip]
pub const CONTROL: HidFunction = HidFunction {
    name: "media and power keys", subclass: 0, protocol: 0, report_length: 3,
    report_descriptor: &[
        0x05, 0x0C,       // Usage Page (Consumer)
        0x09, 0x01,       // Usage (Consumer Control)
        0xA1, 0x01,       // Collection (Application)
        0x85, 0x01,       //   Report ID (1)
        0x19, 0x00,       //   Usage Minimum (0)
        0x2A, 0xFF, 0x03, //   Usage Maximum (0x3FF)
        0x15, 0x00,       //   Logical Minimum (0)
        0x26, 0xFF, 0x03, //   Logical Maximum (0x3FF)
        0x75, 0x10,       //   Report Size (16)
        0x95, 0x01,       //   Report Count (1)
        0x81, 0x00,       //   Input (Data, Array)
        0xC0,             // End Collection
        0x05, 0x01,       // Usage Page (Generic Desktop)
        0x09, 0x80,       // Usage (System Control)
        0xA1, 0x01,       // Collection (Application)
        0x85, 0x02,       //   Report ID (2)
        0x19, 0x81,       //   Usage Minimum (System Power Down)
        0x29, 0x83,       //   Usage Maximum (System Wake Up)
        0x15, 0x00,       //   Logical Minimum (0)
        0x25, 0x01,       //   Logical Maximum (1)
        0x75, 0x01,       //   Report Size (1)
        0x95, 0x03,       //   Report Count (3)
        0x81, 0x02,       //   Input (Data, Variable, Absolute)
        0x75, 0x05,       //   Report Size (5)
        0x95, 0x01,       //   Report Count (1)
        0x81, 0x01,       //   Input (Constant): padding
        0xC0,             // End Collection
    ],
};

/// The functions in interface order: a BIOS looks for its keyboard on interface 0.
pub const FUNCTIONS: [HidFunction; 4] = [KEYBOARD, ABSOLUTE, RELATIVE, CONTROL];

#[cfg(test)]
mod tests;
