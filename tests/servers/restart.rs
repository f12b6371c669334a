//! hbbs goes away and comes back.

use std::time::{Duration, Instant};

use kvmdesk::agent::rendezvous_task::RegistrationState;

use super::controller::{ASYMMETRIC, ask};
use super::device::{Device, Seen};
use super::lab::{Lab, Place};
use super::lab_or_skip;

/// Time from now until a controller's request gets through, asked every 200 ms.
fn until_reachable(lab: &Lab) -> Duration {
    let key = lab.key();
    let from = Instant::now();
    lab.run(Place::Controller, async move {
        loop {
            let answer = ask(&key, ASYMMETRIC).await.punched().await;
            if !answer.socket_addr.is_empty() {
                return from.elapsed();
            }
            assert!(from.elapsed() < Duration::from_secs(60), "never back: {answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
}

#[test]
fn a_pending_request_brings_us_back_within_4_s() {
    let mut lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    lab.stop_hbbs();
    device.wait(|s| s.state == RegistrationState::Shaky);
    lab.start_hbbs();
    let took = until_reachable(&lab);
    assert!(took <= Duration::from_secs(4), "{took:?}");
    device.wait(|s| s.state == RegistrationState::Online);
    assert!(!matches!(device.seen.try_recv(), Ok(Seen::Ended)));
}

#[test]
fn the_next_registration_brings_us_back_within_16_s() {
    let mut lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    lab.stop_hbbs();
    lab.start_hbbs();
    let took = until_reachable(&lab);
    assert!(took <= Duration::from_secs(16), "{took:?}");
    assert_eq!(device.wait(|s| s.state == RegistrationState::Online).address.unwrap().port(), 21116);
}

#[test]
fn t5_an_outage_of_a_minute_is_survived() {
    let mut lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    lab.stop_hbbs();
    let gone = Instant::now();
    device.wait(|s| s.state == RegistrationState::Unreachable);
    std::thread::sleep(Duration::from_secs(60).saturating_sub(gone.elapsed()));
    lab.start_hbbs();
    let took = until_reachable(&lab);
    assert!(took <= Duration::from_secs(8), "{took:?}");
}
