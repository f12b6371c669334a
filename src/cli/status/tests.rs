//! The page, of a busy daemon and of an idle one.

use super::*;
use crate::agent::status::{
    CaptureStatus, DroppedFrames, DroppedPictures, HidStatus, LaneStatus, StageLatencies, Status as Snapshot,
};

pub(in crate::cli) fn idle() -> Snapshot {
    Snapshot {
        version: "1".into(),
        uptime_seconds: 307,
        problems: vec![],
        metrics: None,
        target: TargetStatus {
            name: "desk".into(),
            id: "123456789".into(),
            password: "permanent".into(),
            suspects: 0,
            server: None,
            direct: None,
            is_lan_discovery_on: false,
            video: VideoStatus::default(),
            displays: vec![VideoStatus {
                source: "/dev/video0".into(),
                signal: "active".into(),
                resolution: "1280x720".into(),
                original_resolution: "1280x720".into(),
                ..VideoStatus::default()
            }],
            audio: None,
            hid: HidStatus {
                backend: "gadget kvmdesk".into(),
                is_connected: true,
                notice: String::new(),
                reports_written: 7,
                events_discarded: 0,
                characters_not_typed: 0,
                leds: vec![],
                recovery: RecoveryStatus::default(),
            },
            sessions: vec![],
        },
    }
}

fn busy() -> Snapshot {
    let mut status = idle();
    let target = &mut status.target;
    let latency = |p50_ms, p95_ms, p99_ms| Latency { p50_ms, p95_ms, p99_ms };
    let lane = |codec: &str, encoder: &str, watchers, is_second| LaneStatus {
        codec: codec.into(),
        encoder: encoder.into(),
        is_second,
        fps: 29.7,
        bits_per_second: 1_240_000,
        quantiser: 26,
        wished_quantiser: 24,
        watchers,
    };
    let video = &mut target.displays[0];
    *video = VideoStatus {
        captured: 31_000,
        unchanged: 28_000,
        encoded: 2_900,
        keyframes: 4,
        refinements: 11,
        fps_in: 59.9,
        fps_out: 29.7,
        original_resolution: "1920x1080".into(),
        dropped: DroppedPictures { no_room: 5, not_wanted: 95, unusable: 0 },
        latency: StageLatencies {
            convert: latency(2.13, 3.4, 12.6),
            encode: latency(8.0, 14.2, 20.0),
            hand_out: latency(0.2, 0.4, 1.0),
        },
        capture: CaptureStatus {
            format: Some("NV12".into()),
            damaged: 2,
            restarts: 3,
            reopens: 1,
            ..CaptureStatus::default()
        },
        lanes: vec![lane("H.264", "x264enc", 1, false), lane("VP9", "vp9enc", 2, true)],
        ..video.clone()
    };
    target.audio = Some(AudioStatus {
        device: "plughw:CARD=MS2109,DEV=0".into(),
        state: "sounding".into(),
        notice: String::new(),
        packets: 30_700,
        silent: 700,
        overruns: 1,
    });
    target.sessions.push(SessionStatus {
        session: 3,
        my_id: "987654321".into(),
        my_name: "Ann".into(),
        platform: "Windows".into(),
        address: "10.0.0.5".into(),
        route: "direct".into(),
        seconds: 61,
        stream: StreamStatus {
            codecs: vec!["H.264".into()],
            fps: 30,
            bits_per_second: 1_300_000,
            line_bits_per_second: Some(8_000_000),
            round_trip_ms: Some(12.4),
            frames: 1800,
            keyframes: 2,
            bytes: 9_000_000,
            dropped: DroppedFrames { line_full: 3, awaiting_keyframe: 1, ..DroppedFrames::default() },
        },
    });
    status
}

#[test]
fn a_busy_daemon_fits_one_screen() {
    let text = to_text(&busy());
    assert_eq!(
        text,
        "\
kvmdesk 1, up 5m 7s: all is well
Target     desk, ID 123456789, permanent password
Server     none: not registered anywhere
Direct     off
Discovery  off
Picture    /dev/video0: active, NV12 1920x1080, sent as 1280x720
           now 60 frames/s captured, 30 encoded
           since start 31000 captured, 28000 unchanged, 2900 encoded (4 key, 11 refined)
           changes left out: 5 no controller had room, 95 slower was asked for, 2 damaged
           recovered: 3 stream started again
           capture takes    2.1 ms (95 %: 3.4, 99 %: 13)
           encode takes     8.0 ms (95 %: 14, 99 %: 20)
           hand out takes   0.2 ms (95 %: 0.4, 99 %: 1.0)
  stream   H.264 by x264enc: 30 frames/s, 1.2 Mbit/s, coarseness 26 of 51 (for changes 24), 1 controller
  stream   VP9 by vp9enc for slow lines: 30 frames/s, 1.2 Mbit/s, coarseness 26 of 51 (for changes 24), 2 controllers
Sound      plughw:CARD=MS2109,DEV=0: sounding, 5m 7s sent, 7s of silence left out, lost some 1 times
Hands      gadget kvmdesk: connected, 7 reports, 0 events discarded
Session 3  Ann (987654321) on Windows, direct from 10.0.0.5, 1m 1s
           H.264, 30 frames/s, 1.3 Mbit/s, line carries 8.0 Mbit/s, round trip 12 ms
           1800 frames sent; left out: 3 line full, 1 before a key frame
"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}

#[test]
fn an_idle_daemon_says_little_and_problems_come_first() {
    let mut status = idle();
    status.problems.push("No HDMI cable".into());
    let text = to_text(&status);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["kvmdesk 1, up 5m 7s: look at this", "  ! No HDMI cable"]);
    assert!(!text.contains("left out") && !text.contains("takes") && !text.contains("stream"), "{text}");
    assert!(text.contains("\nSound      off\n") && text.ends_with("Sessions   none\n"), "{text}");
}

#[test]
fn what_recovery_does_and_did_is_told() {
    let mut status = idle();
    status.target.hid.is_connected = false;
    status.target.hid.recovery =
        RecoveryStatus { rung: Some("rebind".into()), losses: 2, rebinds: 3, rebuilds: 1 };
    let text = to_text(&status);
    assert!(text.contains("gadget kvmdesk: NOT CONNECTED, recovery: rebind, 7 reports"), "{text}");
    assert!(text.contains("\n           lost 2 times, bound again 3 times, built again 1 times\n"), "{text}");
    status.target.hid.recovery = RecoveryStatus::default();
    assert!(!to_text(&status).contains("lost"));
    status.target.hid.characters_not_typed = 2;
    assert!(
        to_text(&status).contains(", 0 events discarded, 2 characters not typed\n"),
        "{}",
        to_text(&status)
    );
}

#[test]
fn rates_are_told_in_their_own_units() {
    assert_eq!(
        [0, 999, 1000, 999_999, 1_500_000].map(bits).join(" "),
        "0 bit/s 999 bit/s 1 kbit/s 999 kbit/s 1.5 Mbit/s"
    );
    assert_eq!([0.04, 9.94, 10.4].map(millis).join(" "), "0.0 9.9 10");
}
