//! Configuration files: what ships passes, every key is documented, faults are told by file, line and key.

use std::fs;
use std::path::Path;

use kvmdesk::agent::agent::look_at_devices;
use kvmdesk::config::board::Boards;
use kvmdesk::config::file::{self, ConfigError};
use kvmdesk::config::settings::{self, Origin, Overrides, Settings};
use kvmdesk::media::capture::v4l2::V4l2Settings;
use kvmdesk::media::pipeline::{MaxSize, SourceSettings};
use kvmdesk::peer::machine::{AnnouncedPlatform, BadLink};
use kvmdesk::video::format::{PixelFormat, Resolution};

fn resolve(text: &str, environment: &[(&str, &str)], flags: &Overrides) -> Result<Settings, ConfigError> {
    let parsed = file::parse(Path::new("test.toml"), text.to_owned())?;
    let look = |name: &str| environment.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
    settings::resolve(&parsed, &Boards::default(), look, flags)
}

fn toml_files(dir: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    files.retain(|p| p.extension().is_some_and(|e| e == "toml"));
    files.sort();
    assert!(!files.is_empty(), "{dir} holds no .toml");
    files
}

#[test]
fn what_ships_is_valid() {
    let mut files = toml_files("config");
    files.extend(toml_files("config/examples"));
    for path in files {
        let parsed = file::read(&path).unwrap_or_else(|e| panic!("{e}"));
        settings::resolve(&parsed, &Boards::default(), |_| None, &Overrides::default())
            .unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn faults_are_told_in_the_sentence_beside_them() {
    for path in toml_files("tests/fixtures/invalid") {
        let text = fs::read_to_string(&path).unwrap();
        let name = Path::new(path.file_name().unwrap());
        let error = file::parse(name, text)
            .and_then(|parsed| {
                settings::resolve(&parsed, &Boards::default(), |_| None, &Overrides::default())
            })
            .expect_err(&format!("{} is accepted", path.display()));
        let beside = path.with_extension("txt");
        let want =
            fs::read_to_string(&beside).unwrap_or_else(|_| panic!("{error}\n  wants {}", beside.display()));
        assert_eq!(error.to_string(), want.trim_end(), "{}", path.display());
    }
}

/// The keys that a section knows, by the parser's own answer to one that it does not know.
fn keys_of(text: &str) -> Vec<String> {
    let error = file::parse(Path::new("x"), text.to_owned()).expect_err("an unknown key");
    let (_, expected) = error.message.split_once("expected").expect("the answer names the known keys");
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_key_is_documented_and_its_documented_value_is_accepted() {
    let shipped = fs::read_to_string("config/kvmdesk.toml").unwrap();
    // A commented key has no space behind its `#`; prose has one.
    let text: String = shipped
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let table: toml::Table = text.parse().unwrap();
    let mut known = 0;
    assert!(table.contains_key("state-dir") && table.contains_key("board"));
    for section in
        keys_of("zzz = 1").into_iter().filter(|key| !["state-dir", "board"].contains(&key.as_str()))
    {
        let is_list = section == "target" || section == "display";
        let head = if is_list { format!("[[{section}]]") } else { format!("[{section}]") };
        let host = if section == "server" { "host = \"a\"\n" } else { "" };
        for key in keys_of(&format!("{head}\n{host}zzz = 1\n")) {
            let table = &table[&section];
            let value = table.as_array().map_or(table, |tables| &tables[0]).get(&key);
            assert!(value.is_some(), "config/kvmdesk.toml does not document {section}.{key}");
            known += 1;
        }
    }
    assert_eq!(keys_of("[[target]]\npointer.zzz = 1"), ["local", "mode"]);
    assert!(["local", "mode"].iter().all(|key| table["target"][0]["pointer"].get(key).is_some()));
    assert!(known >= 28, "only {known} keys found: does the parser still list them?");
    // Only one backend can be chosen at a time.
    let text = text.replace("log = \"/tmp", "#log = \"/tmp");
    let text =
        text.replace("device = \"/dev/ttyUSB0", "#device = \"/dev/ttyUSB0").replace("\nbaud", "\n#baud");
    let settings = resolve(&text, &[], &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    // The documented values are the defaults, where there are any.
    let bare = resolve("", &[], &Overrides::default()).unwrap();
    for default in bare.shown.iter().filter(|default| !default.value.starts_with('(')) {
        for documented in settings.shown.iter().filter(|s| s.key == default.key) {
            assert_eq!(documented.value, default.value, "{}: the comment shows another default", default.key);
        }
    }
}

#[test]
fn a_serial_chip_has_a_device_and_a_rate() {
    use kvmdesk::config::settings::hid::HidChoice;
    use kvmdesk::hid::backend::ch9329::{Ch9329Settings, chip::Baud};
    let text = |baud: &str| format!("[hid]\nbackend = \"ch9329\"\ndevice = \"/dev/ttyS1\"\n{baud}");
    for (line, baud) in
        [("", Baud::Auto), ("baud = \"auto\"", Baud::Auto), ("baud = 115200", Baud::Fixed(115_200))]
    {
        let settings = resolve(&text(line), &[], &Overrides::default()).unwrap();
        assert_eq!(settings.hid, HidChoice::Ch9329(Ch9329Settings { device: "/dev/ttyS1".into(), baud }));
    }
}

#[test]
fn the_gadget_is_what_its_section_says() {
    use kvmdesk::config::settings::hid::HidChoice;
    use kvmdesk::hid::configfs::spec::{BusSpeed, GadgetSpec};
    use kvmdesk::hid::descriptor::{CONTROL, KEYBOARD};
    let gadget = |text: &str| match resolve(text, &[], &Overrides::default()).unwrap().hid {
        HidChoice::Gadget { spec, wakes_on_input } => (*spec, wakes_on_input),
        other @ (HidChoice::Ch9329(_) | HidChoice::Uinput | HidChoice::Recording { .. }) => {
            panic!("{other:?}")
        }
    };
    assert_eq!(gadget(""), (GadgetSpec::default(), false));
    let text = "[hid]\ngadget = \"g\"\n[gadget]\nfunctions = [\"control\", \"keyboard\"]\nudc = \"a.usb\"\n\
                vendor-id = 0x046d\nproduct-id = 0xC31C\nmanufacturer = \"M\"\nproduct = \"P\"\nserial-number = \"S\"\n\
                max-speed = \"full\"\nmax-power = 98\nself-powered = true\ninterval = 1\nwake = \"input\"\n";
    let want = GadgetSpec {
        name: "g".into(),
        functions: vec![KEYBOARD, CONTROL],
        vendor_id: 0x046d,
        product_id: 0xc31c,
        manufacturer: "M".into(),
        product: "P".into(),
        serial_number: "S".into(),
        max_speed: Some(BusSpeed::Full),
        max_power: 98,
        is_self_powered: true,
        can_wake: true,
        interval: Some(1),
        udc: Some("a.usb".into()),
        ..GadgetSpec::default()
    };
    assert_eq!(want.attributes(), 0xe0);
    assert_eq!(gadget(text), (want, true));
    let (spec, wakes) = gadget("[gadget]\nfunctions = \"hid-only\"\nwake = \"command\"\n");
    assert_eq!((spec.functions, spec.can_wake, wakes), (GadgetSpec::HID_ONLY.to_vec(), true, false));
}

#[test]
fn the_strongest_saying_wins_and_its_origin_is_shown() {
    let text = "[server]\nhost = \"file.example\"\nkey = \"k\"\n[log]\nlevel = \"warn\"\n";
    let env = [("KVMDESK_SERVER", "env.example"), ("KVMDESK_STATE_DIR", "/env")];
    let flags = Overrides { state_dir: Some("/flag".into()), ..Overrides::default() };
    let settings = resolve(text, &env, &flags).unwrap();
    let shown = |key: &str| {
        let line = settings.shown.iter().find(|s| s.key == key).unwrap();
        (line.value.as_str(), line.origin)
    };
    assert_eq!(shown("state-dir"), ("/flag", Origin::Flag));
    assert_eq!(shown("server.host"), ("env.example", Origin::Environment));
    assert_eq!(shown("log.level"), ("warn", Origin::File));
    assert_eq!(shown("video.max-fps"), ("30", Origin::Default));
    assert_eq!(shown("server.key"), ("***", Origin::File), "secrets are not shown");
    assert_eq!(settings.server.unwrap().host.to_string(), "env.example:21116");
}

#[test]
fn faults_outside_the_file_name_their_source() {
    let flags = Overrides::default();
    let error = resolve("", &[("KVMDESK_LOG", "loud")], &flags).unwrap_err().to_string();
    assert_eq!(error, "environment: KVMDESK_LOG: `loud` is none of error, warn, info, debug, trace");
    let error = resolve("", &[("KVMDESK_SERVER", "a b")], &flags).unwrap_err().to_string();
    assert!(error.starts_with("environment: KVMDESK_SERVER: `a b` is no server"), "{error}");
    let flags = Overrides { server_key: Some("k".into()), ..Overrides::default() };
    let error = resolve("", &[], &flags).unwrap_err().to_string();
    assert_eq!(error, "command line: server.key: a server key without a server: name the server too");
}

#[test]
fn sound_belongs_to_the_first_capture_device_unless_named() {
    use kvmdesk::media::audio::{AudioDevice, AudioSettings};
    let audio = |text: &str| resolve(text, &[], &Overrides::default()).map(|s| s.audio);
    assert_eq!(audio("[video]\nsource = \"pattern\"\n").unwrap(), None, "a test card makes no sound");
    assert_eq!(audio("[audio]\ndevice = \"off\"\n").unwrap(), None);
    let named = audio("[audio]\ndevice = \"hw:1,0\"\n");
    let beside = audio("[video]\ndevice = \"/dev/video3\"\n").unwrap();
    if cfg!(feature = "sound") {
        let of = |device| Some(AudioSettings { device });
        assert_eq!(named.unwrap(), of(AudioDevice::Named("hw:1,0".into())));
        assert_eq!(beside, of(AudioDevice::Beside(V4l2Settings::at("/dev/video3"))));
    } else {
        let error = named.unwrap_err().to_string();
        assert!(
            error.starts_with("test.toml:2: audio.device: this kvmdesk was built without sound"),
            "{error}"
        );
        assert_eq!(beside, None);
    }
}

#[test]
fn nothing_is_open_unless_asked_for() {
    let settings = resolve("", &[], &Overrides::default()).unwrap();
    assert!(settings.server.is_none() && settings.direct.is_none() && !settings.is_lan_discovery_on);
    assert!(settings.is_encryption_required);
    assert!(
        settings.warnings.iter().any(|w| w.contains("no RustDesk app can reach")),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn hosts_come_in_every_spelling() {
    for good in
        ["a.example", "a.example:21116", "192.168.1.5", "[2001:db8::1]", "[2001:db8::1]:21116", "2001:db8::1"]
    {
        let text = format!("[server]\nhost = \"{good}\"\n");
        resolve(&text, &[], &Overrides::default()).unwrap_or_else(|e| panic!("{e}"));
    }
    for bad in ["", "a.example:0", "a.example:99999", "a/b", "ws://a"] {
        let text = format!("[server]\nhost = \"{bad}\"\n");
        assert!(resolve(&text, &[], &Overrides::default()).is_err(), "{bad:?} is accepted");
    }
}

#[test]
fn each_display_is_captured_as_its_section_says() {
    let text = "[video]\nmax-size = \"source\"\n\
                [[display]]\ndevice = \"/dev/video1\"\nformats = [\"UYVY\", \"NV12\"]\nedid = \"720p60\"\n\
                max-size = \"800x600\"\nmax-fps = 12\n\
                [[display]]\nsource = \"pattern\"\n";
    let settings = resolve(text, &[], &Overrides::default()).unwrap();
    let [first, second, third] = settings.displays.as_slice() else { panic!("{:?}", settings.displays) };
    let SourceSettings::V4l2(v4l2) = &first.source else { panic!("{first:?}") };
    let generic = Boards::default().recognised().profile.devices();
    assert_eq!((&v4l2.devices, first.max_size), (&generic, MaxSize::Source));
    let SourceSettings::V4l2(v4l2) = &second.source else { panic!("{second:?}") };
    let [device] = v4l2.devices.as_slice() else { panic!("{v4l2:?}") };
    assert_eq!(device.formats, [PixelFormat::Uyvy, PixelFormat::Nv12]);
    assert_eq!(device.edid.as_ref().unwrap().len(), 256);
    assert_eq!((second.max_size, second.max_fps), (MaxSize::Fixed(Resolution::new(800, 600)), 12));
    assert_eq!((&third.source, third.max_size), (&SourceSettings::Pattern, MaxSize::Auto));
    let auto = resolve("[[display]]\ndevice = \"auto\"\n", &[], &Overrides::default()).unwrap_err();
    assert!(auto.message.starts_with("a display needs its own device"), "{auto}");
    let shown: Vec<_> = settings.shown.iter().map(|s| (s.key.as_str(), s.origin)).collect();
    assert!(shown.contains(&("display-2.formats", Origin::File)), "{shown:?}");
    assert!(shown.contains(&("display-3.max-fps", Origin::Default)), "{shown:?}");
}

#[test]
fn every_display_without_a_device_of_its_own_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("video0"), "").unwrap();
    std::os::unix::fs::symlink(path("video0"), path("by-path")).unwrap();
    let display = |name: &str| format!("[[display]]\ndevice = \"{}\"\n", path(name).display());
    let text = format!(
        "[hid]\nbackend = \"recording\"\n[video]\ndevice = \"{}\"\n{}{}[[display]]\nsource = \"pattern\"\n",
        path("video0").display(),
        display("gone"),
        display("by-path")
    );
    let settings = resolve(&text, &[], &Overrides::default()).unwrap();
    let wanted = [
        format!("display-2.device: {} is not there now", path("gone").display()),
        format!("display-3.device: {} is the same device as video.device", path("by-path").display()),
    ];
    assert_eq!(look_at_devices(&settings), wanted);
}

#[test]
fn an_unknown_format_is_answered_with_the_known_ones() {
    let error =
        resolve("[video]\nformats = [\"NV12\",\n\"YUY2\"]\n", &[], &Overrides::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("test.toml:3: video.formats: `YUY2` is none of NV12, YUYV, "), "{text}");
    for format in PixelFormat::ALL {
        assert!(text.contains(std::str::from_utf8(&format.fourcc()).unwrap()), "{text}");
    }
}

#[test]
fn keys_are_read_for_the_targets_layout() {
    let text = "app.announce = \"macos\"\n[[target]]\nkeyboard-layout = \"de\"\nkeyboard.bad-link = \"on\"\n";
    let settings = resolve(text, &[], &Overrides::default()).unwrap();
    let peer = settings.peer(
        "123456789".parse().unwrap(),
        kvmdesk::crypto::identity::IdentityKeyPair::from_seed(&[1; 32]),
        String::new(),
    );
    assert_eq!(peer.announce, AnnouncedPlatform::MacOs);
    assert_eq!((peer.keyboard.layout.name(), peer.keyboard.bad_link), ("de", BadLink::On));
    assert_eq!(resolve("", &[], &Overrides::default()).unwrap().target.bad_link, BadLink::Auto);
}
