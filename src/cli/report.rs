//! `kvmdesk report`: what somebody who helps needs to know, as one text file without secrets that can be read before it is
//! handed on, and pasted.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::agent::control::{self, Answer, Request};
use crate::agent::logbook::unix_now;
use crate::agent::secrets;
use crate::agent::store::{self, Store};
use crate::config::file;
use crate::config::settings::{DEFAULT_STATE_DIR, Settings};

use super::args::{Place, Report};
use super::doctor::{self, Roots};
use super::{Failure, place, probe, sessions, status};

/// Longest section, in bytes; of a longer one the end is kept.
const MOST: usize = 256 << 10;
/// Files of a gadget and lines of a log that are kept.
const MOST_ENTRIES: usize = 400;
/// Shorter secrets would be found everywhere; the configuration's own are masked by their key too.
const LEAST_SECRET: usize = 6;
/// The kernel says these of what concerns us.
const RELEVANT: [&str; 24] = [
    "usb",
    "dwc",
    "udc",
    "gadget",
    "musb",
    "hid",
    "video",
    "v4l",
    "hdmi",
    "tc358743",
    "uvc",
    "csi",
    "unicam",
    "snd",
    "alsa",
    "audio",
    "voltage",
    "thermal",
    "throttl",
    "mmc",
    "ext4",
    "out of memory",
    "segfault",
    "kvmdesk",
];

/// A heading and what stands below it.
struct Section {
    name: &'static str,
    text: String,
}

pub(super) fn run(place: &Place, args: &Report) -> Result<(), Failure> {
    let sections = sections(place);
    let secrets = secrets_of(place);
    let page: String = sections
        .iter()
        .map(|section| format!("===== {} =====\n{}\n\n", section.name, section.text.trim_end()))
        .collect();
    let page = scrubbed(&page, &secrets);
    if args.file == Path::new("-") {
        std::io::stdout().write_all(page.as_bytes())?;
        return Ok(());
    }
    store::write_atomically(&args.file, page.as_bytes())?;
    let path = fs::canonicalize(&args.file).unwrap_or_else(|_| args.file.clone());
    println!("The report is in {} ({} KiB). It holds:", path.display(), page.len().div_ceil(1024));
    for Section { name, text } in &sections {
        let lines = text.trim_end().lines().count();
        let size = if lines == 1 { text.trim_end().to_owned() } else { format!("{lines} lines") };
        println!("  {name:<22} {}", scrubbed(&size, &secrets));
    }
    println!(
        "Passwords and keys are left out. It names this device's ID, its server, and names and addresses of controllers: \
         read it before you hand it on."
    );
    Ok(())
}

fn sections(place: &Place) -> Vec<Section> {
    let settings = place::settings(place);
    let told = status::ask(&store(place));
    let shown = |settings: &Settings| {
        let line =
            |l: &crate::config::settings::Shown| format!("{:<28} {:<12} {}\n", l.key, l.origin, l.value);
        settings.shown.iter().map(line).collect::<String>()
    };
    let machine = Roots::default();
    let status = match &told {
        Ok(status) => serde_json::to_string_pretty(status).unwrap_or_default(),
        Err(failure) => failure.text.clone(),
    };
    let probed = probe::look(settings.as_ref().ok(), settings.as_ref().err().map(|e| e.text.clone()));
    let section = |name, text| Section { name, text };
    vec![
        section("system", system()),
        section("doctor", doctor::to_text(&doctor::examine(place, &machine))),
        section("status", status),
        section("probe", probe::text::render(&probed)),
        section("settings", settings.as_ref().map_or_else(|failure| failure.text.clone(), shown)),
        section("configuration file", configuration_file(place)),
        section("USB gadget", gadget(&machine)),
        section("device nodes", nodes(&machine.kernel.dev)),
        section("kernel log", kernel_log()),
        section("journal", journal()),
    ]
}

/// The state directory, named as well as the configuration lets.
fn store(place: &Place) -> Store {
    Store::at(&place::state_dir(place).unwrap_or_else(|_| DEFAULT_STATE_DIR.into()))
}

/// Everything that must not be in the report.
fn secrets_of(place: &Place) -> Vec<String> {
    let store = store(place);
    let mut all = secrets::of(&store);
    all.extend(place::environment("KVMDESK_SERVER_KEY"));
    let parsed = place::config_path(place).and_then(|path| file::read(&path).ok());
    all.extend(parsed.and_then(|parsed| parsed.file.server?.key));
    if let Ok(Answer::OneTimePassword { password }) = control::ask(&store.socket(), &Request::OneTimePassword)
    {
        all.extend(password);
    }
    // Of several lines, each; the longest first, so that nothing of one is left when another is a part of it.
    let mut parts: Vec<String> = all.iter().flat_map(|secret| secret.lines()).map(str::to_owned).collect();
    parts.extend(all);
    parts.retain(|secret| secret.trim().len() >= LEAST_SECRET);
    parts.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    parts
}

fn scrubbed(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

fn system() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let line = |file: &str, start: &str| {
        let found = read(file).lines().find(|line| line.starts_with(start)).map(str::to_owned);
        found.unwrap_or_else(|| format!("{start} unknown"))
    };
    [
        format!("kvmdesk {} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH),
        format!("made at {} UTC", sessions::utc(unix_now())),
        read("/proc/version"),
        line("/etc/os-release", "PRETTY_NAME="),
        format!("up and idle for {} s", read("/proc/uptime")),
        format!("load {}", read("/proc/loadavg")),
        line("/proc/meminfo", "MemTotal:"),
        line("/proc/meminfo", "MemAvailable:"),
    ]
    .join("\n")
}

/// The file as it is written, without the values of what may be secret; nothing of one that cannot be understood.
fn configuration_file(place: &Place) -> String {
    match place::config_path(place).map(|path| (file::read(&path), path)) {
        None => "there is none".to_owned(),
        Some((Err(fault), _)) => format!("left out, because it cannot be understood: {fault}"),
        Some((Ok(parsed), path)) => {
            // First by its value: a text of several lines would not be found once its first line is masked.
            let key = parsed.file.server.as_ref().and_then(|server| server.key.clone());
            let text = key
                .filter(|key| key.len() >= LEAST_SECRET)
                .map_or(parsed.text.clone(), |key| parsed.text.replace(&key, "***"));
            format!("# {}\n{}", path.display(), masked(&text))
        }
    }
}

/// The text with `***` in place of values whose keys sound secret, commented ones too.
fn masked(text: &str) -> String {
    let is_secret = |head: &str| {
        let key = head.trim_start_matches(['#', ' ', '\t']).trim_end().trim_matches(['"', '\'']);
        let last = key.rsplit(['.', '{', ',', ' ']).next().unwrap_or(key).to_lowercase();
        last == "key"
            || last.ends_with("-key")
            || ["pass", "secret", "token"].iter().any(|w| last.contains(w))
    };
    let mask = |line: &str| {
        let ends = line.match_indices('=').map(|(at, _)| at);
        match ends.into_iter().find(|at| is_secret(&line[..*at])) {
            Some(at) => format!("{}= ***\n", &line[..at]),
            None => format!("{line}\n"),
        }
    };
    text.lines().map(mask).collect()
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Controllers, role switches and every gadget with its attributes.
fn gadget(machine: &Roots) -> String {
    let mut lines = vec![];
    for class in ["class/udc", "class/usb_role", "class/extcon"] {
        for dir in sorted(&machine.kernel.sysfs.join(class)) {
            for name in ["state", "role", "function", "current_speed", "maximum_speed", "is_selfpowered"] {
                attribute(&dir.join(name), &mut lines);
            }
        }
    }
    walk(&machine.kernel.configfs.join("usb_gadget"), 6, &mut lines);
    if lines.is_empty() { "no controller and no gadget".to_owned() } else { lines.join("\n") }
}

fn walk(dir: &Path, depth: usize, lines: &mut Vec<String>) {
    for path in sorted(dir) {
        if lines.len() >= MOST_ENTRIES {
            return;
        }
        if path.is_symlink() {
            lines.push(format!("{} ->", path.display()));
        } else if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, lines);
            }
        } else {
            attribute(&path, lines);
        }
    }
}

fn attribute(path: &Path, lines: &mut Vec<String>) {
    let Ok(bytes) = fs::read(path) else { return };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => text.trim().replace('\n', " | ").chars().take(200).collect(),
        _ => format!("({} bytes)", bytes.len()),
    };
    lines.push(format!("{} = {text}", path.display()));
}

/// Nodes that we could use, with owner, group and mode.
fn nodes(dev: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let starts = [
        "video",
        "media",
        "v4l-subdev",
        "hidg",
        "ttyUSB",
        "ttyACM",
        "ttyAMA",
        "ttyS",
        "uinput",
        "dri",
        "mpp",
    ];
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        starts.iter().any(|start| name.starts_with(start))
    };
    let all = sorted(dev)
        .into_iter()
        .chain(sorted(&dev.join("snd")))
        .filter(|p| is_ours(p) || p.starts_with(dev.join("snd")));
    let show = |path: PathBuf| {
        let meta = fs::metadata(&path).ok()?;
        Some(format!("{:04o} {}:{} {}\n", meta.mode() & 0o7777, meta.uid(), meta.gid(), path.display()))
    };
    let text: String = all.take(MOST_ENTRIES).filter_map(show).collect();
    if text.is_empty() { "none".to_owned() } else { text }
}

fn kernel_log() -> String {
    let is_relevant = |line: &&str| {
        let line = line.to_lowercase();
        RELEVANT.iter().any(|word| line.contains(word))
    };
    match output("dmesg", &[]) {
        Err(why) => why,
        Ok(text) => {
            let lines: Vec<&str> = text.lines().filter(is_relevant).collect();
            let from = lines.len().saturating_sub(MOST_ENTRIES);
            if lines.is_empty() { "nothing that concerns us".to_owned() } else { lines[from..].join("\n") }
        }
    }
}

fn journal() -> String {
    let units = ["kvmdesk", "kvmdesk-seed", "kvmdesk-gadget", "kvmdesk-gadget-repair", "kvmdesk-trial"]
        .map(|unit| ["-u", unit]);
    let how = ["--no-pager", "--quiet", "-o", "short-iso", "-n", "400"];
    match output("journalctl", &[units.as_flattened(), &how].concat()) {
        Ok(text) if text.trim().is_empty() => "it has no entries that we may read; root sees all".to_owned(),
        Ok(text) => text,
        Err(why) => why,
    }
}

/// What a program prints, or why there is nothing.
fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} says: {}", why.trim().replace('\n', " ")));
    }
    let from = output.stdout.len().saturating_sub(MOST);
    Ok(String::from_utf8_lossy(&output.stdout[from..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_keys_are_masked_and_others_stay() {
        let text = "[server]\nhost = \"a\"\nkey = \"one\"\n#key=\"two\"\nserver.key = 'three'\n\"key\" = \"four\"\n\
                    server = { host = \"a\", key = \"five\" }\nkeyboard-layout = \"de\"\nkeyboard.bad-link = \"on\"\n\
                    admin-password = \"six\"\nserial-number = \"0001\"\n";
        let masked = masked(text);
        for secret in ["one", "two", "three", "four", "five", "six"] {
            assert!(!masked.contains(secret), "{secret} in\n{masked}");
        }
        for kept in
            ["host = \"a\"\n", "keyboard-layout = \"de\"", "bad-link = \"on\"", "serial-number = \"0001\""]
        {
            assert!(masked.contains(kept), "{kept} is missing in\n{masked}");
        }
    }

    #[test]
    fn the_longest_secret_is_scrubbed_first_and_binary_attributes_are_counted() {
        let secrets = ["abcdefgh".to_owned(), "abcdef".to_owned()];
        assert_eq!(scrubbed("x abcdefgh abcdef", &secrets), "x *** ***");
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("g/functions/hid.0")).unwrap();
        fs::write(dir.path().join("g/functions/hid.0/report_desc"), [5, 1, 0, 0xff]).unwrap();
        fs::write(dir.path().join("g/UDC"), "a.usb\n").unwrap();
        let mut lines = vec![];
        walk(dir.path(), 6, &mut lines);
        assert!(
            lines[0].ends_with("g/UDC = a.usb") && lines[1].ends_with("report_desc = (4 bytes)"),
            "{lines:?}"
        );
    }
}
