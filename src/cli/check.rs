//! `kvmdesk check`: the configuration, strictly; nothing is started or changed.

use std::path::Path;

use crate::agent::agent::look_at_devices;
use crate::config::settings::DEFAULT_CONFIG;

use super::args::{Check, Place};
use super::{CONFIG, Failure, place};

pub(super) fn run(place: &Place, check: &Check) -> Result<(), Failure> {
    let Some(path) = place::config_path(place) else {
        let text = format!("there is no {DEFAULT_CONFIG}; name the file with --config");
        return Err(Failure::new(CONFIG, text));
    };
    let settings = place::settings(place)?;
    if check.show {
        for line in &settings.shown {
            println!("{:<28} {:<12} {}", line.key, line.origin, line.value);
        }
    }
    for warning in settings.warnings.iter().chain(&look_at_devices(&settings)) {
        eprintln!("warning: {warning}");
    }
    println!("{} is good.", Path::new(&path).display());
    Ok(())
}
