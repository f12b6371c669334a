//! `keyboard.bad-link` in the machine: when keys that type are clicked instead of held, and the pings that let one be
//! held on an even line.

use std::time::Instant;

use crate::wire::message::hbb;

use super::machine::Peer;
use super::types::BadLink;

impl Peer {
    /// A key message; false for one without meaning.
    pub(super) fn handle_key(&mut self, event: &hbb::KeyEvent) -> bool {
        let now = self.now;
        self.hands.set_line(match self.settings.keyboard.bad_link {
            BadLink::On => true,
            BadLink::Off => false,
            BadLink::Auto => self.evenness.is_uneven(now),
        });
        let held = self.hands.typing_keys();
        let is_understood = self.keys.handle(event, &mut self.hands);
        // A key that is held from now on is proven from now on.
        if self.hands.typing_keys() > held && self.proof_at().is_some() && self.latency.has_room() {
            self.ping(false, now);
        }
        is_understood
    }

    /// When the next ping for a held key is due, or the echo is late that lets it go.
    pub(super) fn proof_at(&self) -> Option<Instant> {
        if self.settings.keyboard.bad_link != BadLink::Auto || self.hands.typing_keys() == 0 {
            return None;
        }
        let late_at = self.evenness.late_at(self.now);
        let prove_at = self.evenness.prove_at().filter(|_| self.latency.has_room());
        late_at.into_iter().chain(prove_at).min()
    }

    /// Lets held keys go that type, if the line has become uneven; else asks again whether it is even.
    pub(super) fn prove_held_keys(&mut self, now: Instant) {
        if self.proof_at().is_none_or(|at| at > now) {
            return;
        }
        if self.evenness.is_uneven(now) {
            self.hands.lift_typing_keys();
        } else {
            self.ping(false, now);
        }
    }
}
