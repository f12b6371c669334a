//! The part of a controller, as far as a measurement has to play one: its key exchange, its login and a key.

use prost::Message as _;

use crate::crypto::identity::{BoxKeyPair, verify};
use crate::wire::message::{decode_message, encode_message, hbb};
use hbb::message::Union;

/// Answers SignedId, the first payload of a [`Peer`](super::machine::Peer), with a PublicKey that carries `key`: from
/// then on both sides seal with it. `secret` makes the controller's key pair, `identity` is the device's public key.
/// `None` if this is no SignedId of that device.
pub fn public_key(
    signed_id: &[u8],
    identity: &[u8; 32],
    secret: &[u8; 32],
    key: &[u8; 32],
) -> Option<Vec<u8>> {
    let Some(Union::SignedId(signed)) = decode_message(signed_id).ok()?.union else { return None };
    let id_pk = verify(&signed.id, identity).ok()?;
    let theirs: [u8; 32] = hbb::IdPk::decode(id_pk.as_slice()).ok()?.pk.try_into().ok()?;
    let ours = BoxKeyPair::from_secret(secret);
    Some(encode_message(Union::PublicKey(hbb::PublicKey {
        asymmetric_value: ours.public_key().to_vec(),
        symmetric_value: ours.seal_session_key(key, &theirs),
    })))
}

/// A login to the device `id`, without a password: for a gate that lets everybody in.
pub fn login(id: &str) -> Vec<u8> {
    encode_message(Union::LoginRequest(hbb::LoginRequest {
        username: id.to_owned(),
        my_id: "987654321".to_owned(),
        version: "1.4.9".to_owned(),
        option: Some(hbb::OptionMessage {
            supported_decoding: Some(hbb::SupportedDecoding { ability_h264: 1, ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }))
}

/// Whether this payload says that the login was good.
pub fn is_welcome(payload: &[u8]) -> bool {
    matches!(
        decode_message(payload),
        Ok(hbb::Message {
            union: Some(Union::LoginResponse(hbb::LoginResponse {
                union: Some(hbb::login_response::Union::PeerInfo(_)),
                ..
            })),
        })
    )
}

/// A physical key goes down or up, as desktop apps say it (Map mode); `code` is one of the announced platform's.
pub fn key(code: u32, is_down: bool) -> Vec<u8> {
    encode_message(Union::KeyEvent(hbb::KeyEvent {
        down: is_down,
        mode: hbb::KeyboardMode::Map as i32,
        union: Some(hbb::key_event::Union::Chr(code)),
        ..Default::default()
    }))
}
