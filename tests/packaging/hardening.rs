//! What the units may do, and that they name what the code does.

use std::process::Command;

use super::{repo, tool, unit};

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
