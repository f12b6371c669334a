//! Log-ins kept: who came, from where, by which route, for how long; the last 1000. One JSON line when a controller
//! logs in and one when it leaves, so that a power cut loses at most the line being written.
#![allow(clippy::disallowed_methods, reason = "the calendar time of a log-in")]

use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::store::{Store, StoreError, give_to_owner_of, unfollowed};

/// Log-ins kept.
pub const KEPT: usize = 1000;
/// Lines after which the file is written anew with the last [`KEPT`] log-ins.
const MAX_LINES: usize = 4 * KEPT;
/// Longest text of a controller that is kept, in characters.
const MAX_TEXT: usize = 64;

/// One log-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogIn {
    /// Number of the session, counted over restarts.
    pub session: u64,
    /// The controller's ID, as it says.
    pub my_id: String,
    /// Its user's name, as it says.
    pub my_name: String,
    /// Its platform, as it says.
    pub platform: String,
    /// Its address.
    pub address: String,
    /// `direct`, `punched` or `relayed`.
    pub route: String,
    /// When it logged in, Unix seconds.
    pub started: u64,
    /// How long it stayed; `None` while it is here, or if the power went before it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    In(LogIn),
    Out { left: u64, seconds: u64 },
}

/// The file of log-ins.
#[derive(Debug)]
pub struct Logbook {
    store: Store,
    lines: usize,
    next_session: u64,
    is_clean: bool,
}

/// Text of a controller as we keep and show it: bounded, no control characters.
pub fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

/// Now, in Unix seconds.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn path(store: &Store) -> PathBuf {
    store.target_dir().join("log-ins.jsonl")
}

/// The file's text; bytes that are no text (a name that a power cut left torn) spoil their line alone.
fn text(store: &Store) -> Result<String, StoreError> {
    let path = path(store);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(StoreError::io("read", &path, error)),
    }
}

/// The kept log-ins, oldest first. A line that a power cut left torn is skipped.
///
/// # Errors
/// [`StoreError`] if the file cannot be read.
pub fn read(store: &Store) -> Result<Vec<LogIn>, StoreError> {
    let text = text(store)?;
    let mut log_ins: Vec<LogIn> = vec![];
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Line::In(log_in)) => log_ins.push(log_in),
            Ok(Line::Out { left, seconds }) => {
                if let Some(log_in) = log_ins.iter_mut().rev().find(|l| l.session == left) {
                    log_in.seconds = Some(seconds);
                }
            }
            Err(_) => {}
        }
    }
    let too_many = log_ins.len().saturating_sub(KEPT);
    log_ins.drain(..too_many);
    Ok(log_ins)
}

impl Logbook {
    /// Opens the file, or begins one. One that cannot be read is no reason not to serve: that is logged.
    pub fn open(store: Store) -> Self {
        let kept = read(&store).and_then(|log_ins| Ok((log_ins, text(&store)?)));
        let (log_ins, text) = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "earlier log-ins are not known");
            Default::default()
        });
        let last = log_ins.iter().map(|l| l.session).max().unwrap_or(0);
        let is_clean = text.is_empty() || text.ends_with('\n');
        Self { lines: text.lines().count(), store, next_session: last + 1, is_clean }
    }

    /// A number for a new session; numbers are not used twice, over restarts neither (of kept log-ins).
    pub fn next_session(&mut self) -> u64 {
        self.next_session += 1;
        self.next_session - 1
    }

    /// A controller logged in.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written; the log-ins kept so far stay.
    pub fn log_in(&mut self, log_in: &LogIn) -> Result<(), StoreError> {
        self.append(&Line::In(log_in.clone()))
    }

    /// It left after `seconds`.
    ///
    /// # Errors
    /// As [`Logbook::log_in`].
    pub fn log_out(&mut self, session: u64, seconds: u64) -> Result<(), StoreError> {
        self.append(&Line::Out { left: session, seconds })
    }

    fn append(&mut self, line: &Line) -> Result<(), StoreError> {
        let path = path(&self.store);
        if self.lines >= MAX_LINES {
            let kept = read(&self.store)?;
            let text: String =
                kept.iter().filter_map(|l| serde_json::to_string(l).ok()).map(|l| l + "\n").collect();
            self.store.write(&path, text.as_bytes())?;
            (self.lines, self.is_clean) = (kept.len(), true);
        }
        let mut text = serde_json::to_string(line).unwrap_or_default() + "\n";
        if !self.is_clean {
            // A torn line ends here, so that it takes no other with it.
            text.insert(0, '\n');
        }
        let is_new = self.lines == 0;
        let written = (|| {
            let mut file = unfollowed(OpenOptions::new().create(true).append(true).read(true).mode(0o600))
                .open(&path)?;
            if is_new {
                give_to_owner_of(self.store.root(), &file);
            }
            let before = file.seek(SeekFrom::End(0))?;
            let result = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
            if result.is_err() {
                let _ = file.set_len(before);
            }
            result
        })();
        match written {
            Ok(()) => {
                (self.lines, self.is_clean) = (self.lines + 1, true);
                Ok(())
            }
            Err(error) => {
                self.is_clean = ends_with_newline(&path);
                Err(StoreError::io("write", &path, error))
            }
        }
    }
}

fn ends_with_newline(path: &std::path::Path) -> bool {
    let last = (|| {
        let mut file = std::fs::File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut byte = [0];
        file.read_exact(&mut byte)?;
        std::io::Result::Ok(byte[0])
    })();
    matches!(last, Ok(b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(session: u64) -> LogIn {
        LogIn {
            session,
            my_id: "123456789".into(),
            my_name: "ann".into(),
            platform: "Linux".into(),
            address: "10.0.0.2".into(),
            route: "direct".into(),
            started: 1_700_000_000 + session,
            seconds: None,
        }
    }

    #[test]
    fn torn_lines_take_nothing_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut book = Logbook::open(store.clone());
        let (a, b) = (book.next_session(), book.next_session());
        assert_eq!((a, b), (1, 2));
        book.log_in(&log_in(a)).unwrap();
        book.log_out(a, 60).unwrap();
        book.log_in(&log_in(b)).unwrap();
        let file = path(&store);
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"session\":3,\"my_");
        std::fs::write(&file, &text).unwrap();
        let mut book = Logbook::open(store.clone());
        let c = book.next_session();
        book.log_in(&log_in(c)).unwrap();
        let kept = read(&store).unwrap();
        assert_eq!(
            kept.iter().map(|l| (l.session, l.seconds)).collect::<Vec<_>>(),
            [(1, Some(60)), (2, None), (3, None)]
        );
    }

    #[test]
    fn bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        // A file that stands just before its rotation.
        let lines: String =
            (1..=MAX_LINES as u64).map(|n| serde_json::to_string(&log_in(n)).unwrap() + "\n").collect();
        store.write(&path(&store), lines.as_bytes()).unwrap();
        let mut book = Logbook::open(store.clone());
        let next = book.next_session();
        book.log_in(&log_in(next)).unwrap();
        let kept = read(&store).unwrap();
        assert_eq!((kept.len(), kept[KEPT - 1].session), (KEPT, MAX_LINES as u64 + 1));
        let text = std::fs::read_to_string(path(&store)).unwrap();
        assert_eq!(text.lines().count(), KEPT + 1);
    }

    #[test]
    fn foreign_texts_are_tamed() {
        assert_eq!(tame("a\x1b[2Jb\n"), "a[2Jb");
        assert_eq!(tame(&"x".repeat(1000)).len(), MAX_TEXT);
    }
}
