//! The Annex B reader under any bytes: units lie inside the stream in order, hold no start code, and nonsense
//! parameter sets are refused without panic.
#![no_main]

use kvmdesk::video::annexb::{has_long_start_codes, is_self_contained, nal_units, parse_sps};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut behind = bytes.as_ptr() as usize;
    for unit in nal_units(bytes) {
        let start = unit.as_ptr() as usize;
        assert!(unit.is_empty() || start >= behind, "units overlap or go back");
        behind = behind.max(start + unit.len());
        assert!(behind <= bytes.as_ptr() as usize + bytes.len(), "a unit ends outside");
        assert!(!unit.windows(3).any(|w| w == [0, 0, 1]), "a unit holds a start code");
        if let Some(sps) = parse_sps(unit) {
            assert!(sps.resolution.width > 0 && sps.resolution.height > 0);
        }
    }
    if is_self_contained(bytes) {
        assert!(nal_units(bytes).count() >= 3);
    }
    if has_long_start_codes(bytes) {
        assert!(bytes.starts_with(&[0, 0, 0, 1]));
    }
});
