//! The maintainer scripts of the package and the trial of an upgrade, against a tree with stand-ins for systemd's and dpkg's
//! tools.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::repo;

/// A system that the maintainer scripts are run against.
pub(super) struct Board {
    root: TempDir,
}

impl Board {
    /// With systemd at work or not; nothing of kvmdesk is there.
    pub(super) fn new(has_systemd: bool) -> Self {
        let board = Self { root: tempfile::tempdir().unwrap() };
        // Each tool writes down how it was called; `systemctl` answers by the file `state`, which its calls can change.
        let stub = "#!/bin/sh\necho \"$(basename \"$0\") $*\" >>\"$BOARD/calls\"\n";
        for tool in [
            "deb-systemd-helper",
            "deb-systemd-invoke",
            "udevadm",
            "systemd-sysusers",
            "systemd-tmpfiles",
            "userdel",
            "groupdel",
        ] {
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
        board.put("root/usr/share/kvmdesk/kvmdesk.toml", "# shipped");
        if has_systemd {
            fs::create_dir_all(board.path("root/run/systemd/system")).unwrap();
        }
        board
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn program(&self, name: &str, text: &str) {
        self.put(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub(super) fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// What a script says; it has to end well.
    pub(super) fn run(&self, script: &str, args: &[&str]) -> String {
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
const CONFIG: &str = "root/etc/kvmdesk/kvmdesk.toml";
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
    assert_eq!(fs::read_to_string(board.path(CONFIG)).unwrap(), "# shipped");
    board.put(CONFIG, "mine");
    let said = board.run("postinst", &["configure", "0.1.0"]);
    assert!(said.contains("your settings are kept"), "{said}");
    assert_eq!(fs::read_to_string(board.path(CONFIG)).unwrap(), "mine");
    let calls = board.calls();
    assert!(calls.contains("systemd-sysusers kvmdesk.conf"), "{calls}");
    for unit in
        ["kvmdesk.service", "kvmdesk-seed.service", "kvmdesk-gadget.service", "kvmdesk-gadget-repair.path"]
    {
        assert!(calls.contains(&format!("deb-systemd-helper enable {unit}")), "{unit}: {calls}");
    }
    assert!(calls.contains("systemd-tmpfiles --create kvmdesk.conf"), "{calls}");
    let (seed, daemon) = (calls.find("start kvmdesk-seed.service"), calls.find("restart kvmdesk.service"));
    assert!(seed.is_some() && seed < daemon, "{calls}");
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
fn what_a_broken_off_removal_stopped_goes_on() {
    let board = upgraded();
    board.run("prerm", &["remove", "in-favour", "kvmdesk-lite", "0.1.0"]);
    board.run("postrm", &["abort-install"]);
    board.run("postinst", &["abort-remove", "in-favour", "kvmdesk-lite", "0.1.0"]);
    let calls = board.calls();
    let started = calls.lines().last().unwrap();
    for unit in ["kvmdesk.service", "kvmdesk-gadget.service", "kvmdesk-gadget-repair.path"] {
        assert!(started.starts_with("deb-systemd-invoke start") && started.contains(unit), "{calls}");
    }
    assert!(!board.has(CONFIG), "nothing else is done");
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
