//! `[video]` and `[[display]]`: what each display is captured with.

use std::path::{Path, PathBuf};

use super::{Origin, Overrides, Resolver, word};
use crate::config::edid;
use crate::config::file::{ConfigError, ParsedFile, VideoSection, VideoSource};
use crate::media::capture::v4l2::V4l2Settings;
use crate::media::pipeline::{MaxSize, SourceSettings, VideoSettings};
use crate::video::format::{PixelFormat, Resolution};

/// Most displays of one computer.
const MOST_DISPLAYS: usize = 8;
/// What a picture may be cut down to, both ways; the upper end is what H.264 level 5.2 has room for.
const SIZES: std::ops::RangeInclusive<u32> = 64..=4096;

/// Every display in the order in which the app counts them; at least one.
pub(super) fn resolve(
    parsed: &ParsedFile,
    flags: &Overrides,
    r: &mut Resolver,
) -> Result<Vec<VideoSettings>, ConfigError> {
    let further = &parsed.file.display;
    if further.len() >= MOST_DISPLAYS {
        let key = format!("display[{}]", MOST_DISPLAYS - 1);
        return Err(parsed.error(&key, format!("a computer has at most {MOST_DISPLAYS} displays here")));
    }
    let first = Place { parsed, r: &mut *r, key: "video".to_owned(), shown: "video".to_owned() };
    let mut displays = vec![first.resolve(&parsed.file.video, flags.video_source, Some("/dev/video0"))?];
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

/// The capture device of a display, if it has one.
fn device_of(display: &VideoSettings) -> Option<&Path> {
    match &display.source {
        SourceSettings::V4l2(settings) => Some(&settings.device),
        SourceSettings::Pattern => None,
    }
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

    fn resolve(
        mut self,
        section: &VideoSection,
        flag: Option<VideoSource>,
        default_device: Option<&str>,
    ) -> Result<VideoSettings, ConfigError> {
        let (source, _) =
            self.pick("source", [Some(VideoSource::V4l2), section.source, None, flag], |s| word(*s));
        let source = source.unwrap_or(VideoSource::V4l2);
        let default_device = default_device.filter(|_| source == VideoSource::V4l2).map(PathBuf::from);
        let (device, _) = self.pick("device", [default_device, section.device.clone(), None, None], |d| {
            d.display().to_string()
        });
        let (formats, _) = self.pick("formats", [Some(vec![]), section.formats.clone(), None, None], |f| {
            match f.as_slice() {
                [] => "(all, best first)".to_owned(),
                names => names.join(", "),
            }
        });
        let (edid, _) =
            self.pick("edid", [Some("keep".to_owned()), section.edid.clone(), None, None], Clone::clone);
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
            (VideoSource::V4l2, None) => {
                let message = "a display needs its own device, for instance device = \"/dev/video1\"";
                return Err(self.parsed.error(&self.key, message));
            }
            (VideoSource::V4l2, Some(device)) => SourceSettings::V4l2(V4l2Settings {
                device,
                formats: match &section.formats {
                    Some(_) => self.formats(&formats.unwrap_or_default())?,
                    // All of them, in the order that suits the device.
                    None => vec![],
                },
                edid: edid::named(&edid.unwrap_or_default()).map_err(|why| self.error("edid", why))?,
            }),
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
        let mut formats = vec![];
        for (n, name) in names.iter().enumerate() {
            let fault = |message| self.error(&format!("formats[{n}]"), message);
            let known = PixelFormat::ALL.into_iter().find(|f| fourcc(*f) == *name);
            let Some(format) = known else {
                let all: Vec<_> = PixelFormat::ALL.into_iter().map(fourcc).collect();
                return Err(fault(format!("`{name}` is none of {}", all.join(", "))));
            };
            if formats.contains(&format) {
                return Err(fault(format!("`{name}` is named twice")));
            }
            formats.push(format);
        }
        Ok(formats)
    }
}

/// A format's name as `v4l2-ctl --list-formats` prints it.
fn fourcc(format: PixelFormat) -> String {
    String::from_utf8_lossy(&format.fourcc()).into_owned()
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
