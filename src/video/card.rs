//! What the test card shows of what it was told; filled by the agent, painted by `media`.

use crate::video::format::Resolution;

/// The test card's contents.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestCard {
    /// Where the pointer was last put, in 0..=32767 both ways; `None` before the first move.
    pub pointer: Option<(u16, u16)>,
    /// Whether any pointer button is held.
    pub is_button_down: bool,
    /// Lines of text, drawn from the top: last keys, connected controllers.
    pub lines: Vec<String>,
    /// Size to draw; the default is 1280x720.
    pub size: Option<Resolution>,
}
