//! The whole daemon behind the real servers: every route ends in a sealed session with a picture and hands, a
//! proof is good once, and a session that nobody asked to encrypt is refused in words.

use std::process::Command;
use std::time::{Duration, Instant};

use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::wire::message::hbb;

use crate::support::controller::{Controller, LoginOutcome, Options, Server, Way, lookup};
use crate::support::hidlog::HidLog;
use crate::support::procs::Proc;

use super::lab::{HBBS, Lab, Place};
use super::lab_or_skip;

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse";

struct Daemon {
    _process: Proc,
    dir: tempfile::TempDir,
    id: String,
    log: HidLog,
    key: String,
}

/// The demo in the device's namespace, registered: another namespace's question for its ID gets an address.
fn start(lab: &Lab) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("password"), format!("{PASSWORD}\n")).unwrap();
    let key = lab.key();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &lab.name(Place::Device), env!("CARGO_BIN_EXE_kvmdesk"), "demo"]);
    command.args(["--server", HBBS, "--key", &key, "--password-file", &file("password")]);
    command.args(["--state-dir", &file("state"), "--hid-log", &file("hid.jsonl")]);
    let process = Proc::spawn(command);
    let id = process.wait_for_line(PATIENCE, |line| {
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        (line.starts_with("    ") && digits.len() == 9).then_some(digits)
    });
    let daemon = Daemon { log: HidLog::new(&dir.path().join("hid.jsonl")), _process: process, dir, id, key };
    let (server, id) = (daemon.server(hbb::NatType::Asymmetric), daemon.id.clone());
    lab.run(Place::Controller, async move {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = lookup(&server, &id).unwrap().answer;
            if let hbb::rendezvous_message::Union::PunchHoleResponse(r) = &answer
                && !r.socket_addr.is_empty()
            {
                return;
            }
            assert!(Instant::now() < end, "never online: {answer:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    daemon
}

impl Daemon {
    fn server(&self, nat_type: hbb::NatType) -> Server {
        Server { nat_type, ..Server::new(HBBS, &self.key) }
    }
}

/// Logs in, waits for the picture, presses and lets go of a key.
fn use_it(mut controller: Controller, log: &HidLog) {
    let info = controller.log_in().unwrap();
    assert_eq!((info.displays[0].width, info.displays[0].height), (1280, 720));
    assert!(controller.link().is_sealed(), "sealed");
    let picture = controller.first_picture(PATIENCE).unwrap();
    assert_eq!((picture.width, picture.height), (1280, 720));
    let before = log.reports().len();
    controller.map_click(0x1e).unwrap();
    let reports = log.wait_until(PATIENCE, |reports| {
        reports[before..].iter().filter(|r| r.device == "keyboard").count() >= 2
    });
    let keys: Vec<_> =
        reports[before..].iter().filter(|r| r.device == "keyboard").map(|r| r.bytes[2]).collect();
    assert_eq!(keys, [0x04, 0], "A goes down and up");
    controller.close().unwrap();
}

#[test]
fn every_route_ends_in_a_picture_and_a_key() {
    let lab = lab_or_skip!(true);
    let daemon = start(&lab);
    let cases = [
        (Place::Controller, hbb::NatType::Asymmetric, Way::Punched),
        (Place::Controller, hbb::NatType::Symmetric, Way::RelayedByDevice),
        (Place::Device, hbb::NatType::Asymmetric, Way::Local),
    ];
    for (place, nat, wanted) in cases {
        let (server, id, log) = (daemon.server(nat), daemon.id.clone(), daemon.log.clone());
        lab.run(place, async move {
            let (controller, way) =
                Controller::connect_by_id(&server, &id, Options::with_password(PASSWORD)).unwrap();
            assert_eq!(way, wanted);
            use_it(controller, &log);
        });
    }
}

#[test]
fn t28_a_proof_is_good_for_one_connection() {
    let lab = lab_or_skip!(false);
    let daemon = start(&lab);
    let (server, id) = (daemon.server(hbb::NatType::Asymmetric), daemon.id.clone());
    lab.run(Place::Controller, async move {
        let connect = || {
            Controller::connect_by_id(&server, &id, Options::with_password(PASSWORD)).map(|(c, _)| c).unwrap()
        };
        let mut first = connect();
        let hash = first.wait_for_hash(PATIENCE).unwrap();
        let proof = PasswordHash::new(PASSWORD, &hash.salt).proof(&hash.challenge).to_vec();
        first.send_login(proof.clone()).unwrap();
        assert!(matches!(first.login_outcome(PATIENCE).unwrap(), LoginOutcome::Welcome(_)));
        let mut second = connect();
        let again = second.wait_for_hash(PATIENCE).unwrap();
        assert_eq!(again.salt, hash.salt, "remembered passwords stay good");
        assert_ne!(again.challenge, hash.challenge);
        second.send_login(proof).unwrap();
        let outcome = second.login_outcome(PATIENCE).unwrap();
        assert_eq!(outcome, LoginOutcome::Refused("Wrong Password".into()));
    });
}

#[test]
fn t25_a_session_that_is_not_to_be_encrypted_is_refused_in_words() {
    let lab = lab_or_skip!(false);
    let daemon = start(&lab);
    let server = Server { secure: Some(false), ..daemon.server(hbb::NatType::Asymmetric) };
    let id = daemon.id.clone();
    lab.run(Place::Controller, async move {
        let options = Options::with_password(PASSWORD);
        let mut controller = Controller::connect_by_relay(&server, &id, "10.77.0.1", None, options).unwrap();
        let reason = controller.wait_for_end(PATIENCE).unwrap().expect("a reason");
        assert!(reason.contains("require-encryption"), "{reason}");
    });
}

#[test]
fn the_doctor_calls_the_own_id_as_an_app_would() {
    let lab = lab_or_skip!(true);
    let daemon = start(&lab);
    let own_call = |key: &str| {
        let config = daemon.dir.path().join("kvmdesk.toml");
        let key = if key.is_empty() { String::new() } else { format!("key = \"{key}\"") };
        let text = format!(
            "[server]\nhost = \"{HBBS}\"\n{key}\n[hid]\nbackend = \"recording\"\n[video]\nsource = \"pattern\"\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &lab.name(Place::Device),
            env!("CARGO_BIN_EXE_kvmdesk"),
            "doctor",
            "--json",
        ]);
        command.arg("--config").arg(&config).arg("--state-dir").arg(daemon.dir.path().join("state"));
        let output = command.output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = told["checks"].as_array().unwrap();
        let own = checks.iter().find(|check| check["subject"] == "own call").cloned();
        own.unwrap_or_else(|| panic!("{told:#}"))
    };
    let well = own_call(&daemon.key);
    assert_eq!(well["verdict"], "ok", "{well:#}");
    let text = well["text"].as_str().unwrap();
    assert!(text.contains("signs its key") && text.contains(":21117 joins the two"), "{text}");
    // Another server's key, as after hbbs was set up anew, and none: this server lets nobody ask without its own.
    for key in ["A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", ""] {
        let refused = own_call(key);
        assert_eq!(refused["verdict"], "fail", "{refused:#}");
        assert!(refused["text"].as_str().unwrap().contains("wants another key"), "{refused:#}");
    }
}
