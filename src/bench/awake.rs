//! Keeps the cores from halting: threads that the scheduler runs only where nothing else wants to (SCHED_IDLE, sched(7)).
//! To wake a core that halted takes a virtual machine longer than a key takes altogether, and says nothing of kvmdesk.
#![allow(unsafe_code, reason = "sched_setscheduler(2)")]

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// While it is there, no core halts.
pub(super) struct Awake {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Awake {
    /// One thread a core.
    ///
    /// # Errors
    /// The kernel gives no thread, or not this way of running it.
    pub(super) fn keep() -> std::io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let mut awake = Self { stop: Arc::new(AtomicBool::new(false)), threads: vec![] };
        let (tell, told) = std::sync::mpsc::channel();
        for _ in 0..cores {
            let (stop, tell) = (Arc::clone(&awake.stop), tell.clone());
            awake.threads.push(std::thread::Builder::new().name("bench-awake".to_owned()).spawn(
                move || {
                    let result = run_last();
                    let may_spin = result.is_ok();
                    // Nobody waits for it any more if another one failed.
                    let _ = tell.send(result);
                    while may_spin && !stop.load(Ordering::Relaxed) {
                        spin_loop();
                    }
                },
            )?);
        }
        told.iter().take(cores).collect::<std::io::Result<()>>()?;
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}

/// This thread runs only on a core that nothing else wants.
fn run_last() -> std::io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is this thread; the structure outlives the call, which only reads it.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const priority) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}
