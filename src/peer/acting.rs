//! Key, mouse and pinch messages: whether they act, and on which display.

use crate::wire::message::hbb;
use hbb::message::Union;

use super::machine::Peer;
use super::pointer::Ground;

impl Peer {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the union is generated and the rest comes elsewhere")]
    pub(super) fn handle_hands(&mut self, union: &Union) {
        if self.options.is_view_only {
            return;
        }
        // Before the user can have seen a picture the apps inject clicks (trap T12): nothing of that is real.
        let is_seen = self.is_pointer_awake || (self.has_sent_picture && self.flow.is_blind(self.now));
        let is_understood = match union {
            Union::KeyEvent(event) => {
                self.pointer.end_pinch(&mut self.hands);
                self.keys.handle(event, &mut self.hands)
            }
            _ if !is_seen => true,
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
}
