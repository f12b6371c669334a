//! A V4L2 node as `Hardware`: found, opened, given its EDID, set to the signal, tried with one mode after the other
//! until it streams.

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use super::V4l2Settings;
use super::choose::{self, Mode};
use super::find::Finder;
use super::open::{Open, open_first};
use super::receiver::Hardware;
use super::stick::Believed;
use super::stream::{Stream, pixels_of};
use super::sys::{self, hdmi};
use crate::media::capture::{Opened, PassedOver};
use crate::media::pipeline::MaxSize;
use crate::media::scale::SizeBudget;
use crate::video::edid::{BLOCK, Edid};
use crate::video::format::{PixelFormat, Resolution};

/// The configured device, open or not.
pub struct Kernel {
    settings: V4l2Settings,
    /// Which of the settings' devices was opened last.
    which: usize,
    finder: Finder,
    open: Option<Open>,
    /// Frames need not be larger.
    wish: Option<Resolution>,
    /// What may be believed of the stick, if the device is one.
    believed: Believed,
    /// What could not be used and why, of the signal at hand.
    passed_over: Vec<PassedOver>,
    /// Why the configured EDID is not shown.
    edid_fault: Option<String>,
}

/// What a device says of itself, for `probe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// The node.
    pub path: PathBuf,
    /// The driver's name.
    pub driver: String,
    /// The device's name.
    pub card: String,
    /// Where it is plugged in.
    pub bus_info: String,
    /// Every FourCC that it offers, in its order, with the layout that it stands for here.
    pub formats: Vec<([u8; 4], Option<PixelFormat>)>,
    /// Size of the signal on the cable, or why there is none; `None` for devices without timings.
    pub signal: Option<Result<Resolution, String>>,
    /// The modes that would be tried, best first.
    pub modes: Vec<Mode>,
    /// What would not, with the reason.
    pub passed_over: Vec<PassedOver>,
    /// The EDID that the computer is shown, if it can be read.
    pub edid: Option<Edid>,
}

impl DeviceFacts {
    /// The mode that is tried first while pictures are sent as [`MaxSize`] says; `None` if there is none.
    pub fn first_mode(&self, max_size: MaxSize) -> Option<Mode> {
        let whole = self.modes.first()?;
        let wish = SizeBudget::new(max_size).size(whole.size);
        let smaller = choose::scales(&self.driver, self.signal.is_some())
            .then(|| choose::smaller(&self.modes, whole, wish))
            .flatten();
        smaller.or(Some(*whole))
    }
}

impl Kernel {
    /// The device is opened later.
    pub fn new(settings: V4l2Settings) -> Self {
        let finder = Finder::new(settings.devices.iter().map(|device| device.mark.clone()).collect());
        Self {
            settings,
            which: 0,
            finder,
            open: None,
            wish: None,
            believed: Believed::default(),
            passed_over: Vec::new(),
            edid_fault: None,
        }
    }

    /// The descriptor to poll, if there is one.
    pub fn fd(&self) -> Option<RawFd> {
        self.open.as_ref().map(Open::fd)
    }

    /// The running stream.
    pub fn stream(&mut self) -> Option<&mut Stream> {
        self.open.as_mut()?.stream.as_mut()
    }

    /// What could not be used and why.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }

    /// Why the configured EDID is not shown.
    pub fn edid_fault(&self) -> Option<&str> {
        self.edid_fault.as_deref()
    }

    /// The node, if it is open.
    pub fn opened(&self) -> Option<Opened> {
        self.open.as_ref().map(|open| Opened { node: open.path.clone(), which: self.which })
    }

    /// The layout that is captured.
    pub fn format(&self) -> Option<[u8; 4]> {
        Some(self.open.as_ref()?.format?.0.fourcc)
    }

    fn device(&mut self) -> io::Result<&mut Open> {
        self.open.as_mut().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    fn pass_over(&mut self, fourcc: [u8; 4], reason: String) {
        let one = PassedOver { fourcc, reason };
        if !self.passed_over.contains(&one) {
            tracing::info!(format = %one.name(), reason = one.reason, "a format is passed over");
            self.passed_over.push(one);
        }
    }

    /// Looks at the device without changing anything.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn facts(&mut self) -> io::Result<DeviceFacts> {
        let (which, mut open) = open_first(&self.finder, self.believed)?;
        let formats = self.settings.devices.get(which).map_or(&[][..], |device| &device.formats);
        let signal = match hdmi::query_timings(open.fd()) {
            Ok(timings) => {
                open.timings = Some(timings);
                Some(Ok(timings.resolution()))
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOLINK) => Some(Err("no signal".to_owned())),
                Some(libc::ENOLCK) => Some(Err("no lock".to_owned())),
                Some(libc::ERANGE) => Some(Err("out of range".to_owned())),
                _ => None,
            },
        };
        let (modes, passed_over) = open.modes(formats)?;
        let offered = sys::formats(open.fd(), open.api);
        Ok(DeviceFacts {
            path: open.path.clone(),
            driver: open.capability.driver.clone(),
            card: open.capability.card.clone(),
            bus_info: open.capability.bus_info.clone(),
            formats: offered.into_iter().map(|fourcc| (fourcc, pixels_of(fourcc))).collect(),
            signal,
            modes,
            passed_over,
            edid: hdmi::get_edid(open.fd()).ok().and_then(|bytes| Edid::parse(&bytes).ok()),
        })
    }

    /// Shows the computer the configured EDID if it is not shown already: showing it is a hot-plug.
    fn show_edid(&mut self) {
        let Some(open) = &mut self.open else { return };
        let now = hdmi::get_edid(open.fd());
        let wanted = self.settings.devices.get(self.which).and_then(|device| device.edid.clone());
        let Some(wanted) = wanted else {
            open.edid = now.ok().filter(|bytes| Edid::parse(bytes).is_ok());
            self.edid_fault = None;
            return;
        };
        let fault = match now {
            Ok(now) if is_shown_as(&now, &wanted) => None,
            Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => Some(
                "the capture device has no EDID that could be set; write edid = \"keep\" in its settings"
                    .to_owned(),
            ),
            _ => match hdmi::set_edid(open.fd(), &wanted) {
                Err(error) if error.raw_os_error() == Some(libc::E2BIG) => {
                    Some("the EDID has more blocks than the receiver takes; use a shorter one".to_owned())
                }
                Err(error) => Some(format!("the receiver refuses the EDID ({error}); try another one")),
                Ok(()) => match hdmi::get_edid(open.fd()) {
                    Ok(back) if is_shown_as(&back, &wanted) => {
                        tracing::info!(blocks = wanted.len() / 128, "EDID set");
                        None
                    }
                    Ok(_) => Some("the receiver shows another EDID than the one that was set".to_owned()),
                    Err(error) => Some(format!("the EDID could not be read back: {error}")),
                },
            },
        };
        open.edid = fault.is_none().then_some(wanted);
        if let Some(fault) = fault.as_ref().filter(|fault| self.edid_fault.as_ref() != Some(fault)) {
            tracing::warn!("{fault}");
        }
        self.edid_fault = fault;
    }

    /// Sets the mode `at` or the first behind it that the driver takes; those that it does not are passed over.
    fn set_next(&mut self) -> io::Result<Resolution> {
        loop {
            let open = self.device()?;
            let Some(mode) = open.modes.get(open.at).copied() else {
                let names: Vec<_> = self.passed_over.iter().map(PassedOver::name).collect();
                let text = format!(
                    "none of its formats can be used ({}); use a device with YUYV, NV12 or MJPG",
                    names.join(" ")
                );
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            };
            let is_smaller = open.smaller_set().is_some();
            let set = open.set(&mode).and_then(|format| match format.resolution {
                size if is_smaller && size != mode.size => {
                    Err(io::Error::other(format!("the driver sets {size} instead of {}", mode.size)))
                }
                _ => Ok(format),
            });
            match set {
                Ok(format) => {
                    tracing::info!(format = %PassedOver::name_of(format.fourcc), size = %format.resolution, "capture format");
                    open.format = Some((format, mode.pixels));
                    if !is_smaller {
                        open.whole = Some(Mode { size: format.resolution, ..mode });
                    }
                    return Ok(open.signal_size(format.resolution));
                }
                Err(error) if is_of_device(&error) => return Err(error),
                Err(error) => {
                    open.at += 1;
                    self.pass_over(mode.fourcc, error.to_string());
                }
            }
        }
    }
}

/// Whether a receiver shows the EDID that is wanted. Drivers may put a CEC address into an extension and mend its
/// checksum: three bytes.
fn is_shown_as(shown: &[u8], wanted: &[u8]) -> bool {
    let (shown_blocks, wanted_blocks) = (shown.as_chunks::<BLOCK>().0, wanted.as_chunks::<BLOCK>().0);
    let differing = |(a, b): (&[u8; BLOCK], &[u8; BLOCK])| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let mut blocks = shown_blocks.iter().zip(wanted_blocks).map(differing).enumerate();
    shown.len() == wanted.len()
        && blocks.all(|(block, differing)| differing <= if block == 0 { 0 } else { 3 })
}

/// Whether an error is about the device and not about the format that was tried.
fn is_of_device(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBUSY | libc::ENODEV | libc::ENXIO | libc::EBADF | libc::ENOMEM)
    )
}

impl Hardware for Kernel {
    fn open(&mut self) -> io::Result<()> {
        let (which, open) = open_first(&self.finder, self.believed)?;
        self.which = which;
        self.finder.take(which, &open.capability);
        tracing::info!(device = %open.path.display(), card = open.capability.card, api = ?open.api, "capture device opened");
        self.open = Some(open);
        self.show_edid();
        Ok(())
    }

    fn close(&mut self) {
        let stick = self.open.take().and_then(|open| open.stick.as_ref().map(|stick| stick.believed()));
        self.believed = stick.unwrap_or(self.believed);
    }

    fn query(&mut self) -> io::Result<Option<Resolution>> {
        let open = self.device()?;
        if !open.has_timings {
            if open.stick.as_mut().is_some_and(|stick| stick.has_hdmi() == Some(false)) {
                return Err(io::Error::from_raw_os_error(libc::ENOLINK));
            }
            // Nothing else to ask for but whether it is still there.
            return sys::get_format(open.fd(), open.api).map(|_| None);
        }
        match hdmi::query_timings(open.fd()) {
            Ok(timings) if !choose::is_sane(timings.resolution()) => {
                Err(io::Error::from_raw_os_error(libc::ERANGE))
            }
            Ok(timings) => {
                open.timings = Some(timings);
                Ok(Some(timings.resolution()))
            }
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::ENODATA | libc::EINVAL)) =>
            {
                open.has_timings = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn is_set(&self) -> bool {
        let Some(open) = self.open.as_ref().filter(|open| open.has_timings) else { return true };
        match (&open.timings, &open.set_timings) {
            (Some(now), Some(set)) => now.is_like(set),
            _ => true,
        }
    }

    fn power_present(&mut self) -> Option<bool> {
        hdmi::power_present(self.fd()?)
    }

    fn set_wish(&mut self, wish: Option<Resolution>) -> bool {
        if std::mem::replace(&mut self.wish, wish) == wish {
            return false;
        }
        let is_set = |open: &&Open| open.format.is_some();
        self.open
            .as_ref()
            .filter(is_set)
            .is_some_and(|open| open.smaller(&open.modes, wish) != open.smaller_set())
    }

    fn configure(&mut self) -> io::Result<Resolution> {
        let device = self.settings.devices.get(self.which);
        let (formats, wish) = (device.map(|device| device.formats.clone()).unwrap_or_default(), self.wish);
        let open = self.device()?;
        open.format = None;
        if let Some(timings) = open.timings.filter(|_| open.has_timings) {
            hdmi::set_timings(open.fd(), &timings)?;
            open.set_timings = Some(timings);
        }
        let (mut modes, mut passed_over) = open.modes(&formats)?;
        modes.retain(|mode| open.refused.iter().all(|refused| refused.fourcc != mode.fourcc));
        passed_over.extend(open.refused.iter().cloned());
        let smaller = open.smaller(&modes, wish);
        if let Some(smaller) = smaller {
            open.whole = open.whole.or(modes.first().copied());
            modes.retain(|mode| *mode != smaller);
            modes.insert(0, smaller);
        }
        (open.modes, open.at, open.has_smaller) = (modes, 0, smaller.is_some());
        for one in &passed_over {
            tracing::debug!(format = %one.name(), reason = one.reason, "a format is passed over");
        }
        self.passed_over = passed_over;
        self.set_next()
    }

    fn start(&mut self) -> io::Result<Resolution> {
        loop {
            let open = self.device()?;
            let Some((format, pixels)) = open.format else {
                return Err(io::Error::from_raw_os_error(libc::EINVAL));
            };
            let interval = open.modes.get(open.at).and_then(|mode| mode.interval);
            if let Some((numerator, denominator)) = interval {
                // A rate that cannot be set is none that keeps the picture away.
                let set = sys::set_interval(open.fd(), open.api, numerator, denominator);
                tracing::debug!(?interval, ?set, "capture rate");
            }
            // Drivers of USB devices copy frames by the CPU, and nobody flushes its caches for hardware that reads them.
            let exports = !open.capability.bus_info.starts_with("usb-");
            match Stream::start(open.device.handle(), open.api, format, pixels, exports) {
                Ok(stream) => {
                    open.stream = Some(stream);
                    return Ok(open.signal_size(format.resolution));
                }
                Err(error) if is_of_device(&error) => return Err(error),
                Err(error) => {
                    open.at += 1;
                    open.format = None;
                    let has_next = open.at < open.modes.len();
                    self.pass_over(format.fourcc, format!("streaming does not start: {error}"));
                    if !has_next {
                        return Err(error);
                    }
                    self.set_next()?;
                }
            }
        }
    }

    fn stop(&mut self) {
        if let Some(open) = &mut self.open {
            open.stream = None;
        }
    }

    fn refuse_format(&mut self, reason: &str) -> bool {
        let Some(open) = &mut self.open else { return false };
        let Some((format, _)) = open.format else { return false };
        let has_other = open.modes.iter().any(|mode| mode.fourcc != format.fourcc);
        if has_other {
            let one = PassedOver { fourcc: format.fourcc, reason: reason.to_owned() };
            tracing::warn!(format = %one.name(), reason, "a format is passed over");
            open.refused.push(one);
        }
        has_other
    }

    fn has_events(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.has_events)
    }

    fn can_hot_plug(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.edid.is_some())
    }

    fn hot_plug(&mut self, is_plugged: bool) -> io::Result<()> {
        self.device()?.plug(is_plugged)
    }
}

/// Looks at a device as it would be used, without changing anything; also while it streams elsewhere.
///
/// # Errors
/// If it cannot be opened or is no capture device.
pub fn probe(settings: V4l2Settings) -> io::Result<DeviceFacts> {
    Kernel::new(settings).facts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edid_with_its_address_set_is_the_same_and_another_is_not() {
        let wanted = vec![7; 2 * BLOCK];
        let mut shown = wanted.clone();
        assert!(is_shown_as(&shown, &wanted));
        shown[BLOCK + 25..BLOCK + 27].fill(9);
        shown[2 * BLOCK - 1] = 9;
        assert!(is_shown_as(&shown, &wanted));
        shown[BLOCK + 3] = 9;
        assert!(!is_shown_as(&shown, &wanted), "more than an address");
        shown = wanted.clone();
        shown[BLOCK - 1] = 9;
        assert!(!is_shown_as(&shown, &wanted), "the first block has no address");
        assert!(!is_shown_as(&wanted[..BLOCK], &wanted) && !is_shown_as(&[], &wanted));
    }
}
