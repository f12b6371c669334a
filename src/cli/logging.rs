//! Logs go to standard error; colour only on a terminal. The journal is told each line's priority the way that
//! sd-daemon(3) describes, and stamps the time itself.

use std::fmt;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::file::LogLevel;

/// Starts logging: ours at `level`, others' at warnings.
pub(super) fn start(level: LogLevel) {
    let filter = EnvFilter::new(format!("warn,kvmdesk={}", level.word()));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Started twice only in tests, where the first one stays.
    let _ = if is_journal() {
        logs.event_format(Journal::default()).try_init()
    } else {
        logs.with_target(false).try_init()
    };
}

/// Says why the program ends.
pub(super) fn say_failure(text: &str) {
    let priority = if is_journal() { "<3>" } else { "" };
    eprintln!("{priority}kvmdesk: {text}");
}

/// Whether standard error leads to the journal: the variable holds for that stream alone (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else { return false };
    let opened = std::io::stderr().as_fd().try_clone_to_owned();
    opened
        .and_then(|stream| std::fs::File::from(stream).metadata())
        .is_ok_and(|found| told == format!("{}:{}", found.dev(), found.ino()))
}

/// One line an event: its priority, then the text without time and level.
struct Journal(Format<Full, ()>);

impl Default for Journal {
    fn default() -> Self {
        Self(Format::default().without_time().with_level(false).with_target(false))
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}
