//! T11, T13 to T16: punched and LAN connections.

use std::time::{Duration, Instant};

use kvmdesk::net::stream::Route;
use kvmdesk::wire::addr::unmangle;
use kvmdesk::wire::message::hbb::punch_hole_response::Union as PunchUnion;

use super::controller::{self, ASYMMETRIC, Line, ask, check_signed_key, echo, meet, request_relay, talk};
use super::device::{Device, ID, Seen};
use super::lab::Place;
use super::lab_or_skip;

#[test]
fn t11_a_punched_connection_from_the_controllers_own_port() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    for _ in 0..10 {
        let key = lab.key();
        lab.run(Place::Controller, async move {
            let mut line = ask(&key, ASYMMETRIC).await;
            let answer = line.punched().await;
            check_signed_key(&answer.pk, &key);
            assert_eq!(answer.union, Some(PunchUnion::NatType(ASYMMETRIC)), "the measured kind");
            assert!(!answer.relay_server.is_empty());
            let to = unmangle(&answer.socket_addr);
            assert_eq!(to.ip().to_string(), "10.77.0.2");
            // Never refused, however fast: the listener was there before the answer.
            let stream = line.dial(to).await.expect("the device listens already");
            let (mut reader, mut writer) = talk(stream).await;
            echo(&mut reader, &mut writer, &[7; 100_000]).await;
        });
        device.expect(Route::Punched, true, "10.77.0.3");
        assert_eq!(device.next(), Seen::Echoed(b"hello".to_vec()));
        assert_eq!(device.next(), Seen::Echoed(vec![7; 100_000]));
        assert_eq!(device.next(), Seen::Ended);
    }
}

#[test]
fn t11_nobody_comes_and_the_listener_goes_after_18_s() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let key = lab.key();
    let to = lab.run(Place::Controller, async move {
        unmangle(&ask(&key, ASYMMETRIC).await.punched().await.socket_addr)
    });
    let from = Instant::now();
    device.wait(|s| s.introductions == 0);
    assert!((17.0..20.0).contains(&from.elapsed().as_secs_f64()), "{:?}", from.elapsed());
    lab.run(Place::Controller, async move {
        assert!(tokio::net::TcpStream::connect(to).await.is_err(), "no listener stays behind");
    });
}

#[test]
fn t13_the_same_address_gets_the_lan_address() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    for _ in 0..10 {
        let key = lab.key();
        lab.run(Place::Device, async move {
            let mut line = ask(&key, ASYMMETRIC).await;
            let answer = line.punched().await;
            check_signed_key(&answer.pk, &key);
            assert_eq!(answer.union, Some(PunchUnion::IsLocal(true)));
            let to = unmangle(&answer.socket_addr);
            assert_eq!(to.ip().to_string(), "10.77.0.2");
            let dialled = tokio::time::timeout(Duration::from_secs(1), line.dial(to)).await;
            talk(dialled.expect("within a second").expect("the device listens already")).await;
        });
        device.expect(Route::Punched, true, "10.77.0.2");
        assert_eq!(device.next(), Seen::Echoed(b"hello".to_vec()));
        assert_eq!(device.next(), Seen::Ended);
    }
}

#[test]
fn t14_a_relay_is_served_while_the_listener_still_waits() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let (key, log) = (lab.key(), lab.relay_log());
    lab.run(Place::Controller, async move {
        ask(&key, ASYMMETRIC).await.punched().await;
        let answer = request_relay("8f2e352e-ece2-474e-a7cf-99c9b651062e", true).await;
        assert_eq!((answer.uuid, answer.union, answer.relay_server.as_str()), (String::new(), None, ""));
        assert!(answer.refuse_reason.is_empty() && !answer.version.is_empty());
        log.parked("8f2e352e-ece2-474e-a7cf-99c9b651062e").await;
        talk(meet("8f2e352e-ece2-474e-a7cf-99c9b651062e", &key).await).await;
    });
    device.expect(Route::Relayed, true, "10.77.0.3");
    assert_eq!(device.status.borrow().introductions, 1, "the punch still waits");
}

#[test]
fn t15_t16_a_repeat_within_100_ms_is_one_request_and_one_after_3_s_is_answered_again() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let key = lab.key();
    lab.run(Place::Controller, async move {
        let mut line = Line::open().await;
        line.ask(ID, &key, ASYMMETRIC).await;
        line.ask(ID, &key, ASYMMETRIC).await;
        line.punched().await;
        // Another controller's request goes through the same queues behind the repeat.
        let mut other = ask(&key, ASYMMETRIC).await;
        other.punched().await;
        // The apps repeat after 3 s; hbbs has closed the answered line by then.
        let local = line.local;
        drop(line);
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut line = Line::open_from(local).await;
        line.ask(ID, &key, ASYMMETRIC).await;
        let answer = line.punched().await;
        controller::talk(line.dial(unmangle(&answer.socket_addr)).await.unwrap()).await;
    });
    device.expect(Route::Punched, true, "10.77.0.3");
    assert_eq!(
        device.status.borrow().introductions,
        2,
        "the first and the other's still wait, the repeat never ran"
    );
}

#[test]
fn t11_the_knock_comes_from_the_address_that_is_then_listened_on() {
    let lab = lab_or_skip!(false);
    let _device = Device::online(&lab, |_| {});
    let key = lab.key();
    lab.run(Place::Controller, async move {
        let mut line = Line::open().await;
        // Where an app has nobody listening, this one sees who knocks.
        let door = controller::listen_shared(line.local);
        line.ask(ID, &key, ASYMMETRIC).await;
        let to = unmangle(&line.punched().await.socket_addr);
        let (_, knocked_from) = controller::within(door.accept()).await.unwrap();
        assert_eq!(knocked_from, to);
    });
}
