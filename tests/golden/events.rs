//! The lists of recorded events: each becomes exactly what its line says.

use kvmdesk::input::event::{InputEvent, LockKey, PointerButton};
use kvmdesk::peer::machine::{AnnouncedPlatform, Opening};
use kvmdesk::wire::message::{encode_message, hbb};

use super::replay::{Effect, Replay};
use crate::support::controller::Union;
use crate::support::transcript::{Body, Transcript};

/// The notation of the files.
fn written(effect: &Effect) -> String {
    let event = match effect {
        Effect::Hands(event) => event,
        Effect::Wanted(r) => return format!("want({},{})", r.max_fps, r.quality_percent),
        Effect::Keyframe(index) => return format!("keyframe({index})"),
    };
    match event {
        InputEvent::Key { usage, is_down } => format!("key{}{:02x}", sign(*is_down), usage.0),
        InputEvent::Tap { usage, modifiers } => {
            let modifiers: Vec<String> = modifiers.iter().map(|m| format!("{:02x}", m.0)).collect();
            if modifiers.is_empty() {
                format!("tap({:02x})", usage.0)
            } else {
                format!("tap({:02x}:{})", usage.0, modifiers.join(","))
            }
        }
        InputEvent::Lock { lock, is_on } => {
            let name = match lock {
                LockKey::NumLock => "num",
                LockKey::CapsLock => "caps",
                LockKey::ScrollLock => "scroll",
            };
            format!("lock({name},{})", if *is_on { "on" } else { "off" })
        }
        InputEvent::Text(text) => format!("text({text:?})"),
        InputEvent::Consumer(usage) => format!("consumer({:02x})", usage.0),
        InputEvent::System(usage) => format!("system({:02x})", *usage as u8),
        InputEvent::PointerAbsolute(at) => format!("abs({},{})", at.x, at.y),
        InputEvent::PointerRelative { dx, dy } => format!("rel({dx},{dy})"),
        InputEvent::Button { button, is_down } => {
            let name = match button {
                PointerButton::Left => "left",
                PointerButton::Right => "right",
                PointerButton::Middle => "middle",
                PointerButton::Back => "back",
                PointerButton::Forward => "forward",
            };
            format!("{}({name})", if *is_down { "down" } else { "up" })
        }
        InputEvent::Wheel { vertical, horizontal } => format!("wheel({vertical},{horizontal})"),
        InputEvent::ReleaseAll => "release-all".into(),
    }
}

fn sign(is_down: bool) -> char {
    if is_down { '+' } else { '-' }
}

/// A session that is past its login and its first picture.
pub fn ready(announce: AnnouncedPlatform) -> Replay {
    let mut replay = Replay::new("234567891", Opening::Direct, announce);
    let recorded = Transcript::load("direct-ip");
    for entry in recorded.entries.iter().filter(|e| e.is_received) {
        let Body::Message(bytes) = &entry.body else { continue };
        let is_login = matches!(
            kvmdesk::wire::message::decode_message(bytes).unwrap().union,
            Some(Union::LoginRequest(_))
        );
        if is_login {
            replay.feed(bytes, true);
        }
    }
    assert!(replay.is_logged_in);
    replay.frame(true);
    replay.advance(std::time::Duration::from_secs(2));
    replay.effects.clear();
    replay
}

fn play(name: &str, announce: AnnouncedPlatform) {
    let transcript = Transcript::load(name);
    assert_eq!(transcript.value("announce"), Some(format!("{announce:?}").as_str()));
    assert_eq!(transcript.expectations.len(), 42);
    let mut replay = ready(announce);
    for line in &transcript.expectations {
        replay.feed(&line.message, true);
        let got: Vec<String> = replay.effects.drain(..).map(|e| written(&e)).collect();
        assert_eq!(got.join(" "), line.becomes, "{}", line.words);
        assert!(replay.closed.is_none(), "{}", line.words);
    }
}

#[test]
fn events_for_windows() {
    play("controller-events-windows", AnnouncedPlatform::Windows);
}

#[test]
fn events_for_linux() {
    play("controller-events-linux", AnnouncedPlatform::Linux);
}

#[test]
fn events_for_mac_os() {
    play("controller-events-macos", AnnouncedPlatform::MacOs);
}

/// A phone's keyboard and key bar (reference: session 6.9): characters without Shift, chords as lists, text in one.
#[test]
fn a_scripted_phone() {
    use hbb::ControlKey as C;
    use hbb::key_event::Union as Key;
    let chord = |union: Key, modifiers: &[C]| hbb::KeyEvent {
        press: true,
        union: Some(union),
        modifiers: modifiers.iter().map(|m| *m as i32).collect(),
        ..Default::default()
    };
    let cases = [
        (chord(Key::Chr(u32::from('c')), &[C::Control]), "tap(06:e0)"),
        (chord(Key::Chr(u32::from('A')), &[]), "text(\"A\")"),
        (chord(Key::Seq("Grüße, 2 €".into()), &[]), "text(\"Grüße, 2 €\")"),
        (chord(Key::ControlKey(C::Tab as i32), &[C::Alt]), "tap(2b:e2)"),
        (chord(Key::ControlKey(C::F5 as i32), &[]), "tap(3e)"),
        (chord(Key::ControlKey(C::Backspace as i32), &[]), "tap(2a)"),
    ];
    let mut replay = ready(AnnouncedPlatform::Windows);
    for (event, becomes) in cases {
        let words = format!("{event:?}");
        replay.feed(&encode_message(Union::KeyEvent(event)), true);
        let got: Vec<String> = replay.effects.drain(..).map(|e| written(&e)).collect();
        assert_eq!(got.join(" "), becomes, "{words}");
    }
}
