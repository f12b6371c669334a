//! The encoder elements of GStreamer, one row each: everything that differs between them stands here.

use crate::video::frame::Codec;

/// How an element wants the planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Planes Y, U, V.
    I420,
    /// Plane Y, and U and V interleaved.
    Nv12,
}

/// How an element is told how coarse it shall encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Properties that each take the quantiser, while it runs and without a key frame; set in this order to go
    /// coarser, backwards to go finer (a lower bound must never exceed the upper one).
    Quantiser {
        /// The properties.
        properties: &'static [&'static str],
        /// From the scale of H.264 to the element's.
        scale: Scale,
    },
    /// As `Quantiser` with one property, which the element takes at any time but does not mark so; then a second
    /// property has to be set (to what it is) to make older versions look at it.
    MarkedQuantiser {
        /// The property.
        property: &'static str,
        /// The second one, and its value.
        nudge: (&'static str, u32),
    },
    /// A property that is read when the element starts: a difference of three or more starts it anew, with a key
    /// frame.
    Restart {
        /// The property.
        property: &'static str,
        /// From the scale of H.264 to the element's.
        scale: Scale,
    },
    /// Only a bit rate: a control of the V4L2 device, in bits a second.
    V4l2Rate,
}

/// How an element takes NV12 as it was captured. What is handed to it has to prove itself in use, see `trial`; it is copied
/// as soon as that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// Not at all: it reads planes Y, U and V only.
    Never,
    /// Where it lies, by a pointer: it honours the strides and offsets of GstVideoMeta.
    InPlace,
    /// Copied: what it makes of other strides was never seen.
    Copied,
    /// As DMABUF, which it takes beside other memory; copied where the source has none. No hardware that does was at hand.
    DmaBuf,
    /// The same, by a property; it takes nothing else then.
    DmaBufBy(&'static str, &'static str),
}

/// Quantiser scales, matched so that luma SSIM on a desktop with moving windows is about equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// That of H.264, and of H.265 in hardware, 0..=51.
    H26x,
    /// 0..=51 as x265's fastest preset uses it: 9 finer at 26, the only place where it was measured.
    X265,
    /// 0..=63, VP8's table.
    Vp8,
    /// 0..=63, VP9's table.
    Vp9,
    /// 0..=63, AV1's table.
    Av1,
}

impl Scale {
    /// The quantiser on this scale for one of H.264: in between the measured points, linear.
    pub fn of_h264(self, quantiser: u8) -> u32 {
        const H264: [u32; 8] = [0, 14, 20, 26, 32, 38, 44, 51];
        let points = match self {
            Self::H26x => H264,
            Self::X265 => [0, 6, 11, 17, 23, 30, 38, 51],
            Self::Vp8 => [0, 6, 10, 23, 41, 52, 60, 63],
            Self::Vp9 => [0, 6, 12, 22, 35, 44, 53, 63],
            Self::Av1 => [0, 7, 12, 24, 37, 47, 58, 63],
        };
        let quantiser = u32::from(quantiser.min(51));
        let at = H264.iter().rposition(|point| *point <= quantiser).unwrap_or(0).min(H264.len() - 2);
        let (from, to) = (points[at], points[at + 1]);
        from + (to - from) * (quantiser - H264[at]) / (H264[at + 1] - H264[at])
    }
}

/// One element.
#[derive(Debug)]
pub struct Row {
    /// Factory name, and the encoder's name everywhere.
    pub element: &'static str,
    /// What it writes.
    pub codec: Codec,
    /// What it reads.
    pub input: Input,
    /// How it takes what was captured as NV12.
    pub captured: Captured,
    /// CPU for a frame at equal luma SSIM, in percent of openh264's; for hardware a guess, so that it comes first.
    pub cost: u32,
    /// Whether it runs outside of the CPU.
    pub is_hardware: bool,
    /// Whether no machine with it was at hand: its settings are from documentation, only the self-check vouches.
    pub is_unproven: bool,
    /// Most 16x16 blocks of a picture.
    pub most_blocks: u32,
    /// Property for the number of threads.
    pub threads: Option<&'static str>,
    /// How it is told how coarse to encode.
    pub control: Control,
    /// Properties set from text before it starts. Those with `?` in front are left out where the version of the
    /// element does not have them.
    pub properties: &'static [(&'static str, &'static str)],
    /// Caps asked for behind it.
    pub caps: &'static str,
    /// Whether the caps also need the level, by size.
    pub needs_level: bool,
    /// Parser behind it, where the element alone does not write one access unit a buffer with parameter sets.
    pub parser: Option<&'static str>,
}

const H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au";
const H264_HIGH: &str = "video/x-h264,stream-format=byte-stream,alignment=au,profile=high";
const H265: &str = "video/x-h265,stream-format=byte-stream,alignment=au,profile=main";
/// No software encoder here is limited below the largest level of the H.26x family.
const ANY_SIZE: u32 = 139_264;
/// 1920x1088.
const FULL_HD: u32 = 8_160;
const UHD: u32 = 36_864;

const HARDWARE: Row = Row {
    element: "",
    codec: Codec::H264,
    input: Input::Nv12,
    captured: Captured::Copied,
    cost: 10,
    is_hardware: true,
    is_unproven: true,
    most_blocks: UHD,
    threads: None,
    control: Control::V4l2Rate,
    properties: &[],
    caps: H264,
    needs_level: false,
    parser: None,
};

const SOFTWARE: Row = Row {
    input: Input::I420,
    captured: Captured::Never,
    cost: 100,
    is_hardware: false,
    is_unproven: false,
    most_blocks: ANY_SIZE,
    threads: Some("threads"),
    ..HARDWARE
};

/// CAVLC: Constrained Baseline. The preset leaves the deblocking filter out, which saves a tenth of the CPU and costs
/// bytes; dead zones of two thirds of x264's give a part of them back (bench, session at equal SSIM: 0.47 of the
/// reference's bytes with the filter, 0.67 without, 0.63 so).
const X264: Row = Row {
    element: "x264enc",
    captured: Captured::InPlace,
    cost: 100,
    control: Control::MarkedQuantiser { property: "quantizer", nudge: ("vbv-buf-capacity", 0) },
    properties: &[
        ("speed-preset", "ultrafast"),
        ("tune", "zerolatency"),
        ("pass", "qual"),
        ("vbv-buf-capacity", "0"),
        ("key-int-max", "1073741824"),
        ("bframes", "0"),
        ("sliced-threads", "true"),
        ("byte-stream", "true"),
        ("aud", "false"),
        // Quantisers are ours alone: none of its own from one block or frame to the other.
        (
            "option-string",
            "scenecut=0:qcomp=1.0:aq-mode=0:ipratio=1.0:qpmin=0:qpmax=51:deadzone-inter=14:deadzone-intra=8",
        ),
    ],
    caps: H264,
    ..SOFTWARE
};

/// `x264enc` as elements that take DMABUFs: it maps them, so that the hand-over can be proven without hardware. The property
/// of the second means nothing for it.
pub static PROVING: [Row; 2] = [
    Row { captured: Captured::DmaBuf, ..X264 },
    Row { captured: Captured::DmaBufBy("insert-vui", "true"), ..X264 },
];

/// All rows; of one codec and cost the better ones first.
pub static TABLE: &[Row] = &[
    // Raspberry Pi up to 4, i.MX8MP: the level must be asked for, and the parameter sets to be repeated.
    Row {
        element: "v4l2h264enc",
        captured: Captured::DmaBufBy("output-io-mode", "dmabuf-import"),
        most_blocks: FULL_HD,
        control: Control::V4l2Rate,
        caps: H264_HIGH,
        needs_level: true,
        parser: Some("h264parse"),
        ..HARDWARE
    },
    // Rockchip, vendor kernel.
    Row {
        element: "mpph264enc",
        captured: Captured::DmaBuf,
        control: Control::Quantiser { properties: &["qp-max", "qp-init", "qp-min"], scale: Scale::H26x },
        properties: &[
            ("rc-mode", "fixqp"),
            ("gop", "0"),
            ("header-mode", "each-idr"),
            ("?sei-mode", "disable"),
            ("?max-pending", "1"),
            ("?level", "42"),
        ],
        parser: Some("h264parse"),
        ..HARDWARE
    },
    // Intel and AMD. The longest GOP that the elements take is 1024.
    Row {
        element: "vah264enc",
        captured: Captured::DmaBuf,
        control: Control::Quantiser { properties: &["qpi", "qpp"], scale: Scale::H26x },
        properties: VA,
        caps: H264_HIGH,
        parser: Some("h264parse"),
        ..HARDWARE
    },
    Row {
        element: "vah264lpenc",
        captured: Captured::DmaBuf,
        control: Control::Quantiser { properties: &["qpi", "qpp"], scale: Scale::H26x },
        properties: VA,
        caps: H264_HIGH,
        parser: Some("h264parse"),
        ..HARDWARE
    },
    Row {
        element: "qsvh264enc",
        control: Control::Quantiser { properties: &["qp-i", "qp-p"], scale: Scale::H26x },
        properties: &[
            ("rate-control", "cqp"),
            ("gop-size", "65535"),
            ("b-frames", "0"),
            ("low-latency", "true"),
            ("target-usage", "7"),
        ],
        parser: Some("h264parse"),
        ..HARDWARE
    },
    Row {
        element: "nvh264enc",
        control: Control::Quantiser { properties: &["qp-const"], scale: Scale::H26x },
        properties: &[
            ("rc-mode", "constqp"),
            ("gop-size", "-1"),
            ("?bframes", "0"),
            ("?b-frames", "0"),
            ("?zerolatency", "true"),
            ("?zero-reorder-delay", "true"),
            ("?repeat-sequence-header", "true"),
            ("?aud", "false"),
        ],
        parser: Some("h264parse"),
        ..HARDWARE
    },
    X264,
    Row {
        element: "v4l2h265enc",
        captured: Captured::DmaBufBy("output-io-mode", "dmabuf-import"),
        codec: Codec::H265,
        most_blocks: FULL_HD,
        caps: H265,
        parser: Some("h265parse"),
        ..HARDWARE
    },
    Row {
        element: "mpph265enc",
        captured: Captured::DmaBuf,
        codec: Codec::H265,
        control: Control::Quantiser { properties: &["qp-max", "qp-init", "qp-min"], scale: Scale::H26x },
        properties: &[
            ("rc-mode", "fixqp"),
            ("gop", "0"),
            ("header-mode", "each-idr"),
            ("?sei-mode", "disable"),
            ("?max-pending", "1"),
        ],
        caps: H265,
        parser: Some("h265parse"),
        ..HARDWARE
    },
    Row {
        element: "vah265enc",
        captured: Captured::DmaBuf,
        codec: Codec::H265,
        control: Control::Quantiser { properties: &["qpi", "qpp"], scale: Scale::H26x },
        properties: VA,
        caps: H265,
        parser: Some("h265parse"),
        ..HARDWARE
    },
    Row {
        element: "x265enc",
        codec: Codec::H265,
        cost: 1000,
        control: Control::Restart { property: "qp", scale: Scale::X265 },
        threads: None,
        properties: &[
            ("speed-preset", "ultrafast"),
            ("tune", "zerolatency"),
            ("key-int-max", "1073741824"),
            (
                "option-string",
                "scenecut=0:bframes=0:repeat-headers=1:aud=0:info=0:ipratio=1.0:frame-threads=1:open-gop=0:hrd=0:pools=4",
            ),
        ],
        caps: H265,
        ..SOFTWARE
    },
    Row {
        element: "vp9enc",
        codec: Codec::Vp9,
        cost: 190,
        control: Control::Quantiser { properties: &["max-quantizer", "min-quantizer"], scale: Scale::Vp9 },
        properties: &[
            ("deadline", "1"),
            ("cpu-used", "9"),
            ("end-usage", "cbr"),
            ("lag-in-frames", "0"),
            ("keyframe-mode", "disabled"),
            ("keyframe-max-dist", "2147483647"),
            ("row-mt", "true"),
            ("frame-parallel-decoding", "false"),
            ("target-bitrate", "100000000"),
        ],
        caps: "video/x-vp9",
        ..SOFTWARE
    },
    Row {
        element: "vp8enc",
        codec: Codec::Vp8,
        cost: 200,
        control: Control::Quantiser { properties: &["max-quantizer", "min-quantizer"], scale: Scale::Vp8 },
        // More threads spin while they wait for each other, at many times the CPU.
        threads: None,
        properties: &[
            ("threads", "1"),
            ("deadline", "1"),
            ("cpu-used", "-12"),
            ("end-usage", "cbr"),
            ("lag-in-frames", "0"),
            ("keyframe-mode", "disabled"),
            ("keyframe-max-dist", "2147483647"),
            ("target-bitrate", "100000000"),
        ],
        caps: "video/x-vp8",
        ..SOFTWARE
    },
    Row {
        element: "svtav1enc",
        codec: Codec::Av1,
        cost: 900,
        is_unproven: true,
        control: Control::Restart { property: "cqp", scale: Scale::Av1 },
        threads: None,
        properties: &[
            ("preset", "12"),
            ("intra-period-length", "-1"),
            ("parameters-string", "pred-struct=1:lookahead=0:rc=0:aq-mode=0"),
        ],
        caps: "video/x-av1,stream-format=obu-stream,alignment=tu",
        ..SOFTWARE
    },
    Row {
        element: "av1enc",
        codec: Codec::Av1,
        cost: 450,
        control: Control::Quantiser { properties: &["max-quantizer", "min-quantizer"], scale: Scale::Av1 },
        properties: &[
            ("usage-profile", "realtime"),
            ("cpu-used", "10"),
            ("end-usage", "cbr"),
            ("lag-in-frames", "0"),
            ("keyframe-max-dist", "2147483647"),
            ("row-mt", "true"),
            ("target-bitrate", "100000"),
        ],
        caps: "video/x-av1",
        ..SOFTWARE
    },
];

const VA: &[(&str, &str)] = &[
    ("rate-control", "cqp"),
    ("key-int-max", "1024"),
    ("b-frames", "0"),
    ("ref-frames", "1"),
    ("target-usage", "7"),
    ("aud", "false"),
    ("?cc-insert", "false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_rises_from_end_to_end() {
        for scale in [Scale::H26x, Scale::X265, Scale::Vp8, Scale::Vp9, Scale::Av1] {
            let all: Vec<u32> = (0..=60).map(|quantiser| scale.of_h264(quantiser)).collect();
            assert!(all.windows(2).all(|pair| pair[0] <= pair[1]), "{scale:?}: {all:?}");
            assert_eq!(
                (all[0], all[51]),
                (0, if matches!(scale, Scale::H26x | Scale::X265) { 51 } else { 63 })
            );
        }
        assert_eq!((Scale::H26x.of_h264(29), Scale::Vp9.of_h264(26)), (29, 22));
    }

    #[test]
    fn every_row_is_named_once() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.element).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }
}
