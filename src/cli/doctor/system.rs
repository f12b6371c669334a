//! The board itself: which it is, its clock, its disk, its heat.

use std::fs;
use std::io;
use std::path::Path;

use super::super::setup::seed;
use super::sys::Space;
use super::{Finding, Roots};

/// 1 January 2025: a clock before it was never set.
const NEVER_BEFORE: u64 = 1_735_689_600;
/// With less room no log-in can be kept.
const NO_ROOM: u64 = 1 << 20;
/// With less room it will soon be so.
const LITTLE_ROOM: u64 = 20 << 20;
/// Degrees Celsius from which boards begin to slow down (Raspberry Pi: 80).
const HOT: i64 = 80;
/// What the bits of `get_throttled` mean; those 16 higher say that it was so since the start (Raspberry Pi
/// documentation, vcgencmd get_throttled).
const THROTTLED: [(u32, &str); 4] = [
    (0, "the supply voltage is too low"),
    (1, "the clock is capped"),
    (2, "the CPU is throttled"),
    (3, "the temperature limit is reached"),
];

fn text(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
    (!text.is_empty()).then_some(text)
}

/// Seed files that were not taken over.
pub(super) fn seeds(roots: &Roots) -> Vec<Finding> {
    let left =
        seed::PLACES.iter().map(|place| roots.root.join("boot").join(place)).filter(|file| file.exists());
    left.map(|file| {
        let why = text(file.with_file_name(seed::REFUSED)).unwrap_or_default();
        let why = why.lines().next().unwrap_or("kvmdesk-seed.service has not looked at it yet");
        Finding::warn(
            "seed file",
            format!("{} was not taken over: {why}", file.display()),
            "mend it, or remove it; then `sudo systemctl restart kvmdesk-seed kvmdesk`, or start the board again",
        )
    })
    .collect()
}

/// The board's name and the kernel.
pub(super) fn board(roots: &Roots) -> Vec<Finding> {
    let sys = &roots.kernel.sysfs;
    let tree = || text(roots.proc.join("device-tree/model"));
    let dmi = || {
        let dmi = sys.join("class/dmi/id");
        let parts: Vec<_> = ["sys_vendor", "product_name"].iter().filter_map(|n| text(dmi.join(n))).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let name = tree().or_else(dmi).unwrap_or_else(|| "a machine that does not say its name".to_owned());
    let kernel = text(roots.proc.join("sys/kernel/osrelease"))
        .map_or_else(String::new, |release| format!(", Linux {release}"));
    vec![Finding::ok("board", format!("{name}{kernel}, {}", std::env::consts::ARCH))]
}

/// The clock, in Unix seconds.
pub(super) fn clock(now: u64, is_synchronised: Option<bool>) -> Finding {
    let remedy = "let the board reach a time server and switch it on with `timedatectl set-ntp true`; a board without a \
                  battery has no clock of its own";
    match is_synchronised {
        _ if now < NEVER_BEFORE => Finding::warn(
            "clock",
            "it was never set: log-ins and logs are kept under a wrong date; everything else works",
            remedy,
        ),
        Some(false) => Finding::warn("clock", "no time service keeps it right, so it may drift", remedy),
        Some(true) => Finding::ok("clock", "it is kept right by a time service"),
        None => Finding::ok("clock", "it is set; whether it is kept right is not told"),
    }
}

/// The room for the state directory.
pub(super) fn disk(state_dir: &Path, space: io::Result<Space>) -> Finding {
    let dir = state_dir.display();
    let full = "make room, for instance with `journalctl --vacuum-size=50M`; nothing that is stored is lost meanwhile";
    match space {
        Err(error) => {
            Finding::warn("disk", format!("{dir} cannot be looked at: {error}"), "run this as root")
        }
        Ok(space) if space.is_read_only => Finding::fail(
            "disk",
            format!("{dir} is on a file system that is mounted read-only: ID and password cannot be kept"),
            "mount a small writable partition there; if it was writable before, look at `dmesg`: the card may be failing",
        ),
        Ok(space) if !space.has_inodes => {
            Finding::fail("disk", format!("no further file can be made where {dir} is"), full)
        }
        Ok(Space { free, total, .. }) => {
            let text = format!("{} of {} free for {dir}", bytes(free), bytes(total));
            match free {
                0..NO_ROOM => Finding::fail("disk", text, full),
                NO_ROOM..LITTLE_ROOM => Finding::warn("disk", text, full),
                LITTLE_ROOM.. => Finding::ok("disk", text),
            }
        }
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1_048_576 => format!("{} KiB", count >> 10),
        1_048_576..10_737_418_240 => format!("{} MiB", count >> 20),
        _ => format!("{} GiB", count >> 30),
    }
}

/// Temperature, and whether the board slows down.
pub(super) fn heat(roots: &Roots) -> Vec<Finding> {
    let thermal = roots.kernel.sysfs.join("class/thermal");
    let number = |path: &Path| text(path).and_then(|text| text.parse::<i64>().ok());
    let (mut hottest, mut slowed): (Option<i64>, Vec<String>) = (None, vec![]);
    for entry in fs::read_dir(&thermal).into_iter().flatten().flatten() {
        let dir = entry.path();
        if let Some(millis) = number(&dir.join("temp")) {
            hottest = hottest.max(Some(millis / 1000));
        }
        let kind = text(dir.join("type")).unwrap_or_default().to_lowercase();
        let is_of_cpu = kind.contains("cpufreq") || kind.contains("processor");
        if let (true, Some(now @ 1..), Some(most)) =
            (is_of_cpu, number(&dir.join("cur_state")), number(&dir.join("max_state")))
        {
            slowed.push(format!("{kind} is slowed down by {now} of {most} steps"));
        }
    }
    slowed.sort();
    let firmware = "devices/platform/soc/soc:firmware/get_throttled";
    let bits = text(roots.kernel.sysfs.join(firmware))
        .and_then(|hex| u32::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
    let said = |shift: u32, when: &str| {
        let set = THROTTLED.iter().filter(|(bit, _)| bits.unwrap_or(0) & (1 << (bit + shift)) != 0);
        set.map(|(_, what)| format!("{what} {when}")).collect::<Vec<_>>()
    };
    let cool = "give the board air or a heat sink; pictures come slower meanwhile";
    let mut findings = vec![match hottest {
        Some(degrees @ HOT..) => Finding::warn("heat", format!("{degrees} degrees Celsius"), cool),
        Some(degrees) => Finding::ok("heat", format!("{degrees} degrees Celsius")),
        None => Finding::ok("heat", "this machine does not tell its temperature"),
    }];
    findings.extend((!slowed.is_empty()).then(|| Finding::warn("heat", slowed.join(", "), cool)));
    let (now, before) = (said(0, "now"), said(16, "at some time since the start"));
    let told = if now.is_empty() { before } else { now };
    if !told.is_empty() {
        let is_power = told.iter().any(|what| what.contains("voltage"));
        let power = "take a stronger power supply and a short, thick cable; with too little current USB devices fail too";
        findings.push(Finding::warn("power", told.join(", "), if is_power { power } else { cool }));
    } else if bits.is_some() {
        findings.push(Finding::ok("power", "the firmware saw no lack of it since the start"));
    }
    findings
}
