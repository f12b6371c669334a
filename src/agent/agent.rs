//! [`Agent`]: one target's running parts, put together and taken down again. Started, it serves until
//! [`Agent::stop`]; whichever way it ends, keys and buttons go up.
#![allow(clippy::disallowed_methods, reason = "an edge: the gate is told the time")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::settings::Settings;
use crate::config::settings::hid::HidChoice;
use crate::crypto::password::PasswordHash;
use crate::crypto::secret::Secret;
use crate::crypto::seed::Seed;
use crate::hid::backend;
use crate::hid::writer::{HidSettings, HidWriter};
use crate::input::layout::{Layout, UnknownLayout};
use crate::input::typist::Typist;
use crate::media::encode::encoders::Encoders;
use crate::media::pipeline::{Pipeline, SourceSettings, VideoSettings};
use crate::net::stream::Arrival;
use crate::peer::gate::Gate;
use crate::session::driver::{self, Display};
use crate::wire::id::PeerId;

use super::answers::{Answers, Problems};
use super::board_card::{BoardCard, TestCards};
use super::control;
use super::direct_task::ListenStatus;
use super::doors::Doors;
use super::first_run::{self, WellKnown};
use super::identity::{self, Birth};
use super::logbook::Logbook;
use super::password::{self, PasswordError};
use super::reload::{self, Reloader};
use super::rendezvous_task::RegistrationStatus;
use super::sessions::Sessions;
use super::sound::Sound;
use super::status::Status;
use super::store::{Store, StoreError, StoreLock};
use super::vitals::Vitals;

/// Sessions have so long to say good-bye.
const FAREWELL: Duration = Duration::from_millis(800);
/// Threads have so long to end after that.
const THREADS_END: Duration = Duration::from_millis(500);
/// Refused connections are told this often at most.
const REFUSALS_TOLD: Duration = Duration::from_secs(60);
/// Configurations that were read anew and are not taken over yet.
const READINGS: usize = 4;
/// Connections waiting for their session.
const ARRIVALS: usize = 16;

/// What an agent is started with.
#[derive(Debug)]
pub struct AgentOptions {
    /// Everything configured.
    pub settings: Settings,
    /// A password for this run only, in place of the stored one.
    pub password: Option<Secret<String>>,
    /// Sentences that `status` shows from the start.
    pub problems: Vec<String>,
    /// Where the board tells its serial number; `/` but in tests.
    pub board_root: std::path::PathBuf,
    /// What it listens on for apps that know nothing of it.
    pub well_known: WellKnown,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password of this run.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The target's keyboard layout.
    #[error(transparent)]
    Layout(#[from] UnknownLayout),
    /// A device.
    #[error(transparent)]
    Device(#[from] backend::OpenError),
    /// The control socket.
    #[error(
        "the control socket {path} cannot be made: {error}; a shorter --state-dir helps if it is too long"
    )]
    Socket {
        /// Its path.
        path: std::path::PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// No thread left.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// One running target.
#[derive(Debug)]
pub struct Agent {
    answers: Arc<Answers>,
    reloader: Reloader,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    displays: Vec<Display>,
    pipelines: Vec<Pipeline>,
    sound: Sound,
    vitals: Vitals,
    _lock: StoreLock,
}

impl Agent {
    /// Claims the state directory, opens the devices and starts every task. Listeners may open a little later; see
    /// [`Agent::direct`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub fn start(options: AgentOptions) -> Result<Self, StartError> {
        let AgentOptions { settings, password, problems, board_root, well_known } = options;
        let store = Store::open(&settings.state_dir)?;
        let lock = store.lock()?;
        let mut seed = Seed::from_system();
        let identity = load_identity(&store, &board_root, &mut seed)?;
        let permanent = match &password {
            Some(text) => Some(PasswordHash::new(password::check(text.reveal())?, &identity.salt)),
            None => password::load(&store)?,
        };
        let is_set_up = !first_run::is_before_setup(&store, &settings, permanent.is_some());
        if is_set_up && let Err(error) = first_run::keep_set_up(&store) {
            tracing::error!("that this board is set up could not be kept: {error}");
        }
        if !is_set_up {
            tracing::warn!("{}", first_run::NOTICE);
        }
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
        let gate = Gate::new(identity.salt.clone(), permanent, Instant::now(), unix_ms, seed.split());

        let backend = backend::open(&settings.hid.backend())?;
        let layout = Layout::by_name(&settings.target.keyboard_layout)?;
        let keyboard_layout = settings.target.keyboard_layout.clone();
        let hid = Arc::new(HidWriter::spawn(
            backend,
            HidSettings {
                keyboard_layout,
                unicode_entry: settings.target.unicode_entry,
                pointer: settings.target.pointer,
                wakes_on_input: settings.hid.wakes_on_input(),
            },
        ));
        let (cards, told) = TestCards::new(settings.displays.len());
        let encoders = Encoders::in_order(&settings.encoder_order);
        let pipelines: Vec<_> = settings
            .displays
            .iter()
            .zip(told)
            .map(|(video, card)| Pipeline::spawn(video.clone(), card, Arc::clone(&encoders)))
            .collect();
        // The settings take it from the first picture that is captured.
        let is_captured = |video: &VideoSettings| matches!(video.source, SourceSettings::V4l2(_));
        let captured = settings.displays.iter().position(is_captured).map(|n| pipelines[n].handle());
        let opened = move || captured.as_ref().and_then(|handle| handle.stats().source.opened);
        let sound = Sound::start(settings.audio.clone(), Box::new(opened));
        // Several pictures, but one computer: they share its keyboard, pointer and sound.
        let displays: Vec<_> = pipelines
            .iter()
            .map(|p| Display {
                video: p.handle(),
                health: hid.health(),
                hid: Arc::clone(&hid),
                audio: sound.handle(),
            })
            .collect();

        let logbook = Logbook::open(store.clone());
        // With a real computer among the displays nothing of what is typed on it may be shown or kept.
        let is_card_told = settings.displays.iter().all(|d| d.source == SourceSettings::Pattern);
        let board_card = is_card_told.then(|| BoardCard::new(card_title(&settings)));
        let sessions = Arc::new(
            Sessions::new(gate, settings.sharing, logbook, board_card, cards).map_err(StartError::Thread)?,
        );

        let socket = store.socket();
        let control =
            control::bind(&socket).map_err(|error| StartError::Socket { path: socket.clone(), error })?;
        let (stop, stopped) = watch::channel(false);
        let answers = Arc::new(Answers {
            started: Instant::now(),
            identity: identity.clone().into(),
            problems: Problems { told: problems, refusal: String::new() }.into(),
            identity_problem: Mutex::default(),
            sessions: Arc::clone(&sessions),
            displays: pipelines.iter().map(Pipeline::handle).collect(),
            audio: sound.handle(),
            health: hid.health(),
            leds: hid.leds(),
            shell: hid.open_session(),
            typist: Typist::new(layout, settings.target.unicode_entry).into(),
            ways: Mutex::default(),
            well_known,
            set_up: watch::Sender::new(is_set_up),
            store,
            settings: RwLock::new(Arc::new(settings)),
        });

        let mut tasks = JoinSet::new();
        let (arrivals, arrived) = mpsc::channel(ARRIVALS);
        let mut doors = Doors::new(Arc::clone(&answers), arrivals);
        doors.open_all();
        let vitals = Vitals {
            displays: pipelines.iter().map(Pipeline::handle).collect(),
            hands: hid.open_session(),
            health: hid.health(),
            registration: sessions.registration(),
            listeners: answers.ways().listeners(),
        };
        let (reloader, readings) = mpsc::channel(READINGS);
        let shown = displays.clone();
        tasks.spawn(reload::run(Arc::clone(&answers), doors, shown, readings, stopped.clone()));
        let serving = control::serve(control, Arc::clone(&answers) as Arc<dyn control::ControlHost>);
        let mut control_stopped = stopped.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = until_true(&mut control_stopped) => {}
            }
        });
        tasks.spawn(receive(Arc::clone(&answers), displays.clone(), arrived, stopped));
        drop(hid);
        let reloader = Reloader(reloader);
        Ok(Self { answers, reloader, stop, tasks, displays, pipelines, sound, vitals, _lock: lock })
    }

    /// Where a configuration that was read anew goes.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Its parts, to ask whether they work.
    pub fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// The ID to dial.
    pub fn id(&self) -> PeerId {
        self.answers.id()
    }

    /// The one-time password while no permanent one is set; changes are seen. For a console only.
    pub fn one_time_password(&self) -> watch::Receiver<Option<Secret<String>>> {
        self.answers.sessions.one_time()
    }

    /// Whether the board is set up; seen when it comes to that. Before, [`first_run`] holds.
    pub fn set_up(&self) -> watch::Receiver<bool> {
        self.answers.set_up.subscribe()
    }

    /// The LAN search's listener's state, if there is one.
    pub fn lan(&self) -> Option<watch::Receiver<ListenStatus>> {
        self.answers.ways().lan.clone()
    }

    /// The direct listener's state, if there is one.
    pub fn direct(&self) -> Option<watch::Receiver<ListenStatus>> {
        self.answers.ways().direct.clone()
    }

    /// The registration's state, if there is one.
    pub fn registration(&self) -> Option<watch::Receiver<RegistrationStatus>> {
        self.answers.ways().registration.clone()
    }

    /// A snapshot.
    pub fn status(&self) -> Status {
        self.answers.status()
    }

    /// Ends everything in less than two seconds: sessions say good-bye, keys and buttons go up, log-ins are written.
    pub async fn stop(self) {
        let Self { answers, reloader: _, stop, mut tasks, displays, pipelines, sound, vitals: _, _lock } =
            self;
        stop.send_replace(true);
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all_ended).await.is_err() {
            tracing::warn!("some sessions did not end in time and are cut");
            tasks.shutdown().await;
        }
        tracing::debug!("tasks ended");
        // First the hands: whatever else hangs, no key stays down.
        end_thread("hid-writer", move || drop(displays)).await;
        let sessions = Arc::clone(&answers.sessions);
        let mut endings = JoinSet::new();
        endings.spawn(end_thread("log-ins", move || sessions.finish()));
        endings.spawn(end_thread("media-audio", move || sound.stop()));
        for pipeline in pipelines {
            endings.spawn(end_thread("media-pipeline", move || drop(pipeline)));
        }
        endings.join_all().await;
        let _ = std::fs::remove_file(answers.store.socket());
    }
}

/// Joins a thread without ever waiting for it too long.
async fn end_thread(name: &'static str, end: impl FnOnce() + Send + 'static) {
    let ending = tokio::task::spawn_blocking(end);
    match tokio::time::timeout(THREADS_END, ending).await {
        Ok(_) => tracing::debug!("{name} ended"),
        Err(_) => tracing::warn!("the thread {name} does not end in time and is left behind"),
    }
}

fn load_identity(
    store: &Store,
    board_root: &Path,
    seed: &mut Seed,
) -> Result<identity::Identity, StoreError> {
    let (identity, birth) = identity::load_or_create(store, identity::board_serial(board_root), seed)?;
    let id = &identity.id;
    match birth {
        Birth::Kept => tracing::info!(%id, "identity loaded"),
        Birth::Created => tracing::info!(%id, "first start: a new identity was made"),
        Birth::RenewedOnOtherBoard => tracing::warn!(
            %id,
            "THIS IS ANOTHER BOARD than the one the state directory comes from (its serial number differs): a new \
             ID and key were made, so that both can live; to move the old identity here instead, use \
             `kvmdesk id --import`"
        ),
    }
    Ok(identity)
}

/// Gives every arrival its session, until the stop; then waits for the sessions to end.
async fn receive(
    answers: Arc<Answers>,
    displays: Vec<Display>,
    mut arrived: mpsc::Receiver<Arrival>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut running = JoinSet::new();
    let mut refused_at: Option<Instant> = None;
    loop {
        tokio::select! {
            () = until_true(&mut stopped) => break,
            Some(ended) = running.join_next() => report(ended),
            arrival = arrived.recv() => {
                // No way in is configured: nothing ever arrives, and the stop ends the wait.
                let Some(arrival) = arrival else {
                    until_true(&mut stopped).await;
                    break;
                };
                let Some(session) = answers.sessions.admit(arrival.controller, arrival.route) else {
                    // Whoever floods us must not fill the journal as well.
                    if refused_at.is_none_or(|at| at.elapsed() >= REFUSALS_TOLD) {
                        refused_at = Some(Instant::now());
                        tracing::warn!(controller = %arrival.controller, "too many connections: more are refused");
                    }
                    continue;
                };
                tracing::debug!(session, controller = %arrival.controller, "a controller connected");
                let mut settings = {
                    let identity = answers.identity();
                    answers.settings().peer(identity.id.clone(), identity.key_pair(), identity.salt.clone())
                };
                let (host, displays) = (Arc::clone(&answers.sessions) as _, displays.clone());
                let mut shutdown = stopped.clone();
                if answers.is_before_setup() {
                    // There is no other way in then.
                    settings.is_direct_plaintext_allowed = true;
                    shutdown = answers.set_up.subscribe();
                }
                running.spawn(async move {
                    driver::run(session, arrival, settings, displays, host, shutdown).await;
                });
            }
        }
    }
    drop(displays);
    // Ends those that came before setup, too.
    answers.set_up.send_replace(true);
    while let Some(ended) = running.join_next().await {
        report(ended);
    }
}

/// The first line of the test card.
pub(super) fn card_title(settings: &Settings) -> String {
    format!("kvmdesk {}: {}", env!("CARGO_PKG_VERSION"), settings.target.name)
}

pub(super) async fn until_true(stopped: &mut watch::Receiver<bool>) {
    // An error means that the agent is gone, which is a stop too.
    let _ = stopped.wait_for(|s| *s).await;
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a session ended by a fault of ours: {error}");
    }
}

/// What needs no configuration to know: whether a device of these settings can be opened, as sentences for `check`.
pub fn look_at_devices(settings: &Settings) -> Vec<String> {
    let mut faults = vec![];
    let mut devices: Vec<(String, PathBuf)> = vec![];
    for (n, display) in settings.displays.iter().enumerate() {
        let SourceSettings::V4l2(capture) = &display.source else { continue };
        let key = if n == 0 { "video.device".to_owned() } else { format!("display-{}.device", n + 1) };
        // Links of several names can lead to one device.
        let found = capture.present().find_map(|(node, _)| Some((node.canonicalize().ok()?, node)));
        let Some((real, device)) = found else {
            faults.push(format!("{key}: {capture} is not there now"));
            continue;
        };
        if let Some((other, _)) = devices.iter().find(|(_, known)| *known == real) {
            faults.push(format!("{key}: {} is the same device as {other}", device.display()));
        }
        devices.push((key, real));
    }
    if let (HidChoice::Gadget { .. }, backend::BackendSettings::Gadget(nodes)) =
        (&settings.hid, settings.hid.backend())
        && let Err(error) = backend::gadget::probe(&nodes)
    {
        faults.push(format!("hid.gadget: {error}; `kvmdesk gadget up` builds it"));
    }
    if let backend::BackendSettings::Uinput(node) = settings.hid.backend()
        && let Err(error) = backend::uinput::probe(&node)
    {
        faults.push(format!(
            "hid.backend: {error}; load the kernel module uinput and let kvmdesk's user write it"
        ));
    }
    if let HidChoice::Ch9329(chip) = &settings.hid
        && !chip.device.exists()
    {
        faults.push(format!("hid.device: {} is not there now", chip.device.display()));
    }
    faults
}
