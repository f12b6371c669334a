//! One contract for every compiled-in encoder: what comes out is what RustDesk controllers decode
//! (reference: session 3.2, 3.4, 11).

use kvmdesk::media::canvas::{Canvas, Colour};
use kvmdesk::media::convert::convert_stripes;
use kvmdesk::media::encode::encoders::Encoders;
use kvmdesk::media::encode::{Encoder, FrameOrder};
use kvmdesk::media::picture::{I420Picture, Stripes};
use kvmdesk::video::annexb::{self, nal_type, unit_type};
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::Codec;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;

const CODECS: [Codec; 1] = [Codec::H264];
const SIZES: [(u32, u32); 7] =
    [(1920, 1080), (1366, 768), (1280, 720), (800, 600), (642, 358), (64, 48), (16, 16)];

/// Eight colour fields and a text that depends on `n`.
fn picture(size: Resolution, n: u32) -> I420Picture {
    let mut canvas = Canvas::new(size);
    for (field, [r, g, b]) in FIELDS.into_iter().enumerate() {
        let x = size.width * field as u32 / 8;
        canvas.fill(x, 0, size.width / 8 + 2, size.height, Colour::rgb(r, g, b));
    }
    canvas.text(2, size.height / 2, 2, Colour::WHITE, &format!("frame {n}"));
    let mut picture = I420Picture::new(size);
    let frame = canvas.as_frame(std::time::Instant::now());
    convert_stripes(&frame, &Stripes::all(size.height), &mut picture).unwrap();
    picture
}

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

struct Decoded {
    size: Resolution,
    /// The colour in the middle of each field, in the upper quarter.
    fields: Vec<[u8; 3]>,
}

/// Decodes with the library's decoder; controllers convert as BT.601 limited range whatever the stream says.
fn decode(decoder: &mut Decoder, data: &[u8]) -> Decoded {
    let yuv = decoder.decode(data).unwrap().expect("a picture for every frame, at once");
    let (width, height) = yuv.dimensions();
    let (ys, us, vs) = yuv.strides();
    let fields = (0..8).map(|field| {
        let (column, row) = (width * field / 8 + width / 16, height / 4);
        let y = (f64::from(yuv.y()[row * ys + column]) - 16.0) / 219.0;
        let cb = (f64::from(yuv.u()[row / 2 * us + column / 2]) - 128.0) / 224.0;
        let cr = (f64::from(yuv.v()[row / 2 * vs + column / 2]) - 128.0) / 224.0;
        let (r, b) = (y + 1.402 * cr, y + 1.772 * cb);
        let g = (y - 0.299 * r - 0.114 * b) / 0.587;
        [r, g, b].map(|c| (c * 255.0).round().clamp(0.0, 255.0) as u8)
    });
    Decoded { size: Resolution::new(width as u32, height as u32), fields: fields.collect() }
}

fn assert_colours(decoded: &Decoded, tolerance: u8) {
    for (got, want) in decoded.fields.iter().zip(FIELDS) {
        let off = got.iter().zip(want).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= tolerance, "a field of {}: {got:?}, not {want:?}", decoded.size);
    }
}

fn open(codec: Codec, size: Resolution) -> Box<dyn Encoder> {
    let encoder = Encoders::of_this_machine().open(codec, size).unwrap();
    assert_eq!((encoder.codec(), encoder.resolution()), (codec, size));
    encoder
}

fn order(wants_keyframe: bool, quantiser: u8) -> FrameOrder {
    FrameOrder { wants_keyframe, quantiser, bits_per_second: None }
}

#[test]
fn the_first_frame_is_a_key_frame_of_the_announced_size_and_colours() {
    for codec in CODECS {
        for (width, height) in SIZES {
            let size = Resolution::new(width, height);
            let mut encoder = open(codec, size);
            let first = encoder.encode(&picture(size, 0), order(false, 22)).unwrap();
            assert!(first.is_keyframe && annexb::is_self_contained(&first.data), "{size}");
            assert!(annexb::has_long_start_codes(&first.data), "{size}: short start codes");
            let units: Vec<&[u8]> = annexb::nal_units(&first.data).collect();
            assert_eq!(unit_type(units[0]), nal_type::SPS, "{size}: nothing in front of the SPS");
            let sps = annexb::parse_sps(units[0]).unwrap();
            assert_eq!(sps.resolution, size, "cropping");
            assert_eq!(
                (sps.profile, sps.is_full_range, sps.matrix, sps.poc_type),
                (66, false, 6, 2),
                "{size}"
            );
            let decoded = decode(&mut Decoder::new().unwrap(), &first.data);
            assert_eq!(decoded.size, size);
            if width >= 64 {
                assert_colours(&decoded, 8);
            }
        }
    }
}

#[test]
fn key_frames_come_on_request_only_and_carry_their_parameter_sets() {
    let size = Resolution::new(800, 600);
    for codec in CODECS {
        let mut encoder = open(codec, size);
        let (mut decoder, mut late_decoder) = (Decoder::new().unwrap(), None);
        let mut parameter_sets: Option<Vec<Vec<u8>>> = None;
        for n in 0..60 {
            let wanted = n == 20 || n == 40;
            let frame = encoder.encode(&picture(size, n), order(wanted, 26)).unwrap();
            assert_eq!(frame.is_keyframe, n == 0 || wanted, "frame {n}");
            assert_eq!(frame.is_keyframe, annexb::is_self_contained(&frame.data), "frame {n}");
            assert_eq!(decode(&mut decoder, &frame.data).size, size, "frame {n} comes out at once");
            if frame.is_keyframe {
                let sets: Vec<_> = annexb::nal_units(&frame.data)
                    .filter(|u| [nal_type::SPS, nal_type::PPS].contains(&unit_type(u)))
                    .map(<[u8]>::to_vec)
                    .collect();
                assert_eq!(parameter_sets.get_or_insert(sets.clone()), &sets, "they never change");
            }
            if n == 40 {
                late_decoder = Some(Decoder::new().unwrap());
            }
            if let Some(late) = &mut late_decoder {
                assert_colours(&decode(late, &frame.data), 24);
            }
        }
    }
}

#[test]
fn quality_changes_without_a_key_frame_and_matters() {
    let size = Resolution::new(640, 480);
    for codec in CODECS {
        let mut sizes = Vec::new();
        for quantiser in [36, 30, 26, 22, 14] {
            let mut encoder = open(codec, size);
            sizes.push(encoder.encode(&noise(size), order(false, quantiser)).unwrap().data.len());
        }
        assert!(sizes.windows(2).all(|w| w[0] < w[1]), "{sizes:?}");
        let mut encoder = open(codec, size);
        let mut decoder = Decoder::new().unwrap();
        for (n, quantiser) in [36, 22, 14, 26].into_iter().enumerate() {
            let frame = encoder.encode(&picture(size, n as u32), order(false, quantiser)).unwrap();
            assert_eq!(frame.is_keyframe, n == 0, "quantiser {quantiser}");
            decode(&mut decoder, &frame.data);
        }
    }
}

#[test]
fn a_picture_of_another_size_is_refused() {
    for codec in CODECS {
        let mut encoder = open(codec, Resolution::new(640, 480));
        assert!(encoder.encode(&I420Picture::new(Resolution::new(640, 482)), order(false, 26)).is_err());
        assert!(encoder.encode(&I420Picture::new(Resolution::new(640, 480)), order(false, 26)).is_ok());
    }
}
