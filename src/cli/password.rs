//! `kvmdesk password`: set it from a prompt, a file or standard input, never from the command line.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use crate::agent::control::{self, Answer, AskError, Request};
use crate::agent::identity::{self, Identity};
use crate::agent::store::Store;
use crate::agent::{password, terminal};

use super::args::{Password, Place};
use super::{Failure, IO, UNAVAILABLE, USAGE, place};

/// More is no password; protects against `--file /dev/zero`.
const MAX_READ: u64 = 64 * 1024;

pub(super) fn run(place: &Place, args: &Password) -> Result<(), Failure> {
    let store = place::store(place)?;
    if args.show_once {
        return show_once(&store);
    }
    if args.clear {
        let was_set = password::clear(&store)?;
        println!("{}", if was_set { "The password is removed." } else { "No password was set." });
        return print_daemon(&store);
    }
    let text = match &args.file {
        Some(path) => read_file(path)?,
        None if args.stdin => {
            read(std::io::stdin()).map_err(|e| Failure::new(IO, format!("standard input: {e}")))?
        }
        None if std::io::stdin().is_terminal() => prompt(false)?.unwrap_or_default(),
        None => {
            let text = "standard input is no terminal: use --stdin or --file FILE";
            return Err(Failure::new(USAGE, text));
        }
    };
    let identity = identity_of(&store)?;
    password::set(&store, &text, &identity.salt)?;
    println!("The password is set.");
    print_daemon(&store)
}

/// Who we are. The daemon makes the identity at its first start; others may come before that.
pub(super) fn identity_of(store: &Store) -> Result<Identity, Failure> {
    if let Some(identity) = identity::load(store)? {
        return Ok(identity);
    }
    let _lock = store.lock()?;
    let serial = identity::board_serial(Path::new("/"));
    Ok(identity::load_or_create(store, serial, &mut identity::chance())?.0)
}

/// A password from a file.
pub(super) fn read_file(path: &Path) -> Result<String, Failure> {
    let file = std::fs::File::open(path).map_err(|e| place::unreadable(path, &e))?;
    read(file).map_err(|e| place::unreadable(path, &e))
}

fn read(from: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MAX_READ).read_to_string(&mut text)?;
    Ok(text)
}

/// Asks twice on the terminal. `None` for Enter alone, if that `may_be_left_out`.
pub(super) fn prompt(may_be_left_out: bool) -> Result<Option<String>, Failure> {
    let first = terminal::ask_hidden("New password: ")?;
    if may_be_left_out && first.trim_end_matches(['\r', '\n']).is_empty() {
        return Ok(None);
    }
    password::check(&first)?;
    if terminal::ask_hidden("Again: ")? != first {
        return Err(Failure::new(USAGE, "the two differ; nothing was changed"));
    }
    Ok(Some(first))
}

/// A running daemon takes the change over at once; what it says to that, `None` if none runs.
pub(super) fn tell_daemon(store: &Store) -> Result<Option<String>, Failure> {
    match control::ask(&store.socket(), &Request::ReloadPassword) {
        Ok(Answer::Done { text }) => Ok(Some(text)),
        Ok(Answer::Failed { text }) => Err(Failure::new(UNAVAILABLE, text)),
        Ok(
            Answer::Status(_) | Answer::OneTimePassword { .. } | Answer::Picture(_) | Answer::Typing { .. },
        )
        | Err(AskError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn print_daemon(store: &Store) -> Result<(), Failure> {
    if let Some(text) = tell_daemon(store)? {
        println!("{text}");
    }
    Ok(())
}

fn show_once(store: &Store) -> Result<(), Failure> {
    match control::ask(&store.socket(), &Request::OneTimePassword)? {
        Answer::OneTimePassword { password: Some(password) } => {
            println!("{password}");
            Ok(())
        }
        Answer::OneTimePassword { password: None } => {
            let text = "a permanent password is set, so there is no one-time password; `--clear` removes it";
            Err(Failure::new(UNAVAILABLE, text))
        }
        Answer::Failed { text } | Answer::Done { text } => Err(Failure::new(UNAVAILABLE, text)),
        Answer::Status(_) | Answer::Picture(_) | Answer::Typing { .. } => {
            Err(Failure::new(UNAVAILABLE, "the daemon answered something else"))
        }
    }
}
