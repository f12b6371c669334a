//! Runs one target's registration with real sockets: drives [`Client`], resolves the server's name, measures the
//! NAT, and brings controllers in as [`Arrival`]s, several at a time. What the agent must decide or store comes as
//! [`RegistrationEvent`]s (at most a few a minute); it answers with [`RegistrationCommand`]s.
#![allow(clippy::disallowed_methods, reason = "an edge: the machine's clock is read here")]

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::crypto::seed::Seed;
use crate::net::dial::{self, AnswerPort};
use crate::net::listener::HalfOpen;
use crate::net::stream::{Arrival, MessageStream, Route};
use crate::net::udp::{MAX_DATAGRAM, RegistrationSocket};
use crate::rendezvous::client::{Client, ClientSettings, Event, Input, Output, Refusal};
use crate::rendezvous::introduction::{Introduction, LocalAddr, PunchHole, Relay};
use crate::rendezvous::nat::NatKind;
use crate::rendezvous::registrar;
use crate::wire::addr::to_plain;
use crate::wire::endpoint::Endpoint;
use crate::wire::id::PeerId;

/// Wait before a broken registration socket is replaced.
const SOCKET_RETRY: Duration = Duration::from_secs(3);
/// Time that the relay has to take our connection before the controller is told regardless.
const RELAY_HEAD_START: Duration = Duration::from_secs(1);
/// Time that the relay gets to take note of us; it never acknowledges.
const RELAY_SETTLES: Duration = Duration::from_millis(20);

/// What one target's registration is run with.
#[derive(Debug, Clone)]
pub struct RegistrationSettings {
    /// Server, identity, relay, key ([`ClientSettings::new`] fills in what is usual).
    pub client: ClientSettings,
    /// Limits connections without a login; share one with direct access.
    pub half_open: HalfOpen,
}

/// What the agent tells a running registration.
#[derive(Debug)]
pub enum RegistrationCommand {
    /// A controller behaved as if the server had a wrong key for us (`SessionHost::key_not_confirmed`).
    KeyNotConfirmed,
    /// The ID to register from now on, stored already; the answer to [`RegistrationEvent::NewIdWanted`].
    SetId(PeerId),
    /// Whether it still works: it answers at once.
    Ping(oneshot::Sender<()>),
}

/// What a running registration tells the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationEvent {
    /// The ID belongs to another device and was never ours. Store a new one and send
    /// [`RegistrationCommand::SetId`]; asked again each minute until then.
    NewIdWanted,
    /// The server confirmed this ID and key: store `is_confirmed_before = true` for this server and ID.
    KeyConfirmed,
    /// The server says that our confirmed ID belongs to another device. The ID is kept; tell the user.
    Conflict,
}

/// Where a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationState {
    /// The server's name is being looked up, or the first registration is on its way.
    Starting,
    /// Controllers can find us.
    Online,
    /// The last registrations were not answered.
    Shaky,
    /// The server does not answer, or its name does not resolve.
    Unreachable,
    /// The server refuses us.
    Refused,
}

/// Where a registration stands, for status pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegistrationStatus {
    /// The state.
    pub state: RegistrationState,
    /// The server as configured.
    pub server: String,
    /// The server's address in use.
    pub address: Option<SocketAddr>,
    /// `unknown`, `asymmetric` (direct connections are possible) or `symmetric` (relay only).
    pub nat: &'static str,
    /// Controllers that are being met just now.
    pub introductions: usize,
    /// A sentence for users.
    pub message: String,
}

impl RegistrationStatus {
    /// The state before the first step.
    pub fn starting(server: &Endpoint) -> Self {
        Self {
            state: RegistrationState::Starting,
            server: server.to_string(),
            address: None,
            nat: "unknown",
            introductions: 0,
            message: format!("Looking for the ID server {server}."),
        }
    }
}

enum Done {
    Resolved(io::Result<(SocketAddr, RegistrationSocket)>),
    Measured(io::Result<(Vec<u8>, Vec<u8>)>),
    Introduced(u64),
}

/// Runs one registration until `shutdown` is true or the agent has dropped `commands`. `events` is unbounded but
/// sparse; `arrivals` may be small, a full one makes further controllers wait.
pub async fn run(
    settings: RegistrationSettings,
    arrivals: mpsc::Sender<Arrival>,
    status: watch::Sender<RegistrationStatus>,
    events: mpsc::UnboundedSender<RegistrationEvent>,
    mut commands: mpsc::Receiver<RegistrationCommand>,
    mut shutdown: watch::Receiver<bool>,
) {
    let server_name = settings.client.introduction.server.clone();
    let id = settings.client.registrar.id.clone();
    let mut task = Task {
        machine: Client::new(settings.client, Instant::now(), Seed::from_system()),
        half_open: settings.half_open,
        server_name,
        id,
        server: None,
        socket: None,
        jobs: JoinSet::new(),
        arrivals,
        status,
        events,
    };
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let deadline = task.obey().await;
        tokio::select! {
            _ = shutdown.wait_for(|s| *s) => return,
            command = commands.recv() => match command {
                None => return,
                Some(command) => task.command(command),
            },
            received = receive(task.socket.as_ref(), &mut buffer) => match received {
                Ok((len, from)) => {
                    task.machine.handle_input(Input::Datagram { from, bytes: &buffer[..len] }, Instant::now());
                }
                Err(e) => {
                    tracing::warn!("registration: the socket broke and is replaced: {e}");
                    task.socket = None;
                    task.resolve(SOCKET_RETRY);
                }
            },
            Some(done) = task.jobs.join_next() => match done {
                Ok(done) => task.done(done),
                Err(e) => tracing::error!("registration: a step ended badly: {e}"),
            },
            () = sleep_until(deadline) => task.machine.handle_input(Input::Tick, Instant::now()),
        }
    }
}

async fn receive(
    socket: Option<&RegistrationSocket>,
    buffer: &mut [u8; MAX_DATAGRAM],
) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.receive(buffer).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

struct Task {
    machine: Client,
    half_open: HalfOpen,
    server_name: Endpoint,
    id: PeerId,
    server: Option<SocketAddr>,
    socket: Option<RegistrationSocket>,
    jobs: JoinSet<Done>,
    arrivals: mpsc::Sender<Arrival>,
    status: watch::Sender<RegistrationStatus>,
    events: mpsc::UnboundedSender<RegistrationEvent>,
}

impl Task {
    /// Does all that the machine wants and returns its deadline.
    async fn obey(&mut self) -> Option<Instant> {
        loop {
            match self.machine.poll_output() {
                Output::Timeout { at, .. } => return at,
                Output::Transmit(bytes) => {
                    if let (Some(socket), Some(server)) = (&self.socket, self.server) {
                        socket.send(&bytes, server).await;
                    }
                }
                Output::Event(event) => self.handle_event(event),
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Resolve => self.resolve(Duration::ZERO),
            Event::Registration(event) => self.handle_registration(event),
            Event::MeasureNat(request) => {
                let Some(server) = self.server else { return };
                self.jobs.spawn(async move { Done::Measured(dial::ask_twice(server, &request).await) });
            }
            Event::NatKnown(kind) => {
                tracing::info!(?kind, "NAT kind");
                let nat = match kind {
                    NatKind::Unknown => "unknown",
                    NatKind::Asymmetric => "asymmetric",
                    NatKind::Symmetric => "symmetric",
                };
                self.status.send_modify(|s| s.nat = nat);
            }
            Event::Introduce { ticket, introduction } => {
                let Some(server) = self.server else { return };
                self.status.send_modify(|s| s.introductions += 1);
                let door = Door { arrivals: self.arrivals.clone(), half_open: self.half_open.clone() };
                self.jobs.spawn(async move {
                    introduce(server, *introduction, door).await;
                    Done::Introduced(ticket)
                });
            }
            Event::Dropped(why) => tracing::debug!(?why, "a request of the ID server is not answered"),
        }
    }

    fn command(&mut self, command: RegistrationCommand) {
        let input = match command {
            RegistrationCommand::KeyNotConfirmed => Input::KeyNotConfirmed,
            RegistrationCommand::SetId(id) => {
                self.id = id.clone();
                Input::SetId(id)
            }
            RegistrationCommand::Ping(answer) => {
                // Whoever asked may have lost patience.
                let _ = answer.send(());
                return;
            }
        };
        self.machine.handle_input(input, Instant::now());
    }

    fn resolve(&mut self, after: Duration) {
        let name = self.server_name.clone();
        self.jobs.spawn(async move {
            tokio::time::sleep(after).await;
            let resolved = async {
                let address = to_plain(dial::resolve_server(&name).await?);
                Ok((address, RegistrationSocket::bind_for(address).await?))
            };
            Done::Resolved(resolved.await)
        });
    }

    fn done(&mut self, done: Done) {
        let now = Instant::now();
        match done {
            Done::Resolved(Ok((address, socket))) => {
                tracing::info!(server = %self.server_name, %address, "ID server");
                self.server = Some(address);
                self.socket = Some(socket);
                self.status.send_modify(|s| s.address = Some(address));
                self.machine.handle_input(Input::ServerAt(address), now);
            }
            Done::Resolved(Err(e)) => {
                let host = self.server_name.host();
                // A server that was reachable before goes on being asked at its old address.
                self.say(
                    RegistrationState::Unreachable,
                    format!(
                        "The ID server's name {host} cannot be resolved ({e}). Check [server] and the network's DNS; \
                         trying again."
                    ),
                );
                self.machine.handle_input(Input::ResolveFailed, now);
            }
            Done::Measured(Ok((first, second))) => {
                self.machine.handle_input(Input::NatAnswers { first: &first, second: &second }, now);
            }
            Done::Measured(Err(e)) => {
                tracing::debug!("NAT test failed: {e}");
                self.machine.handle_input(Input::NatFailed, now);
            }
            Done::Introduced(ticket) => {
                self.status.send_modify(|s| s.introductions = s.introductions.saturating_sub(1));
                self.machine.handle_input(Input::IntroductionEnded(ticket), now);
            }
        }
    }

    fn handle_registration(&mut self, event: registrar::Event) {
        let (server, port) = (self.server_name.clone(), self.server_name.port());
        match event {
            registrar::Event::Online => {
                let id = self.id.spaced();
                self.say(
                    RegistrationState::Online,
                    format!("Registered at {server}: the RustDesk app reaches this computer by its ID {id}."),
                );
            }
            registrar::Event::KeyConfirmed => self.tell(RegistrationEvent::KeyConfirmed),
            registrar::Event::NewIdWanted => {
                self.say(
                    RegistrationState::Refused,
                    format!("The ID {} belongs to another device at {server}; a new one is chosen.", self.id.spaced()),
                );
                self.tell(RegistrationEvent::NewIdWanted);
            }
            registrar::Event::Refused(refusal) => {
                if refusal == Refusal::Conflict {
                    self.tell(RegistrationEvent::Conflict);
                }
                self.say(RegistrationState::Refused, refusal_sentence(refusal, &server, &self.id));
            }
            registrar::Event::Shaky => self.say(
                RegistrationState::Shaky,
                format!("The ID server {server} left some registrations unanswered; trying again every 3 s."),
            ),
            registrar::Event::Unreachable | registrar::Event::ResolveAgain => self.say(
                RegistrationState::Unreachable,
                format!(
                    "The ID server {server} does not answer. Check that hbbs runs there and that UDP and TCP port {port} \
                     are open; trying again every 3 s."
                ),
            ),
        }
    }

    fn tell(&self, event: RegistrationEvent) {
        // Without a listener the agent is going down.
        let _ = self.events.send(event);
    }

    fn say(&self, state: RegistrationState, message: String) {
        self.status.send_if_modified(|s| {
            let is_new = s.state != state || s.message != message;
            if is_new {
                if matches!(state, RegistrationState::Online | RegistrationState::Starting) {
                    tracing::info!("{message}");
                } else {
                    tracing::warn!("{message}");
                }
                s.state = state;
                s.message = message;
            }
            is_new
        });
    }
}

fn refusal_sentence(refusal: Refusal, server: &Endpoint, id: &PeerId) -> String {
    let id = id.spaced();
    match refusal {
        Refusal::Conflict => format!(
            "The ID server {server} says that the ID {id} belongs to another device. Was this card cloned? Run \
             `kvmdesk id --reset` on one of the two, or remove the old entry at the server."
        ),
        Refusal::IdExists => {
            format!("The ID {id} exists at {server} already. Run `kvmdesk id --reset` for a new one.")
        }
        Refusal::TooFrequent => format!(
            "The ID server {server} refuses more registrations from this network for now; trying again more slowly."
        ),
        Refusal::InvalidId => {
            format!(
                "The ID server {server} does not accept the form of the ID {id}. Run `kvmdesk id --reset`."
            )
        }
        Refusal::NotSupported => format!(
            "The ID server {server} does not register devices over UDP. Check that [server] names the port of hbbs \
             itself (normally 21116)."
        ),
        Refusal::ServerError => {
            format!("The ID server {server} reports a fault of its own; see its log. Trying again.")
        }
        Refusal::NotDeployed => {
            format!("The ID server {server} waits for an operator to deploy the device {id}.")
        }
        Refusal::Unknown(result) => {
            format!(
                "The ID server {server} refuses the registration with the unknown result {result}. Trying again."
            )
        }
    }
}

/// Where controllers are brought in.
struct Door {
    arrivals: mpsc::Sender<Arrival>,
    half_open: HalfOpen,
}

impl Door {
    async fn enter(
        &self,
        socket: TcpStream,
        route: Route,
        is_secure: bool,
        controller: SocketAddr,
    ) -> io::Result<()> {
        let controller = to_plain(controller);
        let slot = self.half_open.admit(controller.ip()).ok_or_else(|| {
            io::Error::other("too many connections without a login, from this controller or in all")
        })?;
        let stream = MessageStream::from_tcp(socket)?.with_slot(slot);
        let arrival = Arrival { stream, route, is_secure, controller };
        self.arrivals.send(arrival).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

async fn introduce(server: SocketAddr, introduction: Introduction, door: Door) {
    let (kind, controller, result) = match introduction {
        Introduction::PunchHole(hole) => ("punch hole", hole.controller, punch(server, &hole, &door).await),
        Introduction::LocalAddr(local) => ("LAN", local.controller, meet_in_lan(server, &local, &door).await),
        Introduction::Relay(relay) => ("relay", relay.controller, meet_at_relay(server, &relay, &door).await),
    };
    match result {
        Ok(()) => tracing::info!(kind, %controller, "a controller is connected"),
        Err(e) => tracing::info!(kind, %controller, "a controller did not get through this way: {e}"),
    }
}

async fn punch(server: SocketAddr, hole: &PunchHole, door: &Door) -> io::Result<()> {
    let port = AnswerPort::open(server).await?;
    port.knock(hole.controller).await;
    let (socket, from) = port.answer_and_accept(&hole.answer).await?;
    door.enter(socket, Route::Punched, true, from).await
}

async fn meet_in_lan(server: SocketAddr, local: &LocalAddr, door: &Door) -> io::Result<()> {
    // Apps expect a relay when the server is reached over IPv6 (reference: network 6.1).
    let opened = if server.is_ipv4() { AnswerPort::open(server).await.ok() } else { None };
    let Some(port) = opened else { return meet_at_relay(server, &local.fallback, door).await };
    let answer = local.answer(port.local_addr());
    let (socket, from) = port.answer_and_accept(&answer).await?;
    door.enter(socket, Route::Punched, true, from).await
}

async fn meet_at_relay(server: SocketAddr, relay: &Relay, door: &Door) -> io::Result<()> {
    let (there, is_there) = oneshot::channel::<()>();
    let meet = async {
        let met = dial::meet_at_relay(&relay.relay, &relay.request).await;
        drop(there);
        door.enter(met?, Route::Relayed, relay.is_secure, relay.controller).await
    };
    // hbbr loses one of two that arrive in the same moment (it looks for a partner and parks under separate locks):
    // we go first and then let the controller be told. A relay that is slow or dead does not hold up the answer.
    let tell = async {
        let _ = timeout(RELAY_HEAD_START, is_there).await;
        tokio::time::sleep(RELAY_SETTLES).await;
        dial::tell_server(server, &relay.answer).await
    };
    let (told, met) = tokio::join!(tell, meet);
    met.and(told)
}
