//! Mangled addresses: any bytes decode without panic, and whatever they decode to goes round.
#![no_main]

use kvmdesk::wire::addr::{mangle, to_plain, unmangle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let address = unmangle(bytes);
    let tick = bytes.iter().fold(1u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let again = unmangle(&mangle(address, tick));
    assert_eq!(again, to_plain(address));
    assert_eq!(unmangle(&mangle(again, !tick)), again);
});
