//! What a capture device is known by, and the nodes that this stands for now.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What a capture device is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// A node such as `/dev/video0`, or a link to one; each `*` in its name stands for any characters.
    Path(PathBuf),
    /// The name of its driver as sysfs has it, such as `uvcvideo`.
    Driver(String),
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Driver(driver) => write!(f, "a {driver} device"),
        }
    }
}

impl Mark {
    /// The nodes that it stands for now, those to try first in front; a path without `*` also while nothing is there.
    pub fn nodes(&self) -> Vec<PathBuf> {
        self.nodes_in(Path::new("/dev"), Path::new("/sys"))
    }

    fn nodes_in(&self, dev: &Path, sys: &Path) -> Vec<PathBuf> {
        match self {
            Self::Path(path) => match path.file_name().and_then(|name| name.to_str()) {
                Some(pattern) if pattern.contains('*') => entries(path.parent(), |name| is_of(pattern, name)),
                _ => vec![path.clone()],
            },
            Self::Driver(driver) => {
                let driver_of = |node: &Path| {
                    let device = sys.join("class/video4linux").join(node.file_name()?).join("device");
                    fs::canonicalize(device.join("driver")).ok()
                };
                let mut nodes = numbered(dev);
                nodes.retain(|node| driver_of(node).is_some_and(|found| found.ends_with(driver)));
                nodes
            }
        }
    }
}

/// The nodes `videoN` in a directory, by number.
pub(super) fn numbered(dir: &Path) -> Vec<PathBuf> {
    let mut nodes = entries(Some(dir), |name| number(name).is_some());
    nodes.sort_by_key(|node| node.file_name().and_then(|name| number(name.to_str()?)));
    nodes
}

/// The number of a `videoN`.
pub(super) fn number(name: &str) -> Option<u32> {
    name.strip_prefix("video").filter(|n| n.bytes().all(|c| c.is_ascii_digit()))?.parse().ok()
}

/// What is in a directory under such names, in the order of names.
fn entries(dir: Option<&Path>, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = dir.and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
    let wanted = entries.filter(|entry| entry.file_name().to_str().is_some_and(&is_wanted));
    let mut found: Vec<_> = wanted.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// Whether a name is of a pattern: its parts come one after the other, the first in front, the last at the end.
fn is_of(pattern: &str, name: &str) -> bool {
    let mut parts: Vec<_> = pattern.split('*').collect();
    let (Some(last), false) = (parts.pop(), parts.is_empty()) else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(parts.remove(0)) else { return false };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_star_stands_for_anything() {
        let pattern = "usb-MACRO*-video-*0";
        for name in
            ["usb-MACROSILICON_USB_Video-video-index0", "usb-MACRO-video-0", "usb-MACRO-video-10-video-0"]
        {
            assert!(is_of(pattern, name), "{name}");
        }
        for name in ["usb-MACROSILICON-video-index1", "x-usb-MACRO-video-0", "usb-MACRO-video0", ""] {
            assert!(!is_of(pattern, name), "{name}");
        }
        assert!(is_of("*", "") && is_of("a*", "a") && !is_of("aa*aa", "aaa") && is_of("**", "x"));
    }

    #[test]
    fn a_driver_stands_for_its_nodes_by_number_and_a_pattern_for_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let (dev, sys) = (dir.path().join("dev"), dir.path().join("sys"));
        fs::create_dir_all(&dev).unwrap();
        for (node, driver) in [("video10", "uvcvideo"), ("video2", "uvcvideo"), ("video3", "unicam")] {
            fs::write(dev.join(node), "").unwrap();
            let device = sys.join("class/video4linux").join(node).join("device");
            fs::create_dir_all(&device).unwrap();
            let driver = sys.join("bus/drivers").join(driver);
            fs::create_dir_all(&driver).unwrap();
            symlink(&driver, device.join("driver")).unwrap();
        }
        fs::write(dev.join("video4"), "").unwrap();
        let nodes = |mark: Mark| {
            let found = mark.nodes_in(&dev, &sys).into_iter();
            found.map(|node| node.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(nodes(Mark::Driver("uvcvideo".into())), ["video2", "video10"]);
        assert_eq!(nodes(Mark::Driver("unicam".into())), ["video3"]);
        assert!(nodes(Mark::Driver("video".into())).is_empty(), "whole names alone");
        assert_eq!(nodes(Mark::Path(dev.join("video1*"))), ["video10"]);
        assert!(nodes(Mark::Path(dev.join("x*"))).is_empty());
        assert_eq!(nodes(Mark::Path(dev.join("video9"))), ["video9"], "it may come");
    }
}
