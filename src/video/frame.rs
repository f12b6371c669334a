//! One encoded picture on its way to controllers, and what pictures can be encoded with.

use std::time::Instant;

use bytes::Bytes;

use super::format::Resolution;

/// What a frame is encoded with: what the apps decode, see [`Codec::ALL`] (reference: session 3.2, 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// VP8, one raw frame.
    Vp8,
    /// VP9 profile 0, one raw frame or superframe. The one codec that every controller decodes.
    Vp9,
    /// AV1 main profile, one temporal unit of OBUs.
    Av1,
    /// H.264, Annex B, one access unit a frame; SPS and PPS in front of every IDR.
    H264,
    /// H.265 main profile, Annex B, one access unit a frame; VPS, SPS and PPS in front of every IDR.
    H265,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::Vp8, Self::Vp9, Self::Av1, Self::H264, Self::H265];

    /// The name that users read, for instance `H.264`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::H264 => "H.264",
            Self::H265 => "H.265",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Vp8 => 1,
            Self::Vp9 => 2,
            Self::Av1 => 4,
            Self::H264 => 8,
            Self::H265 => 16,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Some of the codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CodecSet(u8);

impl CodecSet {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// These.
    pub const fn of(codecs: &[Codec]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < codecs.len() {
            bits |= codecs[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// All five.
    pub const fn all() -> Self {
        Self::of(&Codec::ALL)
    }

    /// Whether `codec` is one of them.
    pub const fn contains(self, codec: Codec) -> bool {
        self.0 & codec.bit() != 0
    }

    /// Adds one.
    pub fn insert(&mut self, codec: Codec) {
        self.0 |= codec.bit();
    }

    /// Takes one out.
    pub fn remove(&mut self, codec: Codec) {
        self.0 &= !codec.bit();
    }

    /// Those in both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other, in the order of [`Codec::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Codec> {
        Codec::ALL.into_iter().filter(move |codec| self.contains(*codec))
    }
}

impl FromIterator<Codec> for CodecSet {
    fn from_iter<I: IntoIterator<Item = Codec>>(codecs: I) -> Self {
        codecs.into_iter().fold(Self::EMPTY, |set, codec| Self(set.0 | codec.bit()))
    }
}

/// One access unit. Cloning shares the payload.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// The bitstream.
    pub data: Bytes,
    /// What it is encoded with.
    pub codec: Codec,
    /// Whether it decodes without any frame before it.
    pub is_keyframe: bool,
    /// When the picture was captured.
    pub captured_at: Instant,
    /// Counts encoded frames of one encoder; a gap means that frames were left out for this watcher. The first frame
    /// of another encoder is always a key frame.
    pub sequence: u64,
    /// Size of the decoded picture.
    pub resolution: Resolution,
    /// Size of the signal that the picture was made of (equal to `resolution` unless scaled or a drawn card).
    pub original_resolution: Resolution,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in() {
        let mut set = CodecSet::of(&[Codec::H264, Codec::Vp9]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Codec::Vp9, Codec::H264]);
        set.insert(Codec::Av1);
        set.remove(Codec::H264);
        assert_eq!(set, [Codec::Av1, Codec::Vp9].into_iter().collect());
        assert!(set.and(CodecSet::of(&[Codec::H264, Codec::H265])).is_empty());
        assert_eq!(CodecSet::all().iter().count(), 5);
    }
}
