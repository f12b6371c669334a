//! A real pipeline with a watcher that decodes H.264 only, its frames wrapped, sealed and written to a local socket: how
//! long a frame takes from capture to the socket, and how much memory a process with nothing else in it holds.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::clips::{Clip, FPS, Scene};
use super::clock::{self, percentile};
use super::source::Source as Picture;
use crate::crypto::seal::{Sealer, SessionKey};
use crate::media::capture::pattern::PatternSource;
use crate::media::capture::{FramePair, Source, SourceEvent, SourceState};
use crate::media::encode::encoders::{Encoders, openh264};
use crate::media::pipeline::Pipeline;
use crate::media::wake::WakeReceiver;
use crate::net::stream::WireBuffer;
use crate::peer::video::wrap;
use crate::video::card::TestCard;
use crate::video::format::Resolution;
use crate::video::frame::{Codec, CodecSet};
use crate::video::request::VideoRequest;
use crate::video::signal::SignalState;

/// The option of `kvmdesk bench` that makes it the process whose memory is measured.
pub const CHILD_OPTION: &str = "--child-memory";
/// Frames until the process holds all the memory that it needs: at fifteen a second, six seconds.
const CHILD_FRAMES: u32 = 90;
/// A frame that does not come for this long will not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Milliseconds from a frame's capture until its message was handed to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// Frames that were measured.
    pub frames: u32,
}

/// What the process with nothing but a pipeline in it needed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Its anonymous resident memory, in millions of bytes.
    pub rss_anon_mb: f64,
    /// Frames that it had sent by then.
    pub frames: u32,
}

/// Frames of a clip, again and again at its rate.
struct ClipSource {
    pictures: Vec<Picture>,
    /// Frames lent so far; the last one is of these.
    lent: usize,
    is_awake: bool,
    next: Instant,
    captured_at: Instant,
}

impl ClipSource {
    fn new(clip: Clip, size: Resolution, frames: u32) -> Result<Self, String> {
        let mut scene = Scene::new(clip, size);
        let mut pictures = Vec::new();
        for n in 0..frames {
            let mut picture = Picture::new(size);
            picture.draw(&mut scene, n)?;
            pictures.push(picture);
        }
        let now = clock::now();
        Ok(Self { pictures, lent: 0, is_awake: false, next: now, captured_at: now })
    }
}

impl Source for ClipSource {
    fn state(&self) -> SourceState {
        let resolution = self.pictures.first().map(Picture::size);
        SourceState { signal: SignalState::Active, resolution }
    }

    fn set_awake(&mut self, is_awake: bool) {
        if is_awake && !self.is_awake {
            self.next = clock::now();
        }
        self.is_awake = is_awake;
    }

    fn wait(&mut self, wake: &WakeReceiver, not_before: Instant, until: Instant) -> SourceEvent {
        let due = self.next.max(not_before);
        let is_woken = wake.poll(None, if self.is_awake { due.min(until) } else { until }).is_woken;
        let now = clock::now();
        if is_woken || !self.is_awake || now < due {
            return SourceEvent::Nothing;
        }
        self.next = (self.next + Duration::from_secs(1) / FPS).max(now);
        self.captured_at = now;
        SourceEvent::Frame
    }

    fn frame(&mut self) -> Option<FramePair<'_>> {
        let count = self.pictures.len();
        let raw = |n: usize| self.pictures.get(n % count).map(|picture| picture.raw(self.captured_at));
        let previous = self.lent.checked_sub(1).and_then(raw);
        let current = raw(self.lent)?;
        self.lent += 1;
        Some(FramePair { current, previous, captured: None })
    }
}

/// Measures the latency over `frames` frames of a clip.
///
/// # Errors
/// A sentence.
pub fn latency(clip: Clip, size: Resolution, frames: u32) -> Result<Latency, String> {
    // More than what runs at once, fewer than would fill the memory.
    const CYCLE: u32 = 24;
    let times = send(Box::new(ClipSource::new(clip, size, CYCLE)?), frames)?;
    Ok(Latency {
        p50_ms: percentile(times.clone(), 0.5),
        p99_ms: percentile(times.clone(), 0.99),
        frames: times.len() as u32,
    })
}

/// Runs `program` as a process with nothing but a pipeline in it and asks it for its memory.
///
/// # Errors
/// A sentence.
pub fn memory(program: &Path) -> Result<Memory, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the process for its memory failed: {error}");
    let output = Command::new(program)
        .args(["bench", CHILD_OPTION])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| wrong(&error))?;
    serde_json::from_slice(&output.stdout).map_err(|error| wrong(&error))
}

/// What that process does: sends the moving test card at `size`, then looks at its memory.
///
/// # Errors
/// A sentence.
pub fn child(size: Resolution) -> Result<Memory, String> {
    child_frames(size, CHILD_FRAMES)
}

fn child_frames(size: Resolution, frames: u32) -> Result<Memory, String> {
    let (tell, told) = watch::channel(TestCard::default());
    tell.send_modify(|card| card.size = Some(size));
    send_then(Box::new(PatternSource::new(told)), frames, |times| {
        let status = std::fs::read_to_string("/proc/self/status")
            .map_err(|error| format!("/proc/self/status: {error}"))?;
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = anonymous.and_then(|rest| rest.trim().split(' ').next()?.parse::<f64>().ok());
        let kilobytes = kilobytes.ok_or("the kernel does not tell RssAnon")?;
        Ok(Memory { rss_anon_mb: kilobytes * 1024.0 / 1e6, frames: times.len() as u32 })
    })
}

fn send(source: Box<dyn Source>, frames: u32) -> Result<Vec<f64>, String> {
    send_then(source, frames, Ok)
}

/// Sends `frames` frames and hands their times to `then`, while everything is still there.
fn send_then<T>(
    source: Box<dyn Source>,
    frames: u32,
    then: impl FnOnce(Vec<f64>) -> Result<T, String>,
) -> Result<T, String> {
    let broken = |error: std::io::Error| format!("the local connection failed: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
    let mut socket = TcpStream::connect(listener.local_addr().map_err(broken)?).map_err(broken)?;
    socket.set_nodelay(true).map_err(broken)?;
    let (mut receiver, _) = listener.accept().map_err(broken)?;
    let drain = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while receiver.read(&mut buffer).is_ok_and(|count| count > 0) {}
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let pipeline = Pipeline::spawn_from(source, FPS, only_openh264());
    let request =
        VideoRequest { decodes: CodecSet::of(&[Codec::H264]), max_fps: FPS, ..VideoRequest::default() };
    let mut subscription = pipeline.handle().subscribe(request);
    let mut sealer = Sealer::new(SessionKey::from_bytes([7; 32]));
    let mut wire = WireBuffer::default();
    let mut times = Vec::new();
    while times.len() < frames as usize {
        let next = runtime.block_on(async { tokio::time::timeout(PATIENCE, subscription.next()).await });
        let frame = next.ok().flatten().ok_or("the pipeline gave no frame")?;
        let (head, tail) = wrap(0, &frame, times.len() as i64 * 33);
        let message = wire.frame(&[&*head, &*frame.data, &*tail], Some(&mut sealer)).map_err(broken)?;
        socket.write_all(message).map_err(broken)?;
        times.push(frame.captured_at.elapsed().as_secs_f64() * 1e3);
    }
    let result = then(times);
    drop((subscription, pipeline, socket));
    drain.join().map_err(|_| "the local connection's other end failed")?;
    result
}

/// OpenH264 alone, which every build has; the others are looked for, as the daemon does, and left.
fn only_openh264() -> Arc<Encoders> {
    let _ = Encoders::of_this_machine().codecs();
    Encoders::of(vec![openh264()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_reach_the_socket() {
        let latency = latency(Clip::Scroll, Resolution::new(640, 448), 5).unwrap();
        assert!(
            latency.frames == 5 && latency.p50_ms > 0.0 && latency.p50_ms <= latency.p99_ms,
            "{latency:?}"
        );
    }

    #[test]
    fn the_process_tells_its_memory() {
        let memory = child_frames(Resolution::new(320, 240), 3).unwrap();
        assert!(memory.frames == 3 && memory.rss_anon_mb > 1.0, "{memory:?}");
    }
}
