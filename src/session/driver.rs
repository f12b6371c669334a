//! `run`: stream, frames, health, timer and shutdown around one [`Peer`]. The writer is a task of its own, so that a
//! slow line never stops the reading. Every way out drops the HID handles: keys and buttons go up.

#![allow(clippy::disallowed_methods, reason = "an edge: it tells the machine the time")]

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::audio::format::EncodedAudio;
use crate::crypto::seed::Seed;
use crate::hid::queue::MAX_TEXT;
use crate::hid::writer::{HidHandle, HidHealth, HidWriter};
use crate::input::event::InputEvent;
use crate::media::audio::{AudioHandle, AudioSubscription};
use crate::media::pipeline::VideoHandle;
use crate::net::stream::{Arrival, MessageReader, MessageWriter, Route};
use crate::peer::gate::{LoginAttempt, Verdict};
use crate::peer::machine::{
    CloseReason, Event, Input, Opening, Output, PAYLOAD_LIMIT_AFTER_LOGIN, Peer, PeerSettings,
};
use crate::peer::sharing::{Claim, Hold};
use crate::video::format::Resolution;
use crate::video::frame::EncodedFrame;

use super::outbox::{Item, Outbox, Pushed};
use super::senses::{Pictures, Shot, next_shot, next_sound, shoot};
use super::stats::{Meter, SessionStats};
use super::wait::{boxed, changed, first, stopped};

/// What was transmitted before the end has so long to go out.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
/// Sound that waited so long is not sent: late sound stays late (reference: session 4).
const LATE_SOUND: Duration = Duration::from_secs(1);
/// Between two remarks that input was refused.
const REMARK_EVERY: Duration = Duration::from_secs(10);
/// Between two tellings of [`SessionHost::stats`].
const STATS_EVERY: Duration = Duration::from_secs(1);

/// A picture source with its own input sink.
#[derive(Debug, Clone)]
pub struct Display {
    /// The picture.
    pub video: VideoHandle,
    /// The hands.
    pub hid: Arc<HidWriter>,
    /// Their health.
    pub health: watch::Receiver<HidHealth>,
    /// The sound that comes with the picture, if any is captured.
    pub audio: Option<AudioHandle>,
}

/// What a session asks of the house above it, without knowing it.
pub trait SessionHost: Send + Sync {
    /// Judges a login.
    fn judge(&self, attempt: &LoginAttempt, now: Instant) -> Verdict;
    /// A controller is in. `end` ends the session with the text sent. An older session of the same my_id and
    /// session_id is ended by the host.
    fn logged_in(&self, session: u64, attempt: &LoginAttempt, end: watch::Sender<Option<String>>);
    /// Its hands did something (for the test card): a short description.
    fn noticed(&self, session: u64, what: &crate::input::event::InputEvent);
    /// What it wants of keyboard and pointer, from its login on. The host tells by `hold` how that stands, now and
    /// whenever it changes; one that says nothing lets all sessions act.
    fn claim(&self, _session: u64, _claim: Claim, _hold: &watch::Sender<Hold>) {}
    /// The server's copy of our key may be wrong.
    fn key_not_confirmed(&self);
    /// What it does, each second while it is logged in.
    fn stats(&self, _session: u64, _stats: &SessionStats) {}
    /// It is over.
    fn closed(&self, session: u64, reason: &CloseReason);
}

/// Runs one session to its end. `shutdown` becomes true when the agent stops; the connection is then closed without
/// a text, so that the app comes back by itself.
pub async fn run(
    session: u64,
    arrival: Arrival,
    settings: PeerSettings,
    displays: Vec<Display>,
    host: Arc<dyn SessionHost>,
    mut shutdown: watch::Receiver<bool>,
) -> CloseReason {
    let mut ending = Ending { session, host: host.clone(), reason: CloseReason::EndedHere(String::new()) };
    let opening = match (arrival.route, arrival.is_secure) {
        (Route::Direct, _) => Opening::Direct,
        (Route::Punched | Route::Relayed, true) => Opening::Secure,
        (Route::Punched | Route::Relayed, false) => Opening::Insecure,
    };
    let mut states: Vec<_> = displays.iter().map(|d| d.video.state()).collect();
    // All displays are one computer's, with the same hands.
    let mut healths: Vec<_> = displays.iter().take(1).map(|d| d.health.clone()).collect();
    let seen: Vec<_> = states.iter_mut().map(|s| *s.borrow_and_update()).collect();
    let screens = seen.iter().map(|s| s.original_resolution).collect();
    let (mut reader, writer) = arrival.stream.split();
    let outbox = Arc::new(Outbox::default());
    let mut writing = Writing(tokio::spawn(write_all(writer, outbox.clone())));
    let (end_sender, mut end) = watch::channel(None);
    let (hold_sender, mut hold) = watch::channel(Hold::Mine);
    let now = Instant::now();
    let mut presences: Vec<_> =
        displays.iter().map(|d| d.audio.as_ref().map(AudioHandle::presence)).collect();
    let is_there = |presence: &mut watch::Receiver<bool>| *presence.borrow_and_update();
    let sound = presences.iter_mut().map(|presence| presence.as_mut().is_some_and(is_there)).collect();
    let controller = arrival.controller;
    let mut drive = Drive {
        session,
        peer: Peer::with_sound(settings, opening, controller, seen, sound, now, Seed::from_system()),
        outbox,
        host,
        attempt: None,
        end: Some(end_sender),
        hold: hold_sender,
        pictures: Pictures::new(displays.len()),
        sound: None,
        shots: JoinSet::new(),
        displays,
        handles: vec![],
        hands_waiting: None,
        screens,
        told_screen: None,
        meter: Meter::new(now),
        stats_at: None,
        remarked_at: None,
    };
    for index in 0..healths.len() {
        drive.notice(index, &mut healths);
    }
    let reason = loop {
        let at = match drive.obey(&mut reader) {
            ControlFlow::Continue(at) => at,
            ControlFlow::Break(reason) => break reason,
        };
        let now = Instant::now();
        drive.pictures.hold(|index| drive.peer.can_take_frame(index, now));
        let happened = tokio::select! {
            now = changed(&mut hold) => Happened::Hold(now),
            text = changed(&mut end) => Happened::End(text.unwrap_or_default()),
            _ = stopped(&mut shutdown) => Happened::End(String::new()),
            payload = reader.next() => Happened::Received(payload),
            result = &mut writing.0 => Happened::WriterGone(result.unwrap_or_else(|e| Err(io::Error::other(e)))),
            (index, frame) = drive.pictures.next() => {
                Happened::Frame(index, frame)
            }
            (index, _) = first(states.iter_mut().map(|s| boxed(changed(s))).enumerate()) => Happened::State(index),
            (index, _) = first(healths.iter_mut().map(|h| boxed(changed(h))).enumerate()) => {
                Happened::Health(index)
            }
            packet = next_sound(&mut drive.sound) => Happened::Sound(packet),
            (index, _) = first(presences.iter_mut().enumerate().filter_map(|(index, presence)| {
                Some((index, boxed(changed(presence.as_mut()?))))
            })) => Happened::SoundThere(index),
            shot = next_shot(&mut drive.shots) => Happened::Shot(shot),
            () = drive.outbox.drained() => Happened::Drained,
            () = tokio::time::sleep_until(at.into()) => Happened::Due,
        };
        drive.feed(Input::Backlog(drive.outbox.backlog()));
        match happened {
            Happened::End(text) => drive.feed(Input::End(&text)),
            Happened::Hold(now) => drive.feed(Input::Hold(&now)),
            Happened::Received(Ok(Some(payload))) => drive.feed(Input::Payload(&payload)),
            Happened::Received(Ok(None)) => {
                break drive.cut(CloseReason::LeftByController(String::new()), &mut reader);
            }
            Happened::Received(Err(error)) => break drive.cut(reason_of(&error), &mut reader),
            Happened::WriterGone(Ok(())) => {
                break drive.cut(CloseReason::LeftByController(String::new()), &mut reader);
            }
            Happened::WriterGone(Err(error)) => break drive.cut(reason_of(&error), &mut reader),
            Happened::Frame(index, Some(frame)) => drive.feed(Input::Frame { index, frame }),
            // The pipeline is gone, and the agent ends with it: the controller should come back.
            Happened::Frame(_, None) => drive.feed(Input::End("")),
            Happened::State(index) => {
                if let Some(state) = states.get_mut(index).map(|s| *s.borrow_and_update()) {
                    drive.screens[index] = state.original_resolution;
                    drive.feed(Input::Display { index, state });
                }
            }
            Happened::Health(index) => drive.notice(index, &mut healths),
            Happened::Sound(Some(packet)) => drive.feed(Input::Sound(packet)),
            Happened::Sound(None) => drive.sound = None,
            Happened::SoundThere(index) => {
                if let Some(Some(presence)) = presences.get_mut(index) {
                    let is_there = *presence.borrow_and_update();
                    drive.feed(Input::SoundThere { index, is_there });
                }
            }
            Happened::Shot(Shot { sid, png }) => drive.feed(Input::Screenshot { sid: &sid, png }),
            Happened::Drained => {}
            Happened::Due => {
                drive.feed(Input::Timeout);
                drive.tell_stats();
            }
        }
    };
    drive.handles.clear();
    (drive.pictures, drive.sound) = (Pictures::new(0), None);
    drive.outbox.close();
    if !writing.0.is_finished() && tokio::time::timeout(FLUSH_LIMIT, &mut writing.0).await.is_err() {
        tracing::debug!(session, "the line took no farewell");
    }
    ending.reason = reason.clone();
    reason
}

/// Tells the host of the end, also when the task is cancelled.
struct Ending {
    session: u64,
    host: Arc<dyn SessionHost>,
    reason: CloseReason,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.host.closed(self.session, &self.reason);
    }
}

/// The writer's task; it never outlives its session.
struct Writing(JoinHandle<io::Result<()>>);

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What woke a session.
enum Happened {
    Received(io::Result<Option<BytesMut>>),
    Frame(usize, Option<EncodedFrame>),
    State(usize),
    Health(usize),
    Sound(Option<EncodedAudio>),
    /// A display's sound device came or went.
    SoundThere(usize),
    Shot(Shot),
    /// Nothing waits to go out any more.
    Drained,
    End(String),
    Hold(Hold),
    WriterGone(io::Result<()>),
    Due,
}

struct Drive {
    session: u64,
    peer: Peer,
    outbox: Arc<Outbox>,
    host: Arc<dyn SessionHost>,
    displays: Vec<Display>,
    attempt: Option<LoginAttempt>,
    end: Option<watch::Sender<Option<String>>>,
    hold: watch::Sender<Hold>,
    pictures: Pictures,
    sound: Option<AudioSubscription>,
    shots: JoinSet<Shot>,
    handles: Vec<HidHandle>,
    /// The last of them that was given an event and not flushed; all are one writer's.
    hands_waiting: Option<usize>,
    /// The size of each display's signal, and that of the one on which hands acted last.
    screens: Vec<Resolution>,
    told_screen: Option<Resolution>,
    meter: Meter,
    stats_at: Option<Instant>,
    remarked_at: Option<Instant>,
}

impl Drive {
    fn feed(&mut self, input: Input<'_>) {
        self.peer.handle_input(input, Instant::now());
    }

    /// Shows the trouble with the hands; the peer shows each text once.
    fn notice(&mut self, index: usize, healths: &mut [watch::Receiver<HidHealth>]) {
        if let Some(health) = healths.get_mut(index) {
            let notice = health.borrow_and_update().notice.clone();
            self.feed(Input::HidNotice(&notice));
        }
    }

    /// The transport is gone: the machine still lets go of what it holds.
    fn cut(&mut self, reason: CloseReason, reader: &mut MessageReader) -> CloseReason {
        self.feed(Input::End(""));
        match self.obey(reader) {
            // It had closed for a reason of its own before the transport went.
            ControlFlow::Break(own) if own != CloseReason::EndedHere(String::new()) => own,
            ControlFlow::Break(_) | ControlFlow::Continue(_) => reason,
        }
    }

    /// Does what the machine wants, up to its next deadline or its end.
    fn obey(&mut self, reader: &mut MessageReader) -> ControlFlow<CloseReason, Instant> {
        loop {
            match self.peer.poll_output() {
                Output::Transmit(message) => {
                    if self.outbox.push_control(message).is_err() {
                        return ControlFlow::Break(CloseReason::PeerMisbehaved(
                            "it reads nothing of what it asks for",
                        ));
                    }
                }
                Output::TransmitVideo { head, payload, tail, is_keyframe } => {
                    let is_lost = match self.outbox.push_video([head, payload, tail], is_keyframe) {
                        Pushed::Queued => false,
                        // The key frame heals its own display only.
                        Pushed::Replaced => self.displays.len() > 1,
                        Pushed::Dropped => true,
                    };
                    if is_lost {
                        self.feed(Input::VideoLost);
                    }
                }
                Output::TransmitSound(message) => self.outbox.push_sound(message, Instant::now()),
                Output::TransmitBulk(message) => self.outbox.push_bulk(message),
                Output::Seal(key) => {
                    reader.seal(key.clone());
                    self.outbox.push_seal(key);
                }
                Output::Event(Event::Closed(reason)) => {
                    self.outbox.wake();
                    return ControlFlow::Break(reason);
                }
                Output::Event(event) => self.handle_event(event, reader),
                Output::Timeout { at, why } => {
                    // Hands first: each wake-up costs more than all the work for a key.
                    if let Some(hands) = self.hands_waiting.take().and_then(|index| self.handles.get(index)) {
                        hands.flush();
                    }
                    self.outbox.wake();
                    tracing::trace!(session = self.session, why, "waiting");
                    return ControlFlow::Continue(self.stats_at.map_or(at, |stats_at| at.min(stats_at)));
                }
            }
        }
    }

    /// Tells the user that a text or keys were refused, not too often.
    fn tell_refused(&mut self, is_text: bool) {
        let now = Instant::now();
        if self.remarked_at.is_some_and(|at| now < at + REMARK_EVERY) {
            return;
        }
        self.remarked_at = Some(now);
        let text = if is_text {
            format!(
                "A text was not typed: at most {} KiB can wait to be typed. Send it in parts, each when the one before \
                 is typed.",
                MAX_TEXT / 1024
            )
        } else {
            "Keys came faster than the computer takes them: some were left out.".to_owned()
        };
        self.feed(Input::Remark(&text));
    }

    /// Tells the house what this session does, once a second.
    fn tell_stats(&mut self) {
        let now = Instant::now();
        if self.stats_at.is_some_and(|at| at <= now) {
            self.stats_at = Some(now + STATS_EVERY);
            let stats = self.meter.read(self.peer.tally(), now);
            self.host.stats(self.session, &stats);
        }
    }

    fn handle_event(&mut self, event: Event, reader: &mut MessageReader) {
        match event {
            Event::LoginAsked(attempt) => {
                let verdict = self.host.judge(&attempt, Instant::now());
                self.attempt = Some(attempt);
                self.feed(Input::Verdict(verdict));
            }
            Event::LoggedIn { request } => {
                reader.set_limit(PAYLOAD_LIMIT_AFTER_LOGIN);
                if let (Some(attempt), Some(end)) = (self.attempt.take(), self.end.take()) {
                    self.host.logged_in(self.session, &attempt, end);
                }
                self.handles = self.displays.iter().map(|d| d.hid.open_session()).collect();
                self.pictures.update(request);
                self.stats_at = Some(Instant::now() + STATS_EVERY);
            }
            Event::VideoWanted(request) => self.pictures.update(request),
            Event::DisplayShown { index, is_shown } => {
                if let Some(display) = self.displays.get(index) {
                    self.pictures.show(index, &display.video, is_shown);
                }
            }
            Event::SoundWanted(index) => {
                let source = index.and_then(|index| self.displays.get(index)?.audio.as_ref());
                self.sound = source.map(AudioHandle::subscribe);
            }
            Event::ScreenshotWanted { index, sid } => match self.displays.get(index) {
                Some(display) if !self.outbox.has_bulk() => {
                    shoot(&mut self.shots, display.video.clone(), sid);
                }
                Some(_) | None => {
                    let why = "the one before is still on its way".to_owned();
                    self.feed(Input::Screenshot { sid: &sid, png: Err(why) });
                }
            },
            Event::KeyframeWanted { index } => self.pictures.request_keyframe(index),
            Event::Hands { index, event } => {
                let (Some(handle), Some(screen)) = (self.handles.get(index), self.screens.get(index)) else {
                    return;
                };
                if self.told_screen.replace(*screen) != Some(*screen) {
                    handle.set_screen(screen.width, screen.height);
                }
                self.host.noticed(self.session, &event);
                let (is_text, is_key) = (matches!(event, InputEvent::Text(_)), event.is_of_keyboard());
                self.hands_waiting = Some(index);
                if let Err(error) = handle.queue(event) {
                    tracing::debug!(session = self.session, %error, "input discarded");
                    // What is refused of the pointer is made good by the next of it.
                    if is_key {
                        self.tell_refused(is_text);
                    }
                }
            }
            Event::Claim(claim) => {
                self.host.claim(self.session, claim, &self.hold);
                let now = self.hold.borrow().clone();
                self.feed(Input::Hold(&now));
            }
            Event::KeyNotConfirmed => self.host.key_not_confirmed(),
            Event::Closed(_) => {}
        }
    }
}

async fn write_all(mut writer: MessageWriter, outbox: Arc<Outbox>) -> io::Result<()> {
    while let Some(item) = outbox.next().await {
        match item {
            Item::Sound(_, since) if since.elapsed() > LATE_SOUND => {}
            Item::Sound(message, _) => writer.send(&[&message]).await?,
            Item::Seal(key) => writer.seal(key),
            Item::Control(message) | Item::Bulk(message) => writer.send(&[&message]).await?,
            Item::Video([head, payload, tail]) => {
                // The ping that acknowledges a frame follows it in the same breath.
                let next = outbox.next_small();
                writer.send_both(&[&head, &payload, &tail], next.as_deref()).await?;
            }
        }
    }
    Ok(())
}

/// Whose fault a broken transport is.
fn reason_of(error: &io::Error) -> CloseReason {
    if error.kind() == io::ErrorKind::InvalidData {
        CloseReason::PeerMisbehaved("it sent bytes that do not open or are too many")
    } else if error.kind() == io::ErrorKind::TimedOut {
        CloseReason::TimedOut
    } else {
        CloseReason::LeftByController(format!("the connection broke: {error}"))
    }
}
