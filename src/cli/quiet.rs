//! What libraries would print on their own.
#![allow(unsafe_code)]

/// Of SVT-AV1 (GStreamer's `svtav1enc`): errors alone. It prints some fifty lines at every start of an encoder otherwise,
/// and each is started once to be proven. (`SVT_LOG`: 0 fatal, 1 error, 2 warning, 3 information.)
const SVT_LOG: (&str, &str) = ("SVT_LOG", "1");

/// Sets it for the process, unless its user did; to be called before another thread runs.
pub(super) fn hush() {
    let (name, level) = SVT_LOG;
    if std::env::var_os(name).is_none() {
        // SAFETY: no other thread runs yet, so that none reads the environment meanwhile.
        unsafe { std::env::set_var(name, level) };
    }
}
