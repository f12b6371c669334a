//! `kvmdesk doctor`: whether this board can serve a computer now, and what to do where it cannot. Only looks; what a
//! running daemon has open, it is asked about.

mod hands;
mod picture;
mod server;
mod sys;
mod system;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::agent::status::Status as Snapshot;
use crate::agent::store::Store;
use crate::config::file::ConfigError;
use crate::config::settings::{DEFAULT_STATE_DIR, Settings};
use crate::hid::configfs::KernelPaths;

use super::args::{Doctor, Place};
use super::holders::{self, Holders, Wanted};
use super::probe::text::wrapped;
use super::{Failure, IO, NO_PERMISSION, UNAVAILABLE, place, probe, sessions, status};

/// Where texts begin.
const INDENT: usize = 20;

/// Where the kernel shows this machine; arguments, so that tests can bring a tree of their own.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    /// `/sys`, `/dev`, `/run` and configfs.
    pub(super) kernel: KernelPaths,
    /// `/proc`
    pub(super) proc: PathBuf,
    /// `/`, below which the boot configuration is.
    pub(super) root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { kernel: KernelPaths::default(), proc: "/proc".into(), root: "/".into() }
    }
}

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Well.
    Ok,
    /// It works, or will, but should be looked at.
    Warn,
    /// It cannot work so.
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, a word or two.
    subject: String,
    verdict: Verdict,
    /// What was found.
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(subject: &str, text: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), verdict: Verdict::Ok, text: text.into(), remedy: None }
    }

    fn warn(subject: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, remedy: Some(remedy.into()), ..Self::ok(subject, text) }
    }

    fn fail(subject: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, remedy: Some(remedy.into()), ..Self::ok(subject, text) }
    }
}

/// Everything that was looked at. Its JSON is for programs: keys stay, more may come.
#[derive(Debug, Serialize)]
pub(super) struct Diagnosis {
    version: &'static str,
    /// The worst of all.
    verdict: Verdict,
    checks: Vec<Finding>,
}

pub(super) fn run(place: &Place, args: &Doctor) -> Result<(), Failure> {
    let diagnosis = examine(place, &Roots::default());
    if args.json {
        let json = serde_json::to_string_pretty(&diagnosis).map_err(|e| Failure::new(IO, e.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", to_text(&diagnosis));
    }
    match diagnosis.count(Verdict::Fail) {
        0 => Ok(()),
        failed => {
            let text = format!("{failed} of {} checks failed", diagnosis.checks.len());
            Err(Failure::new(UNAVAILABLE, text))
        }
    }
}

/// Looks at everything; takes some seconds, and up to a minute where a server does not answer.
pub(super) fn examine(place: &Place, roots: &Roots) -> Diagnosis {
    look(place, roots, true)
}

/// The same without the way to the server.
pub(super) fn examine_hardware(place: &Place, roots: &Roots) -> Diagnosis {
    look(place, roots, false)
}

fn look(place: &Place, roots: &Roots, has_server: bool) -> Diagnosis {
    let configured = place::holding(place);
    let settings = configured.as_ref().ok().map(|(settings, _)| settings);
    let state_dir = place::state_dir(place).unwrap_or_else(|_| DEFAULT_STATE_DIR.into());
    let asked = status::ask(&Store::at(&state_dir));
    let daemon = asked.as_deref().ok();

    let mut checks = vec![configuration(&configured)];
    checks.extend(system::seeds(roots));
    checks.extend(system::board(roots));
    checks.push(system::clock(sys::now(), sys::is_clock_synchronised()));
    checks.push(system::disk(&state_dir, sys::space(&state_dir)));
    checks.extend(system::heat(roots));
    let report = probe::look(settings, None);
    checks.extend(picture::pictures(settings, &report, daemon));
    checks.extend(picture::encoders(&report));
    checks.push(picture::sound(settings, &report, daemon));
    if let Some(settings) = settings {
        checks.extend(hands::hands(settings, roots, daemon));
        checks.extend(in_use(&holders::look(&Wanted::of(settings, roots), roots)));
        if has_server {
            checks.extend(server::server(settings, daemon));
        }
    }
    let told = running(&asked, &checks);
    checks.extend(told);
    Diagnosis::of(checks)
}

/// Who else has what kvmdesk needs.
fn in_use(holders: &Holders) -> Option<Finding> {
    let sentences: Vec<String> = holders.found.iter().map(holders::Holder::sentence).collect();
    let units: Vec<&str> = holders.found.iter().filter_map(|holder| holder.unit.as_deref()).collect();
    match (sentences.is_empty(), units.is_empty()) {
        (true, _) if holders.is_partial => Some(Finding::ok(
            "in use",
            "by nobody else, as far as may be seen: the programs of other users only root sees",
        )),
        (true, _) => None,
        (false, true) => Some(Finding::warn(
            "in use",
            sentences.join("; "),
            "stop that program and what starts it: only one at a time can have these",
        )),
        (false, false) => Some(Finding::warn(
            "in use",
            sentences.join("; "),
            format!(
                "`kvmdesk setup` as root offers to stop it and remembers how it was; by hand: systemctl disable --now {}",
                units.join(" ")
            ),
        )),
    }
}

impl Diagnosis {
    fn of(checks: Vec<Finding>) -> Self {
        let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
        Self { version: env!("CARGO_PKG_VERSION"), verdict, checks }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

fn configuration(configured: &Result<(Settings, Option<ConfigError>), ConfigError>) -> Finding {
    const MEND: &str = "mend it; `kvmdesk check` tells whether it is good";
    match configured {
        Err(fault) => Finding::fail("configuration", fault.to_string(), MEND),
        Ok((_, Some(fault))) => {
            let remedy = format!("{MEND}. Until then, and for what is said below, the last good copy holds");
            Finding::fail("configuration", fault.to_string(), remedy)
        }
        Ok((settings, None)) if !settings.warnings.is_empty() => {
            Finding::warn("configuration", settings.warnings.join("; "), "change it if that is not meant so")
        }
        Ok(_) => Finding::ok("configuration", "it is good"),
    }
}

/// Whether the daemon runs, and what it says that no check has said.
fn running(asked: &Result<Box<Snapshot>, Failure>, checks: &[Finding]) -> Vec<Finding> {
    let status = match asked {
        Err(failure) => {
            let remedy = match failure.code {
                NO_PERMISSION => "run this as root",
                _ => "`systemctl start kvmdesk`, or look why it ended: `journalctl -u kvmdesk`",
            };
            return vec![Finding::warn("daemon", &failure.text, remedy)];
        }
        Ok(status) => status,
    };
    let is_said = |problem: &&String| {
        checks.iter().any(|check| {
            check.text.contains(*problem) || check.remedy.as_ref().is_some_and(|r| r.contains(*problem))
        })
    };
    let mut findings = vec![Finding::ok(
        "daemon",
        format!("it has run for {}, ID {}", sessions::duration(status.uptime_seconds), status.target.id),
    )];
    let problems = status.problems.iter().filter(|problem| !is_said(problem));
    findings
        .extend(problems.map(|problem| Finding { verdict: Verdict::Warn, ..Finding::ok("daemon", problem) }));
    findings
}

/// The lines for people.
pub(super) fn to_text(diagnosis: &Diagnosis) -> String {
    let mut out = to_lines(diagnosis, &[]);
    let (warnings, failures) = (diagnosis.count(Verdict::Warn), diagnosis.count(Verdict::Fail));
    let _ = match (warnings, failures) {
        (0, 0) => writeln!(out, "All is well."),
        _ => writeln!(out, "Failed: {failures}, to be looked at: {warnings}."),
    };
    out
}

/// The lines about some subjects (a further display counts as `picture`), or about all with none named.
pub(super) fn to_lines(diagnosis: &Diagnosis, subjects: &[&str]) -> String {
    let mut out = String::new();
    let is_wanted = |check: &&Finding| {
        subjects.is_empty() || subjects.iter().any(|subject| check.subject.starts_with(subject))
    };
    for Finding { subject, verdict, text, remedy } in diagnosis.checks.iter().filter(is_wanted) {
        let _ = writeln!(out, "{:<5} {subject:<13} {}", verdict.word(), wrapped(text, INDENT));
        if let Some(remedy) = remedy {
            let _ = writeln!(out, "{:INDENT$}-> {}", "", wrapped(remedy, INDENT + 3));
        }
    }
    out
}

#[cfg(test)]
mod tests;
