//! The recording HID backend's log: one JSON line a report,
//! `{"t_ms":…,"device":"keyboard|absolute|relative|consumer|system","report":"hex"}`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One written report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Milliseconds since the backend was opened.
    pub t_ms: u64,
    /// Which device took it.
    pub device: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Parses a whole log. A last line without its end is being written and is left out.
///
/// # Panics
/// A line is not what the format says.
pub fn parse(text: &str) -> Vec<Report> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let value: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|e| panic!("HID log line {line:?}: {e}"));
            let field = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name} in {line:?}"));
            let hex = field("report");
            assert!(hex.len().is_multiple_of(2), "odd hex in {line:?}");
            Report {
                t_ms: value["t_ms"].as_u64().unwrap_or_else(|| panic!("t_ms in {line:?}")),
                device: field("device").into(),
                bytes: (0..hex.len())
                    .step_by(2)
                    .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                    .collect(),
            }
        })
        .collect()
}

/// A log that a process is writing.
#[derive(Debug, Clone)]
pub struct HidLog {
    path: PathBuf,
}

impl HidLog {
    /// The log at `path`; it may not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// The reports so far.
    pub fn reports(&self) -> Vec<Report> {
        parse(&std::fs::read_to_string(&self.path).unwrap_or_default())
    }

    /// Waits until the reports fit.
    ///
    /// # Panics
    /// They did not in time; shows them.
    pub fn wait_until(&self, timeout: Duration, mut fits: impl FnMut(&[Report]) -> bool) -> Vec<Report> {
        let until = Instant::now() + timeout;
        loop {
            let reports = self.reports();
            if fits(&reports) {
                return reports;
            }
            assert!(Instant::now() < until, "the HID log never fitted; it holds {reports:#?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `count` reports are there.
    ///
    /// # Panics
    /// They did not come in time.
    pub fn wait_for(&self, count: usize, timeout: Duration) -> Vec<Report> {
        self.wait_until(timeout, |reports| reports.len() >= count)
    }
}

#[test]
fn a_line_being_written_is_left_out() {
    let got =
        parse("{\"t_ms\":3,\"device\":\"keyboard\",\"report\":\"0200040000000000\"}\n{\"t_ms\":4,\"dev");
    assert_eq!(got, [Report { t_ms: 3, device: "keyboard".into(), bytes: vec![2, 0, 4, 0, 0, 0, 0, 0] }]);
}
