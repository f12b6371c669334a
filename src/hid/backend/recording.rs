//! A backend without hardware: each report is one JSON line, flushed at once, for `demo`, tests and the curious:
//! `{"t_ms":…,"device":"keyboard|absolute|relative|consumer|system","report":"hex of exactly the bytes written"}`.
#![allow(clippy::disallowed_methods, reason = "an edge: the lines carry the time since the start")]

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::input::event::LedState;

use super::{HidBackend, HidDevice, WriteOutcome};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedReport {
    /// Milliseconds since the backend was made.
    pub t_ms: u64,
    /// `keyboard`, `absolute`, `relative`, `consumer` or `system`.
    pub device: String,
    /// Lower-case hex of exactly the bytes written.
    pub report: String,
}

/// The backend.
#[derive(Debug)]
pub struct Recording {
    started: Instant,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Nowhere,
    File { path: PathBuf, file: File },
    Memory(RecordedReports),
}

/// What a [`Recording::in_memory`] has taken so far, and the LEDs of the imagined target. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RecordedReports(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    reports: Vec<RecordedReport>,
    leds: VecDeque<LedState>,
}

/// Reports an in-memory recording keeps; older ones are forgotten.
const MEMORY_LIMIT: usize = 100_000;

impl Recording {
    fn new(sink: Sink) -> Self {
        Self { started: Instant::now(), sink }
    }

    /// Takes reports and forgets them.
    pub fn discarding() -> Self {
        Self::new(Sink::Nowhere)
    }

    /// Appends lines to a file, which is created if need be.
    ///
    /// # Errors
    /// The file cannot be opened for writing.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Sink::File { path: path.to_owned(), file: append(path)? }))
    }

    /// Keeps reports in memory, for tests and status pages.
    pub fn in_memory() -> (Self, RecordedReports) {
        let shared = RecordedReports::default();
        (Self::new(Sink::Memory(shared.clone())), shared)
    }
}

impl RecordedReports {
    /// All so far, oldest first.
    pub fn all(&self) -> Vec<RecordedReport> {
        self.lock().reports.clone()
    }

    /// The hex reports of one device so far.
    pub fn of(&self, device: HidDevice) -> Vec<String> {
        let memory = self.lock();
        memory.reports.iter().filter(|r| r.device == device.name()).map(|r| r.report.clone()).collect()
    }

    /// The imagined target sets its LEDs; the writer sees it at its next look (it is woken by the next event).
    pub fn show_leds(&self, leds: LedState) {
        self.lock().leds.push_back(leds);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HidBackend for Recording {
    fn write(&mut self, device: HidDevice, report: &[u8]) -> io::Result<WriteOutcome> {
        let line = || RecordedReport {
            t_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            device: device.name().to_owned(),
            report: report.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        match &mut self.sink {
            Sink::Nowhere => {}
            Sink::File { file, .. } => {
                let mut text = serde_json::to_vec(&line())?;
                text.push(b'\n');
                // One write a line and no buffer: whoever reads along never sees half a line for long.
                file.write_all(&text)?;
            }
            Sink::Memory(shared) => {
                let line = line();
                let mut memory = shared.lock();
                if memory.reports.len() >= MEMORY_LIMIT {
                    memory.reports.drain(..MEMORY_LIMIT / 2);
                }
                memory.reports.push(line);
            }
        }
        Ok(WriteOutcome::Written)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Sink::File { path, file } = &mut self.sink {
            *file = append(path)?;
        }
        Ok(())
    }

    fn poll_leds(&mut self) -> Option<LedState> {
        match &self.sink {
            Sink::Memory(shared) => shared.lock().leds.drain(..).next_back(),
            Sink::Nowhere | Sink::File { .. } => None,
        }
    }

    fn name(&self) -> &'static str {
        "recording"
    }
}

fn append(path: &Path) -> io::Result<File> {
    // What is typed is nobody else's business.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
