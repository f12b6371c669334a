//! The device: the real registration task in its namespace, with a small session behind it that makes the
//! handshake and then echoes.

use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kvmdesk::agent::rendezvous_task::{
    self, RegistrationCommand, RegistrationEvent, RegistrationSettings, RegistrationState, RegistrationStatus,
};
use kvmdesk::crypto::identity::{BoxKeyPair, IdentityKeyPair};
use kvmdesk::crypto::seed::Seed;
use kvmdesk::net::listener::HalfOpen;
use kvmdesk::net::stream::{Arrival, Route};
use kvmdesk::rendezvous::client::ClientSettings;
use kvmdesk::wire::endpoint::Endpoint;
use kvmdesk::wire::frame::MAX_AFTER_LOGIN;
use kvmdesk::wire::id::DeviceUuid;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use prost::Message as _;
use tokio::sync::{mpsc, watch};

use super::lab::{HBBS, Lab, Place};

/// The ID of the device unless a test says otherwise.
pub const ID: &str = "234567891";
const PATIENCE: Duration = Duration::from_secs(120);

/// What the device saw of one controller, or how its session ended.
#[derive(Debug, PartialEq)]
pub enum Seen {
    Arrived { route: Route, is_secure: bool, controller: std::net::IpAddr },
    Echoed(Vec<u8>),
    Ended,
}

pub struct Device {
    pub seen: std_mpsc::Receiver<Seen>,
    pub status: watch::Receiver<RegistrationStatus>,
    pub commands: mpsc::Sender<RegistrationCommand>,
    pub events: mpsc::UnboundedReceiver<RegistrationEvent>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The key pair of every test device.
pub fn identity() -> IdentityKeyPair {
    IdentityKeyPair::from_seed(&[42; 32])
}

impl Device {
    /// Starts the device and leaves it registering.
    pub fn start(lab: &Lab, change: impl FnOnce(&mut ClientSettings)) -> Self {
        let server = Endpoint::parse(HBBS, 21116).unwrap();
        let key = identity().public_key();
        let mut client =
            ClientSettings::new(server.clone(), ID.parse().unwrap(), DeviceUuid::Hex([1; 16]), key);
        client.introduction.licence_key = lab.key();
        change(&mut client);
        let settings = RegistrationSettings { client, half_open: HalfOpen::default() };
        let (status_in, status) = watch::channel(RegistrationStatus::starting(&server));
        let (events_in, events) = mpsc::unbounded_channel();
        let (commands, commands_out) = mpsc::channel(4);
        let (stop, shutdown) = watch::channel(false);
        let (seen_in, seen) = std_mpsc::channel();
        let thread = lab.spawn_in(Place::Device, async move {
            let (arrivals_in, mut arrivals) = mpsc::channel(4);
            let sessions = async {
                while let Some(arrival) = arrivals.recv().await {
                    tokio::spawn(session(arrival, seen_in.clone()));
                }
            };
            let run =
                rendezvous_task::run(settings, arrivals_in, status_in, events_in, commands_out, shutdown);
            tokio::select! {
                () = run => {}
                () = sessions => {}
            }
        });
        Self { seen, status, commands, events, stop, thread: Some(thread) }
    }

    /// A device that is online, with its NAT measured.
    pub fn online(lab: &Lab, change: impl FnOnce(&mut ClientSettings)) -> Self {
        let device = Self::start(lab, change);
        device.wait(|s| s.state == RegistrationState::Online && s.nat != "unknown");
        device
    }

    /// Waits for a state of the registration.
    pub fn wait(&self, wanted: impl Fn(&RegistrationStatus) -> bool) -> RegistrationStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status.borrow().clone();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < end, "still {status:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The next thing seen.
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the device saw nothing")
    }

    /// Asserts that the next thing seen is this arrival.
    pub fn expect(&self, route: Route, is_secure: bool, controller: &str) {
        let controller = controller.parse().unwrap();
        assert_eq!(self.next(), Seen::Arrived { route, is_secure, controller });
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn session(arrival: Arrival, seen: std_mpsc::Sender<Seen>) {
    let controller = arrival.controller.ip();
    let _ = seen.send(Seen::Arrived { route: arrival.route, is_secure: arrival.is_secure, controller });
    let (mut reader, mut writer) = arrival.stream.split();
    if arrival.is_secure {
        let ours = BoxKeyPair::from_secret(&Seed::from_system().next_bytes());
        let id_pk = hbb::IdPk { id: ID.into(), pk: ours.public_key().to_vec() }.encode_to_vec();
        let signed = hbb::SignedId { id: identity().sign(&id_pk) };
        let sent = writer.send(&[&encode_message(Union::SignedId(signed))]).await;
        let first = reader.next().await;
        let (Ok(()), Ok(Some(first))) = (sent, first) else {
            let _ = seen.send(Seen::Ended);
            return;
        };
        if let Some(Union::PublicKey(m)) = decode_message(&first).unwrap().union {
            let theirs: [u8; 32] = m.asymmetric_value.try_into().unwrap();
            let key = ours.open_session_key(&m.symmetric_value, &theirs).unwrap();
            reader.seal(key.clone());
            writer.seal(key);
        }
    } else {
        let hash = hbb::Hash { salt: "a2b3c4d5".into(), challenge: "k7m9pq".into() };
        writer.send(&[&encode_message(Union::Hash(hash))]).await.unwrap();
    }
    reader.set_limit(MAX_AFTER_LOGIN);
    while let Ok(Some(payload)) = reader.next().await {
        let _ = seen.send(Seen::Echoed(payload.to_vec()));
        if writer.send(&[&payload]).await.is_err() {
            break;
        }
    }
    let _ = seen.send(Seen::Ended);
}
