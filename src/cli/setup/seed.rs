//! A seed file: the answers to `kvmdesk setup`, put on a card's boot partition before the board's first start. What
//! became of it is told in a text file beside it, for those who have only a card reader.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use crate::agent::store;
use crate::config::edit::Changes;

use super::super::args::Place;
use super::super::{CONFIG, Failure, IO, NO_PERMISSION, USAGE, password};
use super::{Outcome, Plan, take_exported};

/// Where `kvmdesk-seed.service` looks, below `/boot`.
pub(in crate::cli) const PLACES: [&str; 2] = ["firmware/kvmdesk.toml", "kvmdesk.toml"];
/// Beside a file that was not taken over: why; the reason alone is the first line.
pub(in crate::cli) const REFUSED: &str = "kvmdesk-error.txt";
/// Beside a file that was: who this device is.
const TAKEN: &str = "kvmdesk-id.txt";
/// The keys of a seed file. Each may be left out or left empty.
const KEYS: &str = "server-config, server, key, relay, password, name, os, keyboard-layout";

/// Sets what the file says, then erases it; either way a text file beside it tells how that went.
pub(super) fn take(place: &Place, file: &Path) -> Result<Outcome, Failure> {
    let tell = |name: &str, text: &str| {
        let path = file.with_file_name(name);
        store::write_shared(&path, &path, text.as_bytes())
    };
    match take_over(place, file) {
        Ok(mut outcome) => {
            let _ = fs::remove_file(file.with_file_name(REFUSED));
            if let Err(error) = tell(TAKEN, &report(&outcome)) {
                outcome.warnings.push(error.to_string());
            }
            Ok(outcome)
        }
        Err(failure) if !file.exists() => Err(failure),
        Err(failure) => match tell(REFUSED, &excuse(&failure)) {
            Ok(()) => Err(failure),
            Err(error) => Err(Failure {
                text: format!("{}; nor can that be told beside it: {error}", failure.text),
                ..failure
            }),
        },
    }
}

fn take_over(place: &Place, file: &Path) -> Result<Outcome, Failure> {
    let text = password::read_file(file)?;
    let (changes, secret) = read(file, &text)?;
    // What could not be erased would undo later changes at each start, and leave the password lying there.
    let open = OpenOptions::new().write(true).open(file).map_err(|error| {
        let is_permission = error.kind() == io::ErrorKind::PermissionDenied;
        let text = format!(
            "{} cannot be erased ({error}), so nothing was changed: mount its file system writable and run this as root, \
             or use `kvmdesk setup` on the board",
            file.display()
        );
        Failure::new(if is_permission { NO_PERMISSION } else { IO }, text)
    })?;
    let has_password = secret.is_some();
    let mut outcome = Plan::new(place, &changes, secret)?.carry_out()?;
    erase(file, open, text.len()).map_err(|error| {
        let text = format!(
            "the settings of {0} hold now, but it cannot be erased ({error}), and would undo later changes at the next \
             start: remove it by hand, and if a password stands in it, set another one with `kvmdesk password`",
            file.display()
        );
        Failure::new(IO, text)
    })?;
    if has_password {
        outcome.warnings.push(
            "the password came from a seed file. It is erased there, but a card's flash may keep a copy of what was erased, \
             and whoever learns it gets into every board that was set up with the same file: `kvmdesk password` sets \
             another one"
                .to_owned(),
        );
    }
    Ok(outcome)
}

/// What a seed file sets: the settings, and the password.
fn read(file: &Path, text: &str) -> Result<(Changes, Option<String>), Failure> {
    // Windows' editor begins files with it.
    let text = text.trim_start_matches('\u{feff}');
    let wrong =
        |fault: String| Failure::new(CONFIG, format!("{}{fault}; nothing was changed", file.display()));
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        // Not in the parser's words, nor with the line: a password may stand there.
        let line = 1 + before.matches('\n').count();
        wrong(format!(
            ":{line}: write KEY = \"VALUE\" with straight quotes, each key once, and # before other words"
        ))
    })?;
    let (mut changes, mut exported, mut secret) = (Changes::default(), None, None);
    for (key, value) in table {
        let field = match key.as_str() {
            "server-config" => &mut exported,
            "server" => &mut changes.host,
            "key" => &mut changes.key,
            "relay" => &mut changes.relay,
            "password" => &mut secret,
            "name" => &mut changes.name,
            "os" => &mut changes.os,
            "keyboard-layout" => &mut changes.layout,
            _ => return Err(wrong(format!(": there is no key `{key}` here; there are {KEYS}"))),
        };
        let toml::Value::String(value) = value else {
            return Err(wrong(format!(": {key} wants its value in quotes: {key} = \"VALUE\"")));
        };
        *field = Some(value).filter(|value| !value.is_empty());
    }
    if let Some(exported) = exported {
        if changes != (Changes { host: None, key: None, relay: None, ..changes.clone() }) {
            return Err(Failure {
                code: USAGE,
                ..wrong(": take server-config, or server, key and relay".to_owned())
            });
        }
        take_exported(&mut changes, &exported)?;
    }
    Ok((changes, secret))
}

/// Overwrites the file where it lies and takes it away. On flash, and on file systems that never write in place, the old
/// bytes may stay somewhere all the same.
fn erase(path: &Path, mut file: File, length: usize) -> io::Result<()> {
    file.write_all(" ".repeat(length).as_bytes())?;
    file.sync_all()?;
    file.set_len(0)?;
    file.sync_all()?;
    fs::remove_file(path)?;
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

/// Who this device is; no secrets, since everybody with the card can read it.
fn report(outcome: &Outcome) -> String {
    let server = outcome.server.as_deref().unwrap_or("none");
    let password = match outcome.password {
        "permanent" => "set",
        _ => "none set; `sudo kvmdesk password --show-once` on the board shows a one-time password",
    };
    let mut text = format!(
        "kvmdesk took the settings over from its seed file, and erased that.\n\nID               {}\nKey fingerprint  {}\n\
         Name             {}\nServer           {server}\nPassword         {password}\n",
        outcome.id, outcome.key_fingerprint, outcome.name
    );
    for warning in &outcome.warnings {
        text += &format!("\nNote: {warning}.\n");
    }
    text
}

/// Why the file was not taken over, and what becomes of it.
fn excuse(failure: &Failure) -> String {
    format!(
        "{}.\n\nkvmdesk runs all the same. Until the file is mended, or removed, it is read again at each start, and everybody \
         who has this card can read a password in it.\n",
        failure.text
    )
}
