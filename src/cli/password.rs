//! `kvmdesk password`: set it from a prompt, a file or standard input, never from the command line.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use crate::agent::control::{self, Answer, AskError, Request};
use crate::agent::store::Store;
use crate::agent::{identity, password, terminal};

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
        return tell_daemon(&store);
    }
    let text = match &args.file {
        Some(path) => {
            let file = std::fs::File::open(path).map_err(|e| place::unreadable(path, &e))?;
            read(file).map_err(|e| place::unreadable(path, &e))?
        }
        None if args.stdin => {
            read(std::io::stdin()).map_err(|e| Failure::new(IO, format!("standard input: {e}")))?
        }
        None if std::io::stdin().is_terminal() => prompt()?,
        None => {
            let text = "standard input is no terminal: use --stdin or --file FILE";
            return Err(Failure::new(USAGE, text));
        }
    };
    // The daemon makes the identity at its first start; the password may come before that.
    let identity = match identity::load(&store)? {
        Some(identity) => identity,
        None => {
            let _lock = store.lock()?;
            let serial = identity::board_serial(Path::new("/"));
            identity::load_or_create(&store, serial, &mut identity::chance())?.0
        }
    };
    password::set(&store, &text, &identity.salt)?;
    println!("The password is set.");
    tell_daemon(&store)
}

fn read(from: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MAX_READ).read_to_string(&mut text)?;
    Ok(text)
}

fn prompt() -> Result<String, Failure> {
    let first = terminal::ask_hidden("New password: ")?;
    password::check(&first)?;
    if terminal::ask_hidden("Again: ")? != first {
        return Err(Failure::new(USAGE, "the two differ; nothing was changed"));
    }
    Ok(first)
}

/// A running daemon takes the change over at once.
fn tell_daemon(store: &Store) -> Result<(), Failure> {
    match control::ask(&store.socket(), &Request::ReloadPassword) {
        Ok(Answer::Done { text }) => println!("{text}"),
        Ok(Answer::Failed { text }) => return Err(Failure::new(UNAVAILABLE, text)),
        Ok(
            Answer::Status(_) | Answer::OneTimePassword { .. } | Answer::Picture(_) | Answer::Typing { .. },
        )
        | Err(AskError::NotRunning(_)) => {}
        Err(error) => return Err(error.into()),
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
