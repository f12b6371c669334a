//! What the user does, and what comes in the middle of it.

use std::time::{Duration, Instant};

use kvmdesk::wire::message::hbb::misc::Union as Misc;

use super::expect::{Fate, code};
use super::{Hands, Trouble};
use crate::lab::Session;
use crate::lab::recovery::Cause;
use crate::support::controller::button;

const BUTTONS: [i32; 3] = [button::LEFT, button::RIGHT, button::MIDDLE];

impl Hands<'_> {
    /// Something, the trouble, something; gives the time from its end until input was back.
    pub(super) fn sequence(&mut self, trouble: Trouble) -> Option<Duration> {
        if self.random.below(2) == 0 {
            self.act(Fate::Comes);
            self.settle();
        }
        let time = self.endure(trouble);
        self.act(Fate::Comes);
        // Linux throws away what waits in a device when it is opened (usbhid_open), so a place that was told meanwhile is
        // told again by the user's next move only.
        self.point();
        if self.random.below(4) == 0 {
            // What waits for the computer would end with the session.
            self.settle();
            self.leave(true);
        } else {
            self.let_go();
        }
        self.settle();
        self.expect("everything up, the pointer in its place", |hands| hands.is_at_rest());
        time
    }

    fn endure(&mut self, trouble: Trouble) -> Option<Duration> {
        let (begin, end) = match trouble {
            Trouble::Left => {
                self.settle();
                self.hold();
                self.leave(true);
                return None;
            }
            Trouble::Suspended => return Some(self.endure_suspension()),
            Trouble::GadgetRebound => ("lab unplug; lab plug || true", None),
            Trouble::GadgetUnbound => (Cause::GadgetUnbound.begin(), None),
            Trouble::PortDisabled => (Cause::PortDisabled.begin(), Cause::PortDisabled.end()),
            Trouble::DriverUnbound => (Cause::DriverUnbound.begin(), Cause::DriverUnbound.end()),
        };
        self.act(Fate::MayCome);
        self.in_guest(begin);
        let Some(end) = end else {
            let since = Instant::now();
            self.act(Fate::MayCome);
            return Some(self.recover_from_repairs(since));
        };
        // A driver that comes back before the daemon gave up gets what waited.
        let is_cut_off = trouble == Trouble::PortDisabled;
        let is_noticed = is_cut_off || self.random.below(2) == 0;
        if is_noticed {
            self.type_text(if is_cut_off { Fate::Lost } else { Fate::MayCome });
            self.expect("trouble is noticed", |hands| !hands.is_connected());
            self.act(Fate::Lost);
            if self.random.below(3) == 0 {
                self.leave(false);
            }
            self.point();
            // They are thrown away by the time that the status comes.
            assert!(!self.is_connected(), "{}", self.report("nobody is there"));
        } else {
            self.act(Fate::MayCome);
        }
        self.in_guest(end);
        let since = Instant::now();
        Some(self.probe().saturating_duration_since(since))
    }

    /// The computer sleeps until it is woken by input.
    fn endure_suspension(&mut self) -> Duration {
        // Linux suspends no keyboard with a key down.
        self.let_go();
        self.settle();
        self.in_guest(Cause::Suspended.begin());
        let since = Instant::now();
        self.act(Fate::MayCome);
        let time = self.probe().saturating_duration_since(since);
        // Until then it goes to sleep again and again.
        self.in_guest("lab suspend off");
        self.probe();
        time
    }

    /// A repair that was asked for before the gadget was back unplugs it once more.
    fn recover_from_repairs(&mut self, since: Instant) -> Duration {
        let time = self.probe().saturating_duration_since(since);
        self.expect("no repair under way", |hands| {
            // Who runs it is told apart from the loop that starts it by the column before it.
            let look =
                "[ -e /run/kvmdesk/gadget-repair ] && echo asked; ps | grep 'root  *kvmdesk gadget repair'";
            hands.machine.try_run(look).0.is_empty()
        });
        self.probe();
        time
    }

    /// A few deeds of the user.
    fn act(&mut self, fate: Fate) {
        for _ in 0..=self.random.below(4) {
            match self.random.below(7) {
                0..=2 => self.type_text(fate),
                3 => self.press(fate),
                4 => self.release(),
                5 => self.button(),
                _ => self.point(),
            }
        }
    }

    /// Keys and a button down, and the middle of a text.
    fn hold(&mut self) {
        self.press(Fate::MayCome);
        self.button();
        self.press(Fate::MayCome);
        if self.random.below(2) == 0 {
            self.type_text(Fate::MayCome);
            self.type_text(Fate::MayCome);
        }
    }

    fn type_text(&mut self, fate: Fate) {
        let letters = fate.letters();
        let at = self.random.below(letters.len());
        let length = letters.len() / 2 + self.random.below(letters.len() / 2);
        // Of what is at the edge the recorder may miss Shift alone.
        let has_capitals = fate == Fate::Comes;
        let text: String = letters
            .chars()
            .cycle()
            .skip(at)
            .take(length)
            .map(|c| if has_capitals && self.random.below(3) == 0 { c.to_ascii_uppercase() } else { c })
            .collect();
        self.sent.extend(text.chars().map(|c| (c, fate)));
        self.session.app.type_text(&text).unwrap();
        self.note(format!("type {text}"));
    }

    fn press(&mut self, fate: Fate) {
        let free: Vec<char> = fate.keys().into_iter().filter(|key| !self.keys.contains(key)).collect();
        if free.is_empty() {
            return self.release();
        }
        let key = free[self.random.below(free.len())];
        self.keys.push(key);
        self.sent.push((key, fate));
        self.session.app.map_key(code(key).into(), true).unwrap();
        self.note(format!("press {key}"));
    }

    fn release(&mut self) {
        if self.keys.is_empty() {
            return;
        }
        let key = self.keys.swap_remove(self.random.below(self.keys.len()));
        self.session.app.map_key(code(key).into(), false).unwrap();
        self.note(format!("release {key}"));
    }

    fn button(&mut self) {
        let button = BUTTONS[self.random.below(BUTTONS.len())];
        if let Some(at) = self.buttons.iter().position(|held| *held == button) {
            self.buttons.swap_remove(at);
            self.session.app.button_up(button).unwrap();
        } else {
            self.buttons.push(button);
            self.session.app.button_down(button).unwrap();
        }
        self.note(format!("button {button}"));
    }

    pub(super) fn point(&mut self) {
        let (width, height) = self.size();
        // The origin is what apps tell after a change of the display, and is not believed.
        self.place = (1 + self.random.below(width - 1) as i32, 1 + self.random.below(height - 1) as i32);
        self.session.app.move_to(self.place.0, self.place.1).unwrap();
        self.note(format!("point {:?}", self.place));
    }

    fn let_go(&mut self) {
        while !self.keys.is_empty() {
            self.release();
        }
        while let Some(button) = self.buttons.pop() {
            self.session.app.button_up(button).unwrap();
            self.note(format!("button {button}"));
        }
    }

    /// The controller goes, with a word or without, or when its successor is there already; another comes.
    fn leave(&mut self, is_host_there: bool) {
        let kind = self.random.below(3);
        self.note(format!("leave {kind}"));
        self.keys.clear();
        self.buttons.clear();
        if kind == 0 {
            self.session.app.send_misc(Misc::CloseReason(String::new())).unwrap();
        }
        if kind < 2 {
            self.session.app.link().shut_down().unwrap();
            if is_host_there {
                self.expect("everything up without a controller", |hands| hands.is_at_rest());
            }
        }
        self.session = Session::log_in(self.machine);
    }
}
