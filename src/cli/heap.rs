//! How the C library gives memory back. Pictures come and go in megabytes; left to itself glibc soon keeps such blocks
//! in its heap instead of returning them, which cost 8 MB of 47 at 1080p.
#![allow(unsafe_code)]

/// Blocks of this many bytes and more are returned to the kernel as soon as they are free. Frames that are encoded one
/// after the other come from pools and are not made anew.
#[cfg(target_env = "gnu")]
const RETURNED: libc::c_int = 256 * 1024;

/// Sets it for the process; to be called first.
pub(super) fn settle() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt only changes how later requests are served; no other thread runs yet.
        let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, RETURNED) };
        debug_assert_eq!(done, 1);
    }
}
