//! `[audio]`: the computer's sound.

use super::{Origin, Resolver};
use crate::config::file::{ConfigError, ParsedFile};
use crate::media::audio::{AudioDevice, AudioSettings};
use crate::media::pipeline::{SourceSettings, VideoSettings};

/// The sound source; `None` if there is to be none.
pub(super) fn resolve(
    parsed: &ParsedFile,
    displays: &[VideoSettings],
    r: &mut Resolver,
) -> Result<Option<AudioSettings>, ConfigError> {
    let said = parsed.file.audio.device.clone();
    let (device, origin) = r.pick("audio.device", [Some("auto".to_owned()), said, None, None], Clone::clone);
    let device = device.unwrap_or_default();
    let settings = match device.as_str() {
        "off" => None,
        // A test card makes no sound.
        "auto" => displays.iter().find_map(|display| match &display.source {
            SourceSettings::V4l2(settings) => Some(AudioDevice::Beside(settings.clone())),
            SourceSettings::Pattern => None,
        }),
        name if name.trim().is_empty() || name.contains(|c: char| c.is_control()) => {
            let message = "write \"auto\", \"off\", or a device of ALSA such as \"hw:1,0\" (`kvmdesk probe` lists \
                           them)";
            return Err(parsed.error("audio.device", message));
        }
        name => Some(AudioDevice::Named(name.to_owned())),
    };
    if !cfg!(feature = "sound") && origin == Origin::File && device != "off" && device != "auto" {
        let message =
            "this kvmdesk was built without sound; write \"off\", or use a build with the feature `sound`";
        return Err(parsed.error("audio.device", message));
    }
    Ok(settings.filter(|_| cfg!(feature = "sound")).map(|device| AudioSettings { device }))
}
