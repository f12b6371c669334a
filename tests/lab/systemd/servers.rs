//! The real hbbs and hbbr beside the guest, on an address that `tests/lab/long/systemd.sh` makes for them.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::support::procs::Proc;

/// Reached by the guest through QEMU's network, and by the controller.
pub const SERVER: &str = "10.77.0.1";

/// How often it is looked whether a server listens.
const LOOK: Duration = Duration::from_millis(100);

pub struct Servers {
    _hbbs: Proc,
    _hbbr: Proc,
    _dir: tempfile::TempDir,
    key: String,
}

impl Servers {
    /// From `KVMDESK_HBBS` and `KVMDESK_HBBR`.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let start = |name: &str, args: &[&str]| {
            let program = std::env::var_os(name).unwrap_or_else(|| panic!("{name} names no server program"));
            let mut command = Command::new(program);
            command.args(args).current_dir(dir.path());
            Proc::spawn(command)
        };
        let hbbs = start("KVMDESK_HBBS", &["-r", SERVER]);
        let until = Instant::now() + PATIENCE;
        let key = loop {
            let key = fs::read_to_string(dir.path().join("id_ed25519.pub")).unwrap_or_default();
            if !key.is_empty() && TcpStream::connect((SERVER, 21116)).is_ok() {
                break key.trim().to_owned();
            }
            assert!(Instant::now() < until, "hbbs does not listen: {}", hbbs.output());
            std::thread::sleep(LOOK);
        };
        let hbbr = start("KVMDESK_HBBR", &[]);
        while TcpStream::connect((SERVER, 21117)).is_err() {
            assert!(Instant::now() < until, "hbbr does not listen: {}", hbbr.output());
            std::thread::sleep(LOOK);
        }
        Self { _hbbs: hbbs, _hbbr: hbbr, _dir: dir, key }
    }

    /// hbbs's public key, as users paste it.
    pub fn key(&self) -> &str {
        &self.key
    }
}
