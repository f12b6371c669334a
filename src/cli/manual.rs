//! `kvmdesk manual DIR`: manual pages and completions from the command line's shape, for whoever makes packages. The
//! same program always writes the same bytes.

use std::fs::{self, File};

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::args::{Args, Manual};
use super::{Failure, IO};

/// Where each shell looks for completions, below `/usr/share`, and under which name.
const COMPLETIONS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", "kvmdesk"),
    (Shell::Zsh, "zsh/vendor-completions", "_kvmdesk"),
    (Shell::Fish, "fish/vendor_completions.d", "kvmdesk.fish"),
];

pub(super) fn run(manual: &Manual) -> Result<(), Failure> {
    let failure = |what: &std::path::Path, error: std::io::Error| {
        Failure::new(IO, format!("cannot write {}: {error}", what.display()))
    };
    let mut command = Args::command();
    let pages = manual.dir.join("man/man1");
    fs::create_dir_all(&pages).map_err(|e| failure(&pages, e))?;
    clap_mangen::generate_to(command.clone(), &pages).map_err(|e| failure(&pages, e))?;
    for (shell, dir, name) in COMPLETIONS {
        let dir = manual.dir.join(dir);
        fs::create_dir_all(&dir).map_err(|e| failure(&dir, e))?;
        let path = dir.join(name);
        let mut file = File::create(&path).map_err(|e| failure(&path, e))?;
        clap_complete::generate(shell, &mut command, "kvmdesk", &mut file);
    }
    Ok(())
}
