//! Finds configuration and state directory the same way for every command.

use std::path::{Path, PathBuf};

use crate::agent::store::Store;
use crate::config::board::Boards;
use crate::config::file::{self, ParsedFile};
use crate::config::settings::{self, DEFAULT_CONFIG, Overrides, Settings};

use super::args::Place;
use super::{CONFIG, Failure, IO, NO_PERMISSION};

/// An environment variable, if it is set and not empty.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// What the flags of every command say.
pub(super) fn overrides(place: &Place) -> Overrides {
    Overrides {
        state_dir: place.state_dir.clone(),
        log_level: place.log_level.map(Into::into),
        ..Overrides::default()
    }
}

/// The configuration file that holds: the one named, or the default one if it is there.
pub(super) fn config_path(place: &Place) -> Option<PathBuf> {
    place.config.clone().or_else(|| {
        let default = Path::new(DEFAULT_CONFIG);
        default.exists().then(|| default.to_owned())
    })
}

/// The boards' profiles, and this machine.
pub(super) fn boards() -> Boards {
    Boards::look(Path::new("/"))
}

/// Reads and resolves the configuration; without a file, the defaults hold.
pub(super) fn settings(place: &Place) -> Result<Settings, Failure> {
    let parsed = match config_path(place) {
        Some(path) => file::read(&path)?,
        None => ParsedFile::default(),
    };
    Ok(settings::resolve(&parsed, &boards(), environment, &overrides(place))?)
}

/// The state directory, named by flag, environment, file or default, strongest first.
pub(super) fn state_dir(place: &Place) -> Result<PathBuf, Failure> {
    let told = place.state_dir.clone().or_else(|| environment("KVMDESK_STATE_DIR").map(PathBuf::from));
    match told {
        Some(dir) => Ok(dir),
        // A wrong file must not lead to another directory than the daemon's.
        None => settings(place).map(|s| s.state_dir).map_err(|failure| {
            let hint = "the state directory may be named there: mend the file, or give --state-dir";
            Failure::new(CONFIG, format!("{}; {hint}", failure.text))
        }),
    }
}

/// The state directory of a command, opened.
pub(super) fn store(place: &Place) -> Result<Store, Failure> {
    Ok(Store::open(&state_dir(place)?)?)
}

/// A failure to read a file that the user named.
pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let is_permission = error.kind() == std::io::ErrorKind::PermissionDenied;
    Failure::new(
        if is_permission { NO_PERMISSION } else { IO },
        format!("cannot read {}: {error}", path.display()),
    )
}
