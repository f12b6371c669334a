//! `poll(2)` with a deadline, and the waker that ends it: the only way the writer thread ever blocks.
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Waits until one of `fds` is readable (or in error), or `timeout` is over; `None` waits for ever. Returns which
/// are. An interruption by a signal counts as nothing readable.
///
/// # Errors
/// What `poll(2)` says other than `EINTR`.
pub(super) fn wait_readable<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut entries = fds.map(|fd| libc::pollfd {
        // A negative descriptor is skipped by the kernel.
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    // Rounded up, so that a deadline has passed when the call returns for it.
    let milliseconds =
        timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: `entries` is an array of N valid pollfd structures that outlives the call, and N is passed with it;
    // the descriptors are borrowed for the whole call.
    let result = unsafe { libc::poll(entries.as_mut_ptr(), N as libc::nfds_t, milliseconds) };
    if result < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok([false; N]) } else { Err(error) };
    }
    Ok(entries.map(|entry| entry.revents != 0))
}

/// Wakes the thread from anywhere; never blocks.
#[derive(Debug)]
pub(super) struct Waker {
    stream: UnixStream,
    is_woken: AtomicBool,
}

/// The sleeping end of a [`Waker`].
#[derive(Debug)]
pub(super) struct Sleeper {
    stream: UnixStream,
}

/// A connected pair.
///
/// # Errors
/// No descriptors left.
pub(super) fn waker() -> io::Result<(Waker, Sleeper)> {
    let (a, b) = UnixStream::pair()?;
    a.set_nonblocking(true)?;
    b.set_nonblocking(true)?;
    Ok((Waker { stream: a, is_woken: AtomicBool::new(false) }, Sleeper { stream: b }))
}

impl Waker {
    /// One byte at most is under way, so the socket is never full.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let _ = (&self.stream).write(&[1]);
        }
    }

    /// Called by the thread before it looks for news: whatever comes after wakes it again.
    pub(super) fn rearm(&self, sleeper: &Sleeper) {
        let mut bytes = [0; 16];
        while matches!((&sleeper.stream).read(&mut bytes), Ok(n) if n > 0) {}
        // Read and write in one: what was sent before a wake that found the flag up is seen by the caller.
        self.is_woken.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
