//! Key, mouse and pinch messages: whether they act, on which display, and what the user is told when they do not.

use crate::wire::message::hbb;
use hbb::message::Union;
use hbb::misc::Union as Misc;
use hbb::permission_info::Permission;

use super::login;
use super::machine::{Event, Peer, State};
use super::pointer::{self, Ground};
use super::sharing::{Claim, Hold};
use super::texts;

impl Peer {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the union is generated and the rest comes elsewhere")]
    pub(super) fn handle_hands(&mut self, union: &Union) {
        if self.options.is_view_only {
            return;
        }
        // Before the user can have seen a picture the apps inject clicks (trap T12): nothing of that is real.
        let is_seen = self.is_pointer_awake || (self.has_sent_picture && self.flow.is_blind(self.now));
        if !is_seen && !matches!(union, Union::KeyEvent(_)) {
            return;
        }
        if let Hold::Theirs { can_take, .. } = self.hold {
            let is_press = match union {
                Union::KeyEvent(event) => event.down || event.press,
                Union::MouseEvent(event) => pointer::is_press(event),
                _ => false,
            };
            // What takes the hands over does nothing else: the user could not see yet what it would do.
            if can_take && is_press {
                self.event(Event::Claim(Claim::Take));
            }
            return;
        }
        let is_understood = match union {
            Union::KeyEvent(event) => {
                self.pointer.end_pinch(&mut self.hands);
                self.handle_key(event)
            }
            Union::MouseEvent(event) => {
                let ground = Ground {
                    left: self.displays.left(self.hands_display),
                    size: self.displays.size(self.hands_display),
                };
                self.pointer.handle(event, ground, self.settings.announce, &mut self.hands)
            }
            Union::PointerDeviceEvent(event) => self.pointer.handle_pinch(event, &mut self.hands),
            _ => false,
        };
        if !is_understood {
            self.ignore("a key or pointer event without meaning");
        }
    }

    /// Whether this controller acts or only looks on has changed.
    pub(super) fn handle_hold(&mut self, hold: &Hold) {
        if *hold == self.hold || !matches!(self.state, State::Open) {
            return;
        }
        if std::mem::replace(&mut self.hold, hold.clone()) == Hold::Mine {
            self.let_go();
        }
        // Who has to wait cannot type; who can take over by a press has to be able to press (reference: session 2.9).
        let is_allowed = !matches!(hold, Hold::Theirs { can_take: false, .. });
        let was_allowed = std::mem::replace(&mut self.is_keyboard_allowed, is_allowed);
        if is_allowed != was_allowed {
            let permission = Permission::Keyboard.into();
            let info = hbb::PermissionInfo { permission, enabled: is_allowed };
            self.transmit(login::encode_misc(Misc::PermissionInfo(info)));
        }
        let text = match hold {
            Hold::Theirs { holder, can_take } => texts::held_by(holder, *can_take),
            Hold::Mine if !was_allowed && !self.options.is_view_only => texts::YOURS.to_owned(),
            Hold::Mine => return,
        };
        self.transmit(texts::notice(texts::HID_TITLE, text));
    }

    /// Tells the house whether this controller wants to act.
    pub(super) fn claim_hands(&mut self) {
        self.event(Event::Claim(if self.options.is_view_only { Claim::Leave } else { Claim::Join }));
    }
}
