//! What an app's user does: keys, pointer, menus (reference: session 5, 6, 7).

use std::io;

use hbb::misc::Union as Misc;
use hbb::{ControlKey, KeyboardMode, key_event};
use kvmdesk::wire::message::hbb;

use super::{Controller, Union};

/// Mask bits of the buttons.
pub mod button {
    /// Left.
    pub const LEFT: i32 = 1;
    /// Right.
    pub const RIGHT: i32 = 2;
    /// Middle.
    pub const MIDDLE: i32 = 4;
    /// Back.
    pub const BACK: i32 = 8;
    /// Forward.
    pub const FORWARD: i32 = 16;
}

#[allow(missing_docs, reason = "each method is one message; its name says which")]
impl Controller {
    /// A raw key event.
    ///
    /// # Errors
    /// A broken connection, as for all below.
    pub fn key_event(&mut self, event: hbb::KeyEvent) -> io::Result<()> {
        self.send(Union::KeyEvent(event))
    }

    /// Map mode: a position code in the announced platform's numbering goes down or up.
    pub fn map_key(&mut self, code: u32, down: bool) -> io::Result<()> {
        self.key_event(hbb::KeyEvent {
            down,
            mode: KeyboardMode::Map as i32,
            union: Some(key_event::Union::Chr(code)),
            ..Default::default()
        })
    }

    /// Map mode: down and up.
    pub fn map_click(&mut self, code: u32) -> io::Result<()> {
        self.map_key(code, true)?;
        self.map_key(code, false)
    }

    /// Legacy mode: a character as a `press` click, with modifiers listed (a phone's soft keyboard).
    pub fn legacy_char(&mut self, c: char, modifiers: &[ControlKey]) -> io::Result<()> {
        self.key_event(hbb::KeyEvent {
            press: true,
            modifiers: modifiers.iter().map(|m| *m as i32).collect(),
            union: Some(key_event::Union::Chr(u32::from(c))),
            ..Default::default()
        })
    }

    /// Legacy mode: a character goes down or up (a desktop app).
    pub fn legacy_key(&mut self, c: char, down: bool, modifiers: &[ControlKey]) -> io::Result<()> {
        self.key_event(hbb::KeyEvent {
            down,
            modifiers: modifiers.iter().map(|m| *m as i32).collect(),
            union: Some(key_event::Union::Chr(u32::from(c))),
            ..Default::default()
        })
    }

    /// A named key as a `press` click, with modifiers listed (key bar, soft keyboard).
    pub fn control_click(&mut self, key: ControlKey, modifiers: &[ControlKey]) -> io::Result<()> {
        self.key_event(hbb::KeyEvent {
            press: true,
            modifiers: modifiers.iter().map(|m| *m as i32).collect(),
            union: Some(key_event::Union::ControlKey(key as i32)),
            ..Default::default()
        })
    }

    /// A named key goes down or up.
    pub fn control_key(&mut self, key: ControlKey, down: bool) -> io::Result<()> {
        self.key_event(hbb::KeyEvent {
            down,
            union: Some(key_event::Union::ControlKey(key as i32)),
            ..Default::default()
        })
    }

    /// The menu entries Ctrl+Alt+Del and lock screen: the named key, down only.
    pub fn action(&mut self, key: ControlKey) -> io::Result<()> {
        self.control_key(key, true)
    }

    /// Text: clipboard keystrokes (no flags).
    pub fn type_text(&mut self, text: &str) -> io::Result<()> {
        self.key_event(hbb::KeyEvent {
            union: Some(key_event::Union::Seq(text.into())),
            ..Default::default()
        })
    }

    /// A raw mouse event: type in the low three bits of `mask`, buttons above.
    pub fn mouse(&mut self, mask: i32, x: i32, y: i32, modifiers: &[ControlKey]) -> io::Result<()> {
        self.send(Union::MouseEvent(hbb::MouseEvent {
            mask,
            x,
            y,
            modifiers: modifiers.iter().map(|m| *m as i32).collect(),
        }))
    }

    /// The pointer goes to a pixel.
    pub fn move_to(&mut self, x: i32, y: i32) -> io::Result<()> {
        self.mouse(0, x, y, &[])
    }

    /// The pointer moves by a distance (relative mode).
    pub fn move_by(&mut self, dx: i32, dy: i32) -> io::Result<()> {
        self.mouse(5, dx, dy, &[])
    }

    /// A button goes down; carries no position.
    pub fn button_down(&mut self, button: i32) -> io::Result<()> {
        self.mouse(1 | (button << 3), 0, 0, &[])
    }

    /// A button goes up.
    pub fn button_up(&mut self, button: i32) -> io::Result<()> {
        self.mouse(2 | (button << 3), 0, 0, &[])
    }

    /// Down and up.
    pub fn click(&mut self, button: i32) -> io::Result<()> {
        self.button_down(button)?;
        self.button_up(button)
    }

    /// The wheel, in notches: `y` > 0 up, `x` > 0 left.
    pub fn wheel(&mut self, x: i32, y: i32) -> io::Result<()> {
        self.mouse(3, x, y, &[])
    }

    /// Two fingers on a track pad.
    pub fn trackpad(&mut self, x: i32, y: i32) -> io::Result<()> {
        self.mouse(4, x, y, &[])
    }

    /// Asks for a key frame of every display.
    pub fn refresh(&mut self) -> io::Result<()> {
        self.send_misc(Misc::RefreshVideo(true))
    }

    /// Asks for a key frame of one display.
    pub fn refresh_display(&mut self, display: i32) -> io::Result<()> {
        self.send_misc(Misc::RefreshVideoDisplay(display))
    }

    /// Changes options.
    pub fn set_option(&mut self, option: hbb::OptionMessage) -> io::Result<()> {
        self.send_misc(Misc::Option(option))
    }

    /// Asks for a frame rate.
    pub fn set_fps(&mut self, fps: i32) -> io::Result<()> {
        self.set_option(hbb::OptionMessage { custom_fps: fps, ..Default::default() })
    }

    /// Acknowledges a video message (only with `video_ack_required`).
    pub fn ack_video(&mut self) -> io::Result<()> {
        self.send_misc(Misc::VideoReceived(true))
    }

    /// Leaves as the app does: an empty close reason, then the end of the stream.
    pub fn close(mut self) -> io::Result<()> {
        self.send_misc(Misc::CloseReason(String::new()))?;
        self.link().shut_down()
    }
}
