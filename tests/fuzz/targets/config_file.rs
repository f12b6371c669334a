//! The settings file: any text is either resolved or refused with a sentence that names the file, never a panic.
#![no_main]

use std::path::Path;

use kvmdesk::config::file::parse;
use kvmdesk::config::settings::{Overrides, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = match parse(Path::new("kvmdesk.toml"), text.to_owned()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let lines = text.lines().count().max(1) + 1;
            assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error:?}");
            assert!(error.to_string().contains("kvmdesk.toml"), "{error}");
            return;
        }
    };
    if let Err(error) = resolve(&parsed, |_| None, &Overrides::default()) {
        assert!(!error.message.is_empty() && error.to_string().contains("kvmdesk.toml"), "{error}");
    }
});
