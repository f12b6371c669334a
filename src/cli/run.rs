//! `kvmdesk run`: the daemon. A configuration that is wrong gives way to the last good copy, loudly.

use std::io::IsTerminal as _;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::agent::agent::{Agent, AgentOptions};
use crate::agent::first_run::WellKnown;
use crate::agent::reload::Reading;
use crate::agent::store::Store;
use crate::config::file::{self, ConfigError, ParsedFile};
use crate::config::settings::{self, Settings};

use super::args::{Place, Run};
use super::{Failure, console, logging, place, serve};

pub(super) fn run(place: &Place, _run: &Run) -> Result<(), Failure> {
    let mut problems = vec![];
    let settings = match place::config_path(place) {
        None => place::settings(place)?,
        Some(path) => match read(place, &path) {
            Ok((parsed, settings)) => {
                keep_copy(&settings, &parsed, &mut problems);
                settings
            }
            Err(fault) => {
                let settings = last_good(place).ok_or(fault.clone())?;
                problems.push(format!(
                    "The configuration is wrong and the last good copy is used instead: {fault}. Mend it, look with \
                     `kvmdesk check`, and restart"
                ));
                settings
            }
        },
    };
    logging::start(settings.log_level);
    for problem in &problems {
        tracing::error!("{problem}");
    }
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
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
        let reloaded = reload_on_hangup(agent, place);
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
fn reload_on_hangup(agent: &Agent, place: &Place) -> impl Future<Output = Result<(), Failure>> + use<> {
    let hangups = signal(SignalKind::hangup());
    let reloader = agent.reloader();
    let place = place.clone();
    async move {
        let mut hangups = hangups?;
        while hangups.recv().await.is_some() {
            reloader.take(read_anew(&place)).await;
        }
        Ok(())
    }
}

fn read_anew(place: &Place) -> Reading {
    let mut problems = vec![];
    let read = match place::config_path(place) {
        None => place::settings(place).map_err(|failure| failure.text),
        Some(path) => read(place, &path).map_err(|fault| fault.to_string()).map(|(parsed, settings)| {
            keep_copy(&settings, &parsed, &mut problems);
            settings
        }),
    };
    match read {
        Err(fault) => Reading::Wrong(fault),
        Ok(settings) => {
            logging::set(settings.log_level);
            Reading::Good { settings: Box::new(settings), problems }
        }
    }
}

fn read(place: &Place, path: &Path) -> Result<(ParsedFile, Settings), ConfigError> {
    let parsed = file::read(path)?;
    let settings =
        settings::resolve(&parsed, &place::boards(), place::environment, &place::overrides(place))?;
    Ok((parsed, settings))
}

/// The settings of the last good copy. The wrong file may have named another state directory; what was kept there
/// is found only if flag, environment or default name it too.
fn last_good(place: &Place) -> Option<Settings> {
    let flags = place::overrides(place);
    let nothing = ParsedFile::default();
    let dir = settings::resolve(&nothing, &place::boards(), place::environment, &flags).ok()?.state_dir;
    let copy = Store::open(&dir).ok()?.last_good_config();
    let parsed = file::read(&copy).ok()?;
    settings::resolve(&parsed, &place::boards(), place::environment, &flags).ok()
}

fn keep_copy(settings: &Settings, parsed: &ParsedFile, problems: &mut Vec<String>) {
    let kept = Store::open(&settings.state_dir).and_then(|store| {
        let copy = store.last_good_config();
        match store.read(&copy) {
            Ok(Some(text)) if text == parsed.text => Ok(()),
            _ => store.write(&copy, parsed.text.as_bytes()),
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
