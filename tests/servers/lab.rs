//! Namespaces, servers and threads that live in a namespace.
#![allow(unsafe_code, reason = "a thread enters a namespace by setns(2)")]

use std::fs::{self, File};
use std::future::Future;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// hbbs, as the namespaces see it.
pub const HBBS: &str = "10.77.0.1:21116";
/// hbbr's WebSocket port.
pub const HBBR_WS: &str = "10.77.0.1:21119";
/// hbbr.
pub const HBBR: &str = "10.77.0.1:21117";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace of a lab.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    Servers,
    Device,
    Controller,
}

pub struct Lab {
    tag: String,
    dir: tempfile::TempDir,
    hbbs_path: PathBuf,
    hbbs: Option<Child>,
    hbbr: Option<Child>,
}

impl Lab {
    /// Namespaces, hbbs (with the key it makes, required) and hbbr; `relay_wants_key` makes hbbr require it too.
    pub fn start(relay_wants_key: bool) -> Result<Self, String> {
        let path = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).ok_or(format!("{name} does not name a server program"))
        };
        let (hbbs_path, hbbr_path) = (path("KVMDESK_HBBS")?, path("KVMDESK_HBBR")?);
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            return Err("network namespaces need root".into());
        }
        if Command::new("ip").arg("-V").output().is_err() {
            return Err("the program `ip` (iproute2) is not installed".into());
        }
        let tag = format!("kvd{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut lab = Self { tag, dir, hbbs_path, hbbs: None, hbbr: None };
        lab.build();
        lab.start_hbbs();
        let mut hbbr = lab.command(Place::Servers, hbbr_path.to_str().unwrap());
        if relay_wants_key {
            hbbr.args(["-k", "_"]);
        }
        lab.hbbr = Some(lab.spawn(hbbr));
        lab.wait_for(HBBR);
        Ok(lab)
    }

    pub fn name(&self, place: Place) -> String {
        let letter = match place {
            Place::Servers => 's',
            Place::Device => 'b',
            Place::Controller => 'a',
        };
        format!("{}{letter}", self.tag)
    }

    fn build(&self) {
        let s = self.name(Place::Servers);
        ip(&["netns", "add", &s]);
        ip(&["-n", &s, "link", "set", "lo", "up"]);
        ip(&["-n", &s, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &s, "addr", "add", "10.77.0.1/24", "dev", "br0"]);
        ip(&["-n", &s, "link", "set", "br0", "up"]);
        for (place, address) in [(Place::Device, "10.77.0.2/24"), (Place::Controller, "10.77.0.3/24")] {
            let ns = self.name(place);
            ip(&["netns", "add", &ns]);
            ip(&["-n", &ns, "link", "set", "lo", "up"]);
            let port = if place == Place::Device { "vb" } else { "va" };
            // Made inside the namespaces: nothing ever shows in the machine's own.
            ip(&["-n", &ns, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", &s]);
            ip(&["-n", &ns, "addr", "add", address, "dev", "eth0"]);
            ip(&["-n", &ns, "link", "set", "eth0", "up"]);
            ip(&["-n", &s, "link", "set", port, "master", "br0", "up"]);
        }
    }

    fn command(&self, place: Place, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(place), program]).current_dir(self.dir.path());
        command
    }

    fn spawn(&self, mut command: Command) -> Child {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("servers.log")
    }

    /// What hbbr says about meetings.
    pub fn relay_log(&self) -> RelayLog {
        RelayLog { path: self.log_path() }
    }

    pub fn start_hbbs(&mut self) {
        let hbbs = self.command(Place::Servers, self.hbbs_path.to_str().unwrap());
        self.hbbs = Some(self.spawn(hbbs));
        self.wait_for(HBBS);
    }

    pub fn stop_hbbs(&mut self) {
        end(&mut self.hbbs);
    }

    fn wait_for(&self, address: &'static str) {
        let log = self.log_path();
        self.run(Place::Controller, async move {
            let address: SocketAddr = address.parse().unwrap();
            let end = Instant::now() + Duration::from_secs(60);
            while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
                let log = fs::read_to_string(&log).unwrap_or_default();
                assert!(Instant::now() < end, "no server at {address}:\n{log}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// hbbs's public key: what users paste, and the licence key.
    pub fn key(&self) -> String {
        fs::read_to_string(self.dir.path().join("id_ed25519.pub")).unwrap().trim().to_owned()
    }

    /// Starts a future on a thread of its own, in a namespace.
    pub fn spawn_in<T: Send + 'static>(
        &self,
        place: Place,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let name = self.name(place);
        std::thread::spawn(move || {
            enter(&name);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
        })
    }

    /// Runs a future in a namespace to its end.
    pub fn run<T: Send + 'static>(
        &self,
        place: Place,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.spawn_in(place, future).join().unwrap_or_else(|e| std::panic::resume_unwind(e))
    }
}

/// hbbr's log. Of two sides that come in the same moment hbbr loses one (it looks for a partner and parks under
/// separate locks), so that tests wait until the first is parked.
#[derive(Clone)]
pub struct RelayLog {
    path: PathBuf,
}

impl RelayLog {
    pub async fn parked(&self, uuid: &str) {
        let line = format!("New relay request {uuid} from");
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let log = fs::read_to_string(&self.path).unwrap_or_default();
            if log.contains(&line) {
                return;
            }
            assert!(Instant::now() < end, "nobody came to the relay:\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        end(&mut self.hbbs);
        end(&mut self.hbbr);
        for place in [Place::Controller, Place::Device, Place::Servers] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(place)]).status();
        }
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        // `ip netns exec` replaces itself by the program: this is the server.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().unwrap();
    assert!(done.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr));
}

/// Moves this thread into a namespace, with its own view of /sys (as `ip netns exec` gives it).
fn enter(name: &str) {
    let file = File::open(format!("/var/run/netns/{name}")).unwrap();
    // SAFETY: plain calls with a valid descriptor and NUL-terminated strings; they concern this thread alone.
    unsafe {
        assert_eq!(libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET), 0);
        assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
        let flags = libc::MS_REC | libc::MS_SLAVE;
        assert_eq!(
            libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()),
            0
        );
        let fs = c"sysfs".as_ptr();
        assert_eq!(libc::mount(fs, c"/sys".as_ptr(), fs, libc::MS_RDONLY, std::ptr::null()), 0);
    }
}
