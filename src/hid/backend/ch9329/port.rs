//! The serial line: raw, eight bits, no parity, never blocking, ours alone.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An open line.
#[derive(Debug)]
pub(super) struct Port {
    file: File,
}

impl Port {
    /// Opens it, not yet at any particular rate.
    ///
    /// # Errors
    /// The device is missing, closed to us, taken by another program, or no serial line.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .map_err(named)?;
        // SAFETY: the descriptor is open; the call takes no pointer.
        check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TIOCEXCL) }).map_err(named)?;
        Ok(Self { file })
    }

    /// Sets the rate; what waits unread is thrown away.
    ///
    /// # Errors
    /// A rate other than 9600 and 115200, or what the system says.
    pub(super) fn set_baud(&mut self, rate: u32) -> io::Result<()> {
        let speed = match rate {
            9600 => libc::B9600,
            115_200 => libc::B115200,
            rate => return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no baud rate {rate}"))),
        };
        let fd = self.file.as_raw_fd();
        // SAFETY: `termios` is a plain structure, for which zero is valid; tcgetattr fills it before the others read
        // it, and it lives until the last call.
        unsafe {
            let mut termios: libc::termios = std::mem::zeroed();
            check(libc::tcgetattr(fd, &mut termios))?;
            libc::cfmakeraw(&mut termios);
            termios.c_cflag |= libc::CLOCAL | libc::CREAD;
            termios.c_cflag &= !(libc::CSTOPB | libc::CRTSCTS);
            check(libc::cfsetispeed(&mut termios, speed))?;
            check(libc::cfsetospeed(&mut termios, speed))?;
            check(libc::tcsetattr(fd, libc::TCSANOW, &termios))?;
            check(libc::tcflush(fd, libc::TCIFLUSH))
        }
    }

    /// Reads what is there; 0 is nothing now.
    ///
    /// # Errors
    /// The line is gone.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.file.read(bytes) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the serial line is gone")),
            Ok(n) => Ok(n),
            Err(error) if is_later(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Writes a frame. What the line does not take is lost, and the chip's silence tells.
    ///
    /// # Errors
    /// The line is gone.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write(bytes) {
            Ok(_) => Ok(()),
            Err(error) if is_later(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
