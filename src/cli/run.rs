//! `kvmdesk run`: the daemon. A configuration that is wrong gives way to the last good copy, loudly.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use crate::agent::agent::{Agent, AgentOptions};
use crate::agent::first_run::WellKnown;
use crate::agent::reload::Reading;
use crate::agent::store::Store;

use super::args::{Place, Run};
use super::place::Found;
use super::{Failure, console, logging, place, serve};

pub(super) fn run(place: &Place, _run: &Run) -> Result<(), Failure> {
    let mut problems = vec![];
    let settings = match place::read(place) {
        Ok(found) => {
            keep_copy(&found.settings.state_dir, &found, &mut problems);
            found.settings
        }
        Err(fault) => {
            let settings = place::last_good(place).ok_or(fault.clone())?;
            problems.push(format!(
                "The configuration is wrong and the last good copy is used instead: {fault}. Mend it, look with \
                 `kvmdesk check`, and restart"
            ));
            settings
        }
    };
    logging::start(settings.log_level);
    for problem in &problems {
        tracing::error!("{problem}");
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let state_dir = settings.state_dir.clone();
    let options = AgentOptions {
        settings,
        password: None,
        problems,
        board_root: "/".into(),
        well_known: WellKnown::default(),
    };
    serve::serve(options, |agent| {
        let shown = show_on_terminal(agent);
        let told = console::show(agent);
        let reloaded = reload_on_hangup(agent, place, state_dir.clone());
        async move {
            tokio::select! {
                () = shown => Ok(()),
                () = told => Ok(()),
                result = reloaded => result,
            }
        }
    })
}

/// SIGHUP reads the configuration anew. Never ends, unless the signal cannot be had.
fn reload_on_hangup(
    agent: &Agent,
    place: &Place,
    state_dir: PathBuf,
) -> impl Future<Output = Result<(), Failure>> + use<> {
    let hangups = signal(SignalKind::hangup());
    let reloader = agent.reloader();
    let place = place.clone();
    async move {
        let mut hangups = hangups?;
        while hangups.recv().await.is_some() {
            reloader.take(read_anew(&place, &state_dir)).await;
        }
        Ok(())
    }
}

/// `state_dir`: of the running settings, also if the new ones name another.
fn read_anew(place: &Place, state_dir: &Path) -> Reading {
    let mut problems = vec![];
    match place::read(place) {
        Err(fault) => Reading::Wrong(fault.to_string()),
        Ok(found) => {
            keep_copy(state_dir, &found, &mut problems);
            logging::set(found.settings.log_level);
            Reading::Good { settings: Box::new(found.settings), problems }
        }
    }
}

fn keep_copy(state_dir: &Path, found: &Found, problems: &mut Vec<String>) {
    let Some(text) = &found.text else { return };
    let kept = Store::open(state_dir).and_then(|store| {
        let copy = store.last_good_config();
        match store.read(&copy) {
            Ok(Some(kept)) if kept == *text => Ok(()),
            _ => store.write(&copy, text.as_bytes()),
        }
    });
    if let Err(error) = kept {
        problems.push(format!("No copy of the configuration was kept: {error}"));
    }
}

/// A user at the console is told the one-time password; a journal never is. Never ends.
fn show_on_terminal(agent: &Agent) -> impl Future<Output = ()> + use<> {
    let mut one_time = agent.one_time_password();
    let id = agent.id();
    async move {
        if std::io::stdout().is_terminal() {
            println!("ID: {}", id.spaced());
            loop {
                if let Some(password) = one_time.borrow_and_update().as_ref() {
                    println!("One-time password: {}", password.reveal());
                }
                if one_time.changed().await.is_err() {
                    break;
                }
            }
        }
        std::future::pending().await
    }
}
