//! Finds configuration and state directory the same way for every command.

use std::path::{Path, PathBuf};

use crate::agent::store::Store;
use crate::config::board::Boards;
use crate::config::file::{self, ConfigError, ParsedFile};
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

/// The configuration file that holds: the one named, or the default one unless it is known not to be there.
pub(super) fn config_path(place: &Place) -> Option<PathBuf> {
    place.config.clone().or_else(|| {
        let default = Path::new(DEFAULT_CONFIG);
        default.try_exists().unwrap_or(true).then(|| default.to_owned())
    })
}

/// The configuration as a command finds it.
pub(super) struct Found {
    /// What it says.
    pub(super) settings: Settings,
    /// Its text; `None` if there is no file, so that the defaults hold.
    pub(super) text: Option<String>,
}

/// Reads and resolves the file.
///
/// # Errors
/// It is wrong, cannot be read, or is gone although there was one: the last good copy is there.
pub(super) fn read(place: &Place) -> Result<Found, ConfigError> {
    let Some(path) = config_path(place) else {
        let none = ParsedFile::default();
        let settings = settings::resolve(&none, &boards(), environment, &overrides(place))?;
        let copy = Store::at(&settings.state_dir).last_good_config();
        if copy.exists() {
            let message = format!(
                "it is gone, and what it said last is in {}: put it back, or remove that copy to begin anew",
                copy.display()
            );
            return Err(ConfigError { file: DEFAULT_CONFIG.into(), line: None, key: String::new(), message });
        }
        return Ok(Found { settings, text: None });
    };
    let parsed = file::read(&path)?;
    let settings = settings::resolve(&parsed, &boards(), environment, &overrides(place))?;
    Ok(Found { settings, text: Some(parsed.text) })
}

/// The settings of the last good copy, what a daemon runs with while the file is wrong. The wrong file may have named
/// another state directory; what was kept there is found only if flag, environment or default name it too.
pub(super) fn last_good(place: &Place) -> Option<Settings> {
    let flags = overrides(place);
    let dir = settings::resolve(&ParsedFile::default(), &boards(), environment, &flags).ok()?.state_dir;
    let parsed = file::read(&Store::at(&dir).last_good_config()).ok()?;
    settings::resolve(&parsed, &boards(), environment, &flags).ok()
}

/// What the daemon would run with: the file, or its last good copy and what is wrong with the file.
///
/// # Errors
/// The file is wrong, and there is no copy.
pub(super) fn holding(place: &Place) -> Result<(Settings, Option<ConfigError>), ConfigError> {
    match read(place) {
        Ok(found) => Ok((found.settings, None)),
        Err(fault) => match last_good(place) {
            Some(settings) => Ok((settings, Some(fault))),
            None => Err(fault),
        },
    }
}

/// The boards' profiles, and this machine.
pub(super) fn boards() -> Boards {
    Boards::look(Path::new("/"))
}

/// Reads and resolves the configuration; without a file, the defaults hold.
pub(super) fn settings(place: &Place) -> Result<Settings, Failure> {
    Ok(read(place)?.settings)
}

/// The state directory, named by flag, environment, file or default, strongest first.
pub(super) fn state_dir(place: &Place) -> Result<PathBuf, Failure> {
    let told = place.state_dir.clone().or_else(|| environment("KVMDESK_STATE_DIR").map(PathBuf::from));
    match told {
        Some(dir) => Ok(dir),
        // A wrong file must not lead to another directory than the daemon's.
        None => holding(place).map(|(settings, _)| settings.state_dir).map_err(|fault| {
            let hint = "the state directory may be named there: mend the file, or give --state-dir";
            Failure::new(CONFIG, format!("{fault}; {hint}"))
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
