//! Ratios of the media path against a reference measured in the same run: the steps take turns, each figure is the
//! median of its rounds, so that a busy machine slows both sides alike. Prints whether each goal is met.
#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark owns its clock"
)]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use kvmdesk::crypto::seal::{Sealer, SessionKey, TAG_LEN};
use kvmdesk::media::capture::{Colours, RawFrame, RawPlane};
use kvmdesk::media::change::changed_stripes;
use kvmdesk::media::convert::convert_stripes;
use kvmdesk::media::encode::encoders::Encoders;
use kvmdesk::media::encode::{Encoder, FrameOrder};
use kvmdesk::media::picture::{I420Picture, Stripes};
use kvmdesk::net::stream::WireBuffer;
use kvmdesk::peer::video::wrap;
use kvmdesk::video::format::{PixelFormat, Resolution};
use kvmdesk::video::frame::{Codec, EncodedFrame};

const SIZE: Resolution = Resolution::new(1920, 1080);
const ROUNDS: usize = 101;
const WARM_UP: usize = 5;
/// An encoded frame as in the goal.
const FRAME_BYTES: usize = 200_000;

/// Median milliseconds of each step; the steps take turns, and so does who begins.
fn medians<const N: usize>(steps: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut times: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    for round in 0..ROUNDS + WARM_UP {
        for turn in 0..N {
            let n = (round + turn) % N;
            let start = Instant::now();
            steps[n]();
            if round >= WARM_UP {
                times[n].push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn report(what: &str, ours: f64, reference: f64, goal: Option<f64>) {
    let ratio = ours / reference;
    let verdict = match goal {
        Some(goal) if ratio <= goal => format!("goal {goal:.2} met"),
        Some(goal) => format!("goal {goal:.2} MISSED"),
        None => "no goal".into(),
    };
    println!("{what:<58} {ours:>8.4} ms / {reference:>8.4} ms = {ratio:>6.3}  {verdict}");
}

/// Pictures whose content differs from byte to byte, so that nothing compares early.
fn noise(bytes: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(bytes).collect()
}

fn raw(format: PixelFormat, planes: [RawPlane<'_>; 3]) -> RawFrame<'_> {
    RawFrame { format, resolution: SIZE, planes, colours: Colours::Bt601, captured_at: Instant::now() }
}

fn packed(format: PixelFormat, data: &[u8], bytes: usize) -> RawFrame<'_> {
    let plane = RawPlane { data, stride: SIZE.width as usize * bytes };
    raw(format, [plane, RawPlane::EMPTY, RawPlane::EMPTY])
}

fn detection_and_conversion() {
    let pixels = (SIZE.width * SIZE.height) as usize;
    let before = noise(pixels * 2, 1);
    let after = before.clone();
    let mut copy = vec![0u8; pixels * 2];
    let mut picture = I420Picture::new(SIZE);
    let all = Stripes::all(SIZE.height);
    let (current, previous) = (packed(PixelFormat::Yuyv, &after, 2), packed(PixelFormat::Yuyv, &before, 2));
    let [memcpy, compare, convert] = medians([
        &mut || black_box(&mut copy).copy_from_slice(black_box(&after)),
        &mut || assert!(black_box(changed_stripes(black_box(&current), black_box(&previous))).is_empty()),
        &mut || convert_stripes(black_box(&current), &all, black_box(&mut picture)).unwrap(),
    ]);
    report("change detection, unchanged 1080p YUYV / memcpy of it", compare, memcpy, Some(1.0));
    report("conversion of all stripes, YUYV / memcpy of it", convert, memcpy, Some(1.5));

    let bgr = noise(pixels * 3, 2);
    let mut copy = vec![0u8; pixels * 3];
    let frame = packed(PixelFormat::Bgr24, &bgr, 3);
    let [memcpy, convert] =
        medians([&mut || black_box(&mut copy).copy_from_slice(black_box(&bgr)), &mut || {
            convert_stripes(black_box(&frame), &all, black_box(&mut picture)).unwrap()
        }]);
    report("conversion of all stripes, BGR24 / memcpy of it", convert, memcpy, Some(1.9));

    let nv12 = noise(pixels * 3 / 2, 3);
    let mut copy = vec![0u8; pixels * 3 / 2];
    let stride = SIZE.width as usize;
    let planes = [
        RawPlane { data: &nv12[..pixels], stride },
        RawPlane { data: &nv12[pixels..], stride },
        RawPlane::EMPTY,
    ];
    let frame = raw(PixelFormat::Nv12, planes);
    let wide = RawFrame { colours: Colours::Bt709, ..frame };
    let mut other = I420Picture::new(SIZE);
    let [memcpy, convert, recolour] = medians([
        &mut || black_box(&mut copy).copy_from_slice(black_box(&nv12)),
        &mut || convert_stripes(black_box(&frame), &all, black_box(&mut picture)).unwrap(),
        &mut || convert_stripes(black_box(&wide), &all, black_box(&mut other)).unwrap(),
    ]);
    report("conversion of all stripes, NV12 / memcpy of it", convert, memcpy, None);
    report("the same from BT.709 / memcpy of it", recolour, memcpy, None);
}

/// The product's own way of a frame to the wire: `peer::video::wrap`, then the writer's `WireBuffer`.
fn sealing() {
    let frame = EncodedFrame {
        data: Bytes::from(noise(FRAME_BYTES, 4)),
        codec: Codec::H264,
        is_keyframe: true,
        captured_at: Instant::now(),
        sequence: 0,
        resolution: SIZE,
        original_resolution: SIZE,
    };
    let mut sealer = Sealer::new(SessionKey::from_bytes([7; 32]));
    let mut other = Sealer::new(SessionKey::from_bytes([7; 32]));
    let mut wire = WireBuffer::default();
    let mut alone = vec![0u8; TAG_LEN + FRAME_BYTES];
    alone[TAG_LEN..].copy_from_slice(&frame.data);
    let [seal, message] = medians([&mut || other.seal_in_place(black_box(&mut alone)).unwrap(), &mut || {
        let (head, tail) = wrap(0, black_box(&frame), 40);
        black_box(wire.frame(&[&head, &frame.data, &tail], Some(&mut sealer)).unwrap());
    }]);
    report("message build + seal of a 200 kB frame / seal alone", message, seal, Some(1.10));
}

/// A desktop-like picture: flat areas and lines of "text", the lower part moved by `shift`.
fn desktop(shift: usize) -> I420Picture {
    let mut picture = I420Picture::new(SIZE);
    let width = SIZE.width as usize;
    for (n, y) in picture.rows_mut(0, SIZE.height).y.iter_mut().enumerate() {
        let (column, row) = (n % width, n / width);
        let moved = if row > 700 { row + shift } else { row };
        let is_ink =
            moved % 20 < 12 && (column * 7 + moved / 20 * 13) % 11 < 4 && (column / 3 + moved / 2) % 3 == 0;
        *y = if is_ink { 30 } else { 220 };
    }
    picture
}

fn encoding() {
    let pictures: Vec<_> = (0..4).map(|n| desktop(n * 3)).collect();
    let order = |wants_keyframe| FrameOrder { wants_keyframe, quantiser: 26, bits_per_second: None };
    let open = || Encoders::of_this_machine().open(Codec::H264, SIZE).unwrap();
    let (mut still, mut moving, mut keys): (Box<dyn Encoder>, _, _) = (open(), open(), open());
    let bytes = YUYV_BYTES;
    let (before, after) = (noise(bytes, 5), noise(bytes, 5));
    let (current, previous) = (packed(PixelFormat::Yuyv, &after, 2), packed(PixelFormat::Yuyv, &before, 2));
    let mut n = 0;
    let [unchanged, changed, key, compare] = medians([
        &mut || drop(black_box(still.encode(&pictures[0], order(false)).unwrap())),
        &mut || {
            n += 1;
            drop(black_box(moving.encode(&pictures[n % 4], order(false)).unwrap()));
        },
        &mut || drop(black_box(keys.encode(&pictures[1], order(true)).unwrap())),
        &mut || assert!(black_box(changed_stripes(black_box(&current), black_box(&previous))).is_empty()),
    ]);
    report("unchanged frame: our compare / encoding it", compare, unchanged, None);
    report("encoding an unchanged frame / a changed one (35 % of it)", unchanged, changed, None);
    report("encoding a key frame / a changed one", key, changed, None);
}

const YUYV_BYTES: usize = 1920 * 1080 * 2;

fn main() {
    println!("1920x1080, {ROUNDS} rounds in turn, medians: ours / reference = ratio");
    detection_and_conversion();
    sealing();
    encoding();
}
