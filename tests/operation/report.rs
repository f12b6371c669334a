//! The report holds what helps and nothing that is secret.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kvmdesk::agent::secrets;
use kvmdesk::agent::store::Store;

use crate::cli::{code, demo, err, out, run};
use crate::support::controller::LONG;

const KEY: &str = "OeVuKk5nlHiXp+APNn0Y3pC1Iwpwn44JGqrQCsWqmBw=";

/// Every text in every file of a directory that is as long as a secret would be and has no spaces.
fn words(dir: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            words(&path, into);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            into.extend(
                text.split(['"', ' ', '\n'])
                    .filter(|w| w.len() >= 16 && !w.contains(['/', '.', '-']))
                    .map(str::to_owned),
            );
        }
    }
}

#[test]
fn no_secret_of_state_or_configuration_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (daemon, _) = demo(dir.path(), &[]);
    let once = daemon.wait_for_line(LONG, |line| {
        line.contains("One-time password").then(|| line.rsplit(' ').next().unwrap_or_default().to_owned())
    });
    let config = format!(
        "# key = \"{KEY}\"\n[server]\nhost = \"127.0.0.1:1\"\nkey = \"{KEY}\"\n[[target]]\nname = \"{once}\"\n\
         [video]\nsource = \"pattern\"\n[hid]\nbackend = \"recording\"\n"
    );
    std::fs::write(dir.path().join("c.toml"), config).unwrap();
    std::fs::write(dir.path().join("secret"), "correct horse").unwrap();
    let args = ["--config", "c.toml", "--state-dir", "state"];
    let report = |to: &[&str]| {
        let output = run(dir.path(), &[&["report"], to, &args[..]].concat());
        assert_eq!(code(&output), 0, "{}", err(&output));
        out(&output)
    };
    // While there is a one-time password, even if it stands where nobody would look for it.
    let page = report(&["-"]);
    assert!(page.contains("target.name") && !page.contains(&once), "{page}");
    let output = run(dir.path(), &[&["password", "--file", "secret"], &args[..]].concat());
    assert_eq!(code(&output), 0, "{}", err(&output));

    let said = report(&[]);
    let file = dir.path().join("kvmdesk-report.txt");
    let canonical = std::fs::canonicalize(&file).unwrap();
    assert!(said.contains(&canonical.display().to_string()), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let page = std::fs::read_to_string(&file).unwrap();
    let names = [
        "system",
        "doctor",
        "status",
        "probe",
        "settings",
        "configuration file",
        "USB gadget",
        "device nodes",
        "kernel log",
        "journal",
    ];
    for name in names {
        assert!(page.contains(&format!("===== {name} =====\n")), "{name} is missing in {page}");
        assert!(said.contains(&format!("\n  {name} ")), "{name} is not told in {said}");
    }
    // The probe's and the doctor's own words.
    for part in
        ["\"uptime_seconds\"", "`kvmdesk run` would use", "Failed: ", "host = \"127.0.0.1:1\"", "key = ***"]
    {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    let known = secrets::of(&Store::at(&dir.path().join("state")));
    assert!(known.len() >= 4, "uuid, key, salt, password: {known:?}");
    let mut all = known.clone();
    words(&dir.path().join("state"), &mut all);
    assert!(all.len() > known.len());
    all.extend([KEY.to_owned(), "correct horse".to_owned()]);
    for secret in all {
        assert!(!page.contains(&secret) && !said.contains(&secret), "{secret} is in {page}\n{said}");
    }
}

#[test]
fn it_is_written_without_a_daemon_and_with_a_wrong_configuration_too() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c.toml"), format!("[server]\nkey = \"{KEY}\"\nhots = \"a\"\n")).unwrap();
    let output = run(dir.path(), &["report", "-", "--config", "c.toml", "--state-dir", "state"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let page = out(&output);
    assert!(page.contains("is not running") && page.contains("c.toml:3: server.hots: unknown key"), "{page}");
    assert!(page.contains("left out, because it cannot be understood") && !page.contains(KEY), "{page}");
    assert!(!dir.path().join("state").exists(), "it only looks");
    let nowhere = run(dir.path(), &["report", "missing/r.txt", "--config", "c.toml", "--state-dir", "state"]);
    assert_eq!(code(&nowhere), 74, "{}", err(&nowhere));
}
