//! The boards in `hw/`: each folder is complete, each profile holds with every configuration that ships, and machines are
//! recognised.

mod boot;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kvmdesk::config::board::{Board, BoardProfile, Boards, Machine};
use kvmdesk::config::edid;
use kvmdesk::config::file::{self, HidBackendName};
use kvmdesk::config::settings::hid::HidChoice;
use kvmdesk::config::settings::{self, Origin, Overrides, Settings};
use kvmdesk::media::capture::v4l2::mark::Mark;
use kvmdesk::media::pipeline::SourceSettings;
use kvmdesk::video::edid::Edid;

/// Folders of `hw/` that are no boards.
const OTHERS: [&str; 2] = ["edid", "grabbers"];

/// The boards' folders, by name.
fn folders() -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir("hw").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let named = entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    named.filter(|(name, _)| !OTHERS.contains(&name.as_str())).collect()
}

fn resolve(boards: &Boards, text: &str) -> Settings {
    let parsed = file::parse(Path::new("test.toml"), text.to_owned()).unwrap_or_else(|e| panic!("{e}"));
    settings::resolve(&parsed, boards, |_| None, &Overrides::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn named(name: &str) -> Board {
    Boards::default().named(name).unwrap_or_else(|| panic!("no profile {name}"))
}

/// What `check --show` says of a key.
fn shown<'a>(settings: &'a Settings, key: &str) -> (&'a str, Origin) {
    let line = settings.shown.iter().find(|line| line.key == key).unwrap_or_else(|| panic!("no {key}"));
    (&line.value, line.origin)
}

/// The root of a machine with these strings in its device tree.
fn machine(compatible: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    if !compatible.is_empty() {
        write(root.path(), "proc/device-tree/compatible", &(compatible.join("\0") + "\0"));
    }
    root
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn every_folder_is_complete_and_built_in() {
    let folders = folders();
    assert!(folders.len() >= 12, "{folders:?}");
    for (name, path) in &folders {
        for file in ["board.toml", "udev.rules", "boot.md", "NOTES.md"] {
            let text = fs::read_to_string(path.join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
            assert!(text.trim().len() > 40, "{name}/{file} says nothing");
        }
        let notes = fs::read_to_string(path.join("NOTES.md")).unwrap().to_lowercase();
        assert!(notes.contains("unproven") || notes.contains("not proven"), "{name}: what is unproven?");
        let readme = fs::read_to_string("hw/README.md").unwrap();
        assert!(readme.contains(&format!("| `{name}` |")), "hw/README.md has no row for {name}");
    }
    let boards = Boards::default();
    assert_eq!(boards.faults, []);
    assert_eq!(boards.names(), folders.keys().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn every_profile_holds_with_every_configuration_that_ships() {
    let mut configs = vec![];
    for dir in ["config", "config/examples"] {
        configs.extend(fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
    }
    configs.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(configs.len() >= 3);
    let controllers = [vec![], vec!["fe980000.usb".to_owned(), "other.usb".to_owned()]];
    for name in folders().keys() {
        for path in &configs {
            for udcs in &controllers {
                let mut boards = Boards::default();
                boards.machine.udcs.clone_from(udcs);
                let text = format!("board = \"{name}\"\n{}", fs::read_to_string(path).unwrap());
                let settings = resolve(&boards, &text);
                assert_eq!(
                    (&settings.board.id, shown(&settings, "board")),
                    (name, (name.as_str(), Origin::File))
                );
                let SourceSettings::V4l2(capture) = &settings.displays[0].source else { panic!("{name}") };
                assert_eq!(capture.devices, settings.board.profile.devices(), "{name}");
                assert!(!capture.devices.is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn a_string_of_a_device_tree_leads_to_one_board() {
    let mut seen = BTreeMap::new();
    for name in folders().keys() {
        for string in named(name).profile.compatible {
            let is_plain = |part: &str| {
                let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
                !part.is_empty() && part.chars().all(is_name)
            };
            let parts = string.split_once(',').filter(|(vendor, board)| is_plain(vendor) && is_plain(board));
            assert!(parts.is_some(), "{name}: `{string}` is no VENDOR,BOARD");
            if let Some(other) = seen.insert(string.clone(), name.clone()) {
                panic!("`{string}` is in {other} and in {name}");
            }
            let root = machine(&["nobody,knows-this", &string, "brcm,bcm2711"]);
            let boards = Boards::look(root.path());
            let board = boards.recognised();
            assert_eq!((&board.id, board.why), (name, format!("\"{string}\" in the device tree")));
            assert_eq!(resolve(&boards, "").board.id, *name);
        }
    }
    assert!(seen.len() >= 20, "{seen:?}");
}

#[test]
fn the_most_specific_string_decides_and_own_profiles_come_first() {
    let root = machine(&["radxa,rock-5b", "rockchip,rk3588"]);
    assert_eq!(Boards::look(root.path()).recognised().id, "rockchip-rk3588");
    let profile = |name: &str, string: &str| {
        format!("name = \"{name}\"\ncompatible = [\"{string}\"]\n[[capture]]\npath = \"/dev/{name}\"\n")
    };
    write(root.path(), "usr/share/kvmdesk/boards/rock.toml", &profile("packaged", "radxa,rock-5b"));
    let board = Boards::look(root.path()).recognised();
    assert_eq!((board.id.as_str(), board.profile.name.as_str()), ("rock", "packaged"));
    write(root.path(), "etc/kvmdesk/boards/rock.toml", &profile("own", "radxa,rock-5b"));
    write(root.path(), "etc/kvmdesk/boards/other.toml", &profile("general", "rockchip,rk3588"));
    write(root.path(), "etc/kvmdesk/boards/ignored.txt", "no profile");
    let boards = Boards::look(root.path());
    assert_eq!(boards.recognised().profile.name, "own", "it replaces the packaged one");
    assert_eq!(boards.faults, []);
    fs::remove_file(root.path().join("etc/kvmdesk/boards/rock.toml")).unwrap();
    fs::remove_file(root.path().join("usr/share/kvmdesk/boards/rock.toml")).unwrap();
    assert_eq!(
        Boards::look(root.path()).recognised().profile.name,
        "general",
        "before those that are built in"
    );
    write(root.path(), "etc/kvmdesk/boards/rockchip-rk3588.toml", &profile("replaced", "nobody,knows"));
    let boards = Boards::look(root.path());
    assert_eq!(boards.named("rockchip-rk3588").unwrap().profile.name, "replaced");
    let settings = resolve(&boards, "board = \"other\"\n");
    assert_eq!(shown(&settings, "video.device"), ("auto: /dev/general", Origin::Default));
}

#[test]
fn without_a_device_tree_the_architecture_tells() {
    let recognised = |architecture: &str| {
        let mut boards = Boards::default();
        boards.machine.architecture = architecture.into();
        boards.recognised().id
    };
    assert_eq!(recognised("x86_64"), "generic-x86");
    assert_eq!(recognised("aarch64"), "generic");
    let root = machine(&[]);
    assert_eq!(Machine::look(root.path()).architecture, std::env::consts::ARCH);
    write(root.path(), "sys/firmware/devicetree/base/compatible", "xunlei,onecloud\0amlogic,meson8b\0");
    assert_eq!(Boards::look(root.path()).recognised().id, "xunlei-onecloud");
}

#[test]
fn a_profile_that_is_wrong_is_told_and_not_used() {
    let fault = |text: &str| BoardProfile::parse(Path::new("x.toml"), text).unwrap_err().to_string();
    let head = "name = \"x\"\n";
    assert!(fault("compatible = []\n").contains("missing key"), "a name is needed");
    assert_eq!(fault("name = \"x\"\ncapture = []\n"), "x.toml:2: capture: name at least one capture device");
    assert!(fault(&format!("{head}gpio = 3\n")).starts_with("x.toml:2: gpio: unknown key"));
    let capture = |lines: &str| fault(&format!("{head}[[capture]]\n{lines}"));
    assert_eq!(capture(""), "x.toml:2: capture: write either `driver` or `path`");
    assert_eq!(
        capture("driver = \"a\"\npath = \"/b\"\n"),
        "x.toml:2: capture: write either `driver` or `path`"
    );
    assert!(
        capture("driver = \"a\"\nformats = [\"YUY2\"]\n")
            .starts_with("x.toml:4: capture.formats: `YUY2` is none")
    );
    assert!(
        capture("driver = \"a\"\nedid = \"4k\"\n")
            .starts_with("x.toml:4: capture.edid: `4k` is none of keep, ")
    );
    let hid = "driver = \"a\"\n[hid]\nbackends = [\"ch9329\"]\n";
    assert!(capture(hid).starts_with("x.toml:4: hid: `device` is the serial device"), "{}", capture(hid));

    let root = machine(&["vendor,board"]);
    let path = root.path().join("etc/kvmdesk/boards/mine.toml");
    write(
        root.path(),
        "etc/kvmdesk/boards/mine.toml",
        "name = \"x\"\ncompatible = [\"vendor,board\"]\nfoo = 1\n",
    );
    let settings = resolve(&Boards::look(root.path()), "");
    let warning = format!("a board's profile is not used: {}:3: foo: unknown key", path.display());
    assert!(settings.warnings.iter().any(|text| text.starts_with(&warning)), "{:?}", settings.warnings);
    let unknown = file::parse(Path::new("c.toml"), "\nboard = \"mine\"\n".into()).unwrap();
    let error = settings::resolve(&unknown, &Boards::look(root.path()), |_| None, &Overrides::default());
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("c.toml:2: board: `mine` is none of auto, generic, generic-x86, lab, "),
        "{error}"
    );
}

#[test]
fn what_the_board_says_holds_unless_something_stronger_does() {
    let mut boards = Boards::default();
    boards.machine.compatible = vec!["raspberrypi,4-model-b".into(), "brcm,bcm2711".into()];
    boards.machine.udcs = vec!["fe980000.usb".into()];
    let settings = resolve(&boards, "");
    assert_eq!(shown(&settings, "board"), ("raspberrypi-4", Origin::Board));
    let device = "auto: a unicam device or a uvcvideo device";
    assert_eq!(shown(&settings, "video.device"), (device, Origin::Default));
    assert_eq!(shown(&settings, "video.formats"), ("UYVY, RGB3, BGR3 (unicam)", Origin::Board));
    assert_eq!(shown(&settings, "video.edid"), ("1080p50 (unicam)", Origin::Board));
    assert_eq!(shown(&settings, "hid.backend"), ("gadget", Origin::Board));
    assert_eq!(
        shown(&settings, "hid.device"),
        ("(none)", Origin::Default),
        "there is no serial chip to open"
    );
    assert_eq!(shown(&settings, "gadget.udc"), ("fe980000.usb", Origin::Board));
    let SourceSettings::V4l2(capture) = &settings.displays[0].source else { panic!() };
    let [receiver, grabber] = capture.devices.as_slice() else { panic!("{capture:?}") };
    assert_eq!(receiver.edid, edid::named("1080p50").unwrap());
    assert_eq!((grabber.edid.as_ref(), &grabber.mark), (None, &Mark::Driver("uvcvideo".into())));
    if cfg!(feature = "gstreamer") {
        assert_eq!(shown(&settings, "encoder.order"), ("v4l2h264enc", Origin::Board));
    } else {
        assert_eq!(settings.encoder_order, Vec::<String>::new(), "this build does not know it");
    }

    let text = "[video]\nformats = [\"NV12\"]\nedid = \"keep\"\n[encoder]\norder = [\"openh264\"]\n\
                [gadget]\nudc = \"mine.usb\"\n";
    let settings = resolve(&boards, text);
    let SourceSettings::V4l2(capture) = &settings.displays[0].source else { panic!() };
    assert_eq!(capture.devices.len(), 2);
    assert!(capture.devices.iter().all(|device| device.edid.is_none() && device.formats.len() == 1));
    assert_eq!(shown(&settings, "video.edid"), ("keep", Origin::File));
    assert_eq!(settings.encoder_order, ["openh264"]);
    let HidChoice::Gadget { spec, .. } = settings.hid else { panic!() };
    assert_eq!(spec.udc.as_deref(), Some("mine.usb"));

    let settings = resolve(&boards, "[video]\ndevice = \"/dev/video7\"\n[hid]\nbackend = \"ch9329\"\n");
    let SourceSettings::V4l2(capture) = &settings.displays[0].source else { panic!() };
    assert_eq!((capture.to_string().as_str(), &capture.devices[0].edid), ("/dev/video7", &None));
    assert_eq!(
        shown(&settings, "video.edid"),
        ("keep", Origin::Default),
        "of a device that the board does not know"
    );
    assert_eq!(shown(&settings, "hid.device"), ("/dev/kvmdesk-ch9329", Origin::Board));
}

#[test]
fn the_hands_are_those_that_are_there_else_the_first() {
    let board = named("xunlei-onecloud").profile;
    let hands = |files: &[&str]| {
        let root = machine(&[]);
        files.iter().for_each(|path| write(root.path(), path, "x"));
        let machine = Machine::look(root.path());
        (board.backend(&machine), board.udc(&machine))
    };
    let (gadget, chip) = (HidBackendName::Gadget, HidBackendName::Ch9329);
    let (udc, switch) =
        ("sys/class/udc/c9040000.usb/state", "sys/class/usb_role/c9040000.usb-role-switch/role");
    let (other, cable) = ("sys/class/udc/a.usb/state", "dev/kvmdesk-ch9329");
    let ours = || Some("c9040000.usb".to_owned());
    assert_eq!(hands(&[]), (gadget, None), "its driver may be late");
    assert_eq!(hands(&[cable]), (chip, None));
    assert_eq!(hands(&[other]), (gadget, None), "it may be the only one");
    assert_eq!(hands(&[other, udc, cable]), (gadget, ours()));
    assert_eq!(hands(&[switch, cable]), (gadget, ours()), "`gadget up` switches it");
    assert_eq!(hands(&["sys/class/usb_role/typec.usb-role-switch/role", cable]), (chip, None));

    let root = machine(&["raspberrypi,3-model-b"]);
    let backend = |text: &str| {
        let settings = resolve(&Boards::look(root.path()), text);
        let (name, origin) = shown(&settings, "hid.backend");
        (name.to_owned(), origin)
    };
    assert_eq!(backend(""), ("ch9329".to_owned(), Origin::Board), "no model B has another");
    assert_eq!(
        backend("[gadget]\nmax-power = 100\n"),
        ("gadget".to_owned(), Origin::File),
        "it speaks of one"
    );
    write(root.path(), udc, "");
    assert_eq!(backend(""), ("gadget".to_owned(), Origin::Board), "an A+");
    assert_eq!(backend("[hid]\ndevice = \"/dev/serial0\"\n"), ("ch9329".to_owned(), Origin::File));
}

#[test]
fn encoders_of_profiles_exist_and_come_first_in_their_order() {
    use kvmdesk::media::encode::encoders::Encoders;
    let known = Encoders::names();
    for name in folders().keys().filter(|_| cfg!(feature = "gstreamer")) {
        for encoder in named(name).profile.encoders {
            assert!(known.contains(&encoder.as_str()), "{name}: there is no encoder {encoder}");
        }
    }
    let order = |first: &[&str]| {
        let first: Vec<_> = first.iter().map(|name| (*name).to_owned()).collect();
        Encoders::in_order(&first).report().into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    let usual = order(&[]);
    let mut sorted = known.clone();
    sorted.sort_unstable();
    let mut all = usual.clone();
    all.sort_unstable();
    assert_eq!(all, sorted);
    let last = *usual.last().unwrap();
    let changed = order(&["nothing of this name", last, "openh264"]);
    let mut wanted = vec![last, "openh264"];
    wanted.dedup();
    wanted.extend(usual.iter().filter(|name| **name != last && **name != "openh264"));
    assert_eq!(changed, wanted);
}

#[test]
fn receivers_are_shown_what_they_can_take() {
    for (name, path) in folders() {
        for entry in named(&name).profile.capture {
            let shows = entry.edid.as_deref().and_then(|word| edid::named(word).unwrap());
            let rate = shows.map(|bytes| {
                let mode = Edid::parse(&bytes).unwrap().preferred_mode().unwrap();
                u64::from(mode.resolution.width)
                    * u64::from(mode.resolution.height)
                    * u64::from(mode.millihertz)
            });
            match entry.driver.as_deref() {
                // A TC358743, which may have two lanes: up to 1080p at 50 Hz, and without an EDID no computer sends.
                Some("unicam") => assert!(rate.unwrap() <= 1920 * 1080 * 50_100, "{name}"),
                Some("uvcvideo") => assert_eq!(rate, None, "{name}: grabbers have an EDID of their own"),
                _ => {}
            }
        }
        let boot = fs::read_to_string(path.join("boot.md")).unwrap();
        for word in boot.split(|c: char| c.is_whitespace() || c == '=').filter(|word| word.ends_with(".hex"))
        {
            assert!(Path::new(word).exists(), "{name}/boot.md names {word}");
        }
    }
    // Each file's sums, and that it is a preset, so that a profile can name it.
    for entry in fs::read_dir("hw/edid").unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "hex") {
            let text = fs::read_to_string(&entry).unwrap();
            Edid::from_hex(&text).unwrap_or_else(|e| panic!("{}: {e}", entry.display()));
            let stem = entry.file_stem().unwrap().to_str().unwrap();
            assert!(
                edid::PRESETS.iter().any(|(name, hex)| *name == stem && *hex == text),
                "{stem} is no preset"
            );
        }
    }
}

/// One `KEY OPERATOR "VALUE"` of a rule, as far as udev(7) defines keys that are used here.
fn fault_of_rule(rule: &str) -> Option<String> {
    const MATCHES: [&str; 5] = ["SUBSYSTEM", "KERNEL", "DRIVERS", "ATTR", "ATTRS"];
    const ASSIGNMENTS: [&str; 4] = ["GROUP", "MODE", "SYMLINK", "TAG"];
    let (mut matches, mut assignments) = (0, 0);
    let mut rest = rule;
    while !rest.is_empty() {
        let Some((head, behind)) = rest.split_once('"') else { return Some(format!("no value in `{rest}`")) };
        let Some((value, behind)) = behind.split_once('"') else {
            return Some(format!("no end of `{behind}`"));
        };
        let operator = ["==", "!=", "+=", "="].into_iter().find(|operator| head.ends_with(operator));
        let Some(operator) = operator else { return Some(format!("no operator in `{head}`")) };
        let key = head.strip_suffix(operator).unwrap_or_default();
        let (name, attribute) = match key.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').filter(|attribute| !attribute.is_empty())),
            None => (key, None),
        };
        if name.starts_with("ATTR") != attribute.is_some() {
            return Some(format!("`{key}` is no key"));
        }
        match operator {
            "==" | "!=" if MATCHES.contains(&name) => matches += 1,
            "=" if ["GROUP", "MODE"].contains(&name) => assignments += 1,
            "+=" if ["SYMLINK", "TAG"].contains(&name) => assignments += 1,
            _ if MATCHES.contains(&name) || ASSIGNMENTS.contains(&name) => {
                return Some(format!("`{key}` does not take `{operator}`"));
            }
            _ => return Some(format!("`{key}` is no key")),
        }
        let is_mode = value.len() == 4 && value.bytes().all(|c| (b'0'..=b'7').contains(&c));
        if value.is_empty() || (name == "MODE" && !is_mode) {
            return Some(format!("{key}: \"{value}\" is no value for it"));
        }
        rest = match behind.strip_prefix(", ") {
            Some(next) if !next.is_empty() => next,
            Some(_) | None if behind.is_empty() => "",
            _ => return Some(format!("`{behind}` where a comma and another key should be")),
        };
    }
    (matches == 0 || assignments == 0).then(|| "it matches nothing or does nothing".to_owned())
}

#[test]
fn udev_can_read_every_rule() {
    let mut rules = 0;
    let others = OTHERS.map(|name| (name.to_owned(), Path::new("hw").join(name)));
    for (name, path) in folders().into_iter().chain(others).filter(|(name, _)| name != "edid") {
        let text = fs::read_to_string(path.join("udev.rules")).unwrap();
        for (n, line) in
            text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        {
            assert_eq!(fault_of_rule(line), None, "hw/{name}/udev.rules:{}", n + 1);
            rules += 1;
        }
        // What a profile calls by a name of its own, its rules have to make.
        let device = Boards::default().named(&name).and_then(|board| board.profile.hid.device);
        if let Some(link) = device.as_deref().and_then(|device| device.strip_prefix("/dev").ok()) {
            assert!(
                text.contains(&format!("SYMLINK+=\"{}\"", link.display())),
                "hw/{name}: who makes {link:?}?"
            );
        }
    }
    assert!(rules >= 40, "{rules}");
    for wrong in [
        "KERNEL==\"a\"",
        "GROUP=\"a\"",
        "KERNEL=\"a\", GROUP=\"b\"",
        "KERNEL==\"a\", GROUP==\"b\"",
        "KERNEL==\"a\" GROUP=\"b\"",
        "KERNEL==\"a\", GROUP=\"b\",",
        "KERNEL==\"a\", GROUP=\"b",
        "KERNEL==a, GROUP=\"b\"",
        "KERNEL==\"a\", MODE=\"660\"",
        "KERNEL==\"a\", SYMLINK=\"b\"",
        "ATTR==\"a\", GROUP=\"b\"",
        "KERNLE==\"a\", GROUP=\"b\"",
    ] {
        assert!(fault_of_rule(wrong).is_some(), "{wrong}");
    }
}
