//! A pipeline with one element that takes a buffer and gives one back: `appsrc ! … ! appsink`, with a bounded wait.
#![allow(clippy::disallowed_methods, reason = "an edge: it waits for other threads in real time")]

use std::time::{Duration, Instant};

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

use crate::media::encode::EncodeError;

/// How long hardware may take for one frame before it counts as stuck.
pub const HARDWARE_PATIENCE: Duration = Duration::from_secs(2);
/// The same for software: a key frame of AV1 can take seconds where other programs want the CPU as well.
pub const SOFTWARE_PATIENCE: Duration = Duration::from_secs(10);
/// How often the wait looks for error messages.
const GLANCE: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// Time between two frames on the pipeline's own clock; the real pace is not known to it.
pub const FRAME_TIME: gst::ClockTime = gst::ClockTime::from_nseconds(33_333_333);

/// A running pipeline.
pub struct Line {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
    patience: Duration,
    count: u64,
    is_stuck: bool,
}

/// Makes an element.
pub fn make(name: &str) -> Result<gst::Element, EncodeError> {
    gst::ElementFactory::make(name).build().map_err(|error| failed(name, error))
}

/// A failure of an element, in its words.
pub fn failed(element: impl Into<String>, error: impl ToString) -> EncodeError {
    EncodeError::Element { element: element.into(), reason: error.to_string() }
}

impl Line {
    /// Starts `elements`, fed with `input` and asked for `output`; a frame may take `patience`.
    pub fn start(
        input: &gst::Caps,
        elements: &[gst::Element],
        output: &gst::Caps,
        patience: Duration,
    ) -> Result<Self, EncodeError> {
        // Live: elements that would hold frames back for a better result do not.
        let source = gst_app::AppSrc::builder()
            .caps(input)
            .format(gst::Format::Time)
            .is_live(true)
            .block(false)
            .build();
        let sink = gst_app::AppSink::builder().caps(output).sync(false).async_(false).build();
        sink.set_property("enable-last-sample", false);
        let pipeline = gst::Pipeline::new();
        let mut chain = vec![source.clone().upcast::<gst::Element>()];
        chain.extend_from_slice(elements);
        chain.push(sink.clone().upcast());
        pipeline.add_many(&chain).map_err(|error| failed("pipeline", error))?;
        gst::Element::link_many(&chain).map_err(|error| failed("pipeline", error))?;
        let line = Self { pipeline, source, sink, patience, count: 0, is_stuck: false };
        match line.pipeline.set_state(gst::State::Playing) {
            Ok(_) => Ok(line),
            Err(error) => Err(line.complaint().unwrap_or_else(|| failed("pipeline", error))),
        }
    }

    /// The time of the next buffer.
    pub fn next_time(&self) -> gst::ClockTime {
        // Not from zero: some elements take the first time for one that lies behind.
        FRAME_TIME * (self.count + 1)
    }

    /// Puts a buffer in and takes the one out that comes of it.
    pub fn exchange(&mut self, buffer: gst::Buffer) -> Result<gst::Sample, EncodeError> {
        self.count += 1;
        self.source
            .push_buffer(buffer)
            .map_err(|error| self.complaint().unwrap_or_else(|| failed("pipeline", error)))?;
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(sample) = self.sink.try_pull_sample(GLANCE) {
                return Ok(sample);
            }
            if let Some(error) = self.complaint() {
                return Err(error);
            }
            if Instant::now() >= deadline || self.sink.is_eos() {
                self.is_stuck = true;
                return Err(failed("pipeline", "no frame came out in time"));
            }
        }
    }

    /// The error that an element posted.
    fn complaint(&self) -> Option<EncodeError> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let element = message.src().map_or_else(String::new, |source| source.name().to_string());
        let gst::MessageView::Error(error) = message.view() else { return None };
        Some(failed(element, error.error()))
    }

    /// Ends the pipeline and frees what its elements hold.
    pub fn stop(&mut self) {
        let pipeline = self.pipeline.clone();
        let end = move || {
            if let Err(error) = pipeline.set_state(gst::State::Null) {
                tracing::debug!(%error, "a pipeline did not close cleanly");
            }
        };
        if !self.is_stuck {
            end();
        } else if let Err(error) = std::thread::Builder::new().name("media-stuck".into()).spawn(end) {
            // An element that is stuck may never end; the display must not wait for it.
            tracing::error!(%error, "a stuck pipeline cannot be closed");
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange_with(element: &str, property: &str, value: &str) -> Result<gst::Sample, EncodeError> {
        gst::init().unwrap();
        let element = make(element)?;
        element.set_property_from_str(property, value);
        let caps: gst::Caps = "application/x-test".parse().unwrap();
        let mut line = Line::start(&caps, &[element], &caps, Duration::from_millis(200))?;
        line.exchange(gst::Buffer::from_slice([1, 2, 3]))
    }

    #[test]
    fn an_element_that_gives_nothing_is_not_waited_for_long() {
        assert_eq!(exchange_with("identity", "silent", "true").unwrap().buffer().unwrap().size(), 3);
        let stuck = exchange_with("identity", "drop-probability", "1.0").unwrap_err();
        assert!(stuck.to_string().contains("no frame came out in time"), "{stuck}");
    }

    #[test]
    fn an_element_that_fails_says_why() {
        let failure = exchange_with("identity", "error-after", "1").unwrap_err();
        assert!(failure.to_string().contains("identity"), "{failure}");
        assert!(!failure.to_string().contains("in time"), "{failure}");
        assert!(make("no-such-element").is_err());
    }
}
