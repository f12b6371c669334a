//! Decoding of every message that comes from outside: no panic, and what was understood survives encoding.
#![no_main]

use kvmdesk::wire::discovery::parse_ping;
use kvmdesk::wire::message::{decode_message, decode_rendezvous};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode_message(bytes) {
        let again = message.encode_to_vec();
        let second = decode_message(&again).expect("our own encoding is understood");
        assert_eq!(second.encode_to_vec(), again);
    }
    if let Ok(message) = decode_rendezvous(bytes) {
        let again = message.encode_to_vec();
        let second = decode_rendezvous(&again).expect("our own encoding is understood");
        assert_eq!(second.encode_to_vec(), again);
    }
    let _ = parse_ping(bytes);
});
