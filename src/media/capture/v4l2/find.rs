//! Which node is the configured device now: the first that is there of those that may be it. USB devices come back under
//! another number: a link in `/dev/v4l/by-path` or `by-id` follows by itself; of a plain `/dev/videoN`, and of what is
//! known by its driver, the place where it is plugged in is remembered.

use std::path::{Path, PathBuf};

use super::mark::{self, Mark};
use super::sys::Capability;

/// What is configured, and what was found there first.
#[derive(Debug)]
pub struct Finder {
    marks: Vec<Mark>,
    /// For which of the marks, and what.
    seen: Option<(usize, Identity)>,
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

/// A node to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which of the marks it is tried for.
    pub mark: usize,
    /// The node.
    pub path: PathBuf,
}

impl Finder {
    /// A finder for the first device of these that is there.
    pub fn new(marks: Vec<Mark>) -> Self {
        Self { marks, seen: None }
    }

    /// The nodes to try, in order: the configured ones, and the others beside a plain `/dev/videoN` whose device is
    /// known.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut candidates = vec![];
        for (mark, wanted) in self.marks.iter().enumerate() {
            let mut paths = wanted.nodes();
            if let Mark::Path(path) = wanted
                && self.known(mark).is_some()
            {
                let others = path.parent().map(mark::numbered).unwrap_or_default();
                paths.extend(others.into_iter().filter(|other| is_plain(other) && other != path));
            }
            candidates.extend(paths.into_iter().map(|path| Candidate { mark, path }));
        }
        candidates
    }

    /// Whether the device at a candidate for this mark is the one that was found first. Anything is, before one was; and
    /// a link says itself what it stands for.
    pub fn is_it(&self, mark: usize, capability: &Capability) -> bool {
        self.known(mark).is_none_or(|seen| *seen == Identity::from(capability))
    }

    /// Whether it will do instead: one of the same kind at another place (the user plugged it in elsewhere). Another kind
    /// with the same driver will not: it may be a camera.
    pub fn is_like_it(&self, mark: usize, capability: &Capability) -> bool {
        self.known(mark).is_none_or(|seen| seen.card == capability.card)
    }

    /// What a mark stands for that says no place of its own.
    fn known(&self, mark: usize) -> Option<&Identity> {
        let says_place = match self.marks.get(mark)? {
            Mark::Path(path) => !is_plain(path),
            Mark::Driver(_) => false,
        };
        let (of, seen) = self.seen.as_ref()?;
        (*of == mark && !says_place).then_some(seen)
    }

    /// Takes the device for the configured one from now on.
    pub fn take(&mut self, mark: usize, capability: &Capability) {
        self.seen = Some((mark, capability.into()));
    }
}

/// Whether this is a node by its number, not a link that udev keeps.
fn is_plain(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| mark::number(name).is_some()) && !path.is_symlink()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn capability(bus_info: &str, card: &str) -> Capability {
        Capability { api: None, driver: "uvcvideo".into(), card: card.into(), bus_info: bus_info.into() }
    }

    fn paths(finder: &Finder) -> Vec<PathBuf> {
        finder.candidates().into_iter().map(|candidate| candidate.path).collect()
    }

    #[test]
    fn a_plain_number_is_searched_for_by_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let node = |name: &str| dir.path().join(name);
        for name in ["video0", "video2", "video10", "vbi0", "v4l-subdev0"] {
            fs::write(node(name), "").unwrap();
        }
        let mut finder = Finder::new(vec![Mark::Path(node("video2"))]);
        assert_eq!(paths(&finder), [node("video2")], "nothing is known yet: only what is configured");
        let stick = capability("usb-1.2", "HDMI stick");
        assert!(finder.is_it(0, &stick));
        finder.take(0, &stick);
        assert!(finder.is_it(0, &stick));
        assert!(!finder.is_it(0, &capability("usb-1.3", "HDMI stick")), "the same kind at another place");
        assert!(!finder.is_it(0, &capability("usb-1.2", "Camera")), "something else at the same place");
        assert!(finder.is_like_it(0, &capability("usb-1.3", "HDMI stick")));
        assert!(!finder.is_like_it(0, &capability("usb-1.2", "Camera")));
        assert_eq!(paths(&finder), [node("video2"), node("video0"), node("video10")]);
    }

    #[test]
    fn a_link_is_followed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("video0"), "").unwrap();
        let link = dir.path().join("platform-fe.hdmi-video-index0");
        std::os::unix::fs::symlink("video0", &link).unwrap();
        let mut finder = Finder::new(vec![Mark::Path(link.clone())]);
        finder.take(0, &capability("usb-1.2", "HDMI stick"));
        assert_eq!(paths(&finder), [link]);
        assert!(finder.is_it(0, &capability("usb-1.4", "another one")), "the link says what it stands for");
        assert!(finder.is_it(0, &capability("", "")));
    }

    #[test]
    fn the_first_mark_comes_first_and_what_is_known_is_known_of_its_mark_alone() {
        let marks = vec![Mark::Path("/nonexistent/receiver".into()), Mark::Driver("nobody".into())];
        let mut finder = Finder::new(marks);
        let receiver = Candidate { mark: 0, path: "/nonexistent/receiver".into() };
        assert_eq!(finder.candidates(), [receiver], "no node has that driver");
        finder.take(1, &capability("usb-1.2", "HDMI stick"));
        assert!(finder.is_it(1, &capability("usb-1.2", "HDMI stick")));
        let other = capability("usb-1.4", "Grabber");
        assert!(!finder.is_it(1, &other) && !finder.is_like_it(1, &other), "another one may be a camera");
        assert!(finder.is_like_it(1, &capability("usb-1.4", "HDMI stick")));
        assert!(finder.is_it(0, &other), "of the first mark nothing is known");
    }
}
