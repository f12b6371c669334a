//! The boot configuration: what the board's profile wants in config.txt and is not there, written with a copy from before.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agent::store;
use crate::config::boot::{self, BootEntry, BootPart};
use crate::config::settings::Settings;
use crate::config::settings::hid::HidChoice;

use super::super::{Failure, UNAVAILABLE, USAGE, place};
use super::dialogue;

/// What stands behind the name of the copy. It is made once: the first one is from before kvmdesk.
const COPY: &str = ".before-kvmdesk";

/// Changes of the boot configuration that are wanted; nothing is written yet.
#[derive(Debug)]
pub(super) struct Work {
    file: PathBuf,
    before: String,
    text: String,
    changes: Vec<String>,
    left: Vec<String>,
}

/// What was changed. Its JSON is for programs: keys stay, more may come.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Boot {
    /// The file.
    pub(super) file: PathBuf,
    /// It from before kvmdesk.
    pub(super) backup: Option<PathBuf>,
    /// Lines that came, and those that went.
    pub(super) changes: Vec<String>,
    /// Lines that load a wanted overlay otherwise, and were left.
    pub(super) left: Vec<String>,
    /// Whether it holds only after a restart of the board.
    pub(super) needs_restart: bool,
}

impl Work {
    /// The boot configuration below `root`; `None` if the board has none that is known.
    fn find(boot: &BootEntry, root: &Path) -> Result<Option<Self>, Failure> {
        let Some(file) = boot.file(root) else { return Ok(None) };
        let before = fs::read_to_string(&file).map_err(|error| place::unreadable(&file, &error))?;
        Ok(Some(Self { file, text: before.clone(), before, changes: vec![], left: vec![] }))
    }

    fn take(&mut self, part: &BootPart) {
        let edit = part.put_into(&self.text);
        self.changes.extend(edit.changes());
        self.left.extend(edit.other);
        self.text = edit.text;
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(self) -> Result<Boot, Failure> {
        let is_changed = self.text != self.before;
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(COPY);
        let copy = self.file.with_file_name(name);
        if is_changed {
            if !copy.exists() {
                store::write_shared(&copy, &self.file, self.before.as_bytes())?;
            }
            store::write_shared(&self.file, &self.file, self.text.as_bytes())?;
        }
        Ok(Boot {
            file: self.file,
            backup: copy.exists().then_some(copy),
            changes: self.changes,
            left: self.left,
            needs_restart: is_changed,
        })
    }
}

/// The parts that flags name.
pub(super) fn by_names(names: &[String], boot: &BootEntry, root: &Path) -> Result<Option<Work>, Failure> {
    if names.is_empty() {
        return Ok(None);
    }
    let parts = names.iter().map(|name| {
        boot.named(name).ok_or_else(|| {
            let known: Vec<_> = boot.part.iter().map(|part| part.name.as_str()).collect();
            let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
            let text = format!("--boot {name}: for this board kvmdesk knows {known}; nothing was changed");
            Failure::new(USAGE, text)
        })
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let Some(mut work) = Work::find(boot, root)? else {
        let files: Vec<_> = boot.files.iter().map(|file| file.display().to_string()).collect();
        let text = format!("--boot: there is no {}; nothing was changed", files.join(" and no "));
        return Err(Failure::new(UNAVAILABLE, text));
    };
    parts.into_iter().for_each(|part| work.take(part));
    Ok(Some(work))
}

/// Asks about each part that is not there.
pub(super) fn ask(settings: &Settings, root: &Path) -> Result<Option<Work>, Failure> {
    let boot = &settings.board.profile.boot;
    let is_gadget = matches!(settings.hid, HidChoice::Gadget { .. });
    ask_with(boot, root, is_gadget, dialogue::agrees)
}

fn ask_with(
    boot: &BootEntry,
    root: &Path,
    is_gadget: bool,
    mut agrees: impl FnMut(&str, bool) -> Result<bool, Failure>,
) -> Result<Option<Work>, Failure> {
    let Some(mut work) = Work::find(boot, root)? else { return Ok(None) };
    for part in &boot.part {
        let edit = part.put_into(&work.text);
        let first = part.after.as_deref().and_then(|name| boot.named(name));
        let is_of_use = first.is_none_or(|first| first.put_into(&work.text).is_nothing());
        if edit.is_nothing() || !is_of_use {
            continue;
        }
        let changes = edit.changes().join("\n    ");
        println!("{} is not set up for {}:\n    {changes}", work.file.display(), part.what);
        if agrees("Write that (y/n)", part.name == boot::GADGET && is_gadget)? {
            work.take(part);
        }
    }
    Ok((work.text != work.before).then_some(work))
}

/// Says what was written.
pub(super) fn tell(boot: &Boot) {
    println!("{} is changed: {}.", boot.file.display(), boot.changes.join(", "));
    if let Some(backup) = &boot.backup {
        println!("As it was before: {}", backup.display());
    }
    println!("That holds after a restart of the board: sudo reboot");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::board::Boards;

    const SHIPPED: &str = "camera_auto_detect=1\n[cm4]\notg_mode=1\n[all]\n";

    fn machine() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("boot/firmware/config.txt");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, SHIPPED).unwrap();
        (root, file)
    }

    fn boot(name: &str) -> BootEntry {
        Boards::default().named(name).unwrap().profile.boot
    }

    #[test]
    fn named_parts_are_written_once_and_the_first_copy_stays() {
        let (root, file) = machine();
        let boot = boot("raspberrypi-cm4");
        let write = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            by_names(&names, &boot, root.path()).unwrap().unwrap().write().unwrap()
        };
        let done = write(&["gadget"]);
        assert_eq!(done.changes, ["dtoverlay=dwc2,dr_mode=peripheral", "without otg_mode=1"]);
        assert!(done.needs_restart);
        let copy = done.backup.unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), SHIPPED);
        let once = fs::read_to_string(&file).unwrap();
        assert!(once.starts_with("camera_auto_detect=1\n[cm4]\n#otg_mode=1\n[all]\n# kvmdesk: "), "{once}");
        let again = write(&["gadget"]);
        assert_eq!((again.needs_restart, again.changes.len()), (false, 0));
        assert_eq!(fs::read_to_string(&file).unwrap(), once);
        write(&["tc358743-4lane", "gadget"]);
        let left = write(&["tc358743"]).left;
        assert_eq!(left, ["dtoverlay=tc358743,4lane=1"]);
        assert_eq!(fs::read_to_string(&copy).unwrap(), SHIPPED, "the first one");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 2, "no leftovers");
    }

    #[test]
    fn what_the_board_does_not_have_is_told() {
        let (root, file) = machine();
        let fails = |names: &[&str], board: &str| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            by_names(&names, &boot(board), root.path()).unwrap_err()
        };
        let failure = fails(&["gadget", "x"], "raspberrypi-5");
        assert_eq!(
            (failure.code, failure.text.contains("--boot x: for this board kvmdesk knows gadget;")),
            (USAGE, true)
        );
        assert!(fails(&["gadget"], "generic").text.contains("knows nothing"));
        assert!(by_names(&[], &boot("generic"), root.path()).unwrap().is_none());
        fs::remove_file(&file).unwrap();
        let failure = fails(&["gadget"], "raspberrypi-4");
        let text = "there is no /boot/firmware/config.txt and no /boot/config.txt";
        assert_eq!((failure.code, failure.text.contains(text)), (UNAVAILABLE, true), "{}", failure.text);
    }

    #[test]
    fn the_dialogue_asks_for_what_is_missing_and_of_use() {
        let (root, file) = machine();
        let mut asked = vec![];
        let mut ask = |answers: &[bool], is_gadget| {
            asked.clear();
            let work = ask_with(&boot("raspberrypi-cm4"), root.path(), is_gadget, |_, proposal| {
                asked.push(proposal);
                Ok(answers[asked.len() - 1])
            });
            (work.unwrap(), asked.clone())
        };
        // Gadget, two lanes, four lanes; no sound without an adapter.
        let (work, asked) = ask(&[false; 3], true);
        assert!(work.is_none());
        assert_eq!(asked, [true, false, false]);
        // With two lanes nobody asks for four, but for the sound.
        let (work, asked) = ask(&[true, true, false], false);
        assert_eq!(asked, [false; 3]);
        assert_eq!(fs::read_to_string(&file).unwrap(), SHIPPED, "nothing before the last answer");
        work.unwrap().write().unwrap();
        let (work, asked) = ask(&[false], true);
        assert_eq!((work.is_none(), asked), (true, vec![false]), "only the sound is missing");
    }
}
