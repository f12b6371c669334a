//! Logs go to standard error; colour only on a terminal.

use std::io::IsTerminal as _;

use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::file::LogLevel;

/// Puts another level in force.
static SETTER: OnceLock<Box<dyn Fn(LogLevel) + Send + Sync>> = OnceLock::new();

/// Ours at `level`, others' at warnings.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("warn,kvmdesk={}", level.word()))
}

/// Another level from now on.
pub(super) fn set(level: LogLevel) {
    if let Some(setter) = SETTER.get() {
        setter(level);
    }
}

/// Starts logging.
pub(super) fn start(level: LogLevel) {
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // The journal stamps each line itself.
    let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // Started twice only in tests, where the first one stays.
    if is_journal {
        let logs = logs.without_time().with_filter_reloading();
        let handle = logs.reload_handle();
        let _ = SETTER.set(Box::new(move |level| drop(handle.reload(filter(level)))));
        let _ = logs.try_init();
    } else {
        let logs = logs.with_filter_reloading();
        let handle = logs.reload_handle();
        let _ = SETTER.set(Box::new(move |level| drop(handle.reload(filter(level)))));
        let _ = logs.try_init();
    }
}
