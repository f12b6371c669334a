//! Waking a thread that blocks in poll(2): a socket pair whose one end is polled together with the device.
#![allow(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "an edge: deadlines of poll(2) are real time")]

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Wakes the thread that holds the other end. Signals that are not taken yet are one signal.
#[derive(Debug)]
pub struct WakeSender(UnixStream);

/// The end that is polled.
#[derive(Debug)]
pub struct WakeReceiver(UnixStream);

/// What poll(2) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// `revents` of the device, 0 if none was given or nothing happened.
    pub device: i16,
    /// Whether the wake signal came; it is taken.
    pub is_woken: bool,
}

/// A connected pair.
///
/// # Errors
/// When the process is out of file descriptors.
pub fn pair() -> std::io::Result<(WakeSender, WakeReceiver)> {
    let (a, b) = UnixStream::pair()?;
    a.set_nonblocking(true)?;
    b.set_nonblocking(true)?;
    Ok((WakeSender(a), WakeReceiver(b)))
}

impl WakeSender {
    /// Wakes the other end; never blocks. A full pipe is a signal already given.
    pub fn wake(&self) {
        let _ = (&self.0).write(&[1]);
    }
}

impl AsRawFd for WakeReceiver {
    /// For a poll(2) of one's own: readable when there is a signal to [take](WakeReceiver::take).
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl WakeReceiver {
    /// Takes all signals given so far; true if there was one, or if the other end is gone.
    pub fn take(&self) -> bool {
        let (mut any, mut buffer) = (false, [0; 64]);
        loop {
            match (&self.0).read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => any = true,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return any,
            }
        }
    }

    /// Waits for `device` (descriptor and poll events), a signal or `until`.
    pub fn poll(&self, device: Option<(RawFd, i16)>, until: Instant) -> Ready {
        let (fd, events) = device.unwrap_or((-1, 0));
        let mut fds = [
            libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 },
            libc::pollfd { fd, events, revents: 0 },
        ];
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a wait that ends just before its deadline would spin.
        let millis = left.saturating_add(Duration::from_micros(999)).as_millis().min(60_000) as i32;
        // SAFETY: `fds` is an initialised array of two pollfd and lives through the call; a negative descriptor
        // is ignored by poll(2).
        let result = unsafe { libc::poll(fds.as_mut_ptr(), 2, millis) };
        if result <= 0 {
            return Ready::default();
        }
        let is_woken = fds[0].revents != 0 && self.take();
        Ready { device: fds[1].revents, is_woken }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_signals_are_one() {
        let (sender, receiver) = pair().unwrap();
        assert!(!receiver.take());
        for _ in 0..100_000 {
            sender.wake();
        }
        assert!(receiver.poll(None, Instant::now() + Duration::from_secs(20)).is_woken);
        assert_eq!(receiver.poll(None, Instant::now()), Ready::default());
    }
}
