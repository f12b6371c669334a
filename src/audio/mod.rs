//! What sound is. Pure.

pub mod format;
