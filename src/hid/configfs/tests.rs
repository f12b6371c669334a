//! What can be shown without a kernel: choosing, refusing, recognising. Building is proven in the lab.
use std::os::unix::fs::symlink;

use super::repair::{Repair, ask, down_file, repair, request_file, take_request, withdraw};
use super::*;
use crate::hid::descriptor::KEYBOARD;

fn put(path: PathBuf, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

struct Tree {
    root: tempfile::TempDir,
    paths: KernelPaths,
}

fn tree(udcs: &[&str]) -> Tree {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    // Nodes that exist everywhere stand for those of functions.
    let paths = KernelPaths {
        configfs: at("config"),
        sysfs: at("sys"),
        dev: "/dev".into(),
        group_file: at("group"),
        run: at("run"),
    };
    fs::create_dir_all(paths.configfs.join("usb_gadget")).unwrap();
    fs::create_dir_all(paths.run.join("kvmdesk")).unwrap();
    for udc in udcs {
        put(paths.sysfs.join("class/udc").join(udc).join("function"), "\n");
        put(paths.sysfs.join("class/udc").join(udc).join("state"), "not attached\n");
    }
    Tree { root, paths }
}

/// The gadget as the kernel shows it after it was built.
fn gadget(tree: &Tree, spec: &GadgetSpec, udc: &str) -> PathBuf {
    let dir = tree.paths.configfs.join("usb_gadget").join(&spec.name);
    put(dir.join("UDC"), format!("{udc}\n"));
    put(dir.join("idVendor"), format!("0x{:04x}\n", spec.vendor_id));
    put(dir.join("idProduct"), format!("0x{:04x}\n", spec.product_id));
    put(dir.join("strings/0x0409/manufacturer"), format!("{}\n", spec.manufacturer));
    put(dir.join("strings/0x0409/product"), format!("{}\n", spec.product));
    put(dir.join("strings/0x0409/serialnumber"), format!("{}\n", spec.serial_number));
    put(dir.join("max_speed"), "super-speed-plus\n");
    put(dir.join("configs/c.1/bmAttributes"), format!("0x{:x}\n", spec.attributes()));
    put(dir.join("configs/c.1/MaxPower"), format!("{}\n", spec.max_power));
    for (index, function) in spec.functions.iter().enumerate() {
        let name = function_name(spec, index);
        let f = dir.join("functions").join(&name);
        put(f.join("subclass"), format!("{}\n", function.subclass));
        put(f.join("protocol"), format!("{}\n", function.protocol));
        put(f.join("report_length"), format!("{}\n", function.report_length));
        put(f.join("no_out_endpoint"), "1\n");
        put(f.join("report_desc"), function.report_descriptor);
        put(f.join("interval"), "4\n");
        put(f.join("dev"), "1:3\n");
        symlink(&f, dir.join("configs/c.1").join(&name)).unwrap();
    }
    dir
}

#[test]
fn the_controller_is_the_named_one_or_the_only_one() {
    let choose = |udcs: &[&str], wanted| choose_udc(wanted, &tree(udcs).paths).map_err(|e| e.to_string());
    assert_eq!(choose(&["fe980000.usb"], None).unwrap(), "fe980000.usb");
    assert_eq!(choose(&["a", "b"], Some("b")).unwrap(), "b");
    assert!(choose(&["a", "b"], None).unwrap_err().contains("choose one of: a, b"));
    assert!(choose(&["a"], Some("x")).unwrap_err().contains("no USB device controller x; choose one of: a"));
    assert!(choose(&[], None).unwrap_err().contains("cannot act as a keyboard"));
}

#[test]
fn a_missing_configfs_says_what_to_do() {
    let t = tree(&["a"]);
    fs::remove_dir(t.paths.configfs.join("usb_gadget")).unwrap();
    let error = gadgets_dir(&t.paths).unwrap_err().to_string();
    assert!(error.contains("modprobe libcomposite") && error.contains("mount -t configfs"), "{error}");
}

#[test]
fn a_taken_controller_names_its_holder() {
    let t = tree(&["a", "b"]);
    let gadgets = t.paths.configfs.join("usb_gadget");
    put(gadgets.join("other/UDC"), "a\n");
    assert_eq!(holder_of("a", &gadgets, &t.paths, "kvmdesk").as_deref(), Some("other"));
    assert_eq!(holder_of("a", &gadgets, &t.paths, "other"), None, "our own is no other");
    assert_eq!(holder_of("b", &gadgets, &t.paths, "kvmdesk"), None);
    put(udc_class(&t.paths).join("b/function"), "g_ether\n");
    assert_eq!(holder_of("b", &gadgets, &t.paths, "kvmdesk").as_deref(), Some("g_ether"));
}

#[test]
fn the_same_shape_is_recognised_and_any_difference_too() {
    let t = tree(&["a"]);
    let spec = GadgetSpec::default();
    let dir = gadget(&t, &spec, "a");
    assert!(has_shape(&dir, &spec));
    let other = GadgetSpec { serial_number: "0002".into(), ..spec.clone() };
    assert!(!has_shape(&dir, &other));
    let keyboard = dir.join("functions").join(function_name(&spec, 0));
    put(keyboard.join("no_out_endpoint"), "0\n");
    assert!(!has_shape(&dir, &spec));
    put(keyboard.join("no_out_endpoint"), "1\n");
    assert!(has_shape(&dir, &spec));
    put(dir.join("configs/c.1/bmAttributes"), "0xa0\n");
    assert!(!has_shape(&dir, &spec), "it may be woken");
    assert!(has_shape(&dir, &GadgetSpec { can_wake: true, ..spec.clone() }));
    assert!(!has_shape(&dir, &GadgetSpec { can_wake: true, max_power: 100, ..spec.clone() }));
    put(dir.join("configs/c.1/bmAttributes"), "0x80\n");
    let full = GadgetSpec { max_speed: Some(BusSpeed::Full), ..spec.clone() };
    assert!(!has_shape(&dir, &full));
    put(dir.join("max_speed"), "full-speed\n");
    assert!(has_shape(&dir, &full) && !has_shape(&dir, &spec));
    put(dir.join("max_speed"), "super-speed\n");
    let often = GadgetSpec { interval: Some(1), ..spec.clone() };
    assert!(!has_shape(&dir, &often) && has_interval(&dir));
    for index in 0..spec.functions.len() {
        let file = dir.join("functions").join(function_name(&spec, index)).join("interval");
        fs::remove_file(file).unwrap();
    }
    assert!(has_shape(&dir, &often), "an older kernel: as near as it comes");
    assert!(!has_interval(&dir));
    let few = GadgetSpec { functions: GadgetSpec::HID_ONLY.to_vec(), ..spec.clone() };
    assert!(!has_shape(&dir, &few));
    put(dir.join("functions/mass_storage.0/lun"), "");
    assert!(!has_shape(&dir, &spec), "a function too many");
}

#[test]
fn the_state_is_shown_and_nothing_there_is_nothing() {
    let t = tree(&["a"]);
    assert_eq!(view("kvmdesk", &t.paths), None);
    assert!(!down("kvmdesk", &t.paths).unwrap());
    gadget(&t, &GadgetSpec::default(), "a");
    let seen = view("kvmdesk", &t.paths).unwrap();
    assert_eq!(seen, GadgetView { udc: Some("a".into()), udc_state: Some("not attached".into()) });
}

#[test]
fn nodes_go_to_the_group_if_it_exists() {
    let t = tree(&["a"]);
    let spec = GadgetSpec::default();
    let node = t.root.path().join("node");
    put(node.clone(), "");
    put(t.paths.group_file.clone(), "root:x:0:\nother:x:7:a,b\n");
    let remarks = hand_over(std::slice::from_ref(&node), "a", &spec, &t.paths).unwrap();
    assert!(remarks[0].contains("groupadd --system kvmdesk"), "{remarks:?}");
    // Our own group: giving a file to it needs no privilege.
    let own = std::os::unix::fs::MetadataExt::gid(&fs::metadata(&node).unwrap());
    put(t.paths.group_file.clone(), format!("root:x:0:\nkvmdesk:x:{own}:\n"));
    assert!(hand_over(std::slice::from_ref(&node), "a", &spec, &t.paths).unwrap().is_empty());
    assert_eq!(fs::metadata(&node).unwrap().permissions().mode() & 0o777, 0o660);
    let waking = GadgetSpec { can_wake: true, ..spec };
    let remarks = hand_over(std::slice::from_ref(&node), "a", &waking, &t.paths).unwrap();
    assert!(remarks[0].contains("cannot be woken") && remarks[0].contains("srp"), "{remarks:?}");
    let srp = t.paths.sysfs.join("class/udc/a/srp");
    put(srp.clone(), "");
    assert!(hand_over(std::slice::from_ref(&node), "a", &waking, &t.paths).unwrap().is_empty());
    assert_eq!(fs::metadata(&srp).unwrap().permissions().mode() & 0o777, 0o220);
}

#[test]
fn the_profile_for_stubborn_computers_is_a_boot_keyboard_and_a_boot_mouse() {
    let triples = GadgetSpec::HID_ONLY.map(|f| (f.subclass, f.protocol));
    assert_eq!(triples, [(1, 1), (1, 2)]);
    assert_eq!(GadgetSpec::HID_ONLY[0], KEYBOARD, "on interface 0");
}

#[test]
fn a_port_with_a_role_switch_becomes_a_device() {
    let switch = |t: &Tree, name: &str, role: &str| {
        let file = t.paths.sysfs.join("class/usb_role").join(name).join("role");
        put(file.clone(), format!("{role}\n"));
        file
    };
    let t = tree(&["fcc00000.usb"]);
    let [ours, other] =
        ["fcc00000.usb-role-switch", "fd000000.usb-role-switch"].map(|n| switch(&t, n, "host"));
    assert_eq!(role::take_device_role(None, &t.paths), None);
    assert_eq!(attribute(&ours).as_deref(), Some("device"));
    assert_eq!(attribute(&other).as_deref(), Some("host"), "another port's");
    let t = tree(&["fcc00000.usb", "fd000000.usb"]);
    let other = switch(&t, "fd000000.usb-role-switch", "none");
    assert_eq!(role::take_device_role(None, &t.paths), None);
    assert_eq!(attribute(&other).as_deref(), Some("none"), "which one is not said");
    assert_eq!(role::take_device_role(Some("fd000000.usb"), &t.paths), None);
    assert_eq!(attribute(&other).as_deref(), Some("device"));
    // A switch that user space may not move has no file.
    let t = tree(&["a"]);
    fs::create_dir_all(t.paths.sysfs.join("class/usb_role/a-role-switch")).unwrap();
    assert_eq!(role::take_device_role(None, &t.paths), None);
    // One that refuses is told; this file refuses root too.
    let t = tree(&["a"]);
    let file = switch(&t, "a-role-switch", "host");
    fs::remove_file(&file).unwrap();
    symlink("/proc/version", &file).unwrap();
    let remark = role::take_device_role(None, &t.paths).unwrap();
    assert!(remark.contains("a-role-switch") && remark.contains("dr_mode"), "{remark}");
}

#[test]
fn a_request_for_a_repair_is_left_taken_once_or_withdrawn() {
    let t = tree(&["a"]);
    let take = || take_request(&t.paths).unwrap();
    assert_eq!(take(), None);
    for wanted in [Repair::Rebind, Repair::Rebuild] {
        ask(wanted, &t.paths).unwrap();
        assert_eq!((take(), take()), (Some(wanted), None));
    }
    ask(Repair::Rebind, &t.paths).unwrap();
    withdraw(&t.paths);
    assert_eq!(take(), None);
    // What the daemon's user could leave there instead.
    let secret = t.root.path().join("secret");
    put(secret.clone(), "rebuild");
    symlink(&secret, request_file(&t.paths)).unwrap();
    assert!(take_request(&t.paths).is_err());
    assert!(secret.exists() && take().is_none(), "the link went, not what it leads to");
    put(request_file(&t.paths), "rebind; reboot ".repeat(1000));
    assert_eq!((take(), take()), (None, None));
    fs::create_dir(request_file(&t.paths)).unwrap();
    assert!(take_request(&t.paths).is_err());
}

#[test]
fn an_unbound_gadget_is_bound_again() {
    let t = tree(&["a"]);
    let spec = GadgetSpec { group: None, ..GadgetSpec::default() };
    let dir = gadget(&t, &spec, "");
    assert_eq!(view("kvmdesk", &t.paths).unwrap().udc, None);
    let up = repair(Repair::Rebind, &spec, &t.paths).unwrap();
    assert_eq!((up.udc.as_str(), up.was_kept, up.nodes.len()), ("a", true, 4));
    assert_eq!(attribute(&dir.join("UDC")).as_deref(), Some("a"));
    assert!(repair(Repair::Rebind, &GadgetSpec { udc: Some("b".into()), ..spec }, &t.paths).is_err());
}

#[test]
fn what_was_taken_down_on_purpose_stays_down() {
    let t = tree(&["a"]);
    let spec = GadgetSpec { group: None, ..GadgetSpec::default() };
    let dir = gadget(&t, &spec, "");
    put(down_file(&t.paths), "");
    for wanted in [Repair::Rebind, Repair::Rebuild] {
        let error = repair(wanted, &spec, &t.paths).unwrap_err().to_string();
        assert!(error.contains("on purpose"), "{error}");
    }
    assert_eq!(attribute(&dir.join("UDC")).as_deref(), Some(""));
}
