//! Key messages to input events: positions, named keys, characters and text (reference: session 6).

use crate::input::event::{InputEvent, LockKey};
use crate::input::keymap::{self, Function, Numbering};
use crate::input::layout::Layout;
use crate::input::usage::{KeyUsage, SystemUsage};
use crate::wire::message::hbb::{self, ControlKey, KeyboardMode, key_event::Union};

use super::control::{self, Named};
use super::hands::{Hands, Listed};
use super::types::{AnnouncedPlatform, PeerSettings, TargetOs};

/// How one controller's keys are read.
#[derive(Debug)]
pub struct Keys {
    numbering: Numbering,
    os: TargetOs,
    layout: Layout,
    /// iOS never lists Num Lock (reference: session 6.6): its absence says nothing there.
    tells_num_lock: bool,
}

/// What a key message does over its flags (reference: session 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    Down,
    Up,
    Click,
}

impl Keys {
    /// A reader for a controller on `my_platform`.
    pub fn new(settings: &PeerSettings, my_platform: &str) -> Self {
        Self {
            numbering: match settings.announce {
                AnnouncedPlatform::Windows => Numbering::Windows,
                AnnouncedPlatform::Linux => Numbering::Linux,
                AnnouncedPlatform::MacOs => Numbering::MacOs,
            },
            os: settings.os,
            layout: settings.keyboard.layout.clone(),
            tells_num_lock: !my_platform.eq_ignore_ascii_case("ios"),
        }
    }

    /// Takes one message; false if it means nothing to a keyboard.
    pub fn handle(&self, event: &hbb::KeyEvent, hands: &mut Hands) -> bool {
        let motion = match (event.press, event.down) {
            (true, _) => Motion::Click,
            (false, true) => Motion::Down,
            (false, false) => Motion::Up,
        };
        if motion != Motion::Up {
            hands.wake();
        }
        let listed = Listed::new(&event.modifiers);
        let by_position =
            matches!(KeyboardMode::try_from(event.mode), Ok(KeyboardMode::Map | KeyboardMode::Translate));
        match &event.union {
            Some(Union::Chr(code)) if by_position => {
                let tells_caps_lock = event.mode == KeyboardMode::Map as i32;
                let Some(function) = keymap::find(self.numbering, *code) else { return false };
                self.position(function, motion, &listed, tells_caps_lock, hands);
            }
            Some(Union::Chr(code)) => {
                let Some(c) = char::from_u32(*code) else { return false };
                self.character(c, motion, &listed, hands);
            }
            Some(Union::ControlKey(key)) => {
                let Ok(key) = ControlKey::try_from(*key) else { return false };
                return self.named(key, motion, &listed, by_position, hands);
            }
            Some(Union::Seq(text)) => self.type_text(text, &listed, hands),
            Some(Union::Unicode(code)) => {
                let Some(c) = char::from_u32(*code) else { return false };
                self.type_text(c.encode_utf8(&mut [0; 4]), &listed, hands);
            }
            Some(Union::Win2winHotkey(code)) => {
                let Some(function) = self.virtual_key(code >> 16) else { return false };
                self.position(function, motion, &Listed::default(), false, hands);
            }
            None => return false,
        }
        true
    }

    /// A physical key of Map or Translate mode; modifiers are keys like any other.
    fn position(
        &self,
        function: Function,
        motion: Motion,
        listed: &Listed,
        tells_caps_lock: bool,
        hands: &mut Hands,
    ) {
        let usage = match function {
            Function::Consumer(_) if motion == Motion::Up => return,
            Function::Consumer(usage) => return hands.emit(InputEvent::Consumer(usage)),
            Function::System(usage) => return power(usage, motion, hands),
            Function::Key(usage) => usage,
        };
        if motion == Motion::Up {
            return hands.release(usage);
        }
        if motion == Motion::Down && hands.repeats_itself(usage) {
            return;
        }
        hands.resume(|_| true);
        self.sync_lock(usage, listed, tells_caps_lock, hands);
        match motion {
            Motion::Click => hands.tap(usage, vec![]),
            Motion::Down | Motion::Up => hands.press(usage),
        }
    }

    fn named(
        &self,
        key: ControlKey,
        motion: Motion,
        listed: &Listed,
        by_position: bool,
        hands: &mut Hands,
    ) -> bool {
        let usage = match control::named(key) {
            Named::Nothing => return false,
            Named::System(usage) => {
                power(usage, motion, hands);
                return true;
            }
            // The actions and the media keys come without an up, or act on the down.
            _ if motion == Motion::Up && !matches!(control::named(key), Named::Key(_)) => return true,
            Named::Consumer(usage) => {
                hands.emit(InputEvent::Consumer(usage));
                return true;
            }
            Named::CtrlAltDel => {
                hands.suspend(|_| true);
                hands.tap(KeyUsage::DELETE_FORWARD, vec![KeyUsage::LEFT_CONTROL, KeyUsage::LEFT_ALT]);
                return true;
            }
            Named::Lock => {
                hands.suspend(|_| true);
                let (usage, modifiers) = control::lock_chord(self.os);
                hands.tap(usage, modifiers);
                return true;
            }
            Named::Key(usage) => usage,
        };
        if motion == Motion::Up {
            hands.release(usage);
            return true;
        }
        if motion == Motion::Down && hands.repeats_itself(usage) {
            return true;
        }
        if usage.is_modifier() {
            match motion {
                Motion::Click => hands.tap(usage, vec![]),
                Motion::Down | Motion::Up => hands.press(usage),
            }
            return true;
        }
        let missing = if by_position { hands.missing(listed) } else { hands.align(listed) };
        self.sync_lock(usage, listed, false, hands);
        // A key whose modifiers exist only in the list is clicked with them around it; its repeats click again.
        if motion == Motion::Click || !missing.is_empty() {
            hands.tap(usage, missing);
        } else {
            hands.press(usage);
        }
        true
    }

    /// Before a key that tells a lock's state: make the target's lock the same (reference: session 6.6).
    fn sync_lock(&self, usage: KeyUsage, listed: &Listed, tells_caps_lock: bool, hands: &mut Hands) {
        match keymap::told_lock(usage) {
            // With Control, Alt or Meta down the case says nothing, and Caps Lock would be a chord.
            Some(LockKey::CapsLock) if tells_caps_lock && !hands.holds_hot_key() => {
                hands.emit(InputEvent::Lock { lock: LockKey::CapsLock, is_on: listed.is_caps_lock });
            }
            Some(LockKey::NumLock) if self.tells_num_lock => {
                hands.emit(InputEvent::Lock { lock: LockKey::NumLock, is_on: listed.is_num_lock });
            }
            Some(LockKey::CapsLock | LockKey::NumLock | LockKey::ScrollLock) | None => {}
        }
    }

    /// A Legacy character, already shifted by the controller's layout. Ups are ignored: they may name another one.
    fn character(&self, c: char, motion: Motion, listed: &Listed, hands: &mut Hands) {
        if motion == Motion::Up {
            return;
        }
        if listed.is_hot()
            && !is_alt_gr(listed, hands)
            && let Some((usage, wants_alt_gr)) = self.layout.shortcut(c)
        {
            let missing = hands.align(listed);
            return shortcut(usage, wants_alt_gr, missing, hands);
        }
        hands.suspend(|_| true);
        match c {
            '\u{8}' => hands.tap(KeyUsage::BACKSPACE, vec![]),
            '\u{1b}' => hands.tap(KeyUsage::ESCAPE, vec![]),
            '\u{7f}' => hands.tap(KeyUsage::DELETE_FORWARD, vec![]),
            c => hands.emit(InputEvent::Text(c.into())),
        }
    }

    /// A text, typed once whatever the flags say (trap T21).
    fn type_text(&self, text: &str, listed: &Listed, hands: &mut Hands) {
        let mut chars = text.chars();
        let single = chars.next().filter(|_| chars.next().is_none());
        let is_hot = (listed.is_hot() && !is_alt_gr(listed, hands)) || hands.holds_hot_key();
        if let Some((usage, wants_alt_gr)) = single.filter(|_| is_hot).and_then(|c| self.layout.shortcut(c)) {
            hands.resume(|_| true);
            let missing = hands.missing(listed);
            return shortcut(usage, wants_alt_gr, missing, hands);
        }
        if !text.is_empty() {
            hands.suspend(|_| true);
            hands.emit(InputEvent::Text(text.to_owned()));
        }
    }

    /// The key of a virtual key. Letters are where the target's layout has them, digits are in their row everywhere,
    /// and of the others only the US keyboard's place is known.
    fn virtual_key(&self, vk: u32) -> Option<Function> {
        match u8::try_from(vk) {
            Ok(letter @ b'A'..=b'Z') => {
                let (usage, _) = self.layout.shortcut(char::from(letter.to_ascii_lowercase()))?;
                Some(Function::Key(usage))
            }
            _ => keymap::from_virtual_key(vk),
        }
    }
}

/// A power key, once a press.
fn power(usage: SystemUsage, motion: Motion, hands: &mut Hands) {
    hands.power(usage, motion != Motion::Up);
    if motion == Motion::Click {
        hands.power(usage, false);
    }
}

/// A click of a shortcut's key with the modifiers that are not held by themselves.
fn shortcut(usage: KeyUsage, wants_alt_gr: bool, mut missing: Vec<KeyUsage>, hands: &mut Hands) {
    if wants_alt_gr {
        missing.push(KeyUsage::RIGHT_ALT);
    }
    hands.tap(usage, missing);
}

/// Whether the only hot modifier is an Alt that is AltGr: it made the character and is no chord.
fn is_alt_gr(listed: &Listed, hands: &Hands) -> bool {
    hands.is_held(KeyUsage::RIGHT_ALT)
        && !hands.is_held(KeyUsage::LEFT_ALT)
        && listed.modifiers.iter().all(|m| matches!(*m, KeyUsage::LEFT_ALT | KeyUsage::LEFT_SHIFT))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests own their clocks")]
mod tests;
