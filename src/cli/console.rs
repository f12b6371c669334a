//! What the board's console shows before setup: agetty prints it above its prompt (packaging/systemd/tmpfiles.conf links it
//! there, kvmdesk-console.path has it shown anew). The journal never gets it.

use std::path::PathBuf;

use crate::agent::agent::Agent;
use crate::agent::store;

use super::place;

/// In the service's runtime directory.
const FILE: &str = "console.issue";

/// Keeps the file as it should be, where systemd gave the service a runtime directory. Never ends.
pub(super) fn show(agent: &Agent) -> impl Future<Output = ()> + use<> {
    let (mut one_time, mut set_up) = (agent.one_time_password(), agent.set_up());
    let file = place::environment("RUNTIME_DIRECTORY").map(|dir| PathBuf::from(dir).join(FILE));
    async move {
        while let Some(file) = &file {
            let password = one_time.borrow_and_update().clone().filter(|_| !*set_up.borrow_and_update());
            let is_over = password.is_none();
            let done = match password {
                Some(password) => store::write_atomically(file, text(password.reveal()).as_bytes())
                    .map_err(|e| e.to_string()),
                None => match std::fs::remove_file(file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                    Ok(()) | Err(_) => Ok(()),
                },
            };
            if let Err(error) = done {
                tracing::warn!("the console does not show what holds before setup: {error}");
            }
            if is_over {
                break;
            }
            let changed = tokio::select! {
                changed = one_time.changed() => changed,
                changed = set_up.changed() => changed,
            };
            // The agent is gone.
            if changed.is_err() {
                break;
            }
        }
        std::future::pending().await
    }
}

/// As agetty(8) reads it: `\4` is the board's address.
fn text(password: &str) -> String {
    format!(
        "\nkvmdesk is not set up. A RustDesk app on this network finds it under \"Discovered\", or dials \\4\n\
         One-time password, another one after each session: {password}\nTo set it up, and end this: sudo kvmdesk setup\n\n"
    )
}
