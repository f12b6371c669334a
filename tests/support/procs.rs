//! Runs the built `kvmdesk` binary: output is collected line by line, the process ends with its owner.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A running process; dropping it kills it.
pub struct Proc {
    child: Child,
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Proc {
    /// Starts `kvmdesk` with arguments, `HOME` and temporary files inside `dir`.
    pub fn kvmdesk(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvmdesk"));
        command.args(args).current_dir(dir).env("HOME", dir).env_remove("RUST_LOG");
        Self::spawn(command)
    }

    /// Starts any command, standard output and error collected together.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let lines = Arc::new((Mutex::new(vec![]), Condvar::new()));
        let out = child.stdout.take().unwrap();
        let err = child.stderr.take().unwrap();
        collect(out, Arc::clone(&lines));
        collect(err, Arc::clone(&lines));
        Self { child, lines }
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line (of either output, also one that came already) for which `found` answers.
    ///
    /// # Panics
    /// None came in time; shows what came instead.
    pub fn wait_for_line<T>(&self, timeout: Duration, mut found: impl FnMut(&str) -> Option<T>) -> T {
        let until = Instant::now() + timeout;
        let (lines, changed) = &*self.lines;
        let mut guard = lines.lock().unwrap();
        let mut looked_at = 0;
        loop {
            while looked_at < guard.len() {
                if let Some(got) = found(&guard[looked_at]) {
                    return got;
                }
                looked_at += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the line did not come; came:\n{}", guard.join("\n"));
            guard = changed.wait_timeout(guard, left).unwrap().0;
        }
    }

    /// Everything printed so far.
    pub fn output(&self) -> String {
        self.lines.0.lock().unwrap().join("\n")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end (SIGTERM), by the shell's own `kill`: the program of that name is not on every machine.
    ///
    /// # Panics
    /// The signal could not be sent.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, named as for `kill -s`.
    ///
    /// # Panics
    /// The signal could not be sent.
    pub fn signal(&self, name: &str) {
        let told = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.child.id())]).status();
        assert!(told.is_ok_and(|status| status.success()), "the process could not be told");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It did not end in time.
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the process did not end; it said:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Resident memory in bytes, from `/proc/PID/statm`.
    ///
    /// # Panics
    /// The process is gone.
    pub fn resident_bytes(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
        pages * 4096
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<(Mutex<Vec<String>>, Condvar)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.0.lock().unwrap().push(line);
            into.1.notify_all();
        }
    });
}
