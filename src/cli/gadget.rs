//! `kvmdesk gadget up|down|rebind|rebuild|repair`: the only command that wants root.

use crate::config::settings::hid::HidChoice;
use crate::hid::configfs::error::GadgetError;
use crate::hid::configfs::repair::{self, Repair};
use crate::hid::configfs::spec::GadgetSpec;
use crate::hid::configfs::{self, GadgetUp, KernelPaths};

use super::args::{Gadget, GadgetDeed, Place};
use super::{CONFIG, Failure, NO_PERMISSION, UNAVAILABLE, place};

pub(super) fn run(place: &Place, gadget: &Gadget) -> Result<(), Failure> {
    // As the daemon: a slip in the file must not cost a board that worked its keyboard.
    let (settings, fault) = place::holding(place)?;
    if let Some(fault) = fault {
        eprintln!("note: the configuration is wrong and the last good copy is used instead: {fault}");
    }
    let HidChoice::Gadget { spec, .. } = settings.hid else {
        let text = "the configuration has another hid.backend than \"gadget\", which needs no gadget";
        return Err(Failure::new(CONFIG, text));
    };
    let paths = KernelPaths::default();
    let name = &spec.name;
    match gadget.deed {
        GadgetDeed::Up => {
            let up = configfs::up(&spec, &paths).map_err(failure)?;
            say(&spec, if up.was_kept { "was there already" } else { "is built" }, &up);
        }
        GadgetDeed::Down => {
            let was_there = configfs::down(name, &paths).map_err(failure)?;
            println!("The gadget {name} {}.", if was_there { "is removed" } else { "was not there" });
        }
        GadgetDeed::Rebind | GadgetDeed::Rebuild => {
            let is_rebind = gadget.deed == GadgetDeed::Rebind;
            let wanted = if is_rebind { Repair::Rebind } else { Repair::Rebuild };
            say_repaired(&spec, &repair::repair(wanted, &spec, &paths).map_err(failure)?);
        }
        GadgetDeed::Repair => match repair::take_request(&paths)? {
            Some(wanted) => match repair::repair(wanted, &spec, &paths) {
                // Asked for by a daemon that cannot know: nothing has failed.
                Err(refusal @ GadgetError::TakenDown(_)) => println!("{refusal}."),
                outcome => say_repaired(&spec, &outcome.map_err(failure)?),
            },
            None => println!("Nobody asked for a repair of the gadget {name}."),
        },
    }
    Ok(())
}

fn say_repaired(spec: &GadgetSpec, up: &GadgetUp) {
    say(spec, if up.was_kept { "is bound again" } else { "is built" }, up);
}

fn say(spec: &GadgetSpec, what: &str, up: &GadgetUp) {
    println!("The gadget {} {what}, on {}.", spec.name, up.udc);
    for (function, node) in spec.functions.iter().zip(&up.nodes) {
        println!("    {}: {}", node.display(), function.name);
    }
    for remark in &up.remarks {
        eprintln!("note: {remark}");
    }
}

fn failure(error: GadgetError) -> Failure {
    let is_permission = matches!(&error, GadgetError::Refused { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied);
    let code = if is_permission { NO_PERMISSION } else { UNAVAILABLE };
    Failure::new(code, error.to_string())
}
