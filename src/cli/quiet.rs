//! What libraries would print on their own.
#![allow(unsafe_code)]

/// SVT-AV1 (GStreamer's `svtav1enc`) tells errors alone, unless its user set something else: it prints some forty lines
/// otherwise while it is proven (Debian 13). To be called before another thread runs.
pub(super) fn hush() {
    if std::env::var_os("SVT_LOG").is_none() {
        // SAFETY: no other thread runs yet, so that none reads the environment meanwhile.
        unsafe { std::env::set_var("SVT_LOG", "1") };
    }
}
