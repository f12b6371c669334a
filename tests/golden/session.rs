//! The sessions: what the official side and ours answered, compared by kind, order and content.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kvmdesk::input::event::{AbsolutePoint, InputEvent, LockKey, PointerButton};
use kvmdesk::input::usage::KeyUsage;
use kvmdesk::peer::machine::{AnnouncedPlatform, CloseReason, Opening};
use kvmdesk::wire::message::decode_message;

use super::replay::{Effect, Replay};
use crate::support::controller::{Union, kind};
use crate::support::transcript::{Body, Channel, Transcript};

/// Kinds whose number is a matter of time, not of content.
const BY_TIME: &[&str] = &["test_delay", "key", "video"];

/// Replays the part between the two peers; gives the machine for more questions.
fn replay(name: &str, opening: Opening, knows_password: bool) -> Replay {
    let transcript = Transcript::load(name);
    let mut replay = Replay::new(transcript.value("id").unwrap(), opening, AnnouncedPlatform::Windows);
    let mut official = vec![];
    let mut has_picture = false;
    for entry in transcript.entries.iter().filter(|e| e.channel == Channel::Peer) {
        match &entry.body {
            Body::Message(bytes) if entry.is_received => {
                replay.feed(bytes, knows_password);
                replay.advance(Duration::from_millis(50));
                if replay.is_logged_in && !has_picture {
                    has_picture = true;
                    replay.frame(true);
                    replay.frame(false);
                    replay.advance(Duration::from_secs(2));
                }
            }
            Body::Message(bytes) => {
                let union = decode_message(bytes).unwrap().union.unwrap();
                official.push((kind(&union), Some(union)));
            }
            Body::Video { is_keyframe } => {
                official.push((if *is_keyframe { "key" } else { "video" }, None));
            }
        }
    }
    compare(&transcript, &official, &replay);
    replay
}

type Said = (&'static str, Option<Union>);

fn compare(transcript: &Transcript, official: &[Said], replay: &Replay) {
    let ours: Vec<Said> = replay.said.iter().map(|m| (kind(m), Some(m.clone()))).collect();
    let mut found = BTreeSet::new();
    let kinds: BTreeSet<&str> = official.iter().chain(&ours).map(|(k, _)| *k).collect();
    for kind in kinds {
        let count = |of: &[Said]| of.iter().filter(|(k, _)| *k == kind).count();
        let (theirs, mine) = (count(official), count(&ours));
        if BY_TIME.contains(&kind) {
            assert!(kind == "video" || (theirs > 0) == (mine > 0), "{kind} on one side only");
            continue;
        }
        if mine > theirs {
            found.insert(format!("more {kind}"));
        } else if mine < theirs {
            found.insert(format!("less {kind}"));
        }
        for (_, message) in official.iter().filter(|(k, _)| *k == kind) {
            let message = fields(message.as_ref().unwrap());
            let candidates: Vec<_> = ours
                .iter()
                .filter(|(k, _)| *k == kind)
                .map(|(_, mine)| differing(&message, &fields(mine.as_ref().unwrap())))
                .collect();
            let closest = candidates.into_iter().min_by_key(BTreeSet::len).unwrap_or_default();
            found.extend(closest.iter().map(|path| format!("differs {kind}.{path}")));
        }
    }
    assert_listed(transcript, &found);
    // The kinds that both sides have come in the same order.
    let order = |of: &[Said], other: &[Said]| -> Vec<&str> {
        let mut seen = vec![];
        for (kind, _) in of {
            if !seen.contains(kind) && *kind != "video" && other.iter().any(|(k, _)| k == kind) {
                seen.push(*kind);
            }
        }
        seen
    };
    assert_eq!(order(&ours, official), order(official, &ours));
}

/// Every difference is listed with a reason, and nothing is listed that is none.
fn assert_listed(transcript: &Transcript, found: &BTreeSet<String>) {
    let listed: Vec<String> = transcript
        .head
        .iter()
        .filter(|(name, _)| matches!(name.as_str(), "differs" | "more" | "less"))
        .map(|(name, value)| {
            let (path, reason) = value.split_once(": ").unwrap();
            assert!(!reason.is_empty());
            format!("{name} {path}")
        })
        .collect();
    let covers = |listed: &str, found: &str| found == listed || found.starts_with(&format!("{listed}."));
    for difference in found {
        assert!(listed.iter().any(|l| covers(l, difference)), "not listed: {difference}; all: {found:#?}");
    }
    for line in &listed {
        assert!(found.iter().any(|f| covers(line, f)), "listed, but no difference: {line}");
    }
}

fn differing(a: &BTreeMap<String, Vec<String>>, b: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    a.keys().chain(b.keys()).filter(|path| a.get(*path) != b.get(*path)).cloned().collect()
}

/// A message as paths and values, without what belongs to one connection only.
fn fields(union: &Union) -> BTreeMap<String, Vec<String>> {
    let mut union = union.clone();
    match &mut union {
        Union::SignedId(signed) => signed.id = vec![0; signed.id.len()],
        Union::Hash(hash) => hash.challenge = "x".repeat(hash.challenge.len()),
        _ => {}
    }
    let text = format!("{union:#?}");
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut path: Vec<String> = vec![];
    for line in text.lines().map(str::trim) {
        let (name, value) = line.split_once(": ").map_or(("", line), |(n, v)| (n, v));
        if line.ends_with(['{', '(', '[']) {
            path.push(if name == "union" { String::new() } else { name.to_owned() });
        } else if matches!(line.trim_end_matches(','), "}" | ")" | "]") {
            path.pop();
        } else {
            let mut parts: Vec<&str> = path.iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
            parts.extend(Some(name).filter(|n| !n.is_empty()));
            out.entry(parts.join(".")).or_default().push(value.trim_end_matches(',').to_owned());
        }
    }
    out
}

#[test]
fn a_punched_session_with_events() {
    let replay = replay("punch-and-session", Opening::Secure, true);
    assert!(replay.is_logged_in && replay.is_sealed);
    assert_eq!(replay.closed, Some(CloseReason::LeftByController(String::new())));
    let hands: Vec<InputEvent> = replay
        .effects
        .iter()
        .filter_map(|e| match e {
            Effect::Hands(event) => Some(event.clone()),
            _ => None,
        })
        .collect();
    // The recorded side announced Linux, where 38 is A; ours announced Windows, where it is L.
    let at = |x, y| InputEvent::PointerAbsolute(AbsolutePoint::from_pixel(x, y, 1280, 720));
    let button = |is_down| InputEvent::Button { button: PointerButton::Left, is_down };
    let key = |is_down| InputEvent::Key { usage: KeyUsage::L, is_down };
    let lock = InputEvent::Lock { lock: LockKey::CapsLock, is_on: false };
    assert_eq!(hands, [at(50, 60), at(100, 100), button(true), button(false), lock, key(true), key(false)]);
}

#[test]
fn a_forced_relay() {
    assert!(replay("forced-relay", Opening::Secure, true).is_logged_in);
}

#[test]
fn a_relay_for_a_symmetric_nat() {
    assert!(replay("symmetric-nat-relay", Opening::Secure, true).is_logged_in);
}

#[test]
fn a_relay_after_the_same_address() {
    assert!(replay("same-ip-local-addr", Opening::Secure, true).is_logged_in);
}

#[test]
fn direct_access() {
    let replay = replay("direct-ip", Opening::Direct, true);
    assert!(replay.is_logged_in && !replay.is_sealed);
}

#[test]
fn a_wrong_password_keeps_the_connection() {
    let replay = replay("wrong-password", Opening::Secure, false);
    assert!(!replay.is_logged_in && replay.closed.is_none());
}

#[test]
fn signed_ids_name_the_dialled_id() {
    for name in ["punch-and-session", "forced-relay"] {
        let transcript = Transcript::load(name);
        let replay =
            Replay::new(transcript.value("id").unwrap(), Opening::Secure, AnnouncedPlatform::Windows);
        let ours = replay.signed_id();
        assert_eq!((ours.id.as_str(), ours.pk.len()), ("234567891", 32));
    }
}
