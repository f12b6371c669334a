//! What is chosen, and how it is told.

use super::*;
use crate::config::board::Boards;
use crate::config::settings;
use crate::media::pipeline::MaxSize;
use crate::media::probe::{Edid, Format, Signal, Size};

pub(in crate::cli) fn capture(device: &str, formats: &[&str]) -> CaptureDevice {
    let format = |fourcc: &&str| Format {
        fourcc: (*fourcc).to_owned(),
        description: "words".into(),
        passed_over: (*fourcc != "YUYV").then(|| "this layout is not known".to_owned()),
        sizes: (1..=6).map(|n| Size { width: n * 320, height: n * 180, most_fps: Some(30.0) }).collect(),
        range: None,
    };
    CaptureDevice {
        device: device.into(),
        stable_path: Some(format!("/dev/v4l/by-path/of{}", device.replace('/', "-")).into()),
        name: "Grabber".into(),
        driver: "uvcvideo".into(),
        bus: "usb-1".into(),
        input: Some("HDMI".into()),
        is_multi_planar: false,
        in_use_by: vec!["kvmdesk (7)".into()],
        signal: Signal {
            state: "active",
            notice: "",
            resolution: Some("1920x1080".into()),
            fps: Some(59.94),
            is_interlaced: false,
        },
        edid: Edid { state: "set", bytes: 256, monitor: Some("Lab".into()), data: vec![] },
        formats: formats.iter().map(format).collect(),
    }
}

pub(in crate::cli) fn v4l2(device: &str) -> VideoSettings {
    let settings = V4l2Settings::at(device);
    let source = SourceSettings::V4l2(settings);
    VideoSettings { source, max_fps: 30, max_size: MaxSize::Auto }
}

/// What the device with a format that does is set to.
fn yuyv(settings: &V4l2Settings) -> Option<Mode> {
    let mode = Mode {
        fourcc: *b"YUYV",
        pixels: crate::video::format::PixelFormat::Yuyv,
        size: crate::video::format::Resolution::new(1920, 1080),
        interval: Some((1, 30)),
    };
    settings.to_string().ends_with("video5").then_some(mode)
}

#[test]
fn a_device_that_does_is_chosen_and_one_that_does_not_says_which_would() {
    let captures = [capture("/nonexistent/video4", &["XXXX"]), capture("/nonexistent/video5", &["YUYV"])];
    let other = PassedOver { device: "/nonexistent/video6".into(), reason: "it cannot be asked".into() };
    let choose = |device: &str| choose_display(&v4l2(device), &captures, std::slice::from_ref(&other), yuyv);
    let good = choose("/nonexistent/video5");
    assert_eq!(good.chosen.device.as_deref(), Some("/nonexistent/video5"));
    assert_eq!(
        (good.chosen.note.as_str(), good.format.as_deref()),
        ("YUYV 1920x1080, 30 frames a second", Some("YUYV"))
    );
    for (device, why) in [
        ("/nonexistent/video4", "offers no format"),
        ("/nonexistent/video6", "it cannot be asked"),
        ("/nonexistent/video7", "is not there"),
    ] {
        let none = choose(device);
        assert_eq!(none.chosen.device, None);
        assert!(none.chosen.note.contains(why), "{}", none.chosen.note);
        assert!(none.chosen.note.contains("of-nonexistent-video5"), "{}", none.chosen.note);
    }
}

#[test]
fn the_gadget_s_own_port_comes_first_then_a_free_one() {
    let usb = |name: &str, gadget: Option<&str>| UsbController {
        name: name.into(),
        state: None,
        gadget: gadget.map(str::to_owned),
    };
    let chosen = |all: &[UsbController]| choose_hands(None, all).device;
    assert_eq!(chosen(&[usb("a", None), usb("b", Some("kvmdesk"))]).as_deref(), Some("b"));
    assert_eq!(chosen(&[usb("a", Some("other")), usb("b", None)]).as_deref(), Some("b"));
    assert_eq!(chosen(&[usb("a", Some("other"))]), None);
    assert_eq!(chosen(&[]), None);
    let text = "[gadget]\nudc = \"b\"\n".to_owned();
    let parsed = crate::config::file::parse(std::path::Path::new("x"), text).unwrap();
    let settings =
        settings::resolve(&parsed, &Boards::default(), |_| None, &settings::Overrides::default()).unwrap();
    let chosen = |all: &[UsbController]| choose_hands(Some(&settings), all);
    assert_eq!(chosen(&[usb("a", None), usb("b", None)]).device.as_deref(), Some("b"));
    assert_eq!(chosen(&[usb("a", None), usb("b", Some("other"))]).device, None);
    assert!(chosen(&[usb("a", None)]).note.contains("names b, which is not there"));
}

/// What is found with these devices, of which the first display is configured to be `/nonexistent/video5`.
pub(in crate::cli) fn report(captures: Vec<CaptureDevice>) -> Report {
    let choice = Choice {
        displays: vec![choose_display(&v4l2("/nonexistent/video5"), &captures, &[], yuyv)],
        sound: choose_sound(None, &[], |_| None),
        hands: choose_hands(None, &[]),
    };
    let line = |name, state, is_chosen| EncoderLine {
        codec: "H.264",
        name,
        state,
        note: "note".into(),
        cost: 60,
        is_hardware: false,
        is_unproven: false,
        is_chosen,
    };
    Report {
        version: "1",
        build: Build { gstreamer: true, sound: true },
        board: BoardLine { profile: "b".into(), name: "A board".into(), why: "why".into() },
        config_problem: Some("a fault".into()),
        captures,
        passed_over: vec![PassedOver { device: "/dev/video9".into(), reason: "why".into() }],
        sound_cards: vec![SoundCard { device: "plughw:CARD=x,DEV=0".into(), belongs_to: None }],
        encoders: vec![line("one", "good", true), line("two", "not-there", false)],
        usb_controllers: vec![],
        choice,
    }
}

#[test]
fn the_text_tells_what_the_report_holds() {
    let text = text::render(&report(vec![capture("/nonexistent/video5", &["YUYV", "XXXX", "ZZZZ"])]));
    for part in [
        "1920x1080, 59.94 frames a second",
        "formats  YUYV: 1920x1080 at 30, 1600x900 at 30, 1280x720 at 30, 960x540 at 30, 2 smaller",
        "not used this layout is not known: XXXX ZZZZ",
        "in use   by kvmdesk (7)",
        "/dev/video9  passed over: why",
        "* H.264  one                60 %  good: note",
        "not on this machine: two",
        "Board: A board (profile b: why)",
        "! a fault",
        "Picture    /nonexistent/video5: YUYV 1920x1080, 30 frames a second",
        "Encoders   H.264 by one",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}
