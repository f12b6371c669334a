//! The controller's half of the handshake (reference: network 9.4, 9.5), honest and otherwise.

use std::io;
use std::time::Duration;

use kvmdesk::crypto::identity::{BoxKeyPair, verify};
use kvmdesk::crypto::seed::Seed;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use prost::Message as _;

use super::stream::Link;
use super::{Union, fault};

/// What is sent for the peer's SignedId: every row of the table of network 9.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A proper PublicKey; the session is sealed.
    Encrypt,
    /// An empty message (frame `00`): "I will not encrypt".
    EmptyMessage,
    /// PublicKey with both fields empty: "your signature does not verify".
    EmptyPublicKey,
    /// PublicKey whose asymmetric value has this many bytes.
    KeyOfLength(usize),
    /// PublicKey with a symmetric value boxed for somebody else.
    BoxedForAnother,
    /// A valid message that is no PublicKey.
    AnotherMessage,
    /// Bytes that are no message.
    Garbage,
    /// Nothing at all.
    Silence,
}

/// What an ID server says about an ID: the device's ID and Ed25519 key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKey {
    /// The dialled ID.
    pub id: String,
    /// The registered key.
    pub public_key: [u8; 32],
}

impl SignedKey {
    /// Opens `PunchHoleResponse.pk` or `RelayResponse.pk` with the server's public key.
    ///
    /// # Errors
    /// It was not signed by that server or is no IdPk.
    pub fn open(signed: &[u8], server_key: &[u8; 32]) -> io::Result<Self> {
        let plain = verify(signed, server_key).map_err(|e| fault(&format!("server's signature: {e}")))?;
        let id_pk = hbb::IdPk::decode(plain.as_slice()).map_err(io::Error::other)?;
        let public_key =
            id_pk.pk.try_into().map_err(|pk: Vec<u8>| fault(&format!("key of {} bytes", pk.len())))?;
        Ok(Self { id: id_pk.id, public_key })
    }
}

/// Reads SignedId and answers it.
pub(super) fn shake_hands(link: &mut Link, key: Option<&SignedKey>, answer: Answer) -> io::Result<()> {
    let payload = link.receive(Duration::from_secs(20))?.ok_or_else(|| fault("no SignedId within 20 s"))?;
    let theirs = box_key_of(&payload, key)?;
    let pair = BoxKeyPair::from_secret(&Seed::from_system().next_bytes());
    let public_key = |asymmetric: Vec<u8>, symmetric: Vec<u8>| {
        encode_message(Union::PublicKey(hbb::PublicKey {
            asymmetric_value: asymmetric,
            symmetric_value: symmetric,
        }))
    };
    match answer {
        Answer::Encrypt => {
            let session_key = Seed::from_system().next_bytes();
            let sealed = pair.seal_session_key(&session_key, &theirs);
            link.send(&public_key(pair.public_key().to_vec(), sealed))?;
            link.seal(session_key);
            Ok(())
        }
        Answer::EmptyMessage => link.send(&[]),
        Answer::EmptyPublicKey => link.send(&public_key(vec![], vec![])),
        Answer::KeyOfLength(len) => link.send(&public_key(vec![7; len], vec![7; 48])),
        Answer::BoxedForAnother => {
            let another = BoxKeyPair::from_secret(&[0x44; 32]).public_key();
            let sealed = pair.seal_session_key(&[0x55; 32], &another);
            link.send(&public_key(pair.public_key().to_vec(), sealed))
        }
        Answer::AnotherMessage => link.send(&encode_message(Union::TestDelay(hbb::TestDelay::default()))),
        Answer::Garbage => link.send(&[0xff; 40]),
        Answer::Silence => Ok(()),
    }
}

fn box_key_of(payload: &[u8], key: Option<&SignedKey>) -> io::Result<[u8; 32]> {
    let message = decode_message(payload).map_err(io::Error::other)?;
    let Some(Union::SignedId(signed)) = message.union else {
        return Err(fault(&format!("expected SignedId, got {:?}", message.union.as_ref().map(super::kind))));
    };
    let plain = match key {
        Some(key) => verify(&signed.id, &key.public_key)
            .map_err(|e| fault(&format!("SignedId is not signed by the registered key: {e}")))?,
        None => signed.id.get(64..).ok_or_else(|| fault("SignedId is too short"))?.to_vec(),
    };
    let id_pk = hbb::IdPk::decode(plain.as_slice()).map_err(io::Error::other)?;
    if let Some(key) = key
        && key.id != id_pk.id
    {
        return Err(fault(&format!("SignedId names {}, dialled was {}", id_pk.id, key.id)));
    }
    id_pk.pk.try_into().map_err(|pk: Vec<u8>| fault(&format!("box key of {} bytes", pk.len())))
}
