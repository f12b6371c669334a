//! Frames, sizes, displays, wishes (session 3).

use std::time::Duration;

use kvmdesk::peer::machine::*;
use kvmdesk::video::format::Resolution;
use kvmdesk::wire::message::hbb;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;

use super::rig::*;

const NEW: Resolution = Resolution::new(1920, 1080);

fn videos(rig: &mut Rig) -> Vec<bool> {
    rig.take_seen()
        .iter()
        .filter_map(|union| match union {
            Union::VideoFrame(video) => Some(frames_of(video).frames[0].key),
            _ => None,
        })
        .collect()
}

fn switches(rig: &mut Rig) -> Vec<hbb::SwitchDisplay> {
    rig.take_seen()
        .into_iter()
        .filter_map(|union| match union {
            Union::Misc(hbb::Misc { union: Some(Misc::SwitchDisplay(s)) }) => Some(s),
            _ => None,
        })
        .collect()
}

#[test]
fn nothing_but_a_key_frame_first_and_after_gaps() {
    let mut rig = Rig::open();
    rig.take_seen();
    rig.frame(false);
    assert!(videos(&mut rig).is_empty());
    rig.frame(true);
    rig.frame(false);
    assert_eq!(videos(&mut rig), [true, false]);
    rig.skip_frame();
    rig.frame(false);
    assert_eq!((rig.take_wanted(), videos(&mut rig).len()), (vec![0], 0));
    rig.frame(false);
    rig.seconds(3);
    assert_eq!(rig.take_wanted(), [0, 0, 0], "asked again each second");
    rig.frame(true);
    assert_eq!(videos(&mut rig), [true]);
    rig.lose_video();
    assert_eq!(rig.take_wanted(), [0]);
    rig.frame(false);
    assert!(videos(&mut rig).is_empty(), "lost on the way out");
}

#[test]
fn refreshes_ask_for_a_key_frame() {
    let mut rig = Rig::watching();
    rig.send_misc(Misc::RefreshVideo(true));
    rig.send_misc(Misc::RefreshVideoDisplay(0));
    rig.send_misc(Misc::RefreshVideoDisplay(7));
    rig.send_misc(Misc::ClientRecordStatus(true));
    assert_eq!(rig.take_wanted(), [0, 0, 0]);
    rig.frame(false);
    assert_eq!(videos(&mut rig), [false], "deltas go on meanwhile");
}

#[test]
fn a_mode_change_is_announced_before_its_key_frame() {
    let mut rig = Rig::watching();
    rig.seconds(5);
    rig.take_seen();
    rig.input(Input::Display { index: 0, state: state(NEW) });
    let seen = rig.take_seen();
    let [Union::PeerInfo(info), Union::Misc(hbb::Misc { union: Some(Misc::SwitchDisplay(switch)) })] =
        seen.as_slice()
    else {
        panic!("{seen:?}")
    };
    assert_eq!((info.displays[0].width, switch.width, switch.height), (1920, 1920, 1080));
    assert_eq!(switch.original_resolution, Some(hbb::Resolution { width: 1920, height: 1080 }));
    assert_eq!(rig.take_wanted(), [0]);
    rig.frame(false);
    rig.frame_of(0, false, NEW);
    assert!(videos(&mut rig).is_empty());
    rig.frame_of(0, true, NEW);
    assert_eq!(videos(&mut rig), [true]);
    rig.pass(Duration::from_millis(399));
    assert!(rig.take_wanted().is_empty());
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.take_wanted(), [0], "and one more, because the apps may drop the first");
    rig.input(Input::Display { index: 0, state: state(NEW) });
    assert!(switches(&mut rig).is_empty(), "no change, no word");
    rig.mouse(0, 1919, 1079);
    rig.mouse(0, 0, 0);
    use kvmdesk::input::event::{AbsolutePoint, InputEvent::PointerAbsolute};
    let corner = AbsolutePoint { x: 32767, y: 32767 };
    assert_eq!(
        rig.take_hands(),
        [PointerAbsolute(corner), PointerAbsolute(AbsolutePoint::default())],
        "scaled by the current size"
    );
}

#[test]
fn a_frame_of_another_size_announces_itself() {
    let mut rig = Rig::watching();
    rig.frame_of(0, true, NEW);
    let seen = rig.take_seen();
    assert!(matches!(seen.as_slice(), [Union::PeerInfo(_), Union::Misc(_), Union::VideoFrame(_)]));
    assert!(rig.take_wanted().is_empty(), "its key frame is here already");
    rig.frame_of(0, false, NEW);
    assert_eq!(videos(&mut rig), [false]);
}

#[test]
fn two_displays() {
    let displays = vec![state(SIZE), state(NEW)];
    let mut rig = Rig::with_displays(settings(), Opening::Secure, displays);
    let key = rig.box_session_key();
    rig.send(Union::PublicKey(key));
    let request = rig.login(PASSWORD);
    rig.send(Union::LoginRequest(request));
    rig.frame(true);
    rig.take_seen();
    rig.frame_of(1, true, NEW);
    assert!(videos(&mut rig).is_empty(), "only what is watched");
    rig.map(42, true);
    rig.take_hands();
    rig.send_misc(Misc::SwitchDisplay(hbb::SwitchDisplay { display: 1, ..Default::default() }));
    assert_eq!(rig.take_hands(), [kvmdesk::input::event::InputEvent::ReleaseAll], "keys follow the switch");
    let switch = switches(&mut rig).pop().unwrap();
    assert_eq!((switch.display, switch.x, switch.width), (1, 1280, 1920));
    assert_eq!(rig.take_wanted(), [1]);
    assert_eq!(rig.shown.iter().copied().collect::<Vec<_>>(), [0, 1]);
    rig.send_misc(Misc::SwitchDisplay(hbb::SwitchDisplay { display: 1, ..Default::default() }));
    rig.send_misc(Misc::SwitchDisplay(hbb::SwitchDisplay { display: 9, ..Default::default() }));
    assert!(switches(&mut rig).is_empty());
    rig.send_misc(Misc::CaptureDisplays(hbb::CaptureDisplays { set: vec![1], ..Default::default() }));
    assert_eq!(rig.shown.iter().copied().collect::<Vec<_>>(), [1], "what nobody looks at costs nothing");
    rig.frame(true);
    assert!(videos(&mut rig).is_empty());
    rig.frame_of(1, true, NEW);
    let seen = rig.take_seen();
    assert!(matches!(seen.as_slice(), [Union::VideoFrame(f)] if f.display == 1));
    rig.mouse(0, 1280, 0);
    assert!(rig.take_hands().is_empty(), "the app itself moves to the new origin, no hand did");
    rig.mouse(0, 1280, 0);
    use kvmdesk::input::event::{AbsolutePoint, InputEvent::PointerAbsolute};
    assert_eq!(
        rig.take_hands(),
        [PointerAbsolute(AbsolutePoint::default())],
        "from the display's own origin"
    );
    rig.send_misc(Misc::MessageQuery(hbb::MessageQuery { switch_display: 0 }));
    assert_eq!(switches(&mut rig).len(), 1);
}

#[test]
fn wishes_reach_the_pipeline_once() {
    let mut rig = Rig::watching();
    let first = rig.requests[0];
    assert_eq!((first.max_fps, first.quality_percent), (30, 67));
    rig.send_misc(Misc::Option(hbb::OptionMessage { custom_fps: 30, ..Default::default() }));
    assert_eq!(rig.requests.len(), 1, "no change");
    rig.send_misc(Misc::Option(hbb::OptionMessage { image_quality: 4, ..Default::default() }));
    rig.send_misc(Misc::AutoAdjustFps(10));
    let last = *rig.requests.last().unwrap();
    assert_eq!((rig.requests.len(), last.max_fps, last.quality_percent), (3, 10, 150));
    assert_eq!(last.bits_per_second, None, "the line limits nothing");
}

#[test]
fn small_requests_are_answered_in_the_references_words() {
    let mut rig = Rig::watching();
    let sid = "5f0c2a1e-0000-4000-8000-000000000000";
    rig.send(Union::ScreenshotRequest(hbb::ScreenshotRequest { display: 7, sid: sid.into() }));
    assert!(matches!(
        rig.take_seen().as_slice(),
        [Union::ScreenshotResponse(r)] if r.sid == sid && r.msg.starts_with("Failed to take screenshot")
    ));
    rig.send(Union::VoiceCallRequest(hbb::VoiceCallRequest { req_timestamp: 77, is_connect: true }));
    rig.send(Union::VoiceCallRequest(hbb::VoiceCallRequest { req_timestamp: 78, is_connect: false }));
    assert!(matches!(
        rig.take_seen().as_slice(),
        [Union::VoiceCallResponse(r)] if !r.accepted && r.req_timestamp == 77
    ));
    rig.send_misc(Misc::TogglePrivacyMode(hbb::TogglePrivacyMode { impl_key: "k".into(), on: true }));
    let back = hbb::back_notification::Union::PrivacyModeState(3);
    assert!(matches!(
        rig.take_seen().as_slice(),
        [Union::Misc(hbb::Misc { union: Some(Misc::BackNotification(b)) })]
            if b.impl_key == "k" && b.union == Some(back)
    ));
    rig.send_misc(Misc::Option(hbb::OptionMessage { block_input: 2, ..Default::default() }));
    let back = hbb::back_notification::Union::BlockInputState(3);
    assert!(matches!(
        rig.take_seen().as_slice(),
        [Union::Misc(hbb::Misc { union: Some(Misc::BackNotification(b)) })] if b.union == Some(back)
    ));
    rig.send_misc(Misc::ChatMessage(hbb::ChatMessage { text: "hi".into() }));
    rig.send_misc(Misc::RestartRemoteDevice(true));
    assert!(rig.take_seen().is_empty() && rig.closed.is_none());
    for _ in 0..2 {
        rig.input(Input::HidNotice("The computer takes no keys: is its USB cable in?"));
    }
    rig.input(Input::HidNotice(""));
    assert!(matches!(rig.take_seen().as_slice(), [Union::MessageBox(_)]), "once a change");
}
