//! One contract for every encoder of this machine: what comes out is what RustDesk controllers decode
//! (reference: session 3.2, 3.4, 11).

mod captured;
mod catalogue;

use kvmdesk::media::canvas::{Canvas, Colour};
use kvmdesk::media::capture::{Colours, RawFrame, RawPlane};
use kvmdesk::media::convert::convert_stripes;
use kvmdesk::media::encode::decode::{self, Decoder};
use kvmdesk::media::encode::encoders::{CandidateState, Encoders};
use kvmdesk::media::encode::{EncodeError, Encoder, FrameOrder, headers};
use kvmdesk::media::picture::{I420Picture, Stripes};
use kvmdesk::video::annexb::{self, nal_type, unit_type};
use kvmdesk::video::format::{PixelFormat, Resolution};
use kvmdesk::video::frame::Codec;

/// What the continuous integration machine has.
#[cfg(feature = "gstreamer")]
const EXPECTED: &[&str] = &["x264enc", "x265enc", "vp8enc", "vp9enc", "av1enc", "openh264"];
#[cfg(not(feature = "gstreamer"))]
const EXPECTED: &[&str] = &["openh264"];
/// A change of the quantiser costs these a key frame.
const RESTARTS: &[&str] = &["x265enc", "svtav1enc"];
const SIZES: [(u32, u32); 4] = [(1920, 1080), (1366, 768), (642, 358), (64, 48)];
const SMALL: Resolution = Resolution::new(320, 240);

const FIELDS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
    [255, 255, 0],
    [0, 0, 0],
    [128, 128, 128],
    [200, 100, 50],
];

/// Eight colour fields, moved on by one for every `n`.
fn picture(size: Resolution, n: usize) -> I420Picture {
    let mut canvas = Canvas::new(size);
    for field in 0..8 {
        let [r, g, b] = FIELDS[(field + n) % 8];
        let x = size.width * field as u32 / 8;
        canvas.fill(x, 0, size.width / 8 + 2, size.height, Colour::rgb(r, g, b));
    }
    let mut picture = I420Picture::new(size);
    let frame = canvas.as_frame(std::time::Instant::now());
    convert_stripes(&frame, &Stripes::all(size.height), &mut picture).unwrap();
    picture
}

/// Noise of a fixed seed: every quantiser shows in its size.
fn noise(size: Resolution) -> I420Picture {
    let mut picture = I420Picture::new(size);
    let mut state = 1u32;
    for y in picture.rows_mut(0, size.height).y {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *y = 100 + (state >> 27) as u8;
    }
    picture
}

/// Controllers convert as BT.601 limited range whatever the stream says.
fn assert_fields(decoded: &I420Picture, n: usize, tolerance: u8, of: &str) {
    let Resolution { width, height } = decoded.resolution();
    let (width, height) = (width as usize, height as usize);
    for field in 0..8 {
        let (column, row) = (width * field / 8 + width / 16, height / 4);
        let y = (f64::from(decoded.y()[row * width + column]) - 16.0) / 219.0;
        let chroma = row / 2 * (width / 2) + column / 2;
        let [cb, cr] = [decoded.u(), decoded.v()].map(|plane| (f64::from(plane[chroma]) - 128.0) / 224.0);
        let (r, b) = (y + 1.402 * cr, y + 1.772 * cb);
        let g = (y - 0.299 * r - 0.114 * b) / 0.587;
        let got = [r, g, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8);
        let want = FIELDS[(field + n) % 8];
        let off = got.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= tolerance, "{of}, field {field} of {width}x{height}: {got:?}, not {want:?}");
    }
}

/// The encoders of this machine that work.
fn names() -> Vec<(&'static str, Codec)> {
    let encoders = Encoders::of_this_machine();
    encoders.prove_all();
    let proven = |state: &CandidateState| matches!(state, CandidateState::Proven { .. });
    encoders.report().into_iter().filter(|c| proven(&c.state)).map(|c| (c.name, c.codec)).collect()
}

fn open(name: &str, size: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
    Encoders::of_this_machine().open_named(name, size)
}

fn decoder(codec: Codec) -> Option<Box<dyn Decoder>> {
    decode::open(codec)
}

fn order(wants_keyframe: bool, quantiser: u8) -> FrameOrder {
    FrameOrder { wants_keyframe, quantiser, bits_per_second: None }
}

/// What the parameter sets of a key frame say, and where they stand.
fn assert_parameter_sets(codec: Codec, data: &[u8], size: Resolution, of: &str) {
    let units: Vec<&[u8]> = annexb::nal_units(data).collect();
    match codec {
        Codec::H264 => {
            assert!(annexb::has_long_start_codes(data), "{of}: short start codes");
            assert!(annexb::is_self_contained(data), "{of}");
            assert_eq!(unit_type(units[0]), nal_type::SPS, "{of}: nothing in front of the SPS");
            let sps = annexb::parse_sps(units[0]).unwrap();
            assert_eq!(sps.resolution, size, "{of}: cropping");
            assert_eq!((sps.is_full_range, sps.matrix, sps.poc_type), (false, 6, 2), "{of}");
            assert!([66, 77, 100].contains(&sps.profile), "{of}: profile {}", sps.profile);
        }
        Codec::H265 => {
            assert!(annexb::has_long_start_codes(data), "{of}: short start codes");
            let kinds: Vec<u8> = units.iter().map(|unit| unit[0] >> 1 & 0x3f).collect();
            assert_eq!(kinds[..3], [32, 33, 34], "{of}: VPS, SPS, PPS in front");
        }
        Codec::Vp8 | Codec::Vp9 | Codec::Av1 => {}
    }
}

#[test]
fn this_machine_has_the_encoders_that_are_tested_everywhere() {
    let there: Vec<&str> = names().into_iter().map(|(name, _)| name).collect();
    assert!(there.contains(&"openh264"));
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        for name in EXPECTED {
            assert!(there.contains(name), "{name}: {:#?}", Encoders::of_this_machine().report());
        }
    }
}

#[test]
fn the_first_frame_is_a_key_frame_of_the_right_size_and_colours() {
    for (name, codec) in names() {
        for (width, height) in SIZES {
            let size = Resolution::new(width, height);
            let of = format!("{name} {size}");
            let mut encoder = open(name, size).unwrap();
            assert_eq!((encoder.name(), encoder.codec(), encoder.resolution()), (name, codec, size));
            let first = encoder.encode(&picture(size, 0), order(false, 12)).unwrap();
            let header = headers::read(codec, &first.data).unwrap();
            assert!(first.is_keyframe && header.is_keyframe, "{of}");
            assert_eq!(header.resolution, Some(size), "{of}");
            assert_parameter_sets(codec, &first.data, size, &of);
            if let Some(mut decoder) = decoder(codec) {
                let decoded = decoder.decode(&first.data).unwrap();
                assert_eq!(decoded.resolution(), size, "{of}");
                assert_fields(&decoded, 0, 3, &of);
            }
        }
    }
}

#[test]
fn limited_rgb_is_decoded_as_it_was_meant() {
    let size = Resolution::new(642, 358);
    let width = size.width as usize;
    let pixel = |x: usize| FIELDS[x * 8 / width].map(|c| (16.0 + f64::from(c) * 219.0 / 255.0).round() as u8);
    let data = (0..width).flat_map(pixel).collect::<Vec<u8>>().repeat(size.height as usize);
    let frame = RawFrame {
        format: PixelFormat::Rgb24,
        resolution: size,
        planes: [RawPlane { data: &data, stride: width * 3 }, RawPlane::EMPTY, RawPlane::EMPTY],
        colours: Colours::RgbLimited,
        captured_at: std::time::Instant::now(),
    };
    let mut picture = I420Picture::new(size);
    convert_stripes(&frame, &Stripes::all(size.height), &mut picture).unwrap();
    let mut encoder = open("openh264", size).unwrap();
    let encoded = encoder.encode(&picture, order(true, 12)).unwrap();
    let mut decoder = decoder(Codec::H264).unwrap();
    assert_fields(&decoder.decode(&encoded.data).unwrap(), 0, 3, "limited RGB");
}

#[test]
fn key_frames_come_on_request_only_and_every_frame_at_once() {
    for (name, codec) in names() {
        let mut encoder = open(name, SMALL).unwrap();
        let (mut early, mut late) = (decoder(codec), None);
        let mut parameter_sets: Option<Vec<Vec<u8>>> = None;
        for n in 0..60 {
            let of = format!("{name}, frame {n}");
            let is_wanted = n == 20 || n == 40;
            let frame = encoder.encode(&picture(SMALL, n), order(is_wanted, 20)).unwrap();
            assert_eq!(frame.is_keyframe, n == 0 || is_wanted, "{of}");
            assert_eq!(headers::read(codec, &frame.data).unwrap().is_keyframe, frame.is_keyframe, "{of}");
            if let Some(decoder) = &mut early {
                assert_fields(&decoder.decode(&frame.data).unwrap(), n, 8, &of);
            }
            if frame.is_keyframe {
                assert_parameter_sets(codec, &frame.data, SMALL, &of);
            }
            if frame.is_keyframe && codec == Codec::H264 {
                let sets: Vec<_> = annexb::nal_units(&frame.data)
                    .filter(|u| [nal_type::SPS, nal_type::PPS].contains(&unit_type(u)))
                    .map(<[u8]>::to_vec)
                    .collect();
                assert_eq!(parameter_sets.get_or_insert(sets.clone()), &sets, "{of}: they never change");
            }
            if n == 40 {
                late = decoder(codec);
            }
            if let Some(decoder) = &mut late {
                assert_fields(&decoder.decode(&frame.data).unwrap(), n, 8, &of);
            }
        }
    }
}

#[test]
fn quality_matters_and_changes_without_a_key_frame() {
    for (name, codec) in names() {
        let noise = noise(SMALL);
        let mut sizes = Vec::new();
        for quantiser in [40, 34, 28, 22, 14] {
            let mut encoder = open(name, SMALL).unwrap();
            sizes.push(encoder.encode(&noise, order(false, quantiser)).unwrap().data.len());
        }
        assert!(sizes.windows(2).all(|w| w[0] < w[1]), "{name}: {sizes:?}");

        // In a running stream: coarse, then finer, then coarse again.
        let mut encoder = open(name, SMALL).unwrap();
        let mut decoder = decoder(codec);
        let mut errors = Vec::new();
        for (n, quantiser) in [40, 14, 40].into_iter().enumerate() {
            let mut picture = noise.clone();
            picture.rows_mut(0, SMALL.height).y.rotate_left(n * 977);
            let frame = encoder.encode(&picture, order(false, quantiser)).unwrap();
            let is_expected = n == 0 || RESTARTS.contains(&name);
            assert_eq!(frame.is_keyframe, is_expected, "{name}, quantiser {quantiser}");
            if let Some(decoder) = &mut decoder {
                let decoded = decoder.decode(&frame.data).unwrap();
                let off = decoded.y().iter().zip(picture.y()).map(|(a, b)| u64::from(a.abs_diff(*b)));
                errors.push(off.sum::<u64>());
            }
        }
        if let [coarse, fine, coarse_again] = errors[..] {
            assert!(fine * 3 < coarse * 2 && fine * 3 < coarse_again * 2, "{name}: {errors:?}");
        }
    }
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    for (name, _) in names() {
        for (width, height) in [(0, 0), (641, 480), (640, 481), (8, 640), (u32::MAX - 1, 1 << 31)] {
            let refused = open(name, Resolution::new(width, height));
            assert!(matches!(refused, Err(EncodeError::Size(_))), "{name} {width}x{height}");
        }
        let mut encoder = open(name, SMALL).unwrap();
        let other = I420Picture::new(Resolution::new(320, 242));
        assert!(encoder.encode(&other, order(false, 26)).is_err(), "{name}");
        assert!(encoder.encode(&I420Picture::new(SMALL), order(false, 26)).is_ok(), "{name}");
    }
    assert!(matches!(open("no such encoder", SMALL), Err(EncodeError::Unknown(_))));
}
