//! USB HID: reports, descriptors, backends and the writer thread. Knows no RustDesk.

pub mod backend;
pub mod writer;
