//! The picture's way through the machine: sizes, frames, the wish for the pipeline, which codecs both sides have, and
//! screenshots (reference: session 3.1, 3.6, 3.9, 3.11).

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::video::frame::{CodecSet, EncodedFrame};
use crate::video::signal::DisplayState;
use crate::wire::message::{encode_message, hbb};
use hbb::message::Union;

use super::login;
use super::machine::{Event, Output, Peer, State};
use super::options::supported_encoding;
use super::tally::Tally;
use super::texts;
use super::video::{self, Admission};

/// The apps give a screenshot up after 30 s (reference: session trap T41); one that takes the line for longer than
/// this is not sent.
const LONGEST_SCREENSHOT: Duration = Duration::from_secs(20);

/// What the two sides found out about codecs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Agreement {
    /// What the controller was told that we encode.
    announced: CodecSet,
    /// The sets (ours, theirs) about which the user was told that they have nothing in common.
    told: Option<(CodecSet, CodecSet)>,
    /// There was a codec in common.
    had_one: bool,
}

impl Peer {
    pub(super) fn handle_display(&mut self, index: usize, state: DisplayState, now: Instant) {
        let is_changed = self.displays.update(index, state);
        if !matches!(self.state, State::Open) {
            return;
        }
        let encodes = self.displays.encodes();
        if encodes != self.agreement.announced {
            let (old, new) = (supported_encoding(self.agreement.announced), supported_encoding(encodes));
            self.agreement.announced = encodes;
            if old != new {
                self.transmit(login::encode_misc(hbb::misc::Union::SupportedEncoding(new)));
            }
            self.agree();
        }
        if is_changed {
            self.announce(index, now);
        }
    }

    /// What the welcome says that we encode.
    pub(super) fn announce_codecs(&mut self) -> hbb::SupportedEncoding {
        self.agreement.announced = self.displays.encodes();
        supported_encoding(self.agreement.announced)
    }

    /// Tells the user once if there is no codec in common, in words that help. Everything but the picture works on.
    pub(super) fn agree(&mut self) {
        let (ours, theirs) = (self.agreement.announced, self.options.decodes);
        if !ours.and(theirs).is_empty() {
            self.agreement = Agreement { told: None, had_one: true, ..self.agreement };
            return;
        }
        if self.agreement.told.replace((ours, theirs)) != Some((ours, theirs)) {
            let text = texts::no_codec(ours, theirs, self.agreement.had_one);
            self.transmit(texts::notice(texts::VIDEO_TITLE, text));
        }
    }

    /// Whether frames of this display can be of any use to the controller.
    pub(super) fn decodes_any(&self, index: usize) -> bool {
        !self.displays.encodes_of(index).and(self.options.decodes).is_empty()
    }

    /// What was sent and left out so far. The codecs are those since the last call.
    pub fn tally(&mut self) -> Tally {
        let tally = Tally {
            bytes: self.flow.sent_bytes(),
            bits_per_second: self.pace.bits_per_second(),
            round_trip: self.latency.last_round_trip(),
            ..self.tally
        };
        self.tally.codecs = CodecSet::EMPTY;
        tally
    }

    /// Whether the line takes another frame of this display now. The driver fetches none before: what changes
    /// meanwhile then is one frame and not a queue of them. Ask again after every input and at every deadline.
    pub fn can_take_frame(&self, index: usize, now: Instant) -> bool {
        matches!(self.state, State::Open)
            && self.video.is_shown(index)
            && self.video.has_room(now)
            && self.flow.has_room(self.backlog, now)
    }

    /// Tells the controller a new size: the list for all windows, then the display, then a key frame.
    fn announce(&mut self, index: usize, now: Instant) {
        // Displays stand side by side: those to the right of this one move.
        if index < self.hands_display {
            self.pointer.origin_changed();
        }
        let info = hbb::PeerInfo { displays: self.displays.infos(), ..Default::default() };
        self.transmit(encode_message(Union::PeerInfo(info)));
        self.transmit(login::encode_misc(self.displays.switch_display(index)));
        self.video.resized(index, now);
    }

    pub(super) fn handle_frame(&mut self, index: usize, frame: EncodedFrame, now: Instant) {
        if !matches!(self.state, State::Open) {
            return;
        }
        let is_decodable = self.options.decodes.contains(frame.codec);
        match self.video.admit(index, &frame, is_decodable, self.displays.size(index), now) {
            Admission::Drop(reason) => return self.tally.dropped.count(reason),
            Admission::Send => {}
            Admission::Resize => {
                self.displays.update_sizes(index, frame.resolution, frame.original_resolution);
                self.announce(index, now);
            }
        }
        let pts = self.video.sent(index, &frame, now);
        let (head, tail) = video::wrap(index, &frame, pts);
        let length = head.len() + frame.data.len() + tail.len();
        self.latency.sent(length);
        self.flow.sent(length, true, now);
        self.tally.sent(&frame);
        let is_keyframe = frame.is_keyframe;
        self.out.push_back(Output::TransmitVideo { head, payload: frame.data, tail, is_keyframe });
        if !self.has_sent_picture {
            self.has_sent_picture = true;
            self.ping(true, now);
        } else if self.is_mark_due(now) {
            self.ping(false, now);
        }
    }

    /// Whether a ping must go behind what was sent, to see when it arrives.
    pub(super) fn is_mark_due(&self, now: Instant) -> bool {
        self.mark_at().is_some_and(|at| at <= now)
    }

    pub(super) fn mark_at(&self) -> Option<Instant> {
        let is_open = matches!(self.state, State::Open);
        self.flow.mark_at().filter(|_| is_open && self.latency.has_room())
    }

    /// Tells the driver a changed wish.
    pub(super) fn request_video(&mut self) {
        let wish = self.wish();
        if matches!(self.state, State::Open) && self.requested != Some(wish) {
            self.requested = Some(wish);
            self.event(Event::VideoWanted(wish));
        }
    }

    pub(super) fn wish(&self) -> crate::video::request::VideoRequest {
        let bits_per_second = self.pace.bits_per_second();
        crate::video::request::VideoRequest { bits_per_second, ..self.options.request() }
    }

    /// One screenshot at a time: it is a whole picture in memory.
    pub(super) fn handle_screenshot_request(&mut self, request: hbb::ScreenshotRequest) {
        match self.displays.checked(request.display) {
            Some(index) if self.screenshot.is_none() => {
                self.screenshot = Some((index, request.sid.clone()));
                self.event(Event::ScreenshotWanted { index, sid: request.sid });
            }
            Some(_) | None => self.refuse_screenshot(request.sid, texts::NO_SCREENSHOT.into()),
        }
    }

    pub(super) fn handle_screenshot(&mut self, sid: &str, png: Result<Vec<u8>, String>) {
        let Some((index, wanted)) = self.screenshot.take() else { return };
        if wanted != sid || !matches!(self.state, State::Open) {
            return;
        }
        match png {
            Ok(data) if self.is_too_slow_for(data.len()) => {
                self.refuse_screenshot(wanted, texts::SLOW_SCREENSHOT.into());
            }
            Ok(data) => {
                let response = hbb::ScreenshotResponse { sid: wanted, msg: String::new(), data };
                let message = encode_message(Union::ScreenshotResponse(response));
                self.flow.sent(message.len(), true, self.now);
                self.out.push_back(Output::TransmitBulk(Bytes::from(message)));
            }
            Err(why) => self.refuse_screenshot(wanted, format!("Failed to take screenshot: {why}")),
        }
        self.video.refresh(index);
    }

    fn is_too_slow_for(&self, bytes: usize) -> bool {
        let line = self.pace.bits_per_second();
        line.is_some_and(|bits| bytes as u64 * 8 / u64::from(bits.max(1)) > LONGEST_SCREENSHOT.as_secs())
    }

    fn refuse_screenshot(&mut self, sid: String, msg: String) {
        let response = hbb::ScreenshotResponse { sid, msg, data: vec![] };
        self.transmit(encode_message(Union::ScreenshotResponse(response)));
    }
}
