//! The cryptographic half of a connection: signatures, boxed session keys and sealed frames made of any bytes are
//! refused without panic, and a frame that was not sealed by us never opens.
#![no_main]

use kvmdesk::crypto::identity::{BoxKeyPair, verify};
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seal::{Opener, Sealer, SessionKey, TAG_LEN};
use kvmdesk::wire::message::{decode_message, hbb};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let ours = BoxKeyPair::from_secret(&[0x11; 32]);
    if let Ok(hbb::Message { union: Some(hbb::message::Union::PublicKey(key)) }) = decode_message(bytes)
        && let Ok(theirs) = <[u8; 32]>::try_from(key.asymmetric_value.as_slice())
    {
        let _ = ours.open_session_key(&key.symmetric_value, &theirs);
    }
    assert!(verify(bytes, &[7; 32]).is_err());
    if bytes.len() > 32 {
        let (key, sealed) = bytes.split_at(32);
        if let Ok(key) = key.try_into() {
            assert!(ours.open_session_key(sealed, key).is_err(), "a box of chance opened");
        }
    }
    let key = SessionKey::from_bytes([0x33; 32]);
    let mut frame = bytes.to_vec();
    match Opener::new(key.clone()).open_in_place(&mut frame) {
        Ok(plain) => assert!(plain.len() <= 1 && bytes.len() <= 1, "a frame of chance opened"),
        Err(_) => assert!(bytes.len() > 1),
    }
    let mut buffer = vec![0; TAG_LEN];
    buffer.extend_from_slice(bytes);
    Sealer::new(key.clone()).seal_in_place(&mut buffer).expect("there is room for the tag");
    assert_eq!(Opener::new(key).open_in_place(&mut buffer).expect("our own frame opens"), bytes);
    assert!(!PasswordHash::new("secret12", "a2b3c4d5").is_proven_by(bytes, "k7m9pq"));
});
