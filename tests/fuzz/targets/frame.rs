//! The frame decoder under any bytes in any cut: no panic, no payload over the limit, memory grows only with what
//! was fed, and the cut does not change what comes out.
#![no_main]

use kvmdesk::wire::frame::{FrameDecoder, MAX_BEFORE_LOGIN, encode};
use libfuzzer_sys::fuzz_target;

fn payloads(bytes: &[u8], cut: usize, limit: usize) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = FrameDecoder::new(limit);
    let mut got = vec![];
    for piece in bytes.chunks(cut) {
        decoder.feed(piece);
        loop {
            match decoder.take() {
                Ok(Some(payload)) => got.push(payload.to_vec()),
                Ok(None) => break,
                Err(_) => return (got, false),
            }
        }
        assert!(decoder.buffer_mut().capacity() <= 2 * bytes.len() + 1024, "reserved what was only claimed");
    }
    (got, true)
}

fuzz_target!(|input: &[u8]| {
    let Some((&cut, bytes)) = input.split_first() else { return };
    let limit = if cut & 1 == 0 { MAX_BEFORE_LOGIN } else { 100 };
    let (whole, is_good) = payloads(bytes, bytes.len().max(1), limit);
    assert_eq!((whole.clone(), is_good), payloads(bytes, usize::from(cut >> 1).max(1), limit));
    for payload in whole {
        assert!(payload.len() <= limit);
        let again = encode(&payload).expect("what came out of a frame fits one");
        assert_eq!(payloads(&again, 7, limit).0, [payload]);
    }
});
