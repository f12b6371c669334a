//! Asks for a secret on the terminal, with the echo off while it is typed (termios(3)), and knows the terminal's size.
#![allow(unsafe_code, reason = "tcgetattr, tcsetattr and one ioctl")]

use std::io::{self, BufRead as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;

/// Puts the terminal back as it was.
struct Echo(libc::termios);

impl Drop for Echo {
    fn drop(&mut self) {
        // SAFETY: descriptor 0 is open as long as the process reads it; the structure is one that tcgetattr filled.
        unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSANOW, &self.0) };
    }
}

fn without_echo() -> io::Result<Echo> {
    let mut before = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: tcgetattr fills the whole structure when it returns 0.
    let before = unsafe {
        if libc::tcgetattr(io::stdin().as_raw_fd(), before.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        before.assume_init()
    };
    let mut quiet = before;
    quiet.c_lflag &= !libc::ECHO;
    // SAFETY: `quiet` is a valid structure, changed in one flag.
    if unsafe { libc::tcsetattr(io::stdin().as_raw_fd(), libc::TCSAFLUSH, &quiet) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Echo(before))
}

/// One line from the terminal, its newline included, not shown while it is typed.
///
/// # Errors
/// Standard input is no terminal, or it ended.
pub fn ask_hidden(prompt: &str) -> io::Result<String> {
    let echo = without_echo()?;
    eprint!("{prompt}");
    io::stderr().flush()?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    drop(echo);
    eprintln!();
    if read? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}

/// Columns and rows of the terminal on standard output; `None` if it is none, or does not say (a serial line).
pub fn size() -> Option<(usize, usize)> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: TIOCGWINSZ fills the structure when it returns 0; all bit patterns are valid.
    let size = unsafe {
        if libc::ioctl(io::stdout().as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}
