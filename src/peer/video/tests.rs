use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::wire::message::hbb;

const SIZE: Resolution = Resolution::new(640, 480);

fn frame(sequence: u64, is_keyframe: bool, resolution: Resolution, captured_at: Instant) -> EncodedFrame {
    EncodedFrame {
        data: Bytes::from_static(b"x"),
        codec: Codec::H264,
        is_keyframe,
        captured_at,
        sequence,
        resolution,
        original_resolution: resolution,
    }
}

proptest! {
    #[test]
    fn wrapped_by_hand_equals_prost(
        len in prop_oneof![0usize..300, 16_000..17_000usize, Just(2_100_000)],
        display in prop_oneof![Just(0usize), 1..300usize],
        is_keyframe: bool,
        pts in prop_oneof![Just(0i64), 0..i64::MAX],
    ) {
        let data = Bytes::from(vec![0xA5; len]);
        let mut given = frame(0, is_keyframe, SIZE, Instant::now());
        given.data = data.clone();
        let (head, tail) = wrap(display, &given, pts);
        let built = [&head[..], &data, &tail].concat();
        let one = hbb::EncodedVideoFrame { data, key: is_keyframe, pts };
        let message = hbb::Message {
            union: Some(hbb::message::Union::VideoFrame(hbb::VideoFrame {
                display: display as i32,
                union: Some(hbb::video_frame::Union::H264s(hbb::EncodedVideoFrames { frames: vec![one] })),
            })),
        };
        prop_assert!(built == message.encode_to_vec());
    }
}

#[test]
fn nothing_but_a_key_frame_first_and_after_a_gap() {
    let now = Instant::now();
    let mut video = Video::new(1, false, now);
    assert_eq!(
        video.admit(0, &frame(3, false, SIZE, now), true, SIZE, now),
        Admission::Drop(Reason::AwaitingKeyframe)
    );
    assert_eq!(video.admit(0, &frame(4, true, SIZE, now), true, SIZE, now), Admission::Send);
    video.sent(0, &frame(4, true, SIZE, now), now);
    assert_eq!(video.admit(0, &frame(5, false, SIZE, now), true, SIZE, now), Admission::Send);
    assert!(video.take_wanted().is_empty());
    assert_eq!(
        video.admit(0, &frame(7, false, SIZE, now), true, SIZE, now),
        Admission::Drop(Reason::AwaitingKeyframe)
    );
    assert_eq!(video.take_wanted(), [0]);
    assert_eq!(
        video.admit(0, &frame(8, false, SIZE, now), true, SIZE, now),
        Admission::Drop(Reason::AwaitingKeyframe)
    );
    assert!(video.take_wanted().is_empty(), "asked once");
    let (at, _) = video.deadline().unwrap();
    assert_eq!(at, now + ASK_AGAIN);
    video.handle_timeout(at);
    assert_eq!(video.take_wanted(), [0], "and again");
    assert_eq!(
        video.admit(0, &frame(20, true, SIZE, now), true, SIZE, at),
        Admission::Send,
        "a key frame closes a gap"
    );
    assert_eq!(
        video.admit(7, &frame(1, true, SIZE, now), true, SIZE, at),
        Admission::Drop(Reason::NotWatched),
        "no such display"
    );
}

#[test]
fn a_new_size_needs_its_key_frame_and_one_more() {
    let now = Instant::now();
    let later = now + Duration::from_secs(5);
    let new = Resolution::new(800, 600);
    let mut video = Video::new(1, false, now);
    video.sent(0, &frame(0, true, SIZE, now), now);
    video.resized(0, later);
    assert_eq!(video.take_wanted(), [0]);
    assert_eq!(
        video.admit(0, &frame(1, false, SIZE, now), true, new, later),
        Admission::Drop(Reason::AwaitingKeyframe)
    );
    assert_eq!(
        video.admit(0, &frame(2, true, SIZE, now), true, new, later),
        Admission::Drop(Reason::OldSize),
        "an old picture"
    );
    assert_eq!(video.admit(0, &frame(3, true, new, now), true, new, later), Admission::Send);
    video.sent(0, &frame(3, true, new, later), later);
    assert_eq!(video.deadline().unwrap().0, later + REPEAT_AFTER);
    video.handle_timeout(later + REPEAT_AFTER);
    assert_eq!(video.take_wanted(), [0]);
    assert_eq!(video.deadline(), None);
    let after = later + Duration::from_secs(1);
    assert_eq!(video.admit(0, &frame(4, true, SIZE, after), true, new, after), Admission::Resize);
    assert_eq!(
        video.admit(0, &frame(5, false, SIZE, after), true, new, after),
        Admission::Drop(Reason::OldSize),
        "a delta cannot"
    );
}

#[test]
fn acknowledging_controllers_get_a_window() {
    let now = Instant::now();
    let mut video = Video::new(1, true, now);
    for n in 0..4 {
        let f = frame(n, n == 0, SIZE, now);
        assert_eq!(video.admit(0, &f, true, SIZE, now), Admission::Send);
        assert_eq!(video.sent(0, &f, now), n as i64, "times increase strictly");
    }
    assert_eq!(
        video.admit(0, &frame(4, false, SIZE, now), true, SIZE, now),
        Admission::Drop(Reason::Unacknowledged)
    );
    assert_eq!(video.take_wanted(), [0]);
    video.acknowledged(now);
    assert_eq!(
        video.admit(0, &frame(5, false, SIZE, now), true, SIZE, now),
        Admission::Drop(Reason::AwaitingKeyframe),
        "a delta after a gap"
    );
    let key = frame(6, true, SIZE, now);
    assert_eq!(video.admit(0, &key, true, SIZE, now), Admission::Send);
    video.sent(0, &key, now);
    assert_eq!(
        video.admit(0, &frame(7, true, SIZE, now), true, SIZE, now),
        Admission::Drop(Reason::Unacknowledged)
    );
    let late = now + ACK_LIMIT;
    assert_eq!(
        video.admit(0, &frame(8, true, SIZE, now), true, SIZE, late),
        Admission::Send,
        "never frozen for ever"
    );
}

#[test]
fn another_codec_begins_with_a_key_frame_and_a_withdrawn_one_ends_at_once() {
    let now = Instant::now();
    let mut video = Video::new(1, false, now);
    video.sent(0, &frame(0, true, SIZE, now), now);
    let of = |codec, sequence, is_keyframe| EncodedFrame { codec, ..frame(sequence, is_keyframe, SIZE, now) };
    let delta = of(Codec::Vp9, 1, false);
    assert_eq!(
        video.admit(0, &delta, true, SIZE, now),
        Admission::Drop(Reason::AwaitingKeyframe),
        "its decoder does not exist yet"
    );
    let key = of(Codec::Vp9, 0, true);
    assert_eq!(video.admit(0, &key, true, SIZE, now), Admission::Send);
    video.sent(0, &key, now);
    video.take_wanted();
    video.withdrawn(CodecSet::of(&[Codec::Vp9]), now);
    assert!(video.take_wanted().is_empty(), "not that one");
    video.withdrawn(CodecSet::of(&[Codec::Vp8]), now);
    assert_eq!(video.take_wanted(), [0], "the next codec's key frame, at once");
    let undecodable = Admission::Drop(Reason::Undecodable);
    assert_eq!(video.admit(0, &of(Codec::Vp9, 1, true), false, SIZE, now), undecodable);
    let next = of(Codec::Vp8, 0, true);
    assert_eq!(video.admit(0, &next, true, SIZE, now), Admission::Send);
}
