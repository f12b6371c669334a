//! Logs go to standard error; colour only on a terminal. The journal is told each line's priority the way that
//! sd-daemon(3) describes, and stamps the time itself.

use std::fmt;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::file::LogLevel;

/// Puts another level in force.
static SETTER: OnceLock<Box<dyn Fn(LogLevel) + Send + Sync>> = OnceLock::new();

/// Ours at `level`, others' at warnings.
fn filter(level: LogLevel) -> Targets {
    let ours = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(LevelFilter::WARN).with_target("kvmdesk", ours)
}

/// Another level from now on.
pub(super) fn set(level: LogLevel) {
    if let Some(setter) = SETTER.get() {
        setter(level);
    }
}

/// Starts logging.
pub(super) fn start(level: LogLevel) {
    let (filter_now, handle) = reload::Layer::new(filter(level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = if is_journal() {
        lines.event_format(Journal::default()).boxed()
    } else {
        lines.with_target(false).boxed()
    };
    // Started twice only in tests, where the first one stays.
    if tracing_subscriber::registry().with(filter_now).with(lines).try_init().is_ok() {
        let _ = SETTER.set(Box::new(move |level| drop(handle.reload(filter(level)))));
    }
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
