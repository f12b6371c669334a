//! What becomes of a command whose reader leaves, as in `kvmdesk check --show | head`.
#![allow(unsafe_code)]

/// From now on the process ends quietly when it prints to a pipe that nobody reads any more, as other commands do; Rust's
/// runtime ignores the signal, and `println!` panics then. Sockets are not affected: they are written with `MSG_NOSIGNAL`.
pub(super) fn end_with_its_reader() {
    // SAFETY: the default action is installed for one signal, before another thread runs; no handler of ours is involved.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
