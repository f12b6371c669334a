//! One controller's session from the first byte to the close, against a scripted controller in simulated time.

mod entry;
mod hands;
mod model;
mod picture;
mod rig;
