//! The real driver between a stream, the test card's pipeline and a recording keyboard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvmdesk::crypto::identity::{BoxKeyPair, IdentityKeyPair, verify};
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seal::SessionKey;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::hid::backend::HidDevice;
use kvmdesk::hid::backend::recording::{RecordedReports, Recording};
use kvmdesk::hid::writer::{HidSettings, HidWriter};
use kvmdesk::input::event::InputEvent;
use kvmdesk::media::encode::encoders::Encoders;
use kvmdesk::media::pipeline::{MaxSize, Pipeline, SourceSettings, VideoSettings};
use kvmdesk::net::stream::{Arrival, MessageReader, MessageStream, MessageWriter, Route};
use kvmdesk::peer::gate::{Gate, LoginAttempt, Verdict};
use kvmdesk::peer::machine::{CloseReason, PeerSettings};
use kvmdesk::session::driver::{Display, SessionHost, run};
use kvmdesk::video::card::TestCard;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use kvmdesk::wire::message::{decode_message, encode_message, hbb};
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::rig::{ID, PASSWORD, SALT, settings};

/// Everything here happens in far less; a loaded machine may take its time.
const PATIENCE: Duration = Duration::from_secs(30);

struct House {
    gate: Mutex<Gate>,
    end: Mutex<Option<watch::Sender<Option<String>>>>,
    log: Mutex<Vec<String>>,
}

impl SessionHost for House {
    fn judge(&self, attempt: &LoginAttempt, now: Instant) -> Verdict {
        self.gate.lock().unwrap().judge(attempt, now)
    }
    fn logged_in(&self, session: u64, attempt: &LoginAttempt, end: watch::Sender<Option<String>>) {
        self.gate.lock().unwrap().opened(session, attempt);
        *self.end.lock().unwrap() = Some(end);
        self.log.lock().unwrap().push(format!("in {}", attempt.my_id));
    }
    fn noticed(&self, _session: u64, _what: &InputEvent) {}
    fn key_not_confirmed(&self) {
        self.log.lock().unwrap().push("key not confirmed".into());
    }
    fn closed(&self, session: u64, reason: &CloseReason) {
        self.gate.lock().unwrap().closed(session, Instant::now());
        self.log.lock().unwrap().push(format!("closed {reason:?}"));
    }
}

struct Bench {
    _pipeline: Pipeline,
    reports: RecordedReports,
    house: Arc<House>,
    shutdown: watch::Sender<bool>,
    task: JoinHandle<CloseReason>,
    reader: MessageReader,
    writer: MessageWriter,
}

impl Bench {
    /// A session that is logged in; `buffer` bytes fit into the line.
    async fn open(buffer: usize) -> Self {
        let mut bench = Self::connect(buffer, settings());
        let Union::SignedId(signed) = bench.next().await.unwrap() else { panic!() };
        let id_pk = verify(&signed.id, &IdentityKeyPair::from_seed(&[1; 32]).public_key()).unwrap();
        let ours: [u8; 32] = hbb::IdPk::decode(id_pk.as_slice()).unwrap().pk.try_into().unwrap();
        let theirs = BoxKeyPair::from_secret(&[3; 32]);
        bench
            .send(Union::PublicKey(hbb::PublicKey {
                asymmetric_value: theirs.public_key().to_vec(),
                symmetric_value: theirs.seal_session_key(&[9; 32], &ours),
            }))
            .await;
        bench.reader.seal(SessionKey::from_bytes([9; 32]));
        bench.writer.seal(SessionKey::from_bytes([9; 32]));
        bench.reader.set_limit(16 << 20);
        let Union::Hash(hash) = bench.next().await.unwrap() else { panic!() };
        bench
            .send(Union::LoginRequest(hbb::LoginRequest {
                username: ID.into(),
                password: PasswordHash::new(PASSWORD, &hash.salt).proof(&hash.challenge).to_vec(),
                my_id: "987654321".into(),
                session_id: 5,
                version: "1.4.9".into(),
                option: Some(hbb::OptionMessage {
                    supported_decoding: Some(hbb::SupportedDecoding {
                        ability_h264: 1,
                        ..Default::default()
                    }),
                    ..Default::default()
                }),
                ..Default::default()
            }))
            .await;
        let login = bench.until(|u| matches!(u, Union::LoginResponse(_))).await;
        assert!(matches!(
            login,
            Union::LoginResponse(hbb::LoginResponse {
                union: Some(hbb::login_response::Union::PeerInfo(_)),
                ..
            })
        ));
        bench
    }

    fn connect(buffer: usize, settings: PeerSettings) -> Self {
        let (near, far) = tokio::io::duplex(buffer);
        let (_card, card) = watch::channel(TestCard::default());
        let pipeline = Pipeline::spawn(
            VideoSettings { source: SourceSettings::Pattern, max_fps: 30, max_size: MaxSize::Source },
            card,
            Encoders::of_this_machine(),
        );
        let (backend, reports) = Recording::in_memory();
        let hid = Arc::new(HidWriter::spawn(
            Box::new(backend),
            HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() },
        ));
        let hash = PasswordHash::new(PASSWORD, SALT);
        let house = Arc::new(House {
            gate: Mutex::new(Gate::new(
                SALT.into(),
                Some(hash),
                Instant::now(),
                0,
                Seed::from_bytes([1; 32]),
            )),
            end: Mutex::default(),
            log: Mutex::default(),
        });
        let arrival = Arrival {
            stream: MessageStream::from_io(near),
            route: Route::Relayed,
            is_secure: true,
            controller: SocketAddr::from(([10, 0, 0, 7], 5000)),
        };
        let display = Display { video: pipeline.handle(), health: hid.health(), hid, audio: None };
        let (shutdown, stopping) = watch::channel(false);
        let task = tokio::spawn(run(1, arrival, settings, vec![display], house.clone(), stopping));
        let (reader, writer) = MessageStream::from_io(far).split();
        Self { _pipeline: pipeline, reports, house, shutdown, task, reader, writer }
    }

    async fn send(&mut self, union: Union) {
        self.writer.send(&[&encode_message(union)]).await.unwrap();
    }

    async fn key(&mut self, code: u32, down: bool) {
        let union = Some(hbb::key_event::Union::Chr(code));
        self.send(Union::KeyEvent(hbb::KeyEvent { down, mode: 1, union, ..Default::default() })).await;
    }

    /// The next message; pings are answered as the apps do. `None` at the end.
    async fn next(&mut self) -> Option<Union> {
        let payload = tokio::time::timeout(PATIENCE, self.reader.next()).await.expect("in time").ok()??;
        let union = decode_message(&payload).unwrap().union.unwrap();
        if matches!(union, Union::TestDelay(_)) {
            let echo = encode_message(union.clone());
            // At the end the session may be gone already.
            let _ = self.writer.send(&[&echo]).await;
        }
        Some(union)
    }

    async fn until(&mut self, found: impl Fn(&Union) -> bool) -> Union {
        loop {
            let union = self.next().await.expect("the stream goes on");
            if found(&union) {
                return union;
            }
        }
    }

    /// Waits until the keyboard has written this last.
    async fn keyboard(&self, last: &str) {
        let start = Instant::now();
        loop {
            let reports = self.reports.of(HidDevice::Keyboard);
            if reports.last().map(String::as_str) == Some(last) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{reports:?} does not end in {last}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn log(&self) -> Vec<String> {
        self.house.log.lock().unwrap().clone()
    }
}

async fn done(task: JoinHandle<CloseReason>) -> CloseReason {
    tokio::time::timeout(PATIENCE, task).await.expect("the session ends").unwrap()
}

const UP: &str = "0000000000000000";
/// A key that is held on any line.
const RIGHT: u32 = 57421;

fn is_key_frame(union: &Union) -> Option<bool> {
    match union {
        Union::VideoFrame(hbb::VideoFrame { union: Some(hbb::video_frame::Union::H264s(f)), .. }) => {
            Some(f.frames[0].key)
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_come_and_keys_go() {
    let mut bench = Bench::open(1 << 20).await;
    let first = bench.until(|u| is_key_frame(u).is_some()).await;
    assert_eq!(is_key_frame(&first), Some(true), "the first frame is a key frame");
    bench.key(RIGHT, true).await;
    bench.keyboard("00004f0000000000").await;
    bench.key(RIGHT, false).await;
    bench.keyboard(UP).await;
    bench.send(Union::Misc(hbb::Misc { union: Some(Misc::RefreshVideoDisplay(0)) })).await;
    bench.until(|u| is_key_frame(u) == Some(true)).await;
    bench.key(42, true).await;
    bench.keyboard("0200000000000000").await;
    bench.send(Union::Misc(hbb::Misc { union: Some(Misc::CloseReason(String::new())) })).await;
    bench.keyboard(UP).await;
    while bench.next().await.is_some() {}
    let log = bench.log();
    assert_eq!(done(bench.task).await, CloseReason::LeftByController(String::new()));
    assert_eq!(log[0], "in 987654321");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_lifts_the_keys() {
    let mut bench = Bench::open(1 << 20).await;
    bench.key(42, true).await;
    bench.keyboard("0200000000000000").await;
    let Bench { reader, writer, .. } = bench;
    drop((reader, writer));
    let reason = done(bench.task).await;
    assert!(matches!(reason, CloseReason::LeftByController(_)), "{reason:?}");
    let start = Instant::now();
    while bench.reports.of(HidDevice::Keyboard).last().map(String::as_str) != Some(UP) {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let log = bench.house.log.lock().unwrap().clone();
    assert!(log.last().is_some_and(|l| l.starts_with("closed")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_ends_it_in_words_or_stops() {
    let mut bench = Bench::open(1 << 20).await;
    let end = bench.house.end.lock().unwrap().take().unwrap();
    end.send(Some("Closed manually by the peer".into())).unwrap();
    let last =
        bench.until(|u| matches!(u, Union::Misc(hbb::Misc { union: Some(Misc::CloseReason(_)) }))).await;
    assert_eq!(
        last,
        Union::Misc(hbb::Misc { union: Some(Misc::CloseReason("Closed manually by the peer".into())) })
    );
    assert!(bench.next().await.is_none(), "and the line closes");
    assert!(matches!(done(bench.task).await, CloseReason::EndedHere(_)));

    let mut bench = Bench::open(1 << 20).await;
    bench.shutdown.send(true).unwrap();
    while let Some(union) = bench.next().await {
        assert!(!matches!(union, Union::Misc(hbb::Misc { union: Some(Misc::CloseReason(_)) })));
    }
    assert_eq!(done(bench.task).await, CloseReason::EndedHere(String::new()));
}

/// A controller that reads nothing still types: the writer never stops the reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_takes_nothing_does_not_stop_the_keys() {
    let mut bench = Bench::open(4096).await;
    // Nothing is read from here on; the line is full after a few kilobytes.
    let start = Instant::now();
    let mut typed = 0;
    while start.elapsed() < Duration::from_millis(1500) || typed < 20 {
        bench.key(RIGHT, true).await;
        bench.keyboard("00004f0000000000").await;
        bench.key(RIGHT, false).await;
        bench.keyboard(UP).await;
        typed += 1;
    }
    let mut frames = vec![];
    while frames.len() < 40 {
        let union = bench.next().await.unwrap();
        frames.extend(is_key_frame(&union));
    }
    assert!(frames[0], "the first frame is a key frame");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_open_end_it() {
    let mut bench = Bench::open(1 << 20).await;
    bench.writer.seal(SessionKey::from_bytes([8; 32]));
    bench.key(RIGHT, true).await;
    let reason = done(bench.task).await;
    assert!(matches!(reason, CloseReason::PeerMisbehaved(_)), "{reason:?}");
    assert!(bench.reports.of(HidDevice::Keyboard).iter().all(|r| r == UP), "nothing of it was typed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_too_long_is_refused_in_words() {
    let mut bench = Bench::open(1 << 20).await;
    let text = |seq: String| {
        let union = Some(hbb::key_event::Union::Seq(seq));
        Union::KeyEvent(hbb::KeyEvent { union, ..Default::default() })
    };
    bench.send(text("x".repeat(300_000))).await;
    let told = bench.until(|u| matches!(u, Union::MessageBox(_))).await;
    assert!(
        matches!(told, Union::MessageBox(b) if b.text.contains("256 KiB") && b.text.contains("not typed"))
    );
    bench.send(text("x".into())).await;
    bench.keyboard(UP).await;
    assert_eq!(bench.reports.of(HidDevice::Keyboard), ["00001b0000000000", UP]);
}
