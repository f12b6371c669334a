//! Calls this device's own ID through the server, as an app would: is the key signed that the app checks, does the
//! relay join the two sides? (`rendezvous::own_call` has the messages.)

use std::io;
use std::time::Duration;

use crate::config::settings::ServerSettings;
use crate::net::dial;
use crate::rendezvous::client::REPORTED_VERSION;
use crate::rendezvous::own_call::{Fault, Found, OwnCall, SignedKey};

use super::identity::{self, Identity};

/// Times that an app waits for the server's answer before it asks again, and gives up (reference: network 5.6).
const WAITS: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(6), Duration::from_secs(9)];
/// Time for the other side to be there after the relay was asked for.
const MEETING_LIMIT: Duration = Duration::from_secs(10);

/// What an app would find, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It gets in.
    Reached(String),
    /// It may not get in, or not in the way it should.
    Doubtful {
        /// What was found.
        text: String,
        /// What helps.
        remedy: String,
    },
    /// It does not get in.
    NotReached {
        /// What was found.
        text: String,
        /// What helps.
        remedy: String,
    },
}

/// Calls the ID. Takes a second when all is well, 40 at most; `is_encryption_required` as configured.
///
/// # Errors
/// The process cannot have another runtime.
pub fn call(server: &ServerSettings, identity: &Identity, is_encryption_required: bool) -> io::Result<Reach> {
    let call = OwnCall {
        server: server.host.clone(),
        licence_key: server.key.reveal().clone(),
        id: identity.id.clone(),
        public_key: identity.key_pair().public_key(),
        version: REPORTED_VERSION.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(match runtime.block_on(proceed(&call)) {
        Ok(found) => praise(&found, is_encryption_required),
        Err(Trouble::Fault(fault)) => blame(&fault),
        Err(Trouble::Io(what, error)) => Reach::NotReached {
            text: format!("{what}: {error}"),
            remedy:
                "look whether hbbs and hbbr run there, and whether TCP 21116 and 21117 are open on the way"
                    .to_owned(),
        },
    })
}

/// What ended the call.
enum Trouble {
    Io(String, io::Error),
    Fault(Fault),
}

async fn proceed(call: &OwnCall) -> Result<Found, Trouble> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |error| Trouble::Io(what, error)
    };
    let server = dial::resolve_server(&call.server).await.map_err(io("the server's name"))?;
    let question = call.lookup();
    let found = dial::ask_server(server, &question, &WAITS, |payload| call.take_found(payload));
    let found = found.await.map_err(io("the server"))?.map_err(Trouble::Fault)?;
    let meeting = match &found.meeting {
        Some(meeting) => meeting.clone(),
        None => {
            let meeting = identity::chance().next_uuid();
            let invitation = call.invitation(&found.relay, &meeting);
            let accepted =
                dial::ask_server(server, &invitation, &WAITS, |payload| call.take_accepted(payload));
            accepted.await.map_err(io("asking for the relay"))?.map_err(Trouble::Fault)?;
            meeting
        }
    };
    let relay = || format!("the relay {}", found.relay);
    let stream = dial::meet_at_relay(&found.relay, &call.meeting(&meeting))
        .await
        .map_err(|e| Trouble::Io(relay(), e))?;
    let greeting = dial::first_frame(stream, MEETING_LIMIT).await.map_err(|e| Trouble::Io(relay(), e))?;
    call.take_greeting(&greeting).map_err(Trouble::Fault)?;
    Ok(found)
}

fn praise(found: &Found, is_encryption_required: bool) -> Reach {
    let relay = &found.relay;
    match found.key {
        SignedKey::Proven => {
            Reach::Reached(format!("the server signs its key, the relay {relay} joins the two"))
        }
        SignedKey::Unchecked => Reach::Doubtful {
            text: format!("the relay {relay} joins the two, but server.key is not set"),
            remedy:
                "apps need the server's key to encrypt: set server.key to the line in hbbs's id_ed25519.pub"
                    .to_owned(),
        },
        SignedKey::Missing => {
            let text = "the server signs no keys, so apps do not encrypt".to_owned();
            let remedy = "start hbbs without -k, or with -k _, so that it makes a key".to_owned();
            if is_encryption_required {
                Reach::NotReached { text: text + ", which this device refuses", remedy }
            } else {
                Reach::Doubtful { text, remedy }
            }
        }
    }
}

fn blame(fault: &Fault) -> Reach {
    let (text, remedy) = match fault {
        Fault::Unknown => (
            "the server does not know it".to_owned(),
            "`kvmdesk status` tells how the registration stands; UDP 21116 has to be open on the way to the server",
        ),
        Fault::Offline => (
            "the server has not heard of it for half a minute".to_owned(),
            "look whether UDP 21116 is open on the way to the server and back",
        ),
        Fault::KeyRefused => (
            "the server wants another key of its users".to_owned(),
            "set server.key to the line in hbbs's id_ed25519.pub, or to what it was started with after -k",
        ),
        Fault::Refused(words) => (format!("refused: {words}"), "look into the log of hbbs"),
        Fault::WrongServerKey => (
            "what the server signs is not signed with server.key".to_owned(),
            "set server.key to the line in hbbs's id_ed25519.pub; was hbbs set up anew?",
        ),
        Fault::OtherDevice => (
            "the server leads to a device with another key".to_owned(),
            "was this device cloned? `kvmdesk id --reset` gives it an ID of its own",
        ),
        Fault::Unusable => (
            "an answer that makes no sense".to_owned(),
            "look whether hbbs and hbbr of the same version run there, and nothing else on their ports",
        ),
    };
    Reach::NotReached { text, remedy: remedy.to_owned() }
}
