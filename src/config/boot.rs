//! Lines for a Raspberry Pi's config.txt: which of them are missing, and the text with them. Everything else stays as it is,
//! byte for byte. Source: Raspberry Pi documentation, "config.txt" (filters; a later setting replaces an earlier one).

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What a board's boot configuration has to say: `[boot]` of its profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BootEntry {
    /// Where its config.txt may lie, absolute; the first that is there holds.
    pub files: Vec<PathBuf>,
    /// What it is needed for, part by part.
    pub part: Vec<BootPart>,
}

/// One `[[boot.part]]`: the lines for one use of the board.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BootPart {
    /// Its name, for `kvmdesk setup --boot`.
    pub name: String,
    /// What it is for, as the end of "lines for …".
    pub what: String,
    /// The lines.
    pub lines: Vec<String>,
    /// Lines that must not be there.
    #[serde(default)]
    pub without: Vec<String>,
    /// The part without which this one is of no use.
    pub after: Option<String>,
}

/// The part that makes the USB port a device.
pub const GADGET: &str = "gadget";

/// What it takes for a part, and what comes of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// The text with the part.
    pub text: String,
    /// Lines that were missing.
    pub added: Vec<String>,
    /// Lines that had to go: a `#` stands before them now.
    pub silenced: Vec<String>,
    /// Lines that load a wanted overlay otherwise. Somebody chose that: they stay, and nothing is added.
    pub other: Vec<String>,
}

impl BootEntry {
    /// The file that holds on the machine whose files are below `root`.
    pub fn file(&self, root: &Path) -> Option<PathBuf> {
        let below = |file: &PathBuf| root.join(file.strip_prefix("/").unwrap_or(file));
        self.files.iter().map(below).find(|file| file.is_file())
    }

    /// The part of a name.
    pub fn named(&self, name: &str) -> Option<&BootPart> {
        self.part.iter().find(|part| part.name == name)
    }

    /// What does not fit: the key and why.
    pub(super) fn fault(&self) -> Option<(String, &'static str)> {
        if self.files.is_empty() != self.part.is_empty() {
            return Some(("boot".into(), "`files` and `[[boot.part]]` belong together: write both or none"));
        }
        if self.files.iter().any(|file| !file.is_absolute()) {
            return Some(("boot.files".into(), "write whole paths, beginning with `/`"));
        }
        let is_line = |line: &String| {
            let is_plain = line.bytes().all(|byte| byte.is_ascii_graphic());
            is_plain && line.contains('=') && !line.starts_with(['#', '['])
        };
        self.part.iter().enumerate().find_map(|(n, part)| {
            let at = |key: &str| format!("boot.part[{n}].{key}");
            if part.lines.is_empty() || !part.lines.iter().chain(&part.without).all(is_line) {
                return Some((
                    at("lines"),
                    "a line is KEY=VALUE without blanks, and a part has at least one",
                ));
            }
            let before = self.part.get(..n).unwrap_or_default();
            if part.name.is_empty() || before.iter().any(|other| other.name == part.name) {
                return Some((at("name"), "each part has a name of its own"));
            }
            let is_known = |name: &String| before.iter().any(|other| other.name == *name);
            (!part.after.as_ref().is_none_or(is_known)).then(|| (at("after"), "name a part above this one"))
        })
    }
}

impl BootPart {
    /// Puts the part into a text.
    pub fn put_into(&self, text: &str) -> Edit {
        let mut edit = Edit::default();
        // What stands below a filter may hold for other boards only; a line that has to go, goes everywhere.
        let mut is_for_all = true;
        let mut active = vec![];
        for whole in text.split_inclusive('\n') {
            let line = whole.trim();
            if line.starts_with('[') {
                is_for_all = line.eq_ignore_ascii_case("[all]");
            } else if self.without.iter().any(|unwanted| unwanted == line) {
                edit.silenced.push(line.to_owned());
                edit.text.push('#');
            } else if is_for_all && !line.starts_with('#') {
                active.push(line);
            }
            edit.text.push_str(whole);
        }
        for line in &self.lines {
            let is_same_overlay = |there: &&&str| overlay(there).is_some() && overlay(there) == overlay(line);
            let value = |there: &&str| there.split_once('=').is_some_and(|(key, _)| key == key_of(line));
            let is_there = match overlay(line) {
                Some(_) => active.contains(&line.as_str()),
                // The last one counts.
                None => active.iter().rev().find(|there| value(there)) == Some(&line.as_str()),
            };
            if is_there {
                continue;
            }
            match active.iter().find(is_same_overlay) {
                Some(other) => edit.other.push((*other).to_owned()),
                None => edit.added.push(line.clone()),
            }
        }
        if edit.added.is_empty() {
            return edit;
        }
        if !edit.text.is_empty() && !edit.text.ends_with('\n') {
            edit.text.push('\n');
        }
        if !is_for_all {
            edit.text.push_str("\n[all]\n");
        }
        edit.text.push_str(&format!("# kvmdesk: {}\n", self.what));
        for line in &edit.added {
            edit.text.push_str(line);
            edit.text.push('\n');
        }
        edit
    }
}

impl Edit {
    /// Whether the text is as it was: nothing is missing.
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.silenced.is_empty()
    }

    /// Each change in words: the line that comes, or `without` the one that goes.
    pub fn changes(&self) -> Vec<String> {
        let gone = self.silenced.iter().map(|line| format!("without {line}"));
        self.added.iter().cloned().chain(gone).collect()
    }
}

/// The overlay that a line loads.
fn overlay(line: &str) -> Option<&str> {
    line.strip_prefix("dtoverlay=")?.split([',', ':']).next()
}

fn key_of(line: &str) -> &str {
    line.split_once('=').map_or(line, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(lines: &[&str], without: &[&str]) -> BootPart {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        BootPart {
            name: "x".into(),
            what: "a test".into(),
            lines: owned(lines),
            without: owned(without),
            after: None,
        }
    }

    #[test]
    fn missing_lines_come_below_all() {
        let gadget = part(&["dtoverlay=dwc2,dr_mode=peripheral"], &["otg_mode=1"]);
        let of = |text: &str| gadget.put_into(text).text;
        let lines = "# kvmdesk: a test\ndtoverlay=dwc2,dr_mode=peripheral\n";
        assert_eq!(of(""), lines);
        assert_eq!(of("arm_64bit=1"), format!("arm_64bit=1\n{lines}"));
        assert_eq!(of("[pi4]\na=1\n[all]\r\nb=1\r\n"), format!("[pi4]\na=1\n[all]\r\nb=1\r\n{lines}"));
        let edit = gadget.put_into("[cm4]\notg_mode=1\n[cm5]\ndtoverlay=dwc2,dr_mode=peripheral\n");
        let below = "[cm4]\n#otg_mode=1\n[cm5]\ndtoverlay=dwc2,dr_mode=peripheral\n\n[all]\n";
        assert_eq!(edit.text, format!("{below}{lines}"));
        assert_eq!((edit.added.len(), edit.silenced), (1, vec!["otg_mode=1".to_owned()]));
    }

    #[test]
    fn what_is_there_or_was_chosen_otherwise_stays() {
        let camera = part(&["camera_auto_detect=0", "dtoverlay=tc358743"], &[]);
        let there = "camera_auto_detect=0\r\n  dtoverlay=tc358743 \n";
        assert!(camera.put_into(there).is_nothing());
        let four = camera.put_into("camera_auto_detect=0\ndtoverlay=tc358743,4lane=1\n");
        assert!(four.is_nothing());
        assert_eq!(four.other, ["dtoverlay=tc358743,4lane=1"]);
        // A comment, another overlay, and a value that a later line takes back are not it.
        let text =
            "#dtoverlay=tc358743\ndtoverlay=tc358743-audio\ncamera_auto_detect=0\ncamera_auto_detect=1\n";
        assert_eq!(camera.put_into(text).added, camera.lines);
    }

    proptest! {
        #[test]
        fn a_second_time_changes_nothing_and_all_other_lines_stay(
            text in "(\\[all\\]|\\[pi4\\]|otg_mode=1|dtoverlay=dwc2(,dr_mode=(host|peripheral))?|a=[01]|#?[ -~]{0,9}|\r|\n){0,12}",
        ) {
            let part = part(&["a=1", "dtoverlay=dwc2,dr_mode=peripheral"], &["otg_mode=1"]);
            let once = part.put_into(&text);
            let twice = part.put_into(&once.text);
            prop_assert!(twice.is_nothing(), "{:?}", twice);
            prop_assert_eq!(&twice.text, &once.text);
            // In order, each line of before is there, or with a `#` if it had to go.
            let mut after = once.text.split_inclusive('\n');
            for line in text.split_inclusive('\n') {
                let kept = after.next().unwrap();
                let silenced = format!("#{line}");
                let before = if line.trim() == "otg_mode=1" { silenced.as_str() } else { line };
                prop_assert!(kept == before || kept.strip_suffix('\n') == Some(before), "{:?} {:?}", kept, before);
            }
        }
    }
}
