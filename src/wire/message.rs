//! The generated messages of `protos/` and their bounded decoding. Only `wire`, `rendezvous` and `peer` name them.

use prost::Message as _;

use super::WireError;

/// Types generated from `protos/message.proto` and `protos/rendezvous.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::unwrap_used)]
pub mod hbb {
    include!(concat!(env!("OUT_DIR"), "/hbb.rs"));
}

/// Decodes one peer message; the payload is already opened if the session is sealed.
///
/// # Errors
/// [`WireError::Malformed`] if the bytes are not a `Message`. An empty payload is a valid, empty message.
pub fn decode_message(payload: &[u8]) -> Result<hbb::Message, WireError> {
    hbb::Message::decode(payload).map_err(|e| WireError::Malformed(e.to_string()))
}

/// Decodes one message of the ID server, the relay or LAN discovery.
///
/// # Errors
/// [`WireError::Malformed`] if the bytes are not a `RendezvousMessage`.
pub fn decode_rendezvous(payload: &[u8]) -> Result<hbb::RendezvousMessage, WireError> {
    hbb::RendezvousMessage::decode(payload).map_err(|e| WireError::Malformed(e.to_string()))
}

/// Wraps one arm of the peer union and encodes it.
pub fn encode_message(union: hbb::message::Union) -> Vec<u8> {
    hbb::Message { union: Some(union) }.encode_to_vec()
}

/// Wraps one arm of the rendezvous union and encodes it.
pub fn encode_rendezvous(union: hbb::rendezvous_message::Union) -> Vec<u8> {
    hbb::RendezvousMessage { union: Some(union) }.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hbb::rendezvous_message::Union;

    #[test]
    fn the_worked_register_peer() {
        let bytes =
            encode_rendezvous(Union::RegisterPeer(hbb::RegisterPeer { id: "123456789".into(), serial: 3 }));
        assert_eq!(bytes, b"\x32\x0d\x0a\x09123456789\x10\x03");
        assert_eq!(crate::wire::frame::encode(&bytes).unwrap()[0], 0x3c);
    }

    #[test]
    fn the_fixed_answers_of_the_server() {
        let answer = |b: &[u8]| decode_rendezvous(b).unwrap().union.unwrap();
        assert!(matches!(answer(b"\x3a\x02\x10\x01"), Union::RegisterPeerResponse(r) if r.request_pk));
        assert!(matches!(answer(b"\x3a\x00"), Union::RegisterPeerResponse(r) if !r.request_pk));
        assert!(matches!(answer(b"\x82\x01\x00"), Union::RegisterPkResponse(r) if r.result == 0));
        assert!(matches!(answer(b"\x82\x01\x02\x08\x02"), Union::RegisterPkResponse(r) if r.result == 2));
    }

    #[test]
    fn garbage_is_an_error_and_nothing_is_a_message() {
        assert!(decode_message(&[0xff; 40]).is_err());
        assert_eq!(decode_message(&[]).unwrap().union, None);
    }
}
