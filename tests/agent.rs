//! A whole daemon in this process: test card, recording hands, direct access, a scripted controller.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use kvmdesk::agent::agent::{Agent, AgentOptions, StartError};
use kvmdesk::agent::control::{self, Answer, Request};
use kvmdesk::agent::first_run::WellKnown;
use kvmdesk::agent::store::{Store, StoreError};
use kvmdesk::agent::{identity, logbook, password};
use kvmdesk::config::board::Boards;
use kvmdesk::config::file::{self, HidBackendName, ParsedFile, VideoSource};
use kvmdesk::config::settings::{self, Overrides};
use kvmdesk::crypto::secret::Secret;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use kvmdesk::wire::message::hbb::rendezvous_message::Union;
use kvmdesk::wire::message::{decode_rendezvous, encode_rendezvous, hbb};
use tokio::runtime::Runtime;

use crate::support::controller::{self, Controller, LONG, LoginOutcome, Options, Picture};
use crate::support::hidlog::{HidLog, Report};

pub(crate) const PASSWORD: &str = "correct horse";
/// Set-1 scan codes, as apps send them to a peer that announces Windows.
const SCAN_A: u32 = 0x1E;
const SCAN_LEFT_SHIFT: u32 = 0x2A;

pub(crate) struct Daemon {
    agent: Option<Agent>,
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) log: HidLog,
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

fn options(dir: &Path, password: Option<&str>) -> AgentOptions {
    options_of("", dir, password)
}

pub(crate) fn options_of(config: &str, dir: &Path, password: Option<&str>) -> AgentOptions {
    let flags = Overrides {
        state_dir: Some(dir.join("state")),
        direct_listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        direct_allow_plaintext: Some(true),
        video_source: Some(VideoSource::Pattern),
        hid_backend: Some(HidBackendName::Recording),
        hid_log: Some(dir.join("hid.jsonl")),
        ..Overrides::default()
    };
    let parsed = file::parse(Path::new("test.toml"), config.to_owned()).unwrap();
    let settings = settings::resolve(&parsed, &Boards::default(), |_| None, &flags).unwrap();
    let password = password.map(|p| Secret::new(p.to_owned()));
    AgentOptions {
        settings,
        password,
        problems: vec![],
        board_root: dir.join("no-board"),
        well_known: free_ports(),
    }
}

/// Where apps would look before setup.
pub(crate) fn free_ports() -> WellKnown {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    WellKnown { direct: any, discovery: any }
}

impl Daemon {
    pub(crate) fn start(password: Option<&str>) -> Self {
        Self::start_with("", password)
    }

    pub(crate) fn start_with(config: &str, password: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (agent, address) = runtime.block_on(async {
            let agent = Agent::start(options_of(config, dir.path(), password)).unwrap();
            let mut direct = agent.direct().unwrap();
            let address =
                tokio::time::timeout(LONG, direct.wait_for(|s| s.is_open)).await.unwrap().unwrap().address;
            (agent, address)
        });
        Self {
            agent: Some(agent),
            runtime,
            address,
            log: HidLog::new(&dir.path().join("hid.jsonl")),
            store: Store::open(&dir.path().join("state")).unwrap(),
            dir,
        }
    }

    pub(crate) fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    fn stop(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.runtime.block_on(agent.stop());
        }
    }

    pub(crate) fn connect(&self, password: &str) -> Controller {
        Controller::connect_direct(self.address, Options::with_password(password)).unwrap()
    }

    fn ask(&self, request: &Request) -> Answer {
        control::ask(&self.store.socket(), request).unwrap()
    }

    pub(crate) fn wait_for_sessions(&self, count: usize) {
        wait_until(|| self.agent().status().target.sessions.len() == count);
    }
}

#[track_caller]
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + LONG;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "it did not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_controller_logs_in_sees_the_card_types_and_points() {
    let mut daemon = Daemon::start(Some(PASSWORD));
    let mut wrong = daemon.connect("wrong horse");
    assert_eq!(wrong.try_log_in().unwrap(), LoginOutcome::Refused("Wrong Password".into()));

    let mut controller = daemon.connect(PASSWORD);
    let info = controller.log_in().unwrap();
    let display = &info.displays[0];
    let picture = controller.first_picture(LONG).unwrap();
    assert!(picture.is_keyframe);
    let announced = (usize::try_from(display.width).unwrap(), usize::try_from(display.height).unwrap());
    assert_eq!((picture.width, picture.height), announced);
    controller.next_picture(LONG).unwrap();

    controller.map_key(SCAN_A, true).unwrap();
    controller.map_key(SCAN_A, false).unwrap();
    let reports = daemon.log.wait_until(LONG, |r| r.iter().filter(|r| r.device == "keyboard").count() >= 2);
    let keys: Vec<&[u8]> = reports.iter().filter(|r| r.device == "keyboard").map(|r| &r.bytes[..]).collect();
    assert_eq!(keys[..2], [&[0u8, 0, 4, 0, 0, 0, 0, 0][..], &[0u8; 8][..]]);

    controller.move_to(display.width - 1, display.height - 1).unwrap();
    let reports = daemon.log.wait_until(LONG, |r| r.iter().any(|r| r.device == "absolute"));
    let last = reports.iter().rfind(|r| r.device == "absolute").unwrap();
    assert_eq!(last.bytes[1..5], [0xff, 0x7f, 0xff, 0x7f], "the corner is the corner");

    let status = daemon.agent().status();
    assert_eq!(status.target.sessions.len(), 1);
    assert_eq!(
        (status.target.sessions[0].my_name.as_str(), status.target.password.as_str()),
        ("Scripted", "permanent")
    );
    assert!(
        status.target.video.encoded > 0 && status.target.suspects == 0,
        "a right password forgives the wrong one"
    );
    drop(controller);
    daemon.wait_for_sessions(0);
    daemon.stop();
    let kept = logbook::read(&daemon.store).unwrap();
    assert_eq!(kept.len(), 1, "only log-ins are kept");
    assert_eq!((kept[0].route.as_str(), kept[0].address.as_str()), ("direct", "127.0.0.1"));
    assert!(kept[0].seconds.is_some());
}

#[test]
fn several_displays_stand_side_by_side_and_share_the_hands() {
    let mut daemon = Daemon::start_with("[[display]]\nsource = \"pattern\"\n", Some(PASSWORD));
    let mut controller = daemon.connect(PASSWORD);
    let info = controller.log_in().unwrap();
    let [first, second] = info.displays.as_slice() else { panic!("{:?}", info.displays) };
    assert_eq!((first.x, second.x, second.y), (0, first.width, 0));
    assert_ne!(first.name, second.name);
    let before = controller.first_picture(LONG).unwrap();
    assert_eq!(before.display, 0);

    // As the app does it (reference: session 3.9).
    let switch = hbb::SwitchDisplay { display: 1, ..Default::default() };
    controller.send_misc(Misc::SwitchDisplay(switch)).unwrap();
    let capture = hbb::CaptureDisplays { set: vec![1], ..Default::default() };
    controller.send_misc(Misc::CaptureDisplays(capture)).unwrap();
    let after = controller.wait_for_picture(LONG, |p| p.display == 1).unwrap();
    assert!(after.is_keyframe, "an app's decoder of that display begins with it");
    assert_eq!((after.width as i32, after.height as i32), (second.width, second.height));
    // "Display 1 of 2" and "Display 2 of 2"; the bars above the words are the same.
    let bars = |p: &Picture| p.mean(0, 0, p.width / 8, p.height / 8);
    let off = bars(&before).into_iter().zip(bars(&after)).map(|(a, b)| a.abs_diff(b)).max();
    // A first key frame may be coarse.
    assert!(off <= Some(20), "the same colour bars: {off:?}");
    // Above the block that moves.
    let words =
        |p: &Picture| Picture { height: p.height / 2, rgb: p.rgb[..p.rgb.len() / 2].to_vec(), ..p.clone() };
    assert!(words(&before).differing(&words(&after), 60) > 20, "each says which it is");

    controller.move_to(second.x + second.width - 1, second.height - 1).unwrap();
    let reports = daemon.log.wait_until(LONG, |r| r.iter().any(|r| r.device == "absolute"));
    let last = reports.iter().rfind(|r| r.device == "absolute").unwrap();
    assert_eq!(last.bytes[1..5], [0xff, 0x7f, 0xff, 0x7f], "the second display's corner");

    let status = daemon.agent().status();
    let encoded: Vec<_> = status.target.displays.iter().map(|d| d.encoded).collect();
    assert!(encoded.len() == 2 && encoded.iter().all(|n| *n > 0), "{encoded:?}");
    assert_eq!(status.target.video.source, status.target.displays[0].source);
    let begun = std::time::Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < LONG, "the stop does not wait for a thread for ever");
}

#[test]
fn a_window_that_comes_back_replaces_its_session_and_lifts_its_keys() {
    let daemon = Daemon::start(Some(PASSWORD));
    let mut old = daemon.connect(PASSWORD);
    old.log_in().unwrap();
    old.first_picture(LONG).unwrap();
    old.map_key(SCAN_LEFT_SHIFT, true).unwrap();
    daemon.log.wait_until(LONG, |r| r.iter().any(|r| r.device == "keyboard" && r.bytes[0] == 2));
    let mut new = daemon.connect(PASSWORD);
    new.log_in().unwrap();
    assert_eq!(old.wait_for_end(LONG).unwrap(), None, "no text: the window is the same");
    daemon.wait_for_sessions(1);
    daemon
        .log
        .wait_until(LONG, |r| r.iter().rfind(|r| r.device == "keyboard").is_some_and(|r| r.bytes[0] == 0));
    new.first_picture(LONG).unwrap();
}

#[test]
fn a_boot_mouse_is_moved_by_distances_in_pixels_of_the_signal() {
    let config = "[[target]]\npointer.mode = \"relative\"\n[video]\nmax-size = \"640x360\"\n";
    let mut daemon = Daemon::start_with(config, Some(PASSWORD));
    let mut app = daemon.connect(PASSWORD);
    app.log_in().unwrap();
    let picture = app.first_picture(LONG).unwrap();
    assert_eq!((picture.width, picture.height), (640, 360), "half of the signal");
    // The echo of the ping behind the first picture is on its way by then: the pointer is awake.
    app.next_picture(LONG).unwrap();
    let moved_to = |reports: &[Report], mut at: (i32, i32)| {
        for report in reports.iter().filter(|r| r.device == "relative") {
            let [dx, dy] = [1, 2].map(|n| i32::from(report.bytes[n] as i8));
            at = ((at.0 + dx).clamp(0, 1279), (at.1 + dy).clamp(0, 719));
        }
        at
    };
    app.move_to(100, 50).unwrap();
    daemon.log.wait_until(LONG, |reports| moved_to(reports, (600, 600)) == (200, 100));
    app.move_to(639, 359).unwrap();
    let reports = daemon.log.wait_until(LONG, |reports| moved_to(reports, (600, 600)) == (1279, 719));
    assert!(reports.iter().all(|r| r.device != "absolute"));
    daemon.stop();
}

#[test]
fn one_types_at_a_time_where_that_is_wished() {
    let mut daemon = Daemon::start_with("[input]\nsharing = \"exclusive-first\"\n", Some(PASSWORD));
    let ready = |daemon: &Daemon, window: u64| {
        let mut app = daemon.connect(PASSWORD);
        app.options.session_id = window;
        app.log_in().unwrap();
        app.wait_until(LONG, |app| app.picture().is_some() && !app.delays.is_empty()).unwrap();
        app
    };
    let mut first = ready(&daemon, 1);
    let mut second = ready(&daemon, 2);
    let is_told = |app: &Controller, words: &str| {
        app.inbox.iter().any(|m| matches!(m, controller::Union::MessageBox(m) if m.text.contains(words)))
    };
    second.wait_until(LONG, |app| is_told(app, "holds keyboard and mouse")).unwrap();
    second.map_key(SCAN_A, true).unwrap();
    second.map_key(SCAN_A, false).unwrap();
    // The answer tells that its keys were heard before.
    let query = Misc::MessageQuery(hbb::MessageQuery { switch_display: 0 });
    second.send_misc(query).unwrap();
    let is_answer = |m: &controller::Union| {
        matches!(m, controller::Union::Misc(hbb::Misc { union: Some(Misc::SwitchDisplay(_)) }))
    };
    second.wait_until(LONG, |app| app.inbox.iter().any(is_answer)).unwrap();
    first.map_key(SCAN_LEFT_SHIFT, true).unwrap();
    first.map_key(SCAN_LEFT_SHIFT, false).unwrap();
    let keys = |reports: &[Report]| -> Vec<[u8; 3]> {
        let keyboard = reports.iter().filter(|r| r.device == "keyboard");
        keyboard.map(|r| [r.bytes[0], r.bytes[1], r.bytes[2]]).collect()
    };
    let reports = daemon.log.wait_until(LONG, |reports| keys(reports).len() >= 2);
    assert_eq!(keys(&reports), [[2, 0, 0], [0, 0, 0]]);
    drop(first);
    second.wait_until(LONG, |app| is_told(app, "yours now")).unwrap();
    second.map_key(SCAN_A, true).unwrap();
    daemon.log.wait_until(LONG, |reports| keys(reports).last() == Some(&[0, 0, 4]));
    daemon.stop();
}

#[test]
fn the_end_lifts_every_key() {
    let mut daemon = Daemon::start(Some(PASSWORD));
    let mut controller = daemon.connect(PASSWORD);
    controller.log_in().unwrap();
    controller.first_picture(LONG).unwrap();
    controller.map_key(SCAN_A, true).unwrap();
    daemon.log.wait_until(LONG, |r| r.iter().any(|r| r.device == "keyboard" && r.bytes[2] == 4));
    daemon.stop();
    let reports = daemon.log.reports();
    let last = reports.iter().rfind(|r| r.device == "keyboard").unwrap();
    assert_eq!(last.bytes, [0; 8]);
    assert!(controller.wait_for_end(LONG).is_ok());
    assert!(!daemon.store.socket().exists());
}

#[test]
fn the_socket_ends_sessions_and_takes_passwords_over() {
    let daemon = Daemon::start(None);
    let Answer::OneTimePassword { password: Some(first) } = daemon.ask(&Request::OneTimePassword) else {
        panic!("no one-time password");
    };
    let mut controller = daemon.connect(&first);
    controller.log_in().unwrap();
    daemon.wait_for_sessions(1);
    let Answer::Status(status) = daemon.ask(&Request::Status) else { panic!("no status") };
    let session = status.target.sessions[0].session;
    assert!(matches!(daemon.ask(&Request::EndSession { session }), Answer::Done { .. }));
    assert_eq!(controller.wait_for_end(LONG).unwrap().as_deref(), Some("Closed manually by the peer"));
    daemon.wait_for_sessions(0);
    assert!(matches!(daemon.ask(&Request::EndSession { session }), Answer::Failed { .. }));
    let Answer::Failed { text } = daemon.ask(&Request::Wake) else { panic!("nothing here can be woken") };
    assert!(text.contains("gadget.wake"), "{text}");

    // The last session that used it is over: there is a new one.
    let Answer::OneTimePassword { password: Some(second) } = daemon.ask(&Request::OneTimePassword) else {
        panic!("no one-time password");
    };
    assert_ne!(first, second);
    let mut controller = daemon.connect(&second);
    controller.log_in().unwrap();
    daemon.wait_for_sessions(1);
    let salt = identity::load(&daemon.store).unwrap().unwrap().salt;
    password::set(&daemon.store, PASSWORD, &salt).unwrap();
    assert!(matches!(daemon.ask(&Request::ReloadPassword), Answer::Done { .. }));
    let text = controller.wait_for_end(LONG).unwrap().unwrap();
    assert!(text.contains("password") && kvmdesk::peer::texts::is_final(&text), "{text}");
    assert_eq!(daemon.ask(&Request::OneTimePassword), Answer::OneTimePassword { password: None });
    daemon.connect(PASSWORD).log_in().unwrap();
}

#[test]
fn the_socket_gives_pictures_and_tells_what_is_measured() {
    let daemon = Daemon::start(Some(PASSWORD));
    let picture = control::ask_picture(&daemon.store.socket(), 1).unwrap().unwrap();
    assert!(picture.png.starts_with(b"\x89PNG") && picture.png.len() == picture.bytes);
    let none = control::ask_picture(&daemon.store.socket(), 2).unwrap().unwrap_err();
    assert!(none.contains("there is no display 2"), "{none}");
    assert!(matches!(daemon.ask(&Request::Snapshot { display: 0 }), Answer::Failed { .. }));

    let mut controller = daemon.connect(PASSWORD);
    controller.log_in().unwrap();
    controller.first_picture(LONG).unwrap();
    let is_measured = |status: &kvmdesk::agent::status::Status| {
        let (video, session) = (&status.target.video, &status.target.sessions[0].stream);
        video.latency.encode.p50_ms > 0.0 && video.fps_out > 0.0 && session.frames > 0 && session.fps > 0
    };
    controller.wait_until(LONG, |_| is_measured(&daemon.agent().status())).unwrap();
    let status = daemon.agent().status();
    let video = &status.target.video;
    assert!(video.latency.encode.p50_ms <= video.latency.encode.p99_ms, "{:?}", video.latency);
    assert_eq!(video.lanes.len(), 1, "{:?}", video.lanes);
    assert_eq!(video.lanes[0].watchers, 1);
    assert!(!video.lanes[0].encoder.is_empty());
    let stream = &status.target.sessions[0].stream;
    assert!(stream.keyframes >= 1 && stream.bytes > 0, "{stream:?}");
    assert!(stream.codecs.iter().all(|codec| *codec == video.lanes[0].codec), "{stream:?}");
    assert_eq!(status.target.audio, None, "a test card makes no sound");
}

#[test]
fn locks_are_cleared_on_request() {
    let daemon = Daemon::start(Some(PASSWORD));
    // The lock comes with the eighth, or if a minute of the clock turns in between, some later.
    let is_locked = (0..20).any(|_| {
        let outcome = daemon.connect("wrong horse").try_log_in().unwrap();
        let LoginOutcome::Refused(text) = outcome else { panic!("{outcome:?}") };
        text == "Please try 1 minute later"
    });
    assert!(is_locked);
    assert_eq!(daemon.agent().status().target.suspects, 1);
    assert!(matches!(daemon.ask(&Request::Unlock), Answer::Done { .. }));
    assert_eq!(daemon.agent().status().target.suspects, 0);
    daemon.connect(PASSWORD).log_in().unwrap();
}

#[test]
fn one_daemon_a_state_directory_and_the_identity_stays() {
    let mut daemon = Daemon::start(Some(PASSWORD));
    let id = daemon.agent().id();
    let second = daemon.runtime.block_on(async { Agent::start(options(daemon.dir.path(), None)) });
    assert!(matches!(second, Err(StartError::Store(StoreError::InUse(_)))), "{second:?}");
    daemon.stop();
    let again = daemon.runtime.block_on(async { Agent::start(options(daemon.dir.path(), None)) }).unwrap();
    assert_eq!(again.id(), id);
    daemon.agent = Some(again);
}

/// The ID in the next RegisterPk that the daemon sends to `server`, and where it came from.
pub(crate) fn registered_id(server: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 1500];
    loop {
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        if let Some(Union::RegisterPk(request)) = decode_rendezvous(&buffer[..len]).unwrap().union {
            return (request.id, from);
        }
    }
}

#[test]
fn an_id_that_is_taken_is_renewed_and_the_confirmed_one_stays() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    let host = server.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let flags = Overrides {
        state_dir: Some(dir.path().join("state")),
        server_host: Some(host.clone()),
        video_source: Some(VideoSource::Pattern),
        hid_backend: Some(HidBackendName::Recording),
        ..Overrides::default()
    };
    let settings = settings::resolve(&ParsedFile::default(), &Boards::default(), |_| None, &flags).unwrap();
    let options = AgentOptions {
        settings,
        password: None,
        problems: vec![],
        board_root: dir.path().join("no-board"),
        well_known: free_ports(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let agent = runtime.block_on(async { Agent::start(options) }).unwrap();
    let answer = |to: SocketAddr, result: i32| {
        let response = hbb::RegisterPkResponse { result, keep_alive: 0 };
        server.send_to(&encode_rendezvous(Union::RegisterPkResponse(response)), to).unwrap();
    };

    let (first, from) = registered_id(&server);
    assert_eq!(first, agent.id().as_str());
    // UUID_MISMATCH before the first OK.
    answer(from, 2);
    let (second, from) = registered_id(&server);
    assert_ne!(second, first);
    assert_eq!(agent.id().as_str(), second);
    answer(from, 0);
    let store = Store::open(&dir.path().join("state")).unwrap();
    let until = std::time::Instant::now() + LONG;
    let kept = loop {
        let kept = identity::load(&store).unwrap().unwrap();
        if kept.registered_with.is_some() {
            break kept;
        }
        assert!(std::time::Instant::now() < until, "the OK was not stored");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!((kept.id.as_str(), kept.registered_with), (second.as_str(), Some(host)));
    runtime.block_on(agent.stop());
}
