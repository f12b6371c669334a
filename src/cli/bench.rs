//! `kvmdesk bench`: what the pipeline costs on this machine, beside a reference.

use std::io::{IsTerminal as _, Write as _};

use crate::bench::{self, Clip, Options};
use crate::media::encode::encoders::{CandidateState, Encoders};

use super::args::Bench;
use super::{Failure, IO, UNAVAILABLE, USAGE};

pub(super) fn run(args: &Bench) -> Result<(), Failure> {
    if args.child_memory {
        let line = bench::run_child().map_err(|text| Failure::new(UNAVAILABLE, text))?;
        println!("{line}");
        return Ok(());
    }
    let clips = args.clip.iter().map(|name| {
        Clip::named(name).ok_or_else(|| {
            let names = Clip::ALL.map(Clip::name).join(", ");
            Failure::new(USAGE, format!("there is no clip `{name}`; there are {names}"))
        })
    });
    let known = Encoders::of_this_machine().report();
    for name in &args.encoder {
        if known.iter().all(|encoder| encoder.name != name || encoder.state == CandidateState::NotThere) {
            let text = format!("there is no encoder `{name}` on this machine; `kvmdesk probe` lists them");
            return Err(Failure::new(USAGE, text));
        }
    }
    let options = Options {
        clips: clips.collect::<Result<_, _>>()?,
        encoders: args.encoder.clone(),
        rounds: args.rounds,
        program: std::env::current_exe()?,
    };
    let mut progress = Progress { is_shown: std::io::stderr().is_terminal(), last: String::new() };
    let report = bench::run(&options, &mut |what, part| progress.show(what, part));
    progress.clear();
    let report = report.map_err(|text| Failure::new(UNAVAILABLE, text))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| Failure::new(IO, e.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", report.to_text());
    }
    Ok(())
}

/// One line on a terminal, written over and over.
struct Progress {
    is_shown: bool,
    last: String,
}

impl Progress {
    fn show(&mut self, what: &str, part: f64) {
        let text = format!("{what}: {:.0} %", part * 100.0);
        if self.is_shown && text != self.last {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[K{text}");
            let _ = stderr.flush();
            self.last = text;
        }
    }

    fn clear(&self) {
        if self.is_shown {
            eprint!("\r\x1b[K");
        }
    }
}
