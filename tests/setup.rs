//! `kvmdesk setup`: what it writes, what it leaves, what it says and never says.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kvmdesk::config::server_string::ServerString;
use serde_json::Value;

use crate::support::controller::LONG;
use crate::support::procs::Proc;
use crate::support::terminal::terminal;

mod seed;
mod takeover;

/// A key as hbbs makes it.
const KEY: &str = "OeVuKk5nlHiXp+APNn0Y3pC1Iwpwn44JGqrQCsWqmBw=";
/// As the app exports it: rustdesk.example.org with that key.
const EXPORTED: &str = "9JSP3JUbxd1cDFlcxdkS0Qjb3B3dJFzQwNTWw4mTQF0KwhVaIxmb1s2S1ZVZPJiOikXZrJCLicmcv5SZsBXbhhXZus2clRGdzVncv8iOzBHd0hmI6ISawFmIsIiI6ISehxWZyJCLicmcv5SZsBXbhhXZus2clRGdzVnciojI0N3boJye";
/// A daemon without hardware.
const NO_HARDWARE: &str = "# mine\n[video]\nsource = \"pattern\" # a card\n[audio]\ndevice = \"off\"\n[hid]\nbackend = \"recording\"\n\
                           [lan]\ndiscovery = false\n";

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvmdesk"));
    command.args(["setup", "--config", "etc/kvmdesk.toml", "--state-dir", "state"]).args(args);
    command.current_dir(dir).env("HOME", dir).stdin(Stdio::null());
    for (name, _) in kvmdesk::config::settings::ENVIRONMENT {
        command.env_remove(name);
    }
    command
}

fn setup(dir: &Path, args: &[&str]) -> Output {
    command(dir, &[&["--non-interactive"], args].concat()).output().unwrap()
}

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|s| String::from_utf8_lossy(s).into_owned());
    out + &err
}

fn read(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

#[test]
fn flags_write_a_configuration_a_password_and_say_id_and_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("secret"), "correct horse\n").unwrap();
    let args = [
        "--server",
        "a.example",
        "--key",
        KEY,
        "--password-file",
        "secret",
        "--name",
        "office",
        "--target-os",
        "linux",
        "--layout",
        "de",
    ];
    let first = setup(dir, &args);
    let told = json(&first);
    let mut id = Command::new(env!("CARGO_BIN_EXE_kvmdesk"));
    let id = id.args(["id", "--state-dir", "state"]).current_dir(dir).output().unwrap();
    assert_eq!(told["id"], String::from_utf8(id.stdout).unwrap().trim());
    let fingerprint = told["key_fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.split(' ').map(str::len).collect::<Vec<_>>(), [4; 16], "{fingerprint}");
    assert_eq!((&told["name"], &told["server"]), (&"office".into(), &"a.example:21116".into()));
    assert_eq!((&told["password"], &told["backup"]), (&"permanent".into(), &Value::Null));
    assert_eq!((&told["is_config_changed"], &told["warnings"]), (&true.into(), &Value::Array(vec![])));
    let config = read(dir, "etc/kvmdesk.toml");
    assert_eq!(
        config,
        format!(
            "[server]\nhost = \"a.example\"\nkey = \"{KEY}\"\n\n[[target]]\nname = \"office\"\nos = \"linux\"\n\
             keyboard-layout = \"de\"\n"
        )
    );
    let mode = fs::metadata(dir.join("etc/kvmdesk.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the daemon is another user");
    for secret in ["horse", KEY] {
        assert!(!said(&first).contains(secret), "{}", said(&first));
    }
    let password = read(dir, "state/targets/1/password.json");
    assert!(!password.contains("horse"));

    let told = json(&setup(dir, &args));
    assert_eq!((&told["is_config_changed"], &told["backup"]), (&false.into(), &Value::Null));
    assert_eq!(
        (read(dir, "etc/kvmdesk.toml"), read(dir, "state/targets/1/password.json")),
        (config, password)
    );
    assert_eq!(fs::read_dir(dir.join("etc")).unwrap().count(), 1, "no leftovers");
}

#[test]
fn what_the_user_wrote_stays_and_the_file_from_before_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/real.toml"), NO_HARDWARE).unwrap();
    fs::set_permissions(dir.join("etc/real.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.toml", dir.join("etc/kvmdesk.toml")).unwrap();
    let told = json(&setup(dir, &["--server-config", EXPORTED, "--name", "office"]));
    let want = format!(
        "{NO_HARDWARE}\n[server]\nhost = \"rustdesk.example.org\"\nkey = \"{KEY}\"\n\n[[target]]\nname = \"office\"\n"
    );
    assert_eq!(read(dir, "etc/real.toml"), want);
    assert!(fs::symlink_metadata(dir.join("etc/kvmdesk.toml")).unwrap().is_symlink());
    assert!(told["backup"].as_str().unwrap().ends_with("/real.toml.bak"), "{told:#}");
    assert_eq!(read(dir, "etc/real.toml.bak"), NO_HARDWARE);
    for file in ["etc/real.toml", "etc/real.toml.bak"] {
        assert_eq!(fs::metadata(dir.join(file)).unwrap().permissions().mode() & 0o777, 0o640, "{file}");
    }
    assert_eq!(told["password"], "one-time");
    let told = json(&setup(dir, &["--server", "b.example", "--key", "shortened"]));
    assert!(told["warnings"][0].as_str().unwrap().contains("copied whole"), "{told:#}");
    assert!(!told.to_string().contains("shortened"));
}

#[test]
fn a_wrong_value_is_a_sentence_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("short"), "abc\n").unwrap();
    for (args, code, sentence) in [
        (&["--server", "http://x"][..], 64, "server.host: "),
        (&["--server", "x", "--key", "two words"], 64, "server.key: the key is one word"),
        (&["--key", KEY], 64, "server.host"),
        (&["--name", ""], 64, "target.name: a name has 1 to 63 characters"),
        (&["--layout", "klingon"], 64, "target.keyboard-layout: "),
        (&["--target-os", "amiga"], 64, "--target-os"),
        (&["--server-config", "nonsense"], 64, "no server configuration of the RustDesk app"),
        (&["--server-config", EXPORTED, "--server", "x"], 64, "cannot be used with"),
        (&["--server", "x", "--password-file", "short"], 64, "take at least 6; nothing was changed"),
        (&["--password-file", "missing"], 74, "cannot read missing"),
    ] {
        let output = setup(dir, args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(sentence), "{args:?}: {}", said(&output));
        assert!(output.stdout.is_empty() && !said(&output).contains("abc"), "{args:?}");
    }
    assert!(!dir.join("etc").exists() && !dir.join("state").exists());
    fs::create_dir(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/kvmdesk.toml"), "[video]\nfps = 3\n").unwrap();
    let output = setup(dir, &["--server", "x"]);
    assert_eq!(output.status.code(), Some(78), "the file was wrong before");
    assert!(said(&output).contains("kvmdesk.toml:2: video.fps: unknown key"), "{}", said(&output));
    assert_eq!(read(dir, "etc/kvmdesk.toml"), "[video]\nfps = 3\n");
}

#[test]
fn a_running_daemon_takes_the_password_and_is_to_be_told_of_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/kvmdesk.toml"), NO_HARDWARE).unwrap();
    let daemon = Proc::kvmdesk(dir, &["run", "--config", "etc/kvmdesk.toml", "--state-dir", "state"]);
    let status = |args: &[&str]| {
        let status = ["status", "--json", "--state-dir", "state"];
        Command::new(env!("CARGO_BIN_EXE_kvmdesk")).args(status).args(args).current_dir(dir).output().unwrap()
    };
    let until = std::time::Instant::now() + LONG;
    while status(&[]).status.code() != Some(0) {
        assert!(std::time::Instant::now() < until, "{}", daemon.output());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    fs::write(dir.join("secret"), "correct horse").unwrap();
    let told = json(&setup(dir, &["--name", "office", "--password-file", "secret"]));
    assert_eq!(told["is_running"], true);
    assert!(told["warnings"].to_string().contains("systemctl reload kvmdesk"), "{told:#}");
    let status: Value = serde_json::from_slice(&status(&[]).stdout).unwrap();
    assert_eq!((&status["target"]["password"], &status["target"]["id"]), (&"permanent".into(), &told["id"]));
}

/// A dialogue on a terminal of its own.
struct Dialogue {
    end: fs::File,
    child: std::process::Child,
    screen: String,
}

impl Dialogue {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let (end, near) = terminal();
        let near = || fs::OpenOptions::new().read(true).write(true).open(&near).unwrap();
        let child = command(dir, args).stdin(near()).stdout(near()).stderr(near()).spawn().unwrap();
        Self { end, child, screen: String::new() }
    }

    /// Waits until something new on the screen has `text` in it.
    fn wait_for(&mut self, text: &str) -> String {
        let until = std::time::Instant::now() + 4 * LONG;
        loop {
            if let Some(at) = self.screen.find(text) {
                let rest = self.screen.split_off(at + text.len());
                return std::mem::replace(&mut self.screen, rest);
            }
            let mut buffer = [0; 4096];
            match self.end.read(&mut buffer) {
                Ok(len) => self.screen += &String::from_utf8_lossy(&buffer[..len]),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
            assert!(std::time::Instant::now() < until, "{text} did not come: {}", self.screen);
        }
    }

    /// Answers a question; what came before it.
    fn answer(&mut self, question: &str, answer: &str) -> String {
        let before = self.wait_for(question);
        self.end.write_all(format!("{answer}\n").as_bytes()).unwrap();
        before
    }
}

#[test]
fn the_dialogue_asks_what_is_open_and_shows_how_to_get_in() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/kvmdesk.toml"), NO_HARDWARE).unwrap();
    // Nobody listens there: the look at the end is over at once.
    let server = ServerString { host: "127.0.0.1:1".into(), key: KEY.into(), ..ServerString::default() };
    let mut dialogue = Dialogue::start(dir, &["--layout", "de"]);
    let looked = dialogue.answer("ID server [none]: ", "http://x");
    assert!(looked.contains("picture") && looked.contains("encoders"), "{looked}");
    assert!(!looked.contains("daemon"), "only the hardware: {looked}");
    let told = dialogue.answer("ID server [none]: ", &server.encode());
    assert!(told.contains("server.host: ") || told.contains("`http://x`"), "{told}");
    dialogue.answer("[kvmdesk]: ", "office");
    dialogue.answer("[windows]: ", "amiga");
    dialogue.answer("[windows]: ", "linux");
    let told = dialogue.answer("New password: ", "abc");
    assert!(told.contains("Take another one for each board"), "{told}");
    let mut hidden = dialogue.answer("New password: ", "correct horse");
    hidden += &dialogue.answer("Again: ", "correct house");
    hidden += &dialogue.answer("New password: ", "correct horse");
    assert!(hidden.contains("the two differ"), "{hidden}");
    assert_eq!(read(dir, "etc/kvmdesk.toml"), NO_HARDWARE, "nothing before the last answer");
    hidden += &dialogue.answer("Again: ", "correct horse");
    hidden += &dialogue.answer("Start kvmdesk now (y/n) [y]: ", "n");
    assert!(hidden.contains("is changed; as it was before: "), "{hidden}");
    let end = dialogue.wait_for("Key  ");
    assert!(!hidden.contains("horse") && !end.contains("horse"), "{hidden}{end}");
    assert!(end.contains("warn  daemon"), "{end}");
    let link = end.lines().find_map(|line| line.strip_prefix("rustdesk://")).unwrap().to_owned();
    assert!(end.contains(&format!("ID   {link}")), "{end}");
    assert_eq!(end.matches("█▀▀▀▀▀█").count(), 2 * 2 + 2, "two corners above and one below, twice: {end}");
    assert_eq!(dialogue.child.wait().unwrap().code(), Some(0));
    let want = format!(
        "{NO_HARDWARE}\n[server]\nhost = \"127.0.0.1:1\"\nkey = \"{KEY}\"\n\n[[target]]\nname = \"office\"\n\
         os = \"linux\"\nkeyboard-layout = \"de\"\n"
    );
    assert_eq!(read(dir, "etc/kvmdesk.toml"), want);
    assert!(dir.join("state/targets/1/password.json").exists());
    let no_terminal = command(dir, &[]).output().unwrap();
    assert_eq!(no_terminal.status.code(), Some(64));
    assert!(said(&no_terminal).contains("--non-interactive"), "{}", said(&no_terminal));
}
