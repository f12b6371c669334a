//! On a tree of its own, with programs that stand in for systemd and SQLite (tests/fixtures/take-over).

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::agent::identity;
use crate::cli::holders::tests::Machine;
use crate::cli::setup::{Outcome, carry_out};

/// As One-KVM writes it, in short; the key pair of the seed 0, 1, 2 ... 31.
const SETTINGS: &str = r#"{"initialized":true,"rustdesk":{"enabled":true,"codec":"h264",
"rendezvous_server":"rustdesk.example.org:21116","relay_server":"relay.example.org","relay_key":"OeVuKk5nlHiXp+APNn0Y3pC1Iwpwn44JGqrQCsWqmBw=",
"device_id":"234567891","device_password":"abcdefgh","signing_public_key":"A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
"signing_private_key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==",
"uuid":"6fa459ea-ee8a-3ca4-894e-db77e160355e"}}"#;

struct Desk {
    machine: Machine,
    system: System,
    place: Place,
    config: String,
}

impl Desk {
    fn new() -> Self {
        let machine = Machine::new();
        machine.port("a.usb", "");
        let dir = machine.root();
        let fixture = |name: &str| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/take-over").join(name);
            vec!["sh".into(), script, dir.clone()]
        };
        let system = System {
            systemctl: fixture("systemctl.sh"),
            sqlite3: fixture("sqlite3.sh"),
            database: dir.join("one-kvm.db"),
            roots: machine.roots.clone(),
        };
        let place = Place {
            config: Some(dir.join("kvmdesk.toml")),
            state_dir: Some(dir.join("state")),
            log_level: None,
        };
        let config = format!(
            "# mine\n[video]\ndevice = \"{}/dev/video0\"\n[audio]\ndevice = \"off\"\n[hid]\nbackend = \"gadget\"\n",
            dir.display()
        );
        machine.write("kvmdesk.toml", &config);
        Self { machine, system, place, config }
    }

    fn with_one_kvm() -> Self {
        let desk = Self::new();
        desk.machine.write("one-kvm.db", "");
        desk.machine.write("app-config.json", SETTINGS);
        desk.machine.write("config/usb_gadget/one-kvm/UDC", "a.usb\n");
        desk.machine.process(20, "one-kvm", "0::/system.slice/one-kvm.service\n", &["video0", "hidg0"]);
        desk
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.machine.root().join(name)).unwrap()
    }

    fn store(&self) -> Store {
        Store::open(&self.machine.root().join("state")).unwrap()
    }

    /// As `kvmdesk setup --non-interactive --take-over` does it.
    fn take_over(&self) -> Result<Outcome, Failure> {
        let mut changes = Changes::default();
        let found = TakeOver::find(&Plan::new(&self.place, &changes, None)?.settings, &self.system);
        found.add_to(&mut changes);
        carry_out(Plan::new(&self.place, &changes, None)?, Some(found), None, &self.system)
    }

    /// What systemd was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let asked = self.read("asked");
        self.machine.write("asked", "");
        asked.lines().map(str::to_owned).collect()
    }
}

#[track_caller]
fn warns(outcome: &Outcome, text: &str) {
    assert!(outcome.warnings.iter().any(|warning| warning.contains(text)), "{:?}", outcome.warnings);
}

#[test]
fn one_kvm_s_place_is_taken_and_given_back() {
    let desk = Desk::with_one_kvm();
    let store = desk.store();
    identity::load_or_create(&store, None, &mut identity::chance()).unwrap();
    let before = identity::stored(&store).unwrap().unwrap();

    let outcome = desk.take_over().unwrap();
    assert_eq!(outcome.id, "234567891");
    let stopping = ["is-enabled --quiet one-kvm.service", "disable --now one-kvm.service"];
    assert_eq!(desk.asked(), [&stopping[..], &["restart kvmdesk-gadget.service"]].concat());
    assert_eq!(desk.read("config/usb_gadget/one-kvm/UDC"), "\n", "what it left on the port is taken off");
    let settings = Plan::new(&desk.place, &Changes::default(), None).unwrap().settings;
    let server = settings.server.unwrap();
    assert_eq!(
        (server.host.to_string(), server.relay.as_deref(), server.key.reveal().len()),
        ("rustdesk.example.org:21116".to_owned(), Some("relay.example.org"), 44)
    );
    assert_eq!(outcome.warnings, Vec::<String>::new());
    let told = serde_json::to_value(&outcome).unwrap();
    let want =
        serde_json::json!({"stopped": ["one-kvm.service"], "has_settings": true, "has_identity": true});
    assert_eq!(told["take_over"], want);
    for secret in ["abcdefgh", "OeVu", "AAECAw"] {
        assert!(!told.to_string().contains(secret), "{told}");
    }
    let record = store.target_dir().join("take-over.json");
    assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);

    // A second time there is nobody to stop, and what was before the first time stays written down.
    let again = desk.take_over().unwrap();
    assert_eq!((again.id.as_str(), again.take_over.unwrap().stopped.len()), ("234567891", 0));
    let taken_over = desk.read("kvmdesk.toml");

    desk.machine.write("asked", "");
    let undone = put_back(&store, &desk.system).unwrap();
    let ours = OURS.map(|unit| format!("disable --now {unit}"));
    assert_eq!(desk.asked(), [&ours[..], &["enable --now one-kvm.service".to_owned()]].concat());
    assert_eq!(
        (undone.started, undone.has_identity, undone.has_config),
        (vec![ONE_KVM.to_owned()], true, true)
    );
    assert_eq!(identity::stored(&store).unwrap().unwrap(), before);
    assert_eq!((desk.read("kvmdesk.toml"), desk.read("kvmdesk.toml.bak")), (desk.config.clone(), taken_over));
    assert!(!record.exists());
    assert_eq!(put_back(&store, &desk.system).unwrap_err().code, USAGE);
}

#[test]
fn what_cannot_be_read_is_told_and_the_service_stopped_all_the_same() {
    let mut desk = Desk::with_one_kvm();
    desk.system.sqlite3 = vec!["/nonexistent/sqlite3".into()];
    let settings = Plan::new(&desk.place, &Changes::default(), None).unwrap().settings;
    let found = TakeOver::find(&settings, &desk.system);
    assert!(found.notes[0].contains("`apt install sqlite3`"), "{:?}", found.notes);
    desk.system.sqlite3 = vec!["sh".into(), "-c".into(), "echo file is not a database >&2; exit 26".into()];
    let found = TakeOver::find(&settings, &desk.system);
    assert!(found.notes[0].ends_with("one-kvm.db: file is not a database"), "{:?}", found.notes);
    let outcome = desk.take_over().unwrap();
    warns(&outcome, "one-kvm.db: file is not a database");
    let taken = outcome.take_over.unwrap();
    assert_eq!(
        (taken.stopped, taken.has_settings, taken.has_identity),
        (vec![ONE_KVM.to_owned()], false, false)
    );
    assert_eq!(desk.read("kvmdesk.toml"), desk.config);
}

#[test]
fn without_its_key_the_server_is_taken_and_our_id_stays() {
    let desk = Desk::with_one_kvm();
    desk.machine.write("app-config.json", &SETTINGS.replace("AAECAw", "BBECAw"));
    let outcome = desk.take_over().unwrap();
    warns(&outcome, "its key does not fit");
    assert_eq!(outcome.server.as_deref(), Some("rustdesk.example.org:21116"));
    assert_ne!(outcome.id, "234567891");
    let undone = put_back(&desk.store(), &desk.system).unwrap();
    assert_eq!((undone.has_identity, undone.has_config), (false, true));
    let now = identity::load(&desk.store()).unwrap().unwrap();
    assert_eq!(now.id.as_str(), outcome.id, "it was ours all the time");
}

#[test]
fn a_service_that_does_not_stop_leaves_everything_as_it_was() {
    let desk = Desk::with_one_kvm();
    desk.machine.write("refuses", "one-kvm.service\n");
    let failure = desk.take_over().unwrap_err();
    assert_eq!(failure.code, UNAVAILABLE);
    assert!(failure.text.contains("Unit one-kvm.service is masked."), "{}", failure.text);
    assert_eq!(desk.read("kvmdesk.toml"), desk.config);
    assert!(identity::stored(&desk.store()).unwrap().is_none());
    // It cannot be started either: what is to be put back is not forgotten.
    let undone = put_back(&desk.store(), &desk.system).unwrap();
    assert!(undone.started.is_empty() && undone.warnings[0].contains("masked"), "{undone:?}");
    desk.machine.write("refuses", "");
    assert_eq!(put_back(&desk.store(), &desk.system).unwrap().started, ["one-kvm.service"]);
}

#[test]
fn other_programs_are_only_stopped() {
    let desk = Desk::new();
    desk.machine.write("config/usb_gadget/kvmd/UDC", "a.usb\n");
    desk.machine.process(30, "ustreamer", "0::/system.slice/kvmd.service\n", &["video0"]);
    desk.machine.process(31, "cheese", "0::/user.slice/user-1.slice/session-1.scope\n", &["video0"]);
    let outcome = desk.take_over().unwrap();
    warns(&outcome, "cheese, process 31 has ");
    let asked = desk.asked();
    assert_eq!(asked[2..], ["stop kvmd.service", "stop kvmd-otg.service", "restart kvmdesk-gadget.service"]);
    let taken = outcome.take_over.unwrap();
    assert!(!taken.has_settings && !taken.has_identity);
    put_back(&desk.store(), &desk.system).unwrap();
    assert_eq!(desk.asked()[3..], ["start kvmd.service", "start kvmd-otg.service"]);
}

#[test]
fn a_gadget_of_nobody_that_is_stopped_stays_on_the_port() {
    let desk = Desk::new();
    desk.machine.process(20, "ustreamer", "0::/system.slice/ustreamer.service\n", &["video0"]);
    desk.machine.write("config/usb_gadget/own/UDC", "a.usb\n");
    let outcome = desk.take_over().unwrap();
    assert_eq!(outcome.take_over.as_ref().unwrap().stopped, ["ustreamer.service"]);
    warns(&outcome, "stop that yourself");
    assert_eq!(desk.read("config/usb_gadget/own/UDC"), "a.usb\n");
    assert!(!desk.asked().iter().any(|asked| asked.contains("kvmdesk-gadget")));
}

#[test]
fn another_server_that_is_named_is_not_told_as_one_kvm_s() {
    let desk = Desk::with_one_kvm();
    let mut changes = Changes { host: Some("other.example".into()), ..Changes::default() };
    let found = TakeOver::find(&Plan::new(&desk.place, &changes, None).unwrap().settings, &desk.system);
    found.add_to(&mut changes);
    let plan = Plan::new(&desk.place, &changes, None).unwrap();
    let taken = carry_out(plan, Some(found), None, &desk.system).unwrap().take_over.unwrap();
    assert!(!taken.has_settings && taken.has_identity);
}
