//! USB HID: reports, descriptors, backends and the writer thread. Knows no RustDesk.

pub mod backend;
pub mod configfs;
pub mod descriptor;
pub mod engine;
mod lane;
pub mod pointing;
mod poll;
pub mod queue;
pub mod report;
mod work;
pub mod writer;
