//! `target.keyboard`, `target.pointer` and `[input]` as written.

use serde::Deserialize;

/// `target.keyboard`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KeyboardSection {
    /// Whether keys that type are clicked instead of held.
    pub bad_link: Option<BadLinkName>,
}

/// Values of `target.keyboard.bad-link`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadLinkName {
    /// While the line is uneven.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// `target.pointer`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PointerSection {
    /// Whether the app draws a pointer of its own.
    pub local: Option<PointerLocal>,
    /// Which pointer devices the computer understands.
    pub mode: Option<PointerModeName>,
}

/// Values of `target.pointer.local`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointerLocal {
    /// Phones and slow lines yes, desktop apps no.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// Values of `target.pointer.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PointerModeName {
    /// Both.
    Auto,
    /// The absolute one only.
    Absolute,
    /// The relative one only.
    Relative,
}

/// `[input]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct InputSection {
    /// Who may type when several controllers are there.
    pub sharing: Option<SharingName>,
}

/// Values of `input.sharing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharingName {
    /// All of them.
    Shared,
    /// The one that came first.
    ExclusiveFirst,
    /// One at a time, whoever presses something.
    TakeOver,
}

impl SharingName {
    /// The word, as written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::ExclusiveFirst => "exclusive-first",
            Self::TakeOver => "take-over",
        }
    }
}
