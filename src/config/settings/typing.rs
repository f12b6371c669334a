//! `target.keyboard-layout`, `target.unicode-entry` and `target.keyboard.bad-link`: how the computer is typed on.

use super::{Resolver, word};
use crate::config::file::hands::BadLinkName;
use crate::config::file::{ConfigError, EntryName, ParsedFile, TargetSection};
use crate::input::layout::Layout;
use crate::input::typist::UnicodeEntry;
use crate::peer::machine::BadLink;

/// The layout's name, which exists, and what becomes of characters that it has no keys for.
pub(super) fn resolve(
    parsed: &ParsedFile,
    target: &TargetSection,
    r: &mut Resolver,
) -> Result<(String, UnicodeEntry), ConfigError> {
    let (layout, _) = r.pick(
        "target.keyboard-layout",
        [Some("us".to_owned()), target.keyboard_layout.clone(), None, None],
        Clone::clone,
    );
    let (entry, _) =
        r.pick("target.unicode-entry", [Some(EntryName::Off), target.unicode_entry, None, None], |e| {
            word(*e)
        });
    let layout = layout.unwrap_or_default();
    Layout::by_name(&layout)
        .map_err(|unknown| parsed.error("target[0].keyboard-layout", unknown.to_string()))?;
    let entry = match entry.unwrap_or(EntryName::Off) {
        EntryName::Off => UnicodeEntry::Off,
        EntryName::Windows => UnicodeEntry::Windows,
        EntryName::Linux => UnicodeEntry::Linux,
        EntryName::Macos if layout != "us" => {
            let message = "with the input source \"Unicode Hex Input\" the keys are those of the layout \"us\": set \
                           keyboard-layout = \"us\", or unicode-entry = \"off\"";
            return Err(parsed.error("target[0].unicode-entry", message));
        }
        EntryName::Macos => UnicodeEntry::MacOs,
    };
    Ok((layout, entry))
}

/// Whether keys that type are clicked instead of held.
pub(super) fn resolve_bad_link(target: &TargetSection, r: &mut Resolver) -> BadLink {
    let sayings = [Some(BadLinkName::Auto), target.keyboard.bad_link, None, None];
    match r.pick("target.keyboard.bad-link", sayings, |b| word(*b)).0.unwrap_or(BadLinkName::Auto) {
        BadLinkName::Auto => BadLink::Auto,
        BadLinkName::On => BadLink::On,
        BadLinkName::Off => BadLink::Off,
    }
}
