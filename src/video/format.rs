//! Pixel formats by their V4L2 FourCC, sizes and plane layouts.

/// Width x height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Resolution {
    /// Pixels a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
}

impl Resolution {
    /// `width` x `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The size cut down to even numbers, as 4:2:0 pictures need it.
    pub fn to_even(self) -> Self {
        Self { width: self.width & !1, height: self.height & !1 }
    }
}

impl std::fmt::Display for Resolution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// Pixel layouts we capture, named by their V4L2 FourCC (kernel: userspace-api/media/v4l/pixfmt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// `YUYV`: packed 4:2:2, 2 bytes a pixel.
    Yuyv,
    /// `UYVY`: packed 4:2:2, 2 bytes a pixel.
    Uyvy,
    /// `NV12`: 4:2:0, Y plane and interleaved UV plane.
    Nv12,
    /// `BGR3`: 3 bytes a pixel, blue first.
    Bgr24,
    /// `YU12`: 4:2:0, planes Y, U, V.
    Yu12,
}

impl PixelFormat {
    /// The FourCC as V4L2 spells it.
    pub const fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Yuyv => *b"YUYV",
            Self::Uyvy => *b"UYVY",
            Self::Nv12 => *b"NV12",
            Self::Bgr24 => *b"BGR3",
            Self::Yu12 => *b"YU12",
        }
    }

    /// The format of a FourCC, if we know it.
    pub fn from_fourcc(code: [u8; 4]) -> Option<Self> {
        [Self::Yuyv, Self::Uyvy, Self::Nv12, Self::Bgr24, Self::Yu12].into_iter().find(|f| f.fourcc() == code)
    }
}
