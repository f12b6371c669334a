//! Logs go to standard error; colour only on a terminal.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::file::LogLevel;

/// Starts logging: ours at `level`, others' at warnings.
pub(super) fn start(level: LogLevel) {
    let filter = EnvFilter::new(format!("warn,kvmdesk={}", level.word()));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // The journal stamps each line itself.
    let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // Started twice only in tests, where the first one stays.
    let _ = if is_journal { logs.without_time().try_init() } else { logs.try_init() };
}
