//! What a key press and a pointer move are, owned by no protocol and no device. Pure.

pub mod event;
pub mod keymap;
pub mod layout;
pub mod typist;
pub mod usage;
