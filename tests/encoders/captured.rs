//! Pictures as they were captured: whatever strides and offsets they have, they come out of every encoder, and none is held
//! when it ends.

use std::sync::Arc;
use std::time::Instant;

use kvmdesk::media::captured::{CaptureMemory, CapturedPicture};

use super::*;

/// Memory planes of a device.
struct Memory(Vec<Vec<u8>>);

impl CaptureMemory for Memory {
    fn bytes(&self, plane: usize) -> &[u8] {
        self.0.get(plane).map_or(&[], Vec::as_slice)
    }
}

/// The fields of picture `n` as NV12 with an offset in front and padding behind the rows, rubbish in both; luma and chroma in
/// a memory plane each if `is_split`. Also the memory, which tells whether anyone still reads it.
fn capture(size: Resolution, n: usize, is_split: bool) -> (CapturedPicture, Arc<Memory>) {
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
    let memory = Arc::new(Memory(if is_split { vec![luma, chroma] } else { vec![[luma, chroma].concat()] }));
    let frame = RawFrame {
        format: PixelFormat::Nv12,
        resolution: size,
        planes: [
            RawPlane { data: &memory.0[0][OFFSET..], stride },
            RawPlane { data: &memory.0[usize::from(is_split)][chroma_at..], stride },
            RawPlane::EMPTY,
        ],
        colours: Colours::Bt601,
        captured_at: Instant::now(),
    };
    (CapturedPicture::of(&frame, memory.clone()).unwrap(), memory)
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
                let (captured, memory) = capture(size, n, is_split);
                memories.push(Arc::downgrade(&memory));
                let frame = encoder.encode_captured(&captured, order(n == 2, 12)).unwrap();
                assert_eq!(frame.is_keyframe, n == 0 || n == 2, "{name} {n}");
                if let Some(decoder) = &mut decoder {
                    assert_fields(&decoder.decode(&frame.data).unwrap(), n, 5, name);
                }
            }
            // Planes of ours and captured ones in turn.
            let own = encoder.encode(&picture(size, 4), order(false, 12)).unwrap();
            if let Some(decoder) = &mut decoder {
                assert_fields(&decoder.decode(&own.data).unwrap(), 4, 5, name);
            }
            let (other, _memory) = capture(Resolution::new(320, 242), 0, is_split);
            assert!(encoder.encode_captured(&other, order(false, 12)).is_err(), "{name}");
            drop(encoder);
            assert!(
                memories.iter().all(|memory| memory.strong_count() == 0),
                "{name}: an encoder that ended lets go"
            );
        }
    }
}
