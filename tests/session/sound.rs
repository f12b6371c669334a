//! Sound and screenshots (session 3.11, 4).

use bytes::Bytes;
use kvmdesk::audio::format::{AudioFormat, EncodedAudio};
use kvmdesk::peer::machine::*;
use kvmdesk::wire::message::hbb;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;

use super::rig::*;

const STEREO: AudioFormat = AudioFormat { sample_rate: 48_000, channels: 2 };

fn packet(format: AudioFormat) -> Input<'static> {
    Input::Sound(EncodedAudio { data: Bytes::from_static(b"opus"), format })
}

/// Two displays, sound on the second.
fn open(option: hbb::OptionMessage) -> Rig {
    let mut rig = Rig::sounding(settings(), Opening::Secure, vec![state(SIZE); 2], vec![false, true], 7);
    let key = rig.box_session_key();
    rig.send(Union::PublicKey(key));
    let denied: Vec<_> = permissions(&mut rig);
    assert!(!denied.contains(&hbb::permission_info::Permission::Audio), "{denied:?}");
    let login = rig.login(PASSWORD);
    let decoding = login.option.unwrap().supported_decoding;
    let option = Some(hbb::OptionMessage { supported_decoding: decoding, ..option });
    let request = hbb::LoginRequest { option, ..rig.login(PASSWORD) };
    rig.send(Union::LoginRequest(request));
    rig.take_seen();
    rig
}

fn permissions(rig: &mut Rig) -> Vec<hbb::permission_info::Permission> {
    let seen = rig.take_seen().into_iter();
    let infos = seen.filter_map(|union| match union {
        Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(info)) }) => Some(info.permission()),
        _ => None,
    });
    infos.collect()
}

fn heard(rig: &mut Rig) -> String {
    let seen = rig.take_seen().into_iter();
    let words = seen.filter_map(|union| match union {
        Union::Misc(hbb::Misc { union: Some(Misc::AudioFormat(f)) }) => {
            Some(format!("{}x{} ", f.sample_rate, f.channels))
        }
        Union::AudioFrame(frame) => Some(format!("{} ", String::from_utf8(frame.data).unwrap())),
        _ => None,
    });
    words.collect()
}

#[test]
fn the_format_comes_before_the_first_packet_and_when_it_changes() {
    let mut rig = open(hbb::OptionMessage::default());
    assert_eq!(rig.listens_to, Some(1), "the one sound there is");
    rig.input(packet(STEREO));
    rig.input(packet(STEREO));
    let mono = AudioFormat { sample_rate: 16_000, channels: 1 };
    rig.input(packet(mono));
    rig.input(packet(AudioFormat { sample_rate: 44_100, channels: 2 }));
    rig.input(packet(AudioFormat { sample_rate: 48_000, channels: 6 }));
    assert_eq!(heard(&mut rig), "48000x2 opus opus 16000x1 opus ", "and nothing that the apps cannot play");
}

#[test]
fn the_app_mutes_and_unmutes() {
    let mut rig = open(hbb::OptionMessage { disable_audio: 2, ..Default::default() });
    assert_eq!(rig.listens_to, None);
    rig.input(packet(STEREO));
    assert_eq!(heard(&mut rig), "");
    rig.send_misc(Misc::Option(hbb::OptionMessage { disable_audio: 1, ..Default::default() }));
    assert_eq!(rig.listens_to, Some(1));
    rig.input(packet(STEREO));
    rig.send_misc(Misc::Option(hbb::OptionMessage { disable_audio: 2, ..Default::default() }));
    rig.input(packet(STEREO));
    rig.send_misc(Misc::Option(hbb::OptionMessage { disable_audio: 1, ..Default::default() }));
    rig.input(packet(STEREO));
    assert_eq!(heard(&mut rig), "48000x2 opus opus ", "a format told again would restart the player");
}

#[test]
fn without_sound_the_app_is_told_so() {
    let mut rig = Rig::sealed();
    assert!(permissions(&mut rig).contains(&hbb::permission_info::Permission::Audio));
    let mut rig = Rig::open();
    assert_eq!(rig.listens_to, None);
    rig.input(packet(STEREO));
    assert_eq!(heard(&mut rig), "");
}

/// What was told about sound, in order.
fn told(rig: &mut Rig) -> Vec<bool> {
    let seen = rig.take_seen().into_iter();
    let infos = seen.filter_map(|union| match union {
        Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(info)) }) => Some(info),
        _ => None,
    });
    let of_sound = |info: &hbb::PermissionInfo| info.permission() == hbb::permission_info::Permission::Audio;
    infos.filter(of_sound).map(|info| info.enabled).collect()
}

#[test]
fn a_sound_card_that_comes_or_goes_is_told_once() {
    let there = |rig: &mut Rig, index, is_there| {
        rig.input(Input::SoundThere { index, is_there });
        (told(rig), rig.listens_to)
    };
    let mut rig = open(hbb::OptionMessage::default());
    assert_eq!((told(&mut rig), rig.listens_to), (vec![], Some(1)));
    assert_eq!(there(&mut rig, 0, true), (vec![], Some(0)), "the display's own");
    assert_eq!(there(&mut rig, 1, false), (vec![], Some(0)));
    assert_eq!(there(&mut rig, 0, false), (vec![false], None), "the last one");
    rig.input(packet(STEREO));
    assert_eq!(heard(&mut rig), "");
    assert_eq!(there(&mut rig, 0, false), (vec![], None));
    assert_eq!(there(&mut rig, 9, true), (vec![], None), "no such display");
    assert_eq!(there(&mut rig, 1, true), (vec![true], Some(1)));
    rig.input(packet(STEREO));
    assert_eq!(heard(&mut rig), "48000x2 opus ");
    rig.send_misc(Misc::Option(hbb::OptionMessage { disable_audio: 2, ..Default::default() }));
    assert_eq!(there(&mut rig, 1, false), (vec![false], None));
    assert_eq!(there(&mut rig, 1, true), (vec![true], None), "muted all the same");
}

#[test]
fn before_the_key_exchange_nothing_is_told_and_then_what_is_true() {
    let displays = vec![state(SIZE)];
    for (at_first, is_there) in [(true, false), (false, true)] {
        let mut rig = Rig::sounding(settings(), Opening::Secure, displays.clone(), vec![at_first], 7);
        let key = rig.box_session_key();
        rig.input(Input::SoundThere { index: 0, is_there });
        assert!(told(&mut rig).is_empty());
        rig.send(Union::PublicKey(key));
        assert_eq!(told(&mut rig), if is_there { vec![] } else { vec![false] });
    }
}

fn ask(rig: &mut Rig, display: i32, sid: &str) {
    rig.send(Union::ScreenshotRequest(hbb::ScreenshotRequest { display, sid: sid.into() }));
}

fn answers(rig: &mut Rig) -> Vec<(String, String, usize)> {
    let seen = rig.take_seen().into_iter();
    let answers = seen.filter_map(|union| match union {
        Union::ScreenshotResponse(r) => Some((r.sid, r.msg, r.data.len())),
        _ => None,
    });
    answers.collect()
}

#[test]
fn screenshots_one_at_a_time_and_then_a_key_frame() {
    let mut rig = Rig::watching();
    rig.take_wanted();
    ask(&mut rig, 0, "a");
    ask(&mut rig, 0, "b");
    assert_eq!(rig.shots, [(0, "a".to_owned())]);
    let refused = answers(&mut rig);
    assert!(refused.len() == 1 && refused[0].0 == "b" && refused[0].1.starts_with("Failed to take"));
    let png = Ok(vec![7; 3_000_000]);
    rig.input(Input::Screenshot { sid: "a", png });
    assert_eq!(answers(&mut rig), [("a".to_owned(), String::new(), 3_000_000)]);
    assert_eq!(rig.take_wanted(), [0], "as the apps expect after it");
    ask(&mut rig, 0, "c");
    rig.input(Input::Screenshot { sid: "c", png: Err("there is no picture".into()) });
    assert_eq!(
        answers(&mut rig),
        [("c".to_owned(), "Failed to take screenshot: there is no picture".to_owned(), 0)]
    );
    rig.input(Input::Screenshot { sid: "d", png: Ok(vec![]) });
    assert!(answers(&mut rig).is_empty(), "nobody asked");
}
