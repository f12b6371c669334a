//! The floor plan, as a test: which room may name which.
use std::{fs, path::Path};

/// Room -> the rooms it may name. Order is the house, ground floor first.
const PLAN: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("crypto", &[]),
    ("input", &[]),
    ("video", &[]),
    ("audio", &[]),
    ("rendezvous", &["wire", "crypto"]),
    ("peer", &["wire", "crypto", "input", "video", "audio"]),
    ("net", &["wire", "crypto"]),
    ("hid", &["input"]),
    ("media", &["video", "audio"]),
    ("session", &["peer", "net", "hid", "media", "crypto", "input", "video", "audio"]),
    ("config", &["rendezvous", "peer", "hid", "media", "wire", "crypto", "input", "video"]),
    ("bench", &["session", "peer", "net", "hid", "media", "wire", "crypto", "input", "video"]),
    (
        "agent",
        &[
            "config",
            "session",
            "rendezvous",
            "peer",
            "net",
            "hid",
            "media",
            "crypto",
            "wire",
            "input",
            "video",
        ],
    ),
    ("cli", &["agent", "bench", "config", "hid", "media", "video"]),
];
/// Rooms without I/O, clock, chance or threads, and the words that would betray one.
const PURE: &[&str] = &["wire", "crypto", "input", "video", "audio", "rendezvous", "peer"];
/// Files with the same duty in rooms that are otherwise edges.
const PURE_FILES: &[&str] = &[
    "src/hid/report.rs",
    "src/hid/descriptor.rs",
    "src/hid/ladder.rs",
    "src/hid/backend/ch9329/chip.rs",
    "src/hid/backend/ch9329/frame.rs",
    "src/hid/backend/ch9329/reports.rs",
    "src/media/audio/gate.rs",
    "src/media/audio/packets.rs",
    "src/media/budget.rs",
    "src/media/capture/ladder.rs",
    "src/media/capture/v4l2/choose.rs",
    "src/media/capture/v4l2/receiver.rs",
    "src/media/card.rs",
    "src/media/card/paint.rs",
    "src/media/change.rs",
    "src/media/convert.rs",
    "src/media/demand.rs",
    "src/media/fanout.rs",
    "src/media/histogram.rs",
    "src/media/lane.rs",
    "src/media/meters.rs",
    "src/media/negotiate.rs",
    "src/media/quality.rs",
    "src/media/sampling.rs",
    "src/media/scale.rs",
    "src/media/screen.rs",
];
const IMPURE_WORDS: &[&str] = &[
    "tokio",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "TcpStream",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
    "thread_rng",
    "async fn",
];

#[test]
fn every_room_names_only_the_rooms_below_it() {
    let mut faults = vec![];
    for (room, allowed) in PLAN {
        let mut unused = allowed.to_vec();
        walk(&Path::new("src").join(room), &mut |file, text| {
            for (n, line) in code_lines(text) {
                for (at, _) in line.match_indices("crate::") {
                    let name: String =
                        line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if name.is_empty() {
                        faults.push(format!("{file}:{n}: brace import from the crate root; name the room"));
                        continue;
                    }
                    unused.retain(|allowed| *allowed != name);
                    if name != *room && !allowed.contains(&name.as_str()) {
                        faults.push(format!("{file}:{n}: {room} may not name {name}"));
                    }
                }
                if PURE.contains(room) || PURE_FILES.contains(&file.as_str()) {
                    for w in IMPURE_WORDS {
                        if line.contains(w) {
                            faults.push(format!("{file}:{n}: {room} is pure, but says `{w}`"));
                        }
                    }
                }
            }
        });
        faults.extend(unused.iter().map(|name| format!("{room} never names {name}: take it off the plan")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_room_is_on_the_plan() {
    for e in fs::read_dir("src").unwrap().flatten().filter(|e| e.path().is_dir()) {
        let name = e.file_name().into_string().unwrap();
        assert!(PLAN.iter().any(|(r, _)| *r == name), "src/{name}/ stands on no floor: add it to PLAN");
    }
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .take_while(|l| !l.starts_with("mod tests"))
        .enumerate()
        .map(|(i, l)| (i + 1, l.split("//").next().unwrap_or("")))
}
fn walk(dir: &Path, f: &mut impl FnMut(String, &str)) {
    for e in fs::read_dir(dir).unwrap().flatten() {
        let p = e.path();
        if p.is_dir() {
            walk(&p, f)
        } else if p.extension().is_some_and(|x| x == "rs") && p.file_stem().is_some_and(|s| s != "tests") {
            f(p.display().to_string(), &fs::read_to_string(&p).unwrap());
        }
    }
}
