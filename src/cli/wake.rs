//! `kvmdesk wake`: asks the running daemon to wake the computer.

use crate::agent::control::{self, Request};

use super::args::Place;
use super::{Failure, place, sessions};

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let store = place::store(place)?;
    sessions::print_done(control::ask(&store.socket(), &Request::Wake)?)
}
