//! What is held, by whom, and the report bytes that say so. Pure: no time, no device.
//! Keys and buttons are counted per owner, so that one session's release never lifts another's.

use std::collections::BTreeSet;

use crate::input::event::{AbsolutePoint, PointerButton};
use crate::input::usage::{ConsumerUsage, KeyUsage, SystemUsage};

use super::backend::HidDevice;
use super::pointing::{Motion, PointerMode, Pointing};

/// Who holds a key: one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub u64);

/// One report for one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    device: HidDevice,
    bytes: [u8; 8],
    len: u8,
    is_move: bool,
}

impl Report {
    fn new(device: HidDevice, content: &[u8]) -> Self {
        let mut bytes = [0; 8];
        let len = content.len().min(8);
        bytes[..len].copy_from_slice(&content[..len]);
        Self { device, bytes, len: len as u8, is_move: false }
    }

    /// Where it goes.
    pub fn device(&self) -> HidDevice {
        self.device
    }

    /// Exactly the bytes to write.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether it only moves the pointer.
    pub fn is_move(&self) -> bool {
        self.is_move
    }
}

/// Everything the target has been told is down, and by which owners.
#[derive(Debug, Default)]
pub struct ReportState {
    /// In the order of pressing, modifiers among them.
    keys: Vec<(KeyUsage, BTreeSet<OwnerId>)>,
    /// With the device each went down on.
    buttons: Vec<(PointerButton, HidDevice, BTreeSet<OwnerId>)>,
    pointing: Pointing,
    /// The last absolute report that the target took had buttons down: it needs an all-up wherever the pointer is now.
    has_told_absolute_down: bool,
}

/// `ErrorRollOver` (HID 1.11 appendix C.3): more keys are down than the report has places.
const ROLL_OVER: u8 = 0x01;
/// Largest step of an i8 field in our descriptors.
const STEP: i32 = 127;
/// A relative move is clamped to this many counts (reference: session 5.1, controllers clamp to 10000).
const MAX_MOVE: i32 = 32_767;
/// A wheel turn is clamped to this many notches: four reports.
const MAX_WHEEL: i32 = 4 * STEP;

impl ReportState {
    /// `owner` presses keys, all in one report. `None` if the target is to see no change.
    pub fn keys_down(&mut self, owner: OwnerId, usages: &[KeyUsage]) -> Option<Report> {
        self.keys_change(|keys| {
            for &usage in usages.iter().filter(|u| is_key(**u)) {
                match keys.iter_mut().find(|(u, _)| *u == usage) {
                    Some((_, owners)) => {
                        owners.insert(owner);
                    }
                    None => keys.push((usage, [owner].into())),
                }
            }
        })
    }

    /// `owner` lets keys go; they go up if nobody else holds them.
    pub fn keys_up(&mut self, owner: OwnerId, usages: &[KeyUsage]) -> Option<Report> {
        self.keys_change(|keys| {
            for (_, owners) in keys.iter_mut().filter(|(u, _)| usages.contains(u)) {
                owners.remove(&owner);
            }
        })
    }

    fn keys_change(
        &mut self,
        change: impl FnOnce(&mut Vec<(KeyUsage, BTreeSet<OwnerId>)>),
    ) -> Option<Report> {
        let before = self.keyboard();
        change(&mut self.keys);
        self.keys.retain(|(_, owners)| !owners.is_empty());
        let after = self.keyboard();
        (before != after).then_some(after)
    }

    /// Whether this owner holds the key.
    pub fn holds_key(&self, owner: OwnerId, usage: KeyUsage) -> bool {
        self.keys.iter().any(|(u, owners)| *u == usage && owners.contains(&owner))
    }

    /// Whether this owner holds the button.
    pub fn holds_button(&self, owner: OwnerId, button: PointerButton) -> bool {
        self.buttons.iter().any(|(b, _, owners)| *b == button && owners.contains(&owner))
    }

    /// Whether anything at all is down.
    pub fn is_all_up(&self) -> bool {
        self.keys.is_empty() && self.buttons.is_empty()
    }

    /// Which pointer devices the target understands.
    pub fn set_pointer(&mut self, mode: PointerMode) {
        self.pointing.set_mode(mode);
    }

    /// The size of the target's screen, in its own pixels.
    pub fn set_screen(&mut self, width: u32, height: u32) {
        self.pointing.set_screen(width, height);
    }

    /// The target reads the relative pointer only, or not any more. In [`PointerMode::Auto`] places become distances by
    /// that; returns those to the last place.
    pub fn set_absolute_deaf(&mut self, is_deaf: bool) -> Vec<Report> {
        if self.pointing.set_absolute_deaf(is_deaf) { self.travel() } else { vec![] }
    }

    /// Whether [`Self::set_absolute_deaf`] said so last.
    pub fn is_absolute_deaf(&self) -> bool {
        self.pointing.is_absolute_deaf()
    }

    /// Whether places become distances though the user did not say so.
    pub fn falls_back(&self) -> bool {
        self.pointing.falls_back()
    }

    /// The device that a place is told to.
    pub fn carrier_of_places(&self) -> HidDevice {
        self.pointing.carrier(Motion::Place)
    }

    /// The device that a distance is told to.
    pub fn carrier_of_distances(&self) -> HidDevice {
        self.pointing.carrier(Motion::Distance)
    }

    /// The pointer goes to a place; buttons and wheel follow on the same device.
    pub fn move_to(&mut self, owner: OwnerId, point: AbsolutePoint) -> Vec<Report> {
        self.pointing.go_to(owner, point);
        self.travel()
    }

    /// The owner's hand is there from now on, though no report says so.
    pub fn remember_position(&mut self, owner: OwnerId, point: AbsolutePoint) {
        self.pointing.go_to(owner, point);
    }

    /// The pointer moves by counts; buttons and wheel follow on the same device.
    pub fn move_by(&mut self, owner: OwnerId, dx: i32, dy: i32) -> Vec<Report> {
        let (dx, dy) = (dx.clamp(-MAX_MOVE, MAX_MOVE), dy.clamp(-MAX_MOVE, MAX_MOVE));
        self.pointing.go_by(owner, dx, dy);
        match self.pointing.device() {
            HidDevice::Absolute => vec![self.place()],
            HidDevice::Relative | HidDevice::Keyboard | HidDevice::Consumer | HidDevice::System => {
                self.distance(dx, dy)
            }
        }
    }

    /// The pointer goes back to where this owner's hand is, if somebody else moved it and drags nothing: clicks happen
    /// where their user sees his hand.
    pub fn return_to(&mut self, owner: OwnerId) -> Vec<Report> {
        match self.pointing.own_place(owner) {
            Some(place) if self.buttons.is_empty() => self.move_to(owner, place),
            Some(_) | None => vec![],
        }
    }

    /// Distances were thrown away: nobody knows where they would have led.
    pub fn lose_count(&mut self) {
        self.pointing.lose_count();
    }

    /// What brings the pointer to the last place once more, where distances have to.
    pub fn travel_again(&mut self) -> Vec<Report> {
        let wants = self.pointing.device() == HidDevice::Relative
            && self.carrier_of_places() == HidDevice::Relative
            && self.pointing.is_lost();
        if wants { self.travel() } else { vec![] }
    }

    fn travel(&mut self) -> Vec<Report> {
        match self.carrier_of_places() {
            HidDevice::Absolute => vec![self.place()],
            HidDevice::Relative | HidDevice::Keyboard | HidDevice::Consumer | HidDevice::System => {
                let hops = self.pointing.travel();
                hops.into_iter().flat_map(|(dx, dy)| self.distance(dx, dy)).collect()
            }
        }
    }

    fn place(&self) -> Report {
        Report { is_move: true, ..self.absolute(0, 0) }
    }

    /// Split along its line into as many reports as i8 fields need.
    fn distance(&self, dx: i32, dy: i32) -> Vec<Report> {
        let parts = (dx.abs().max(dy.abs()) + STEP - 1) / STEP;
        let share = |d: i32, n: i32| (d * (n + 1) / parts - d * n / parts) as i8;
        (0..parts)
            .map(|n| Report { is_move: true, ..self.relative(share(dx, n), share(dy, n), 0, 0) })
            .collect()
    }

    /// A button goes down on the device of the last motion, up on the one where it went down.
    pub fn button(&mut self, owner: OwnerId, button: PointerButton, is_down: bool) -> Option<Report> {
        let held = self.buttons.iter().position(|(b, _, _)| *b == button);
        match (held, is_down) {
            (Some(at), true) => {
                self.buttons[at].2.insert(owner);
                None
            }
            (None, true) => {
                let device = self.pointing.device();
                self.buttons.push((button, device, [owner].into()));
                Some(self.at_rest(device))
            }
            (Some(at), false) => {
                let (_, device, owners) = &mut self.buttons[at];
                let device = *device;
                owners.remove(&owner);
                if !owners.is_empty() {
                    return None;
                }
                self.buttons.remove(at);
                Some(self.at_rest(device))
            }
            (None, false) => None,
        }
    }

    /// The wheel turns by notches, on the device of the last motion; more than 508 are clamped.
    pub fn wheel(&mut self, vertical: i32, horizontal: i32) -> Vec<Report> {
        let (mut v, mut h) = (vertical.clamp(-MAX_WHEEL, MAX_WHEEL), horizontal.clamp(-MAX_WHEEL, MAX_WHEEL));
        let mut reports = vec![];
        while v != 0 || h != 0 {
            let (dv, dh) = (v.clamp(-STEP, STEP), h.clamp(-STEP, STEP));
            (v, h) = (v - dv, h - dh);
            reports.push(match self.pointing.device() {
                HidDevice::Relative => self.relative(0, 0, dv as i8, dh as i8),
                HidDevice::Absolute | HidDevice::Keyboard | HidDevice::Consumer | HidDevice::System => {
                    self.absolute(dv as i8, dh as i8)
                }
            });
        }
        reports
    }

    /// A media key: down and up.
    pub fn consumer(&self, usage: ConsumerUsage) -> [Report; 2] {
        let [low, high] = usage.0.to_le_bytes();
        [Report::new(HidDevice::Consumer, &[1, low, high]), Report::new(HidDevice::Consumer, &[1, 0, 0])]
    }

    /// A power key: down and up.
    pub fn system(&self, usage: SystemUsage) -> [Report; 2] {
        [Report::new(HidDevice::System, &[2, usage as u8]), Report::new(HidDevice::System, &[2, 0])]
    }

    /// Whatever only `owner` holds goes up.
    pub fn release_all(&mut self, owner: OwnerId) -> Vec<Report> {
        self.pointing.forget(owner);
        let mut reports: Vec<Report> = self
            .keys_change(|keys| {
                for (_, owners) in keys {
                    owners.remove(&owner);
                }
            })
            .into_iter()
            .collect();
        for (_, _, owners) in &mut self.buttons {
            owners.remove(&owner);
        }
        for device in [HidDevice::Absolute, HidDevice::Relative] {
            let before = self.buttons.len();
            self.buttons.retain(|(_, d, owners)| *d != device || !owners.is_empty());
            if self.buttons.len() != before {
                reports.push(self.at_rest(device));
            }
        }
        reports
    }

    /// Nothing is down any more, for nobody; what the target still believes is said by [`Self::all_up`].
    pub fn lift_everything(&mut self) {
        self.lift_keys();
        self.lift_buttons(HidDevice::Absolute);
        self.lift_buttons(HidDevice::Relative);
    }

    /// No key is down any more.
    pub fn lift_keys(&mut self) {
        self.keys.clear();
    }

    /// No button is down on one pointer any more, and what waited for it is lost.
    pub fn lift_buttons(&mut self, device: HidDevice) {
        if device == HidDevice::Relative {
            self.pointing.lose_count();
        }
        self.buttons.retain(|(_, d, _)| *d != device);
    }

    /// The target took a report.
    pub fn told(&mut self, report: &Report) {
        if report.device == HidDevice::Absolute {
            self.has_told_absolute_down = report.bytes[0] != 0;
        }
    }

    /// The report that brings one device to the present state, where all should be up. `None` where a report
    /// would move the pointer to a place nobody asked for.
    pub fn all_up(&self, device: HidDevice) -> Option<Report> {
        let has_place = self.has_told_absolute_down || self.pointing.has_absolute_place();
        (device != HidDevice::Absolute || has_place).then(|| self.at_rest(device))
    }

    /// The device's present state, without movement.
    fn at_rest(&self, device: HidDevice) -> Report {
        match device {
            HidDevice::Keyboard => self.keyboard(),
            HidDevice::Absolute => self.absolute(0, 0),
            HidDevice::Relative => self.relative(0, 0, 0, 0),
            HidDevice::Consumer => Report::new(device, &[1, 0, 0]),
            HidDevice::System => Report::new(device, &[2, 0]),
        }
    }

    fn keyboard(&self) -> Report {
        let mut bytes = [0u8; 8];
        bytes[0] = self.keys.iter().fold(0, |bits, (usage, _)| bits | usage.modifier_bit());
        let mut places = bytes[2..].iter_mut();
        let mut is_over = false;
        for (usage, _) in self.keys.iter().filter(|(usage, _)| !usage.is_modifier()) {
            match places.next() {
                Some(place) => *place = usage.0,
                None => is_over = true,
            }
        }
        if is_over {
            bytes[2..].fill(ROLL_OVER);
        }
        Report::new(HidDevice::Keyboard, &bytes)
    }

    fn button_bits(&self, device: HidDevice) -> u8 {
        self.buttons
            .iter()
            .filter(|(_, d, _)| *d == device)
            .fold(0, |bits, (button, _, _)| bits | *button as u8)
    }

    fn absolute(&self, wheel: i8, pan: i8) -> Report {
        let AbsolutePoint { x, y } = self.pointing.position().unwrap_or_default();
        let ([xl, xh], [yl, yh]) = (x.to_le_bytes(), y.to_le_bytes());
        let buttons = self.button_bits(HidDevice::Absolute);
        Report::new(HidDevice::Absolute, &[buttons, xl, xh, yl, yh, wheel as u8, pan as u8])
    }

    fn relative(&self, dx: i8, dy: i8, wheel: i8, pan: i8) -> Report {
        let buttons = self.button_bits(HidDevice::Relative);
        Report::new(HidDevice::Relative, &[buttons, dx as u8, dy as u8, wheel as u8, pan as u8])
    }
}

/// Whether the descriptor has this usage (0..=3 are error codes, 0xDE..=0xDF and above 0xE7 nothing).
fn is_key(usage: KeyUsage) -> bool {
    usage.is_modifier() || (0x04..=0xDD).contains(&usage.0)
}

#[cfg(test)]
mod tests;
