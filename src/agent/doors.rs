//! The ways into a running agent (registration, direct access, LAN search) and its metrics. Each is opened from settings,
//! and closed and opened again when these change, while sessions go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::settings::Settings;
use crate::net::listener::HalfOpen;
use crate::net::stream::Arrival;
use crate::wire::discovery::Pong;

use super::answers::Answers;
use super::direct_task::{self, DirectSettings, ListenStatus};
use super::lan_task::{self, LanSettings};
use super::metrics_task::{self, MetricsState};
use super::registration;
use super::rendezvous_task::{self, RegistrationSettings, RegistrationStatus};

/// How the ways in stand; what is not configured is not there.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub(super) registration: Option<watch::Receiver<RegistrationStatus>>,
    pub(super) direct: Option<watch::Receiver<ListenStatus>>,
    pub(super) lan: Option<watch::Receiver<ListenStatus>>,
    pub(super) metrics: Option<watch::Receiver<MetricsState>>,
}

impl Ways {
    /// Where controllers and searches of the LAN arrive.
    pub(super) fn listeners(&self) -> Vec<watch::Receiver<ListenStatus>> {
        [&self.direct, &self.lan].into_iter().flatten().cloned().collect()
    }
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// At the ID server.
    Registration,
    /// By IP address.
    Direct,
    /// The LAN search.
    Lan,
    /// No way in, but a listener all the same.
    Metrics,
}

/// An open way: its tasks, and what ends them.
#[derive(Debug)]
struct Door {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Door {
    fn new() -> (Self, watch::Receiver<bool>) {
        let (stop, stopped) = watch::channel(false);
        (Self { stop, tasks: JoinSet::new() }, stopped)
    }

    async fn close(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The owner of what is open.
#[derive(Debug)]
pub(super) struct Doors {
    answers: Arc<Answers>,
    arrivals: mpsc::Sender<Arrival>,
    half_open: HalfOpen,
    pong: watch::Sender<Pong>,
    open: BTreeMap<Way, Door>,
}

impl Doors {
    /// Nothing is open yet. Controllers go to `arrivals`.
    pub(super) fn new(answers: Arc<Answers>, arrivals: mpsc::Sender<Arrival>) -> Self {
        let pong = watch::channel(registration::pong_of(&answers)).0;
        Self { answers, arrivals, half_open: HalfOpen::default(), pong, open: BTreeMap::new() }
    }

    /// Opens every way of the settings that hold. Needs a tokio runtime; listeners may open a little later.
    pub(super) fn open_all(&mut self) {
        for way in [Way::Registration, Way::Direct, Way::Lan, Way::Metrics] {
            self.open(way);
        }
    }

    /// Closes one way and opens it by the settings that hold now.
    pub(super) async fn open_again(&mut self, way: Way) {
        if let Some(door) = self.open.remove(&way) {
            door.close().await;
        }
        self.open(way);
    }

    /// Tells the LAN search who we are now.
    pub(super) fn rename(&self) {
        self.pong.send_replace(registration::pong_of(&self.answers));
    }

    pub(super) async fn close_all(self) {
        for door in self.open.into_values() {
            door.close().await;
        }
    }

    fn open(&mut self, way: Way) {
        let settings = self.answers.settings();
        let door = match way {
            Way::Registration => self.open_registration(&settings),
            Way::Direct => self.open_direct(),
            Way::Lan => self.open_lan(&settings),
            Way::Metrics => self.open_metrics(&settings),
        };
        if let Some(door) = door {
            self.open.insert(way, door);
        }
    }

    fn open_registration(&self, settings: &Settings) -> Option<Door> {
        let Some(server) = &settings.server else {
            self.answers.ways().registration = None;
            self.answers.sessions.set_registration(None);
            return None;
        };
        let (mut door, stopped) = Door::new();
        let (status, told) = watch::channel(RegistrationStatus::starting(&server.host));
        let host = server.host.to_string();
        let client = {
            let identity = self.answers.identity();
            let is_confirmed = identity.registered_with.as_ref() == Some(&host);
            let public_key = identity.key_pair().public_key();
            server.client(identity.id.clone(), identity.uuid, public_key, is_confirmed)
        };
        let settings = RegistrationSettings { client, half_open: self.half_open.clone() };
        let (events, heard) = mpsc::unbounded_channel();
        let (commands, ordered) = mpsc::channel(8);
        self.answers.sessions.set_registration(Some(commands.clone()));
        let arrivals = self.arrivals.clone();
        door.tasks.spawn(rendezvous_task::run(settings, arrivals, status, events, ordered, stopped.clone()));
        let (answers, pong) = (Arc::clone(&self.answers), self.pong.clone());
        door.tasks.spawn(registration::obey(answers, host, heard, commands, pong, stopped));
        self.answers.ways().registration = Some(told);
        Some(door)
    }

    fn open_direct(&self) -> Option<Door> {
        let is_private_only = self.answers.is_before_setup();
        let Some(direct) = self.answers.direct() else {
            self.answers.ways().direct = None;
            return None;
        };
        let (mut door, stopped) = Door::new();
        let (status, told) = watch::channel(ListenStatus::starting(direct.listen));
        let half_open = self.half_open.clone();
        let settings = DirectSettings { address: direct.listen, is_private_only, half_open };
        door.tasks.spawn(direct_task::run(settings, self.arrivals.clone(), status, stopped));
        self.answers.ways().direct = Some(told);
        Some(door)
    }

    fn open_lan(&self, settings: &Settings) -> Option<Door> {
        let is_by_address = self.answers.is_before_setup();
        if !settings.is_lan_discovery_on && !is_by_address {
            self.answers.ways().lan = None;
            return None;
        }
        let (mut door, stopped) = Door::new();
        let address = self.answers.well_known.discovery;
        let (status, told) = watch::channel(ListenStatus::starting(address));
        door.tasks.spawn(lan_task::run(
            LanSettings { address, is_by_address },
            self.pong.subscribe(),
            status,
            stopped,
        ));
        self.answers.ways().lan = Some(told);
        Some(door)
    }

    fn open_metrics(&self, settings: &Settings) -> Option<Door> {
        let Some(address) = settings.metrics.clone() else {
            self.answers.ways().metrics = None;
            return None;
        };
        let (mut door, stopped) = Door::new();
        let (state, told) = watch::channel(MetricsState::starting(&address));
        door.tasks.spawn(metrics_task::run(address, Arc::clone(&self.answers), state, stopped));
        self.answers.ways().metrics = Some(told);
        Some(door)
    }
}
