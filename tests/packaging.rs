//! What is installed: units, scripts, manual pages, the package's list of files. The scripts run against a root of their own
//! with stand-ins for the system's tools.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn repo() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(repo().join(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn manifest() -> toml::Table {
    fs::read_to_string(repo().join("Cargo.toml")).unwrap().parse().unwrap()
}

/// From and to of every asset of the package.
fn assets() -> Vec<(String, String, String)> {
    let manifest = manifest();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    manifest["package"]["metadata"]["deb"]["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|asset| (text(&asset[0]), text(&asset[1]), text(&asset[2])))
        .collect()
}

/// The files that a pattern with whole-name stars names.
fn glob(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![repo().to_owned()];
    for part in pattern.split('/') {
        found = found
            .into_iter()
            .flat_map(|dir| match part {
                "*" => fs::read_dir(&dir).map(|d| d.map(|e| e.unwrap().path()).collect()).unwrap_or_default(),
                name => vec![dir.join(name)],
            })
            .filter(|path| path.exists())
            .collect();
    }
    found.retain(|path| path.is_file());
    found
}

fn unit(name: &str) -> String {
    fs::read_to_string(repo().join("packaging/systemd").join(name)).unwrap()
}

fn tool(name: &str) -> bool {
    let is_there =
        Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap().status.success();
    if !is_there {
        println!("skipped: {name} is not installed");
    }
    is_there
}

#[test]
fn every_file_of_the_package_is_there() {
    for (from, to, mode) in assets() {
        if let Some(built) = from.strip_prefix("target/release/") {
            let script = fs::read_to_string(repo().join("packaging/build-deb.sh")).unwrap();
            assert!(built == "kvmdesk" || script.contains("release/share"), "{from}");
        } else {
            assert!(!glob(&from).is_empty(), "{from} (for {to}) is not there");
        }
        assert!(["644", "755"].contains(&mode.as_str()), "{from}: {mode}");
    }
    let manifest = manifest();
    let deb = &manifest["package"]["metadata"]["deb"];
    let scripts: Vec<_> = files(deb["maintainer-scripts"].as_str().unwrap());
    let names: BTreeSet<_> = scripts.iter().filter_map(|p| p.file_name()?.to_str()).collect();
    assert_eq!(names, BTreeSet::from(["postinst", "postrm", "preinst", "prerm", "trial"]));
    // What users change is asked about, never overwritten.
    assert_eq!(deb["conf-files"][0].as_str(), Some("/etc/kvmdesk/kvmdesk.toml"));
    assert!(assets().iter().any(|(from, to, _)| from == "config/kvmdesk.toml" && to == "etc/kvmdesk/"));
}

#[test]
fn every_unit_is_installed_and_names_only_units_and_keys_that_exist() {
    let installed: BTreeSet<_> = assets().into_iter().map(|(from, ..)| from).collect();
    let units: Vec<_> = files("packaging/systemd");
    for path in &units {
        let name = path.strip_prefix(repo()).unwrap().to_str().unwrap();
        assert!(installed.contains(name), "{name} is in no package");
    }
    let is_unit = |path: &&PathBuf| path.extension().is_some_and(|e| e == "service" || e == "path");
    for path in units.iter().filter(is_unit) {
        let text = fs::read_to_string(path).unwrap();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let is_section = line.starts_with('[') && line.ends_with(']');
            assert!(is_section || line.split_once('=').is_some_and(|(key, _)| !key.contains(' ')), "{line}");
            for name in line.split(['=', ' ']).filter(|w| w.starts_with("kvmdesk") && w.contains('.')) {
                let name = name.trim_end_matches(',');
                assert!(repo().join("packaging/systemd").join(name).exists(), "{line}: {name}");
            }
        }
    }
    if !tool("systemd-analyze") {
        return;
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(units.iter().filter(is_unit))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // Nothing is installed here, so that what the units run is not found.
    let complaints: Vec<_> =
        said.lines().filter(|line| line.contains("kvmdesk") && !line.contains("is not executable")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[test]
fn the_daemon_has_no_privileges_and_its_exposure_is_low() {
    let service = unit("kvmdesk.service");
    for line in [
        "Type=notify",
        "User=kvmdesk",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "StateDirectory=kvmdesk",
        "RuntimeDirectory=kvmdesk",
        "CacheDirectory=kvmdesk",
        "DevicePolicy=closed",
        "Restart=always",
    ] {
        assert!(service.lines().any(|l| l == line), "{line}");
    }
    for key in ["WatchdogSec=", "MemoryMax=", "SystemCallFilter=", "DeviceAllow=char-hidg"] {
        assert!(service.lines().any(|l| l.starts_with(key)), "{key}");
    }
    // Names that the code knows: the runtime directory of repairs, the state directory.
    assert_eq!(kvmdesk::config::settings::DEFAULT_STATE_DIR, "/var/lib/kvmdesk");
    assert!(unit("kvmdesk-gadget-repair.path").contains("PathExists=/run/kvmdesk/gadget-repair"));
    if !tool("systemd-analyze") {
        return;
    }
    let path = repo().join("packaging/systemd/kvmdesk.service");
    let output =
        Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(level) = said.lines().find_map(|l| l.split_once("exposure level for kvmdesk.service: ")) else {
        assert!(!output.status.success(), "{said}");
        return println!("skipped: before systemd 250 there is no --offline");
    };
    let level: f32 = level.1.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= 2.5, "exposure {level}");
}

#[test]
fn images_and_roots_are_made_of_the_same_list() {
    let script = fs::read_to_string(repo().join("packaging/build-deb.sh")).unwrap();
    let deps = fs::read_to_string(repo().join("packaging/install-deps.sh")).unwrap();
    let cross: toml::Table = fs::read_to_string(repo().join("cross.toml")).unwrap().parse().unwrap();
    let targets = cross["target"].as_table().unwrap();
    assert_eq!(targets.len(), 3);
    for (triple, target) in targets {
        let image = fs::read_to_string(repo().join(target["dockerfile"].as_str().unwrap())).unwrap();
        let line = script.lines().find(|l| l.contains(&format!("triple={triple} "))).expect("a root for it");
        let (arch, rest) = line.split_once(')').unwrap();
        let gnu = rest.split_once("gnu=").unwrap().1.split(' ').next().unwrap();
        assert!(image.contains(&format!("sh /install-deps.sh {arch} --without-rust")), "{triple}");
        assert!(image.contains(&format!("_LINKER={gnu}-gcc")), "{triple}");
        let libraries = format!("_{}=/usr/lib/{gnu}/pkgconfig:", triple.replace('-', "_"));
        assert!(image.contains(&libraries), "{triple}");
        assert!(deps.contains(arch), "{arch}");
    }
}

#[test]
fn scripts_are_posix_shell() {
    let mut scripts = files("packaging/deb");
    scripts.extend(files("packaging").into_iter().filter(|p| p.extension().is_some_and(|e| e == "sh")));
    assert!(scripts.len() >= 8, "{scripts:?}");
    for script in scripts {
        let output = Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = fs::read_to_string(&script).unwrap();
        assert!(text.starts_with("#!/bin/sh\n") && text.contains("\nset -"), "{}", script.display());
    }
}

/// A system that the maintainer scripts are run against.
struct Board {
    root: TempDir,
}

impl Board {
    /// With systemd at work or not; nothing of kvmdesk is there.
    fn new(has_systemd: bool) -> Self {
        let board = Self { root: tempfile::tempdir().unwrap() };
        // Each tool writes down how it was called; `systemctl` answers by the file `state`, which its calls can change.
        let stub = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >>\"$BOARD/calls\"\n";
        for tool in
            ["deb-systemd-helper", "deb-systemd-invoke", "udevadm", "systemd-sysusers", "userdel", "groupdel"]
        {
            board.program(&format!("bin/{tool}"), stub);
        }
        board.program("bin/getent", "#!/bin/sh\n[ -e \"$BOARD/user\" ]\n");
        board.program("bin/install", "#!/bin/sh\nfor last; do :; done; mkdir -p \"$last\"\n");
        board.program(
            "bin/dpkg-query",
            "#!/bin/sh\nfor p; do :; done; cat \"$BOARD/status-$p\" 2>/dev/null\n",
        );
        board.program(
            "bin/systemctl",
            "#!/bin/sh\necho \"systemctl $*\" >>\"$BOARD/calls\"\n\
             state=$(head -n 1 \"$BOARD/state\")\n\
             case \"$*\" in\n\
             *is-active*) [ \"$state\" = active ] ;;\n\
             *ActiveState*) echo \"$state\" ;;\n\
             *MainPID*) echo 42 ;;\n\
             *Job*) echo 0 ;;\n\
             *InvocationID*) cat \"$BOARD/invocation\" 2>/dev/null || : ;;\n\
             *restart*) echo next >\"$BOARD/invocation\"; [ ! -e \"$BOARD/next\" ] || { head -n 1 \"$BOARD/next\" >\"$BOARD/state\"\n\
                sed -i 1d \"$BOARD/next\"; } ;;\n\
             esac\n",
        );
        fs::create_dir_all(board.path("root")).unwrap();
        board.put("state", "inactive");
        if has_systemd {
            fs::create_dir_all(board.path("root/run/systemd/system")).unwrap();
        }
        board
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.put(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// What a script says; it has to end well.
    fn run(&self, script: &str, args: &[&str]) -> String {
        let output = self.try_run(script, args);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{script} {args:?}: {said}");
        said
    }

    fn try_run(&self, script: &str, args: &[&str]) -> Output {
        let lib = self.path("root/usr/lib/kvmdesk");
        Command::new("sh")
            .arg(repo().join("packaging/deb").join(script))
            .args(args)
            .env_clear()
            .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display()))
            .env("BOARD", self.root.path())
            .env("DPKG_ROOT", self.path("root"))
            .env("DPKG_MAINTSCRIPT_PACKAGE", "kvmdesk")
            .env("KVMDESK_LIB", &lib)
            .env("KVMDESK_ETC_UNITS", self.path("root/etc/systemd/system"))
            .env("KVMDESK_RUN_UNITS", self.path("root/run/systemd/system"))
            .env("KVMDESK_TRIAL_SECONDS", "1")
            .env("KVMDESK_TRIAL_SETTLE", "0")
            .output()
            .unwrap()
    }
}

const BINARY: &str = "root/usr/bin/kvmdesk";
const PREVIOUS: &str = "root/usr/lib/kvmdesk/previous";
const MARK: &str = "root/usr/lib/kvmdesk/on-trial";
const DROP_IN: &str = "root/etc/systemd/system/kvmdesk.service.d/previous.conf";

/// A board on which the old version runs and dpkg has just unpacked the new one.
fn upgraded() -> Board {
    let board = Board::new(true);
    board.put("user", "");
    board.put("state", "active");
    board.program(BINARY, "old");
    board.run("preinst", &["upgrade", "0.1.0", "0.2.0"]);
    // dpkg puts a new file in the place of the old one.
    board.program("root/usr/bin/kvmdesk.dpkg-new", "new");
    fs::rename(board.path("root/usr/bin/kvmdesk.dpkg-new"), board.path(BINARY)).unwrap();
    board
}

#[test]
fn a_first_installation_makes_the_user_and_starts_what_is_needed() {
    let board = Board::new(true);
    board.run("preinst", &["install"]);
    assert!(!board.has(MARK) && !board.has(PREVIOUS));
    let said = board.run("postinst", &["configure", ""]);
    assert!(said.contains("kvmdesk setup"), "{said}");
    let calls = board.calls();
    assert!(calls.contains("systemd-sysusers kvmdesk.conf"), "{calls}");
    for unit in ["kvmdesk.service", "kvmdesk-gadget.service", "kvmdesk-gadget-repair.path"] {
        assert!(calls.contains(&format!("deb-systemd-helper enable {unit}")), "{unit}: {calls}");
    }
    assert!(calls.contains("deb-systemd-invoke restart kvmdesk.service"), "{calls}");
    assert!(board.has("root/var/lib/kvmdesk"));
    assert!(!calls.contains("kvmdesk-trial.service\n") || !calls.contains("start kvmdesk-trial"), "{calls}");
}

#[test]
fn a_system_without_systemd_is_installed_too() {
    let board = Board::new(false);
    board.run("preinst", &["install"]);
    board.run("postinst", &["configure", ""]);
    let calls = board.calls();
    assert!(!calls.contains("systemctl ") && !calls.contains("invoke"), "{calls}");
    board.run("prerm", &["remove"]);
    board.run("postrm", &["remove"]);
}

#[test]
fn an_upgrade_keeps_the_old_binary_and_is_tried() {
    let board = upgraded();
    assert_eq!(fs::read_to_string(board.path(PREVIOUS)).unwrap(), "old");
    board.put("root/var/lib/kvmdesk/targets/1/identity.json", "kept");
    board.run("postinst", &["configure", "0.1.0"]);
    let calls = board.calls();
    // Side by side: the trial waits for the restart, for as long as it judges.
    for call in ["restart kvmdesk.service", "start kvmdesk-trial.service"] {
        assert!(calls.contains(&format!("deb-systemd-invoke {call}")), "{call}: {calls}");
    }
    assert!(!calls.contains("restart kvmdesk-gadget"), "the computer's keyboard stays plugged in: {calls}");
    assert_eq!(
        fs::read_to_string(board.path("root/var/lib/kvmdesk/targets/1/identity.json")).unwrap(),
        "kept"
    );

    let said = board.run("trial", &[]);
    assert!(said.contains("<6>the upgraded kvmdesk is ready"), "{said}");
    assert!(!board.has(MARK) && !board.has(DROP_IN));
    assert!(board.run("trial", &[]).is_empty(), "judged once");
}

#[test]
fn what_ran_before_the_restart_does_not_pass_for_the_upgrade() {
    let board = Board::new(true);
    board.put("state", "active");
    board.put("invocation", "one\n");
    board.program(BINARY, "old");
    board.run("preinst", &["upgrade", "0.1.0", "0.2.0"]);
    assert_eq!(fs::read_to_string(board.path(MARK)).unwrap(), "one\n");
    let said = board.run("trial", &[]);
    assert!(said.contains("going back") && !said.contains("the upgraded kvmdesk is ready"), "{said}");
    board.run("preinst", &["upgrade", "0.1.0", "0.2.0"]);
    board.put("invocation", "two\n");
    assert!(board.run("trial", &[]).contains("<6>the upgraded kvmdesk is ready"));
}

#[test]
fn what_did_not_run_is_not_kept() {
    let board = Board::new(true);
    board.program(BINARY, "old");
    board.run("preinst", &["upgrade", "0.1.0", "0.2.0"]);
    assert!(!board.has(MARK) && !board.has(PREVIOUS));
}

#[test]
fn an_upgrade_that_does_not_get_ready_gives_way_to_the_previous_binary() {
    let board = upgraded();
    board.put("state", "activating");
    board.put("next", "active\n");
    let said = board.run("trial", &[]);
    assert!(said.contains("<3>") && said.contains("going back"), "{said}");
    assert!(said.contains("the previous kvmdesk runs"), "{said}");
    let dropin = fs::read_to_string(board.path(DROP_IN)).unwrap();
    let start = format!("ExecStart=\nExecStart={} run\n", board.path(PREVIOUS).display());
    assert!(dropin.ends_with(&start), "{dropin}");
    assert!(!board.has(MARK), "no second trial of the same upgrade");

    // The next upgrade: the binary that works is kept, not the one that does not; the drop-in goes.
    board.run("preinst", &["upgrade", "0.2.0", "0.3.0"]);
    assert_eq!(fs::read_to_string(board.path(PREVIOUS)).unwrap(), "old");
    assert!(board.has(MARK));
    board.run("postinst", &["configure", "0.2.0"]);
    assert!(!board.has(DROP_IN));
}

#[test]
fn if_the_previous_one_does_not_start_either_the_new_one_stays() {
    let board = upgraded();
    board.put("state", "failed");
    board.put("next", "failed\nfailed\n");
    let output = board.try_run("trial", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("it is not the upgrade"));
    assert!(!board.has(DROP_IN) && !board.has(MARK));
    let restarts = board.calls().matches("--no-block restart kvmdesk.service").count();
    assert_eq!(restarts, 2, "there and back, no loop");
}

#[test]
fn a_service_that_somebody_stopped_is_not_judged() {
    let board = upgraded();
    board.put("state", "inactive");
    let said = board.run("trial", &[]);
    assert!(said.contains("is not judged"), "{said}");
    assert!(!board.has(DROP_IN) && !board.has(MARK));
    assert!(!board.calls().contains("restart"));
}

#[test]
fn a_removal_keeps_what_is_the_users_and_a_purge_takes_it_and_says_so() {
    let board = upgraded();
    for file in ["root/var/lib/kvmdesk/targets/1/identity.json", "root/etc/kvmdesk/kvmdesk.toml.old", DROP_IN]
    {
        board.put(file, "x");
    }
    board.put("root/var/cache/kvmdesk/registry", "x");
    board.run("prerm", &["remove"]);
    assert!(board.calls().contains("deb-systemd-invoke stop"), "{}", board.calls());
    board.run("postrm", &["remove"]);
    assert!(board.has("root/var/lib/kvmdesk/targets/1/identity.json"));
    assert!(!board.has(PREVIOUS) && !board.has(DROP_IN) && !board.has("root/var/cache/kvmdesk"));

    // The other build has the same settings: they are its own now.
    board.put("status-kvmdesk-lite", "installed");
    let said = board.run("postrm", &["purge"]);
    assert!(said.contains("are kept") && board.has("root/var/lib/kvmdesk"), "{said}");
    fs::remove_file(board.path("status-kvmdesk-lite")).unwrap();

    let said = board.run("postrm", &["purge"]);
    for word in ["ID", "key", "password", "settings", "the user kvmdesk"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!board.has("root/var/lib/kvmdesk") && !board.has("root/etc/kvmdesk"));
    let calls = board.calls();
    assert!(calls.contains("userdel kvmdesk") && calls.contains("deb-systemd-helper purge"), "{calls}");
}

#[test]
fn the_tarball_installs_upgrades_and_goes_without_touching_settings() {
    let tree = tempfile::tempdir().unwrap();
    let files = tree.path().join("files");
    let put = |name: &str, text: &[u8]| {
        let path = files.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let version = |n: u32| format!("#!/bin/sh\necho kvmdesk {n}\n");
    put("usr/bin/kvmdesk", version(1).as_bytes());
    for (from, to, _) in assets().iter().filter(|(from, ..)| from.starts_with("packaging/")) {
        let name = if to.ends_with('/') {
            format!("{to}{}", Path::new(from).file_name().unwrap().display())
        } else {
            to.clone()
        };
        put(&name, &fs::read(repo().join(from)).unwrap());
    }
    put("etc/kvmdesk/kvmdesk.toml", b"# new");
    fs::copy(repo().join("packaging/install.sh"), tree.path().join("install.sh")).unwrap();
    let dest = tree.path().join("dest");
    let install = |args: &[&str]| {
        let output = Command::new("sh")
            .arg(tree.path().join("install.sh"))
            .args(args)
            .env("DESTDIR", &dest)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    put("usr/share/man/man1/kvmdesk.1.gz", b"page");
    install(&[]);
    let read = |name: &str| fs::read_to_string(dest.join(name)).unwrap();
    assert_eq!(read("usr/local/share/man/man1/kvmdesk.1.gz"), "page");
    assert!(dest.join("etc/systemd/system/kvmdesk.service").exists());
    assert!(
        !dest.join("etc/systemd/system/kvmdesk-trial.service").exists(),
        "its script belongs to the .deb"
    );
    fs::write(dest.join("etc/kvmdesk/kvmdesk.toml"), "mine").unwrap();
    put("usr/bin/kvmdesk", version(2).as_bytes());
    let said = install(&[]);
    assert!(said.contains("your settings are kept"), "{said}");
    assert_eq!(read("etc/kvmdesk/kvmdesk.toml"), "mine");
    assert_eq!(
        (read("usr/local/bin/kvmdesk"), read("usr/local/bin/kvmdesk.previous")),
        (version(2), version(1))
    );
    install(&["--remove"]);
    assert!(
        !dest.join("usr/local/bin/kvmdesk").exists()
            && !dest.join("etc/udev/rules.d/60-kvmdesk.rules").exists()
    );
    assert_eq!(read("etc/kvmdesk/kvmdesk.toml"), "mine");
    install(&["--purge"]);
    assert!(!dest.join("etc/kvmdesk").exists());
}
