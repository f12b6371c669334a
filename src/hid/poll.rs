//! `poll(2)` with a deadline, and the waker that ends it: the only way the writer thread ever blocks.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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

/// Wakes the thread from anywhere; never blocks. An eventfd: a thread that waits for one runs in half the time that a
/// socket pair takes.
#[derive(Debug)]
pub(super) struct Waker {
    event: File,
    is_woken: AtomicBool,
}

/// The sleeping end of a [`Waker`].
#[derive(Debug)]
pub(super) struct Sleeper {
    event: File,
}

/// A connected pair.
///
/// # Errors
/// No descriptors left.
pub(super) fn waker() -> io::Result<(Waker, Sleeper)> {
    // SAFETY: the call takes no pointers; its result is checked before it is used.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let event = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let sleeper = Sleeper { event: event.try_clone()? };
    Ok((Waker { event, is_woken: AtomicBool::new(false) }, sleeper))
}

impl Waker {
    /// The counter grows by one a time at most until the thread takes it, so it is never full.
    pub(super) fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let _ = (&self.event).write(&1u64.to_ne_bytes());
        }
    }

    /// Called by the thread before it looks for news: whatever comes after wakes it again.
    pub(super) fn rearm(&self, sleeper: &Sleeper) {
        // One read takes the whole counter.
        let _ = (&sleeper.event).read(&mut [0; 8]);
        // Read and write in one: what was sent before a wake that found the flag up is seen by the caller.
        self.is_woken.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Sleeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
