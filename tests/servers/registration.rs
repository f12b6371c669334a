//! T1 to T4, T8, T10, T30.

use std::time::{Duration, Instant};

use kvmdesk::agent::direct_task::ListenStatus;
use kvmdesk::agent::lan_task::{self, LanSettings};
use kvmdesk::agent::rendezvous_task::{RegistrationCommand, RegistrationEvent, RegistrationState};
use kvmdesk::wire::discovery::Pong;
use kvmdesk::wire::id::DeviceUuid;
use kvmdesk::wire::message::hbb::rendezvous_message::Union;
use kvmdesk::wire::message::{decode_rendezvous, encode_rendezvous, hbb};
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::controller::{ASYMMETRIC, ask, check_signed_key, within};
use super::device::{Device, ID};
use super::lab::{HBBS, Place};
use super::lab_or_skip;

#[test]
fn t1_t2_t3_the_servers_own_answers() {
    let lab = lab_or_skip!(false);
    let answers = lab.run(Place::Device, async {
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let peer =
            encode_rendezvous(Union::RegisterPeer(hbb::RegisterPeer { id: "900000001".into(), serial: 3 }));
        let key = encode_rendezvous(Union::RegisterPk(hbb::RegisterPk {
            id: "900000001".into(),
            uuid: vec![b'u'; 32],
            pk: vec![7; 32],
            ..Default::default()
        }));
        let mut answers = vec![];
        for message in [&peer, &key, &peer] {
            socket.send_to(message, HBBS).await.unwrap();
            let mut buffer = [0; 100];
            let len = within(socket.recv(&mut buffer)).await.unwrap();
            answers.push(buffer[..len].to_vec());
        }
        answers
    });
    assert_eq!(answers, [vec![0x3a, 2, 0x10, 1], vec![0x82, 1, 0], vec![0x3a, 0]]);
}

#[test]
fn t2_t10_a_registered_device_is_reached_with_the_right_key_only() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let key = lab.key();
    let refused = lab.run(Place::Controller, async move {
        let mut refused = vec![];
        for wrong in ["", "wrong"] {
            refused.push(ask(wrong, ASYMMETRIC).await.punched().await);
        }
        let answer = ask(&key, ASYMMETRIC).await.punched().await;
        check_signed_key(&answer.pk, &key);
        refused
    });
    for answer in refused {
        assert_eq!((answer.failure, answer.socket_addr.len()), (3, 0));
    }
    // The right key's introduction is the only one that the device ever saw.
    assert_eq!(device.status.borrow().introductions, 1);
}

#[test]
fn t4_an_idle_device_registers_every_15_s() {
    let lab = lab_or_skip!(false);
    // Between device and hbbs stands a forwarder that notes what passes.
    let (times_in, times) = std::sync::mpsc::channel();
    let (stop, mut stopped) = watch::channel(false);
    let (ready_in, ready) = std::sync::mpsc::channel();
    let forwarder = lab.spawn_in(Place::Servers, async move {
        let outside = UdpSocket::bind("10.77.0.1:31116").await.unwrap();
        let inside = UdpSocket::bind("10.77.0.1:0").await.unwrap();
        let (mut device, mut a, mut b) = (None, [0; 1500], [0; 1500]);
        ready_in.send(()).unwrap();
        loop {
            tokio::select! {
                got = outside.recv_from(&mut a) => {
                    let (len, from) = got.unwrap();
                    device = Some(from);
                    let union = decode_rendezvous(&a[..len]).unwrap().union.unwrap();
                    let _ = times_in.send((Instant::now(), matches!(union, Union::RegisterPeer(_))));
                    inside.send_to(&a[..len], HBBS).await.unwrap();
                }
                got = inside.recv_from(&mut b) => {
                    let (len, _) = got.unwrap();
                    outside.send_to(&b[..len], device.unwrap()).await.unwrap();
                }
                () = async { drop(stopped.wait_for(|s| *s).await); } => return,
            }
        }
    });
    ready.recv().unwrap();
    let device = Device::start(&lab, |c| {
        c.introduction.server = kvmdesk::wire::endpoint::Endpoint::parse("10.77.0.1:31116", 1).unwrap();
    });
    device.wait(|s| s.state == RegistrationState::Online);
    let mut seen = vec![];
    while seen.iter().filter(|(_, is_peer)| *is_peer).count() < 5 {
        seen.push(times.recv_timeout(Duration::from_secs(30)).expect("a registration every 15 s"));
    }
    assert!(!seen[0].1, "RegisterPk first");
    assert!(seen[1..].iter().all(|(_, is_peer)| *is_peer), "then RegisterPeer only");
    for pair in seen[1..].windows(2) {
        let gap = pair[1].0 - pair[0].0;
        assert!((14.5..17.0).contains(&gap.as_secs_f64()), "{gap:?}");
    }
    assert_eq!(device.status.borrow().state, RegistrationState::Online);
    stop.send_replace(true);
    drop(device);
    forwarder.join().unwrap();
}

#[test]
fn t8_a_taken_id_is_replaced_and_a_confirmed_one_kept() {
    let lab = lab_or_skip!(false);
    let first = Device::online(&lab, |_| {});
    let mut second = Device::start(&lab, |c| c.registrar.uuid = DeviceUuid::Hex([9; 16]));
    second.wait(|s| s.state == RegistrationState::Refused);
    assert_eq!(second.events.blocking_recv(), Some(RegistrationEvent::NewIdWanted));
    second.commands.blocking_send(RegistrationCommand::SetId("345678912".parse().unwrap())).unwrap();
    second.wait(|s| s.state == RegistrationState::Online && s.message.contains("345 678 912"));
    drop(second);
    drop(first);
    // A clone that believes the ID to be its own: hbbs answers its RegisterPeer, the key is refused once it is sent.
    let mut clone = Device::start(&lab, |c| {
        c.registrar.uuid = DeviceUuid::Hex([9; 16]);
        c.registrar.is_confirmed_before = true;
    });
    clone.wait(|s| s.state == RegistrationState::Online);
    clone.commands.blocking_send(RegistrationCommand::KeyNotConfirmed).unwrap();
    let status = clone.wait(|s| s.state == RegistrationState::Refused);
    assert!(status.message.contains("belongs to another device"), "{}", status.message);
    assert_eq!(clone.events.blocking_recv(), Some(RegistrationEvent::Conflict));
}

#[test]
fn t30_a_lan_ping_gets_one_pong_with_the_mac() {
    let lab = lab_or_skip!(false);
    let (stop, shutdown) = watch::channel(false);
    let (status, mut seen) = watch::channel(ListenStatus::starting("0.0.0.0:21119".parse().unwrap()));
    let (_tell, pong) = watch::channel(Pong {
        id: ID.into(),
        mac: String::new(),
        hostname: "desk".into(),
        username: String::new(),
        platform: "Windows".into(),
    });
    let settings = LanSettings { address: "0.0.0.0:21119".parse().unwrap(), is_by_address: false };
    let responder = lab.spawn_in(Place::Device, lan_task::run(settings, pong, status, shutdown));
    let mac = lab.run(Place::Device, async move {
        within(seen.wait_for(|s| s.is_open)).await.unwrap();
        std::fs::read_to_string("/sys/class/net/eth0/address").unwrap().trim().to_owned()
    });
    let (pong, from, more) = lab.run(Place::Controller, async {
        let socket = UdpSocket::bind("10.77.0.3:0").await.unwrap();
        socket.set_broadcast(true).unwrap();
        let ask = |id: &str| {
            encode_rendezvous(Union::PeerDiscovery(hbb::PeerDiscovery {
                cmd: "ping".into(),
                id: id.into(),
                ..Default::default()
            }))
        };
        // Its own ID stays unanswered, the other ping gets one answer.
        for id in [ID, ""] {
            socket.send_to(&ask(id), "255.255.255.255:21119").await.unwrap();
        }
        let mut buffer = [0; 500];
        let (len, from) = within(socket.recv_from(&mut buffer)).await.unwrap();
        let more =
            tokio::time::timeout(Duration::from_secs(2), socket.recv_from(&mut [0; 500])).await.is_ok();
        (decode_rendezvous(&buffer[..len]).unwrap().union.unwrap(), from, more)
    });
    let Union::PeerDiscovery(pong) = pong else { panic!("{pong:?}") };
    assert_eq!((pong.cmd.as_str(), pong.id.as_str(), pong.mac), ("pong", ID, mac));
    assert_eq!(from, "10.77.0.2:21119".parse().unwrap());
    assert!(!more, "one pong only");
    stop.send_replace(true);
    responder.join().unwrap();
}
