//! What sound is. Pure. Nothing captures sound yet; the room keeps the vocabulary's place.

pub mod format;
