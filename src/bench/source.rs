//! One frame of a clip in the two shapes that are compared: as a grabber delivers it to us (YUYV, BT.601 limited) and
//! as a screen capture delivers it to the reference (four bytes a pixel).

use std::time::Instant;

use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix, bgra_to_yuv422,
};

use super::clips::Scene;
use super::desktop::Screen;
use crate::media::capture::{Colours, RawFrame, RawPlane};
use crate::video::format::{PixelFormat, Resolution};

/// A frame in both shapes.
#[derive(Debug)]
pub struct Source {
    screen: Screen,
    yuyv: Vec<u8>,
    planes: YuvPlanarImageMut<'static, u8>,
}

impl Source {
    /// A black frame of even size.
    pub fn new(size: Resolution) -> Self {
        let Resolution { width, height } = size;
        let pixels = width as usize * height as usize;
        let planes = YuvPlanarImageMut {
            y_plane: BufferStoreMut::Owned(vec![16; pixels]),
            y_stride: width,
            u_plane: BufferStoreMut::Owned(vec![128; pixels / 2]),
            u_stride: width / 2,
            v_plane: BufferStoreMut::Owned(vec![128; pixels / 2]),
            v_stride: width / 2,
            width,
            height,
        };
        Self { screen: Screen::new(size, [0; 3]), yuyv: vec![0; pixels * 2], planes }
    }

    /// Draws frame `n` of a clip.
    ///
    /// # Errors
    /// A sentence, if the size is impossible.
    pub fn draw(&mut self, scene: &mut Scene, n: u32) -> Result<(), String> {
        scene.draw(n, &mut self.screen);
        let size = self.screen.size();
        bgra_to_yuv422(
            &mut self.planes,
            self.screen.bytes(),
            size.width * 4,
            YuvRange::Limited,
            YuvStandardMatrix::Bt601,
            YuvConversionMode::Balanced,
        )
        .map_err(|error| format!("a clip of {size} cannot be made: {error}"))?;
        let mut packed = std::mem::take(&mut self.yuyv);
        let (us, vs) = (self.planes.u_plane.borrow(), self.planes.v_plane.borrow());
        let pairs = self.luma().as_chunks::<2>().0.iter().zip(us).zip(vs);
        for (four, ((y, u), v)) in packed.as_chunks_mut::<4>().0.iter_mut().zip(pairs) {
            *four = [y[0], *u, y[1], *v];
        }
        self.yuyv = packed;
        Ok(())
    }

    /// Its size.
    pub fn size(&self) -> Resolution {
        self.screen.size()
    }

    /// As the reference gets it: blue, green, red and a spare byte.
    #[cfg(any(feature = "gstreamer", test))]
    pub fn bgra(&self) -> &[u8] {
        self.screen.bytes()
    }

    /// As we get it.
    pub fn raw(&self, captured_at: Instant) -> RawFrame<'_> {
        let plane = RawPlane { data: &self.yuyv, stride: self.size().width as usize * 2 };
        RawFrame {
            format: PixelFormat::Yuyv,
            resolution: self.size(),
            planes: [plane, RawPlane::EMPTY, RawPlane::EMPTY],
            colours: Colours::Bt601,
            captured_at,
        }
    }

    /// The luma of both, `width` bytes a row, limited range.
    pub fn luma(&self) -> &[u8] {
        self.planes.y_plane.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::clips::Clip;
    use crate::bench::clock;

    #[test]
    fn the_shapes_show_the_same_picture() {
        let size = Resolution::new(320, 240);
        let mut source = Source::new(size);
        source.draw(&mut Scene::new(Clip::Idle, size), 0).unwrap();
        let raw = source.raw(clock::now());
        let (mut worst, mut chroma) = (0, 0);
        for (n, pixel) in source.bgra().as_chunks::<4>().0.iter().enumerate() {
            let [b, g, r] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
            let luma = 16.0 + (0.299 * r + 0.587 * g + 0.114 * b) * 219.0 / 255.0;
            worst = worst.max((luma.round() as u8).abs_diff(raw.planes[0].data[n * 2]));
            chroma = chroma.max(raw.planes[0].data[n * 2 + 1].abs_diff(128));
            assert_eq!(raw.planes[0].data[n * 2], source.luma()[n]);
        }
        assert!(worst <= 1, "{worst}");
        assert!(chroma > 20, "there is colour");
    }
}
