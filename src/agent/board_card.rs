//! What the moving test card shows of what it was told: pointer, last keys by name, connected controllers. Only fed
//! while the test card is the picture, so that nothing typed on a real computer is kept anywhere.

use std::collections::VecDeque;

use tokio::sync::watch;

use crate::input::event::InputEvent;
use crate::input::usage::KeyUsage;
use crate::video::card::TestCard;

/// Keys remembered.
const LAST_KEYS: usize = 12;
/// Longest text shown of one event, in characters.
const MAX_SHOWN: usize = 24;

/// The card's memory.
#[derive(Debug, Default)]
pub struct BoardCard {
    title: String,
    keys: VecDeque<String>,
    controllers: Vec<String>,
    pointer: Option<(u16, u16)>,
    buttons: u8,
}

impl BoardCard {
    /// A card with a first line.
    pub fn new(title: String) -> Self {
        Self { title, ..Self::default() }
    }

    /// Another first line.
    pub fn set_title(&mut self, title: String) {
        self.title = title;
    }

    /// The controllers that are logged in now.
    pub fn set_controllers(&mut self, controllers: Vec<String>) {
        if controllers.is_empty() {
            self.buttons = 0;
        }
        self.controllers = controllers;
    }

    /// Takes note of what hands did.
    pub fn apply(&mut self, event: &InputEvent) {
        match event {
            InputEvent::Key { usage, is_down: true } => self.push(key_name(*usage)),
            InputEvent::Tap { usage, modifiers } => {
                let mut name: String = modifiers.iter().map(|m| key_name(*m) + "+").collect();
                name.push_str(&key_name(*usage));
                self.push(name);
            }
            InputEvent::Text(text) => self.push(format!("\"{text}\"")),
            InputEvent::Consumer(usage) => self.push(format!("media {:#x}", usage.0)),
            InputEvent::System(usage) => self.push(format!("{usage:?}")),
            InputEvent::PointerAbsolute(point) => self.pointer = Some((point.x, point.y)),
            InputEvent::PointerRelative { dx, dy } => {
                let (x, y) = self.pointer.unwrap_or((16384, 16384));
                // Sixteen units a count: about one pixel of a 1080p picture.
                let shift = |at: u16, by: i32| {
                    (i64::from(at) + i64::from(by) * 16).clamp(0, i64::from(i16::MAX)) as u16
                };
                self.pointer = Some((shift(x, *dx), shift(y, *dy)));
            }
            InputEvent::Button { button, is_down } => {
                if *is_down {
                    self.buttons |= *button as u8;
                    self.push(format!("{button:?} button"));
                } else {
                    self.buttons &= !(*button as u8);
                }
            }
            InputEvent::Wheel { vertical, horizontal } => self.push(match (vertical, horizontal) {
                (1.., _) => "wheel up".to_owned(),
                (..0, _) => "wheel down".to_owned(),
                (0, 1..) => "wheel right".to_owned(),
                (0, _) => "wheel left".to_owned(),
            }),
            InputEvent::ReleaseAll => self.buttons = 0,
            InputEvent::Key { is_down: false, .. } | InputEvent::Lock { .. } => {}
        }
    }

    /// What is to be painted.
    pub fn to_card(&self) -> TestCard {
        let mut lines = vec![self.title.clone()];
        lines.push(match self.pointer {
            Some((x, y)) => format!("Pointer: {x}, {y}"),
            None => "Pointer: not moved yet".to_owned(),
        });
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        lines.push(format!("Keys: {}", if keys.is_empty() { "none yet".to_owned() } else { keys.join(" ") }));
        if self.controllers.is_empty() {
            lines.push("Controllers: none".to_owned());
        }
        lines.extend(self.controllers.iter().map(|c| format!("Controller: {c}")));
        TestCard { pointer: self.pointer, is_button_down: self.buttons != 0, lines, size: None }
    }

    fn push(&mut self, text: String) {
        if self.keys.len() >= LAST_KEYS {
            self.keys.pop_front();
        }
        self.keys.push_back(text.chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect());
    }
}

/// The test cards of all displays: each is told the same, and which display it is if there are several.
#[derive(Debug)]
pub struct TestCards {
    cards: Vec<watch::Sender<TestCard>>,
}

impl TestCards {
    /// Cards for so many displays, and what each display's source is told.
    pub fn new(displays: usize) -> (Self, Vec<watch::Receiver<TestCard>>) {
        let cards = Self { cards: (0..displays).map(|_| watch::channel(TestCard::default()).0).collect() };
        cards.show(&TestCard::default());
        let told = cards.cards.iter().map(watch::Sender::subscribe).collect();
        (cards, told)
    }

    /// Shows this on all of them.
    pub fn show(&self, card: &TestCard) {
        let count = self.cards.len();
        for (n, sender) in self.cards.iter().enumerate() {
            let mut card = card.clone();
            if count > 1 {
                card.lines.insert(0, format!("Display {} of {count}", n + 1));
            }
            sender.send_replace(card);
        }
    }
}

/// A key's name as printed on a US keyboard.
pub fn key_name(usage: KeyUsage) -> String {
    const FROM_ENTER: [&str; 18] = [
        "Enter",
        "Esc",
        "Backspace",
        "Tab",
        "Space",
        "-",
        "=",
        "[",
        "]",
        "\\",
        "#",
        ";",
        "'",
        "`",
        ",",
        ".",
        "/",
        "CapsLock",
    ];
    const FROM_PRINT: [&str; 14] = [
        "PrintScreen",
        "ScrollLock",
        "Pause",
        "Insert",
        "Home",
        "PageUp",
        "Delete",
        "End",
        "PageDown",
        "Right",
        "Left",
        "Down",
        "Up",
        "NumLock",
    ];
    const FROM_PAD: [&str; 5] = ["KP/", "KP*", "KP-", "KP+", "KPEnter"];
    const MODIFIERS: [&str; 8] = ["Ctrl", "Shift", "Alt", "Meta", "RCtrl", "RShift", "RAlt", "RMeta"];
    let from = |names: &[&str], first: u8| names.get(usize::from(usage.0 - first)).map(|n| (*n).to_owned());
    let name = match usage.0 {
        code @ 0x04..=0x1D => Some(char::from(b'A' + code - 0x04).to_string()),
        code @ 0x1E..=0x26 => Some(char::from(b'1' + code - 0x1E).to_string()),
        0x27 => Some("0".to_owned()),
        0x28..=0x39 => from(&FROM_ENTER, 0x28),
        code @ 0x3A..=0x45 => Some(format!("F{}", code - 0x3A + 1)),
        0x46..=0x53 => from(&FROM_PRINT, 0x46),
        0x54..=0x58 => from(&FROM_PAD, 0x54),
        code @ 0x59..=0x61 => Some(format!("KP{}", code - 0x59 + 1)),
        0x62 => Some("KP0".to_owned()),
        0x63 => Some("KP.".to_owned()),
        0x65 => Some("Menu".to_owned()),
        0xE0..=0xE7 => from(&MODIFIERS, 0xE0),
        _ => None,
    };
    name.unwrap_or_else(|| format!("key {:#04x}", usage.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::event::{AbsolutePoint, PointerButton};

    #[test]
    fn shows_what_it_was_told() {
        let mut card = BoardCard::new("title".into());
        card.apply(&InputEvent::Tap {
            usage: KeyUsage::DELETE_FORWARD,
            modifiers: vec![KeyUsage::LEFT_CONTROL],
        });
        card.apply(&InputEvent::Key { usage: KeyUsage::KEYPAD_ENTER, is_down: true });
        card.apply(&InputEvent::Key { usage: KeyUsage::KEYPAD_ENTER, is_down: false });
        card.apply(&InputEvent::PointerAbsolute(AbsolutePoint { x: 7, y: 9 }));
        card.apply(&InputEvent::Button { button: PointerButton::Left, is_down: true });
        card.set_controllers(vec!["ann".into()]);
        let shown = card.to_card();
        assert_eq!(
            shown.lines,
            ["title", "Pointer: 7, 9", "Keys: Ctrl+Delete KPEnter Left button", "Controller: ann"]
        );
        assert_eq!((shown.pointer, shown.is_button_down), (Some((7, 9)), true));
        for _ in 0..100 {
            card.apply(&InputEvent::Text("x".repeat(1000)));
        }
        assert!(card.to_card().lines[2].len() < 400, "bounded");
    }

    #[test]
    fn each_of_several_displays_says_which_it_is() {
        let (cards, told) = TestCards::new(2);
        assert_eq!(told[1].borrow().lines, ["Display 2 of 2"]);
        cards.show(&BoardCard::new("title".into()).to_card());
        assert_eq!(told[0].borrow().lines[..2], ["Display 1 of 2", "title"]);
        let (_cards, told) = TestCards::new(1);
        assert!(told[0].borrow().lines.is_empty(), "a single one need not say it");
    }

    #[test]
    fn every_usage_has_a_name() {
        let names: std::collections::BTreeSet<String> = (0..=255).map(|n| key_name(KeyUsage(n))).collect();
        assert_eq!(names.len(), 256, "no two keys share one");
    }
}
