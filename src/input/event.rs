//! The events that travel from a controller to the HID writer, and the LED state that comes back.

use super::usage::{ConsumerUsage, KeyUsage, SystemUsage};

/// One pointer button; the value is its bit in our reports (HID button page, 1-based).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PointerButton {
    /// Left.
    Left = 1,
    /// Right.
    Right = 2,
    /// Middle.
    Middle = 4,
    /// Back.
    Back = 8,
    /// Forward.
    Forward = 16,
}

/// A position on the picture: 0 is the left or top edge, 32767 the right or bottom one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AbsolutePoint {
    /// Horizontal, 0..=32767.
    pub x: u16,
    /// Vertical, 0..=32767.
    pub y: u16,
}

impl AbsolutePoint {
    /// Largest coordinate.
    pub const MAX: u16 = 32767;

    /// The point for a pixel of a picture of `width` x `height` pixels; pixels outside are clamped to the edge.
    ///
    /// Rounded up, and never to the nearest: systems spread 0..=32767 over their pixels in different ways (edge to edge
    /// or in equal parts, cut off or rounded), and only so up to 16384 pixels all of them come out at this very one.
    pub fn from_pixel(x: i32, y: i32, width: u32, height: u32) -> Self {
        let scale = |v: i32, size: u32| {
            let last = u64::from(size.saturating_sub(1));
            let v = u64::try_from(v.max(0)).unwrap_or(0).min(last);
            if last == 0 { 0 } else { (v * u64::from(Self::MAX)).div_ceil(last) as u16 }
        };
        Self { x: scale(x, width), y: scale(y, height) }
    }

    /// The pixel of a picture of `width` x `height` pixels that [`Self::from_pixel`] made this point of.
    pub fn to_pixel(self, width: u32, height: u32) -> (i32, i32) {
        let scale = |v: u16, size: u32| {
            let last = u64::from(size.saturating_sub(1).min(i32::MAX as u32));
            (u64::from(v.min(Self::MAX)) * last / u64::from(Self::MAX)) as i32
        };
        (scale(self.x, width), scale(self.y, height))
    }
}

/// A lock key whose state the target reports by LED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LockKey {
    /// Num Lock.
    NumLock,
    /// Caps Lock.
    CapsLock,
    /// Scroll Lock.
    ScrollLock,
}

/// The LEDs as the target last set them (HID 1.11 appendix B.1, LED page).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedState {
    /// Num Lock lit.
    pub is_num_lock: bool,
    /// Caps Lock lit.
    pub is_caps_lock: bool,
    /// Scroll Lock lit.
    pub is_scroll_lock: bool,
}

impl LedState {
    /// From the boot keyboard's output report byte.
    pub fn from_report(byte: u8) -> Self {
        Self { is_num_lock: byte & 1 != 0, is_caps_lock: byte & 2 != 0, is_scroll_lock: byte & 4 != 0 }
    }

    /// Whether one lock is on.
    pub fn is_on(self, lock: LockKey) -> bool {
        match lock {
            LockKey::NumLock => self.is_num_lock,
            LockKey::CapsLock => self.is_caps_lock,
            LockKey::ScrollLock => self.is_scroll_lock,
        }
    }
}

/// What one controller's hands do, in order. Keys and buttons belong to the session that pressed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputEvent {
    /// A keyboard key goes down or up.
    Key {
        /// Keyboard/keypad page usage.
        usage: KeyUsage,
        /// Down or up.
        is_down: bool,
    },
    /// A whole click: down, held for at least 25 ms so that a slow-polling BIOS sees it, up.
    Tap {
        /// Keyboard/keypad page usage.
        usage: KeyUsage,
        /// Modifiers (usages 0xE0..=0xE7) that are held just around this click.
        modifiers: Vec<KeyUsage>,
    },
    /// Before what follows: make a lock key's LED show `is_on` (by one click of the key if it differs).
    Lock {
        /// Which lock.
        lock: LockKey,
        /// The state wanted.
        is_on: bool,
    },
    /// Text, typed in order with the keys around it through the target's keyboard layout.
    Text(String),
    /// A media key click (consumer page).
    Consumer(ConsumerUsage),
    /// A power key click (generic desktop, system control).
    System(SystemUsage),
    /// The pointer goes to a place.
    PointerAbsolute(AbsolutePoint),
    /// The pointer moves by a distance in counts; only sums matter.
    PointerRelative {
        /// To the right.
        dx: i32,
        /// Down.
        dy: i32,
    },
    /// A pointer button goes down or up.
    Button {
        /// Which.
        button: PointerButton,
        /// Down or up.
        is_down: bool,
    },
    /// The wheel turns, in notches.
    Wheel {
        /// Positive is away from the user (up).
        vertical: i32,
        /// Positive is to the right (AC Pan).
        horizontal: i32,
    },
    /// Everything this session holds goes up; its waiting text is dropped.
    ReleaseAll,
}

impl InputEvent {
    /// Whether it is a matter of keys only: nothing of the pointer, and not everything.
    pub fn is_of_keyboard(&self) -> bool {
        match self {
            Self::Key { .. }
            | Self::Tap { .. }
            | Self::Lock { .. }
            | Self::Text(_)
            | Self::Consumer(_)
            | Self::System(_) => true,
            Self::PointerAbsolute(_)
            | Self::PointerRelative { .. }
            | Self::Button { .. }
            | Self::Wheel { .. }
            | Self::ReleaseAll => false,
        }
    }

    /// The same without media and power keys, which a computer has from another device.
    pub fn is_of_main_keys(&self) -> bool {
        self.is_of_keyboard() && !matches!(self, Self::Consumer(_) | Self::System(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_and_outside_are_exact() {
        let at = |x, y| AbsolutePoint::from_pixel(x, y, 1920, 1080);
        assert_eq!(at(0, 0), AbsolutePoint { x: 0, y: 0 });
        assert_eq!(at(1919, 1079), AbsolutePoint { x: 32767, y: 32767 });
        assert_eq!(at(1920, 5000), AbsolutePoint { x: 32767, y: 32767 });
        assert_eq!(at(-7, i32::MIN), AbsolutePoint { x: 0, y: 0 });
        assert_eq!(AbsolutePoint::from_pixel(5, 5, 0, 1), AbsolutePoint { x: 0, y: 0 });
    }

    /// What systems make of an absolute coordinate: Windows and libinput cut equal parts, X.org goes from edge to edge
    /// and cuts off, others round.
    fn pixels(v: u16, size: u32) -> [u32; 3] {
        let (v, size, max) = (u64::from(v), u64::from(size), u64::from(AbsolutePoint::MAX));
        [v * size / (max + 1), v * (size - 1) / max, (2 * v * (size - 1) + max) / (2 * max)].map(|p| p as u32)
    }

    fn assert_exact(pixel: u32, size: u32) {
        let point = AbsolutePoint::from_pixel(pixel as i32, 0, size, 1);
        assert_eq!(pixels(point.x, size), [pixel; 3], "{pixel} of {size}");
        assert_eq!(point.to_pixel(size, 1), (pixel as i32, 0), "{pixel} of {size}");
    }

    #[test]
    fn every_pixel_of_usual_screens_is_met() {
        for size in
            [1, 2, 480, 576, 600, 640, 720, 768, 800, 900, 1024, 1050, 1080, 1200, 1280, 1366, 1440, 1600]
                .into_iter()
                .chain([1680, 1920, 2048, 2160, 2560, 2880, 3440, 3840, 4096, 5120, 7680])
        {
            (0..size).for_each(|pixel| assert_exact(pixel, size));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            cases: 5000,
            rng_seed: proptest::test_runner::RngSeed::Fixed(7),
            failure_persistence: None,
            ..Default::default()
        })]
        /// Edges and everything in between are exact to the pixel, whatever the size.
        #[test]
        fn every_pixel_of_every_screen_is_met(size in 1u32..=16_384, place in 0u32..=u32::MAX, beyond in 0i32..i32::MAX) {
            assert_exact(place % size, size);
            assert_exact(0, size);
            assert_exact(size - 1, size);
            let outside = AbsolutePoint::from_pixel(-beyond, (size as i32).saturating_add(beyond), size, size);
            let last = if size == 1 { 0 } else { AbsolutePoint::MAX };
            proptest::prop_assert_eq!(outside, AbsolutePoint { x: 0, y: last });
        }
    }
}
