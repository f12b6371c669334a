//! The displays as announced: sizes, places and the messages that describe them (reference: session 3.9).

use crate::video::format::Resolution;
use crate::video::frame::CodecSet;
use crate::video::signal::DisplayState;
use crate::wire::message::hbb;

/// What is announced for a source that has not said its size yet.
const FALLBACK: Resolution = Resolution::new(1280, 720);

/// The announced displays, side by side from the left.
#[derive(Debug)]
pub struct Displays {
    states: Vec<DisplayState>,
    /// Whether the app shows only the pointer in the picture.
    pub is_cursor_embedded: bool,
}

impl Displays {
    /// Announces these states.
    pub fn new(states: Vec<DisplayState>) -> Self {
        Self { states, is_cursor_embedded: true }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// The index, if it is one of ours.
    pub fn checked(&self, index: i32) -> Option<usize> {
        usize::try_from(index).ok().filter(|i| *i < self.states.len())
    }

    /// Announced size of a display, in pixels.
    pub fn size(&self, index: usize) -> Resolution {
        let size = self.states.get(index).map(|s| s.resolution).unwrap_or_default();
        if size.width == 0 || size.height == 0 { FALLBACK } else { size }
    }

    /// Size of the signal behind it; never 0x0, which the apps take for a virtual display (trap T8).
    fn original(&self, index: usize) -> Resolution {
        let size = self.states.get(index).map(|s| s.original_resolution).unwrap_or_default();
        if size.width == 0 || size.height == 0 { self.size(index) } else { size }
    }

    /// What the pictures of a display can be encoded with.
    pub fn encodes_of(&self, index: usize) -> CodecSet {
        self.states.get(index).map(|s| s.encodes).unwrap_or_default()
    }

    /// What any of them can be encoded with.
    pub fn encodes(&self) -> CodecSet {
        self.states.iter().flat_map(|s| s.encodes.iter()).collect()
    }

    /// Left edge in the virtual desktop, in pixels.
    pub fn left(&self, index: usize) -> i32 {
        (0..index).map(|i| self.size(i).width as i32).sum()
    }

    /// Takes a new state; true if what is announced changes.
    pub fn update(&mut self, index: usize, state: DisplayState) -> bool {
        let before = (self.size(index), self.original(index));
        if let Some(slot) = self.states.get_mut(index) {
            *slot = state;
        }
        before != (self.size(index), self.original(index))
    }

    /// Takes the sizes that a frame brings along; true if what is announced changes.
    pub fn update_sizes(&mut self, index: usize, resolution: Resolution, original: Resolution) -> bool {
        let Some(state) = self.states.get(index).copied() else { return false };
        self.update(index, DisplayState { resolution, original_resolution: original, ..state })
    }

    /// The list for PeerInfo.
    pub fn infos(&self) -> Vec<hbb::DisplayInfo> {
        (0..self.states.len())
            .map(|i| hbb::DisplayInfo {
                x: self.left(i),
                y: 0,
                width: self.size(i).width as i32,
                height: self.size(i).height as i32,
                name: format!("HDMI {}", i + 1),
                online: true,
                cursor_embedded: self.is_cursor_embedded,
                original_resolution: Some(message(self.original(i))),
                scale: 1.0,
            })
            .collect()
    }

    /// The one mode of a display; two or more would open a menu that we cannot serve.
    pub fn modes(&self, index: usize) -> hbb::SupportedResolutions {
        hbb::SupportedResolutions { resolutions: vec![message(self.size(index))] }
    }

    /// `Misc.switch_display` for a display. The apps reset its decoder: a key frame must follow (trap T6).
    pub fn switch_display(&self, index: usize) -> hbb::misc::Union {
        hbb::misc::Union::SwitchDisplay(hbb::SwitchDisplay {
            display: index as i32,
            x: self.left(index),
            y: 0,
            width: self.size(index).width as i32,
            height: self.size(index).height as i32,
            cursor_embedded: self.is_cursor_embedded,
            resolutions: Some(self.modes(index)),
            original_resolution: Some(message(self.original(index))),
        })
    }
}

fn message(size: Resolution) -> hbb::Resolution {
    hbb::Resolution { width: size.width as i32, height: size.height as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_never_nothing_and_places_add_up() {
        let state = |w, h| DisplayState { resolution: Resolution::new(w, h), ..DisplayState::default() };
        let mut displays = Displays::new(vec![DisplayState::default(), state(1920, 1080), state(800, 600)]);
        let infos = displays.infos();
        assert_eq!((infos[0].width, infos[0].height, infos[0].x), (1280, 720, 0));
        assert_eq!((infos[1].x, infos[2].x), (1280, 3200));
        assert_eq!(infos[1].original_resolution, Some(hbb::Resolution { width: 1920, height: 1080 }));
        assert_eq!(displays.modes(1).resolutions.len(), 1);
        assert!(!displays.update_sizes(1, Resolution::new(1920, 1080), Resolution::new(0, 0)));
        assert!(displays.update_sizes(1, Resolution::new(640, 480), Resolution::new(640, 480)));
        assert!(!displays.update_sizes(9, Resolution::new(640, 480), Resolution::new(640, 480)));
        assert_eq!((displays.checked(-1), displays.checked(2), displays.checked(3)), (None, Some(2), None));
    }
}
