//! The computer's sound, through ALSA's loopback: what is played on one side is captured by the daemon on the other.
#![allow(clippy::wildcard_enum_match_arm, reason = "one arm of a big union is looked at")]

use std::f64::consts::TAU;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use kvmdesk::wire::message::hbb;

use super::machine::{Machine, PATIENCE, say};
use super::{CONFIG, PASSWORD, Session, start, stop};
use crate::support::controller::Union;

/// Samples a channel of a packet.
const FRAMES: usize = 480;
const HERTZ: f64 = 1000.0;
const PEAK: f64 = 8000.0;

/// Silence is not sent, a tone is heard as it was played, and nobody who listens costs no device.
pub fn walk_through(machine: &Machine) {
    set_up(machine);
    let report = machine.run(&format!("kvmdesk probe --config {CONFIG}"));
    assert!(report.contains("plughw:CARD=hdmi,DEV=1"), "{report}");
    say(&format!("the guest's probe:\n{report}"));
    start(machine);
    let mut session = Session::log_in(machine);

    wait_for(&mut session, "silence is captured", |audio| {
        audio["state"] == "silent" && audio["silent"].as_u64() > Some(0)
    });
    assert_eq!(session.status("/target/audio")["packets"], 0, "silence is not sent");
    assert!(!session.app.inbox.iter().any(|m| matches!(m, Union::AudioFrame(_))));
    say("ok: silence is captured and not sent");

    machine.run(&format!(
        "/host/tone /dev/snd/pcmC0D0p {HERTZ} {PEAK} >/tmp/tone.log 2>&1 </dev/null & echo $! >/tmp/tone.pid"
    ));
    let format = session.app.wait_for(PATIENCE, |message| match message {
        Union::Misc(hbb::Misc { union: Some(hbb::misc::Union::AudioFormat(format)) }) => Some(*format),
        _ => None,
    });
    let format =
        format.unwrap_or_else(|e| panic!("{e}; the player said {}", machine.run("cat /tmp/tone.log")));
    assert_eq!((format.sample_rate, format.channels), (48_000, 2));
    let loudest = hear(&mut session);
    assert!((PEAK * 0.9..PEAK * 1.1).contains(&loudest), "loudness {loudest}");
    let order = &session.app.order;
    let first = |kind: &str| order.iter().position(|k| *k == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert!(first("misc.audio_format") < first("audio_frame"), "the format comes first");
    say(&format!("ok: {HERTZ} Hz are heard, peak {loudest:.0} of {PEAK}"));
    say(&session.in_guest(&format!("kvmdesk status --config {CONFIG}")));

    session.in_guest("kill $(cat /tmp/tone.pid)");
    wait_for(&mut session, "silence again", |audio| audio["state"] != "sounding");
    drop(session);
    let asleep = || machine.run(&format!("kvmdesk status --config {CONFIG}"));
    let give_up = Instant::now() + PATIENCE;
    while !asleep().contains("nobody listens") {
        assert!(Instant::now() < give_up, "{}", asleep());
        std::thread::sleep(Duration::from_millis(200));
    }
    let closed = machine.run("cat /proc/asound/card0/pcm1c/sub0/status");
    assert_eq!(closed.trim(), "closed", "nobody listens: the device is free");
    say("ok: silence ends the sound, and the last listener closes the device");

    let report = machine.run(&format!("kvmdesk probe --json --config {CONFIG}"));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let capture = &report["captures"][0];
    assert_eq!((&capture["driver"], &capture["signal"]["resolution"]), (&"vivid".into(), &"640x480".into()));
    let in_use_by = capture["in_use_by"][0].as_str().unwrap_or_default();
    assert!(in_use_by.starts_with("kvmdesk ("), "{capture:#}");
    machine.run(&format!("kvmdesk snapshot /host/asked.png --config {CONFIG}"));
    stop(machine);
    machine.run(&format!("kvmdesk snapshot /host/alone.png --config {CONFIG}"));
    for name in ["asked.png", "alone.png"] {
        let file = fs::File::open(machine.share().join(name)).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.width, info.height), (640, 480), "{name}");
        // vivid's first three bars: white, yellow, cyan at 75 %; looked at in the lower half.
        for (bar, wanted) in [[191u8, 191, 191], [191, 191, 0], [0, 191, 191]].into_iter().enumerate() {
            let at = (360 * 640 + bar * 80 + 40) * 3;
            let is_near =
                rgb[at..at + 3].iter().zip(wanted).all(|(seen, wanted)| seen.abs_diff(wanted) <= 20);
            assert!(is_near, "{name}: bar {bar} is {:?}", &rgb[at..at + 3]);
        }
    }
    say("ok: the device is seen in use, and is shown with and without the daemon");
}

/// Asks for the sound's status until it is as it should be, while the controller goes on.
fn wait_for(session: &mut Session<'_>, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        // The controller answers meanwhile: a line that answers late loses its sound.
        let text = session.in_guest(&format!("kvmdesk status --json --config {CONFIG}"));
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        let audio = &status["target"]["audio"];
        if is_so(audio) {
            return;
        }
        assert!(Instant::now() < give_up, "never came: {what}; {audio}");
    }
}

/// Decodes until a packet is the tone at its full loudness; its amplitude. An emulated card loses samples, so that not
/// every packet can be.
fn hear(session: &mut Session<'_>) -> f64 {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Stereo).unwrap();
    let (give_up, mut loudest, mut pure) = (Instant::now() + PATIENCE, 0.0f64, 0);
    while pure < 20 {
        assert!(Instant::now() < give_up, "only {pure} packets are the tone; the loudest has {loudest}");
        let frame = session.app.wait_for(PATIENCE, |message| match message {
            Union::AudioFrame(frame) => Some(frame.data.clone()),
            _ => None,
        });
        let mut samples = [0i16; FRAMES * 2];
        assert_eq!(decoder.decode(&frame.unwrap(), &mut samples, false).unwrap(), FRAMES);
        let tone = amplitude(&samples, HERTZ);
        if tone > PEAK * 0.9 && amplitude(&samples, 2.0 * HERTZ) < PEAK * 0.05 {
            pure += 1;
            loudest = loudest.max(tone);
        }
    }
    loudest
}

/// Amplitude of a frequency in the left channel.
fn amplitude(samples: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().step_by(2).enumerate() {
        let phase = TAU * hertz * n as f64 / 48_000.0;
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
    }
    2.0 * f64::hypot(re, im) / FRAMES as f64
}

/// The sound card, its player, ALSA's own files, and settings that use it.
fn set_up(machine: &Machine) {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/guest/tone.c");
    let compiler = std::env::var("LAB_CC").unwrap_or_else(|_| "gcc".into());
    let built = Command::new(&compiler)
        .args(["-O1", "-Wall", "-Wextra", "-static", "-D_GNU_SOURCE", "-o"])
        .arg(machine.share().join("tone"))
        .arg(source)
        .arg("-lm")
        .output()
        .unwrap();
    assert!(built.status.success(), "{compiler}: {}", String::from_utf8_lossy(&built.stderr));
    let copied = Command::new("cp").args(["-rL", "/usr/share/alsa"]).arg(machine.share()).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    machine.run("mkdir -p /usr/share; ln -s /host/alsa /usr/share/alsa");
    machine.run("modprobe snd-aloop index=0 id=hdmi pcm_substreams=1");
    machine.wait_for("ls /dev/snd", |said| said.contains("pcmC0D1c"));
    // udev's part.
    machine.run("chmod 666 /dev/snd/*");
    machine.run("lab video 1; lab mode 640x480p59; v4l2-ctl -d /dev/video0 -c osd_text_mode=2");
    let config = "\
        [direct]\nlisten = \"0.0.0.0:21118\"\nallow-plaintext = true\n\
        [video]\ndevice = \"/dev/video0\"\nmax-fps = 5\n\
        [audio]\ndevice = \"hw:hdmi,1\"\n\
        [hid]\nbackend = \"recording\"\n\
        [log]\nlevel = \"debug\"\n";
    fs::write(machine.share().join("kvmdesk.toml"), config).unwrap();
    fs::write(machine.share().join("password"), PASSWORD).unwrap();
    machine.run("cp /host/kvmdesk /usr/bin/kvmdesk; chmod 755 /usr/bin/kvmdesk");
    machine.run("mkdir -p /var/lib/kvmdesk; chown kvmdesk:kvmdesk /var/lib/kvmdesk");
    super::as_daemon(machine, &format!("kvmdesk password --file /host/password --config {CONFIG}"));
}
