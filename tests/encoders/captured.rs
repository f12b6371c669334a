//! Pictures as they were captured: whatever strides and offsets they have, they come out of every encoder, by a pointer and
//! as DMABUF (here a file, which GStreamer maps just so), and none is held when it ends. What does not work out is copied.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use kvmdesk::media::captured::{CaptureMemory, CapturedPicture};
use kvmdesk::media::encode::Way;
use kvmdesk::media::encode::encoders::Candidate;

use super::*;

/// Memory planes of a device, and what it exports.
struct Memory {
    planes: Vec<Vec<u8>>,
    files: Vec<File>,
}

impl CaptureMemory for Memory {
    fn bytes(&self, plane: usize) -> &[u8] {
        self.planes.get(plane).map_or(&[], Vec::as_slice)
    }

    fn dmabuf(&self, plane: usize) -> Option<BorrowedFd<'_>> {
        self.files.get(plane).map(|file| file.as_fd())
    }
}

/// What a device exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exports {
    Nothing,
    Memory,
    /// Something else of the same size.
    Rubbish,
    /// What cannot be mapped.
    NoMemory,
}

/// The fields of picture `n` as NV12 with an offset in front and padding behind the rows, rubbish in both; luma and chroma in
/// a memory plane each if `is_split`. Also the memory, which tells whether anyone still reads it.
fn capture(size: Resolution, n: usize, is_split: bool, exports: Exports) -> (CapturedPicture, Arc<Memory>) {
    const OFFSET: usize = 96;
    let picture = picture(size, n);
    let (width, stride) = (size.width as usize, size.width as usize + 58);
    let mut luma = vec![0x5a; OFFSET];
    for row in picture.y().chunks(width) {
        luma.extend_from_slice(row);
        luma.resize(luma.len() + stride - width, 0xa5);
    }
    let mut chroma = if is_split { vec![0x5a; OFFSET] } else { Vec::new() };
    for (us, vs) in picture.u().chunks(width / 2).zip(picture.v().chunks(width / 2)) {
        chroma.extend(us.iter().zip(vs).flat_map(|(u, v)| [*u, *v]));
        chroma.resize(chroma.len() + stride - width, 0xa5);
    }
    let chroma_at = if is_split { OFFSET } else { luma.len() };
    let planes = if is_split { vec![luma, chroma] } else { vec![[luma, chroma].concat()] };
    let export = |plane: &Vec<u8>| match exports {
        Exports::Nothing => None,
        Exports::Memory => Some(in_file(plane)),
        Exports::Rubbish => Some(in_file(&plane.iter().rev().copied().collect::<Vec<u8>>())),
        Exports::NoMemory => Some(File::open("/dev/null").unwrap()),
    };
    let files = planes.iter().filter_map(export).collect();
    let memory = Arc::new(Memory { planes, files });
    let frame = RawFrame {
        format: PixelFormat::Nv12,
        resolution: size,
        planes: [
            RawPlane { data: &memory.planes[0][OFFSET..], stride },
            RawPlane { data: &memory.planes[usize::from(is_split)][chroma_at..], stride },
            RawPlane::EMPTY,
        ],
        colours: Colours::Bt601,
        captured_at: Instant::now(),
    };
    (CapturedPicture::of(&frame, memory.clone()).unwrap(), memory)
}

fn in_file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn captured_pictures_are_encoded_whatever_their_strides_and_let_go_of() {
    for (name, codec) in names() {
        for (is_split, size) in [(false, SMALL), (true, Resolution::new(642, 358))] {
            let mut encoder = open(name, size).unwrap();
            let mut decoder = decoder(codec);
            let mut memories = Vec::new();
            if EXPECTED.contains(&name) {
                assert_eq!(encoder.takes_captured(), name == "x264enc", "{name}");
            }
            for n in 0..4 {
                let (captured, memory) = capture(size, n, is_split, Exports::Nothing);
                memories.push(Arc::downgrade(&memory));
                let frame = encoder.encode_captured(&captured, order(n == 2, 12)).unwrap();
                assert_eq!(frame.is_keyframe, n == 0 || n == 2, "{name} {n}");
                let way = if encoder.takes_captured() { Way::Captured } else { Way::Converted };
                assert_eq!(encoder.way(), way, "{name}");
                if let Some(decoder) = &mut decoder {
                    assert_fields(&decoder.decode(&frame.data).unwrap(), n, 5, name);
                }
            }
            // Planes of ours and captured ones in turn.
            let own = encoder.encode(&picture(size, 4), order(false, 12)).unwrap();
            assert_eq!(encoder.way(), Way::Converted, "{name}");
            if let Some(decoder) = &mut decoder {
                assert_fields(&decoder.decode(&own.data).unwrap(), 4, 5, name);
            }
            let (other, _memory) = capture(Resolution::new(320, 242), 0, is_split, Exports::Nothing);
            assert!(encoder.encode_captured(&other, order(false, 12)).is_err(), "{name}");
            drop(encoder);
            assert!(
                memories.iter().all(|memory| memory.strong_count() == 0),
                "{name}: an encoder that ended lets go"
            );
        }
    }
}

/// Those that are handed DMABUFs, each of another row.
fn takers() -> Vec<Arc<dyn Candidate>> {
    #[cfg(feature = "gstreamer")]
    let candidates = kvmdesk::media::encode::encoders::handed_dmabufs();
    #[cfg(not(feature = "gstreamer"))]
    let candidates: Vec<Arc<dyn Candidate>> = vec![];
    candidates.into_iter().filter(|candidate| candidate.is_there()).collect()
}

/// A picture out of an encoder, and how it came in.
fn encode(
    encoder: &mut dyn Encoder,
    decoder: &mut dyn Decoder,
    picture: &CapturedPicture,
    n: usize,
) -> (Way, bool) {
    let frame = encoder.encode_captured(picture, order(false, 12)).unwrap();
    assert_fields(&decoder.decode(&frame.data).unwrap(), n, 5, &format!("picture {n}, {:?}", encoder.way()));
    (encoder.way(), frame.is_keyframe)
}

#[test]
fn dmabufs_are_handed_over_and_let_go_of() {
    for candidate in takers() {
        for is_split in [false, true] {
            let mut encoder = candidate.open(SMALL).unwrap();
            let mut decoder = decoder(Codec::H264).unwrap();
            let mut memories = Vec::new();
            for n in 0..6 {
                let (captured, memory) = capture(SMALL, n, is_split, Exports::Memory);
                let made = encode(encoder.as_mut(), decoder.as_mut(), &captured, n);
                assert_eq!(made, (Way::DmaBuf, n == 0), "{n}");
                memories.push(Arc::downgrade(&memory));
            }
            // Strides and offsets of another device may need another start, and are looked at again.
            for n in 6..8 {
                let (captured, _memory) = capture(SMALL, n, !is_split, Exports::Memory);
                let made = encode(encoder.as_mut(), decoder.as_mut(), &captured, n);
                assert_eq!(made, (Way::DmaBuf, n == 6), "{n}");
            }
            drop(encoder);
            assert!(
                memories.iter().all(|memory| memory.strong_count() == 0),
                "an encoder that ended lets go"
            );
        }
    }
}

#[test]
fn what_does_not_come_out_right_is_copied_for_good() {
    for exports in [Exports::Rubbish, Exports::NoMemory] {
        for candidate in takers() {
            let mut encoder = candidate.open(SMALL).unwrap();
            let mut decoder = decoder(Codec::H264).unwrap();
            for n in 0..3 {
                let (captured, _memory) = capture(SMALL, n, false, exports);
                let made = encode(encoder.as_mut(), decoder.as_mut(), &captured, n);
                assert_eq!(made, (Way::Captured, n == 0), "{exports:?} {n}: no wrong picture gets out");
            }
            let (captured, _memory) = capture(SMALL, 0, false, Exports::Memory);
            let mut other = candidate.open(SMALL).unwrap();
            other.encode_captured(&captured, order(false, 12)).unwrap();
            assert_eq!(other.way(), Way::Captured, "also in another one of the same kind");
        }
    }
}

#[test]
fn other_pictures_between_dmabufs_cost_a_key_frame_now_and_then_at_most() {
    for (candidate, imports_only) in takers().into_iter().zip([false, true]) {
        let mut encoder = candidate.open(SMALL).unwrap();
        let mut decoder = decoder(Codec::H264).unwrap();
        let (mut ways, mut keys) = (vec![], 0);
        for n in 0..130 {
            let (way, is_key) = if n % 10 == 5 {
                let frame = encoder.encode(&picture(SMALL, n), order(false, 12)).unwrap();
                assert_fields(&decoder.decode(&frame.data).unwrap(), n, 5, "between");
                (encoder.way(), frame.is_keyframe)
            } else {
                let (captured, _memory) = capture(SMALL, n, false, Exports::Memory);
                encode(encoder.as_mut(), decoder.as_mut(), &captured, n)
            };
            keys += usize::from(is_key);
            ways.push(way);
        }
        let handed = ways.iter().filter(|way| **way == Way::DmaBuf).count();
        // Told to take nothing else, it is told otherwise at 5, that again at 66, otherwise at 75.
        let expected = if imports_only { (5 + 9, 4) } else { (117, 1) };
        assert_eq!((handed, keys), expected, "{ways:?}");
    }
}
