//! Garbage and floods against the running daemon: it lives, its memory stays flat, and a controller that is logged in
//! goes on getting pictures and goes on typing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvmdesk::crypto::seed::Seed;
use kvmdesk::wire::message::{decode_rendezvous, encode_message, hbb};

use crate::support::controller::{Controller, LONG, LoginOutcome, Options, Union};
use crate::support::hidlog::HidLog;
use crate::support::procs::Proc;

const PASSWORD: &str = "what the flood does not know";
/// How much the daemon may grow, in bytes: the encoder that the app might change to is loaded meanwhile.
const GROWTH: u64 = 32 * 1024 * 1024;
/// Set-1 scan code of A.
const KEY_A: u32 = 30;

/// A demo with one controller that is logged in and watches.
struct House {
    daemon: Proc,
    address: SocketAddr,
    log: HidLog,
    witness: Controller,
    before: u64,
    _dir: tempfile::TempDir,
}

impl House {
    fn open(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("password"), PASSWORD).unwrap();
        let (password, state, log) = (path("password"), path("state"), path("hid.jsonl"));
        let mut args = vec!["demo", "--direct", "127.0.0.1:0", "--password-file", &password];
        args.extend(["--state-dir", &state, "--hid-log", &log]);
        args.extend(more);
        let daemon = Proc::kvmdesk(dir.path(), &args);
        let address = daemon.wait_for_line(LONG, |line| {
            line.split(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ':'))
                .filter_map(|word| word.trim_matches([':', '.']).parse::<SocketAddr>().ok())
                .find(|a| a.ip().is_loopback() && a.port() != 0 && !more.contains(&a.to_string().as_str()))
        });
        let mut witness = Controller::connect_direct(address, options("witness", 1)).unwrap();
        witness.log_in().unwrap();
        witness.first_picture(LONG).unwrap();
        let log = HidLog::new(&dir.path().join("hid.jsonl"));
        let mut house = Self { daemon, address, log, witness, before: 0, _dir: dir };
        // Warm: buffers of encoder, socket and log have their size before anything is measured.
        for _ in 0..20 {
            house.witness.next_picture(LONG).unwrap();
        }
        house.expect_served();
        house.before = house.daemon.resident_bytes();
        house
    }

    /// The witness gets new pictures, and its key presses become reports.
    fn expect_served(&mut self) {
        for _ in 0..3 {
            self.witness.next_picture(LONG).unwrap();
        }
        let keyboard = |log: &HidLog| log.reports().iter().filter(|r| r.device == "keyboard").count();
        let before = keyboard(&self.log);
        self.witness.map_click(KEY_A).unwrap();
        self.log.wait_until(LONG, |reports| {
            let typed: Vec<_> = reports.iter().filter(|r| r.device == "keyboard").skip(before).collect();
            typed.iter().any(|r| r.bytes[2] == 4) && typed.last().is_some_and(|r| r.bytes == [0; 8])
        });
    }

    /// Runs a flood in threads of its own while the witness goes on.
    fn during<T: Send>(&mut self, flood: impl FnOnce() -> T + Send) -> T {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let flooding = scope.spawn(|| {
                let made = flood();
                is_over.store(true, Ordering::SeqCst);
                made
            });
            while !is_over.load(Ordering::SeqCst) && !flooding.is_finished() {
                self.expect_served();
            }
            flooding.join().unwrap()
        })
    }

    /// The daemon lives, serves, and has not grown.
    fn expect_unmoved(&mut self) {
        assert!(self.daemon.is_running(), "{}", self.daemon.output());
        self.expect_served();
        let grown = self.daemon.resident_bytes().saturating_sub(self.before);
        println!("grown by {} KiB from {} KiB", grown / 1024, self.before / 1024);
        assert!(grown < GROWTH, "it grew by {} KiB from {} KiB", grown / 1024, self.before / 1024);
        let output = self.daemon.output();
        assert!(!output.contains("panicked"), "{output}");
        assert!(!output.contains(PASSWORD), "the password is in the log");
    }
}

fn options(name: &str, session_id: u64) -> Options {
    let mut options = Options::with_password(PASSWORD);
    options.my_id = format!("flood-{name}");
    options.my_name = name.into();
    options.session_id = session_id;
    options
}

/// Gets in, trying again while the daemon has no room for another newcomer.
fn enter(address: SocketAddr, name: &str, session_id: u64) -> Controller {
    let until = Instant::now() + LONG;
    loop {
        let entered = Controller::connect_direct(address, options(name, session_id))
            .and_then(|mut app| app.log_in().map(|_| app));
        match entered {
            Ok(app) => return app,
            Err(e) => assert!(Instant::now() < until, "no newcomer gets in: {e}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Connects; `None` if the daemon takes no more now.
fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    Some(stream)
}

/// Whether the other side closed within a minute; what it said before is thrown away.
fn is_closed(stream: &mut TcpStream) -> bool {
    let until = Instant::now() + LONG;
    let mut piece = [0; 4096];
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    while Instant::now() < until {
        match stream.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

#[test]
fn garbage_on_the_direct_port() {
    let mut house = House::open(&[]);
    let address = house.address;
    house.during(|| {
        let mut seed = Seed::from_bytes([1; 32]);
        for n in 0..300 {
            let Some(mut stream) = connect(address) else { continue };
            let mut bytes = vec![];
            while bytes.len() < 64 * 1024 {
                bytes.extend_from_slice(&seed.next_bytes());
            }
            // Some of it in frames that are whole.
            if n % 2 == 0 {
                bytes.truncate(200);
                bytes = kvmdesk::wire::frame::encode(&bytes).unwrap().to_vec();
            }
            if stream.write_all(&bytes).is_ok() && n % 30 == 0 {
                let _ = stream.shutdown(std::net::Shutdown::Write);
                assert!(is_closed(&mut stream), "garbage {n} was not answered by the end");
            }
        }
    });
    house.expect_unmoved();
}

#[test]
fn heads_that_claim_a_gigabyte() {
    let mut house = House::open(&[]);
    let address = house.address;
    house.during(|| {
        for n in 0..200 {
            let Some(mut stream) = connect(address) else { continue };
            let _ = stream.write_all(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
            if n % 20 == 0 {
                assert!(is_closed(&mut stream), "a gigabyte was waited for");
            }
        }
        // After login more is allowed, but a gigabyte is not, and what is merely claimed is not reserved.
        let mut claims = vec![];
        for n in 0..6 {
            let mut app = enter(address, "claims", 100 + n);
            let head = kvmdesk::wire::frame::encode_head(15 * 1024 * 1024).unwrap().0;
            app.link().send_raw(&head).unwrap();
            app.link().send_raw(&[0; 100]).unwrap();
            claims.push(app);
        }
        let mut app = enter(address, "claims", 200);
        app.link().send_raw(&[0xff, 0xff, 0xff, 0xff]).unwrap();
        app.wait_for_end(LONG).unwrap();
    });
    house.expect_unmoved();
}

#[test]
fn two_hundred_half_open_connections() {
    let mut house = House::open(&[]);
    let address = house.address;
    let held = house.during(|| (0..200).filter_map(|_| connect(address)).collect::<Vec<_>>());
    assert!(!held.is_empty());
    house.expect_unmoved();
    drop(held);
    // Once they are gone, a newcomer gets in.
    enter(address, "newcomer", 2);
    house.expect_unmoved();
}

#[test]
fn slow_dribble() {
    let mut house = House::open(&[]);
    let address = house.address;
    house.during(|| {
        let head = kvmdesk::wire::frame::encode_head(60_000).unwrap().0;
        let mut streams: Vec<_> = (0..50).filter_map(|_| connect(address)).collect();
        for n in 0..100usize {
            let byte = [*head.get(n).filter(|_| n < 3).unwrap_or(&0x5a)];
            for stream in &mut streams {
                let _ = stream.write_all(&byte);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    house.expect_unmoved();
}

#[test]
fn login_storms() {
    let mut house = House::open(&[]);
    let address = house.address;
    let answers = house.during(|| {
        let mut answers = vec![];
        for n in 0..60 {
            let Ok(mut app) = Controller::connect_direct(address, options("storm", 1000 + n)) else {
                continue;
            };
            app.options.password = format!("guess {n}");
            // The daemon may turn the connection away before a word; a login must be answered.
            if app.wait_for_hash(LONG).is_err() {
                continue;
            }
            for _ in 0..3 {
                match app.try_log_in().unwrap() {
                    LoginOutcome::Refused(text) => answers.push(text),
                    LoginOutcome::Closed(text) => {
                        answers.push(text);
                        break;
                    }
                    LoginOutcome::Welcome(_) => panic!("a guess got in"),
                }
            }
        }
        answers
    });
    let count = |text: &str| answers.iter().filter(|a| *a == text).count();
    assert!((1..=14).contains(&count("Wrong Password")), "7 guesses a clock minute: {answers:?}");
    assert!(count("Please try 1 minute later") > 0, "{answers:?}");
    house.expect_unmoved();
}

#[test]
fn a_controller_that_sends_without_end_and_reads_nothing() {
    let mut house = House::open(&[]);
    let address = house.address;
    house.during(|| {
        let mut app = enter(address, "deaf", 3);
        // The echo of the first ping wakes the pointer; afterwards nothing is read any more.
        app.first_picture(LONG).unwrap();
        app.idle(Duration::from_millis(500)).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        let mut n = 0i32;
        while Instant::now() < until {
            n += 1;
            let mouse = hbb::MouseEvent { x: n % 1280, y: n % 720, ..Default::default() };
            let option = hbb::OptionMessage { custom_fps: 5 + n % 100, ..Default::default() };
            let misc = hbb::Misc { union: Some(hbb::misc::Union::Option(option)) };
            let sent = app
                .link()
                .send(&encode_message(Union::MouseEvent(mouse)))
                .and_then(|()| app.link().send(&encode_message(Union::Misc(misc))))
                .and_then(|()| app.refresh());
            if sent.is_err() {
                break;
            }
        }
        assert!(n > 100, "only {n} rounds were taken");
    });
    house.expect_unmoved();
}

#[test]
fn an_id_server_that_talks_nonsense() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LONG)).unwrap();
    let named = server.local_addr().unwrap().to_string();
    let mut house = House::open(&["--server", &named]);
    let mut datagram = [0; 2048];
    let (_, daemon) = server.recv_from(&mut datagram).unwrap();
    house.during(|| {
        let mut seed = Seed::from_bytes([2; 32]);
        for n in 0..20_000usize {
            let noise = seed.next_bytes();
            let bytes: Vec<u8> = match n % 4 {
                0 => noise[..n % 33].to_vec(),
                // A punch hole, an address request, a relay request with noise inside.
                1 => [&[0x4a, 32], &noise[..]].concat(),
                2 => [&[0x62, 32, 0x0a, 17], &noise[..30]].concat(),
                _ => [&[0x92, 1, 32, 0x0a, 30], &noise[..30]].concat(),
            };
            let _ = server.send_to(&bytes, daemon);
        }
    });
    house.expect_unmoved();
    // It still wants to be registered.
    let until = Instant::now() + LONG;
    loop {
        assert!(Instant::now() < until, "it registers no more");
        let (len, _) = server.recv_from(&mut datagram).unwrap();
        let message = decode_rendezvous(&datagram[..len]).unwrap();
        use hbb::rendezvous_message::Union as R;
        if let Some(R::RegisterPk(_) | R::RegisterPeer(_)) = message.union {
            break;
        }
    }
}
