//! T12, T17 to T20, T25: meetings at hbbr.

use std::time::{Duration, Instant};

use kvmdesk::crypto::seal::{Opener, Sealer, TAG_LEN};
use kvmdesk::net::stream::Route;
use kvmdesk::wire::message::{decode_message, hbb};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::controller::{
    ASYMMETRIC, SYMMETRIC, ask, box_key, check_signed_key, meet, public_key, relay_request, request_relay,
    talk, within,
};
use super::device::{Device, Seen};
use super::lab::{HBBR_WS, Place};
use super::lab_or_skip;

const UUID: &str = "e6a40154-4799-45a7-8880-43a2da189b25";

#[test]
fn t12_t18_a_symmetric_controller_meets_us_at_the_relay() {
    let lab = lab_or_skip!(true);
    let device = Device::online(&lab, |_| {});
    let (key, log) = (lab.key(), lab.relay_log());
    lab.run(Place::Controller, async move {
        let answer = ask(&key, SYMMETRIC).await.relayed().await;
        let Some(hbb::relay_response::Union::Pk(pk)) = &answer.union else { panic!("{answer:?}") };
        check_signed_key(pk, &key);
        assert_eq!((answer.uuid.len(), answer.version.as_str()), (36, "1.4.9"));
        assert!(!answer.relay_server.is_empty() && answer.socket_addr.is_empty());
        log.parked(&answer.uuid).await;
        talk(meet(&answer.uuid, &key).await).await;
    });
    device.expect(Route::Relayed, true, "10.77.0.3");
    // The other order: the controller is there first.
    let (key, log) = (lab.key(), lab.relay_log());
    lab.run(Place::Controller, async move {
        let waiting = meet(UUID, &key).await;
        log.parked(UUID).await;
        request_relay(UUID, true).await;
        talk(waiting).await;
    });
    assert_eq!(device.next(), Seen::Echoed(b"hello".to_vec()));
    assert_eq!(device.next(), Seen::Ended);
    device.expect(Route::Relayed, true, "10.77.0.3");
}

#[test]
fn t17_a_wrong_key_ends_the_meeting_and_nothing_else() {
    let lab = lab_or_skip!(true);
    let device = Device::online(&lab, |c| c.introduction.licence_key = "wrong".into());
    lab.run(Place::Controller, async {
        request_relay(UUID, true).await;
    });
    device.expect(Route::Relayed, true, "10.77.0.3");
    assert_eq!(device.next(), Seen::Ended, "hbbr closes without a word");
    let key = lab.key();
    lab.run(Place::Controller, async move {
        let mut line = ask(&key, ASYMMETRIC).await;
        let answer = line.punched().await;
        let to = kvmdesk::wire::addr::unmangle(&answer.socket_addr);
        talk(line.dial(to).await.unwrap()).await;
    });
    device.expect(Route::Punched, true, "10.77.0.3");
}

#[test]
fn t18_without_a_partner_the_lone_side_is_closed_after_30_s() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    lab.run(Place::Controller, async {
        request_relay(UUID, true).await;
    });
    device.expect(Route::Relayed, true, "10.77.0.3");
    let from = Instant::now();
    assert_eq!(device.next(), Seen::Ended);
    assert!((29.0..33.0).contains(&from.elapsed().as_secs_f64()), "{:?}", from.elapsed());
    assert_eq!(device.wait(|s| s.introductions == 0).introductions, 0);
}

#[test]
fn t19_an_idle_meeting_is_closed_by_the_relay_and_traffic_keeps_it() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let (key, log) = (lab.key(), lab.relay_log());
    let (kept, idle) = lab.run(Place::Controller, async move {
        request_relay(UUID, true).await;
        log.parked(UUID).await;
        let (mut reader, mut writer) = talk(meet(UUID, &key).await).await;
        let from = Instant::now();
        // One message each second, as TestDelay is: longer than the relay's patience with silence.
        while from.elapsed() < Duration::from_secs(36) {
            super::controller::echo(&mut reader, &mut writer, b"tick").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let kept = from.elapsed();
        let silent_from = Instant::now();
        assert!(!matches!(within(reader.next()).await, Ok(Some(_))));
        (kept, silent_from.elapsed())
    });
    assert!(kept >= Duration::from_secs(36));
    assert!((28.0..36.0).contains(&idle.as_secs_f64()), "{idle:?}");
    device.expect(Route::Relayed, true, "10.77.0.3");
}

#[test]
fn t25_secure_false_is_handed_on_and_the_device_speaks_first() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let (key, log) = (lab.key(), lab.relay_log());
    lab.run(Place::Controller, async move {
        request_relay(UUID, false).await;
        log.parked(UUID).await;
        let (mut reader, _writer) = meet(UUID, &key).await.split();
        let first = within(reader.next()).await.unwrap().unwrap();
        assert!(matches!(decode_message(&first).unwrap().union, Some(hbb::message::Union::Hash(_))));
    });
    device.expect(Route::Relayed, false, "10.77.0.3");
}

/// A WebSocket connection, as a browser makes it: one binary message a protobuf message, masked.
struct Browser {
    socket: TcpStream,
}

impl Browser {
    async fn open() -> Self {
        let mut socket = within(TcpStream::connect(HBBR_WS)).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(socket.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self { socket }
    }

    async fn send(&mut self, payload: &[u8]) {
        let mask = [1u8, 2, 3, 4];
        let mut frame = vec![0x82];
        match payload.len() {
            len @ 0..=125 => frame.push(0x80 | len as u8),
            len @ 126..=0xFFFF => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().enumerate().map(|(n, b)| b ^ mask[n % 4]));
        self.socket.write_all(&frame).await.unwrap();
    }

    async fn next(&mut self) -> Vec<u8> {
        within(async {
            loop {
                let kind = self.socket.read_u8().await.unwrap();
                let len = match self.socket.read_u8().await.unwrap() {
                    126 => u64::from(self.socket.read_u16().await.unwrap()),
                    127 => self.socket.read_u64().await.unwrap(),
                    len => u64::from(len),
                };
                let mut payload = vec![0; len as usize];
                self.socket.read_exact(&mut payload).await.unwrap();
                if kind == 0x82 {
                    return payload;
                }
            }
        })
        .await
    }
}

#[test]
fn t20_a_browser_meets_us_and_empty_frames_vanish() {
    let lab = lab_or_skip!(false);
    let device = Device::online(&lab, |_| {});
    let (key, log) = (lab.key(), lab.relay_log());
    lab.run(Place::Controller, async move {
        request_relay(UUID, true).await;
        log.parked(UUID).await;
        let mut browser = Browser::open().await;
        browser.send(&relay_request(UUID, &key)).await;
        let (message, key) = public_key(&box_key(&browser.next().await));
        // An empty message would mean "in clear"; the relay drops it.
        browser.send(&[]).await;
        browser.send(&message).await;
        let (mut sealer, mut opener) = (Sealer::new(key.clone()), Opener::new(key));
        for len in [5usize, 47, 48, 200, 16_384, 100_000] {
            let mut buffer = vec![0; TAG_LEN];
            buffer.extend((0..len).map(|n| n as u8));
            sealer.seal_in_place(&mut buffer).unwrap();
            browser.send(&buffer).await;
            let mut back = browser.next().await;
            let open = opener.open_in_place(&mut back).unwrap();
            assert!(open.iter().copied().eq((0..len).map(|n| n as u8)), "length {len}");
        }
    });
    device.expect(Route::Relayed, true, "10.77.0.3");
}
