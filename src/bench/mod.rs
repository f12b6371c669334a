//! Measuring: clips of desktops through our own pipeline and, in the same process and run, through a reference; single
//! steps; latency and memory of a real pipeline; latency of a key. `kvmdesk bench` is the way in.

mod awake;
mod clips;
mod clock;
mod contest;
mod desktop;
mod entrants;
mod hands;
#[cfg(feature = "gstreamer")]
mod harness;
mod lane;
mod live;
mod ours;
mod quality;
#[cfg(feature = "gstreamer")]
mod reference;
mod report;
mod source;
mod steps;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::clips::Clip;
pub use self::report::Report;
use self::report::{Vp9, clip_report};
use crate::video::format::Resolution;
use crate::video::frame::Codec;

/// The size of every clip.
const SIZE: Resolution = Resolution::new(1920, 1080);

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// These clips; all if there is none.
    pub clips: Vec<Clip>,
    /// Our encoders of these names; a sensible choice if there is none.
    pub encoders: Vec<String>,
    /// How often the session is measured.
    pub rounds: u32,
    /// The program to start for the memory of a process of its own, `kvmdesk`.
    pub program: PathBuf,
}

/// How much is measured, smaller in tests.
struct Scale {
    size: Resolution,
    clip_rounds: u32,
    step_rounds: usize,
    latency_frames: u32,
    hands_rounds: usize,
}

const FULL: Scale =
    Scale { size: SIZE, clip_rounds: 1, step_rounds: 101, latency_frames: 300, hands_rounds: 4000 };

/// Measures. `progress` is told what is being done and which part of it is, 0 to 1.
///
/// # Errors
/// A sentence. What a machine lacks is a note in the report instead.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str, f64)) -> Result<Report, String> {
    run_scaled(options, &FULL, progress)
}

/// What the process does that is started for its memory: one line of JSON.
///
/// # Errors
/// A sentence.
pub fn run_child() -> Result<String, String> {
    serde_json::to_string(&live::child(SIZE)?).map_err(|error| error.to_string())
}

fn run_scaled(
    options: &Options,
    scale: &Scale,
    progress: &mut dyn FnMut(&str, f64),
) -> Result<Report, String> {
    let mut notes = vec![
        "CPU is that of the whole process, encoder threads included; the lanes take turns every eight frames. Each \
         clip's first frame, a key frame, is not in the averages."
            .to_owned(),
        "Drawn clips and this machine: only the ratios mean something elsewhere.".to_owned(),
    ];
    progress("steps", 0.0);
    let (unchanged_frame, full_change) = steps::compare_and_convert(scale.size, scale.step_rounds)?;
    let message = steps::message(scale.size, scale.step_rounds);
    progress("hands", 0.0);
    let hands = noted("hands", hands::hands(scale.hands_rounds), &mut notes);
    progress("memory", 0.0);
    let memory = noted("memory", live::memory(&options.program), &mut notes);
    progress("latency", 0.0);
    let latency = noted("latency", live::latency(Clip::Scroll, scale.size, scale.latency_frames), &mut notes);

    let encoders = entrants::encoders(scale.size, &options.encoders, &mut notes);
    let mut clips = BTreeMap::new();
    for clip in Clip::ALL {
        if !options.clips.is_empty() && !options.clips.contains(&clip) {
            continue;
        }
        let is_session = clip == Clip::Session;
        let rounds = if is_session { options.rounds } else { scale.clip_rounds };
        let is_in =
            |name: &str| is_session || entrants::EVERYWHERE.contains(&name) || !options.encoders.is_empty();
        let encoders: Vec<_> = encoders.iter().copied().filter(|(name, _)| is_in(name)).collect();
        let contenders = entrants::all(scale.size, &encoders, &mut notes);
        let mut told = |part| progress(clip.name(), part);
        let measured = contest::run(clip, scale.size, &contenders, rounds, &mut notes, &mut told)?;
        clips.insert(clip.name(), clip_report(&measured, &encoders));
    }
    let session_mix = clips.get(Clip::Session.name()).map(|clip| clip.equal_ssim.clone()).unwrap_or_default();
    let vp9 = encoders.iter().find(|(_, codec)| *codec == Codec::Vp9);
    let vp9 = vp9.and_then(|(encoder, _)| session_mix.get(*encoder)).map(|v| Vp9 { cpu_ratio: v.cpu_ratio });
    let mut told = std::collections::BTreeSet::new();
    notes.retain(|note| told.insert(note.clone()));
    let mut report = Report {
        session_mix,
        unchanged_frame,
        full_change,
        vp9,
        memory,
        message,
        latency,
        hands,
        clips,
        goals: vec![],
        notes,
    };
    report.judge();
    Ok(report)
}

/// What was measured, or a note why not.
fn noted<T>(what: &str, result: Result<T, String>, notes: &mut Vec<String>) -> Option<T> {
    result.map_err(|reason| notes.push(format!("{what}: {reason}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_run_fills_the_report() {
        let scale = Scale {
            size: Resolution::new(320, 176),
            clip_rounds: 1,
            step_rounds: 3,
            latency_frames: 3,
            hands_rounds: 4,
        };
        let options = Options {
            clips: vec![Clip::Idle],
            encoders: vec!["openh264".into()],
            rounds: 1,
            // Not a program that tells its memory: that is a note, not the end.
            program: "/nonexistent/kvmdesk".into(),
        };
        let mut told = vec![];
        let report =
            run_scaled(&options, &scale, &mut |what, part| told.push((what.to_owned(), part))).unwrap();
        assert!(told.iter().any(|(what, part)| what == "idle" && *part > 0.999), "{told:?}");
        assert!(report.memory.is_none() && report.notes.iter().any(|note| note.starts_with("memory: ")));
        assert!(report.session_mix.is_empty() && report.latency.is_some_and(|l| l.frames == 3));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["hands"]["rounds"], 4, "{:?}", report.notes);
        for figure in ["p50_us", "p99_us", "whole_p50_us", "pipe_p50_us", "pipe_p99_us", "ratio", "spread"] {
            assert!(json["hands"][figure].as_f64().is_some_and(|found| found > 0.0), "{json}");
        }
        let lanes = json.pointer("/clips/idle/lanes").and_then(serde_json::Value::as_array).unwrap();
        let names: Vec<_> = lanes.iter().filter_map(|lane| lane["name"].as_str()).collect();
        assert!(names.contains(&"openh264 at 27"), "{names:?}");
        assert!(lanes.iter().all(|lane| lane["cpu_ms"].as_f64().is_some_and(|ms| ms > 0.0)), "{json}");
        assert!(json["goals"].as_array().is_some_and(|goals| goals.len() == 12));
        assert!(report.to_text().contains("openh264 at 27"));
    }
}
