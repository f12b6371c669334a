//! Eight controllers of mixed codecs through real drivers and a real pipeline with counting encoders: one encode a codec
//! in use, one stalled controller changes nothing for the others, memory stays flat. And what a session takes from its
//! displays: pictures of those it looks at, sound, screenshots.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kvmdesk::audio::format::{AudioFormat, EncodedAudio};
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::hid::backend::recording::Recording;
use kvmdesk::hid::writer::{HidSettings, HidWriter};
use kvmdesk::input::event::InputEvent;
use kvmdesk::media::audio;
use kvmdesk::media::capture::pattern::PatternSource;
use kvmdesk::media::encode::encoders::{Candidate, Encoders};
use kvmdesk::media::encode::{EncodeError, EncodedPicture, Encoder, FrameOrder};
use kvmdesk::media::picture::I420Picture;
use kvmdesk::media::pipeline::Pipeline;
use kvmdesk::net::stream::{Arrival, MessageReader, MessageStream, MessageWriter, Route};
use kvmdesk::peer::gate::{Gate, LoginAttempt, Verdict};
use kvmdesk::peer::machine::{CloseReason, PeerSettings};
use kvmdesk::session::driver::{Display, SessionHost, run};
use kvmdesk::session::stats::SessionStats;
use kvmdesk::video::card::TestCard;
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::Codec;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use tokio::sync::watch;

use super::rig::{ID, PASSWORD, SALT, decoding, frames_of, settings};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the encoders of a codec did.
#[derive(Debug, Default)]
pub struct Counts {
    open: AtomicUsize,
    most_open: AtomicUsize,
    encoded: AtomicUsize,
    /// Frames whose bytes are still somewhere.
    alive: Arc<AtomicUsize>,
    most_alive: AtomicUsize,
}

/// An encoder that writes the number of the picture, much faster than any other.
struct Counting(Codec, Arc<Counts>);

struct Instance {
    codec: Codec,
    size: Resolution,
    counts: Arc<Counts>,
    is_first: bool,
}

/// Bytes of a frame that are counted while they live.
struct Tracked(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Candidate for Counting {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn codec(&self) -> Codec {
        self.0
    }
    fn cost(&self) -> u32 {
        100
    }
    fn open(&self, size: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        let open = self.1.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.1.most_open.fetch_max(open, Ordering::SeqCst);
        Ok(Box::new(Instance { codec: self.0, size, counts: self.1.clone(), is_first: true }))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Encoder for Instance {
    fn name(&self) -> &'static str {
        self.codec.name()
    }
    fn codec(&self) -> Codec {
        self.codec
    }
    fn resolution(&self) -> Resolution {
        self.size
    }
    fn encode(&mut self, _: &I420Picture, order: FrameOrder) -> Result<EncodedPicture, EncodeError> {
        let number = self.counts.encoded.fetch_add(1, Ordering::SeqCst) as u32;
        let mut bytes = vec![0; 6000];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let alive = self.counts.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.counts.most_alive.fetch_max(alive, Ordering::SeqCst);
        let data = Bytes::from_owner(Tracked(bytes, self.counts.alive.clone()));
        let is_keyframe = order.wants_keyframe || std::mem::take(&mut self.is_first);
        Ok(EncodedPicture { data, is_keyframe })
    }
}

#[derive(Default)]
pub struct House {
    stats: Mutex<Vec<(u64, SessionStats)>>,
}

impl SessionHost for House {
    fn judge(&self, attempt: &LoginAttempt, now: Instant) -> Verdict {
        let hash = PasswordHash::new(PASSWORD, SALT);
        Gate::new(SALT.into(), Some(hash), now, 0, Seed::from_bytes([1; 32])).judge(attempt, now)
    }
    fn logged_in(&self, _session: u64, _attempt: &LoginAttempt, _end: watch::Sender<Option<String>>) {}
    fn noticed(&self, _session: u64, _what: &InputEvent) {}
    fn key_not_confirmed(&self) {}
    fn stats(&self, session: u64, stats: &SessionStats) {
        self.stats.lock().unwrap().push((session, *stats));
    }
    fn closed(&self, _session: u64, _reason: &CloseReason) {}
}

/// A controller that takes note of what frames it gets.
pub struct App {
    reader: MessageReader,
    writer: MessageWriter,
    /// Number and kind of the frames, by display.
    pub frames: Vec<(i32, u32, bool, Codec)>,
    /// Their bytes, if they are wanted.
    pub units: Option<Vec<Bytes>>,
    pub messages: Vec<Union>,
}

impl App {
    /// Logs in to a session of its own.
    pub async fn open(session: u64, displays: Vec<Display>, house: Arc<House>, codecs: &[Codec]) -> Self {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let arrival = Arrival {
            stream: MessageStream::from_io(near),
            route: Route::Direct,
            is_secure: false,
            controller: ([10, 0, 0, 7], 5000).into(),
        };
        let settings = PeerSettings { is_direct_plaintext_allowed: true, ..settings() };
        let (keep, shutdown) = watch::channel(false);
        tokio::spawn(async move {
            run(session, arrival, settings, displays, house, shutdown).await;
            drop(keep);
        });
        let (mut reader, writer) = MessageStream::from_io(far).split();
        reader.set_limit(64 << 20);
        let mut app = Self { reader, writer, frames: vec![], units: None, messages: vec![] };
        app.until(|app| app.messages.iter().any(|m| matches!(m, Union::Hash(_)))).await;
        let hash = app.messages.iter().find_map(|m| match m {
            Union::Hash(hash) => Some(hash.clone()),
            _ => None,
        });
        app.send(Union::LoginRequest(hbb::LoginRequest {
            username: "10.0.0.1".into(),
            password: PasswordHash::new(PASSWORD, SALT).proof(&hash.unwrap().challenge).to_vec(),
            my_id: ID.into(),
            session_id: session,
            version: "1.4.9".into(),
            option: Some(decoding(codecs, 0)),
            ..Default::default()
        }))
        .await;
        app
    }

    pub async fn send(&mut self, union: Union) {
        self.writer.send(&[&encode_message(union)]).await.unwrap();
    }

    pub async fn say(&mut self, union: Misc) {
        self.send(Union::Misc(hbb::Misc { union: Some(union) })).await;
    }

    pub async fn next(&mut self) {
        let payload = self.reader.next().await.unwrap().expect("the session goes on");
        let union = decode_message(&payload).unwrap().union.unwrap();
        match union {
            Union::TestDelay(_) => self.send(union).await,
            Union::VideoFrame(video) => {
                use hbb::video_frame::Union as V;
                let codec = match &video.union {
                    Some(V::Vp8s(_)) => Codec::Vp8,
                    Some(V::Vp9s(_)) => Codec::Vp9,
                    Some(V::Av1s(_)) => Codec::Av1,
                    Some(V::H264s(_)) => Codec::H264,
                    Some(V::H265s(_)) => Codec::H265,
                    other => panic!("{other:?}"),
                };
                let frame = &frames_of(&video).frames[0];
                let number = u32::from_le_bytes(frame.data[..4].try_into().unwrap());
                if let Some(units) = &mut self.units {
                    units.push(frame.data.clone());
                }
                self.frames.push((video.display, number, frame.key, codec));
            }
            other => self.messages.push(other),
        }
    }

    /// Reads until this holds.
    pub async fn until(&mut self, is_done: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is_done(self) {
                self.next().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it came in time");
    }
}

/// A test card that moves, with these encoders.
fn pipeline(candidates: Vec<Arc<dyn Candidate>>) -> (Pipeline, watch::Sender<TestCard>) {
    let (card, told) = watch::channel(TestCard::default());
    (Pipeline::spawn_from(Box::new(PatternSource::new(told)), 30, Encoders::of(candidates)), card)
}

pub fn display(pipeline: &Pipeline) -> Display {
    let (backend, _reports) = Recording::in_memory();
    let hid = Arc::new(HidWriter::spawn(
        Box::new(backend),
        HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() },
    ));
    Display { video: pipeline.handle(), health: hid.health(), hid, audio: None }
}

fn counting() -> (Vec<Arc<dyn Candidate>>, Vec<Arc<Counts>>) {
    let counts: Vec<_> = Codec::ALL.iter().map(|_| Arc::new(Counts::default())).collect();
    let candidates = Codec::ALL.iter().zip(&counts);
    let candidates = candidates.map(|(codec, c)| Arc::new(Counting(*codec, c.clone())) as Arc<dyn Candidate>);
    (candidates.collect(), counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_controllers_of_four_codecs_and_one_that_stalls() {
    let (candidates, counts) = counting();
    let (pipeline, _card) = pipeline(candidates);
    let display = display(&pipeline);
    let house = Arc::new(House::default());
    let codecs = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264];
    let mut apps = vec![];
    for n in 0..8 {
        let codec = codecs[n % 4];
        apps.push((codec, App::open(n as u64, vec![display.clone()], house.clone(), &[codec]).await));
    }
    // All of them watch; from here on the last one, an H.264, reads nothing.
    for (_, app) in &mut apps {
        app.until(|app| app.frames.len() >= 5).await;
    }
    let (_, stalled) = apps.pop().unwrap();
    let before: Vec<_> = counts.iter().map(|c| c.encoded.load(Ordering::SeqCst)).collect();
    let mut reading = vec![];
    for (codec, mut app) in apps {
        reading.push(tokio::spawn(async move {
            let so_far = app.frames.len();
            app.until(|app| app.frames.len() >= so_far + 60).await;
            (codec, so_far, app)
        }));
    }
    let mut seen = vec![];
    for one in reading {
        seen.push(one.await.unwrap());
    }
    for (codec, so_far, app) in &seen {
        assert!(app.frames.iter().all(|(.., of)| of == codec), "{codec}: only its own");
        assert!(app.frames[0].2, "{codec}: the first is a key frame");
        let later = &app.frames[*so_far..];
        assert!(later.windows(2).all(|w| w[1].1 > w[0].1), "{codec}: each frame once");
        assert_eq!(
            later.iter().filter(|f| f.2).count(),
            0,
            "{codec}: no key frames for somebody else's sake"
        );
    }
    for (codec, (counts, before)) in Codec::ALL.iter().zip(counts.iter().zip(before)) {
        let encoded = counts.encoded.load(Ordering::SeqCst);
        if *codec == Codec::H265 {
            assert_eq!(encoded, 0, "nobody decodes it, so that nobody encodes it");
            continue;
        }
        assert_eq!(counts.most_open.load(Ordering::SeqCst), 1, "{codec}: one encoder");
        let last = seen.iter().filter(|(of, ..)| of == codec).filter_map(|(.., app)| app.frames.last());
        let last = last.map(|f| f.1 as usize).max().unwrap();
        assert!(last >= before, "{codec}: it went on, {last} after {before}");
        // A frame is encoded once for both: the number of the newest frame is how often that was.
        assert!(encoded <= last + 200, "{codec}: {encoded} encoded, newest seen {last}");
        let most = counts.most_alive.load(Ordering::SeqCst);
        assert!(most <= 40, "{codec}: {most} frames in memory at once");
    }
    drop((stalled, seen));
    let told = house.stats.lock().unwrap();
    assert!(told.iter().any(|(session, stats)| *session == 0 && stats.codecs.contains(Codec::Vp8)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_only_of_what_is_looked_at() {
    let (first, second) = (counting(), counting());
    let pipelines = (pipeline(first.0), pipeline(second.0));
    let displays = vec![display(&pipelines.0.0), display(&pipelines.1.0)];
    let encoded =
        |counts: &[Arc<Counts>]| -> usize { counts.iter().map(|c| c.encoded.load(Ordering::SeqCst)).sum() };
    let mut app = App::open(1, displays, Arc::default(), &[Codec::H264]).await;
    app.until(|app| app.frames.len() >= 10).await;
    assert_eq!(encoded(&second.1), 0, "nobody looks at the second");
    app.say(Misc::CaptureDisplays(hbb::CaptureDisplays { add: vec![1], ..Default::default() })).await;
    let of = |app: &App, display| app.frames.iter().filter(|f| f.0 == display).count();
    app.until(|app| of(app, 1) >= 10).await;
    let so_far = of(&app, 0);
    app.until(|app| of(app, 0) >= so_far + 10).await;
    assert!(app.frames.iter().find(|f| f.0 == 1).unwrap().2, "a key frame first");
    app.say(Misc::SwitchDisplay(hbb::SwitchDisplay { display: 1, ..Default::default() })).await;
    app.say(Misc::CaptureDisplays(hbb::CaptureDisplays { set: vec![1], ..Default::default() })).await;
    app.until(|app| app.messages.iter().any(|m| matches!(m, Union::Misc(_)))).await;
    let so_far = of(&app, 1);
    app.until(|app| of(app, 1) >= so_far + 10).await;
    let stopped = (of(&app, 0), encoded(&first.1));
    let so_far = of(&app, 1);
    app.until(|app| of(app, 1) >= so_far + 10).await;
    assert_eq!((of(&app, 0), encoded(&first.1)), stopped, "the first is not encoded any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sound_goes_through_and_its_source_sleeps_unheard() {
    let (pipeline, _card) = pipeline(counting().0);
    let (sound, heard) = audio::channel();
    let display = Display { audio: Some(heard), ..display(&pipeline) };
    assert_eq!(sound.listeners(), 0);
    let mut app = App::open(1, vec![display], Arc::default(), &[Codec::H264]).await;
    app.until(|app| !app.frames.is_empty()).await;
    assert_eq!(sound.listeners(), 1);
    let format = AudioFormat { sample_rate: 48_000, channels: 2 };
    for n in 0..3 {
        sound.send(EncodedAudio { data: Bytes::from(vec![n]), format });
    }
    let heard = |app: &App| {
        let of = app.messages.iter().filter_map(|m| match m {
            Union::AudioFrame(frame) => Some(frame.data[0]),
            _ => None,
        });
        of.collect::<Vec<_>>()
    };
    app.until(|app| heard(app).len() == 3).await;
    assert_eq!(heard(&app), [0, 1, 2]);
    let mute = hbb::OptionMessage { disable_audio: 2, ..Default::default() };
    app.say(Misc::Option(mute)).await;
    let start = Instant::now();
    while sound.listeners() > 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_card_that_appears_in_mid_session_is_told_and_heard() {
    let (pipeline, _card) = pipeline(counting().0);
    let (sound, heard) = audio::channel();
    sound.tell_presence(false);
    let display = Display { audio: Some(heard), ..display(&pipeline) };
    let mut app = App::open(1, vec![display], Arc::default(), &[Codec::H264]).await;
    let told = |app: &App| {
        let of = app.messages.iter().filter_map(|m| match m {
            Union::Misc(hbb::Misc { union: Some(Misc::PermissionInfo(info)) }) => Some(info),
            _ => None,
        });
        let of_sound = of.filter(|info| info.permission() == hbb::permission_info::Permission::Audio);
        of_sound.map(|info| info.enabled).collect::<Vec<_>>()
    };
    app.until(|app| !app.frames.is_empty()).await;
    let before = told(&app);
    assert_eq!((before.contains(&true), sound.listeners(), sound.is_watched()), (false, 0, true));
    sound.tell_presence(true);
    app.until(|app| told(app).ends_with(&[true])).await;
    let start = Instant::now();
    while sound.listeners() == 0 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sound.tell_presence(false);
    app.until(|app| told(app).ends_with(&[false])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screenshot_is_a_png_or_a_sentence() {
    let (pipeline, _card) = pipeline(counting().0);
    let mut app = App::open(1, vec![display(&pipeline)], Arc::default(), &[Codec::H264]).await;
    app.until(|app| app.frames.len() >= 3).await;
    app.send(Union::ScreenshotRequest(hbb::ScreenshotRequest { display: 0, sid: "s".into() })).await;
    let answer = |app: &App| {
        app.messages.iter().find_map(|m| match m {
            Union::ScreenshotResponse(r) => Some(r.clone()),
            _ => None,
        })
    };
    app.until(|app| answer(app).is_some()).await;
    let answer = answer(&app).unwrap();
    assert_eq!((answer.sid.as_str(), answer.msg.as_str()), ("s", ""));
    let mut reader = png::Decoder::new(std::io::Cursor::new(&answer.data)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1280, 720));
    let so_far = app.frames.len();
    app.until(|app| app.frames[so_far..].iter().any(|f| f.2)).await;
}
