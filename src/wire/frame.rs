//! The length head of TCP frames (reference: network 1.2). 1 to 4 bytes, little endian; the low two bits of the
//! first byte give the head's length less one, the rest the payload's length.
//!
//! Guarantee: memory grows with the bytes that arrived, never with a length that was merely claimed.

use bytes::{Buf, Bytes, BytesMut};

use super::WireError;

/// Largest payload that the head can express, in bytes.
pub const MAX_PAYLOAD: usize = 0x3FFF_FFFF;
/// Largest payload accepted before a controller has logged in, in bytes: every message up to there is small.
pub const MAX_BEFORE_LOGIN: usize = 64 * 1024;
/// Largest payload accepted after login, in bytes: a clipboard text or picture is the largest thing that comes.
pub const MAX_AFTER_LOGIN: usize = 16 * 1024 * 1024;
/// Longest head, in bytes.
pub const MAX_HEAD: usize = 4;

/// The head for a payload of `len` bytes: the bytes and how many of them count.
///
/// # Errors
/// [`WireError::Unframable`] above [`MAX_PAYLOAD`].
pub fn encode_head(len: usize) -> Result<([u8; MAX_HEAD], usize), WireError> {
    let size = match len {
        0..=0x3F => 1,
        0x40..=0x3FFF => 2,
        0x4000..=0x3F_FFFF => 3,
        0x40_0000..=MAX_PAYLOAD => 4,
        _ => return Err(WireError::Unframable(len)),
    };
    let value = ((len as u32) << 2) | (size as u32 - 1);
    Ok((value.to_le_bytes(), size))
}

/// A whole frame: head and payload in one buffer.
///
/// # Errors
/// [`WireError::Unframable`] above [`MAX_PAYLOAD`].
pub fn encode(payload: &[u8]) -> Result<Bytes, WireError> {
    let (head, size) = encode_head(payload.len())?;
    let mut out = BytesMut::with_capacity(size + payload.len());
    out.extend_from_slice(&head[..size]);
    out.extend_from_slice(payload);
    Ok(out.freeze())
}

/// Cuts a byte stream into payloads. Feed whatever arrived, take until `Ok(None)`.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    limit: usize,
}

impl FrameDecoder {
    /// A decoder that refuses payloads above `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Changes the largest accepted payload, in bytes (raised once a controller has logged in).
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Appends bytes as they came from the transport, in any cut.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to read into directly (`AsyncReadExt::read_buf`).
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole payload, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`WireError::FrameTooLarge`] as soon as a head claims more than the limit; the stream is then unusable.
    pub fn take(&mut self) -> Result<Option<BytesMut>, WireError> {
        let Some(&first) = self.buffer.first() else { return Ok(None) };
        let size = (first & 3) as usize + 1;
        if self.buffer.len() < size {
            return Ok(None);
        }
        let mut head = [0u8; MAX_HEAD];
        head[..size].copy_from_slice(&self.buffer[..size]);
        let claimed = (u32::from_le_bytes(head) >> 2) as usize;
        if claimed > self.limit {
            return Err(WireError::FrameTooLarge { claimed, limit: self.limit });
        }
        if self.buffer.len() < size + claimed {
            return Ok(None);
        }
        self.buffer.advance(size);
        Ok(Some(self.buffer.split_to(claimed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn heads_are_those_of_the_reference() {
        let cases: [(usize, &[u8]); 11] = [
            (0, &[0x00]),
            (1, &[0x04]),
            (63, &[0xfc]),
            (64, &[0x01, 0x01]),
            (300, &[0xb1, 0x04]),
            (16383, &[0xfd, 0xff]),
            (16384, &[0x02, 0x00, 0x01]),
            (100_000, &[0x82, 0x1a, 0x06]),
            (4_194_303, &[0xfe, 0xff, 0xff]),
            (4_194_304, &[0x03, 0x00, 0x00, 0x01]),
            (1_073_741_823, &[0xff, 0xff, 0xff, 0xff]),
        ];
        for (len, want) in cases {
            let (head, size) = encode_head(len).unwrap();
            assert_eq!(&head[..size], want, "length {len}");
        }
        assert_eq!(encode_head(MAX_PAYLOAD + 1), Err(WireError::Unframable(MAX_PAYLOAD + 1)));
    }

    #[test]
    fn a_claimed_gigabyte_reserves_nothing() {
        let mut decoder = FrameDecoder::new(MAX_PAYLOAD);
        decoder.feed(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        assert_eq!(decoder.take().unwrap(), None);
        assert!(decoder.buffer.capacity() < 4096);
        let mut strict = FrameDecoder::new(MAX_BEFORE_LOGIN);
        strict.feed(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(strict.take(), Err(WireError::FrameTooLarge { claimed: MAX_PAYLOAD, .. })));
    }

    #[test]
    fn long_heads_for_short_payloads_are_accepted() {
        let mut decoder = FrameDecoder::new(64);
        decoder.feed(&[0b0000_1010, 0, 0, 0xaa, 0xbb]);
        assert_eq!(decoder.take().unwrap().unwrap(), &[0xaa, 0xbb][..]);
    }

    proptest! {
        #[test]
        fn any_cut_of_any_frames_gives_the_frames(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            cut in 1usize..40,
        ) {
            let mut bytes = vec![];
            for p in &payloads { bytes.extend_from_slice(&encode(p).unwrap()); }
            let mut decoder = FrameDecoder::new(1024);
            let mut got = vec![];
            for piece in bytes.chunks(cut) {
                decoder.feed(piece);
                while let Some(p) = decoder.take().unwrap() { got.push(p.to_vec()); }
            }
            prop_assert_eq!(got, payloads);
        }
    }

    #[test]
    fn border_sizes_survive_byte_by_byte() {
        for len in [0usize, 63, 64, 16383, 16384] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut decoder = FrameDecoder::new(MAX_PAYLOAD);
            let frame = encode(&payload).unwrap();
            for (n, byte) in frame.iter().enumerate() {
                decoder.feed(&[*byte]);
                let got = decoder.take().unwrap();
                assert_eq!(got.is_some(), n + 1 == frame.len(), "length {len}, byte {n}");
                if let Some(got) = got {
                    assert_eq!(got, payload);
                }
            }
        }
        let big = vec![7u8; 4_194_304];
        let mut decoder = FrameDecoder::new(MAX_PAYLOAD);
        decoder.feed(&encode(&big).unwrap());
        assert_eq!(decoder.take().unwrap().unwrap(), big);
    }
}
