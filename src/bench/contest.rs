//! Lanes side by side over one clip. They take turns every few frames on the same pictures, each with its own state, so
//! that whatever else the machine does meets all of them. A first round, which is not timed, looks at what they sent.

use super::clips::{Clip, Scene};
use super::clock::{self, percentile};
use super::lane::Lane;
use super::quality::{self, Plane, compare};
use super::source::Source;
use crate::media::encode::decode::{self, Decoder};
use crate::media::picture::I420Picture;
use crate::video::format::Resolution;

/// Frames that a lane goes through before it is another's turn; that many are in memory.
const TURN: usize = 8;

/// Someone who takes part: a name, and how its lane is opened.
pub struct Contender {
    /// Its name in the results, unique.
    pub name: String,
    /// What is taken off its CPU time for each frame that it sent, in milliseconds.
    pub off_ms: f64,
    /// Opens a fresh lane.
    #[allow(clippy::type_complexity, reason = "one closure, named by its field")]
    pub open: Box<dyn Fn() -> Result<Box<dyn Lane>, String>>,
}

/// What a lane needed for a clip and how it looks. The first frame, a key frame, is counted apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Whose it is.
    pub name: String,
    /// CPU milliseconds of all frames but the first, one number a timed round.
    pub cpu_ms: Vec<f64>,
    /// Frames, the first one not counted.
    pub frames: u32,
    /// How many of them were sent.
    pub sent: u32,
    /// Bytes of all frames but the first.
    pub bytes: u64,
    /// Mean luma SSIM of every frame as it is seen.
    pub ssim: f64,
    /// Luma PSNR of the mean squared error over all frames, in decibels.
    pub psnr: f64,
    /// Milliseconds from capture to the sealed message, for frames that were sent: median.
    pub wall_p50_ms: f64,
    /// The same, 99 of 100.
    pub wall_p99_ms: f64,
    /// The first frame: median CPU milliseconds.
    pub key_cpu_ms: f64,
    /// The first frame: bytes.
    pub key_bytes: u64,
}

impl Measured {
    /// Median CPU milliseconds a frame.
    pub fn cpu_per_frame(&self) -> f64 {
        percentile(self.cpu_ms.clone(), 0.5) / f64::from(self.frames.max(1))
    }
}

/// One lane with what is known of it so far.
struct Runner {
    at: usize,
    lane: Box<dyn Lane>,
    decoder: Option<Box<dyn Decoder>>,
    shown: Option<I420Picture>,
    likeness: quality::Likeness,
}

struct Tally {
    measured: Measured,
    walls: Vec<f64>,
    keys: Vec<f64>,
    ssim: f64,
    mse: f64,
}

/// Runs all contenders over a clip, `rounds` times for the clocks. Whoever cannot take part is left out, with the
/// reason in `notes`. `progress` is told the part that is done.
///
/// # Errors
/// A sentence, if the clip cannot be made.
pub fn run(
    clip: Clip,
    size: Resolution,
    contenders: &[Contender],
    rounds: u32,
    notes: &mut Vec<String>,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<Measured>, String> {
    run_frames(clip, clip.frames(), size, contenders, rounds, notes, progress)
}

/// The same over the first `frames` frames alone.
fn run_frames(
    clip: Clip,
    frames: u32,
    size: Resolution,
    contenders: &[Contender],
    rounds: u32,
    notes: &mut Vec<String>,
    progress: &mut dyn FnMut(f64),
) -> Result<Vec<Measured>, String> {
    let mut scene = Scene::new(clip, size);
    // The frame before the turn, then the turn's frames.
    let mut pictures: Vec<Source> = (0..=TURN).map(|_| Source::new(size)).collect();
    let mut tallies: Vec<Option<Tally>> =
        contenders.iter().map(|contender| Some(Tally::new(&contender.name, frames))).collect();
    for round in 0..=rounds {
        let looks = round == 0;
        let mut runners = open_all(contenders, &mut tallies, looks, notes);
        for tally in tallies.iter_mut().flatten().filter(|_| !looks) {
            tally.measured.cpu_ms.push(0.0);
        }
        for first in (0..frames).step_by(TURN) {
            let count = TURN.min((frames - first) as usize);
            pictures.swap(0, TURN);
            for (n, picture) in pictures[1..=count].iter_mut().enumerate() {
                picture.draw(&mut scene, first + n as u32)?;
            }
            let turns = runners.len().max(1);
            let begin = (first as usize / TURN + round as usize) % turns;
            for turn in 0..runners.len() {
                let runner = &mut runners[(begin + turn) % turns];
                let Some(tally) = &mut tallies[runner.at] else { continue };
                let off = contenders[runner.at].off_ms;
                if let Err(reason) = runner.take_turn(&pictures[..=count], first, looks, off, tally) {
                    notes.push(format!("{}: {reason}", contenders[runner.at].name));
                    tallies[runner.at] = None;
                }
            }
            let done = f64::from(round) + f64::from(first + count as u32) / f64::from(frames);
            progress(done / f64::from(rounds + 1));
        }
    }
    Ok(tallies.into_iter().flatten().map(Tally::finish).collect())
}

fn open_all(
    contenders: &[Contender],
    tallies: &mut [Option<Tally>],
    looks: bool,
    notes: &mut Vec<String>,
) -> Vec<Runner> {
    let mut runners = vec![];
    for (at, contender) in contenders.iter().enumerate() {
        if tallies[at].is_none() {
            continue;
        }
        let opened = (contender.open)().and_then(|lane| {
            let decoder = decode::open(lane.codec()).filter(|_| looks);
            if looks && decoder.is_none() {
                return Err(format!("nothing on this machine decodes {}, to see how it looks", lane.codec()));
            }
            let likeness = quality::Likeness { ssim: 0.0, mse: 0.0 };
            Ok(Runner { at, lane, decoder, shown: None, likeness })
        });
        match opened {
            Ok(runner) => runners.push(runner),
            Err(reason) => {
                notes.push(format!("{}: {reason}", contender.name));
                tallies[at] = None;
            }
        }
    }
    runners
}

impl Runner {
    /// Takes the turn's frames; `pictures[0]` is the one before the first of them, which is frame `first`.
    fn take_turn(
        &mut self,
        pictures: &[Source],
        first: u32,
        looks: bool,
        off_ms: f64,
        tally: &mut Tally,
    ) -> Result<(), String> {
        for (n, pair) in pictures.windows(2).enumerate() {
            let index = first + n as u32;
            let (before, frame) = (&pair[0], &pair[1]);
            let previous = (index > 0).then_some(before);
            let started = clock::start();
            let sent = self.lane.feed(frame, previous)?;
            let taken = started.stop();
            let is_sent = sent.is_some();
            if looks {
                let bytes = sent.as_ref().map_or(0, |sent| sent.data.len() as u64);
                if index == 0 {
                    tally.measured.key_bytes = bytes;
                } else {
                    tally.measured.bytes += bytes;
                    tally.measured.sent += u32::from(is_sent);
                }
                let is_new = is_sent || previous.is_none_or(|before| before.luma() != frame.luma());
                if let Some(sent) = sent {
                    if sent.is_keyframe != (index == 0) {
                        return Err(format!(
                            "frame {index} is a key frame or not, against what was asked for"
                        ));
                    }
                    self.decode(&sent.data)?;
                }
                if is_new {
                    self.look(frame)?;
                }
                tally.ssim += self.likeness.ssim;
                tally.mse += self.likeness.mse;
                continue;
            }
            let off = if is_sent { off_ms } else { 0.0 };
            let cpu = (taken.cpu.as_secs_f64() * 1e3 - off).max(0.0);
            if index == 0 {
                tally.keys.push(cpu);
                continue;
            }
            if let Some(total) = tally.measured.cpu_ms.last_mut() {
                *total += cpu;
            }
            if is_sent {
                tally.walls.push((taken.wall.as_secs_f64() * 1e3 - off).max(0.0));
            }
        }
        Ok(())
    }

    fn decode(&mut self, data: &[u8]) -> Result<(), String> {
        if let Some(decoder) = &mut self.decoder {
            self.shown = Some(decoder.decode(data).map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    fn look(&mut self, frame: &Source) -> Result<(), String> {
        let Resolution { width, height } = frame.size();
        let shown = self.shown.as_ref().filter(|shown| shown.resolution() == frame.size());
        let shown = shown.ok_or("it decodes to a picture of another size")?;
        let stride = width as usize;
        let (shown, wanted) = (Plane { data: shown.y(), stride }, Plane { data: frame.luma(), stride });
        let likeness = compare(shown, wanted, width as usize, height as usize);
        self.likeness = likeness.ok_or("it is too small to be compared")?;
        Ok(())
    }
}

impl Tally {
    fn new(name: &str, frames: u32) -> Self {
        let measured = Measured {
            name: name.to_owned(),
            cpu_ms: vec![],
            frames: frames.saturating_sub(1),
            sent: 0,
            bytes: 0,
            ssim: 0.0,
            psnr: 0.0,
            wall_p50_ms: 0.0,
            wall_p99_ms: 0.0,
            key_cpu_ms: 0.0,
            key_bytes: 0,
        };
        Self { measured, walls: vec![], keys: vec![], ssim: 0.0, mse: 0.0 }
    }

    fn finish(self) -> Measured {
        let frames = f64::from(self.measured.frames + 1);
        Measured {
            ssim: self.ssim / frames,
            psnr: quality::psnr(self.mse / frames),
            wall_p50_ms: percentile(self.walls.clone(), 0.5),
            wall_p99_ms: percentile(self.walls, 0.99),
            key_cpu_ms: percentile(self.keys, 0.5),
            ..self.measured
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::entrants;
    use crate::video::frame::Codec;

    #[test]
    fn lanes_send_what_changed_and_it_looks_right() {
        let size = Resolution::new(640, 480);
        let mut notes = vec![];
        let contenders = entrants::all(size, &[("openh264", Codec::H264)], &mut notes);
        let mut done = 0.0;
        let measured =
            run_frames(Clip::Scroll, 3, size, &contenders, 2, &mut notes, &mut |part| done = part).unwrap();
        assert!((done - 1.0).abs() < 1e-9);
        let ours = measured.iter().filter(|m| m.name.starts_with("openh264"));
        let sizes: Vec<_> = ours.map(|m| (m.bytes, m.ssim)).collect();
        assert_eq!(sizes.len(), entrants::QUANTISERS.len(), "{notes:?}");
        assert!(sizes.windows(2).all(|w| w[0].0 > w[1].0 && w[0].1 > w[1].1), "finest first: {sizes:?}");
        for one in &measured {
            assert_eq!((one.cpu_ms.len(), one.frames), (2, 2), "{}", one.name);
            assert!(one.ssim > 0.8 && one.ssim <= 1.0 && one.psnr > 25.0, "{one:?}");
            assert!(one.key_bytes > 1000 && one.cpu_ms.iter().all(|ms| *ms > 0.0), "{one:?}");
        }
        #[cfg(feature = "gstreamer")]
        assert!(measured.iter().any(|m| m.name == entrants::REFERENCE), "{notes:?}");
    }

    #[test]
    fn an_unchanged_picture_sends_nothing() {
        let size = Resolution::new(320, 240);
        let mut notes = vec![];
        let contenders = entrants::all(size, &[("openh264", Codec::H264)], &mut notes);
        // The cursor is beyond this small screen, and the clock stands for the first second.
        let measured = run_frames(Clip::Idle, 9, size, &contenders, 1, &mut notes, &mut |_| ()).unwrap();
        for one in &measured {
            assert_eq!((one.sent, one.bytes), (0, 0), "{}", one.name);
            assert!(one.ssim > 0.9, "what was shown first still is: {one:?}");
        }
    }
}
