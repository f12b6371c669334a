//! The registration task against a scripted ID server on loopback: registered, refused, silent, restarted, garbage;
//! controllers brought in over the punch, the LAN and the relay.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

use std::net::SocketAddr;
use std::time::Duration;

use kvmdesk::agent::rendezvous_task::{
    self, RegistrationCommand, RegistrationEvent, RegistrationSettings, RegistrationState, RegistrationStatus,
};
use kvmdesk::net::listener::HalfOpen;
use kvmdesk::net::stream::{Arrival, Route};
use kvmdesk::rendezvous::client::ClientSettings;
use kvmdesk::wire::addr::{mangle, unmangle};
use kvmdesk::wire::endpoint::Endpoint;
use kvmdesk::wire::frame::{self, FrameDecoder};
use kvmdesk::wire::id::DeviceUuid;
use kvmdesk::wire::message::hbb::rendezvous_message::Union;
use kvmdesk::wire::message::{decode_rendezvous, encode_rendezvous, hbb};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};

const PATIENCE: Duration = Duration::from_secs(60);
const CONTROLLER: &str = "127.0.0.1:9";

/// The ID server's half of one test.
struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    device: Option<SocketAddr>,
}

impl Server {
    async fn start() -> Self {
        loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                return Self { udp, tcp, device: None };
            }
        }
    }

    fn address(&self) -> SocketAddr {
        self.udp.local_addr().unwrap()
    }

    /// The next registration message.
    async fn registration(&mut self) -> Union {
        let mut buffer = [0; 1500];
        let (len, from) = within(self.udp.recv_from(&mut buffer)).await.unwrap();
        self.device = Some(from);
        decode_rendezvous(&buffer[..len]).unwrap().union.unwrap()
    }

    async fn send(&self, bytes: &[u8]) {
        self.udp.send_to(bytes, self.device.unwrap()).await.unwrap();
    }

    async fn send_union(&self, union: Union) {
        self.send(&encode_rendezvous(union)).await;
    }

    async fn key_result(&self, result: i32) {
        self.send_union(Union::RegisterPkResponse(hbb::RegisterPkResponse { result, keep_alive: 0 })).await;
    }

    /// Goes through a first registration.
    async fn register(&mut self) {
        assert!(matches!(self.registration().await, Union::RegisterPk(_)));
        self.key_result(0).await;
        assert!(
            matches!(self.registration().await, Union::RegisterPeer(_)),
            "RegisterPeer follows the OK at once"
        );
        self.send(&[0x3a, 0]).await;
    }

    /// The next answer over TCP that is no NAT test, and the address it came from.
    async fn answer(&self) -> (Union, SocketAddr, TcpStream) {
        loop {
            let (mut socket, from) = within(self.tcp.accept()).await.unwrap();
            match read_union(&mut socket).await {
                Union::TestNatRequest(_) => {}
                other => return (other, from, socket),
            }
        }
    }
}

async fn read_union(socket: &mut TcpStream) -> Union {
    let mut decoder = FrameDecoder::new(4096);
    loop {
        if let Some(payload) = decoder.take().unwrap() {
            return decode_rendezvous(&payload).unwrap().union.unwrap();
        }
        assert!(within(socket.read_buf(decoder.buffer_mut())).await.unwrap() > 0, "closed too early");
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("nothing happened for a minute")
}

/// The device's half.
struct Device {
    arrivals: mpsc::Receiver<Arrival>,
    status: watch::Receiver<RegistrationStatus>,
    events: mpsc::UnboundedReceiver<RegistrationEvent>,
    commands: mpsc::Sender<RegistrationCommand>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Device {
    fn start(server: SocketAddr, change: impl FnOnce(&mut ClientSettings)) -> Self {
        let server = Endpoint::parse(&server.to_string(), 21116).unwrap();
        let id = "234567891".parse().unwrap();
        let mut client = ClientSettings::new(server.clone(), id, DeviceUuid::Hex([1; 16]), [2; 32]);
        change(&mut client);
        let settings = RegistrationSettings { client, half_open: HalfOpen::default() };
        let (arrivals_in, arrivals) = mpsc::channel(4);
        let (status_in, status) = watch::channel(RegistrationStatus::starting(&server));
        let (events_in, events) = mpsc::unbounded_channel();
        let (commands, commands_out) = mpsc::channel(4);
        let (stop, shutdown) = watch::channel(false);
        let run = rendezvous_task::run(settings, arrivals_in, status_in, events_in, commands_out, shutdown);
        Self { arrivals, status, events, commands, stop, task: tokio::spawn(run) }
    }

    async fn reach(&mut self, state: RegistrationState) -> RegistrationStatus {
        within(self.status.wait_for(|s| s.state == state)).await.unwrap().clone()
    }

    async fn end(self) {
        self.stop.send_replace(true);
        within(self.task).await.unwrap();
    }
}

#[tokio::test]
async fn registered_and_said_so() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |_| {});
    server.register().await;
    let status = device.reach(RegistrationState::Online).await;
    assert!(status.message.contains("234 567 891"), "{}", status.message);
    assert_eq!(device.events.recv().await, Some(RegistrationEvent::KeyConfirmed));
    assert_eq!(serde_json::to_value(&status).unwrap()["state"], "online");
    device.end().await;
}

#[tokio::test]
async fn a_taken_id_is_replaced_before_the_first_ok() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |_| {});
    assert!(matches!(server.registration().await, Union::RegisterPk(m) if m.id == "234567891"));
    server.key_result(2).await;
    assert_eq!(within(device.events.recv()).await, Some(RegistrationEvent::NewIdWanted));
    device.commands.send(RegistrationCommand::SetId("345678912".parse().unwrap())).await.unwrap();
    assert!(matches!(server.registration().await, Union::RegisterPk(m) if m.id == "345678912"));
    server.key_result(0).await;
    assert!(matches!(server.registration().await, Union::RegisterPeer(m) if m.id == "345678912"));
    server.send(&[0x3a, 0]).await;
    assert!(device.reach(RegistrationState::Online).await.message.contains("345 678 912"));
    device.end().await;
}

#[tokio::test]
async fn a_confirmed_id_is_kept_and_the_conflict_shown() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |c| c.registrar.is_confirmed_before = true);
    assert!(matches!(server.registration().await, Union::RegisterPeer(_)));
    server.send(&[0x3a, 2, 0x10, 1]).await;
    assert!(matches!(server.registration().await, Union::RegisterPk(_)));
    server.key_result(2).await;
    assert_eq!(within(device.events.recv()).await, Some(RegistrationEvent::Conflict));
    let status = device.reach(RegistrationState::Refused).await;
    assert!(status.message.contains("kvmdesk id --reset"), "{}", status.message);
    device.end().await;
}

#[tokio::test]
async fn a_silent_server_that_comes_back_has_us_at_once() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |c| c.registrar.is_confirmed_before = true);
    // Three registrations go unanswered.
    for _ in 0..3 {
        assert!(matches!(server.registration().await, Union::RegisterPeer(_)));
    }
    device.reach(RegistrationState::Shaky).await;
    assert!(matches!(server.registration().await, Union::RegisterPeer(_)));
    server.send(&[0x3a, 2, 0x10, 1]).await;
    server.register().await;
    device.reach(RegistrationState::Online).await;
    device.end().await;
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again_despite_icmp_errors() {
    let mut server = Server::start().await;
    let address = server.address();
    let mut device = Device::start(address, |c| c.registrar.is_confirmed_before = true);
    assert!(matches!(server.registration().await, Union::RegisterPeer(_)));
    let port = server.device.unwrap();
    // Gone: the port is closed, our datagrams are answered with "port unreachable".
    drop(server);
    device.reach(RegistrationState::Shaky).await;
    let udp = UdpSocket::bind(address).await.unwrap();
    let mut server = Server { udp, tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), device: None };
    assert!(matches!(server.registration().await, Union::RegisterPeer(_)));
    assert_eq!(server.device, Some(port), "the same socket, so that the way back stays open");
    server.send(&[0x3a, 0]).await;
    device.reach(RegistrationState::Online).await;
    device.end().await;
}

#[tokio::test]
async fn garbage_and_strangers_change_nothing() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |_| {});
    assert!(matches!(server.registration().await, Union::RegisterPk(_)));
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(&[0x82, 1, 2, 8, 2], server.device.unwrap()).await.unwrap();
    for len in 0..200usize {
        server.send(&vec![0xff - (len % 7) as u8; len]).await;
    }
    server
        .send_union(Union::PunchHole(hbb::PunchHole { socket_addr: vec![1; 17], ..Default::default() }))
        .await;
    server.key_result(0).await;
    assert!(matches!(server.registration().await, Union::RegisterPeer(m) if m.id == "234567891"));
    server.send(&[0x3a, 0]).await;
    device.reach(RegistrationState::Online).await;
    assert_eq!(device.events.recv().await, Some(RegistrationEvent::KeyConfirmed), "no new ID was asked for");
    device.end().await;
}

fn controller() -> Vec<u8> {
    mangle(CONTROLLER.parse().unwrap(), 5)
}

#[tokio::test]
async fn a_punched_controller_arrives_on_the_address_the_server_saw() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |_| {});
    server.register().await;
    server
        .send_union(Union::PunchHole(hbb::PunchHole {
            socket_addr: controller(),
            nat_type: 1,
            ..Default::default()
        }))
        .await;
    let (answer, from, _socket) = server.answer().await;
    let Union::PunchHoleSent(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (answer.socket_addr, answer.id.as_str(), answer.version.as_str()),
        (controller(), "234567891", "1.4.9")
    );
    assert!(!answer.relay_server.is_empty());
    let mut dialled = TcpStream::connect(from).await.expect("the listener is ready");
    let arrival = within(device.arrivals.recv()).await.unwrap();
    assert_eq!((arrival.route, arrival.is_secure), (Route::Punched, true));
    assert_eq!(arrival.controller, dialled.local_addr().unwrap());
    let (mut reader, _) = arrival.stream.split();
    dialled.write_all(&frame::encode(b"hello").unwrap()).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), b"hello"[..]);
    device.end().await;
}

#[tokio::test]
async fn a_controller_of_the_lan_gets_our_address() {
    let mut server = Server::start().await;
    let mut device = Device::start(server.address(), |_| {});
    server.register().await;
    server
        .send_union(Union::FetchLocalAddr(hbb::FetchLocalAddr {
            socket_addr: controller(),
            ..Default::default()
        }))
        .await;
    let (answer, from, _socket) = server.answer().await;
    let Union::LocalAddr(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(unmangle(&answer.local_addr), from);
    let _dialled = TcpStream::connect(from).await.expect("the listener is ready");
    let arrival = within(device.arrivals.recv()).await.unwrap();
    assert_eq!((arrival.route, arrival.is_secure), (Route::Punched, true));
    device.end().await;
}

#[tokio::test]
async fn a_controllers_relay_request_is_served_with_its_own_uuid_and_flag() {
    let mut server = Server::start().await;
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    relay.set_nonblocking(true).unwrap();
    let mut device = Device::start(server.address(), |c| c.introduction.licence_key = "KEY=".into());
    server.register().await;
    server
        .send_union(Union::RequestRelay(hbb::RequestRelay {
            socket_addr: controller(),
            uuid: "meeting-1".into(),
            relay_server: relay.local_addr().unwrap().to_string(),
            secure: false,
            ..Default::default()
        }))
        .await;
    let (answer, _, _socket) = server.answer().await;
    let Union::RelayResponse(answer) = answer else { panic!("{answer:?}") };
    // The controller hears of it when we are at the relay already: hbbr loses one of two that come together.
    let (met, _) = relay.accept().expect("at the relay first, then the answer");
    met.set_nonblocking(true).unwrap();
    assert_eq!((answer.socket_addr, answer.uuid, answer.union), (controller(), String::new(), None));
    let mut met = TcpStream::from_std(met).unwrap();
    let Union::RequestRelay(request) = read_union(&mut met).await else { panic!() };
    assert_eq!((request.uuid.as_str(), request.licence_key.as_str()), ("meeting-1", "KEY="));
    let arrival = within(device.arrivals.recv()).await.unwrap();
    assert_eq!((arrival.route, arrival.is_secure), (Route::Relayed, false));
    assert_eq!(arrival.controller, CONTROLLER.parse().unwrap(), "the address that the server reported");
    device.end().await;
}

#[tokio::test]
async fn a_relay_that_is_down_hurts_nobody_else() {
    let mut server = Server::start().await;
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut device = Device::start(server.address(), |_| {});
    server.register().await;
    for n in 0..5u16 {
        server
            .send_union(Union::RequestRelay(hbb::RequestRelay {
                socket_addr: mangle(SocketAddr::from(([127, 0, 0, 1], 1000 + n)), 5),
                uuid: "meeting".into(),
                relay_server: dead.clone(),
                ..Default::default()
            }))
            .await;
    }
    server
        .send_union(Union::PunchHole(hbb::PunchHole { socket_addr: controller(), ..Default::default() }))
        .await;
    let from = loop {
        if let (Union::PunchHoleSent(_), from, _) = server.answer().await {
            break from;
        }
    };
    let _dialled = TcpStream::connect(from).await.unwrap();
    assert_eq!(within(device.arrivals.recv()).await.unwrap().route, Route::Punched);
    within(device.status.wait_for(|s| s.introductions == 0)).await.unwrap();
    device.end().await;
}

#[tokio::test]
async fn a_flood_of_requests_is_bounded_and_the_registration_goes_on() {
    let mut server = Server::start().await;
    // A relay that takes connections and never says anything, as hbbr.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay_server = relay.local_addr().unwrap().to_string();
    let mut device = Device::start(server.address(), |_| {});
    server.register().await;
    device.reach(RegistrationState::Online).await;
    // Nobody takes the arrivals: what is at work stays at work.
    for n in 0..3000u32 {
        server
            .send_union(Union::RequestRelay(hbb::RequestRelay {
                socket_addr: mangle(SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 1000)), 5),
                uuid: format!("meeting-{n}"),
                relay_server: relay_server.clone(),
                ..Default::default()
            }))
            .await;
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let most = device.status.borrow().introductions;
    assert!(most <= kvmdesk::rendezvous::introduction::MAX_CONCURRENT, "{most} at once");
    // The next registration is 15 s after the first, as if nothing had happened.
    assert!(matches!(server.registration().await, Union::RegisterPeer(_)));
    server.send(&[0x3a, 0]).await;
    device.reach(RegistrationState::Online).await;
    device.end().await;
}
