//! What a run found: the goals and whether they are met, a table for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::clips::Clip;
use super::clock::percentile;
use super::contest::Measured;
use super::entrants::{QUANTISERS, REFERENCE, REFERENCE_RATE, name};
use super::hands::Hands;
use super::live::{Latency, Memory};
use super::quality::at_ssim;
use super::steps::{FullChange, Message, Unchanged};
use crate::video::frame::Codec;

/// One of our encoders against the reference with a fixed quantiser.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// CPU of ours / CPU of the reference, at the reference's SSIM.
    pub cpu_ratio: f64,
    /// Bytes of ours / bytes of the reference, at the reference's SSIM.
    pub bytes_ratio: f64,
    /// Our luma SSIM there.
    pub ssim_ours: f64,
    /// The reference's luma SSIM.
    pub ssim_ref: f64,
    /// The quantiser of ours that gives this SSIM, between those that were measured.
    pub quantiser: f64,
    /// CPU milliseconds a frame of ours, there.
    pub cpu_ms_ours: f64,
    /// CPU milliseconds a frame of the reference.
    pub cpu_ms_ref: f64,
}

/// A lane's figures for one clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Whose.
    pub name: String,
    /// CPU milliseconds a frame, the first one not counted.
    pub cpu_ms: f64,
    /// Against the reference with a fixed quantiser, as it is (not at equal SSIM).
    pub cpu_ratio: Option<f64>,
    /// Bytes a frame.
    pub bytes: f64,
    /// Against the reference, as it is.
    pub bytes_ratio: Option<f64>,
    /// Mean luma SSIM.
    pub ssim: f64,
    /// Luma PSNR in decibels.
    pub psnr: f64,
    /// Milliseconds from capture to the sealed message of a frame that is sent: median.
    pub p50_ms: f64,
    /// The same, 99 of 100.
    pub p99_ms: f64,
    /// Frames that were sent, of how many.
    pub sent: [u32; 2],
    /// CPU milliseconds of the first key frame.
    pub key_cpu_ms: f64,
    /// Bytes of the first key frame.
    pub key_bytes: u64,
}

/// A clip's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClipReport {
    /// Our encoders at the reference's SSIM, by their names.
    pub equal_ssim: BTreeMap<String, Versus>,
    /// Everyone.
    pub lanes: Vec<Row>,
}

/// A goal and what was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Goal {
    /// What is measured.
    pub what: String,
    /// What was found; nothing if it could not be measured.
    pub found: Option<f64>,
    /// It is met up to here.
    pub most: f64,
    /// Better still.
    pub stretch: Option<f64>,
    /// Whether it is met.
    pub is_met: bool,
}

/// VP9, ours against the reference's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Vp9 {
    /// CPU of ours / CPU of the reference over the session, at the reference's SSIM.
    pub cpu_ratio: f64,
}

/// All that a run found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The session's comparison at equal SSIM, by encoder.
    pub session_mix: BTreeMap<String, Versus>,
    /// An unchanged frame.
    pub unchanged_frame: Unchanged,
    /// A frame that changed everywhere.
    pub full_change: FullChange,
    /// VP9, if both can be measured.
    pub vp9: Option<Vp9>,
    /// A process with H.264 at 1080p.
    pub memory: Option<Memory>,
    /// A message of 200 kB.
    pub message: Message,
    /// From capture to the socket.
    pub latency: Option<Latency>,
    /// From a key's message to its report.
    pub hands: Option<Hands>,
    /// Every clip by its name.
    pub clips: BTreeMap<&'static str, ClipReport>,
    /// The goals.
    pub goals: Vec<Goal>,
    /// What one has to know to read the figures.
    pub notes: Vec<String>,
}

/// Makes a clip's figures of what was measured.
pub fn clip_report(measured: &[Measured], encoders: &[(&'static str, Codec)]) -> ClipReport {
    let reference = measured.iter().find(|m| m.name == REFERENCE);
    let ratio =
        |ours: f64, of: fn(&Measured) -> f64| reference.map(of).filter(|r| *r > 0.0).map(|r| ours / r);
    let bytes = |m: &Measured| m.bytes as f64 / f64::from(m.frames.max(1));
    let row = |m: &Measured| Row {
        name: m.name.clone(),
        cpu_ms: m.cpu_per_frame(),
        cpu_ratio: ratio(m.cpu_per_frame(), Measured::cpu_per_frame),
        bytes: bytes(m),
        bytes_ratio: ratio(m.bytes as f64, |r| r.bytes as f64),
        ssim: m.ssim,
        psnr: m.psnr,
        p50_ms: m.wall_p50_ms,
        p99_ms: m.wall_p99_ms,
        sent: [m.sent, m.frames],
        key_cpu_ms: m.key_cpu_ms,
        key_bytes: m.key_bytes,
    };
    let lanes = measured.iter().map(row).collect();
    let equal = |(encoder, _): &(&'static str, Codec)| {
        let versus = versus(measured, reference?, encoder)?;
        Some(((*encoder).to_owned(), versus))
    };
    ClipReport { equal_ssim: encoders.iter().filter_map(equal).collect(), lanes }
}

/// One encoder at the reference's SSIM; `None` if it does not come near it, or the reference is missing.
fn versus(measured: &[Measured], reference: &Measured, encoder: &str) -> Option<Versus> {
    let ours = QUANTISERS.iter().filter_map(|quantiser| {
        let name = name(encoder, *quantiser);
        Some((*quantiser, measured.iter().find(|m| m.name == name)?))
    });
    let ours: Vec<(u8, &Measured)> = ours.collect();
    let there = |cost: &dyn Fn(&Measured) -> f64| {
        let points: Vec<_> = ours.iter().map(|(_, m)| (m.ssim, cost(m))).collect();
        at_ssim(&points, reference.ssim)
    };
    // Ours and the reference of the same round, so that a busy minute slows both.
    let rounds = reference.cpu_ms.iter().enumerate().filter_map(|(round, reference)| {
        let cost = there(&|m| m.cpu_ms.get(round).copied().unwrap_or(f64::NAN))?;
        (*reference > 0.0 && cost.is_finite()).then(|| cost / reference)
    });
    let cpu_ratio = percentile(rounds.collect(), 0.5);
    let quantisers: Vec<_> = ours.iter().map(|(q, m)| (m.ssim, f64::from(*q))).collect();
    Some(Versus {
        cpu_ratio,
        bytes_ratio: there(&|m| m.bytes as f64)? / reference.bytes.max(1) as f64,
        ssim_ours: there(&|m| m.ssim)?,
        ssim_ref: reference.ssim,
        quantiser: at_ssim(&quantisers, reference.ssim)?,
        cpu_ms_ours: there(&Measured::cpu_per_frame)?,
        cpu_ms_ref: reference.cpu_per_frame(),
    })
}

impl Report {
    /// Fills in the goals from what was found.
    pub fn judge(&mut self) {
        let versus = |encoder: &str| self.session_mix.get(encoder);
        let mut goals = vec![];
        let mut goal = |what: &str, found: Option<f64>, most: f64, stretch: Option<f64>| {
            let is_met = found.is_some_and(|found| found <= most);
            goals.push(Goal { what: what.to_owned(), found, most, stretch, is_met });
        };
        for (encoder, cpu, stretch, bytes) in [("openh264", 0.33, 0.25, 0.60), ("x264enc", 0.24, 0.20, 0.66)]
        {
            let found = versus(encoder);
            goal(
                &format!("session, {encoder}: CPU / reference"),
                found.map(|v| v.cpu_ratio),
                cpu,
                Some(stretch),
            );
            goal(
                &format!("session, {encoder}: bytes / reference"),
                found.map(|v| v.bytes_ratio),
                bytes,
                None,
            );
        }
        goal("unchanged frame: comparison / memcpy", Some(self.unchanged_frame.memcpy_ratio), 1.0, None);
        goal("unchanged frame: bytes", Some(self.unchanged_frame.bytes as f64), 0.0, None);
        let full = self.full_change.conversion_ratio;
        goal("full change: comparison and conversion / conversion", Some(full), 1.15, None);
        goal("session, VP9: CPU / reference", self.vp9.map(|v| v.cpu_ratio), 0.75, None);
        goal("message of 200 kB: build and seal / seal", Some(self.message.seal_ratio), 1.10, None);
        goal("anonymous memory at 1080p with openh264, MB", self.memory.map(|m| m.rss_anon_mb), 40.0, None);
        goal("key: message in to report written / pipe, median", self.hands.map(|h| h.ratio), 4.0, None);
        goal("key: message in to report written: p99 / p50", self.hands.map(|h| h.spread), 10.0, None);
        self.goals = goals;
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for clip in Clip::ALL.into_iter().filter_map(|clip| Some((clip, self.clips.get(clip.name())?))) {
            clip_table(&mut text, clip.0, clip.1);
        }
        if let Some(latency) = &self.latency {
            let _ = writeln!(
                text,
                "Capture to socket: p50 {:.2} ms, p99 {:.2} ms ({} frames)",
                latency.p50_ms, latency.p99_ms, latency.frames
            );
        }
        if let Some(hands) = &self.hands {
            let _ = writeln!(
                text,
                "Key message to report: p50 {:.1} us, p99 {:.1} us, from the controller's socket on {:.1} us, {:.1} us; byte \
                 through a pipe: {:.1} us, {:.1} us ({} rounds, no core halts; where idle ones do, {:.1} times a pipe)",
                hands.p50_us,
                hands.p99_us,
                hands.whole_p50_us,
                hands.whole_p99_us,
                hands.pipe_p50_us,
                hands.pipe_p99_us,
                hands.rounds,
                hands.halting_ratio
            );
        }
        let _ = writeln!(
            text,
            "Full change where each stripe differs in its last byte alone: {:.2} of the conversion\n",
            self.full_change.worst_ratio
        );
        for goal in &self.goals {
            let stretch =
                goal.stretch.map_or_else(String::new, |stretch| format!(" (better still {stretch:.2})"));
            let verdict = match goal.found {
                None => "not measured",
                Some(_) if goal.is_met => "met",
                Some(_) => "MISSED",
            };
            let found = goal.found.map_or_else(|| "-".to_owned(), |found| format!("{found:.3}"));
            let _ = writeln!(text, "{:<52} {found:>8}  goal {:.2}{stretch}: {verdict}", goal.what, goal.most);
        }
        text.push('\n');
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

fn clip_table(text: &mut String, clip: Clip, report: &ClipReport) {
    let frames = clip.frames();
    let _ = writeln!(text, "{} ({frames} frames; the first, a key frame, apart)", clip.name());
    let _ = writeln!(
        text,
        "  {:<28} {:>9} {:>7} {:>11} {:>7} {:>8} {:>6} {:>8} {:>8} {:>9}",
        "", "CPU ms/f", "ratio", "bytes/f", "ratio", "SSIM", "PSNR", "p50 ms", "p99 ms", "sent"
    );
    let or_dash = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
    for row in &report.lanes {
        let _ = writeln!(
            text,
            "  {:<28} {:>9.3} {:>7} {:>11.0} {:>7} {:>8.5} {:>6.2} {:>8.2} {:>8.2} {:>9}",
            row.name,
            row.cpu_ms,
            or_dash(row.cpu_ratio),
            row.bytes,
            or_dash(row.bytes_ratio),
            row.ssim,
            row.psnr,
            row.p50_ms,
            row.p99_ms,
            format!("{}/{}", row.sent[0], row.sent[1]),
        );
    }
    let reference = report.lanes.iter().find(|row| row.name == REFERENCE);
    if reference.is_none() && !report.lanes.iter().any(|row| row.name == REFERENCE_RATE) {
        let _ = writeln!(text, "  no reference in this run");
    }
    for (encoder, versus) in &report.equal_ssim {
        let _ = writeln!(
            text,
            "  {encoder} at the reference's SSIM {:.4} (ours {:.4}, quantiser {:.1}): CPU {:.3}, bytes {:.3} of it",
            versus.ssim_ref, versus.ssim_ours, versus.quantiser, versus.cpu_ratio, versus.bytes_ratio
        );
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: String, cpu: f64, bytes: u64, ssim: f64) -> Measured {
        Measured {
            name,
            cpu_ms: vec![cpu * 2.0, cpu, cpu * 1.1],
            frames: 10,
            sent: 10,
            bytes,
            ssim,
            psnr: 40.0,
            wall_p50_ms: 1.0,
            wall_p99_ms: 2.0,
            key_cpu_ms: 3.0,
            key_bytes: 4,
        }
    }

    fn clip() -> ClipReport {
        let at = |q: u8, cpu, bytes, ssim| measured(name("openh264", q), cpu, bytes, ssim);
        let all = [
            measured(REFERENCE.into(), 100.0, 1000, 0.985),
            at(QUANTISERS[0], 40.0, 900, 0.99),
            at(QUANTISERS[1], 20.0, 500, 0.98),
            at(QUANTISERS[2], 10.0, 300, 0.96),
        ];
        clip_report(&all, &[("openh264", Codec::H264), ("x264enc", Codec::H264)])
    }

    fn report() -> Report {
        let clip = clip();
        Report {
            session_mix: clip.equal_ssim.clone(),
            unchanged_frame: Unchanged { memcpy_ratio: 0.8, compare_ms: 0.1, bytes: 0 },
            full_change: FullChange { conversion_ratio: 1.2, worst_ratio: 1.5, convert_ms: 1.0 },
            vp9: None,
            memory: Some(Memory { rss_anon_mb: 30.0, frames: 90 }),
            message: Message { seal_ratio: 1.05, seal_ms: 0.2 },
            latency: None,
            hands: Some(Hands {
                p50_us: 100.0,
                p99_us: 1100.0,
                whole_p50_us: 150.0,
                whole_p99_us: 1300.0,
                pipe_p50_us: 40.0,
                halting_ratio: 5.0,
                pipe_p99_us: 50.0,
                ratio: 2.5,
                spread: 11.0,
                rounds: 4,
            }),
            clips: [("session", clip)].into(),
            goals: vec![],
            notes: vec!["a note".into()],
        }
    }

    #[test]
    fn equal_ssim_lies_between_the_quantisers() {
        let clip = clip();
        let versus = &clip.equal_ssim["openh264"];
        assert!(
            (versus.cpu_ratio - 0.3).abs() < 1e-9 && (versus.bytes_ratio - 0.7).abs() < 1e-9,
            "{versus:?}"
        );
        assert!((versus.quantiser - 25.5).abs() < 1e-9 && (versus.ssim_ours - 0.985).abs() < 1e-9);
        assert!(!clip.equal_ssim.contains_key("x264enc"), "not measured");
        assert!((clip.lanes[1].cpu_ratio.unwrap() - 0.4).abs() < 1e-9);
    }

    #[test]
    fn the_json_has_the_promised_shape() {
        let mut report = report();
        report.judge();
        let json = serde_json::to_value(&report).unwrap();
        for path in [
            "/session_mix/openh264/cpu_ratio",
            "/session_mix/openh264/bytes_ratio",
            "/session_mix/openh264/ssim_ours",
            "/session_mix/openh264/ssim_ref",
            "/unchanged_frame/memcpy_ratio",
            "/full_change/conversion_ratio",
            "/memory/rss_anon_mb",
            "/message/seal_ratio",
            "/hands/ratio",
            "/hands/spread",
        ] {
            assert!(json.pointer(path).is_some_and(serde_json::Value::is_number), "{path}");
        }
        assert!(json["vp9"].is_null() && json["notes"].is_array());
    }

    #[test]
    fn verdicts() {
        let mut report = report();
        report.judge();
        let met = |what: &str| report.goals.iter().find(|g| g.what.starts_with(what)).unwrap().is_met;
        assert!(met("session, openh264: CPU") && met("unchanged frame: bytes") && met("anonymous"));
        assert!(met("key: message in to report written / pipe"));
        assert!(!met("key: message in to report written: p99"));
        assert!(!met("full change") && !met("session, x264enc") && !met("session, openh264: bytes"));
        let text = report.to_text();
        assert!(text.contains("MISSED") && text.contains("not measured") && text.contains("a note"));
        assert!(text.contains("p99 1100.0 us"), "{text}");
    }
}
