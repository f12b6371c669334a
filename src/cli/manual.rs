//! `kvmdesk manual DIR`: manual pages and completions from the command line's shape, for whoever makes packages. The
//! same program always writes the same bytes.

use std::fs::{self, File};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::{Generator, generate, shells};

use super::args::{Args, Manual};
use super::{Failure, IO};

pub(super) fn run(manual: &Manual) -> Result<(), Failure> {
    let mut command = Args::command();
    let pages = manual.dir.join("man/man1");
    fs::create_dir_all(&pages).map_err(|e| failure(&pages, e))?;
    clap_mangen::generate_to(command.clone(), &pages).map_err(|e| failure(&pages, e))?;
    // By their types, not by `clap_complete::Shell`, which brings in the shells that no package has a place for.
    completions(shells::Bash, &mut command, manual, "bash-completion/completions", "kvmdesk")?;
    completions(shells::Zsh, &mut command, manual, "zsh/vendor-completions", "_kvmdesk")?;
    completions(shells::Fish, &mut command, manual, "fish/vendor_completions.d", "kvmdesk.fish")
}

/// Writes what one shell reads to the place, below `/usr/share`, where it looks for it.
fn completions(
    shell: impl Generator,
    command: &mut Command,
    manual: &Manual,
    dir: &str,
    name: &str,
) -> Result<(), Failure> {
    let dir = manual.dir.join(dir);
    fs::create_dir_all(&dir).map_err(|e| failure(&dir, e))?;
    let path = dir.join(name);
    let mut file = File::create(&path).map_err(|e| failure(&path, e))?;
    generate(shell, command, "kvmdesk", &mut file);
    Ok(())
}

fn failure(what: &Path, error: std::io::Error) -> Failure {
    Failure::new(IO, format!("cannot write {}: {error}", what.display()))
}
