//! What one controller holds: keys, modifiers and buttons, and the events that change it. A key goes down once
//! and up once, whatever the controller repeats or forgets. On a bad line keys that type are clicked instead, once for
//! each press and each repeat of the controller, so that no late release makes the target repeat them.

use std::collections::BTreeSet;

use crate::input::event::{InputEvent, PointerButton};
use crate::input::usage::{KeyUsage, SystemUsage};
use crate::wire::message::hbb::ControlKey;

/// The modifiers that an event lists as held (left names; reference: session 6.4), and its lock keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Left usages, each once.
    pub modifiers: Vec<KeyUsage>,
    /// Caps Lock is on at the controller.
    pub is_caps_lock: bool,
    /// Num Lock is on at the controller.
    pub is_num_lock: bool,
}

impl Listed {
    /// Reads the list of a key or mouse event.
    pub fn new(list: &[i32]) -> Self {
        let mut listed = Self::default();
        // The list cannot be longer than its keys are many, whatever a controller sends.
        for key in list.iter().take(16).filter_map(|k| ControlKey::try_from(*k).ok()) {
            match super::control::modifier_of(key) {
                Some(usage) => {
                    let left = left(usage);
                    if !listed.modifiers.contains(&left) {
                        listed.modifiers.push(left);
                    }
                }
                None => {
                    listed.is_caps_lock |= key == ControlKey::CapsLock;
                    listed.is_num_lock |= key == ControlKey::NumLock;
                }
            }
        }
        listed
    }

    /// Whether Control, Alt or Meta is listed: the event is a hot key, no text.
    pub fn is_hot(&self) -> bool {
        self.modifiers.iter().any(|m| *m != KeyUsage::LEFT_SHIFT)
    }
}

/// The left twin of a modifier.
pub fn left(modifier: KeyUsage) -> KeyUsage {
    KeyUsage(modifier.0 & !4)
}

/// The keys and buttons that one session holds.
#[derive(Debug, Default)]
pub struct Hands {
    held: BTreeSet<KeyUsage>,
    /// Modifiers that the user still holds but that were lifted for a text or by an event that does not list them.
    suspended: BTreeSet<KeyUsage>,
    /// Modifiers that were lifted because nothing came any more.
    silenced: BTreeSet<KeyUsage>,
    /// Keys that the controller holds and that were clicked for it.
    clicked: BTreeSet<KeyUsage>,
    is_line_bad: bool,
    power: Option<SystemUsage>,
    buttons: u8,
    out: Vec<InputEvent>,
}

impl Hands {
    /// The events since the last call, in order.
    pub fn take(&mut self) -> Vec<InputEvent> {
        std::mem::take(&mut self.out)
    }

    /// Emits an event that holds nothing.
    pub fn emit(&mut self, event: InputEvent) {
        self.out.push(event);
    }

    /// Whether a key is down.
    pub fn is_held(&self, usage: KeyUsage) -> bool {
        self.held.contains(&usage)
    }

    /// From now on keys that type are clicked (or held again, once they were let go).
    pub fn set_line(&mut self, is_bad: bool) {
        self.is_line_bad = is_bad;
    }

    /// Whether another press of this key is a repeat that the target makes by itself.
    pub fn repeats_itself(&self, usage: KeyUsage) -> bool {
        self.is_held(usage) && !self.is_clicked(usage)
    }

    fn is_clicked(&self, usage: KeyUsage) -> bool {
        usage.is_typing() && (self.is_line_bad || self.clicked.contains(&usage))
    }

    /// How many keys are down that a late release would repeat in a text.
    pub fn typing_keys(&self) -> usize {
        self.held.iter().filter(|usage| usage.is_typing()).count()
    }

    /// Lifts the keys that type; until the controller lets them go, its repeats are clicks.
    pub fn lift_typing_keys(&mut self) {
        let typing: Vec<KeyUsage> = self.held.iter().copied().filter(|usage| usage.is_typing()).collect();
        for usage in typing {
            self.release(usage);
            self.clicked.insert(usage);
        }
    }

    /// Whether anything is down.
    pub fn holds_anything(&self) -> bool {
        !self.held.is_empty() || self.buttons != 0
    }

    /// Whether Control, Alt or Meta is down by its own event. AltGr is no hot key: it makes characters.
    pub fn holds_hot_key(&self) -> bool {
        self.held
            .iter()
            .any(|k| k.is_modifier() && left(*k) != KeyUsage::LEFT_SHIFT && *k != KeyUsage::RIGHT_ALT)
    }

    /// A key goes down, or is clicked; a repeat of a held key is swallowed, because the target repeats by itself.
    pub fn press(&mut self, usage: KeyUsage) {
        if self.is_clicked(usage) {
            self.release(usage);
            self.clicked.insert(usage);
            return self.tap(usage, vec![]);
        }
        self.suspended.remove(&usage);
        if self.held.insert(usage) {
            self.emit(InputEvent::Key { usage, is_down: true });
        }
    }

    /// A key goes up; one that is not down is no event.
    pub fn release(&mut self, usage: KeyUsage) {
        self.suspended.remove(&usage);
        self.silenced.remove(&usage);
        self.clicked.remove(&usage);
        if self.held.remove(&usage) {
            self.emit(InputEvent::Key { usage, is_down: false });
        }
    }

    /// A whole click.
    pub fn tap(&mut self, usage: KeyUsage, modifiers: Vec<KeyUsage>) {
        self.emit(InputEvent::Tap { usage, modifiers });
    }

    /// A power key goes down or up: one click, whatever the controller repeats.
    pub fn power(&mut self, usage: SystemUsage, is_down: bool) {
        if is_down && self.power != Some(usage) {
            self.emit(InputEvent::System(usage));
        }
        self.power = is_down.then_some(usage);
    }

    /// A button goes down or up, once.
    pub fn button(&mut self, button: PointerButton, is_down: bool) {
        let bit = button as u8;
        if (self.buttons & bit != 0) != is_down {
            self.buttons ^= bit;
            self.emit(InputEvent::Button { button, is_down });
        }
    }

    /// Lifts the held modifiers for which `lifts` is true until [`Hands::resume`] or their own release.
    pub fn suspend(&mut self, lifts: impl Fn(KeyUsage) -> bool) {
        let lifted: Vec<KeyUsage> =
            self.held.iter().copied().filter(|k| k.is_modifier() && lifts(*k)).collect();
        for usage in lifted {
            self.release(usage);
            self.suspended.insert(usage);
        }
    }

    /// Presses again what was suspended, where `presses` is true.
    pub fn resume(&mut self, presses: impl Fn(KeyUsage) -> bool) {
        let back: Vec<KeyUsage> = self.suspended.iter().copied().filter(|k| presses(*k)).collect();
        for usage in back {
            self.press(usage);
        }
    }

    /// Brings the held modifiers in line with a list and returns those that are listed but not held.
    pub fn align(&mut self, listed: &Listed) -> Vec<KeyUsage> {
        self.resume(|k| listed.modifiers.contains(&left(k)));
        self.suspend(|k| !listed.modifiers.contains(&left(k)));
        self.missing(listed)
    }

    /// Lifts for good the held modifiers that a list does not name.
    pub fn drop_unlisted(&mut self, listed: &Listed) {
        let unlisted: Vec<KeyUsage> = self
            .held
            .iter()
            .copied()
            .filter(|k| k.is_modifier() && !listed.modifiers.contains(&left(*k)))
            .collect();
        for usage in unlisted {
            self.release(usage);
        }
    }

    /// The listed modifiers of which neither side is down.
    pub fn missing(&self, listed: &Listed) -> Vec<KeyUsage> {
        let is_down = |m: KeyUsage| self.held.contains(&m) || self.held.contains(&KeyUsage(m.0 | 4));
        listed.modifiers.iter().copied().filter(|m| !is_down(*m)).collect()
    }

    /// Everything goes up because nothing comes any more. What comes later is in order all the same, so that the
    /// modifiers are still meant, unless their releases come first: see [`Hands::wake`].
    pub fn release_for_silence(&mut self) {
        let modifiers = self.held.iter().copied().filter(|k| k.is_modifier()).collect();
        self.release_all();
        self.silenced = modifiers;
    }

    /// A key is pressed: the modifiers that silence had lifted go down again.
    pub fn wake(&mut self) {
        for usage in std::mem::take(&mut self.silenced) {
            self.press(usage);
        }
    }

    /// Everything goes up.
    pub fn release_all(&mut self) {
        self.held.clear();
        self.suspended.clear();
        self.silenced.clear();
        self.clicked.clear();
        self.power = None;
        self.buttons = 0;
        self.emit(InputEvent::ReleaseAll);
    }
}
