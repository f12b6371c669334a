//! `target.pointer` and `[input]`: the pointer that the computer understands and the app draws, and who may type.

use super::{Resolver, word};
use crate::config::file::hands::{PointerLocal, PointerModeName, SharingName};
use crate::config::file::{ParsedFile, TargetSection};
use crate::hid::pointing::PointerMode;
use crate::peer::machine::LocalPointer;
use crate::peer::sharing::Sharing;

/// The app's own pointer, and the computer's devices.
pub(super) fn pointer(target: &TargetSection, r: &mut Resolver) -> (LocalPointer, PointerMode) {
    let section = &target.pointer;
    let (local, _) =
        r.pick("target.pointer.local", [Some(PointerLocal::Auto), section.local, None, None], |l| word(*l));
    let (mode, _) =
        r.pick("target.pointer.mode", [Some(PointerModeName::Auto), section.mode, None, None], |m| word(*m));
    let local = match local.unwrap_or(PointerLocal::Auto) {
        PointerLocal::Auto => LocalPointer::Auto,
        PointerLocal::On => LocalPointer::On,
        PointerLocal::Off => LocalPointer::Off,
    };
    let mode = match mode.unwrap_or(PointerModeName::Auto) {
        PointerModeName::Auto => PointerMode::Auto,
        PointerModeName::Absolute => PointerMode::Absolute,
        PointerModeName::Relative => PointerMode::Relative,
    };
    (local, mode)
}

/// Who may type when several controllers are there.
pub(super) fn sharing(parsed: &ParsedFile, r: &mut Resolver) -> Sharing {
    let said = parsed.file.input.sharing;
    let (sharing, _) =
        r.pick("input.sharing", [Some(SharingName::Shared), said, None, None], |s| s.word().to_owned());
    match sharing.unwrap_or(SharingName::Shared) {
        SharingName::Shared => Sharing::Shared,
        SharingName::ExclusiveFirst => Sharing::ExclusiveFirst,
        SharingName::TakeOver => Sharing::TakeOver,
    }
}
