//! The scheduler's interface (sched(7)), and the allocator's.
#![allow(unsafe_code)]

/// How far behind all others, up to 19 (kernel: `setpriority(2)`). So far that it takes a quarter of a core that is full:
/// whoever comes to need the same encoder waits for it.
const NICE: libc::c_int = 5;

/// Lets every other thread go before the calling one. On Linux the niceness belongs to the thread, and those that it
/// starts inherit it.
pub(super) fn give_way() {
    // SAFETY: takes numbers only; `0` is the calling thread.
    let code = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    if code != 0 {
        tracing::debug!(error = %std::io::Error::last_os_error(), "a thread keeps its priority");
    }
}

/// Gives memory back that was needed once: an encoder that was only checked leaves tens of megabytes.
pub(super) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: works on the allocator's own state, under its locks (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
