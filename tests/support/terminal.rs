//! Pseudo-terminals: a device's two ends without the device. Neither end ever blocks.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::PathBuf;

/// The far end of a new one, and the path of its near end, which is a terminal for people until someone sets it.
pub fn terminal() -> (File, PathBuf) {
    // SAFETY: plain calls with flags only; the result is checked before it becomes an owned descriptor.
    let fd =
        unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: `fd` was just opened and nobody else owns it.
    let end = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let mut name = [0u8; 64];
    // SAFETY: the descriptor is open and `name` is as long as said.
    unsafe {
        assert_eq!(libc::grantpt(fd), 0);
        assert_eq!(libc::unlockpt(fd), 0);
        assert_eq!(libc::ptsname_r(fd, name.as_mut_ptr().cast(), name.len()), 0);
    }
    let name = name.split(|b| *b == 0).next().unwrap();
    (end, PathBuf::from(String::from_utf8(name.to_vec()).unwrap()))
}

/// The same, passing every byte as it is.
pub fn raw_terminal() -> (File, PathBuf) {
    let (end, path) = terminal();
    // SAFETY: the descriptor is open, and `termios` is a plain structure that tcgetattr fills before the others use it.
    unsafe {
        let mut termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(end.as_raw_fd(), &mut termios), 0);
        libc::cfmakeraw(&mut termios);
        assert_eq!(libc::tcsetattr(end.as_raw_fd(), libc::TCSANOW, &termios), 0);
    }
    (end, path)
}
