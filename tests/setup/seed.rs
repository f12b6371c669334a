//! Seed files: taken over once and erased, or left with a sentence beside them; never a secret in what is said.

use super::*;

/// A boot partition with this seed file.
fn seeded(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("boot")).unwrap();
    fs::write(dir.path().join("boot/kvmdesk.toml"), text).unwrap();
    dir
}

fn take(dir: &Path) -> Output {
    command(dir, &["--seed", "boot/kvmdesk.toml"]).output().unwrap()
}

/// The names on the boot partition.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("boot")).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn it_sets_everything_is_erased_and_who_we_are_is_told_beside_it() {
    // As Windows' editor saves it.
    let seed = format!(
        "\u{feff}# office\r\nserver = \"a.example\"\r\nkey = \"{KEY}\"\r\nrelay = \"\"\r\npassword = \"correct horse\"\r\n\
         name = \"office\"\r\nos = \"linux\"\r\nkeyboard-layout = \"de\"\r\n"
    );
    let dir = seeded(&seed);
    let dir = dir.path();
    fs::write(dir.join("boot/kvmdesk-error.txt"), "from the last try").unwrap();
    // A second name of the same file shows what became of its bytes.
    fs::hard_link(dir.join("boot/kvmdesk.toml"), dir.join("bytes")).unwrap();
    let output = take(dir);
    let told = json(&output);
    assert_eq!((&told["name"], &told["server"]), (&"office".into(), &"a.example:21116".into()));
    assert_eq!(told["password"], "permanent");
    assert!(
        told["warnings"].to_string().contains("every board that was set up with the same file"),
        "{told:#}"
    );
    assert_eq!(
        read(dir, "etc/kvmdesk.toml"),
        format!(
            "[server]\nhost = \"a.example\"\nkey = \"{KEY}\"\n\n[[target]]\nname = \"office\"\nos = \"linux\"\n\
             keyboard-layout = \"de\"\n"
        )
    );
    assert!(dir.join("state/targets/1/password.json").exists());

    assert_eq!(names(dir), ["kvmdesk-id.txt"]);
    assert_eq!(read(dir, "bytes"), "", "nothing of it is left");
    let id = read(dir, "boot/kvmdesk-id.txt");
    for part in ["id", "key_fingerprint", "name", "server"] {
        assert!(id.contains(told[part].as_str().unwrap()), "{part}: {id}");
    }
    for (what, text) in [("output", &said(&output)), ("kvmdesk-id.txt", &id)] {
        assert!(!text.contains("horse") && !text.contains(KEY), "{what}: {text}");
    }
    let again = take(dir);
    assert_eq!(again.status.code(), Some(74), "there is none any more");
    assert_eq!(names(dir), ["kvmdesk-id.txt"]);
}

#[test]
fn what_the_app_exports_can_stand_there() {
    let dir = seeded(&format!("server-config = \"{EXPORTED}\"\n"));
    let told = json(&take(dir.path()));
    assert_eq!(
        (&told["server"], &told["warnings"]),
        (&"rustdesk.example.org:21116".into(), &Value::Array(vec![]))
    );
    assert!(read(dir.path(), "boot/kvmdesk-id.txt").contains("--show-once"), "how to get a password");
}

#[test]
fn a_wrong_file_changes_nothing_stays_and_is_told_beside_it_without_its_secret() {
    for (wrong, code, sentence) in [
        ("name = \"office\"\npassword = horse battery\n", 78, "kvmdesk.toml:2: write KEY = \"VALUE\""),
        ("password = \u{201c}horse battery\u{201d}\n", 78, "straight quotes"),
        ("password = \"horse battery\n", 78, "kvmdesk.toml:1: "),
        ("horse battery\n", 78, "kvmdesk.toml:1: "),
        ("password = \"horse 1\"\npassword = \"horse 2\"\n", 78, "each key once"),
        ("name = 'office'\npassword = [\"horse battery\"]\n", 78, "password wants its value in quotes"),
        ("passwort = \"horse battery\"\n", 78, "no key `passwort` here; there are server-config"),
        ("[server]\nhost = \"horse\"\n", 78, "server wants its value in quotes"),
        ("server = \"http://x\"\npassword = \"horse battery\"\n", 64, "server.host: "),
        ("keyboard-layout = \"klingon\"\npassword = \"horse battery\"\n", 64, "target.keyboard-layout: "),
        ("server = \"a.example\"\npassword = \"horse\"\n", 64, "take at least 6"),
        (
            &format!("server-config = \"{EXPORTED}\"\nserver = \"a.example\"\n"),
            64,
            "server-config, or server,",
        ),
        ("server-config = \"nonsense\"\n", 64, "no server configuration of the RustDesk app"),
    ] {
        let dir = seeded(wrong);
        let dir = dir.path();
        let output = take(dir);
        assert_eq!(output.status.code(), Some(code), "{wrong}: {}", said(&output));
        assert_eq!(names(dir), ["kvmdesk-error.txt", "kvmdesk.toml"]);
        let beside = read(dir, "boot/kvmdesk-error.txt");
        assert!(beside.lines().next().unwrap().contains(sentence), "{wrong}: {beside}");
        assert!(said(&output).contains(sentence) && output.stdout.is_empty(), "{wrong}: {}", said(&output));
        assert!(!beside.contains("horse") && !said(&output).contains("horse"), "{wrong}: {beside}");
        assert_eq!(read(dir, "boot/kvmdesk.toml"), wrong);
        assert!(!dir.join("etc").exists() && !dir.join("state").exists(), "{wrong}");
    }
}

#[test]
fn what_cannot_be_erased_is_not_taken_over() {
    let text = "name = \"office\"\npassword = \"correct horse\"\n";
    let dir = seeded(text);
    let dir = dir.path();
    // A mount of one process: the boot partition is read-only for it, whoever runs this.
    let shell = "mount --bind boot boot && mount -o remount,ro,bind boot || exit 3; exec \"$0\" \"$@\"";
    let mut unshared = Command::new("unshare");
    let setup = command(dir, &["--seed", "boot/kvmdesk.toml"]);
    unshared.args(["--mount", "--map-root-user", "sh", "-c", shell]).arg(setup.get_program());
    let output = unshared.args(setup.get_args()).current_dir(dir).env("HOME", dir).output();
    match output {
        Ok(output) if !matches!(output.status.code(), Some(1 | 3)) => {
            assert_eq!(output.status.code(), Some(74), "{}", said(&output));
            let sentence = "boot/kvmdesk.toml cannot be erased (Read-only file system (os error 30)), so nothing was changed";
            assert!(said(&output).contains(sentence), "{}", said(&output));
            assert!(said(&output).contains("nor can that be told beside it"), "{}", said(&output));
            assert!(!dir.join("etc").exists() && !dir.join("state").exists());
            assert_eq!(
                (names(dir), read(dir, "boot/kvmdesk.toml")),
                (vec!["kvmdesk.toml".to_owned()], text.to_owned())
            );
        }
        refused => println!("skipped: no mounts of one's own here: {refused:?}"),
    }
}

#[test]
fn a_wrong_command_leaves_nothing_behind() {
    let dir = seeded("");
    let dir = dir.path();
    fs::remove_file(dir.join("boot/kvmdesk.toml")).unwrap();
    let missing = take(dir);
    assert_eq!(missing.status.code(), Some(74));
    assert!(said(&missing).contains("cannot read boot/kvmdesk.toml"), "{}", said(&missing));
    assert_eq!(names(dir), Vec::<String>::new());
    let both = command(dir, &["--seed", "x", "--name", "y"]).output().unwrap();
    assert_eq!(both.status.code(), Some(64), "{}", said(&both));
}
