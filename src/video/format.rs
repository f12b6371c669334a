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

    /// Whether it is at most as wide and as high as another.
    pub fn fits_into(self, other: Self) -> bool {
        self.width <= other.width && self.height <= other.height
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

/// Pixel layouts we capture, by their FourCC (kernel: userspace-api/media/v4l/pixfmt). The 32-bit ones are named by their
/// bytes in memory, which is not how V4L2 names all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// `YUYV`: packed 4:2:2, 2 bytes a pixel.
    Yuyv,
    /// `UYVY`: packed 4:2:2, 2 bytes a pixel.
    Uyvy,
    /// `YVYU`: packed 4:2:2, 2 bytes a pixel.
    Yvyu,
    /// `VYUY`: packed 4:2:2, 2 bytes a pixel.
    Vyuy,
    /// `NV12`: 4:2:0, Y plane and interleaved UV plane.
    Nv12,
    /// `NV21`: 4:2:0, Y plane and interleaved VU plane.
    Nv21,
    /// `NV16`: 4:2:2, Y plane and interleaved UV plane.
    Nv16,
    /// `NV61`: 4:2:2, Y plane and interleaved VU plane.
    Nv61,
    /// `NV24`: 4:4:4, Y plane and interleaved UV plane, twice as wide in bytes.
    Nv24,
    /// `YU12`: 4:2:0, planes Y, U, V.
    Yu12,
    /// `YV12`: 4:2:0, planes Y, V, U.
    Yv12,
    /// `RGB3`: 3 bytes a pixel, red first.
    Rgb24,
    /// `BGR3`: 3 bytes a pixel, blue first.
    Bgr24,
    /// `XR24` (V4L2_PIX_FMT_XBGR32): bytes blue, green, red, unused.
    Bgrx32,
    /// `XB24` (V4L2_PIX_FMT_RGBX32): bytes red, green, blue, unused.
    Rgbx32,
    /// `BX24` (V4L2_PIX_FMT_XRGB32): bytes unused, red, green, blue.
    Xrgb32,
    /// `RX24` (V4L2_PIX_FMT_BGRX32): bytes unused, blue, green, red.
    Xbgr32,
    /// `RGBP`: 16 bits a pixel, little endian, red in the highest five.
    Rgb565,
    /// `GREY`: luma alone, 1 byte a pixel.
    Grey,
    /// `MJPG` or `JPEG`: one JPEG a picture, of varying length.
    Mjpeg,
}

impl PixelFormat {
    /// Every layout, in the order in which they are tried on a device: luma and chroma before RGB, which has to be
    /// multiplied out, before JPEG, which has to be decoded; last what has fewer colours.
    pub const ALL: [Self; 20] = [
        Self::Nv12,
        Self::Yuyv,
        Self::Uyvy,
        Self::Yvyu,
        Self::Vyuy,
        Self::Yu12,
        Self::Yv12,
        Self::Nv21,
        Self::Nv16,
        Self::Nv61,
        Self::Nv24,
        Self::Bgr24,
        Self::Rgb24,
        Self::Bgrx32,
        Self::Rgbx32,
        Self::Xrgb32,
        Self::Xbgr32,
        Self::Mjpeg,
        Self::Rgb565,
        Self::Grey,
    ];

    /// The FourCC as V4L2 spells it.
    pub const fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Yuyv => *b"YUYV",
            Self::Uyvy => *b"UYVY",
            Self::Yvyu => *b"YVYU",
            Self::Vyuy => *b"VYUY",
            Self::Nv12 => *b"NV12",
            Self::Nv21 => *b"NV21",
            Self::Nv16 => *b"NV16",
            Self::Nv61 => *b"NV61",
            Self::Nv24 => *b"NV24",
            Self::Yu12 => *b"YU12",
            Self::Yv12 => *b"YV12",
            Self::Rgb24 => *b"RGB3",
            Self::Bgr24 => *b"BGR3",
            Self::Bgrx32 => *b"XR24",
            Self::Rgbx32 => *b"XB24",
            Self::Xrgb32 => *b"BX24",
            Self::Xbgr32 => *b"RX24",
            Self::Rgb565 => *b"RGBP",
            Self::Grey => *b"GREY",
            Self::Mjpeg => *b"MJPG",
        }
    }

    /// Whether pixels are red, green and blue instead of luma and chroma.
    pub const fn is_rgb(self) -> bool {
        matches!(
            self,
            Self::Rgb24
                | Self::Bgr24
                | Self::Bgrx32
                | Self::Rgbx32
                | Self::Xrgb32
                | Self::Xbgr32
                | Self::Rgb565
        )
    }
}
