//! `kvmdesk status --watch`: the page every second, redrawn in place on a terminal, block after block elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use crate::agent::store::Store;
use crate::agent::terminal;
use crate::cli::Failure;

use super::{ask, to_text};

/// Time between two pages.
const EVERY: Duration = Duration::from_secs(1);
/// What is taken of a terminal that does not tell its size.
const USUAL_SIZE: (usize, usize) = (80, 24);
/// Where texts begin, behind the first column.
const INDENT: usize = 11;

/// Shows page after page until the user interrupts; a reader that leaves ends the process (`cli::pipe`). A daemon that ends meanwhile is waited for.
pub(super) fn watch(store: &Store) -> Result<(), Failure> {
    let mut page = to_text(ask(store)?.as_ref());
    let mut out = io::stdout().lock();
    let is_terminal = out.is_terminal();
    let mut head = "\x1b[2J";
    loop {
        let shown = if is_terminal {
            head.to_owned() + &drawn(&page, terminal::size().unwrap_or(USUAL_SIZE))
        } else {
            page + "\n"
        };
        head = "";
        out.write_all(shown.as_bytes())?;
        out.flush()?;
        std::thread::sleep(EVERY);
        page = ask(store).map_or_else(|failure| failure.text + "\n", |status| to_text(&status));
    }
}

/// The page over whatever stands on the screen: nothing is cleared before, so that nothing flickers. Characters that
/// are wider than one column are cut at the edge by the terminal.
fn drawn(page: &str, (columns, rows): (usize, usize)) -> String {
    let lines = fitted(page, columns, rows.saturating_sub(1).max(1));
    let lines: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
    format!("\x1b[?7l\x1b[H{lines}\x1b[J\x1b[?7h")
}

/// The page in lines of at most so many characters, and at most so many lines; the last one tells what is left out.
fn fitted(page: &str, columns: usize, rows: usize) -> Vec<String> {
    let mut lines: Vec<String> = page.lines().flat_map(|line| wrapped(line, columns)).collect();
    if lines.len() > rows {
        let left_out = lines.len() - (rows - 1);
        lines.truncate(rows - 1);
        let text = format!("({left_out} more lines: make the window larger)");
        lines.push(text.chars().take(columns).collect());
    }
    lines
}

/// A line broken at spaces, the later parts behind the first column; a word that is too long is cut.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let indent = if columns > 2 * INDENT { INDENT } else { 0 };
    let mut lines = vec![];
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > columns {
        let first = if lines.is_empty() { 0 } else { indent };
        let text_begins = rest.iter().skip(first).position(|c| *c != ' ').map_or(first, |at| first + at);
        let space = (text_begins + 1..=columns).rev().find(|at| rest[*at] == ' ');
        let at = space.unwrap_or(columns);
        let tail = rest.split_off(at);
        lines.push(rest.iter().collect::<String>().trim_end().to_owned());
        let tail = tail.into_iter().skip_while(|c| *c == ' ');
        rest = std::iter::repeat_n(' ', indent).chain(tail).collect();
    }
    lines.push(rest.into_iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_words_that_are_too_long_are_cut() {
        assert_eq!(wrapped("Server     a.example online", 40), ["Server     a.example online"]);
        assert_eq!(
            wrapped("Server     the server does not answer", 25),
            ["Server     the server", "           does not", "           answer"]
        );
        let long = wrapped(&"x".repeat(60), 25);
        assert_eq!(long.iter().map(|line| line.len()).collect::<Vec<_>>(), [25, 25, 25, 7 + INDENT]);
        assert_eq!(wrapped("a b c", 1), ["a", "b", "c"]);
        assert_eq!(wrapped("", 80), [""]);
        let words = "word ".repeat(50);
        assert!(
            (1..120).all(|columns| wrapped(&words, columns).iter().all(|l| l.chars().count() <= columns))
        );
    }

    #[test]
    fn a_page_never_scrolls_the_screen() {
        let page = "one\ntwo\nthree\nfour\n";
        assert_eq!(fitted(page, 80, 4), ["one", "two", "three", "four"]);
        assert_eq!(fitted(page, 80, 3), ["one", "two", "(2 more lines: make the window larger)"]);
        assert_eq!(fitted(page, 10, 1), ["(4 more li"]);
        assert_eq!(drawn("a\n", (80, 1)), "\x1b[?7l\x1b[Ha\x1b[K\n\x1b[J\x1b[?7h");
    }
}
