//! Properties that an element takes while it runs although it says that it does not.
#![allow(unsafe_code)]

use std::sync::Mutex;

use gst::glib;
use gst::glib::translate::ToGlibPtr;
use gstreamer as gst;

/// Marks a property as one that may be set while its element runs. `x264enc` refuses unmarked ones, but hands its
/// quantiser to the encoder with every reconfiguration; only the mark is missing.
pub fn mark(property: &glib::ParamSpec) {
    // One writer at a time; the flags are not read before an element of the class is told something, which is after
    // its first `mark`.
    static WRITER: Mutex<()> = Mutex::new(());
    let _guard = WRITER.lock();
    let raw: *mut glib::gobject_ffi::GParamSpec = property.to_glib_none().0;
    // SAFETY: the reference in `property` keeps the specification alive, `flags` is a public field of it.
    unsafe {
        if (*raw).flags & gst::ffi::GST_PARAM_MUTABLE_PLAYING as u32 == 0 {
            (*raw).flags |= gst::ffi::GST_PARAM_MUTABLE_PLAYING as u32;
        }
    }
}
