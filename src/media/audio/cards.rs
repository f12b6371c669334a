//! The sound cards of this machine that can capture, from sysfs, and which of them belongs to a video device: an HDMI
//! grabber is one USB device with both.

use std::fs;
use std::path::{Path, PathBuf};

use crate::media::capture::Opened;
use crate::media::capture::v4l2::V4l2Settings;

/// A capture device of a sound card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Number of the card.
    pub number: u32,
    /// Its short name, unique on this machine, for instance `MS2109`.
    pub id: String,
    /// Number of the capture device on the card.
    pub device: u32,
    /// The hardware behind it in `/sys/devices`; empty if it has none.
    pub hardware: PathBuf,
}

impl Card {
    /// What to give ALSA: by the card's short name, which stays when numbers change.
    pub fn name(&self) -> String {
        format!("plughw:CARD={},DEV={}", self.id, self.device)
    }
}

/// Where this machine's sysfs is.
pub fn system() -> PathBuf {
    PathBuf::from("/sys")
}

/// Every capture device of every sound card, by number.
pub fn list(sys: &Path) -> Vec<Card> {
    let mut found = vec![];
    for entry in fs::read_dir(sys.join("class/sound")).into_iter().flatten().flatten() {
        let name = entry.file_name();
        // pcmC1D0c: card 1, device 0, capture
        let Some((number, device)) = name
            .to_str()
            .and_then(|name| name.strip_prefix("pcmC")?.strip_suffix('c')?.split_once('D'))
            .and_then(|(number, device)| Some((number.parse().ok()?, device.parse().ok()?)))
        else {
            continue;
        };
        let card = sys.join(format!("class/sound/card{number}"));
        let Ok(id) = fs::read_to_string(card.join("id")) else { continue };
        let hardware = fs::canonicalize(card.join("device")).unwrap_or_default();
        found.push(Card { number, id: id.trim().to_owned(), device, hardware });
    }
    found.sort_by_key(|card| (card.number, card.device));
    found
}

/// The sound card of what one display is captured with: of the device that is `opened` (else of the first that is there),
/// the card that is one device with it, else the one whose short name the settings give.
pub fn of_capture(sys: &Path, settings: &V4l2Settings, opened: Option<&Opened>) -> Option<Card> {
    let (node, device) = match opened {
        Some(opened) => (opened.node.clone(), settings.devices.get(opened.which)?),
        None => settings.present().next()?,
    };
    let named = |card: &Card| device.sound.as_ref() == Some(&card.id);
    beside(sys, &node).or_else(|| list(sys).into_iter().find(named))
}

/// The capture device that sits on the same USB device (else on the same platform device) as the video device at
/// `video`, a node such as `/dev/video0` or a link to one.
pub fn beside(sys: &Path, video: &Path) -> Option<Card> {
    let node = fs::canonicalize(video).ok()?;
    beside_node(sys, node.file_name()?.to_str()?)
}

fn beside_node(sys: &Path, node: &str) -> Option<Card> {
    let hardware = fs::canonicalize(sys.join("class/video4linux").join(node).join("device")).ok()?;
    let whole = whole_device(&hardware);
    list(sys)
        .into_iter()
        .find(|card| !card.hardware.as_os_str().is_empty() && card.hardware.starts_with(whole))
}

/// The USB device that an interface is a part of; anything else is whole.
fn whole_device(hardware: &Path) -> &Path {
    hardware.ancestors().find(|dir| dir.join("idVendor").exists()).unwrap_or(hardware)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::capture::v4l2::mark::Mark;
    use std::os::unix::fs::symlink;

    /// A sysfs with sound cards and video nodes at places below `devices`.
    fn sysfs(
        cards: &[(u32, &str, &str, &[&str])],
        videos: &[(&str, &str)],
        usb: &[&str],
    ) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let sys = dir.path();
        for class in ["class/sound", "class/video4linux"] {
            fs::create_dir_all(sys.join(class)).unwrap();
        }
        for device in usb {
            fs::create_dir_all(sys.join("devices").join(device)).unwrap();
            fs::write(sys.join("devices").join(device).join("idVendor"), "534d\n").unwrap();
        }
        for (number, id, at, pcms) in cards {
            let hardware = sys.join("devices").join(at);
            let card = hardware.join(format!("sound/card{number}"));
            fs::create_dir_all(&card).unwrap();
            fs::write(card.join("id"), format!("{id}\n")).unwrap();
            symlink(&hardware, card.join("device")).unwrap();
            symlink(&card, sys.join(format!("class/sound/card{number}"))).unwrap();
            for pcm in *pcms {
                fs::create_dir_all(sys.join("class/sound").join(pcm)).unwrap();
            }
        }
        for (node, at) in videos {
            let hardware = sys.join("devices").join(at);
            let video = hardware.join("video4linux").join(node);
            fs::create_dir_all(&video).unwrap();
            symlink(&hardware, video.join("device")).unwrap();
            symlink(&video, sys.join("class/video4linux").join(node)).unwrap();
        }
        dir
    }

    #[test]
    fn the_card_of_the_same_grabber_is_found_and_no_other() {
        let dir = sysfs(
            &[
                (0, "Loopback", "platform/snd_aloop.0", &["pcmC0D0p", "pcmC0D0c", "pcmC0D1c"]),
                (1, "MS2109", "usb1/1-1/1-1:1.2", &["pcmC1D0c"]),
                (2, "MS2109_1", "usb1/1-2/1-2:1.2", &["pcmC2D0c"]),
                (3, "HDMI", "platform/receiver", &["pcmC3D0c"]),
                (4, "Speaker", "usb1/1-3/1-3:1.0", &["pcmC4D0p"]),
            ],
            &[
                ("video0", "usb1/1-2/1-2:1.0"),
                ("video1", "usb1/1-1/1-1:1.0"),
                ("video2", "usb1/1-3/1-3:1.1"),
                ("video3", "platform/receiver"),
                ("video4", "platform/other"),
            ],
            &["usb1", "usb1/1-1", "usb1/1-2", "usb1/1-3"],
        );
        let found = |node| beside_node(dir.path(), node).map(|card| card.name());
        assert_eq!(found("video0").as_deref(), Some("plughw:CARD=MS2109_1,DEV=0"));
        assert_eq!(found("video1").as_deref(), Some("plughw:CARD=MS2109,DEV=0"));
        assert_eq!(found("video2"), None, "that card only plays");
        assert_eq!(found("video3").as_deref(), Some("plughw:CARD=HDMI,DEV=0"));
        assert_eq!(found("video4"), None);
        assert_eq!(found("video9"), None);
        let mut settings = V4l2Settings::at(dir.path().join("class/video4linux/video4"));
        let named = |settings: &V4l2Settings| of_capture(dir.path(), settings, None).map(|card| card.name());
        let opened = Opened { node: dir.path().join("class/video4linux/video1"), which: 0 };
        let beside = of_capture(dir.path(), &settings, Some(&opened)).map(|card| card.name());
        assert_eq!(
            beside.as_deref(),
            Some("plughw:CARD=MS2109,DEV=0"),
            "of what is open, not of what is first"
        );
        assert_eq!(named(&settings), None);
        settings.devices[0].sound = Some("Loopback".into());
        assert_eq!(named(&settings).as_deref(), Some("plughw:CARD=Loopback,DEV=0"), "on another device");
        settings.devices[0].mark = Mark::Path("/nonexistent/video4".into());
        assert_eq!(named(&settings), None, "without pictures there is no sound");
        let numbers: Vec<_> = list(dir.path()).iter().map(|card| (card.number, card.device)).collect();
        assert_eq!(numbers, [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)]);
    }
}
