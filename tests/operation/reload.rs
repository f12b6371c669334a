//! Each setting that is said to hold without a restart does; the others are named; a wrong file changes nothing.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kvmdesk::agent::reload::Reading;
use kvmdesk::config::board::Boards;
use kvmdesk::config::settings::live::{AT_ONCE, FOR_NEW_SESSIONS};
use kvmdesk::config::settings::{self, Overrides, Settings};
use kvmdesk::crypto::identity::IdentityKeyPair;
use kvmdesk::peer::machine::{LocalPointer, TargetOs};
use kvmdesk::wire::message::hbb::{self, ControlKey};

use crate::agent::{Daemon, PASSWORD, options_of, registered_id, wait_until};
use crate::cli::{out, run};
use crate::support::controller::{Controller, LONG, LoginOutcome, Options, Picture, Union};
use crate::support::hidlog::{HidLog, Report};
use crate::support::procs::Proc;

const SCAN_A: u32 = 0x1E;

fn settings(text: &str) -> Settings {
    let parsed = kvmdesk::config::file::parse(std::path::Path::new("x"), text.to_owned()).unwrap();
    settings::resolve(&parsed, &Boards::default(), |_| None, &Overrides::default()).unwrap()
}

fn reload(daemon: &Daemon, config: &str) {
    hand_over(daemon, options_of(config, daemon.dir.path(), None).settings);
}

/// Waits until it holds: one that is refused comes after it and is told.
fn hand_over(daemon: &Daemon, settings: Settings) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let end = format!("end {}.", COUNT.fetch_add(1, Ordering::Relaxed));
    let reloader = daemon.agent().reloader();
    daemon.runtime.block_on(async {
        reloader.take(Reading::Good { settings: Box::new(settings), problems: vec![] }).await;
        reloader.take(Reading::Wrong(end.clone())).await;
    });
    wait_until(|| daemon.agent().status().problems.iter().any(|p| p.contains(&end)));
}

fn log_in(daemon: &Daemon, window: u64) -> (Controller, hbb::PeerInfo) {
    let mut app = daemon.connect(PASSWORD);
    app.options.session_id = window;
    let info = app.log_in().unwrap();
    app.wait_until(LONG, |app| app.picture().is_some() && !app.delays.is_empty()).unwrap();
    (app, info)
}

/// Modifiers and first key of each keyboard report.
fn keys(reports: &[Report]) -> Vec<[u8; 2]> {
    reports.iter().filter(|r| r.device == "keyboard").map(|r| [r.bytes[0], r.bytes[2]]).collect()
}

fn wait_for_keys(log: &HidLog, wanted: &[[u8; 2]]) {
    log.wait_until(LONG, |reports| keys(reports).windows(wanted.len()).any(|keys| keys == wanted));
}

#[test]
fn a_session_types_by_the_new_layout_and_goes_on() {
    let daemon = Daemon::start(Some(PASSWORD));
    let (mut app, _) = log_in(&daemon, 1);
    app.type_text("z").unwrap();
    wait_for_keys(&daemon.log, &[[0, 0x1d], [0, 0]]);
    reload(&daemon, "[[target]]\nkeyboard-layout = \"de\"\n");
    app.type_text("z").unwrap();
    wait_for_keys(&daemon.log, &[[0, 0x1c], [0, 0]]);
    app.type_text("\u{436}").unwrap();
    wait_until(|| daemon.agent().status().target.hid.characters_not_typed == 1);
    reload(&daemon, "[[target]]\nkeyboard-layout = \"de\"\nunicode-entry = \"linux\"\n");
    app.type_text("\u{436}").unwrap();
    // Ctrl+Shift+U, U+0436: a hexadecimal digit 4 first.
    daemon.log.wait_until(LONG, |reports| keys(reports).contains(&[3, 0x18]));
    daemon.log.wait_until(LONG, |reports| keys(reports).iter().any(|[_, key]| *key == 0x21));
    assert_eq!(daemon.agent().status().target.sessions.len(), 1);
}

#[test]
fn another_rule_of_sharing_holds_for_those_who_are_there() {
    let daemon = Daemon::start(Some(PASSWORD));
    let (_first, _) = log_in(&daemon, 1);
    let (mut second, _) = log_in(&daemon, 2);
    reload(&daemon, "[input]\nsharing = \"exclusive-first\"\n");
    let is_told = |app: &Controller| {
        app.inbox
            .iter()
            .any(|m| matches!(m, Union::MessageBox(m) if m.text.contains("holds keyboard and mouse")))
    };
    second.wait_until(LONG, |app| is_told(app)).unwrap();
    reload(&daemon, "");
    second.map_key(SCAN_A, true).unwrap();
    wait_for_keys(&daemon.log, &[[0, 4]]);
}

#[test]
fn more_or_fewer_frames_come_at_once() {
    let daemon = Daemon::start_with("[video]\nmax-fps = 1\n", Some(PASSWORD));
    let (mut app, _) = log_in(&daemon, 1);
    let fps = |daemon: &Daemon| daemon.agent().status().target.video.fps_out;
    app.wait_until(LONG, |_| (0.1..1.6).contains(&fps(&daemon))).unwrap();
    reload(&daemon, "[video]\nmax-fps = 30\n");
    app.wait_until(LONG, |_| fps(&daemon) > 2.5).unwrap();
    reload(&daemon, "[video]\nmax-fps = 1\n");
    app.wait_until(LONG, |_| (0.1..1.6).contains(&fps(&daemon))).unwrap();
}

#[test]
fn whoever_connects_next_meets_the_new_name_platform_and_hands() {
    let daemon = Daemon::start(Some(PASSWORD));
    let (mut old, info) = log_in(&daemon, 1);
    assert_eq!((info.hostname.as_str(), info.platform.as_str()), ("kvmdesk", "Windows"));
    // Above the block that moves; the pointer was never there.
    let words =
        |p: &Picture| Picture { height: p.height / 2, rgb: p.rgb[..p.rgb.len() / 2].to_vec(), ..p.clone() };
    let card = words(old.picture().unwrap());
    reload(
        &daemon,
        "[app]\nannounce = \"linux\"\n[[target]]\nname = \"a wholly different name\"\nos = \"macos\"\nkeyboard.bad-link = \"on\"\n",
    );
    assert_eq!(daemon.agent().status().target.name, "a wholly different name");
    old.wait_until(LONG, |app| app.picture().is_some_and(|p| words(p).differing(&card, 60) > 20)).unwrap();
    let (mut new, info) = log_in(&daemon, 2);
    assert_eq!((info.hostname.as_str(), info.platform.as_str()), ("a wholly different name", "Linux"));
    // Control+Meta+Q locks a Mac.
    new.action(ControlKey::LockScreen).unwrap();
    daemon.log.wait_until(LONG, |reports| keys(reports).contains(&[9, 0x14]));
    // The evdev code of A, plus 8: clicked, though the app holds it.
    new.map_key(38, true).unwrap();
    wait_for_keys(&daemon.log, &[[0, 4], [0, 0]]);
}

#[test]
fn direct_access_moves_and_closes_for_callers_in_clear() {
    let daemon = Daemon::start(Some(PASSWORD));
    let (mut app, _) = log_in(&daemon, 1);
    let moved = || {
        let mut settings = options_of("", daemon.dir.path(), None).settings;
        let direct = settings.direct.as_mut().unwrap();
        direct.listen = "127.0.0.2:0".parse().unwrap();
        settings
            .shown
            .iter_mut()
            .filter(|l| l.key == "direct.listen")
            .for_each(|l| l.value = "127.0.0.2:0".into());
        settings
    };
    hand_over(&daemon, moved());
    wait_until(|| daemon.agent().status().target.direct.is_some_and(|d| d.is_open));
    let address: SocketAddr = daemon.agent().status().target.direct.unwrap().listen.parse().unwrap();
    assert_eq!(address.ip().to_string(), "127.0.0.2");
    assert!(std::net::TcpStream::connect(daemon.address).is_err(), "the old address is closed");
    app.first_picture(LONG).unwrap();
    Controller::connect_direct(address, Options::with_password(PASSWORD)).unwrap().log_in().unwrap();

    let mut strict = moved();
    strict.direct.as_mut().unwrap().is_plaintext_allowed = false;
    hand_over(&daemon, strict);
    let refused = Controller::connect_direct(address, Options::with_password(PASSWORD))
        .and_then(|mut app| app.try_log_in().map(|outcome| (app, outcome)));
    assert!(!matches!(refused, Ok((_, LoginOutcome::Welcome(_)))), "in clear");
    let mut none = moved();
    none.direct = None;
    none.shown.iter_mut().filter(|l| l.key == "direct.listen").for_each(|l| l.value = "(none)".into());
    hand_over(&daemon, none);
    assert_eq!(daemon.agent().status().target.direct, None);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(daemon.agent().status().target.sessions.iter().any(|s| s.session == 1), "who is in stays");
}

#[test]
fn the_id_server_discovery_and_metrics_come_and_go() {
    let server = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let host = socket.local_addr().unwrap().to_string();
        (socket, host)
    };
    let ((first, first_host), (second, second_host)) = (server(), server());
    let daemon = Daemon::start(Some(PASSWORD));
    assert_eq!(daemon.agent().status().target.server, None);
    let section = |host: &str, more: &str| format!("[server]\nhost = \"{host}\"\n{more}");
    let is_at = |host: &str| daemon.agent().status().target.server.is_some_and(|s| s.host == host);
    reload(&daemon, &section(&first_host, ""));
    let id = daemon.agent().id();
    let (registered, from) = registered_id(&first);
    assert_eq!((registered.as_str(), is_at(&first_host)), (id.as_str(), true));
    // Another key or relay for introductions: the registration begins anew, from another port.
    let mut ports = vec![from];
    for more in ["key = \"k\"\n", "key = \"another\"\n", "key = \"another\"\nrelay = \"r.example\"\n"] {
        reload(&daemon, &section(&first_host, more));
        let port = loop {
            let (_, from) = registered_id(&first);
            if !ports.contains(&from) {
                break from;
            }
        };
        ports.push(port);
    }
    reload(&daemon, &section(&second_host, ""));
    assert_eq!((registered_id(&second).0.as_str(), is_at(&second_host)), (id.as_str(), true));
    reload(&daemon, "");
    assert_eq!(daemon.agent().status().target.server, None);

    reload(&daemon, "[lan]\ndiscovery = true\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
    assert!(daemon.agent().status().target.is_lan_discovery_on);
    wait_until(|| daemon.agent().status().metrics.is_some_and(|m| m.is_open));
    let metrics: SocketAddr = daemon.agent().status().metrics.unwrap().listen.parse().unwrap();
    assert!(std::net::TcpStream::connect(metrics).is_ok());
    reload(&daemon, "");
    let status = daemon.agent().status();
    assert!(!status.target.is_lan_discovery_on && status.metrics.is_none());
    assert!(std::net::TcpStream::connect(metrics).is_err());
}

#[test]
fn every_key_belongs_to_one_kind_and_is_taken_over_accordingly() {
    let running = settings("[server]\nhost = \"a\"\nkey = \"k\"\n");
    let unchanged = running.take_over(&settings("[server]\nhost = \"a\"\nkey = \"k\"\n"));
    assert!(unchanged.at_once.is_empty() && unchanged.for_new_sessions.is_empty());
    assert!(unchanged.after_restart.is_empty());
    let wanted = settings(
        "state-dir = \"/x\"\n[server]\nhost = \"b\"\nkey = \"l\"\nrelay = \"r\"\n[direct]\nlisten = \"127.0.0.1:1\"\n\
         allow-plaintext = true\n[lan]\ndiscovery = true\n[security]\nrequire-encryption = false\n[app]\n\
         announce = \"linux\"\n[[target]]\nname = \"n\"\nos = \"linux\"\nkeyboard-layout = \"de\"\n\
         unicode-entry = \"linux\"\nkeyboard.bad-link = \"off\"\npointer.local = \"on\"\npointer.mode = \"relative\"\n\
         [video]\nmax-fps = 5\nmax-size = \"source\"\n[[display]]\nsource = \"pattern\"\n[hid]\nbackend = \"recording\"\n\
         [input]\nsharing = \"take-over\"\n[metrics]\nlisten = \"/run/m\"\n[log]\nlevel = \"debug\"\n",
    );
    let change = running.take_over(&wanted);
    let sorted = |keys: &[String]| {
        let mut keys = keys.to_vec();
        keys.sort();
        keys
    };
    let all = |keys: &[&str]| sorted(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
    assert_eq!(sorted(&change.at_once), all(&AT_ONCE));
    assert_eq!(sorted(&change.for_new_sessions), all(&FOR_NEW_SESSIONS));
    let later = ["state-dir", "target.pointer.mode", "video.max-size", "hid.backend", "display-2.max-fps"];
    for key in later {
        assert!(
            change.after_restart.iter().any(|changed| changed == key),
            "{key}: {:?}",
            change.after_restart
        );
    }
    let now = &change.settings;
    assert_eq!((now.displays.len(), now.displays[0].max_fps), (1, 5));
    assert_eq!(
        (&now.hid, &now.state_dir, now.target.pointer),
        (&running.hid, &running.state_dir, running.target.pointer)
    );
    // What the next session is run with.
    let peer = now.peer("123456789".parse().unwrap(), IdentityKeyPair::from_seed(&[1; 32]), String::new());
    assert!(!peer.is_encryption_required && peer.is_direct_plaintext_allowed);
    assert_eq!((peer.local_pointer, peer.os), (LocalPointer::On, TargetOs::Linux));
    // What waits for a restart is named again each time, what holds is not.
    let again = now.take_over(&wanted);
    assert!(again.at_once.is_empty() && again.for_new_sessions.is_empty(), "{again:?}");
    assert_eq!(again.after_restart, change.after_restart);
    let back = now.take_over(&running);
    assert!(back.after_restart.is_empty(), "{:?}", back.after_restart);
}

#[test]
fn sighup_reads_the_file_anew_and_a_wrong_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kvmdesk.toml");
    let base = "[direct]\nlisten = \"127.0.0.1:0\"\nallow-plaintext = true\n[video]\nsource = \"pattern\"\n";
    let write = |more: &str| std::fs::write(&file, format!("{base}{more}")).unwrap();
    let status = || out(&run(dir.path(), &["status", "--state-dir", "state"]));
    let wait_for = |words: &str| {
        let until = Instant::now() + LONG;
        while !status().contains(words) {
            assert!(Instant::now() < until, "{words:?} does not come: {}", status());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    write("[hid]\nbackend = \"recording\"\n");
    let mut daemon = Proc::kvmdesk(dir.path(), &["run", "--config", "kvmdesk.toml", "--state-dir", "state"]);
    let address: SocketAddr = daemon.wait_for_line(LONG, |line| {
        line.contains("direct access is open").then(|| line.rsplit('=').next()?.trim().parse().ok())?
    });
    wait_for("all is well");

    write("max-fps = \"many\"\n[hid]\nbackend = \"recording\"\n");
    daemon.signal("HUP");
    daemon.wait_for_line(LONG, |l| (l.contains("ERROR") && l.contains("was not taken over")).then_some(()));
    wait_for("kvmdesk.toml:6: video.max-fps:");
    assert!(status().contains("Target     kvmdesk,"), "{}", status());

    write(
        "max-fps = 7\n[hid]\nbackend = \"recording\"\nlog = \"h\"\n[[target]]\nname = \"new\"\n[log]\nlevel = \"debug\"\n",
    );
    daemon.signal("HUP");
    daemon.wait_for_line(LONG, |line| {
        let is_it = line.contains(
            "changed: target.name, video.max-fps, log.level; NOT changed before a restart: hid.log",
        );
        is_it.then_some(())
    });
    wait_for("holds only after a restart: hid.log");
    assert!(status().contains("Target     new,") && !status().contains("was not taken over"), "{}", status());
    assert!(!daemon.output().contains("DEBUG"), "not before");
    let _caller = std::net::TcpStream::connect(address).unwrap();
    daemon
        .wait_for_line(LONG, |l| (l.contains("DEBUG") && l.contains("a controller connected")).then_some(()));
    let copy = std::fs::read_to_string(dir.path().join("state/config-last-good.toml")).unwrap();
    assert!(copy.contains("\"new\""), "the last good copy is the new one");

    write("[hid]\nbackend = \"recording\"\n");
    daemon.signal("HUP");
    wait_for("all is well");
    daemon.terminate();
    assert_eq!(daemon.wait(LONG).code(), Some(0));
}
