//! What only the kernel's calls tell: the clock and whether it is kept right, and the room on a file system.
#![allow(unsafe_code, reason = "adjtimex(2), statvfs(3)")]
#![allow(clippy::disallowed_methods, reason = "an edge: the calendar time is looked at")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    /// Bytes that an ordinary user may still write.
    pub(super) free: u64,
    /// All bytes.
    pub(super) total: u64,
    /// Whether there is room for another file.
    pub(super) has_inodes: bool,
    /// Whether it is mounted read-only.
    pub(super) is_read_only: bool,
}

/// Now, in Unix seconds.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether some time service keeps the clock right; `None` if the kernel does not say.
pub(super) fn is_clock_synchronised() -> Option<bool> {
    let mut answer = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: all zeros are a valid timex with `modes` 0, which only asks; the call fills it and keeps no pointer.
    match unsafe { libc::adjtimex(answer.as_mut_ptr()) } {
        -1 => None,
        state => Some(state != libc::TIME_ERROR),
    }
}

/// The room where `path` is, or would be made.
///
/// # Errors
/// What statvfs(3) says, for instance that we may not look into a directory on the way.
pub(super) fn space(path: &Path) -> io::Result<Space> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let name = CString::new(there.as_os_str().as_bytes())?;
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` is a zero-terminated string that outlives the call; the structure is read only after the call said
    // that it filled it.
    let answer = unsafe {
        if libc::statvfs(name.as_ptr(), answer.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        answer.assume_init()
    };
    #[allow(clippy::unnecessary_cast, reason = "32 bits wide on some machines")]
    let [block, free, total, files, free_files] =
        [answer.f_frsize, answer.f_bavail, answer.f_blocks, answer.f_files, answer.f_favail]
            .map(|n| n as u64);
    Ok(Space {
        free: free.saturating_mul(block),
        total: total.saturating_mul(block),
        // Some file systems count none.
        has_inodes: files == 0 || free_files > 0,
        is_read_only: answer.f_flag & libc::ST_RDONLY != 0,
    })
}
