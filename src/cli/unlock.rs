//! `kvmdesk unlock`: clears the locks after wrong passwords.

use crate::agent::control::{self, Request};
use crate::agent::store::Store;

use super::args::Place;
use super::{Failure, place, sessions};

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let store = Store::at(&place::state_dir(place)?);
    sessions::print_done(control::ask(&store.socket(), &Request::Unlock)?)
}
