//! Before setup: found by its address, dialled in clear with the one-time password, until somebody sets something.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;

use kvmdesk::agent::agent::{Agent, AgentOptions};
use kvmdesk::agent::control::{self, Answer, Request};
use kvmdesk::agent::reload::Reading;
use kvmdesk::agent::store::Store;
use kvmdesk::agent::{identity, password};
use kvmdesk::config::board::Boards;
use kvmdesk::config::file::{self, HidBackendName, VideoSource};
use kvmdesk::config::settings::{self, Overrides, Settings};
use kvmdesk::wire::message::hbb::rendezvous_message::Union;
use kvmdesk::wire::message::{decode_rendezvous, hbb};
use tokio::runtime::Runtime;

use crate::agent::{free_ports, wait_until};
use crate::support::controller::{Controller, LONG, Options};
use crate::support::procs::Proc;

/// A board as it is after the installation.
struct Board {
    dir: tempfile::TempDir,
    runtime: Runtime,
    agent: Option<Agent>,
}

impl Board {
    fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let mut board = Self { dir, runtime, agent: None };
        board.start_again(config);
        board
    }

    fn start_again(&mut self, config: &str) {
        self.stop();
        let options = AgentOptions {
            settings: self.settings(config),
            password: None,
            problems: vec![],
            board_root: self.dir.path().join("no-board"),
            well_known: free_ports(),
        };
        self.agent = Some(self.runtime.block_on(async { Agent::start(options) }).unwrap());
    }

    fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.runtime.block_on(agent.stop());
        }
    }

    fn settings(&self, config: &str) -> Settings {
        let flags = Overrides {
            state_dir: Some(self.dir.path().join("state")),
            video_source: Some(VideoSource::Pattern),
            hid_backend: Some(HidBackendName::Recording),
            ..Overrides::default()
        };
        let parsed = file::parse(Path::new("x"), config.to_owned()).unwrap();
        settings::resolve(&parsed, &Boards::default(), |_| None, &flags).unwrap()
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.dir.path().join("state")).unwrap()
    }

    fn reload(&self, config: &str) {
        let reading = Reading::Good { settings: Box::new(self.settings(config)), problems: vec![] };
        self.runtime.block_on(self.agent().reloader().take(reading));
    }

    fn is_set_up(&self) -> bool {
        *self.agent().set_up().borrow()
    }

    /// Where direct access is open.
    fn direct(&self) -> SocketAddr {
        let mut direct = self.agent().direct().expect("a way in");
        self.runtime.block_on(direct.wait_for(|s| s.is_open)).unwrap().address
    }

    /// The ID in the answer to the app's search.
    fn discovered_id(&self) -> String {
        let mut lan = self.agent().lan().expect("the search is answered");
        let at = self.runtime.block_on(lan.wait_for(|s| s.is_open)).unwrap().address;
        let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
        asker.set_read_timeout(Some(LONG)).unwrap();
        asker.send_to(b"\xb2\x01\x06\x0a\x04ping", at).unwrap();
        let mut buffer = [0; 500];
        let len = asker.recv(&mut buffer).unwrap();
        match decode_rendezvous(&buffer[..len]).unwrap().union {
            Some(Union::PeerDiscovery(hbb::PeerDiscovery { cmd, id, .. })) if cmd == "pong" => id,
            other => panic!("{other:?}"),
        }
    }

    /// What the app does with that ID, and the user with the console's password.
    fn dial(&self) -> Controller {
        let id: IpAddr = self.discovered_id().parse().expect("an address");
        let once = self.agent().one_time_password().borrow().clone().expect("one is shown");
        let options = Options { username: id.to_string(), ..Options::with_password(once.reveal()) };
        Controller::connect_direct((id, self.direct().port()), options).unwrap()
    }

    /// Both doors are closed, for good.
    #[track_caller]
    fn is_shut(&self, direct: SocketAddr) {
        wait_until(|| self.is_set_up() && self.agent().direct().is_none() && self.agent().lan().is_none());
        assert!(TcpStream::connect(direct).is_err());
        let problems = self.agent().status().problems;
        assert!(!problems.iter().any(|p| p.contains("not set up")), "{problems:?}");
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_new_board_is_found_dialled_and_seen_until_a_password_is_set_and_never_again() {
    let mut board = Board::start("");
    assert!(board.agent().status().problems.iter().any(|p| p.contains("not set up")));
    let mut app = board.dial();
    app.log_in().unwrap();
    assert!(app.first_picture(LONG).unwrap().is_keyframe);
    let direct = board.direct();

    let ask = |request| control::ask(&board.store().socket(), &request).unwrap();
    let salt = identity::load(&board.store()).unwrap().unwrap().salt;
    password::set(&board.store(), "correct horse", &salt).unwrap();
    assert!(matches!(ask(Request::ReloadPassword), Answer::Done { .. }));
    app.wait_for_end(LONG).unwrap();
    board.is_shut(direct);
    password::clear(&board.store()).unwrap();
    assert!(matches!(ask(Request::ReloadPassword), Answer::Done { .. }));
    board.reload("");
    board.is_shut(direct);
    board.start_again("");
    assert!(board.is_set_up() && board.agent().direct().is_none() && board.agent().lan().is_none());
}

#[test]
fn a_server_ends_it_too_for_those_who_are_in_and_those_who_are_about_to() {
    let board = Board::start("");
    let (direct, id) = (board.direct(), board.agent().id());
    let mut inside = board.dial();
    inside.log_in().unwrap();
    let mut at_the_door = board.dial();
    at_the_door.wait_for_hash(LONG).unwrap();
    // Nobody listens there.
    board.reload("[server]\nhost = \"127.0.0.1:1\"\n");
    inside.wait_for_end(LONG).unwrap();
    at_the_door.wait_for_end(LONG).unwrap();
    board.is_shut(direct);

    board.reload("[lan]\ndiscovery = true\n");
    wait_until(|| board.agent().lan().is_some());
    assert_eq!(board.discovered_id(), id.as_str(), "from now on the ID");
}

#[test]
fn a_refusal_holds_before_setup_and_ends_it() {
    let refusal = "[lan]\ndiscovery = false\n";
    let board = Board::start(refusal);
    assert!(board.is_set_up() && board.agent().direct().is_none() && board.agent().lan().is_none());
    let board = Board::start("");
    let direct = board.direct();
    board.reload(refusal);
    board.is_shut(direct);
}

#[test]
fn the_console_shows_the_password_that_holds_and_the_log_never_does() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let config = "[video]\nsource = \"pattern\"\n[audio]\ndevice = \"off\"\n[hid]\nbackend = \"recording\"\n";
    std::fs::write(dir.join("kvmdesk.toml"), config).unwrap();
    std::fs::create_dir(dir.join("run")).unwrap();
    // A network of its own: the ports that apps know are opened. Root needs no users of its own, which a chroot refuses.
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let unshared: &[&str] = if is_root { &["--net"] } else { &["--net", "--map-root-user"] };
    if !Command::new("unshare").args(unshared).arg("true").status().is_ok_and(|status| status.success()) {
        return println!("skipped: no network of one's own here");
    }
    let place = ["--config", "kvmdesk.toml", "--state-dir", "state"];
    let mut command = Command::new("unshare");
    command.args(unshared).args([env!("CARGO_BIN_EXE_kvmdesk"), "run"]).args(place);
    command.current_dir(dir).env("HOME", dir).env("RUNTIME_DIRECTORY", dir.join("run"));
    let daemon = Proc::spawn(command);
    let kvmdesk = |args: &[&str]| {
        let output = crate::cli::run(dir, &[args, &place].concat());
        assert_eq!(output.status.code(), Some(0), "{}", crate::cli::err(&output));
        crate::cli::out(&output)
    };
    let file = dir.join("run/console.issue");
    // The first look at the encoders takes long on a busy machine.
    daemon.wait_for_line(4 * LONG, |line| line.contains("direct access is open").then_some(()));
    wait_until(|| file.exists());
    let once = kvmdesk(&["password", "--show-once"]);
    let shown = std::fs::read_to_string(&file).unwrap();
    assert!(shown.contains(&format!(": {}\n", once.trim())) && shown.contains("\\4"), "{shown}");
    assert!(kvmdesk(&["status"]).contains("not set up"));

    kvmdesk(&["setup", "--non-interactive", "--name", "office"]);
    wait_until(|| !file.exists());
    let last = kvmdesk(&["password", "--show-once"]);
    let log = daemon.output();
    assert!(log.contains("not set up") && log.contains("is set up"), "{log}");
    assert!(!log.contains(once.trim()) && !log.contains(last.trim()), "{log}");
}
