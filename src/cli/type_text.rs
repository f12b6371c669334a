//! `kvmdesk type`: types a text on the computer through the running daemon, a little at a time, so that an end of this
//! command is an end of typing.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::time::Duration;

use crate::agent::control::{self, Answer, Request};
use crate::agent::store::Store;

use super::args::{Place, Type};
use super::{Failure, UNAVAILABLE, USAGE, place};

/// Characters that are given to the daemon at once: about a second of typing.
const PART: usize = 64;
/// How often the daemon is asked how far it is.
const PACE: Duration = Duration::from_millis(50);
/// Texts from this many characters on show how far they are, on a terminal.
const LONG: usize = 200;
/// Longest text, in bytes: more than an hour of typing.
const MAX_TEXT: u64 = 256 * 1024;

pub(super) fn run(place: &Place, args: &Type) -> Result<(), Failure> {
    let text = match &args.text {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            std::io::stdin().lock().take(MAX_TEXT + 1).read_to_string(&mut text)?;
            text
        }
    };
    if text.len() as u64 > MAX_TEXT {
        return Err(Failure::new(USAGE, format!("the text is longer than {} KiB", MAX_TEXT / 1024)));
    }
    let store = Store::at(&place::state_dir(place)?);
    let left_out = type_all(&store.socket(), &text, &show_progress)?;
    if left_out.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = left_out.iter().map(|c| named(*c)).collect();
    let text = format!(
        "the rest is typed, but the computer's keyboard layout has no keys for: {}. Set keyboard-layout or unicode-entry \
         of [[target]] in kvmdesk's configuration",
        named.join(" ")
    );
    Err(Failure::new(USAGE, text))
}

/// Types the text; returns what nothing types.
fn type_all(socket: &Path, text: &str, show: &dyn Fn(usize, usize)) -> Result<BTreeSet<char>, Failure> {
    let total = text.chars().count();
    let (_, cuts, _) = say(socket, "")?;
    let mut left_out = BTreeSet::new();
    let mut done = 0;
    for part in parts(text) {
        let (mut waiting, mut now_cut, more) = say(socket, part)?;
        left_out.extend(more.chars());
        done += part.chars().count();
        let is_last = done == total;
        // The next part is sent while this one is typed, so that there is no pause in between.
        while now_cut == cuts && waiting > if is_last { 0 } else { part.len() } {
            std::thread::sleep(PACE);
            (waiting, now_cut, _) = say(socket, "")?;
        }
        if now_cut != cuts {
            let text = "typing was stopped: by Esc, because everything was let go, or because the computer does not \
                        take input (see `kvmdesk status`)";
            return Err(Failure::new(UNAVAILABLE, text));
        }
        show(done, total);
    }
    Ok(left_out)
}

fn say(socket: &Path, text: &str) -> Result<(usize, usize, String), Failure> {
    let answer = control::ask(socket, &Request::Type { text: text.to_owned() })?;
    if let Answer::Failed { text } = answer {
        return Err(Failure::new(UNAVAILABLE, text));
    }
    let Answer::Typing { waiting, cuts, left_out } = answer else {
        return Err(Failure::new(UNAVAILABLE, "the daemon answered something else"));
    };
    Ok((waiting, cuts, left_out))
}

/// The text in parts of at most [`PART`] characters; `\r\n` stays together.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut at = rest.char_indices().nth(PART).map_or(rest.len(), |(at, _)| at);
        if rest[..at].ends_with('\r') && rest[at..].starts_with('\n') {
            at += 1;
        }
        let (part, later) = rest.split_at(at);
        rest = later;
        (!part.is_empty()).then_some(part)
    })
}

fn show_progress(done: usize, total: usize) {
    if total >= LONG && std::io::stderr().is_terminal() {
        eprint!("\r{done} of {total} characters");
        if done == total {
            eprintln!();
        }
    }
}

/// A character for a sentence; what cannot be seen by its number.
fn named(c: char) -> String {
    if c.is_control() || c.is_whitespace() { format!("U+{:04X}", c as u32) } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_line_ends_and_characters_whole() {
        assert_eq!(parts("").count(), 0);
        let text = format!("{}\r\n{}", "é".repeat(PART - 1), "x".repeat(PART));
        let got: Vec<&str> = parts(&text).collect();
        assert_eq!(got.concat(), text);
        assert_eq!(got.iter().map(|p| p.chars().count()).collect::<Vec<_>>(), [PART + 1, PART]);
    }
}
