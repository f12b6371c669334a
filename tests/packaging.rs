//! What is installed: units, manual pages, the package's list of files, the tarball.

mod hardening;
mod roots;
mod scripts;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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
fn glob(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
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
    let made = tempfile::tempdir().unwrap();
    let manual = Command::new(env!("CARGO_BIN_EXE_kvmdesk")).arg("manual").arg(made.path()).status().unwrap();
    assert!(manual.success());
    for (from, to, mode) in assets() {
        if let Some(built) = from.strip_prefix("target/release/") {
            let is_made = match built.strip_prefix("share/") {
                None => built == "kvmdesk",
                Some("61-kvmdesk-boards.rules") => true,
                Some(name) => !glob(made.path(), name).is_empty(),
            };
            assert!(is_made, "{from}");
        } else {
            assert!(!glob(repo(), &from).is_empty(), "{from} (for {to}) is not there");
        }
        assert!(["644", "755"].contains(&mode.as_str()), "{from}: {mode}");
    }
    let manifest = manifest();
    let deb = &manifest["package"]["metadata"]["deb"];
    let scripts: Vec<_> = files(deb["maintainer-scripts"].as_str().unwrap());
    let names: BTreeSet<_> = scripts.iter().filter_map(|p| p.file_name()?.to_str()).collect();
    assert_eq!(names, BTreeSet::from(["postinst", "postrm", "preinst", "prerm", "trial"]));
    // What users and `kvmdesk setup` change is copied there once: an upgrade does not ask about it.
    assert!(deb.get("conf-files").is_none() && assets().iter().all(|(_, to, _)| !to.starts_with("etc/")));
    assert!(assets().iter().any(|(from, to, _)| from == "config/kvmdesk.toml" && to == "usr/share/kvmdesk/"));
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
fn images_and_roots_are_made_of_the_same_list() {
    let script = fs::read_to_string(repo().join("packaging/build-deb.sh")).unwrap();
    let deps = fs::read_to_string(repo().join("packaging/install-deps.sh")).unwrap();
    let cross: toml::Table = fs::read_to_string(repo().join("cross.toml")).unwrap().parse().unwrap();
    let targets = cross["target"].as_table().unwrap();
    assert_eq!(targets.len(), 3);
    for (triple, target) in targets {
        let of = |key: &str| repo().join(target["dockerfile"][key].as_str().unwrap());
        let image = fs::read_to_string(of("file")).unwrap();
        for copied in image.lines().filter_map(|line| line.strip_prefix("COPY ")) {
            assert!(of("context").join(copied.split(' ').next().unwrap()).exists(), "{triple}: {copied}");
        }
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
    put("usr/share/kvmdesk/kvmdesk.toml", b"# new");
    fs::copy(repo().join("packaging/install.sh"), tree.path().join("install.sh")).unwrap();
    let dest = tree.path().join("dest");
    let install = |args: &[&str]| {
        let output = Command::new("sh")
            .args(["-c", "umask 077; exec sh \"$@\"", "sh"])
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
    assert_eq!(
        (read("etc/kvmdesk/kvmdesk.toml"), read("usr/local/share/kvmdesk/kvmdesk.toml")),
        ("# new".into(), "# new".into())
    );
    let mode = |name: &str| fs::metadata(dest.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("usr/local/bin"), mode("usr/local/bin/kvmdesk"), mode("etc/kvmdesk")], [0o755; 3]);
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
