//! Which node is the configured device now: USB devices come back under another number. A link in `/dev/v4l/by-path`
//! or `by-id` follows by itself; of a plain `/dev/videoN` the place where it is plugged in is remembered.

use std::fs;
use std::path::{Path, PathBuf};

use super::sys::Capability;

/// The configured path and what was found there first.
#[derive(Debug)]
pub struct Finder {
    path: PathBuf,
    seen: Option<Identity>,
}

/// What stays the same when a device comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    bus_info: String,
    card: String,
}

impl From<&Capability> for Identity {
    fn from(capability: &Capability) -> Self {
        Self { bus_info: capability.bus_info.clone(), card: capability.card.clone() }
    }
}

impl Finder {
    /// A finder for the device at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: None }
    }

    /// The nodes to try, in order: the configured one, and the others beside it if it is a plain `/dev/videoN` whose
    /// device is known.
    pub fn candidates(&self) -> Vec<PathBuf> {
        let mut candidates = vec![self.path.clone()];
        if self.seen.is_some()
            && is_plain(&self.path)
            && let Some(entries) = self.path.parent().and_then(|dir| fs::read_dir(dir).ok())
        {
            let mut others: Vec<_> =
                entries.flatten().map(|e| e.path()).filter(|p| is_plain(p) && *p != self.path).collect();
            others.sort();
            candidates.extend(others);
        }
        candidates
    }

    /// Whether the device at a candidate is the one that was found first. Anything is, before one was; and a link
    /// says itself what it stands for.
    pub fn is_it(&self, capability: &Capability) -> bool {
        self.known().is_none_or(|seen| *seen == Identity::from(capability))
    }

    /// Whether it is one of the same kind at another place: the user plugged it in elsewhere.
    pub fn is_like_it(&self, capability: &Capability) -> bool {
        self.known().is_none_or(|seen| seen.card == capability.card)
    }

    /// What a plain number stands for.
    fn known(&self) -> Option<&Identity> {
        self.seen.as_ref().filter(|_| is_plain(&self.path))
    }

    /// Takes the device for the configured one from now on.
    pub fn take(&mut self, capability: &Capability) {
        self.seen = Some(capability.into());
    }
}

/// Whether this is a node by its number, not a link that udev keeps.
fn is_plain(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.strip_prefix("video").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit()) && !path.is_symlink()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(bus_info: &str, card: &str) -> Capability {
        Capability { api: None, driver: "uvcvideo".into(), card: card.into(), bus_info: bus_info.into() }
    }

    #[test]
    fn a_plain_number_is_searched_for_by_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let node = |name: &str| dir.path().join(name);
        for name in ["video0", "video2", "video10", "vbi0", "v4l-subdev0"] {
            fs::write(node(name), "").unwrap();
        }
        let mut finder = Finder::new(node("video2"));
        assert_eq!(finder.candidates(), [node("video2")], "nothing is known yet: only what is configured");
        let stick = capability("usb-1.2", "HDMI stick");
        assert!(finder.is_it(&stick));
        finder.take(&stick);
        assert!(finder.is_it(&stick));
        assert!(!finder.is_it(&capability("usb-1.3", "HDMI stick")), "the same kind at another place");
        assert!(!finder.is_it(&capability("usb-1.2", "Camera")), "something else at the same place");
        assert!(finder.is_like_it(&capability("usb-1.3", "HDMI stick")));
        assert!(!finder.is_like_it(&capability("usb-1.2", "Camera")));
        assert_eq!(finder.candidates(), [node("video2"), node("video0"), node("video10")]);
    }

    #[test]
    fn a_link_is_followed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("video0"), "").unwrap();
        let link = dir.path().join("platform-fe.hdmi-video-index0");
        std::os::unix::fs::symlink("video0", &link).unwrap();
        let mut finder = Finder::new(link.clone());
        finder.take(&capability("usb-1.2", "HDMI stick"));
        assert_eq!(finder.candidates(), [link]);
        assert!(finder.is_it(&capability("usb-1.4", "another one")), "the link says what it stands for");
        assert!(finder.is_it(&capability("", "")));
    }
}
