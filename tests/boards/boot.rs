//! The boot configuration in each profile: what its boot.md says, and what comes of it in a config.txt.

use std::fs;
use std::path::Path;

use kvmdesk::config::board::BoardProfile;
use kvmdesk::config::boot::GADGET;

use super::{folders, named};

/// As Raspberry Pi OS (bookworm) ships it, in short.
const SHIPPED: &str = "# For more options\ndtparam=audio=on\ncamera_auto_detect=1\ndtoverlay=vc4-kms-v3d\n\n[cm4]\n# Host mode\n\
                       otg_mode=1\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n\n[all]\n";

#[test]
fn every_part_is_what_boot_md_says_and_is_put_in_once() {
    let mut seen = 0;
    for (name, folder) in folders() {
        let boot_md = fs::read_to_string(folder.join("boot.md")).unwrap();
        let boot = named(&name).profile.boot;
        for file in &boot.files {
            assert!(boot_md.contains(&format!("`{}`", file.display())), "{name}: {}", file.display());
        }
        let mut all = SHIPPED.to_owned();
        for part in &boot.part {
            seen += 1;
            for line in &part.lines {
                let is_said =
                    boot_md.lines().any(|said| said.trim() == line) || boot_md.contains(&format!("`{line}`"));
                assert!(is_said, "{name}: boot.md has no `{line}`");
            }
            for line in &part.without {
                assert!(boot_md.contains(&format!("`{line}`")), "{name}: boot.md has no `{line}`");
            }
            let edit = part.put_into(SHIPPED);
            assert_eq!(edit.added, part.lines, "{name}: {}", part.name);
            assert!(part.put_into(&edit.text).is_nothing(), "{name}: {}", part.name);
            assert!(
                edit.text.contains(&format!("[all]\n# kvmdesk: {}\n", part.what)),
                "{name}: {}",
                edit.text
            );
            all = part.put_into(&all).text;
        }
        for part in &boot.part {
            assert!(part.put_into(&all).is_nothing(), "{name}: {} does not bear the others", part.name);
        }
        let overlays: Vec<&str> = all.lines().filter(|line| line.starts_with("dtoverlay=tc358743")).collect();
        assert!(overlays.len() <= 2, "{name}: {overlays:?}");
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn a_pi_has_a_gadget_and_the_cm4_no_host_mode() {
    for name in folders().keys().filter(|name| name.starts_with("raspberrypi")) {
        let part = named(name).profile.boot.named(GADGET).cloned().unwrap_or_else(|| panic!("{name}"));
        let text = part.put_into(SHIPPED).text;
        assert_eq!(text.contains("\n#otg_mode=1\n"), name == "raspberrypi-cm4", "{name}");
        assert!(text.ends_with("\ndtoverlay=dwc2,dr_mode=peripheral\n"), "{name}");
    }
}

#[test]
fn the_first_file_that_is_there_holds() {
    let root = tempfile::tempdir().unwrap();
    let boot = named("raspberrypi-4").profile.boot;
    assert_eq!(boot.file(root.path()), None);
    for file in ["boot/config.txt", "boot/firmware/config.txt"] {
        super::write(root.path(), file, "");
        assert_eq!(boot.file(root.path()), Some(root.path().join(file)));
    }
}

#[test]
fn wrong_boot_sections_are_told_by_line() {
    let base = "name = \"x\"\n[[capture]]\npath = \"/dev/x\"\n[boot]\n";
    let part = |rest: &str| {
        format!("files = [\"/boot/config.txt\"]\n[[boot.part]]\nname = \"a\"\nwhat = \"b\"\n{rest}")
    };
    for (text, line, key) in [
        ("files = [\"/boot/config.txt\"]\n".to_owned(), 4, "boot"),
        (part("lines = [\"a=1\"]\n").replace("/boot", "boot"), 5, "boot.files"),
        (part("lines = []\n"), 9, "boot.part.lines"),
        (part("lines = [\"a=1\\n[pi4]\"]\n"), 9, "boot.part.lines"),
        (part("lines = [\"a=1\"]\nwithout = [\"#b=1\"]\n"), 9, "boot.part.lines"),
        (part("lines = [\"a=1\"]\nafter = \"c\"\n"), 10, "boot.part.after"),
        (part("lines = [\"a=1\"]\nmore = 1\n"), 10, "boot.part.more"),
    ] {
        let fault = BoardProfile::parse(Path::new("x.toml"), &format!("{base}{text}")).unwrap_err();
        assert_eq!((fault.line, fault.key.as_str()), (Some(line), key), "{text}: {fault}");
    }
}
