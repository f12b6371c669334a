//! The metrics over real sockets, judged by the rules of the text format.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::agent::{Daemon, PASSWORD, wait_until};
use crate::support::controller::LONG;

/// Sends a request and reads to the end: status line and body.
fn ask(mut stream: impl Read + Write, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), body.len());
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn listening(daemon: &Daemon) -> SocketAddr {
    wait_until(|| daemon.agent().status().metrics.is_some_and(|m| m.is_open));
    daemon.agent().status().metrics.unwrap().listen.parse().unwrap()
}

/// Judges a page (prometheus.io: Exposition formats, Metric and label naming) and gives back its samples.
fn samples(page: &str) -> Vec<(String, f64)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let (mut families, mut series, mut samples) = (BTreeSet::new(), BTreeSet::new(), vec![]);
    let mut family: Option<(String, String)> = None;
    let mut help: Option<String> = None;
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').expect("a help has words");
            assert!(is_name(name) && name.starts_with("kvmdesk_") && !text.is_empty(), "{line}");
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            help = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(help.take().as_deref(), Some(name), "HELP, then TYPE");
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = key.split_once('{').map_or((key, ""), |(name, labels)| (name, labels));
            let (family, kind) = family.as_ref().expect("TYPE before samples");
            assert_eq!(name, family, "the samples of a family stand together");
            if !labels.is_empty() {
                for label in labels.strip_suffix('}').expect("closed").split("\",") {
                    let (name, value) = label.split_once("=\"").expect("name=\"value\"");
                    assert!(is_name(name) && !name.starts_with("__"), "{line}");
                    let value = value.strip_suffix('"').unwrap_or(value);
                    assert!(!value.contains(['"', '\n', '\\']), "nothing here needs escapes: {line}");
                }
            }
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
            assert!(series.insert(key.to_owned()), "{key} comes twice");
            samples.push((key.to_owned(), value));
        }
    }
    assert!(help.is_none());
    samples
}

fn value(samples: &[(String, f64)], key: &str) -> f64 {
    samples.iter().find(|(k, _)| k == key).unwrap_or_else(|| panic!("no {key} in {samples:#?}")).1
}

#[test]
fn what_status_tells_is_served_as_prometheus_reads_it() {
    let config = "[metrics]\nlisten = \"127.0.0.1:0\"\n[[display]]\nsource = \"pattern\"\n";
    let daemon = Daemon::start_with(config, Some(PASSWORD));
    let address = listening(&daemon);
    let idle = samples(&ask(connect(address), GET).1);
    assert_eq!(value(&idle, "kvmdesk_sessions{route=\"direct\"}"), 0.0);
    assert_eq!(value(&idle, "kvmdesk_video_encoded_frames_total{display=\"2\"}"), 0.0);

    let mut controller = daemon.connect(PASSWORD);
    controller.log_in().unwrap();
    controller.first_picture(LONG).unwrap();
    let is_measured = |status: &kvmdesk::agent::status::Status| {
        let session = &status.target.sessions[0].stream;
        session.fps > 0 && session.round_trip_ms.is_some() && status.target.video.fps_out > 0.0
    };
    controller.wait_until(LONG, |_| is_measured(&daemon.agent().status())).unwrap();
    let (status, page) = ask(connect(address), GET);
    assert_eq!(status, "HTTP/1.1 200 OK");
    let busy = samples(&page);
    assert_eq!(value(&busy, "kvmdesk_sessions{route=\"direct\"}"), 1.0);
    assert!(value(&busy, "kvmdesk_video_encoded_frames_total{display=\"1\"}") > 0.0);
    assert!(value(&busy, "kvmdesk_sessions_round_trip_max_seconds") < 60.0);
    assert_eq!(value(&busy, "kvmdesk_video_signal_active{display=\"1\"}"), 1.0);
    let lane = busy.iter().find(|(key, _)| key.starts_with("kvmdesk_video_stream_watchers{")).unwrap();
    assert!(lane.0.contains("encoder=\"") && lane.1 >= 1.0, "{lane:?}");
    let status = daemon.agent().status();
    let guest = &status.target.sessions[0];
    let direct = daemon.address.to_string();
    for secret in [PASSWORD, &status.target.id, &guest.my_id, &guest.my_name, &guest.address, &direct] {
        assert!(!page.contains(secret), "{secret} in {page}");
    }
}

#[test]
fn strange_requests_are_answered_and_slow_ones_end() {
    let daemon = Daemon::start_with("[metrics]\nlisten = \"127.0.0.1:0\"\n", None);
    let address = listening(&daemon);
    for (request, wanted) in [
        ("GET / HTTP/1.0\r\n\r\n", "404"),
        ("GET /metrics?x=1 HTTP/1.0\n\n", "200"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("\u{1}\u{2}\r\n\r\n", "405"),
        (&"x".repeat(4096), "431"),
    ] {
        let (status, _) = ask(connect(address), request);
        assert_eq!(status.split(' ').nth(1), Some(wanted), "{request:?}");
    }
    // More than are served at once, none of which ever asks or reads.
    let idle: Vec<_> = (0..20).map(|_| connect(address)).collect();
    assert_eq!(ask(connect(address), GET).0, "HTTP/1.1 200 OK");
    let mut first = &idle[0];
    let mut end = vec![];
    assert!(first.read_to_end(&mut end).is_ok_and(|len| len == 0), "it was cut without an answer");
}

#[test]
fn a_socket_is_for_the_group_and_replaces_only_a_leftover() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.sock");
    let config = format!("[metrics]\nlisten = \"{}\"\n", path.display());
    drop(UnixListener::bind(&path).unwrap());
    let daemon = Daemon::start_with(&config, None);
    wait_until(|| daemon.agent().status().metrics.is_some_and(|m| m.is_open));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    assert!(samples(&ask(stream, GET).1).len() > 20);
    // Another daemon on the same socket takes nothing away.
    let second = Daemon::start_with(&config, None);
    let is_told =
        |daemon: &Daemon, words: &str| daemon.agent().status().problems.iter().any(|p| p.contains(words));
    wait_until(|| is_told(&second, "metrics cannot be served"));
    drop(second);
    assert!(UnixStream::connect(&path).is_ok());
    drop(daemon);
    assert!(!path.exists(), "nothing is left behind");

    std::fs::write(&path, "mine").unwrap();
    let daemon = Daemon::start_with(&config, None);
    wait_until(|| is_told(&daemon, "something else of that name"));
    drop(daemon);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(Daemon::start(None).agent().status().metrics, None, "off unless asked for");
}
