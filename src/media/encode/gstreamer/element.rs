//! An element as its row says: made, given its properties, told how coarse to encode, and run.

use gst::glib;
use gst::prelude::*;
use gstreamer as gst;

use super::changeable;
use super::layout::Layout;
use super::line::{HARDWARE_PATIENCE, Line, SOFTWARE_PATIENCE, failed, make};
use super::table::{Captured, Control, Row};
use crate::media::encode::{EncodeError, speed};
use crate::video::format::Resolution;

/// Pictures below are encoded by one thread.
const THREADED_BLOCKS: u32 = 1_200;

/// Makes the element and runs it; it takes nothing but DMABUFs if it `imports` and the row has a property for that.
pub fn start(
    row: &Row,
    resolution: Resolution,
    layout: &Layout,
    told: u32,
    imports: bool,
) -> Result<(gst::Element, Line), EncodeError> {
    let element = make(row.element)?;
    for (name, value) in row.properties {
        let is_optional = name.starts_with('?');
        let name = name.trim_start_matches('?');
        match element.find_property(name) {
            Some(property) => set(&element, &property, value)?,
            None if is_optional => {}
            None => return Err(failed(row.element, format!("it has no property {name}"))),
        }
    }
    if let Captured::DmaBufBy(name, value) = row.captured
        && imports
    {
        let property = element.find_property(name);
        let property = property.ok_or_else(|| failed(row.element, format!("it has no property {name}")))?;
        set(&element, &property, value)?;
    }
    if let Some(property) = row.threads.and_then(|name| element.find_property(name)) {
        let blocks = resolution.width.div_ceil(16) * resolution.height.div_ceil(16);
        let threads = if blocks < THREADED_BLOCKS { 1 } else { speed::threads(resolution, row.cost) };
        set(&element, &property, &threads.to_string())?;
    }
    tell(&element, row, told, None)?;
    let mut output = row.caps.to_owned();
    if row.needs_level {
        output += level(resolution);
    }
    let output: gst::Caps = output.parse().map_err(|error: glib::BoolError| failed(row.element, error))?;
    let mut elements = vec![element.clone()];
    if let Some(parser) = row.parser {
        let parser = make(parser)?;
        // In front of every key frame.
        parser.set_property("config-interval", -1i32);
        // The element itself has to be asked for its level and profile, the parser would only look at them.
        let filter = make("capsfilter")?;
        filter.set_property("caps", &output);
        elements.extend([filter, parser]);
    }
    let patience = if row.is_hardware { HARDWARE_PATIENCE } else { SOFTWARE_PATIENCE };
    let line = Line::start(&layout.caps()?, &elements, &output, patience)?;
    Ok((element, line))
}

/// Sets a property from text.
fn set(element: &gst::Element, property: &glib::ParamSpec, value: &str) -> Result<(), EncodeError> {
    let value = glib::Value::deserialize(value, property.value_type())
        .map_err(|_| failed(element.name(), format!("it has no {} {value}", property.name())))?;
    element.set_property_from_value(property.name(), &value);
    Ok(())
}

/// Tells a quantiser or rate; `before` is what the running element was told last.
pub fn tell(element: &gst::Element, row: &Row, wanted: u32, before: Option<u32>) -> Result<(), EncodeError> {
    let find = |name: &str| {
        element.find_property(name).ok_or_else(|| failed(row.element, format!("it has no property {name}")))
    };
    match row.control {
        Control::Quantiser { properties, scale } => {
            let value = scale.of_h264(wanted.min(51) as u8).to_string();
            let is_finer = before.is_some_and(|before| wanted < before);
            let mut properties: Vec<_> = properties.iter().collect();
            if is_finer {
                properties.reverse();
            }
            for name in properties {
                set(element, &find(name)?, &value)?;
            }
        }
        Control::MarkedQuantiser { property, nudge } => {
            let property = find(property)?;
            changeable::mark(&property);
            set(element, &property, &wanted.min(50).to_string())?;
            if before.is_some() {
                set(element, &find(nudge.0)?, &nudge.1.to_string())?;
            }
        }
        Control::Restart { property, scale } => {
            let value = scale.of_h264(wanted.min(51) as u8);
            set(element, &find(property)?, &value.to_string())?;
        }
        Control::V4l2Rate => {
            let controls =
                format!("controls,repeat_sequence_header=1,video_bitrate={wanted},video_gop_size=65535");
            set(element, &find("extra-controls")?, &controls)?;
        }
    }
    Ok(())
}

/// Bits a second that give about this quantiser while a desktop scrolls: a tenth of a bit a pixel at 26, twice as much
/// 6 below; not more than the line carries.
pub fn rate(resolution: Resolution, quantiser: u8, line: Option<u32>) -> u32 {
    let pixels = f64::from(resolution.width) * f64::from(resolution.height);
    let wanted = pixels * 3.0 * 2f64.powf((26.0 - f64::from(quantiser)) / 6.0);
    (wanted.clamp(200_000.0, 50_000_000.0) as u32).min(line.unwrap_or(u32::MAX)).max(50_000)
}

/// The level of H.264 that a size needs at 30 frames a second (H.264, table A-1).
fn level(resolution: Resolution) -> &'static str {
    let blocks = resolution.width.div_ceil(16) * resolution.height.div_ceil(16);
    if blocks <= 3_600 {
        ",level=(string)3.1"
    } else if blocks <= 8_192 {
        ",level=(string)4"
    } else {
        ",level=(string)5.1"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_quantiser_and_line() {
        let size = Resolution::new(1920, 1080);
        assert_eq!(rate(size, 20, None), 2 * rate(size, 26, None));
        assert_eq!(rate(size, 26, Some(1_000_000)), 1_000_000);
        assert_eq!(rate(Resolution::new(64, 48), 51, None), 200_000);
    }
}
