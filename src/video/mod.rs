//! What a picture, a frame and an HDMI signal are. Pure.

pub mod annexb;
pub mod card;
pub mod edid;
pub mod format;
pub mod frame;
pub mod jpeg;
pub mod request;
pub mod signal;
