//! A call of our own ID, made as an app makes it: what is asked, and what each answer proves (reference: network 5.6,
//! 6.2 to 6.4, 9.4). First the server's answer with our signed key, then a meeting at the relay where our own
//! greeting comes back. No session begins: the caller leaves before the handshake.

use prost::Message as _;

use crate::crypto::base64;
use crate::crypto::identity::verify;
use crate::wire::endpoint::Endpoint;
use crate::wire::id::PeerId;
use crate::wire::message::{decode_message, decode_rendezvous, encode_rendezvous, hbb};
use hbb::rendezvous_message::Union;

/// Standard port of the relay.
const RELAY_PORT: u16 = 21117;
/// Bytes of an Ed25519 signature, which stand before what is signed.
const SIGNATURE_LEN: usize = 64;

/// Who is called, and with what.
#[derive(Debug, Clone)]
pub struct OwnCall {
    /// hbbs; the relay is assumed one port above it where none is named.
    pub server: Endpoint,
    /// The server's key as users have it; empty for none.
    pub licence_key: String,
    /// Our ID.
    pub id: PeerId,
    /// Our key, which the server has to sign.
    pub public_key: [u8; 32],
    /// RustDesk version of the app that is played; without one the server sends no key.
    pub version: String,
}

/// What an app can check our key with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedKey {
    /// The server signed our key, with the key that users have.
    Proven,
    /// The server signed our key; users have no key of it to check that with.
    Unchecked,
    /// The server signs no keys.
    Missing,
}

/// The server knows us, and we answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What came with it.
    pub key: SignedKey,
    /// Where the two sides meet.
    pub relay: Endpoint,
    /// The meeting that the device has gone to already; `None` if it offered a direct way.
    pub meeting: Option<String>,
}

/// Why an app would not get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The server does not know the ID.
    Unknown,
    /// The server has not heard of us for a while.
    Offline,
    /// The server wants another key of its users.
    KeyRefused,
    /// Another refusal of the server or of the device, in its words.
    Refused(String),
    /// What the server signed is not signed with `server.key`.
    WrongServerKey,
    /// The ID belongs to a device with another key.
    OtherDevice,
    /// An answer that makes no sense.
    Unusable,
}

impl OwnCall {
    /// PunchHoleRequest for the server, unframed.
    pub fn lookup(&self) -> Vec<u8> {
        encode_rendezvous(Union::PunchHoleRequest(hbb::PunchHoleRequest {
            id: self.id.to_string(),
            nat_type: hbb::NatType::Asymmetric as i32,
            licence_key: self.licence_key.clone(),
            version: self.version.clone(),
            ..hbb::PunchHoleRequest::default()
        }))
    }

    /// The answer to [`OwnCall::lookup`]; `None` for a message that is no answer to it.
    pub fn take_found(&self, payload: &[u8]) -> Option<Result<Found, Fault>> {
        let Ok(message) = decode_rendezvous(payload) else { return Some(Err(Fault::Unusable)) };
        Some(match message.union {
            Some(Union::PunchHoleResponse(answer)) if answer.socket_addr.is_empty() => Err(refusal(&answer)),
            Some(Union::PunchHoleResponse(answer)) => self.found(&answer.pk, &answer.relay_server, None),
            Some(Union::RelayResponse(answer)) if !answer.refuse_reason.is_empty() => {
                Err(Fault::Refused(answer.refuse_reason))
            }
            Some(Union::RelayResponse(answer)) => {
                let pk = match &answer.union {
                    Some(hbb::relay_response::Union::Pk(pk)) => pk.as_slice(),
                    Some(hbb::relay_response::Union::Id(_)) | None => &[],
                };
                self.found(pk, &answer.relay_server, Some(answer.uuid))
            }
            Some(_) | None => return None,
        })
    }

    fn found(&self, signed: &[u8], relay: &str, meeting: Option<String>) -> Result<Found, Fault> {
        let key = self.signed_key(signed)?;
        let relay = match Endpoint::parse(relay, RELAY_PORT) {
            Ok(relay) => relay,
            Err(_) => self.server.shifted(1).ok_or(Fault::Unusable)?,
        };
        Ok(Found { key, relay, meeting })
    }

    fn signed_key(&self, signed: &[u8]) -> Result<SignedKey, Fault> {
        let of_server: Option<[u8; 32]> =
            base64::decode(&self.licence_key).and_then(|bytes| bytes.try_into().ok());
        let (is, body) = match of_server {
            _ if signed.is_empty() => return Ok(SignedKey::Missing),
            Some(key) => (SignedKey::Proven, verify(signed, &key).map_err(|_| Fault::WrongServerKey)?),
            None => (SignedKey::Unchecked, signed.get(SIGNATURE_LEN..).ok_or(Fault::Unusable)?.to_vec()),
        };
        let told = hbb::IdPk::decode(body.as_slice()).map_err(|_| Fault::Unusable)?;
        if told.id == self.id.as_str() && told.pk == self.public_key {
            Ok(is)
        } else {
            Err(Fault::OtherDevice)
        }
    }

    /// RequestRelay for the server, unframed: the device is to come to `meeting` at `relay`.
    pub fn invitation(&self, relay: &Endpoint, meeting: &str) -> Vec<u8> {
        encode_rendezvous(Union::RequestRelay(hbb::RequestRelay {
            id: self.id.to_string(),
            uuid: meeting.to_owned(),
            relay_server: relay.to_string(),
            secure: true,
            licence_key: self.licence_key.clone(),
            ..hbb::RequestRelay::default()
        }))
    }

    /// The answer to [`OwnCall::invitation`]; `None` for a message that is no answer to it.
    pub fn take_accepted(&self, payload: &[u8]) -> Option<Result<(), Fault>> {
        let Ok(message) = decode_rendezvous(payload) else { return Some(Err(Fault::Unusable)) };
        match message.union {
            Some(Union::RelayResponse(answer)) if answer.refuse_reason.is_empty() => Some(Ok(())),
            Some(Union::RelayResponse(answer)) => Some(Err(Fault::Refused(answer.refuse_reason))),
            Some(Union::PunchHoleResponse(answer)) => Some(Err(refusal(&answer))),
            Some(_) | None => None,
        }
    }

    /// RequestRelay for the relay, unframed: our side of the meeting.
    pub fn meeting(&self, meeting: &str) -> Vec<u8> {
        encode_rendezvous(Union::RequestRelay(hbb::RequestRelay {
            id: self.id.to_string(),
            uuid: meeting.to_owned(),
            licence_key: self.licence_key.clone(),
            ..hbb::RequestRelay::default()
        }))
    }

    /// The first frame that comes through the relay: SignedId, with our own signature.
    ///
    /// # Errors
    /// It is somebody else's, or none.
    pub fn take_greeting(&self, payload: &[u8]) -> Result<(), Fault> {
        let Ok(Some(hbb::message::Union::SignedId(signed))) = decode_message(payload).map(|m| m.union) else {
            return Err(Fault::Unusable);
        };
        let body = verify(&signed.id, &self.public_key).map_err(|_| Fault::OtherDevice)?;
        let told = hbb::IdPk::decode(body.as_slice()).map_err(|_| Fault::Unusable)?;
        if told.id == self.id.as_str() { Ok(()) } else { Err(Fault::OtherDevice) }
    }
}

fn refusal(answer: &hbb::PunchHoleResponse) -> Fault {
    if !answer.other_failure.is_empty() {
        return Fault::Refused(answer.other_failure.clone());
    }
    match hbb::punch_hole_response::Failure::try_from(answer.failure) {
        Ok(hbb::punch_hole_response::Failure::IdNotExist) => Fault::Unknown,
        Ok(hbb::punch_hole_response::Failure::Offline) => Fault::Offline,
        Ok(hbb::punch_hole_response::Failure::LicenseMismatch) => Fault::KeyRefused,
        Ok(hbb::punch_hole_response::Failure::LicenseOveruse) => {
            Fault::Refused("its licence is used up".to_owned())
        }
        Err(_) => Fault::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::base64::encode_url;
    use crate::crypto::identity::IdentityKeyPair;
    use hbb::punch_hole_response::Failure;

    fn server_key() -> IdentityKeyPair {
        IdentityKeyPair::from_seed(&[1; 32])
    }

    fn device() -> IdentityKeyPair {
        IdentityKeyPair::from_seed(&[2; 32])
    }

    fn call() -> OwnCall {
        OwnCall {
            server: Endpoint::parse("id.example", 21116).unwrap(),
            licence_key: encode_url(&server_key().public_key()).replace('-', "+").replace('_', "/") + "=",
            id: "234567891".parse().unwrap(),
            public_key: device().public_key(),
            version: "1.4.9".to_owned(),
        }
    }

    fn signed(id: &str, of: &IdentityKeyPair, by: &IdentityKeyPair) -> Vec<u8> {
        by.sign(&hbb::IdPk { id: id.to_owned(), pk: of.public_key().to_vec() }.encode_to_vec())
    }

    fn punched(pk: Vec<u8>, relay: &str) -> Vec<u8> {
        encode_rendezvous(Union::PunchHoleResponse(hbb::PunchHoleResponse {
            socket_addr: vec![1; 8],
            pk,
            relay_server: relay.to_owned(),
            ..hbb::PunchHoleResponse::default()
        }))
    }

    fn key_of(found: Option<Result<Found, Fault>>) -> Result<SignedKey, Fault> {
        found.unwrap().map(|found| found.key)
    }

    #[test]
    fn the_servers_signature_is_checked_with_the_key_that_users_have() {
        let call = call();
        let good = signed("234567891", &device(), &server_key());
        let found = call.take_found(&punched(good.clone(), "relay.example")).unwrap().unwrap();
        assert_eq!(
            found,
            Found {
                key: SignedKey::Proven,
                relay: Endpoint::parse("relay.example", 21117).unwrap(),
                meeting: None
            }
        );
        assert_eq!(
            call.take_found(&punched(good.clone(), "")).unwrap().unwrap().relay.to_string(),
            "id.example:21117"
        );
        assert_eq!(key_of(call.take_found(&punched(vec![], ""))), Ok(SignedKey::Missing));
        let by_other = signed("234567891", &device(), &device());
        assert_eq!(key_of(call.take_found(&punched(by_other.clone(), ""))), Err(Fault::WrongServerKey));
        for (id, of) in [("234567891", server_key()), ("234567892", device())] {
            let other = signed(id, &of, &server_key());
            assert_eq!(key_of(call.take_found(&punched(other, ""))), Err(Fault::OtherDevice), "{id}");
        }
        let keyless = OwnCall { licence_key: String::new(), ..call };
        assert_eq!(key_of(keyless.take_found(&punched(by_other, ""))), Ok(SignedKey::Unchecked));
        assert_eq!(key_of(keyless.take_found(&punched(vec![9; 63], ""))), Err(Fault::Unusable));
    }

    #[test]
    fn a_device_that_wants_the_relay_names_the_meeting() {
        let answer = encode_rendezvous(Union::RelayResponse(hbb::RelayResponse {
            uuid: "u".to_owned(),
            relay_server: "relay.example:5".to_owned(),
            union: Some(hbb::relay_response::Union::Pk(signed("234567891", &device(), &server_key()))),
            ..hbb::RelayResponse::default()
        }));
        let found = call().take_found(&answer).unwrap().unwrap();
        assert_eq!((found.key, found.meeting.as_deref()), (SignedKey::Proven, Some("u")));
    }

    #[test]
    fn refusals_are_told_apart() {
        let refused = |failure: Failure, text: &str| {
            encode_rendezvous(Union::PunchHoleResponse(hbb::PunchHoleResponse {
                failure: failure as i32,
                other_failure: text.to_owned(),
                ..hbb::PunchHoleResponse::default()
            }))
        };
        for (failure, fault) in [
            (Failure::IdNotExist, Fault::Unknown),
            (Failure::Offline, Fault::Offline),
            (Failure::LicenseMismatch, Fault::KeyRefused),
        ] {
            assert_eq!(call().take_found(&refused(failure, "")), Some(Err(fault.clone())));
            assert_eq!(call().take_accepted(&refused(failure, "")), Some(Err(fault)));
        }
        let text = Fault::Refused("no".to_owned());
        assert_eq!(call().take_found(&refused(Failure::IdNotExist, "no")), Some(Err(text)));
        assert_eq!(call().take_found(b"\xff"), Some(Err(Fault::Unusable)));
        let other = encode_rendezvous(Union::KeyExchange(hbb::KeyExchange::default()));
        assert_eq!((call().take_found(&other), call().take_accepted(&other)), (None, None));
    }

    #[test]
    fn only_our_own_greeting_counts() {
        let greeting = |id: &str, by: &IdentityKeyPair| {
            crate::wire::message::encode_message(hbb::message::Union::SignedId(hbb::SignedId {
                id: signed(id, &device(), by),
            }))
        };
        assert_eq!(call().take_greeting(&greeting("234567891", &device())), Ok(()));
        assert_eq!(call().take_greeting(&greeting("234567892", &device())), Err(Fault::OtherDevice));
        assert_eq!(call().take_greeting(&greeting("234567891", &server_key())), Err(Fault::OtherDevice));
        assert_eq!(call().take_greeting(&[]), Err(Fault::Unusable));
    }
}
