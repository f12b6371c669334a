//! `kvmdesk gadget up|down`: the only command that wants root.

use crate::config::settings::hid::HidChoice;
use crate::hid::configfs::{self, GadgetError, GadgetSpec, KernelPaths};

use super::args::{Gadget, GadgetDeed, Place};
use super::{CONFIG, Failure, NO_PERMISSION, UNAVAILABLE, place};

pub(super) fn run(place: &Place, gadget: &Gadget) -> Result<(), Failure> {
    let settings = place::settings(place)?;
    let HidChoice::Gadget { name } = settings.hid else {
        let text = "the configuration has another hid.backend than \"gadget\", which needs no gadget";
        return Err(Failure::new(CONFIG, text));
    };
    let paths = KernelPaths::default();
    match gadget.deed {
        GadgetDeed::Up => {
            let spec = GadgetSpec { name, ..GadgetSpec::default() };
            let up = configfs::up(&spec, &paths).map_err(failure)?;
            let what = if up.was_kept { "was there already" } else { "is built" };
            println!("The gadget {} {what}, on {}.", spec.name, up.udc);
            for node in &up.nodes {
                println!("    {}", node.display());
            }
            if let Some(remark) = up.remark {
                eprintln!("note: {remark}");
            }
        }
        GadgetDeed::Down => {
            let was_there = configfs::down(&name, &paths).map_err(failure)?;
            println!("The gadget {name} {}.", if was_there { "is removed" } else { "was not there" });
        }
    }
    Ok(())
}

fn failure(error: GadgetError) -> Failure {
    let is_permission = matches!(&error, GadgetError::Refused { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied);
    let code = if is_permission { NO_PERMISSION } else { UNAVAILABLE };
    Failure::new(code, error.to_string())
}
