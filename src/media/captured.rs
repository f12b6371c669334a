//! A captured picture that can go to an encoder as it is: NV12 in the colours that apps show, in its source's own
//! memory, which is held for as long as anyone reads it. Neither converted nor copied.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Instant;

use super::capture::{Colours, RawFrame, RawPlane};
use crate::video::format::{PixelFormat, Resolution};

/// Memory of a source that holds one picture. While anyone has a reference to it nothing is written to it, also when the
/// source stops or its device goes.
pub trait CaptureMemory: Send + Sync {
    /// The bytes of a memory plane, of which NV12 has one or two; empty if it is not there.
    fn bytes(&self, plane: usize) -> &[u8];

    /// The same as a DMABUF, which hardware reads without the CPU; `None` where the source has none.
    fn dmabuf(&self, _plane: usize) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Where one of the two planes of a picture begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The memory plane that it is in.
    pub memory: usize,
    /// The first byte in there.
    pub offset: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A captured picture. Cloning it holds the same memory once more.
#[derive(Clone)]
pub struct CapturedPicture {
    memory: Arc<dyn CaptureMemory>,
    /// As captured; may be odd.
    captured: Resolution,
    places: [Place; 2],
    captured_at: Instant,
}

impl std::fmt::Debug for CapturedPicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturedPicture").field("captured", &self.captured).finish_non_exhaustive()
    }
}

impl CapturedPicture {
    /// The picture of `frame`, whose planes lie in `memory`, cut to even size. `None` if it needs a conversion, or if not
    /// all of its rows are there.
    pub fn of(frame: &RawFrame<'_>, memory: Arc<dyn CaptureMemory>) -> Option<Self> {
        let resolution = frame.resolution.to_even();
        let is_plain = frame.format == PixelFormat::Nv12 && frame.colours == Colours::Bt601;
        if !is_plain || resolution.width == 0 || resolution.height == 0 {
            return None;
        }
        let mut places = [Place { memory: 0, offset: 0, stride: 0 }; 2];
        for ((place, plane), shape) in places.iter_mut().zip(&frame.planes).zip(frame.plane_shapes()) {
            let rows = resolution.height as usize / shape.rows_per;
            plane.row(rows - 1, shape.bytes).filter(|_| plane.stride >= shape.bytes)?;
            *place = (0..2).find_map(|number| {
                let whole = memory.bytes(number).as_ptr_range();
                let part = plane.data.as_ptr_range();
                let is_in = whole.start <= part.start && part.end <= whole.end;
                let offset = part.start.addr().wrapping_sub(whole.start.addr());
                is_in.then_some(Place { memory: number, offset, stride: plane.stride })
            })?;
        }
        Some(Self { memory, captured: frame.resolution, places, captured_at: frame.captured_at })
    }

    /// Its size, even both ways.
    pub fn resolution(&self) -> Resolution {
        self.captured.to_even()
    }

    /// Where luma and chroma begin.
    pub fn places(&self) -> [Place; 2] {
        self.places
    }

    /// The memory that it is in.
    pub fn memory(&self) -> &dyn CaptureMemory {
        self.memory.as_ref()
    }

    /// As a frame, to be compared or converted.
    pub fn frame(&self) -> RawFrame<'_> {
        let plane = |place: Place| RawPlane {
            data: self.memory.bytes(place.memory).get(place.offset..).unwrap_or_default(),
            stride: place.stride,
        };
        RawFrame {
            format: PixelFormat::Nv12,
            resolution: self.captured,
            planes: [plane(self.places[0]), plane(self.places[1]), RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at: self.captured_at,
        }
    }

    /// The visible rows of luma, and those of chroma.
    pub fn rows(&self) -> [impl Iterator<Item = &[u8]>; 2] {
        let frame = self.frame();
        let shapes = frame.plane_shapes();
        [0, 1].map(|n| {
            let (plane, shape) = (frame.planes[n], shapes[n]);
            let rows = self.resolution().height as usize / shape.rows_per;
            (0..rows).map(move |row| plane.row(row, shape.bytes).unwrap_or_default())
        })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
pub(super) mod tests {
    use super::*;

    /// Memory of the heap.
    pub struct Heap {
        pub planes: Vec<Vec<u8>>,
    }

    impl CaptureMemory for Heap {
        fn bytes(&self, plane: usize) -> &[u8] {
            self.planes.get(plane).map_or(&[], Vec::as_slice)
        }
    }

    /// A frame in `memory`, luma first.
    pub fn frame_in(memory: &Heap, resolution: Resolution, places: [Place; 2]) -> RawFrame<'_> {
        let plane = |place: Place| RawPlane {
            data: &memory.planes[place.memory][place.offset..],
            stride: place.stride,
        };
        RawFrame {
            format: PixelFormat::Nv12,
            resolution,
            planes: [plane(places[0]), plane(places[1]), RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at: Instant::now(),
        }
    }

    fn captured(memory: Heap, size: Resolution, places: [Place; 2]) -> Option<CapturedPicture> {
        let memory = Arc::new(memory);
        CapturedPicture::of(&frame_in(&memory, size, places), memory.clone())
    }

    fn place(memory: usize, offset: usize, stride: usize) -> Place {
        Place { memory, offset, stride }
    }

    #[test]
    fn planes_are_found_in_one_memory_or_two() {
        let bytes: Vec<u8> = (0..100).collect();
        let one = Heap { planes: vec![bytes.clone()] };
        let places = [place(0, 3, 8), place(0, 35, 8)];
        let picture = captured(one, Resolution::new(7, 5), places).unwrap();
        assert_eq!((picture.resolution(), picture.places()), (Resolution::new(6, 4), places));
        let [luma, chroma] = picture.rows();
        assert_eq!(
            luma.map(|row| (row[0], row.len())).collect::<Vec<_>>(),
            [(3, 6), (11, 6), (19, 6), (27, 6)]
        );
        assert_eq!(chroma.map(|row| row[0]).collect::<Vec<_>>(), [35, 43]);

        let two = Heap { planes: vec![bytes.clone(), bytes] };
        let places = [place(0, 0, 6), place(1, 10, 12)];
        let picture = captured(two, Resolution::new(6, 4), places).unwrap();
        assert_eq!(picture.places(), places);
        assert_eq!(picture.frame().planes[1].row(1, 6).unwrap()[0], 22);
    }

    #[test]
    fn what_needs_a_conversion_or_lacks_rows_is_none() {
        let memory = Arc::new(Heap { planes: vec![vec![0; 100]] });
        let size = Resolution::new(6, 4);
        let good = frame_in(&memory, size, [place(0, 0, 8), place(0, 32, 8)]);
        let of = |frame: RawFrame<'_>| CapturedPicture::of(&frame, memory.clone());
        assert!(of(good).is_some());
        assert!(of(RawFrame { colours: Colours::Bt709, ..good }).is_none());
        assert!(of(RawFrame { format: PixelFormat::Nv21, ..good }).is_none());
        assert!(of(RawFrame { resolution: Resolution::new(0, 4), ..good }).is_none());
        assert!(of(frame_in(&memory, size, [place(0, 0, 4), place(0, 32, 8)])).is_none(), "rows overlap");
        assert!(of(frame_in(&memory, size, [place(0, 0, 8), place(0, 90, 8)])).is_none(), "a row is missing");
        let elsewhere = vec![0; 100];
        let planes = [RawPlane { data: &elsewhere, stride: 8 }, good.planes[1], RawPlane::EMPTY];
        assert!(of(RawFrame { planes, ..good }).is_none(), "not of this memory");
    }
}
