//! The lab's guest: boots it, runs scripts in it, reads what its computer's evdev nodes said.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::procs::Proc;

/// For whatever the guest does: emulated, on a loaded machine. Nothing is asserted about speed.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Says a line even where the test runner collects output.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "lab: {line}");
}

/// The running guest; dropping it ends it.
pub struct Machine {
    console: Proc,
    share: Arc<tempfile::TempDir>,
    command_port: u16,
    direct_port: u16,
}

impl Machine {
    /// Boots a guest with the program under test on it, and what else `mkinitrd.sh` puts in: plugins of GStreamer by their
    /// names, the libraries of programs by their paths.
    ///
    /// # Errors
    /// A sentence about what is missing on this machine.
    pub fn boot(more: &[&Path]) -> Result<Self, String> {
        let arch = std::env::var("KVMDESK_LAB_ARCH").unwrap_or_else(|_| "amd64".into());
        let emulator = match arch.as_str() {
            "arm64" => "qemu-system-aarch64",
            _ => "qemu-system-x86_64",
        };
        need(&[emulator, "cpio", "depmod", "readelf", "apt-get"], "sh packaging/install-deps.sh test")?;
        let program = std::env::var("KVMDESK_LAB_PROGRAM")
            .map_or_else(|_| PathBuf::from(env!("CARGO_BIN_EXE_kvmdesk")), PathBuf::from);
        let share = tempfile::tempdir().map_err(|e| e.to_string())?;
        let initrd = share.path().join("initrd.gz");
        script(&arch, "get.sh", &[])?;
        let arguments = [&[initrd.as_path(), &program], more].concat();
        script(&arch, "mkinitrd.sh", &arguments)?;
        put_program(&program, &share.path().join("kvmdesk"))?;

        let [command_port, direct_port] = free_ports().map_err(|e| e.to_string())?;
        let mut run = Command::new(lab().join("run.sh"));
        run.env("ARCH", &arch)
            .arg(&initrd)
            .arg(share.path())
            .arg(format!("{command_port}:7000"))
            .arg(format!("{direct_port}:21118"));
        let console = Proc::spawn(run);
        Ok(Self { console, share: Arc::new(share), command_port, direct_port }.wait_until_ready())
    }

    fn wait_until_ready(self) -> Self {
        self.console.wait_for_line(PATIENCE, |line| line.contains("lab: ready").then_some(()));
        self
    }

    /// Tells it to power off or to boot again, and waits until it has gone: QEMU ends in both cases.
    pub fn end(mut self, script: &str) {
        self.run(script);
        self.console.wait(PATIENCE);
    }

    /// Where the daemon's direct access is reached.
    pub fn direct_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.direct_port).into()
    }

    /// The directory that the guest sees as `/host`.
    pub fn share(&self) -> &Path {
        self.share.path()
    }

    /// Puts a program into the directory that the guest sees as `/host`.
    #[cfg(feature = "gstreamer")]
    pub fn put(&self, program: &Path, name: &str) {
        put_program(program, &self.share.path().join(name)).unwrap();
    }

    /// What the guest said on its console.
    pub fn console(&self) -> String {
        self.console.output()
    }

    /// Runs a script in the guest; gives its output and exit status.
    pub fn try_run(&self, script: &str) -> (String, i32) {
        let talk = || -> io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.command_port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(script.as_bytes())?;
            stream.write_all(&[0])?;
            let mut answer = vec![];
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        let answer = talk().unwrap_or_else(|e| panic!("the guest does not answer to {script:?}: {e}"));
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (output, status) =
            text.rsplit_once('\0').unwrap_or_else(|| panic!("{script:?} ended without a status: {text}"));
        (output.to_owned(), status.parse().unwrap())
    }

    /// Runs a script that has to succeed; gives its output.
    pub fn run(&self, script: &str) -> String {
        let (output, status) = self.try_run(script);
        assert_eq!(status, 0, "{script:?} in the guest said:\n{output}");
        output
    }

    /// Runs a script until its output fits.
    pub fn wait_for(&self, script: &str, mut fits: impl FnMut(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let (output, _) = self.try_run(script);
            if fits(&output) {
                return output;
            }
            assert!(Instant::now() < until, "{script:?} in the guest never fitted, at last:\n{output}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A guest with Debian and systemd on a disk, that is booted again and again (`systemd/mkdisk.sh`).
pub struct Installed {
    arch: String,
    share: Arc<tempfile::TempDir>,
}

/// How such a guest is booted.
pub struct Boot<'a> {
    /// What its clock shows at first, as in QEMU's `-rtc base`.
    pub clock: &'a str,
    /// Whether the cable of its network is plugged in.
    pub is_networked: bool,
}

impl Installed {
    /// Makes its disk.
    ///
    /// # Errors
    /// A sentence about what is missing on this machine.
    pub fn make() -> Result<Self, String> {
        let arch = std::env::var("KVMDESK_LAB_ARCH").unwrap_or_else(|_| "amd64".into());
        need(&["debootstrap", "mke2fs"], "apt-get install debootstrap e2fsprogs")?;
        let share = tempfile::tempdir().map_err(|e| e.to_string())?;
        script(&arch, "get.sh", &[])?;
        script(&arch, "systemd/mkdisk.sh", &[&share.path().join("disk"), &share.path().join("initrd.gz")])?;
        Ok(Self { arch, share: Arc::new(share) })
    }

    /// The directory that the guest sees as `/host`.
    pub fn share(&self) -> &Path {
        self.share.path()
    }

    /// Boots it; what it was left like is on its disk.
    pub fn boot(&self, boot: &Boot<'_>) -> Machine {
        let [command_port, direct_port] = free_ports().unwrap();
        let file = |name: &str| self.share.path().join(name);
        let _ = fs::remove_file(file("monitor"));
        let mut run = Command::new(lab().join("run.sh"));
        run.env("ARCH", &self.arch)
            .env("KVMDESK_LAB_DISK", file("disk"))
            .env("KVMDESK_LAB_CLOCK", boot.clock);
        run.env("KVMDESK_LAB_WAITS", "1")
            .arg(file("initrd.gz"))
            .arg(self.share.path())
            .arg(format!("{command_port}:7000"));
        let machine =
            Machine { console: Proc::spawn(run), share: Arc::clone(&self.share), command_port, direct_port };
        machine.plug_network(boot.is_networked);
        machine.monitor("cont");
        machine.wait_until_ready()
    }
}

impl Machine {
    /// Plugs the cable of an installed guest's network, or pulls it.
    pub fn plug_network(&self, is_plugged: bool) {
        self.monitor(&format!("set_link board {}", if is_plugged { "on" } else { "off" }));
    }

    /// Gives QEMU's monitor a command, and waits until it took it.
    fn monitor(&self, command: &str) {
        let until = Instant::now() + PATIENCE;
        let mut stream = loop {
            match UnixStream::connect(self.share.path().join("monitor")) {
                Ok(stream) => break stream,
                Err(e) => assert!(Instant::now() < until, "no monitor: {e}; {}", self.console()),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let until_prompt = |stream: &mut UnixStream| {
            let mut said = vec![];
            while !said.ends_with(b"\n(qemu) ") {
                let mut byte = [0];
                assert_eq!(stream.read(&mut byte).unwrap(), 1, "the monitor ended at {command:?}");
                said.push(byte[0]);
            }
        };
        until_prompt(&mut stream);
        stream.write_all(format!("{command}\n").as_bytes()).unwrap();
        until_prompt(&mut stream);
    }
}

/// One evdev event: type, code, value.
pub type Event = (u16, u16, i32);

/// What one evdev node of the computer says, read on from where the last reading stopped.
pub struct Recording<'a> {
    machine: &'a Machine,
    file: String,
    lines_read: usize,
}

impl<'a> Recording<'a> {
    /// Records the node of HID function `number` from now on, over unplugging too.
    pub fn start(machine: &'a Machine, number: u8) -> Self {
        Self::of(machine, &number.to_string(), "")
    }

    /// The same of a device that a program in the guest made, by the end of its name.
    pub fn start_own(machine: &'a Machine, name: &str) -> Self {
        Self::of(machine, "uinput", name)
    }

    fn of(machine: &'a Machine, function: &str, name: &str) -> Self {
        machine.run(&format!("lab record {function} {name}"));
        Self { machine, file: format!("/tmp/events.{function}{name}"), lines_read: 1 }
    }

    /// What came since the last reading that was enough. Lines that are no events are notes of the recorder.
    fn new_lines(&self) -> Vec<String> {
        let text = self.machine.run(&format!("tail -n +{} {}", self.lines_read + 1, self.file));
        whole_lines(&text)
    }

    /// The events since the last reading, when they are enough; `None` if they are not yet.
    pub fn take_if(&mut self, is_enough: impl Fn(&[Event]) -> bool) -> Option<Vec<Event>> {
        let lines = self.new_lines();
        let events: Vec<Event> = lines.iter().filter_map(|line| parse_event(line)).collect();
        if !is_enough(&events) {
            return None;
        }
        self.lines_read += lines.len();
        Some(events)
    }

    /// Everything that came since the last reading, the recorder's notes too; and then what a script said.
    pub fn take_lines(&mut self, script: &str) -> (Vec<String>, String) {
        const BETWEEN: &str = "\n#\n";
        let look = format!("tail -n +{} {}; printf '\\n#\\n'; {script}", self.lines_read + 1, self.file);
        let said = self.machine.run(&look);
        let (text, said) = said.split_once(BETWEEN).unwrap();
        let lines = whole_lines(text);
        self.lines_read += lines.len();
        (lines, said.to_owned())
    }

    /// How often the recorder has begun to listen since the last reading: more than 0 after a replug.
    pub fn relistened(&self) -> usize {
        self.new_lines().iter().filter(|line| *line == "# listening").count()
    }
}

/// The lines of a text. Behind the last line's end is nothing, or a line that is still being written.
fn whole_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    lines.pop();
    lines
}

/// A line of a recording, unless it is a note.
pub fn parse_event(line: &str) -> Option<Event> {
    let mut numbers = line.split(' ').map(str::parse::<i32>);
    let mut next = || numbers.next()?.ok();
    Some((u16::try_from(next()?).ok()?, u16::try_from(next()?).ok()?, next()?))
}

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab")
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).any(|dir| Path::new(dir).join(tool).exists())
}

/// Says which program is missing, and what brings it.
fn need(tools: &[&str], remedy: &str) -> Result<(), String> {
    match tools.iter().find(|tool| !is_installed(tool)) {
        Some(tool) => Err(format!("{tool} is not installed ({remedy})")),
        None => Ok(()),
    }
}

/// Runs one of the lab's scripts to its end.
fn script(arch: &str, name: &str, args: &[&Path]) -> Result<(), String> {
    let out = Command::new(lab().join(name))
        .args(args)
        .env("ARCH", arch)
        .output()
        .map_err(|e| format!("{name}: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(format!("{name} failed: {}", said.trim().replace('\n', "; ")))
}

/// Copies the program, without its debug information where `strip` knows it: the guest reads it through emulation.
fn put_program(from: &Path, to: &Path) -> Result<(), String> {
    let is_stripped =
        Command::new("strip").arg("-o").arg(to).arg(from).output().is_ok_and(|out| out.status.success());
    if !is_stripped {
        fs::copy(from, to).map_err(|e| format!("{}: {e}", from.display()))?;
    }
    Ok(())
}

/// Ports that nobody listens on. Both are held until both are known, so that they differ.
fn free_ports() -> io::Result<[u16; 2]> {
    let one = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let two = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([one.local_addr()?.port(), two.local_addr()?.port()])
}
