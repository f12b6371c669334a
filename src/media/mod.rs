//! From HDMI to encoded frames: capture, change detection, conversion, encoding, fan-out, one thread a display.

pub mod pipeline;
