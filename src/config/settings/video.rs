//! `[video]` and `[[display]]`: what each display is captured with.

use std::path::{Path, PathBuf};

use super::{Origin, Overrides, Resolver, word};
use crate::config::board::{self, BoardProfile, CaptureEntry};
use crate::config::edid;
use crate::config::file::{ConfigError, ParsedFile, VideoSection, VideoSource};
use crate::media::capture::v4l2::mark::Mark;
use crate::media::capture::v4l2::{V4l2Device, V4l2Settings};
use crate::media::encode::encoders::Encoders;
use crate::media::pipeline::{MaxSize, SourceSettings, VideoSettings};
use crate::video::format::{PixelFormat, Resolution};

/// The word for what the board has.
const AUTO: &str = "auto";
/// Most displays of one computer.
const MOST_DISPLAYS: usize = 8;
/// What a picture may be cut down to, both ways; the upper end is what H.264 level 5.2 has room for.
const SIZES: std::ops::RangeInclusive<u32> = 64..=4096;

/// Every display in the order in which the app counts them; at least one.
pub(super) fn resolve(
    parsed: &ParsedFile,
    board: &BoardProfile,
    flags: &Overrides,
    r: &mut Resolver,
) -> Result<Vec<VideoSettings>, ConfigError> {
    let further = &parsed.file.display;
    if further.len() >= MOST_DISPLAYS {
        let key = format!("display[{}]", MOST_DISPLAYS - 1);
        return Err(parsed.error(&key, format!("a computer has at most {MOST_DISPLAYS} displays here")));
    }
    let first = Place { parsed, r: &mut *r, key: "video".to_owned(), shown: "video".to_owned() };
    let mut displays = vec![first.resolve(&parsed.file.video, flags.video_source, Some(board))?];
    for (n, section) in further.iter().enumerate() {
        let place =
            Place { parsed, r: &mut *r, key: format!("display[{n}]"), shown: format!("display-{}", n + 2) };
        let display = place.resolve(section, None, None)?;
        if let Some(device) = device_of(&display)
            && displays.iter().any(|other| device_of(other) == Some(device))
        {
            let message = format!("{} is already the device of another display", device.display());
            return Err(parsed.error(&format!("display[{n}].device"), message));
        }
        displays.push(display);
    }
    Ok(displays)
}

/// The path of a display's capture device, if it has one of its own.
fn device_of(display: &VideoSettings) -> Option<&Path> {
    match &display.source {
        SourceSettings::V4l2(V4l2Settings { devices }) => match devices.as_slice() {
            [V4l2Device { mark: Mark::Path(path), .. }] => Some(path),
            _ => None,
        },
        SourceSettings::Pattern => None,
    }
}

/// The encoders that come before the others, best first.
pub(super) fn encoder_order(
    parsed: &ParsedFile,
    board: &BoardProfile,
    r: &mut Resolver,
) -> Result<Vec<String>, ConfigError> {
    let known = Encoders::names();
    // A profile is for builds with and without GStreamer.
    let mut of_board = board.encoders.clone();
    of_board.retain(|name| known.contains(&name.as_str()));
    let said = parsed.file.encoder.order.clone();
    let unknown = said.iter().flatten().enumerate().find(|(_, name)| !known.contains(&name.as_str()));
    if let Some((n, name)) = unknown {
        let message = format!("`{name}` is none of {}", known.join(", "));
        return Err(parsed.error(&format!("encoder.order[{n}]"), message));
    }
    let of_board = Some(of_board).filter(|order| !order.is_empty());
    let sayings = [Some(vec![]), said, None, None];
    let (order, _) = r.pick_on(of_board, "encoder.order", sayings, |order| match order.as_slice() {
        [] => "(hardware first, then the least CPU)".to_owned(),
        names => names.join(", "),
    });
    Ok(order.unwrap_or_default())
}

/// Where a section stands, and how its keys are shown.
struct Place<'a> {
    parsed: &'a ParsedFile,
    r: &'a mut Resolver,
    key: String,
    shown: String,
}

impl Place<'_> {
    fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        self.parsed.error(&format!("{}.{key}", self.key), message)
    }

    fn pick<T>(
        &mut self,
        key: &str,
        sayings: [Option<T>; 4],
        show: impl Fn(&T) -> String,
    ) -> (Option<T>, Origin) {
        self.r.pick(format!("{}.{key}", self.shown), sayings, show)
    }

    /// Notes what holds where the board may say something too.
    fn pick_on(&mut self, board: Option<String>, key: &str, sayings: [Option<String>; 4]) {
        self.r.pick_on(board, format!("{}.{key}", self.shown), sayings, Clone::clone);
    }

    /// `board` is given for the first display, which may be captured from what the board has.
    fn resolve(
        mut self,
        section: &VideoSection,
        flag: Option<VideoSource>,
        board: Option<&BoardProfile>,
    ) -> Result<VideoSettings, ConfigError> {
        let (source, _) =
            self.pick("source", [Some(VideoSource::V4l2), section.source, None, flag], |s| word(*s));
        let source = source.unwrap_or(VideoSource::V4l2);
        let auto = PathBuf::from(AUTO);
        let of_board = board.map(|board| V4l2Settings { devices: board.devices() });
        let default_device = of_board.as_ref().filter(|_| source == VideoSource::V4l2).map(|_| auto.clone());
        let sayings = [default_device, section.device.clone(), None, None];
        let (device, _) = self.pick("device", sayings, |d| match &of_board {
            Some(of_board) if *d == auto => format!("{AUTO}: {of_board}"),
            _ => d.display().to_string(),
        });
        let is_auto = of_board.is_some() && device.as_ref() == Some(&auto);
        let entries = board.map(|board| board.capture.as_slice()).filter(|_| is_auto).unwrap_or_default();
        let all = Some("(all, best first)".to_owned());
        let formats_said = section.formats.as_ref().map(|names| names.join(", "));
        let formats_of = |entry: &CaptureEntry| entry.formats.as_ref().map(|names| names.join(", "));
        self.pick_on(of_each(entries, formats_of), "formats", [all, formats_said, None, None]);
        let edid_said = section.edid.clone();
        let keep = Some("keep".to_owned());
        let edid_of = |entry: &CaptureEntry| entry.edid.clone();
        self.pick_on(of_each(entries, edid_of), "edid", [keep, edid_said.clone(), None, None]);
        let (size, _) = self.pick(
            "max-size",
            [Some("auto".to_owned()), section.max_size.clone(), None, None],
            Clone::clone,
        );
        let (max_fps, _) = self.pick("max-fps", [Some(30), section.max_fps, None, None], ToString::to_string);

        let max_fps = max_fps.unwrap_or(30);
        if !(1..=120).contains(&max_fps) {
            return Err(self.error("max-fps", format!("{max_fps} is not within 1 to 120")));
        }
        let max_size = max_size(&size.unwrap_or_default()).map_err(|why| self.error("max-size", why))?;
        let source = match (source, device) {
            (VideoSource::Pattern, _) => {
                if flag.is_none() {
                    self.refuse_device_keys(section)?;
                }
                SourceSettings::Pattern
            }
            (VideoSource::V4l2, Some(device)) if is_auto || device != auto => {
                let mut settings = of_board.filter(|_| is_auto).unwrap_or_else(|| V4l2Settings::at(device));
                // What the file says holds for each of the board's devices.
                if let Some(names) = &section.formats {
                    let formats = self.formats(names)?;
                    settings.devices.iter_mut().for_each(|device| device.formats.clone_from(&formats));
                }
                if let Some(word) = edid_said {
                    let edid = edid::named(&word).map_err(|why| self.error("edid", why))?;
                    settings.devices.iter_mut().for_each(|device| device.edid.clone_from(&edid));
                }
                SourceSettings::V4l2(settings)
            }
            (VideoSource::V4l2, _) => {
                let message = "a display needs its own device, for instance device = \"/dev/video1\"";
                return Err(self.parsed.error(&self.key, message));
            }
        };
        Ok(VideoSettings { source, max_fps, max_size })
    }

    /// A test card has nothing that these keys could set.
    fn refuse_device_keys(&self, section: &VideoSection) -> Result<(), ConfigError> {
        let set = [
            ("device", "a device is", "it", section.device.is_some()),
            ("formats", "formats are", "them", section.formats.is_some()),
            ("edid", "an EDID is", "it", section.edid.is_some()),
        ];
        match set.into_iter().find(|(_, _, _, is_set)| *is_set) {
            Some((key, what, it, _)) => {
                let message = format!("{what} for source = \"v4l2\"; remove {it}, or change `source`");
                Err(self.error(key, message))
            }
            None => Ok(()),
        }
    }

    fn formats(&self, names: &[String]) -> Result<Vec<PixelFormat>, ConfigError> {
        if names.is_empty() {
            return Err(
                self.error("formats", "name at least one format, or leave the key out for all of them")
            );
        }
        board::formats(names).map_err(|(n, message)| self.error(&format!("formats[{n}]"), message))
    }
}

/// What a board says of its capture devices, as one text: which device is meant stands behind it, where they differ.
fn of_each(entries: &[CaptureEntry], said: impl Fn(&CaptureEntry) -> Option<String>) -> Option<String> {
    let one = |entry: &CaptureEntry| {
        let text = said(entry)?;
        let path = entry.path.as_ref().map(|path| path.display().to_string());
        let device = entry.driver.clone().or(path).unwrap_or_default();
        Some(if entries.len() > 1 { format!("{text} ({device})") } else { text })
    };
    let texts: Vec<_> = entries.iter().filter_map(one).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn max_size(text: &str) -> Result<MaxSize, String> {
    match text {
        "auto" => return Ok(MaxSize::Auto),
        "source" => return Ok(MaxSize::Source),
        _ => {}
    }
    let fixed = text.split_once('x').and_then(|(width, height)| {
        let is_plain = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        let side = |t: &str| t.parse().ok().filter(|side| is_plain(t) && SIZES.contains(side));
        Some(MaxSize::Fixed(Resolution::new(side(width)?, side(height)?)))
    });
    let (least, most) = (SIZES.start(), SIZES.end());
    fixed.ok_or_else(|| {
        format!("`{text}` is none of auto, source, nor a size such as 1280x720 ({least} to {most} both ways)")
    })
}
