//! Answers the control socket's requests from the running parts of one target.
#![allow(clippy::disallowed_methods, reason = "an edge: up-time is measured here")]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tokio::sync::watch;

use crate::config::settings::hid::HidChoice;
use crate::config::settings::{DirectSettings, Settings};
use crate::hid::writer::{HidHandle, HidHealth, TextProgress};
use crate::input::event::{InputEvent, LedState};
use crate::input::typist::Typist;
use crate::media::audio::{AudioDevice, AudioHandle};
use crate::media::pipeline::VideoHandle;
use crate::wire::id::PeerId;

use super::control::{Answer, ControlHost, Picture, PictureFuture, Request};
use super::doors::Ways;
use super::first_run::{self, WellKnown};
use super::identity::Identity;
use super::measured::{audio_status, video_status};
use super::password;
use super::rendezvous_task::RegistrationState;
use super::sessions::Sessions;
use super::status::{
    DirectStatus, HidStatus, MetricsStatus, RecoveryStatus, ServerStatus, Status, TargetStatus,
};
use super::store::Store;

/// Sentences of the configuration that `status` shows.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// About the one that holds.
    pub(super) told: Vec<String>,
    /// About one that was not taken over; empty if none was refused since.
    pub(super) refusal: String,
}

/// What the running parts tell.
#[derive(Debug)]
pub struct Answers {
    /// What holds now.
    pub(super) settings: RwLock<Arc<Settings>>,
    pub(super) store: Store,
    pub(super) started: Instant,
    pub(super) identity: Mutex<Identity>,
    pub(super) problems: Mutex<Problems>,
    pub(super) identity_problem: Mutex<String>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) displays: Vec<VideoHandle>,
    pub(super) audio: Option<AudioHandle>,
    pub(super) health: watch::Receiver<HidHealth>,
    pub(super) leds: watch::Receiver<LedState>,
    /// What `kvmdesk type` types with.
    pub(super) shell: HidHandle,
    pub(super) typist: Mutex<Typist>,
    pub(super) ways: Mutex<Ways>,
    pub(super) well_known: WellKnown,
    /// False as long as this holds: [`first_run`].
    pub(super) set_up: watch::Sender<bool>,
}

impl Answers {
    /// The ID as it is now.
    pub fn id(&self) -> PeerId {
        self.identity().id.clone()
    }

    pub(super) fn identity(&self) -> MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_settings(&self, settings: Arc<Settings>) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    pub(super) fn set_typist(&self, typist: Typist) {
        *self.typist.lock().unwrap_or_else(PoisonError::into_inner) = typist;
    }

    pub(super) fn problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this board waits for its setup.
    pub(super) fn is_before_setup(&self) -> bool {
        !*self.set_up.borrow()
    }

    /// Ends the time before setup if there is a way in or a password now; for good.
    pub(super) fn look_whether_set_up(&self) {
        let has_password = self.sessions.one_time().borrow().is_none();
        if !self.is_before_setup() || first_run::is_before_setup(&self.store, &self.settings(), has_password)
        {
            return;
        }
        tracing::info!("this board is set up: it is no longer found by its address");
        if let Err(error) = first_run::keep_set_up(&self.store) {
            tracing::error!("that this board is set up could not be kept: {error}");
        }
        self.set_up.send_replace(true);
    }

    /// Direct access as it holds: that of the settings, or the one before setup.
    pub(super) fn direct(&self) -> Option<DirectSettings> {
        let early = DirectSettings { listen: self.well_known.direct, is_plaintext_allowed: true };
        self.settings().direct.or(self.is_before_setup().then_some(early))
    }

    /// Says what is wrong with storing the identity, empty if nothing is; whether that is news.
    pub(super) fn set_identity_problem(&self, text: &str) -> bool {
        let mut problem = self.identity_problem.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *problem != text;
        text.clone_into(&mut problem);
        is_new
    }

    /// The snapshot.
    pub fn status(&self) -> Status {
        let settings = self.settings();
        let displays: Vec<_> =
            settings.displays.iter().zip(&self.displays).map(|(s, h)| video_status(s, h)).collect();
        let audio = self.audio.as_ref().map(|audio| audio_status(audio.report()));
        let health = self.health.borrow().clone();
        let leds = *self.leds.borrow();
        let ways = self.ways();
        let server = ways.registration.as_ref().map(|r| {
            let r = r.borrow();
            ServerStatus {
                host: r.server.clone(),
                is_online: r.state == RegistrationState::Online,
                nat: r.nat.to_owned(),
                state: r.message.clone(),
            }
        });
        let direct = ways.direct.as_ref().map(|d| {
            let d = d.borrow();
            DirectStatus {
                listen: d.address.to_string(),
                is_open: d.is_open,
                is_plaintext_allowed: self.direct().is_some_and(|d| d.is_plaintext_allowed),
            }
        });
        let metrics = ways.metrics.as_ref().map(|m| m.borrow().clone());
        let mut problems = {
            let Problems { told, refusal } = &*self.problems();
            let refusal = Some(refusal.clone()).filter(|refusal| !refusal.is_empty());
            refusal.into_iter().chain(told.iter().cloned()).collect::<Vec<_>>()
        };
        problems.extend(self.is_before_setup().then(|| first_run::NOTICE.to_owned()));
        problems.extend(server.iter().filter(|s| !s.is_online).map(|s| s.state.clone()));
        for listener in ways.direct.iter().chain(&ways.lan) {
            let listener = listener.borrow();
            if !listener.is_open {
                problems.push(listener.message.clone());
            }
        }
        problems.extend(metrics.iter().filter(|m| !m.is_open).map(|m| m.message.clone()));
        for (n, notice) in displays.iter().map(|d| &d.notice).enumerate().filter(|(_, n)| !n.is_empty()) {
            let which = if displays.len() > 1 { format!("Display {}: ", n + 1) } else { String::new() };
            problems.push(which + notice);
        }
        // A board without a sound card is none to look at; a device that is named and not there is.
        let is_named = settings.audio.as_ref().is_some_and(|a| matches!(a.device, AudioDevice::Named(_)));
        let no_sound = audio.as_ref().filter(|_| is_named).map(|a| a.notice.clone());
        let identity = self.identity_problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let spoken =
            [health.notice.clone(), identity, self.sessions.log_problem(), no_sound.unwrap_or_default()];
        problems.extend(spoken.into_iter().filter(|text| !text.is_empty()));
        let lit = [
            ("num-lock", leds.is_num_lock),
            ("caps-lock", leds.is_caps_lock),
            ("scroll-lock", leds.is_scroll_lock),
        ];
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            problems,
            metrics: metrics.map(|m| MetricsStatus { listen: m.address.to_string(), is_open: m.is_open }),
            target: TargetStatus {
                name: settings.target.name.clone(),
                id: self.id().as_str().to_owned(),
                password: if self.sessions.one_time().borrow().is_some() { "one-time" } else { "permanent" }
                    .to_owned(),
                suspects: self.sessions.suspects(),
                server,
                direct,
                is_lan_discovery_on: ways.lan.is_some(),
                video: displays.first().cloned().unwrap_or_default(),
                displays,
                audio,
                hid: HidStatus {
                    backend: match &settings.hid {
                        HidChoice::Gadget { spec, .. } => format!("gadget {}", spec.name),
                        HidChoice::Ch9329(settings) => format!("ch9329 on {}", settings.device.display()),
                        HidChoice::Uinput => "uinput".to_owned(),
                        HidChoice::Recording { .. } => "recording".to_owned(),
                    },
                    is_connected: health.is_connected,
                    notice: health.notice,
                    reports_written: health.reports_written,
                    events_discarded: health.events_discarded,
                    characters_not_typed: health.characters_not_typed,
                    leds: lit
                        .iter()
                        .filter(|(_, is_lit)| *is_lit)
                        .map(|(name, _)| (*name).to_owned())
                        .collect(),
                    recovery: RecoveryStatus {
                        rung: health.recovery.rung.map(|rung| rung.word().to_owned()),
                        losses: health.recovery.losses,
                        rebinds: health.recovery.rebinds,
                        rebuilds: health.recovery.rebuilds,
                    },
                },
                sessions: self.sessions.list(),
            },
        }
    }

    /// Types some characters; what is typed is in no log.
    fn type_text(&self, text: String) -> Answer {
        let health = self.health.borrow();
        if !health.is_connected && !text.is_empty() {
            return Answer::Failed { text: health.notice.clone() };
        }
        let typist = self.typist.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let left_out = text.chars().filter(|c| typist.chords(*c, false).is_none()).collect();
        if !text.is_empty() && self.shell.send(InputEvent::Text(text)).is_err() {
            return Answer::Failed {
                text: "The keyboard queue is full: the computer does not take input.".to_owned(),
            };
        }
        let TextProgress { bytes_waiting: waiting, cuts } = self.shell.text_progress();
        Answer::Typing { waiting, cuts, left_out }
    }

    /// Asks for the computer to be woken.
    fn wake(&self) -> Answer {
        if !matches!(&self.settings().hid, HidChoice::Gadget { spec, .. } if spec.can_wake) {
            let text = "The computer is not woken by USB: set gadget.wake to \"command\" or \"input\", run `kvmdesk \
                        gadget up` as root, and start kvmdesk anew.";
            return Answer::Failed { text: text.to_owned() };
        }
        self.shell.wake();
        let text = "The computer is asked to wake up. Whether it does is its choice: `kvmdesk status` shows whether it \
                    takes input.";
        Answer::Done { text: text.to_owned() }
    }

    /// Takes the stored password over.
    fn reload_password(&self) -> Answer {
        match password::load(&self.store) {
            Ok(hash) => {
                let is_set = hash.is_some();
                let ended = self.sessions.set_permanent(hash);
                self.look_whether_set_up();
                tracing::info!(is_set, ended, "the permanent password changed");
                let mut text =
                    if is_set { "The password holds from now on." } else { "No password is set." }.to_owned();
                if ended > 0 {
                    text.push_str(&format!(" Sessions ended because they used the old one: {ended}."));
                }
                Answer::Done { text }
            }
            Err(error) => Answer::Failed { text: error.to_string() },
        }
    }
}

impl ControlHost for Answers {
    fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Status(Box::new(self.status())),
            Request::EndSession { session } if self.sessions.end(session) => {
                tracing::info!(session, "ended on request");
                Answer::Done { text: format!("Session {session} is ended.") }
            }
            Request::EndSession { session } => Answer::Failed {
                text: format!("There is no session {session} now; `kvmdesk sessions` lists them."),
            },
            Request::Unlock => {
                self.sessions.unlock();
                tracing::info!("locks after wrong passwords cleared on request");
                Answer::Done { text: "All locks after wrong passwords are cleared.".to_owned() }
            }
            Request::ReloadPassword => self.reload_password(),
            Request::Type { text } => self.type_text(text),
            Request::Wake => self.wake(),
            Request::OneTimePassword => Answer::OneTimePassword {
                password: self.sessions.one_time().borrow().as_ref().map(|p| p.reveal().clone()),
            },
            Request::Snapshot { .. } => Answer::Failed { text: "a picture is made elsewhere".to_owned() },
        }
    }

    fn picture(&self, display: usize) -> PictureFuture {
        let displays = &self.displays;
        let found = display.checked_sub(1).and_then(|n| displays.get(n).cloned());
        let count = displays.len();
        Box::pin(async move {
            let found = found.ok_or_else(|| format!("there is no display {display}; there are {count}"))?;
            let snapshot = found.snapshot().await.map_err(|e| e.to_string())?;
            let size = snapshot.resolution;
            // Seconds on a small board: not on a thread that serves sessions.
            let compressing = tokio::task::spawn_blocking(move || snapshot.to_png());
            let png = compressing.await.map_err(|e| e.to_string())?;
            if png.is_empty() {
                return Err("the picture could not be made a PNG".to_owned());
            }
            Ok(Picture { width: size.width, height: size.height, bytes: png.len(), png })
        })
    }
}
