//! From HDMI to encoded frames: capture, change detection, conversion, encoding, fan-out, one thread a display.

pub mod audio;
pub mod budget;
pub mod canvas;
pub mod capture;
pub mod captured;
pub mod card;
pub mod change;
pub mod convert;
pub mod demand;
pub mod encode;
pub mod fanout;
pub(crate) mod font;
pub mod histogram;
mod lane;
mod meters;
pub mod negotiate;
pub mod picture;
pub mod pipeline;
pub mod probe;
pub mod quality;
pub mod sampling;
pub mod scale;
mod screen;
pub mod snapshot;
pub mod wake;
mod worker;
