//! What can be shown without a kernel: choosing, refusing, recognising. Building is proven in the lab.
use std::os::unix::fs::symlink;

use super::*;

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
    let paths =
        KernelPaths { configfs: at("config"), sysfs: at("sys"), dev: at("dev"), group_file: at("group") };
    fs::create_dir_all(paths.configfs.join("usb_gadget")).unwrap();
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
    fs::create_dir_all(dir.join("configs/c.1")).unwrap();
    for (index, function) in FUNCTIONS.iter().enumerate() {
        let name = function_name(spec, index);
        let f = dir.join("functions").join(&name);
        put(f.join("subclass"), format!("{}\n", function.subclass));
        put(f.join("protocol"), format!("{}\n", function.protocol));
        put(f.join("report_length"), format!("{}\n", function.report_length));
        put(f.join("no_out_endpoint"), "1\n");
        put(f.join("report_desc"), function.report_descriptor);
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
    let remark = hand_over(std::slice::from_ref(&node), &spec, &t.paths).unwrap().unwrap();
    assert!(remark.contains("groupadd --system kvmdesk"), "{remark}");
    // Our own group: giving a file to it needs no privilege.
    let own = std::os::unix::fs::MetadataExt::gid(&fs::metadata(&node).unwrap());
    put(t.paths.group_file.clone(), format!("root:x:0:\nkvmdesk:x:{own}:\n"));
    assert_eq!(hand_over(std::slice::from_ref(&node), &spec, &t.paths).unwrap(), None);
    assert_eq!(fs::metadata(&node).unwrap().permissions().mode() & 0o777, 0o660);
}
