//! The binary: what it prints, what it keeps, how it ends.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::controller::{Controller, LONG, Options};
use crate::support::hidlog::HidLog;
use crate::support::is_strict;
use crate::support::procs::Proc;

pub(crate) fn kvmdesk(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvmdesk"));
    command.args(args).current_dir(dir).env("HOME", dir).stdin(Stdio::null());
    for (name, _) in kvmdesk::config::settings::ENVIRONMENT {
        command.env_remove(name);
    }
    command
}

pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    kvmdesk(dir, args).output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

/// A demo that listens on a free port, and its address as it prints it.
pub(crate) fn demo(dir: &Path, more: &[&str]) -> (Proc, SocketAddr) {
    let state = dir.join("state").display().to_string();
    let mut args = vec!["demo", "--direct", "127.0.0.1:0", "--state-dir", &state];
    args.extend(more);
    let demo = Proc::kvmdesk(dir, &args);
    let address = demo.wait_for_line(LONG, |line| line.trim().parse::<SocketAddr>().ok());
    assert_ne!(address.port(), 0);
    (demo, address)
}

#[test]
fn a_command_whose_reader_leaves_ends_quietly() {
    use std::os::unix::process::ExitStatusExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty.toml"), "").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended =
        kvmdesk(dir.path(), &["check", "--show", "--config", "empty.toml"]).stdout(writer).output().unwrap();
    assert_eq!((ended.status.signal(), err(&ended)), (Some(13), String::new()), "SIGPIPE and no panic");
}

#[test]
fn help_names_every_command_and_a_wrong_line_is_64() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["--help"]);
    assert_eq!(code(&help), 0);
    let commands = [
        "setup", "run", "demo", "check", "gadget", "wake", "id", "password", "unlock", "sessions", "status",
        "snapshot", "probe", "doctor", "report", "bench", "type",
    ];
    for command in commands {
        assert!(out(&help).contains(&format!("\n  {command} ")), "{}", out(&help));
        let help = run(dir.path(), &[command, "--help"]);
        assert_eq!(code(&help), 0, "{command}");
        assert!(!out(&help).contains('\x1b'), "no colour off a terminal");
    }
    let version = run(dir.path(), &["--version"]);
    assert_eq!(out(&version).trim(), format!("kvmdesk {}", env!("CARGO_PKG_VERSION")));
    for wrong in [
        &["dance"][..],
        &[],
        &["id", "--reset", "--export", "x"],
        &["password", "secret12"],
        &["snapshot"],
        &["snapshot", "x.png", "--display", "0"],
        &["bench", "--clip", "bios"],
        &["bench", "--rounds", "0"],
    ] {
        assert_eq!(code(&run(dir.path(), wrong)), 64, "{wrong:?}");
    }
    assert_eq!(code(&run(dir.path(), &["demo", "--key", "k"])), 64, "a key without a server");
}

#[test]
fn manual_pages_and_completions_name_every_command_and_are_always_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let help = out(&run(dir.path(), &["--help"]));
    assert!(!help.contains("manual"), "for packages, not for users: {help}");
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty()))
        .filter(|word| *word != "help")
        .collect();
    assert!(commands.len() >= 14, "{commands:?}");
    for name in ["one", "two"] {
        let output = run(dir.path(), &["manual", name]);
        assert_eq!((code(&output), err(&output)), (0, String::new()));
    }
    let files =
        ["bash-completion/completions/kvmdesk", "zsh/vendor-completions/_kvmdesk"].into_iter().chain([
            "fish/vendor_completions.d/kvmdesk.fish",
            "man/man1/kvmdesk.1",
            "man/man1/kvmdesk-gadget-up.1",
        ]);
    for file in files {
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name).join(file)).unwrap();
        assert_eq!(read("one"), read("two"), "{file}");
        if !file.contains("gadget-up") {
            for command in &commands {
                assert!(read("one").contains(command), "{file}: {command}");
            }
        }
    }
    for command in &commands {
        let page =
            std::fs::read_to_string(dir.path().join(format!("one/man/man1/kvmdesk-{command}.1"))).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(!dir.path().join("one/man/man1/kvmdesk-manual.1").exists());
    let bash = dir.path().join("one/bash-completion/completions/kvmdesk");
    assert!(Command::new("bash").arg("-n").arg(bash).status().unwrap().success());
    std::fs::write(dir.path().join("taken"), "").unwrap();
    assert_eq!(code(&run(dir.path(), &["manual", "taken"])), 74);
}

#[test]
fn the_journal_gets_priorities_and_no_times_and_others_do_not() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "[video]\nfps = 3\n").unwrap();
    let said = |is_journal: bool| {
        let path = dir.path().join("stderr");
        let file = std::fs::File::create(&path).unwrap();
        let meta = file.metadata().unwrap();
        // As systemd tells a service whose standard error is the journal; else the variable of another stream.
        let stream = format!("{}:{}", meta.dev(), meta.ino() + u64::from(!is_journal));
        let mut daemon = kvmdesk(dir.path(), &["demo", "--direct", "127.0.0.1:0", "--state-dir", "state"])
            .env("JOURNAL_STREAM", &stream)
            .stdout(Stdio::null())
            .stderr(file.try_clone().unwrap())
            .spawn()
            .unwrap();
        let read = || std::fs::read_to_string(&path).unwrap();
        let began = Instant::now();
        while !read().contains("direct access is open") {
            assert!(began.elapsed() < LONG, "{}", read());
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        let failed = kvmdesk(dir.path(), &["check", "--config", "bad.toml"])
            .env("JOURNAL_STREAM", &stream)
            .stderr(file)
            .status()
            .unwrap();
        assert_eq!(failed.code(), Some(78));
        read()
    };
    let journal = said(true);
    let line = |text: &str| journal.lines().find(|l| l.contains(text)).unwrap_or_default().to_owned();
    assert!(line("direct access is open").starts_with("<6>direct access is open"), "{journal}");
    assert!(line("unknown key").starts_with("<3>kvmdesk: "), "{journal}");
    let plain = said(false);
    assert!(plain.contains(" INFO ") && !plain.contains('<'), "{plain}");
}

#[test]
fn the_id_stays_until_it_is_reset_and_moves_by_export() {
    let dir = tempfile::tempdir().unwrap();
    let id = |args: &[&str]| {
        let output = run(dir.path(), &[&["id", "--state-dir", "state"], args].concat());
        assert_eq!(code(&output), 0, "{}", err(&output));
        out(&output).trim().to_owned()
    };
    let first = id(&[]);
    assert!(first.len() == 9 && first.bytes().all(|b| b.is_ascii_digit()), "{first}");
    assert_eq!(id(&[]), first);
    id(&["--export", "kept.json"]);
    let second = id(&["--reset"]);
    assert_ne!(second, first);
    assert_eq!(id(&["--import", "kept.json"]), first);
    let missing = run(dir.path(), &["id", "--state-dir", "state", "--import", "nothing.json"]);
    assert_eq!(code(&missing), 74);
    assert!(err(&missing).contains("nothing.json"), "{}", err(&missing));
}

#[test]
fn a_password_comes_from_file_or_stdin_without_its_newline() {
    let dir = tempfile::tempdir().unwrap();
    let stored = || std::fs::read_to_string(dir.path().join("state/targets/1/password.json")).unwrap();
    std::fs::write(dir.path().join("secret"), "correct horse\n").unwrap();
    let by_file = run(dir.path(), &["password", "--file", "secret", "--state-dir", "state"]);
    assert_eq!(code(&by_file), 0, "{}", err(&by_file));
    let first = stored();
    assert!(!first.contains("horse"));
    let by_stdin = |text: &str| {
        let mut child = kvmdesk(dir.path(), &["password", "--stdin", "--state-dir", "state"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert_eq!(code(&by_stdin("correct horse")), 0);
    assert_eq!(stored(), first, "the newline is not part of it");
    assert_eq!(code(&by_stdin("another horse")), 0);
    let second = stored();
    assert_ne!(second, first);
    assert_eq!(code(&by_stdin("short")), 64);
    assert_eq!(code(&by_stdin("")), 64);
    assert_eq!(stored(), second, "a refused password changes nothing");
    let no_terminal = run(dir.path(), &["password", "--state-dir", "state"]);
    assert_eq!(code(&no_terminal), 64);
    assert!(err(&no_terminal).contains("--stdin"), "{}", err(&no_terminal));
    assert_eq!(code(&run(dir.path(), &["password", "--clear", "--state-dir", "state"])), 0);
    assert!(!dir.path().join("state/targets/1/password.json").exists());
}

#[test]
fn check_is_strict_and_shows_origins_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("good.toml"),
        "[server]\nhost = \"a.example\"\nkey = \"hidden-key\"\n[video]\nsource = \"pattern\"\n[hid]\nbackend = \"recording\"\n",
    )
    .unwrap();
    let shown = run(dir.path(), &["check", "--config", "good.toml", "--show"]);
    assert_eq!(code(&shown), 0, "{}", err(&shown));
    let line = |key: &str| {
        out(&shown).lines().find(|l| l.starts_with(&format!("{key} "))).unwrap_or_default().to_owned()
    };
    assert!(line("server.key").contains("***") && line("server.key").contains("file"), "{}", out(&shown));
    assert!(line("video.max-fps").contains("default"), "{}", out(&shown));
    assert!(!out(&shown).contains("hidden-key"));
    std::fs::write(dir.path().join("bad.toml"), "[video]\nfps = 3\n").unwrap();
    let bad = run(dir.path(), &["check", "--config", "bad.toml"]);
    assert_eq!(code(&bad), 78);
    assert!(err(&bad).contains("bad.toml:2: video.fps: unknown key"), "{}", err(&bad));
    assert_eq!(code(&run(dir.path(), &["check", "--config", "missing.toml"])), 78);
}

#[test]
fn nobody_runs_so_nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["status"][..], &["unlock"], &["sessions", "--end", "1"], &["password", "--show-once"]] {
        let output = run(dir.path(), &[args, &["--state-dir", "state"]].concat());
        assert_eq!(code(&output), 69, "{args:?}");
        assert!(err(&output).contains("is not running"), "{}", err(&output));
    }
    assert_eq!(code(&run(dir.path(), &["sessions", "--state-dir", "state"])), 0);
}

#[test]
fn the_demo_serves_answers_and_ends_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let (mut demo, address) = demo(dir.path(), &[]);
    let password = demo.wait_for_line(LONG, |line| {
        line.contains("One-time password").then(|| line.rsplit(' ').next().unwrap_or_default().to_owned())
    });
    let once = run(dir.path(), &["password", "--show-once", "--state-dir", "state"]);
    assert_eq!(out(&once).trim(), password);
    let mut controller = Controller::connect_direct(address, Options::with_password(&password)).unwrap();
    controller.log_in().unwrap();
    controller.first_picture(LONG).unwrap();

    let json = run(dir.path(), &["status", "--json", "--state-dir", "state"]);
    let status: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(status["target"]["sessions"][0]["my_name"], "Scripted");
    assert_eq!(status["target"]["direct"]["listen"], address.to_string());
    let text = out(&run(dir.path(), &["status", "--state-dir", "state"]));
    assert!(text.contains("Scripted") && text.contains("in clear"), "{text}");
    assert_eq!(code(&run(dir.path(), &["id", "--reset", "--state-dir", "state"])), 69, "not while it runs");
    let number = status["target"]["sessions"][0]["session"].to_string();
    assert_eq!(code(&run(dir.path(), &["sessions", "--end", &number, "--state-dir", "state"])), 0);
    controller.wait_for_end(LONG).unwrap();
    assert!(out(&run(dir.path(), &["sessions", "--state-dir", "state"])).contains("Scripted"));

    let told = Instant::now();
    demo.terminate();
    assert_eq!(demo.wait(LONG).code(), Some(0));
    assert!(!is_strict() || told.elapsed() < Duration::from_secs(2), "it took {:?}", told.elapsed());
    let said = demo.output();
    let logs: String = said.lines().filter(|l| l.contains(" INFO ") || l.contains(" WARN ")).collect();
    assert!(!logs.contains(&password), "no secrets in logs: {logs}");
}

#[test]
fn a_text_is_typed_from_the_shell_and_what_has_no_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let none = run(dir.path(), &["type", "x", "--state-dir", "state"]);
    assert_eq!(code(&none), 69, "{}", err(&none));
    let (_demo, _) = demo(dir.path(), &["--hid-log", "hid.jsonl"]);
    let long = "ab".repeat(150);
    let output = run(dir.path(), &["type", &long, "--state-dir", "state"]);
    assert_eq!((code(&output), err(&output)), (0, String::new()));
    let mut child = kvmdesk(dir.path(), &["type", "--state-dir", "state"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all("cédж\n".as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 64);
    assert!(err(&output).contains("no keys for: é ж."), "{}", err(&output));
    let reports = HidLog::new(&dir.path().join("hid.jsonl")).reports();
    let typed: Vec<u8> = reports.iter().map(|r| r.bytes[2]).filter(|usage| *usage != 0).collect();
    let mut want = [4, 5].repeat(150);
    want.extend([6, 7, 0x28]);
    assert_eq!(typed, want, "all of it, once, in order, and nothing is left when the command ends");
}

#[test]
fn a_taken_address_is_69_and_a_password_file_is_read_first() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(dir.path(), &["demo", "--direct", &address, "--state-dir", "state"]);
    assert_eq!(code(&output), 69);
    assert!(err(&output).contains("choose another with --direct"), "{}", err(&output));
    let output = run(dir.path(), &["demo", "--password-file", "missing", "--state-dir", "other"]);
    assert_eq!(code(&output), 74);
    assert!(!dir.path().join("other").exists());
    let output = run(dir.path(), &["demo", "--server", "http://x", "--state-dir", "other"]);
    assert_eq!(code(&output), 78);
}

#[test]
fn a_bad_file_at_start_means_the_last_good_copy_loudly() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kvmdesk.toml");
    let good = "[direct]\nlisten = \"127.0.0.1:0\"\nallow-plaintext = true\n[[target]]\nname = \"kept\"\n\
                [video]\nsource = \"pattern\"\n[hid]\nbackend = \"recording\"\n";
    let args = ["run", "--config", "kvmdesk.toml", "--state-dir", "state"];
    std::fs::write(&file, "[video]\nfps = 3\n").unwrap();
    let none = run(dir.path(), &args);
    assert_eq!(code(&none), 78, "no good copy: {}", err(&none));
    assert!(err(&none).contains("kvmdesk.toml:2"), "{}", err(&none));

    std::fs::write(&file, good).unwrap();
    let mut daemon = Proc::kvmdesk(dir.path(), &args);
    daemon.wait_for_line(LONG, |line| line.contains("direct access is open").then_some(()));
    daemon.terminate();
    assert_eq!(daemon.wait(LONG).code(), Some(0));
    assert!(!daemon.output().contains("One-time password"), "only a terminal is told");

    std::fs::write(&file, "[video]\nfps = 3\n").unwrap();
    let mut daemon = Proc::kvmdesk(dir.path(), &args);
    daemon.wait_for_line(LONG, |line| {
        (line.contains("ERROR") && line.contains("last good copy")).then_some(())
    });
    daemon.wait_for_line(LONG, |line| line.contains("direct access is open").then_some(()));
    let status = out(&run(dir.path(), &["status", "--state-dir", "state"]));
    assert!(status.contains("kept") && status.contains("kvmdesk.toml:2: video.fps"), "{status}");
    // What the daemon runs with is what the others judge and build by.
    let doctor = out(&run(dir.path(), &["doctor", "--config", "kvmdesk.toml", "--state-dir", "state"]));
    assert!(
        doctor.contains("kvmdesk.toml:2: video.fps") && doctor.contains("the last good copy holds"),
        "{doctor}"
    );
    assert!(doctor.contains("hands"), "{doctor}");
    let gadget = run(dir.path(), &["gadget", "up", "--config", "kvmdesk.toml", "--state-dir", "state"]);
    assert!(
        err(&gadget).contains("last good copy") && err(&gadget).contains("another hid.backend"),
        "{}",
        err(&gadget)
    );
    daemon.terminate();
    assert_eq!(daemon.wait(LONG).code(), Some(0));
}

/// Width, height and whether there is more than one colour in a PNG of red, green and blue.
fn decode(png: &[u8]) -> (u32, u32, bool) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    let first = pixels[..3].to_vec();
    (info.width, info.height, pixels.chunks(3).any(|pixel| pixel != first))
}

#[test]
fn a_snapshot_comes_from_the_running_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let (_demo, _) = demo(dir.path(), &[]);
    let json = run(dir.path(), &["status", "--json", "--state-dir", "state"]);
    let status: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    let size = status["target"]["video"]["resolution"].as_str().unwrap().to_owned();

    let stored = run(dir.path(), &["snapshot", "now.png", "--state-dir", "state"]);
    assert_eq!(code(&stored), 0, "{}", err(&stored));
    assert!(out(&stored).starts_with(&format!("now.png: {size}, ")), "{}", out(&stored));
    let (width, height, has_colours) = decode(&std::fs::read(dir.path().join("now.png")).unwrap());
    assert_eq!(format!("{width}x{height}"), size);
    assert!(has_colours);
    let piped = run(dir.path(), &["snapshot", "-", "--state-dir", "state"]);
    assert_eq!(decode(&piped.stdout), (width, height, true), "nothing but the PNG: {}", err(&piped));

    let missing = run(dir.path(), &["snapshot", "x.png", "--display", "2", "--state-dir", "state"]);
    assert_eq!(code(&missing), 69);
    assert!(err(&missing).contains("there is no display 2"), "{}", err(&missing));
    assert!(!dir.path().join("x.png").exists());
    let nowhere = run(dir.path(), &["snapshot", "missing/x.png", "--state-dir", "state"]);
    assert_eq!(code(&nowhere), 74, "{}", err(&nowhere));
}

#[test]
fn a_snapshot_without_a_daemon_comes_from_the_configured_source() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = |config: &str| {
        std::fs::write(dir.path().join("c.toml"), config).unwrap();
        run(dir.path(), &["snapshot", "-", "--config", "c.toml", "--state-dir", "state"])
    };
    let card = snapshot("[video]\nsource = \"pattern\"\n");
    assert_eq!(code(&card), 0, "{}", err(&card));
    let (width, height, has_colours) = decode(&card.stdout);
    assert!(width >= 640 && height >= 360 && has_colours);
    let none = snapshot("[video]\ndevice = \"/nonexistent/video0\"\n");
    assert_eq!((code(&none), none.stdout.len()), (69, 0));
    assert!(err(&none).contains("No capture device"), "{}", err(&none));
    assert_eq!(code(&snapshot("[video]\nfps = 3\n")), 78);
    assert!(!dir.path().join("state").exists(), "looking makes no state directory");
}

#[test]
fn probe_tells_what_would_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[video]\ndevice = \"/nonexistent/video0\"\n[audio]\ndevice = \"off\"\n[hid]\nbackend = \"recording\"\n";
    std::fs::write(dir.path().join("c.toml"), config).unwrap();
    let args = ["probe", "--config", "c.toml"];
    let json = run(dir.path(), &[&args[..], &["--json"]].concat());
    assert_eq!(code(&json), 0, "{}", err(&json));
    let report: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    for key in ["captures", "passed_over", "sound_cards", "encoders", "usb_controllers"] {
        assert!(report[key].is_array(), "{key} in {report:#}");
    }
    let board = &report["board"];
    assert!(
        ["profile", "name", "why"].iter().all(|key| !board[key].as_str().unwrap().is_empty()),
        "{board:#}"
    );
    let display = &report["choice"]["displays"][0];
    assert!(display["device"].is_null(), "{display:#}");
    assert!(display["note"].as_str().unwrap().contains("/nonexistent/video0 is not there"), "{display:#}");
    assert_eq!(report["choice"]["hands"]["device"], "recording");
    let encoders = report["encoders"].as_array().unwrap();
    let openh264 = encoders.iter().find(|e| e["name"] == "openh264").unwrap();
    assert_eq!((&openh264["codec"], &openh264["state"]), (&"H.264".into(), &"good".into()), "{openh264:#}");
    assert_eq!(encoders.iter().filter(|e| e["codec"] == "H.264" && e["is_chosen"] == true).count(), 1);
    let text = out(&run(dir.path(), &args));
    for part in [
        "\nBoard: ",
        "Pictures",
        "Encoders",
        "openh264",
        "would use",
        "NOTHING: /nonexistent/video0 is not there",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    std::fs::write(dir.path().join("c.toml"), "[video]\nfps = 3\n").unwrap();
    let wrong = run(dir.path(), &args);
    assert_eq!(code(&wrong), 0, "it helps where the configuration does not");
    assert!(out(&wrong).contains("! c.toml:2: video.fps"), "{}", out(&wrong));
}
