//! What the units may do, and that they name what the code does.

use std::fs;
use std::process::Command;

use super::scripts::Board;
use super::{files, repo, tool, unit};

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
    exposure_is_at_most("kvmdesk.service", 2.5);
}

/// What `systemd-analyze security` says of a unit, where it is there and can say it.
fn exposure_is_at_most(name: &str, most: f32) {
    if !tool("systemd-analyze") {
        return;
    }
    let path = repo().join("packaging/systemd").join(name);
    let output =
        Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(level) = said.lines().find_map(|l| l.split_once(&format!("exposure level for {name}: "))) else {
        assert!(!output.status.success(), "{said}");
        return println!("skipped: before systemd 250 there is no --offline");
    };
    let level: f32 = level.1.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= most, "exposure {level}");
}

#[test]
fn the_seed_unit_stops_nothing_and_may_do_little() {
    let seed = unit("kvmdesk-seed.service");
    for place in ["/boot/firmware/kvmdesk.toml", "/boot/kvmdesk.toml"] {
        assert!(seed.lines().any(|l| l == format!("ConditionPathExists=|{place}")), "{place}");
        assert!(seed.matches(place).count() >= 2, "looked for and taken over");
    }
    for line in ["Before=kvmdesk.service", "Type=oneshot", "NoNewPrivileges=yes", "ProtectSystem=strict"] {
        assert!(seed.lines().any(|l| l == line), "{line}");
    }
    // The daemon starts after it and whatever became of it.
    let daemon = unit("kvmdesk.service");
    assert!(!daemon.contains("kvmdesk-seed"), "nothing is required of it");
    exposure_is_at_most("kvmdesk-seed.service", 2.5);
}

#[test]
fn the_console_shows_what_the_daemon_writes_for_it() {
    let file = "/run/kvmdesk/console.issue";
    assert!(unit("kvmdesk-console.path").lines().any(|l| l == format!("PathChanged={file}")));
    let link = format!("L /etc/issue.d/kvmdesk.issue - - - - ../..{file}");
    assert!(unit("tmpfiles.conf").lines().any(|l| l == link), "{link}");
    assert!(unit("kvmdesk.service").lines().any(|l| l == "RuntimeDirectory=kvmdesk"));
    exposure_is_at_most("kvmdesk-console.service", 2.5);
}

#[test]
fn every_unit_comes_with_the_tarball_and_is_enabled_by_both_installations_if_it_can_be() {
    let script = |name: &str| fs::read_to_string(repo().join("packaging").join(name)).unwrap();
    let names = |script: &str, list: &str| {
        let line = script.lines().find_map(|l| l.strip_prefix(&format!("{list}=\""))).expect(list);
        line.trim_end_matches('"').split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let tarball = script("install.sh");
    let [of_tarball, started] = ["unit_names", "started"].map(|list| names(&tarball, list));
    let of_package = names(&script("deb/postinst"), "units");
    assert_eq!(names(&script("deb/postrm"), "units"), of_package);
    let units = files("packaging/systemd");
    let units =
        units.iter().filter_map(|path| path.file_name()?.to_str()).filter(|name| !name.ends_with("conf"));
    for name in units {
        let has = |list: &[String]| list.iter().any(|unit| unit == name);
        let is_enabled = unit(name).contains("[Install]");
        assert_eq!(has(&of_package), is_enabled, "{name}");
        // The trial of an upgrade is the package's.
        let is_here = name != "kvmdesk-trial.service";
        assert_eq!((has(&of_tarball), has(&started)), (is_here, is_here && is_enabled), "{name}");
    }
}

#[test]
fn the_seed_unit_takes_over_what_is_there_and_fails_if_one_of_them_does() {
    let command = unit("kvmdesk-seed.service");
    let command = command.lines().find_map(|l| l.strip_prefix("ExecStart=sh -c '")).unwrap();
    // As systemd.service(5) reads it.
    let command = command.strip_suffix('\'').unwrap().replace("$$", "$");
    let board = Board::new(true);
    board.program("bin/kvmdesk", "#!/bin/sh\necho \"$*\" >>\"$BOARD/calls\"\n! grep -q wrong \"$3\"\n");
    board.put("boot/other", "");
    let run_in_boot = |command: &str| {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "--map-root-user", "sh", "-c"]);
        shell.arg("mount --bind \"$BOARD/boot\" /boot || exit 99; exec sh -c \"$1\"").arg("sh").arg(command);
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", board.path("bin").display());
        shell.env("PATH", path).env("BOARD", board.path("")).output().unwrap().status.code()
    };
    if run_in_boot("true") != Some(0) {
        return println!("skipped: no mounts of one's own here");
    }
    let run = || run_in_boot(&command);
    assert_eq!((run(), board.calls()), (Some(0), String::new()));
    board.put("boot/kvmdesk.toml", "good");
    board.put("boot/firmware/kvmdesk.toml", "wrong");
    assert_eq!(run(), Some(1));
    let each = "setup --seed /boot/firmware/kvmdesk.toml\nsetup --seed /boot/kvmdesk.toml\n";
    assert_eq!(board.calls(), each, "one that is wrong does not stand in the other's way");
    board.put("boot/firmware/kvmdesk.toml", "good");
    assert_eq!((run(), board.calls()), (Some(0), each.repeat(2)));
}
