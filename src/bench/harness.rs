//! One GStreamer element driven from this thread, frame by frame: a buffer is pushed into its sink pad, and what it
//! makes of it is there when the call returns. No pipeline, queue or other thread, so that a lane costs what its
//! library costs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::{ElementExt as _, PadExt as _, PadExtManual as _};

/// An element with a pad in front and one behind.
#[derive(Debug)]
pub struct Harness {
    element: gst::Element,
    front: gst::Pad,
    behind: gst::Pad,
    output: Arc<Mutex<Vec<gst::Buffer>>>,
}

fn lock(output: &Mutex<Vec<gst::Buffer>>) -> MutexGuard<'_, Vec<gst::Buffer>> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Harness {
    /// Starts an element with always-there pads `sink` and `src` for buffers of these caps.
    ///
    /// # Errors
    /// A sentence.
    pub fn start(element: gst::Element, caps: &gst::Caps) -> Result<Self, String> {
        let name = element
            .factory()
            .map_or_else(String::new, |factory| gst::prelude::GstObjectExt::name(&factory).to_string());
        let refused = |what: &str| format!("{name} does not {what}");
        let output = Arc::new(Mutex::new(vec![]));
        let front = gst::Pad::builder(gst::PadDirection::Src).build();
        let chained = output.clone();
        let behind = gst::Pad::builder(gst::PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                lock(&chained).push(buffer);
                Ok(gst::FlowSuccess::Ok)
            })
            .event_function(|_, _, _| true)
            .build();
        let this = Self { element, front, behind, output };
        let pad = |name| this.element.static_pad(name).ok_or_else(|| refused(&format!("have a pad {name}")));
        this.front.link(&pad("sink")?).map_err(|_| refused("take pictures"))?;
        pad("src")?.link(&this.behind).map_err(|_| refused("give pictures"))?;
        this.behind.set_active(true).map_err(|_| refused("give pictures"))?;
        this.front.set_active(true).map_err(|_| refused("take pictures"))?;
        this.element.set_state(gst::State::Playing).map_err(|_| refused("start"))?;
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let begun = this.front.push_event(gst::event::StreamStart::new("bench"))
            && this.front.push_event(gst::event::Caps::new(caps))
            && this.front.push_event(gst::event::Segment::new(&segment));
        if begun { Ok(this) } else { Err(refused(&format!("take {caps}"))) }
    }

    /// Pushes a buffer through; returns what came out meanwhile, nothing for a dropped frame.
    ///
    /// # Errors
    /// A sentence.
    pub fn push(&self, buffer: gst::Buffer) -> Result<Vec<gst::Buffer>, String> {
        self.front.push(buffer).map_err(|error| format!("an element failed: {error}"))?;
        Ok(std::mem::take(&mut *lock(&self.output)))
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = self.front.set_active(false);
        let _ = self.element.set_state(gst::State::Null);
        let _ = self.behind.set_active(false);
    }
}

/// Initialises GStreamer and makes an element with these properties.
///
/// # Errors
/// A sentence, if the element is not installed or has no such property.
pub fn element(name: &str, properties: &[(&str, &str)]) -> Result<gst::Element, String> {
    use gstreamer::prelude::{GObjectExtManualGst as _, ObjectExt as _};
    gst::init().map_err(|error| format!("GStreamer does not start: {error}"))?;
    let element = gst::ElementFactory::make(name)
        .build()
        .map_err(|_| format!("the GStreamer element {name} is not installed"))?;
    for (property, value) in properties {
        if element.find_property(property).is_none() {
            return Err(format!("this {name} has no property {property}"));
        }
        element.set_property_from_str(property, value);
    }
    Ok(element)
}
