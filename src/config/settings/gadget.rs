//! `[gadget]`: what the computer sees on its USB port.

use super::{Origin, Resolver, word};
use crate::config::file::gadget::{FunctionName, FunctionsValue, ProfileName, SpeedName, WakeName};
use crate::config::file::{ConfigError, ParsedFile};
use crate::hid::configfs::spec::{BusSpeed, GadgetSpec};
use crate::hid::descriptor::{ABSOLUTE, CONTROL, FUNCTIONS, HidFunction, KEYBOARD, RELATIVE};

/// Longest string of a USB descriptor, in UTF-16 code units (USB 2.0 section 9.6.7).
const MAX_STRING: usize = 126;

/// What is built, whether input wakes, and the first key that the file says.
pub(super) struct Resolved {
    pub(super) spec: GadgetSpec,
    pub(super) wakes_on_input: bool,
    pub(super) first_said: Option<String>,
}

pub(super) fn resolve(
    parsed: &ParsedFile,
    name: String,
    udc_of_board: Option<String>,
    r: &mut Resolver,
) -> Result<Resolved, ConfigError> {
    let file = &parsed.file.gadget;
    let default = GadgetSpec { name, ..GadgetSpec::default() };
    let first_shown = r.shown.len();
    let (functions, _) = r.pick(
        "gadget.functions",
        [Some(FunctionsValue::Profile(ProfileName::All)), file.functions.clone(), None, None],
        |value| match value {
            FunctionsValue::Profile(ProfileName::All) => "all".to_owned(),
            FunctionsValue::Profile(ProfileName::HidOnly) => "hid-only".to_owned(),
            FunctionsValue::List(list) => list.iter().map(|f| word(*f)).collect::<Vec<_>>().join(", "),
        },
    );
    let (udc, _) = r.pick_on(udc_of_board, "gadget.udc", [None, file.udc.clone(), None, None], Clone::clone);
    let hex = |id: &u32| format!("0x{id:04x}");
    let ids = [
        ("vendor-id", default.vendor_id, file.vendor_id),
        ("product-id", default.product_id, file.product_id),
    ];
    let [vendor_id, product_id] = ids.map(|(key, by_default, said)| {
        let key = format!("gadget.{key}");
        let (id, _) = r.pick(key.as_str(), [Some(by_default.into()), said, None, None], hex);
        u16::try_from(id.unwrap_or_default())
            .map_err(|_| parsed.error(&key, "an ID has 16 bits: 0x0000 to 0xffff, as in 0x1d6b"))
    });
    let texts = [
        ("manufacturer", &default.manufacturer, &file.manufacturer),
        ("product", &default.product, &file.product),
        ("serial-number", &default.serial_number, &file.serial_number),
    ];
    let [manufacturer, product, serial_number] = texts.map(|(key, by_default, said)| {
        let key = format!("gadget.{key}");
        let sayings = [Some(by_default.clone()), said.clone(), None, None];
        let text = r.pick(key.as_str(), sayings, Clone::clone).0.unwrap_or_default();
        let length = text.encode_utf16().count();
        if text.contains(char::is_control) || text != text.trim() || !(1..=MAX_STRING).contains(&length) {
            let message = format!("write 1 to {MAX_STRING} printable characters, no space at either end");
            return Err(parsed.error(&key, message));
        }
        Ok(text)
    });
    let (speed, _) =
        r.pick("gadget.max-speed", [Some(SpeedName::Auto), file.max_speed, None, None], |s| word(*s));
    let (power, _) = r.pick(
        "gadget.max-power",
        [Some(default.max_power.into()), file.max_power, None, None],
        ToString::to_string,
    );
    let (self_powered, _) = r.pick(
        "gadget.self-powered",
        [Some(default.is_self_powered), file.self_powered, None, None],
        ToString::to_string,
    );
    let (interval, _) = r.pick("gadget.interval", [None, file.interval, None, None], ToString::to_string);
    let (wake, _) = r.pick("gadget.wake", [Some(WakeName::Off), file.wake, None, None], |w| word(*w));

    // USB 2.0 section 9.6.3: in steps of 2 mA, at most 500.
    let max_power = match power.and_then(|power| u16::try_from(power).ok()) {
        Some(milliampere @ 0..=500) if milliampere % 2 == 0 => milliampere,
        Some(_) | None => {
            return Err(parsed.error("gadget.max-power", "write an even number of milliampere, 0 to 500"));
        }
    };
    let interval = match interval.map(|n| u8::try_from(n).unwrap_or_default()) {
        Some(0 | 17..) => return Err(parsed.error("gadget.interval", "write a number from 1 to 16")),
        interval => interval,
    };
    if udc.as_ref().is_some_and(|udc| udc.is_empty() || udc.contains('/')) {
        return Err(
            parsed.error("gadget.udc", "write a name that /sys/class/udc has, as in \"fe980000.usb\"")
        );
    }
    let wake = wake.unwrap_or(WakeName::Off);
    let spec = GadgetSpec {
        functions: choose(functions, parsed)?,
        udc,
        vendor_id: vendor_id?,
        product_id: product_id?,
        manufacturer: manufacturer?,
        product: product?,
        serial_number: serial_number?,
        max_speed: match speed.unwrap_or(SpeedName::Auto) {
            SpeedName::Auto => None,
            SpeedName::Full => Some(BusSpeed::Full),
            SpeedName::High => Some(BusSpeed::High),
            SpeedName::Super => Some(BusSpeed::Super),
        },
        max_power,
        is_self_powered: self_powered.unwrap_or_default(),
        interval,
        can_wake: wake != WakeName::Off,
        ..default
    };
    let said = r.shown[first_shown..].iter().find(|shown| shown.origin == Origin::File);
    let first_said = said.map(|shown| shown.key.clone());
    Ok(Resolved { spec, wakes_on_input: wake == WakeName::Input, first_said })
}

/// In the order of [`FUNCTIONS`], whatever order they were said in.
fn choose(said: Option<FunctionsValue>, parsed: &ParsedFile) -> Result<Vec<HidFunction>, ConfigError> {
    let list = match said {
        None | Some(FunctionsValue::Profile(ProfileName::All)) => return Ok(FUNCTIONS.to_vec()),
        Some(FunctionsValue::Profile(ProfileName::HidOnly)) => return Ok(GadgetSpec::HID_ONLY.to_vec()),
        Some(FunctionsValue::List(list)) => list,
    };
    if !list.contains(&FunctionName::Keyboard) {
        let message =
            "\"keyboard\" has to be among them: whether it is read tells whether the computer is there";
        return Err(parsed.error("gadget.functions", message));
    }
    let names = [
        (FunctionName::Keyboard, KEYBOARD),
        (FunctionName::Absolute, ABSOLUTE),
        (FunctionName::Relative, RELATIVE),
        (FunctionName::Control, CONTROL),
    ];
    Ok(names.into_iter().filter(|(name, _)| list.contains(name)).map(|(_, function)| function).collect())
}
