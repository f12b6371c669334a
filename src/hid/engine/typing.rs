//! Text: what is left out or long is said, Esc stops it, Caps Lock is stepped around.

use std::time::Instant;

use crate::hid::report::OwnerId;
use crate::hid::work::{Typed, Work};
use crate::input::event::InputEvent;
use crate::input::typist::Typist;
use crate::input::usage::KeyUsage;

use super::locks::LED_PATIENCE;
use super::{Engine, REMARK_TIME};

/// Esc stops a text of which more bytes than this are left (half a second); with less it is a key like any other, as it
/// is behind many short texts, which are what somebody types.
const LONG_TEXT: usize = 32;

impl Engine {
    /// Texts are typed with this from now on.
    pub(in crate::hid) fn set_typist(&mut self, typist: Typist) {
        self.typist = Ok(typist);
    }

    /// Whether this is Esc in the middle of a long text.
    pub(super) fn stops_text(&self, event: &InputEvent) -> bool {
        is_escape(event) && self.sessions.values().any(|work| work.longest_text_left() > LONG_TEXT)
    }

    /// Esc in the middle of a long text stops every text; the computer does not see it.
    pub(super) fn escape(&mut self, owner: OwnerId, now: Instant) {
        if let Some(work) = self.sessions.get(&owner) {
            work.queue.swallow();
        }
        for work in self.sessions.values_mut() {
            work.stop_text();
        }
        self.remark = Some(("Typing was stopped by Esc.".to_owned(), now + REMARK_TIME));
    }

    /// Takes the next character of a session's text apart.
    pub(super) fn type_on(&mut self, work: &mut Work, now: Instant) {
        let is_caps_lock = self.believed_leds(now).is_some_and(|leds| leds.is_caps_lock);
        let Ok(typist) = &self.typist else {
            work.stop_text();
            return;
        };
        match work.expand_text(typist, is_caps_lock, now) {
            Typed::AroundCapsLock => {
                // The LED reports of both clicks arrive somewhen in between and after.
                self.kept_belief = self.believed_leds(now).map(|leds| (leds, now + LED_PATIENCE));
            }
            Typed::LeftOut => {
                self.health.characters_not_typed += 1;
                let remark = left_out("Some characters of the text were", typist.layout().name());
                self.remark = Some((remark, now + REMARK_TIME));
            }
            Typed::LongEnd { characters, missing: 0 } => {
                let remark = format!("The text of {characters} characters is typed.");
                self.remark = Some((remark, now + REMARK_TIME));
            }
            Typed::LongEnd { characters, missing } => {
                let what =
                    format!("The text of {characters} characters is typed, but {missing} of them were");
                self.remark = Some((left_out(&what, typist.layout().name()), now + REMARK_TIME));
            }
            Typed::Whole | Typed::End => {}
        }
    }
}

fn left_out(what: &str, layout: &str) -> String {
    format!(
        "{what} left out: the keyboard layout \"{layout}\" has no keys for them. If the computer takes characters by \
         their number, say so by unicode-entry in kvmdesk's configuration."
    )
}

/// Whether this is a press of Esc alone.
fn is_escape(event: &InputEvent) -> bool {
    match event {
        InputEvent::Key { usage, is_down: true } => *usage == KeyUsage::ESCAPE,
        InputEvent::Tap { usage, modifiers } => *usage == KeyUsage::ESCAPE && modifiers.is_empty(),
        InputEvent::Key { .. }
        | InputEvent::Lock { .. }
        | InputEvent::Text(_)
        | InputEvent::Consumer(_)
        | InputEvent::System(_)
        | InputEvent::PointerAbsolute(_)
        | InputEvent::PointerRelative { .. }
        | InputEvent::Button { .. }
        | InputEvent::Wheel { .. }
        | InputEvent::ReleaseAll => false,
    }
}
