//! Which codec a controller gets, and what it is told if there is none (session 3.4, 3.6).

use kvmdesk::video::frame::{Codec, CodecSet};
use kvmdesk::video::signal::DisplayState;
use kvmdesk::wire::message::hbb;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;

use kvmdesk::peer::machine::*;

use super::rig::*;

fn encoding(codecs: &[Codec]) -> DisplayState {
    DisplayState { encodes: CodecSet::of(codecs), ..state(SIZE) }
}

/// Logged in with this option, with displays that encode these.
fn open(option: Option<hbb::OptionMessage>, version: &str, displays: Vec<DisplayState>) -> Rig {
    let mut rig = Rig::with_displays(settings(), Opening::Secure, displays);
    let key = rig.box_session_key();
    rig.send(Union::PublicKey(key));
    let request = hbb::LoginRequest { option, version: version.into(), ..rig.login(PASSWORD) };
    rig.send(Union::LoginRequest(request));
    assert_eq!(rig.requests.len(), 1, "in");
    rig
}

fn boxes(rig: &mut Rig) -> Vec<hbb::MessageBox> {
    let boxes = rig.take_seen().into_iter().filter_map(|union| match union {
        Union::MessageBox(notice) => Some(notice),
        _ => None,
    });
    boxes.collect()
}

fn menus(rig: &mut Rig) -> Vec<hbb::SupportedEncoding> {
    let menus = rig.take_seen().into_iter().filter_map(|union| match union {
        Union::Misc(hbb::Misc { union: Some(Misc::SupportedEncoding(menu)) }) => Some(menu),
        _ => None,
    });
    menus.collect()
}

#[test]
fn what_is_said_at_login_reaches_the_pipeline() {
    let all = vec![encoding(&Codec::ALL)];
    for (option, version, want) in [
        (None, "", CodecSet::of(&[Codec::Vp9])),
        (Some(hbb::OptionMessage::default()), "1.1.9", CodecSet::of(&[Codec::Vp9])),
        (Some(decoding(&[], 0)), "1.4.9", CodecSet::of(&[Codec::Vp9])),
        (Some(decoding(&[Codec::Vp8, Codec::Vp9, Codec::Av1], 0)), "1.2.3", {
            CodecSet::of(&[Codec::Vp8, Codec::Vp9, Codec::Av1])
        }),
        (Some(decoding(&[Codec::H264], 0)), "1.4.9", CodecSet::of(&[Codec::H264])),
    ] {
        let mut rig = open(option, version, all.clone());
        assert_eq!(rig.requests[0].decodes, want, "{version}");
        assert!(boxes(&mut rig).is_empty());
    }
    let rig = open(Some(decoding(&Codec::ALL, 5)), "1.4.9", all);
    assert_eq!(rig.requests[0].prefers, Some(Codec::Av1));
}

#[test]
fn the_menu_follows_what_the_displays_encode() {
    let displays = vec![encoding(&[Codec::H264]), encoding(&[Codec::Vp9, Codec::Vp8])];
    let mut rig = open(Some(decoding(&Codec::ALL, 0)), "1.4.9", displays);
    let welcome = rig.take_seen().into_iter().find_map(|union| match union {
        Union::LoginResponse(hbb::LoginResponse {
            union: Some(hbb::login_response::Union::PeerInfo(info)),
            ..
        }) => info.encoding,
        _ => None,
    });
    assert_eq!(welcome, Some(hbb::SupportedEncoding { h264: true, vp8: true, ..Default::default() }));
    rig.input(Input::Display { index: 1, state: encoding(&[Codec::Vp9]) });
    assert_eq!(menus(&mut rig), [hbb::SupportedEncoding { h264: true, ..Default::default() }]);
    rig.input(Input::Display { index: 0, state: encoding(&[Codec::H264]) });
    rig.input(Input::Display { index: 1, state: encoding(&[Codec::Vp9]) });
    assert!(menus(&mut rig).is_empty(), "told once");
    rig.input(Input::Display { index: 1, state: encoding(&[Codec::H264]) });
    assert!(menus(&mut rig).is_empty(), "VP9 has no flag, so that its end changes the message in nothing");
}

#[test]
fn a_withdrawn_codec_leads_to_the_next_at_once() {
    let mut rig = open(Some(decoding(&Codec::ALL, 0)), "1.4.9", vec![encoding(&Codec::ALL)]);
    rig.frame_in(Codec::H264, 0, true, SIZE);
    rig.frame_in(Codec::H264, 0, false, SIZE);
    rig.take_seen();
    rig.take_wanted();
    let rest = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265];
    rig.send_misc(Misc::Option(decoding(&rest, 0)));
    assert_eq!(rig.requests.last().unwrap().decodes, CodecSet::of(&rest));
    assert_eq!(rig.take_wanted(), [0], "its key frame is asked for in the same breath");
    rig.frame_in(Codec::H264, 0, true, SIZE);
    assert!(rig.take_seen().is_empty(), "nothing more of the old one");
    rig.frame_in(Codec::H265, 0, true, SIZE);
    rig.frame_in(Codec::H265, 0, false, SIZE);
    let seen = rig.take_seen();
    assert!(
        seen.iter().all(|u| matches!(
            u,
            Union::VideoFrame(hbb::VideoFrame { union: Some(hbb::video_frame::Union::H265s(_)), .. })
        )) && seen.len() == 2,
        "{seen:?}"
    );
    rig.send_misc(Misc::Option(decoding(&rest, 5)));
    assert_eq!(rig.requests.last().unwrap().prefers, Some(Codec::Av1));
    assert!(rig.take_wanted().is_empty(), "the pipeline changes when it has a key frame of the other");
}

#[test]
fn no_common_codec_is_told_in_words_and_the_hands_work() {
    let mut rig = open(Some(decoding(&[Codec::Vp9], 0)), "1.4.9", vec![encoding(&[Codec::H264])]);
    let notice = boxes(&mut rig);
    assert_eq!(notice.len(), 1);
    assert!(
        notice[0].text.starts_with("This device can encode H.264 only; this app decodes VP9."),
        "{notice:?}"
    );
    rig.frame_in(Codec::H264, 0, true, SIZE);
    assert!(rig.take_seen().is_empty(), "no frames");
    rig.seconds(5);
    assert!(rig.take_wanted().is_empty(), "and none is asked for");
    rig.map(42, true);
    assert_eq!(rig.take_hands().len(), 1);
    rig.send_misc(Misc::Option(decoding(&[Codec::Vp9], 1)));
    assert!(boxes(&mut rig).is_empty(), "told once");
    rig.input(Input::Display { index: 0, state: encoding(&[Codec::H264, Codec::Vp9]) });
    rig.frame_in(Codec::Vp9, 0, true, SIZE);
    let seen = rig.take_seen();
    assert!(seen.iter().any(|u| matches!(u, Union::VideoFrame(_))), "an encoder came: {seen:?}");
    rig.input(Input::Display { index: 0, state: encoding(&[]) });
    assert!(boxes(&mut rig)[0].text.contains("kvmdesk probe"), "and all encoders went");
    assert_eq!(rig.closed, None);
}

#[test]
fn a_controller_that_fails_at_everything_is_told_what_helps() {
    let mut rig =
        open(Some(decoding(&[Codec::H264, Codec::Vp9], 0)), "1.4.9", vec![encoding(&[Codec::H264])]);
    rig.frame_in(Codec::H264, 0, true, SIZE);
    rig.take_seen();
    rig.send_misc(Misc::Option(decoding(&[Codec::Vp9], 0)));
    let notice = boxes(&mut rig);
    assert!(notice.len() == 1 && notice[0].text.contains("turn hardware decoding off"), "{notice:?}");
    assert_eq!(rig.closed, None);
}
