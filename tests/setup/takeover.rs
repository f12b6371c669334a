//! Taking over, undoing and boot lines, as far as they go on a machine without any of it.

use std::fs;

use super::{NO_HARDWARE, json, read, said, setup};

#[test]
fn nobody_is_stopped_where_nobody_has_the_devices() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/kvmdesk.toml"), NO_HARDWARE).unwrap();
    let told = json(&setup(dir, &["--take-over", "--server", "a.example"]));
    let nothing = serde_json::json!({"stopped": [], "has_settings": false, "has_identity": false});
    assert_eq!(told["take_over"], nothing);
    assert!(told["warnings"].to_string().contains("none was stopped"), "{told:#}");
    assert_eq!(told["server"], "a.example:21116");
    let undo = setup(dir, &["--undo"]);
    assert_eq!(undo.status.code(), Some(64));
    assert!(said(&undo).contains("nothing was taken over"), "{}", said(&undo));
    let told = json(&setup(dir, &[]));
    assert_eq!((&told["take_over"], &told["boot"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}

#[test]
fn what_does_not_go_together_or_is_not_known_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir(dir.join("etc")).unwrap();
    let config = format!("board = \"generic\"\n{NO_HARDWARE}");
    fs::write(dir.join("etc/kvmdesk.toml"), &config).unwrap();
    for (args, sentence) in [
        (&["--undo", "--server", "x"][..], "cannot be used with"),
        (&["--undo", "--take-over"], "cannot be used with"),
        (&["--boot", "gadget", "--server", "x"], "--boot gadget: for this board kvmdesk knows nothing"),
    ] {
        let output = setup(dir, args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(sentence), "{args:?}: {}", said(&output));
    }
    let asking = super::command(dir, &["--take-over"]).output().unwrap();
    assert_eq!(asking.status.code(), Some(64));
    assert!(said(&asking).contains("--non-interactive"), "{}", said(&asking));
    assert_eq!(read(dir, "etc/kvmdesk.toml"), config);
}
