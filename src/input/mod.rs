//! What a key press and a pointer move are, owned by no protocol and no device. Pure.

pub mod event;
<<<<<<< HEAD
pub mod keymap;
=======
pub mod layout;
>>>>>>> room-hid
pub mod usage;
