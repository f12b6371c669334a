//! Recordings in `tests/golden/*.transcript`. A head of `#` comments and `name value` lines, then one message a line:
//! `seconds channel direction hex`, seen from the controlled side (`<` received, `>` sent); video is `video key` or
//! `video delta`. Lists of events have `hex words => expectation` instead.

use std::path::Path;

/// Where a message travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Datagrams of the ID server.
    Udp,
    /// TCP to the ID server.
    Hbbs,
    /// TCP to the relay, before the controller.
    Hbbr,
    /// The controller, opened.
    Peer,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A whole message.
    Message(Vec<u8>),
    /// A video frame; only whether it was a key frame was kept.
    Video {
        /// Whether it was.
        is_keyframe: bool,
    },
}

/// One recorded message.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Seconds since the recording began.
    pub at: f64,
    /// Where.
    pub channel: Channel,
    /// Received by the controlled side (false: sent by it).
    pub is_received: bool,
    /// What.
    pub body: Body,
}

/// One event and what must come of it.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The message.
    pub message: Vec<u8>,
    /// The message in words.
    pub words: String,
    /// What it becomes, in the file's notation.
    pub becomes: String,
}

/// A file of `tests/golden`.
#[derive(Debug, Default)]
pub struct Transcript {
    /// `name value` lines of the head.
    pub head: Vec<(String, String)>,
    /// The messages.
    pub entries: Vec<Entry>,
    /// The events, in a list of events.
    pub expectations: Vec<Expectation>,
}

impl Transcript {
    /// Reads `tests/golden/NAME.transcript`.
    ///
    /// # Panics
    /// The file is missing or a line is not of the format.
    pub fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.transcript"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self::parse(&text)
    }

    /// Parses a file's text.
    ///
    /// # Panics
    /// A line is not of the format.
    pub fn parse(text: &str) -> Self {
        let mut out = Self::default();
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some((message, becomes)) = line.split_once(" =>") {
                let (hex, words) = message.split_once(' ').unwrap_or((message, ""));
                out.expectations.push(Expectation {
                    message: from_hex(hex),
                    words: words.trim().into(),
                    becomes: becomes.trim().into(),
                });
            } else if line.starts_with(|c: char| c.is_ascii_digit()) {
                out.entries.push(entry(line));
            } else {
                let (name, value) = line.split_once(' ').unwrap_or((line, ""));
                out.head.push((name.into(), value.into()));
            }
        }
        out
    }

    /// The first value of a head line.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Every value of a head line.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

fn entry(line: &str) -> Entry {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("transcript line {line:?}"));
    let at = word().parse().unwrap_or_else(|e| panic!("{e} in {line:?}"));
    let channel = match word() {
        "udp" => Channel::Udp,
        "hbbs" => Channel::Hbbs,
        "hbbr" => Channel::Hbbr,
        "peer" => Channel::Peer,
        other => panic!("channel {other:?} in {line:?}"),
    };
    let is_received = match word() {
        "<" => true,
        ">" => false,
        other => panic!("direction {other:?} in {line:?}"),
    };
    let body = match word() {
        "video key" => Body::Video { is_keyframe: true },
        "video delta" => Body::Video { is_keyframe: false },
        hex => Body::Message(from_hex(hex)),
    };
    Entry { at, channel, is_received, body }
}

/// Bytes of a hexadecimal text.
///
/// # Panics
/// It is none.
pub fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "odd hex {text:?}");
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap_or_else(|e| panic!("{e} in {text:?}")))
        .collect()
}

#[test]
fn every_line_of_the_format() {
    let text = "# c\nid 1\nmore a: b\nmore c: d\n\n0.5 udp < 0102\n1.0 peer > video key\n2a00 test_delay {} => x y\n";
    let got = Transcript::parse(text);
    assert_eq!(got.value("id"), Some("1"));
    assert_eq!(got.values("more").collect::<Vec<_>>(), ["a: b", "c: d"]);
    assert_eq!(got.entries[0].body, Body::Message(vec![1, 2]));
    assert!(got.entries[0].is_received && got.entries[0].channel == Channel::Udp);
    assert_eq!(got.entries[1].body, Body::Video { is_keyframe: true });
    assert_eq!(got.expectations[0].becomes, "x y");
    assert_eq!(got.expectations[0].message, [0x2a, 0]);
}
