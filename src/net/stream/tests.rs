//! T21, T22, T24 at the level of the stream; limits; half-open places.
#![allow(
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests own their clocks and look at single arms of big unions"
)]

use super::*;
use crate::net::listener::HalfOpen;
use crate::wire::frame::MAX_AFTER_LOGIN;

fn pair() -> (MessageStream, MessageStream) {
    let (a, b) = tokio::io::duplex(64 * 1024);
    (MessageStream::from_io(a), MessageStream::from_io(b))
}

fn key() -> SessionKey {
    SessionKey::from_bytes([0x33; 32])
}

#[tokio::test]
async fn t21_border_sizes_clear_and_sealed() {
    for is_sealed in [false, true] {
        let (a, b) = pair();
        let (_, mut writer) = a.split();
        let (mut reader, _) = b.split();
        reader.set_limit(MAX_AFTER_LOGIN);
        if is_sealed {
            writer.seal(key());
            reader.seal(key());
        }
        for len in [0usize, 1, 47, 48, 63, 64, 16383, 16384, 4_194_304] {
            let payload: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let (front, back) = payload.split_at(len / 3);
            let parts = [front, &[], back];
            let (sent, got) = tokio::join!(writer.send(&parts), reader.next());
            sent.unwrap();
            assert_eq!(got.unwrap().unwrap(), payload, "length {len}, sealed {is_sealed}");
        }
        writer.close().await.unwrap();
        assert!(reader.next().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn the_first_sealed_frame_of_the_reference() {
    let mut buffer = WireBuffer::default();
    let mut sealer = Sealer::new(key());
    let frame = buffer.frame(&[b"\x4a\x12\x0a\x08a2b3c4d5", b"\x12\x06k7m9pq"], Some(&mut sealer)).unwrap();
    let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "90092667a1a08aaa6f05662536576653e36fe01387723b9caa03baa73b4dc0e6af6a1701df");
}

#[tokio::test]
async fn t22_dribbled_and_glued_input_and_reads_that_are_cancelled() {
    let (mut raw, b) = tokio::io::duplex(1024);
    let (mut reader, _) = MessageStream::from_io(b).split();
    let mut buffer = WireBuffer::default();
    let mut wire = buffer.frame(&[&[1; 100]], None).unwrap().to_vec();
    wire.extend_from_slice(buffer.frame(&[b"two"], None).unwrap());
    wire.extend_from_slice(buffer.frame(&[b"three"], None).unwrap());
    for byte in &wire[..60] {
        raw.write_all(&[*byte]).await.unwrap();
        // Polled once and dropped, as a select! does when another branch wins.
        tokio::select! {
            biased;
            got = reader.next() => panic!("no frame is whole yet: {got:?}"),
            () = std::future::ready(()) => {}
        }
    }
    raw.write_all(&wire[60..]).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), [1; 100][..]);
    assert_eq!(reader.next().await.unwrap().unwrap(), b"two"[..]);
    assert_eq!(reader.next().await.unwrap().unwrap(), b"three"[..]);
}

#[tokio::test]
async fn t24_a_tampered_frame_ends_it_and_short_frames_do_not_count() {
    let (mut raw, b) = tokio::io::duplex(64 * 1024);
    let (mut reader, _) = MessageStream::from_io(b).split();
    reader.seal(key());
    let (mut sealer, mut buffer) = (Sealer::new(key()), WireBuffer::default());
    for n in 0..1000usize {
        if n % 50 == 0 {
            raw.write_all(&[0]).await.unwrap();
            assert!(reader.next().await.unwrap().unwrap().is_empty());
        }
        let payload = vec![n as u8; n % 90 + 1];
        raw.write_all(buffer.frame(&[&payload], Some(&mut sealer)).unwrap()).await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), payload);
    }
    let mut frame = buffer.frame(&[b"tampered"], Some(&mut sealer)).unwrap().to_vec();
    *frame.last_mut().unwrap() ^= 1;
    raw.write_all(&frame).await.unwrap();
    assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn t32_a_claimed_gigabyte_is_refused_at_once() {
    let (mut raw, b) = tokio::io::duplex(1024);
    let (mut reader, _) = MessageStream::from_io(b).split();
    raw.write_all(&[0xff, 0xff, 0xff, 0xff]).await.unwrap();
    assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(reader.decoder.buffer_mut().capacity() <= 2 * READ_CHUNK);
}

#[tokio::test]
async fn an_end_within_a_frame_is_an_error() {
    let (mut raw, b) = tokio::io::duplex(1024);
    let (mut reader, _) = MessageStream::from_io(b).split();
    raw.write_all(&[0x0c, 1, 2]).await.unwrap();
    drop(raw);
    assert_eq!(reader.next().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_receiver_ends_the_sender_after_12_s() {
    let (a, _b) = tokio::io::duplex(1000);
    let (_, mut writer) = MessageStream::from_io(a).split();
    let before = tokio::time::Instant::now();
    let error = writer.send(&[&[0; 5000]]).await.unwrap_err();
    assert_eq!((error.kind(), before.elapsed().as_secs()), (io::ErrorKind::TimedOut, 12));
    assert_eq!(writer.send(&[b"more"]).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_is_served_but_not_for_ever() {
    let (a, mut b) = tokio::io::duplex(1000);
    let (_, mut writer) = MessageStream::from_io(a).split();
    let slow = tokio::spawn(async move {
        let mut bytes = [0; 1000];
        while b.read(&mut bytes).await.is_ok_and(|n| n > 0) {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    });
    writer.send(&[&[0; 4500]]).await.unwrap();
    let before = tokio::time::Instant::now();
    assert_eq!(writer.send(&[&[0; 20_000]]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(before.elapsed().as_secs(), 60);
    slow.abort();
}

#[tokio::test]
async fn a_place_is_free_after_login_or_at_the_end() {
    let half_open = HalfOpen::new(1, 1);
    let ip = "10.0.0.1".parse().unwrap();
    let (a, _other) = pair();
    let (mut reader, _) = a.with_slot(half_open.admit(ip).unwrap()).split();
    assert!(half_open.admit(ip).is_none());
    reader.set_limit(MAX_AFTER_LOGIN);
    let slot = half_open.admit(ip).expect("logged in");
    let (b, _other) = pair();
    drop(b.with_slot(slot));
    assert!(half_open.admit(ip).is_some(), "closed");
}
