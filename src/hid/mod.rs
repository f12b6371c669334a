//! USB HID: reports, descriptors, backends and the writer thread. Knows no RustDesk.

pub mod backend;
pub mod descriptor;
pub mod report;
pub mod writer;
