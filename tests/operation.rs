//! What an operator sees and does while the daemon runs: status, doctor, metrics, reload, report.

use std::io::Read as _;
use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use kvmdesk::agent::identity;
use kvmdesk::wire::message::encode_rendezvous;
use kvmdesk::wire::message::hbb::{self, rendezvous_message::Union};

use crate::agent::{Daemon, PASSWORD, registered_id, wait_until};
use crate::cli::{code, demo, kvmdesk, out, run};
use crate::support::controller::LONG;
use crate::support::terminal;

mod metrics;
mod reload;
mod report;

#[test]
fn an_identity_that_cannot_be_stored_is_told_until_it_is_stored() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    let host = server.local_addr().unwrap().to_string();
    let daemon = Daemon::start_with(&format!("[server]\nhost = \"{host}\"\n"), Some(PASSWORD));
    let (_, from) = registered_id(&server);
    // The fresh file cannot be made where a directory stands.
    let in_the_way = daemon.store.target_dir().join(format!("identity.json.{}.new", std::process::id()));
    std::fs::create_dir(&in_the_way).unwrap();
    let response = hbb::RegisterPkResponse { result: 0, keep_alive: 0 };
    server.send_to(&encode_rendezvous(Union::RegisterPkResponse(response)), from).unwrap();
    let is_told = || daemon.agent().status().problems.iter().any(|p| p.contains("could not be stored"));
    wait_until(is_told);
    std::fs::remove_dir(&in_the_way).unwrap();
    wait_until(|| !is_told());
    let kept = identity::load(&daemon.store).unwrap().unwrap();
    assert_eq!(kept.registered_with, Some(host));
}

#[test]
fn characters_that_nothing_types_are_counted() {
    let daemon = Daemon::start(Some(PASSWORD));
    let mut controller = daemon.connect(PASSWORD);
    controller.log_in().unwrap();
    controller.type_text("a\u{436}").unwrap();
    wait_until(|| daemon.agent().status().target.hid.characters_not_typed == 1);
}

/// What a program that writes to a terminal has written when `is_enough` says so.
fn read_terminal(end: &mut std::fs::File, is_enough: impl Fn(&str) -> bool) -> String {
    let mut text = vec![];
    let until = std::time::Instant::now() + LONG;
    loop {
        let mut buffer = [0; 4096];
        match end.read(&mut buffer) {
            Ok(len) => text.extend(&buffer[..len]),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
        let text = String::from_utf8_lossy(&text);
        if is_enough(&text) {
            return text.into_owned();
        }
        assert!(std::time::Instant::now() < until, "{text}");
    }
}

#[test]
fn status_is_watched_in_place_on_a_terminal_and_in_blocks_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let watch = ["status", "--watch", "--state-dir", "state"];
    assert_eq!(code(&run(dir.path(), &watch)), 69, "nobody to watch");
    assert_eq!(code(&run(dir.path(), &["status", "--watch", "--json"])), 64);
    let (mut daemon, _) = demo(dir.path(), &[]);

    let (mut end, near) = terminal::terminal();
    let screen = std::fs::OpenOptions::new().write(true).open(near).unwrap();
    let mut watching = kvmdesk(dir.path(), &watch).stdout(screen).spawn().unwrap();
    let text = read_terminal(&mut end, |text| text.matches("\x1b[H").count() >= 2);
    assert!(text.starts_with("\x1b[2J\x1b[?7l\x1b[Hkvmdesk "), "{text:?}");
    assert_eq!(text.matches("\x1b[2J").count(), 1, "cleared once, then redrawn in place: {text:?}");
    assert!(text.contains("Hands      recording: connected"), "{text:?}");

    let mut blocks = kvmdesk(dir.path(), &watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut pipe = blocks.stdout.take().unwrap();
    let mut text = vec![0];
    pipe.read_exact(&mut text).unwrap();
    daemon.terminate();
    daemon.wait(LONG);
    read_terminal(&mut end, |text| text.contains("is not running"));
    let (mut daemon, _) = demo(dir.path(), &[]);
    read_terminal(&mut end, |text| text.contains("Hands      recording: connected"));
    watching.kill().unwrap();
    watching.wait().unwrap();

    while text.windows(10).filter(|w| w == b"\n\nkvmdesk ").count() < 2 {
        let mut buffer = [0; 4096];
        let len = pipe.read(&mut buffer).unwrap();
        assert!(len > 0, "it ended");
        text.extend(&buffer[..len]);
    }
    assert!(!text.contains(&0x1b), "no control characters off a terminal");
    drop(pipe);
    assert_eq!(blocks.wait().unwrap().signal(), Some(libc::SIGPIPE), "it ends with its reader");
    daemon.terminate();
    daemon.wait(LONG);
}

#[test]
fn the_doctor_tells_what_fails_by_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let good =
        "[video]\nsource = \"pattern\"\n[hid]\nbackend = \"recording\"\n[direct]\nlisten = \"127.0.0.1:1\"\n";
    std::fs::write(dir.path().join("good.toml"), good).unwrap();
    let (_daemon, _) = demo(dir.path(), &[]);
    let args = ["doctor", "--config", "good.toml", "--state-dir", "state", "--json"];
    let output = run(dir.path(), &args);
    assert_eq!(code(&output), 0, "{}", out(&output));
    let json: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let verdict = |subject: &str| checks.iter().find(|c| c["subject"] == subject).unwrap()["verdict"].clone();
    for subject in ["board", "picture", "encoders", "sound", "hands", "daemon"] {
        assert_eq!(verdict(subject), "ok", "{json:#}");
    }
    assert_eq!(verdict("configuration"), "warn", "every caller would be refused");

    let bad = "[video]\ndevice = \"/nonexistent/video7\"\n[hid]\nbackend = \"recording\"\n";
    std::fs::write(dir.path().join("bad.toml"), bad).unwrap();
    let output = run(dir.path(), &["doctor", "--config", "bad.toml", "--state-dir", "other"]);
    assert_eq!(code(&output), 69);
    let text = out(&output);
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
    assert!(line("fail  picture").contains("/nonexistent/video7"), "{text}");
    assert!(line("warn  daemon").contains("is not running"), "{text}");
    assert!(!dir.path().join("other").exists(), "it only looks");
}
