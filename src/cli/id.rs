//! `kvmdesk id`: show, renew, export or import who this device is.

use std::path::Path;

use crate::agent::identity;

use super::args::{Id, Place};
use super::{Failure, place};

pub(super) fn run(place: &Place, id: &Id) -> Result<(), Failure> {
    let store = place::store(place)?;
    let mut chance = identity::chance();
    let serial = identity::board_serial(Path::new("/"));
    if id.reset || id.import.is_some() {
        // A running daemon would go on with the old one, and might write it back.
        let _lock = store.lock()?;
        if let Some(file) = &id.import {
            let (fresh, is_password_gone) = identity::import(&store, file, serial)?;
            println!("{}", fresh.id);
            if is_password_gone {
                eprintln!("note: the password belonged to the old identity: set one with `kvmdesk password`");
            }
        } else {
            println!("{}", identity::reset(&store, serial, &mut chance)?.id);
        }
        return Ok(());
    }
    let identity = match identity::load(&store)? {
        Some(identity) => identity,
        // Nobody has run here yet: the ID can be told before the first start.
        None => {
            let _lock = store.lock()?;
            identity::load_or_create(&store, serial, &mut chance)?.0
        }
    };
    if let Some(file) = &id.export {
        identity::export(&identity, file)?;
        eprintln!("{} holds the private key of {}: keep it safe", file.display(), identity.id);
        return Ok(());
    }
    println!("{}", identity.id);
    Ok(())
}
