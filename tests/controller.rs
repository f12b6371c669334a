//! The scripted controller against whole sessions over TCP: real driver, test card, recording keyboard. What every
//! other test relies on (it connects, seals, logs in, decodes, types) is proven here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvmdesk::crypto::identity::IdentityKeyPair;
use kvmdesk::crypto::password::PasswordHash;
use kvmdesk::crypto::seed::Seed;
use kvmdesk::hid::backend::HidDevice;
use kvmdesk::hid::backend::recording::{RecordedReports, Recording};
use kvmdesk::hid::writer::{HidSettings, HidWriter};
use kvmdesk::input::event::InputEvent;
use kvmdesk::media::encode::encoders::Encoders;
use kvmdesk::media::pipeline::{MaxSize, Pipeline, SourceSettings, VideoSettings};
use kvmdesk::net::stream::{Arrival, MessageStream, Route};
use kvmdesk::peer::gate::{Gate, LoginAttempt, Verdict};
use kvmdesk::peer::machine::{
    AnnouncedPlatform, CloseReason, KeyboardSettings, LocalPointer, PeerSettings, TargetOs,
};
use kvmdesk::session::driver::{Display, SessionHost, run};
use kvmdesk::video::card::TestCard;
use tokio::sync::watch;

use crate::support::controller::{Answer, Controller, LONG, LoginOutcome, Options, SignedKey, write_png};

const ID: &str = "123456789";
const PASSWORD: &str = "secret12";
const SALT: &str = "a2b3c4d5";

struct Door(Mutex<Gate>);

impl SessionHost for Door {
    fn judge(&self, attempt: &LoginAttempt, now: Instant) -> Verdict {
        self.0.lock().unwrap().judge(attempt, now)
    }
    fn logged_in(&self, session: u64, attempt: &LoginAttempt, _end: watch::Sender<Option<String>>) {
        self.0.lock().unwrap().opened(session, attempt);
    }
    fn noticed(&self, _session: u64, _what: &InputEvent) {}
    fn key_not_confirmed(&self) {}
    fn closed(&self, session: u64, _reason: &CloseReason) {
        self.0.lock().unwrap().closed(session, Instant::now());
    }
}

/// A listener whose connections become sessions.
struct House {
    address: SocketAddr,
    reports: RecordedReports,
    key: SignedKey,
    _runtime: tokio::runtime::Runtime,
}

impl House {
    fn open(route: Route, is_secure: bool, is_encryption_required: bool) -> Self {
        let identity = IdentityKeyPair::from_seed(&[1; 32]);
        let key = SignedKey { id: ID.into(), public_key: identity.public_key() };
        let settings = PeerSettings {
            id: ID.parse().unwrap(),
            salt: SALT.into(),
            identity,
            is_encryption_required,
            is_direct_plaintext_allowed: true,
            announce: AnnouncedPlatform::Windows,
            os: TargetOs::Windows,
            hostname: "desk".into(),
            username: "kvm".into(),
            local_pointer: LocalPointer::Auto,
            keyboard: KeyboardSettings::default(),
        };
        let (recording, reports) = Recording::in_memory();
        let hid = HidWriter::spawn(
            Box::new(recording),
            HidSettings { keyboard_layout: "us".into(), ..HidSettings::default() },
        );
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let hash = PasswordHash::new(PASSWORD, SALT);
        let gate = Gate::new(SALT.into(), Some(hash), Instant::now(), 0, Seed::from_bytes([2; 32]));
        let door = Arc::new(Door(Mutex::new(gate)));
        runtime.spawn(async move {
            let (_card, told) = watch::channel(TestCard::default());
            let video =
                VideoSettings { source: SourceSettings::Pattern, max_fps: 30, max_size: MaxSize::Source };
            let pipeline = Pipeline::spawn(video, told, Encoders::of_this_machine());
            let display =
                Display { video: pipeline.handle(), health: hid.health(), hid: Arc::new(hid), audio: None };
            let (_stop, shutdown) = watch::channel(false);
            for session in 0.. {
                let Ok((socket, controller)) = listener.accept().await else { return };
                let stream = MessageStream::from_tcp(socket).unwrap();
                let arrival = Arrival { stream, route, is_secure, controller };
                let displays = vec![display.clone()];
                tokio::spawn(run(
                    session,
                    arrival,
                    settings.clone(),
                    displays,
                    door.clone(),
                    shutdown.clone(),
                ));
            }
        });
        Self { address, reports, key, _runtime: runtime }
    }

    fn expect_reports(&self, device: HidDevice, want: &[&str]) {
        let until = Instant::now() + LONG;
        while self.reports.of(device) != want {
            assert!(Instant::now() < until, "{device:?}: {:?}, want {want:?}", self.reports.of(device));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn direct_access_picture_and_hands() {
    let house = House::open(Route::Direct, false, true);
    let mut app = Controller::connect_direct(house.address, Options::with_password(PASSWORD)).unwrap();
    let info = app.log_in().unwrap();
    assert_eq!((info.platform.as_str(), info.displays.len()), ("Windows", 1));
    let first = app.first_picture(LONG).unwrap();
    assert!(first.is_keyframe && first.number == 1);
    assert_eq!((first.width as i32, first.height as i32), (info.displays[0].width, info.displays[0].height));
    let moved = app.wait_for_picture(LONG, |p| p.differing(&first, 40) > 100).unwrap();
    assert!(moved.number > 1);
    app.refresh().unwrap();
    app.next_keyframe(LONG).unwrap();
    app.map_click(30).unwrap();
    app.type_text("Hi").unwrap();
    app.move_to(1279, 719).unwrap();
    app.click(crate::support::controller::button::LEFT).unwrap();
    app.idle(Duration::from_millis(50)).unwrap();
    house.expect_reports(
        HidDevice::Keyboard,
        &[
            "0000040000000000",
            "0000000000000000",
            "02000b0000000000",
            "0000000000000000",
            "00000c0000000000",
            "0000000000000000",
        ],
    );
    house.expect_reports(HidDevice::Absolute, &["00ff7fff7f0000", "01ff7fff7f0000", "00ff7fff7f0000"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.png");
    write_png(&moved, &path).unwrap();
    let png = std::fs::read(&path).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&png[16..24], &[0, 0, 5, 0, 0, 0, 2, 0xd0]);
    assert!(app.echoes && !app.delays.is_empty());
    app.close().unwrap();
}

#[test]
fn a_sealed_session() {
    let house = House::open(Route::Punched, true, true);
    let mut options = Options::with_password(PASSWORD);
    options.username = ID.into();
    let mut app =
        Controller::connect_secure(house.address, Some(house.key.clone()), options.clone()).unwrap();
    assert!(app.link().is_sealed());
    app.log_in().unwrap();
    app.first_picture(LONG).unwrap();
    app.next_picture(LONG).unwrap();
    let another = SignedKey { public_key: [7; 32], ..house.key.clone() };
    assert!(Controller::connect_secure(house.address, Some(another), options).is_err());
}

#[test]
fn a_wrong_password_may_be_tried_again() {
    let house = House::open(Route::Direct, false, true);
    let mut app = Controller::connect_direct(house.address, Options::with_password("wrong")).unwrap();
    assert_eq!(app.try_log_in().unwrap(), LoginOutcome::Refused("Wrong Password".into()));
    app.options.password = PASSWORD.into();
    assert!(matches!(app.try_log_in().unwrap(), LoginOutcome::Welcome(_)));
}

/// The rows of network 9.5, where encryption is required and where it is not. Silence is told in simulated time
/// elsewhere.
#[test]
fn the_handshake_table() {
    let strict = House::open(Route::Punched, true, true);
    let open = House::open(Route::Punched, true, false);
    let clear = [Answer::EmptyMessage, Answer::EmptyPublicKey, Answer::AnotherMessage];
    let broken = [Answer::KeyOfLength(31), Answer::KeyOfLength(33), Answer::BoxedForAnother, Answer::Garbage];
    let shake = |house: &House, answer| {
        let mut options = Options::with_password(PASSWORD);
        options.username = ID.into();
        options.answer = answer;
        Controller::connect_secure(house.address, Some(house.key.clone()), options).unwrap()
    };
    for answer in clear {
        let mut app = shake(&open, answer);
        app.log_in().unwrap_or_else(|e| panic!("{answer:?}: {e}"));
        let mut app = shake(&strict, answer);
        let text = app.wait_for_end(LONG).unwrap().unwrap_or_default();
        assert!(text.contains("require-encryption"), "{answer:?}: {text:?}");
        assert!(app.hash.is_none(), "{answer:?}");
    }
    for answer in broken {
        for house in [&strict, &open] {
            let mut app = shake(house, answer);
            app.wait_for_end(LONG).unwrap();
            assert!(app.hash.is_none(), "{answer:?}");
        }
    }
}
