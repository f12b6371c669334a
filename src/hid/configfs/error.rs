//! Why a gadget cannot be had, in sentences.

use std::io;

/// Why a gadget could not be built or removed. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum GadgetError {
    /// No configfs, or no gadget support in it.
    #[error(
        "{path} does not exist: the kernel has no USB gadget support loaded. Run `modprobe libcomposite`, and \
         `mount -t configfs none {configfs}` if nothing is mounted there; both need root"
    )]
    NoGadgetSupport {
        /// What was looked for.
        path: String,
        /// Where configfs belongs.
        configfs: String,
    },
    /// No controller.
    #[error(
        "there is no USB device controller in {0}: this machine's USB port cannot act as a keyboard, or its driver \
         (such as dwc2 or dwc3 in peripheral mode) is not enabled"
    )]
    NoUdc(String),
    /// A controller of that name does not exist, or one has to be chosen.
    #[error("{reason}; choose one of: {}", .available.join(", "))]
    ChooseUdc {
        /// What is the matter.
        reason: String,
        /// What exists.
        available: Vec<String>,
    },
    /// The controller is in use.
    #[error("the USB device controller {udc} is held by the gadget \"{holder}\": remove that gadget first")]
    UdcTaken {
        /// Controller.
        udc: String,
        /// The other gadget or driver.
        holder: String,
    },
    /// It was taken down by hand, so it is not brought back by itself.
    #[error("the USB gadget \"{0}\" was taken down on purpose: `kvmdesk gadget up` builds it again")]
    TakenDown(String),
    /// The kernel refused something.
    #[error("{what}: {source}{}", hint(.source))]
    Refused {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::PermissionDenied) {
        ". Run it as root"
    } else if is(io::ErrorKind::Unsupported) {
        ". Linux 5.17 or newer is needed"
    } else if is(io::ErrorKind::NotFound) {
        ". Run `modprobe usb_f_hid` and try again"
    } else {
        ""
    }
}

pub(super) fn refused(what: impl Into<String>) -> impl FnOnce(io::Error) -> GadgetError {
    let what = what.into();
    move |source| GadgetError::Refused { what, source }
}
