//! The key exchange at the start of a connection, row by row (reference: network 9.4, 9.5). With
//! `require-encryption` a row that would go on in clear is refused in words instead, and no Hash is ever sent.

use std::time::{Duration, Instant};

use prost::Message as _;

use crate::crypto::identity::{BoxKeyPair, IdentityKeyPair};
use crate::crypto::seal::SessionKey;
use crate::crypto::seed::Seed;
use crate::wire::message::{decode_message, encode_message, hbb};

use super::texts;

/// How long the controller has for its first frame.
pub const HANDSHAKE_LIMIT: Duration = Duration::from_secs(18);

/// What the controller's first frame leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Both sides have the key: seal from here on.
    Sealed(SessionKey),
    /// Go on in clear; `is_key_unconfirmed` if it saw our SignedId and did not believe it.
    Clear {
        /// The server's copy of our key may be wrong.
        is_key_unconfirmed: bool,
    },
    /// Close after this text.
    Refused {
        /// What the user reads.
        text: &'static str,
        /// As above.
        is_key_unconfirmed: bool,
    },
    /// Close at once.
    Failed(&'static str),
}

/// One key exchange, from our SignedId to the controller's first frame.
#[derive(Debug)]
pub struct Handshake {
    keys: BoxKeyPair,
    deadline: Instant,
    is_encryption_required: bool,
}

impl Handshake {
    /// Makes the connection's key pair; the second value is the SignedId message to send in clear.
    pub fn new(
        id: &str,
        identity: &IdentityKeyPair,
        is_encryption_required: bool,
        now: Instant,
        seed: &mut Seed,
    ) -> (Self, Vec<u8>) {
        let keys = BoxKeyPair::from_secret(&seed.next_bytes());
        let id_pk = hbb::IdPk { id: id.to_owned(), pk: keys.public_key().to_vec() };
        let signed = identity.sign(&id_pk.encode_to_vec());
        let message = encode_message(hbb::message::Union::SignedId(hbb::SignedId { id: signed }));
        (Self { keys, deadline: now + HANDSHAKE_LIMIT, is_encryption_required }, message)
    }

    /// When the wait for the first frame ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes the controller's first frame.
    pub fn handle_first(&self, payload: &[u8]) -> Step {
        let Ok(message) = decode_message(payload) else {
            return Step::Failed("the first frame does not parse");
        };
        let Some(hbb::message::Union::PublicKey(key)) = message.union else { return self.clear(false) };
        let theirs: [u8; 32] = match key.asymmetric_value.as_slice() {
            [] => return self.clear(true),
            bytes => match bytes.try_into() {
                Ok(bytes) => bytes,
                Err(_) => return Step::Failed("a public key of the wrong length"),
            },
        };
        match self.keys.open_session_key(&key.symmetric_value, &theirs) {
            Ok(key) => Step::Sealed(key),
            Err(_) => Step::Failed("the session key does not open"),
        }
    }

    fn clear(&self, is_key_unconfirmed: bool) -> Step {
        if self.is_encryption_required {
            Step::Refused { text: texts::CLEAR_REFUSED, is_key_unconfirmed }
        } else {
            Step::Clear { is_key_unconfirmed }
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests {
    use super::*;
    use crate::crypto::identity::verify;

    fn start(is_required: bool) -> (Handshake, [u8; 32]) {
        let identity = IdentityKeyPair::from_seed(&[1; 32]);
        let mut seed = Seed::from_bytes([2; 32]);
        let (handshake, signed) =
            Handshake::new("123456789", &identity, is_required, Instant::now(), &mut seed);
        let Some(hbb::message::Union::SignedId(signed)) = decode_message(&signed).unwrap().union else {
            panic!("no SignedId")
        };
        let id_pk = verify(&signed.id, &identity.public_key()).unwrap();
        let id_pk = hbb::IdPk::decode(id_pk.as_slice()).unwrap();
        assert_eq!(id_pk.id, "123456789");
        (handshake, id_pk.pk.try_into().unwrap())
    }

    fn public_key(asymmetric: Vec<u8>, symmetric: Vec<u8>) -> Vec<u8> {
        let key = hbb::PublicKey { asymmetric_value: asymmetric, symmetric_value: symmetric };
        encode_message(hbb::message::Union::PublicKey(key))
    }

    #[test]
    fn the_table_row_by_row() {
        let theirs = BoxKeyPair::from_secret(&[3; 32]);
        for is_required in [true, false] {
            let (handshake, ours) = start(is_required);
            let clear = |is_key_unconfirmed| match is_required {
                true => Step::Refused { text: texts::CLEAR_REFUSED, is_key_unconfirmed },
                false => Step::Clear { is_key_unconfirmed },
            };
            let sealed = theirs.seal_session_key(&[9; 32], &ours);
            let good = public_key(theirs.public_key().to_vec(), sealed.clone());
            assert_eq!(handshake.handle_first(&good), Step::Sealed(SessionKey::from_bytes([9; 32])));
            let mut changed = sealed;
            changed[20] ^= 1;
            let bad = public_key(theirs.public_key().to_vec(), changed);
            assert!(matches!(handshake.handle_first(&bad), Step::Failed(_)));
            let none = public_key(theirs.public_key().to_vec(), vec![]);
            assert!(matches!(handshake.handle_first(&none), Step::Failed(_)));
            assert_eq!(handshake.handle_first(&public_key(vec![], vec![])), clear(true));
            for wrong in [1, 31, 33] {
                assert!(matches!(
                    handshake.handle_first(&public_key(vec![0; wrong], vec![])),
                    Step::Failed(_)
                ));
            }
            assert_eq!(handshake.handle_first(&[]), clear(false), "the empty message");
            let other = encode_message(hbb::message::Union::TestDelay(hbb::TestDelay::default()));
            assert_eq!(handshake.handle_first(&other), clear(false));
            for garbage in [&[0xff; 30][..], &[0x00], &[0x22, 0x54, 0x0a]] {
                assert!(matches!(handshake.handle_first(garbage), Step::Failed(_)), "{garbage:?}");
            }
        }
    }
}
