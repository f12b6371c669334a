//! Keeps what the registration learns of the identity: a key that the server has, an ID that it gave to somebody else.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::crypto::seed::Seed;
use crate::peer::machine::AnnouncedPlatform;
use crate::wire::discovery::Pong;
use crate::wire::id::PeerId;

use super::agent::until_true;
use super::answers::Answers;
use super::direct_task::RETRY;
use super::identity::{self, Identity};
use super::rendezvous_task::{RegistrationCommand, RegistrationEvent};

/// What the LAN search is answered with.
pub(super) fn pong_of(answers: &Answers) -> Pong {
    Pong {
        id: answers.id().as_str().to_owned(),
        mac: String::new(),
        hostname: answers.settings().target.name.clone(),
        username: "kvmdesk".to_owned(),
        platform: match answers.settings().announce {
            AnnouncedPlatform::Windows => "Windows",
            AnnouncedPlatform::Linux => "Linux",
            AnnouncedPlatform::MacOs => "Mac OS",
        }
        .to_owned(),
    }
}

/// Stores what the registration at `server` (`HOST:PORT`) learns; what cannot be stored now is tried again, and
/// `status` says so until it is.
pub(super) async fn obey(
    answers: Arc<Answers>,
    server: String,
    mut events: mpsc::UnboundedReceiver<RegistrationEvent>,
    commands: mpsc::Sender<RegistrationCommand>,
    pong: watch::Sender<Pong>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut unsaved: Option<Identity> = None;
    loop {
        let event = tokio::select! {
            () = until_true(&mut stopped) => return,
            event = events.recv() => match event {
                None => return,
                Some(event) => Some(event),
            },
            () = sleep(RETRY), if unsaved.is_some() => None,
        };
        let mut changed = unsaved.take().unwrap_or_else(|| answers.identity().clone());
        match event {
            Some(RegistrationEvent::KeyConfirmed) => changed.registered_with = Some(server.clone()),
            // Asked for again while the new one could not be stored.
            Some(RegistrationEvent::NewIdWanted) if changed.id != answers.id() => {}
            Some(RegistrationEvent::NewIdWanted) => {
                changed.id = PeerId::from_random(Seed::from_system().next_u64());
                changed.registered_with = None;
            }
            Some(RegistrationEvent::Conflict) => {
                // The state of the registration says it as long as it is so.
                tracing::error!(
                    "The ID server says that the ID {} belongs to another device. It is kept; if this device was \
                     cloned, give one of the two a new ID with `kvmdesk id --reset`.",
                    changed.id
                );
            }
            None => {}
        }
        let is_new_id = changed.id != answers.id();
        if !is_new_id && changed.registered_with == answers.identity().registered_with {
            continue;
        }
        if let Err(error) = identity::save(&answers.store, &changed) {
            let text = format!("The identity could not be stored: {error}");
            if answers.set_identity_problem(&text) {
                tracing::error!("{text}");
            }
            unsaved = Some(changed);
            continue;
        }
        answers.set_identity_problem("");
        let id = changed.id.clone();
        *answers.identity() = changed;
        if is_new_id {
            tracing::warn!(%id, "the ID belonged to another device: this device has a new one");
            pong.send_replace(pong_of(&answers));
            if commands.send(RegistrationCommand::SetId(id)).await.is_err() {
                return;
            }
        }
    }
}
