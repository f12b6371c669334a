//! The thread with a device that a test holds in its hands, listened to through a decoder.

use std::f64::consts::TAU;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use super::*;
use crate::media::audio::AudioSubscription;
use crate::media::audio::gate::HOLD_PACKETS;

const LONG: Duration = Duration::from_secs(60);
/// Samples a channel of a packet.
const FRAMES: usize = PACKET_SAMPLES / CHANNELS;

enum Given {
    Samples(Vec<i16>),
    Overrun,
    Gone,
}

/// A device; clones are the same one.
#[derive(Clone)]
struct Device {
    given: Arc<Mutex<Vec<Given>>>,
    signal: Arc<WakeSender>,
    heard: Arc<Mutex<WakeReceiver>>,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    is_there: Arc<AtomicBool>,
    /// Whether it is there can be seen without opening it.
    is_seen: bool,
}

impl Device {
    fn new() -> Self {
        let (signal, heard) = wake::pair().unwrap();
        Self {
            given: Arc::default(),
            signal: Arc::new(signal),
            heard: Arc::new(Mutex::new(heard)),
            opened: Arc::default(),
            closed: Arc::default(),
            is_there: Arc::new(AtomicBool::new(true)),
            is_seen: false,
        }
    }

    fn give(&self, given: Given) {
        self.given.lock().unwrap().push(given);
        self.signal.wake();
    }
}

impl PcmSource for Device {
    fn name(&self) -> String {
        "the test's".into()
    }

    fn look(&mut self) -> Result<(), PcmError> {
        if self.is_seen && !self.is_there.load(Ordering::Acquire) {
            return Err(PcmError("there is none".into()));
        }
        Ok(())
    }

    fn open(&mut self) -> Result<Box<dyn Pcm>, PcmError> {
        if !self.is_there.load(Ordering::Acquire) {
            return Err(PcmError("it is not there".into()));
        }
        self.opened.fetch_add(1, Ordering::AcqRel);
        Ok(Box::new(Open(self.clone())))
    }
}

struct Open(Device);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Ordering::AcqRel);
    }
}

impl Pcm for Open {
    fn name(&self) -> &str {
        "the test's, open"
    }

    fn wait(&mut self, wake: &WakeReceiver, until: Instant) -> Result<(), PcmError> {
        let heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        wake.poll(Some((heard.as_raw_fd(), libc::POLLIN)), until);
        Ok(())
    }

    fn read(&mut self, into: &mut Vec<i16>) -> Result<Fetched, PcmError> {
        self.0.heard.lock().unwrap().take();
        for given in self.0.given.lock().unwrap().drain(..) {
            match given {
                Given::Samples(samples) => into.extend(samples),
                Given::Overrun => return Ok(Fetched::Overrun),
                Given::Gone => return Err(PcmError("it was pulled out".into())),
            }
        }
        Ok(Fetched::Samples)
    }
}

/// A tone on both channels, the right one half as loud, from sample `from` on.
fn tone(from: usize, frames: usize, hertz: f64, peak: f64) -> Vec<i16> {
    (from..from + frames)
        .flat_map(|n| {
            let at = (TAU * hertz * n as f64 / f64::from(SAMPLE_RATE)).sin() * peak;
            [at as i16, (at / 2.0) as i16]
        })
        .collect()
}

/// Amplitude of one frequency in a channel (a Goertzel filter's end).
fn amplitude(samples: &[i16], channel: usize, hertz: f64) -> f64 {
    let (mut re, mut im, mut count) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().skip(channel).step_by(CHANNELS).enumerate() {
        let phase = TAU * hertz * n as f64 / f64::from(SAMPLE_RATE);
        re += f64::from(*sample) * phase.cos();
        im += f64::from(*sample) * phase.sin();
        count += 1.0;
    }
    2.0 * re.hypot(im) / count
}

async fn next(subscription: &mut AudioSubscription) -> EncodedAudio {
    tokio::time::timeout(LONG, subscription.next()).await.expect("no packet came").expect("it ended")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < give_up, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn count(number: &AtomicUsize) -> usize {
    number.load(Ordering::Acquire)
}

#[tokio::test]
async fn a_tone_arrives_with_its_pitch_and_loudness() {
    let device = Device::new();
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let mut listener = audio.handle().subscribe();
    let mut decoder = opus::Decoder::new(SAMPLE_RATE, Channels::Stereo).unwrap();
    let (mut heard, mut bytes) = (vec![], 0);
    for n in 0..100 {
        // In pieces that are no packets, one packet each time in sum.
        let samples = tone(n * FRAMES, FRAMES, 1000.0, 8000.0);
        let (one, two) = samples.split_at(2 * (n % 7) * 50);
        device.give(Given::Samples(one.to_vec()));
        device.give(Given::Samples(two.to_vec()));
        let packet = next(&mut listener).await;
        assert_eq!(packet.format, AudioFormat { sample_rate: 48_000, channels: 2 });
        let mut room = [0; PACKET_SAMPLES];
        assert_eq!(decoder.decode(&packet.data, &mut room, false).unwrap(), FRAMES, "10 ms");
        heard.extend_from_slice(&room);
        bytes += packet.data.len();
    }
    let steady = &heard[heard.len() / 2..];
    let (left, right) = (amplitude(steady, 0, 1000.0), amplitude(steady, 1, 1000.0));
    assert!((7600.0..8400.0).contains(&left), "left {left}");
    assert!((3600.0..4400.0).contains(&right), "right {right}");
    for other in [900.0, 1100.0, 2000.0] {
        assert!(amplitude(steady, 0, other) < 200.0, "{other} Hz");
    }
    assert!(bytes < 20_000, "{bytes} bytes a second");
    let handle = audio.handle();
    until("all are counted", || handle.report().packets == 100).await;
}

#[tokio::test]
async fn the_device_is_open_only_while_somebody_listens() {
    let device = Device::new();
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let handle = audio.handle();
    assert_eq!((count(&device.opened), handle.report().state), (0, AudioState::Asleep));
    let first = handle.subscribe();
    until("it is opened", || count(&device.opened) == 1).await;
    let second = handle.subscribe();
    drop(first);
    until("it captures", || handle.report().state == AudioState::Silent).await;
    assert_eq!(count(&device.closed), 0, "one still listens");
    drop(second);
    until("it is closed", || count(&device.closed) == 1).await;
    until("it sleeps", || handle.report().state == AudioState::Asleep).await;
    let mut third = handle.subscribe();
    until("it is opened again", || count(&device.opened) == 2).await;
    drop(audio);
    assert!(third.next().await.is_none(), "the end is told");
    assert_eq!(count(&device.closed), 2);
}

#[tokio::test]
async fn silence_is_not_sent_and_sound_is_at_once() {
    let device = Device::new();
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let handle = audio.handle();
    let mut listener = handle.subscribe();
    let hush = || Given::Samples(vec![1; PACKET_SAMPLES]);
    device.give(Given::Samples(tone(0, FRAMES, 440.0, 3000.0)));
    next(&mut listener).await;
    for _ in 0..HOLD_PACKETS {
        device.give(hush());
        next(&mut listener).await;
    }
    for n in 1..=1000 {
        device.give(hush());
        until("silence is counted", || handle.report().silent == n).await;
    }
    assert_eq!(handle.report().state, AudioState::Silent);
    device.give(Given::Samples(tone(0, FRAMES, 440.0, 3000.0)));
    next(&mut listener).await;
    until("all are counted", || handle.report().packets == u64::from(HOLD_PACKETS) + 2).await;
    assert_eq!(handle.report().state, AudioState::Sounding);
}

#[tokio::test]
async fn a_device_that_goes_is_found_again_and_a_loss_is_no_end() {
    let device = Device::new();
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let handle = audio.handle();
    let mut listener = handle.subscribe();
    let sound = || Given::Samples(tone(0, FRAMES, 440.0, 3000.0));
    device.give(sound());
    next(&mut listener).await;
    device.give(Given::Samples(tone(0, FRAMES / 2, 440.0, 3000.0)));
    until("half a packet is taken", || device.given.lock().unwrap().is_empty()).await;
    device.give(Given::Overrun);
    until("the loss is counted", || handle.report().overruns == 1).await;
    device.give(sound());
    next(&mut listener).await;
    assert_eq!(count(&device.opened), 1);

    device.is_there.store(false, Ordering::Release);
    device.give(Given::Gone);
    until("the loss is told", || handle.report().state == AudioState::NoDevice).await;
    until("it is tried again", || handle.report().notice == "it is not there").await;
    device.is_there.store(true, Ordering::Release);
    until("it is found", || count(&device.opened) == 2).await;
    device.give(sound());
    next(&mut listener).await;
    assert_eq!((handle.report().notice.as_str(), count(&device.closed)), ("", 1));
}

#[tokio::test]
async fn a_device_that_gives_nothing_is_opened_again() {
    let device = Device::new();
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let _listener = audio.handle().subscribe();
    until("it is opened twice", || count(&device.opened) == 2).await;
    assert_eq!(count(&device.closed), 1);
}

#[tokio::test]
async fn a_device_that_comes_and_goes_is_told_to_those_who_want_to_know() {
    let device = Device { is_seen: true, ..Device::new() };
    device.is_there.store(false, Ordering::Release);
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let handle = audio.handle();
    let mut presence = handle.presence();
    assert!(!*presence.borrow_and_update(), "known from the start");
    until("the state", || handle.report().state == AudioState::NoDevice).await;
    assert_eq!(handle.report().notice, "there is none");

    device.is_there.store(true, Ordering::Release);
    let told = tokio::time::timeout(LONG, presence.wait_for(|is_there| *is_there)).await;
    assert!(*told.expect("it is seen in time").unwrap());
    until("the state", || handle.report().state == AudioState::Asleep).await;
    assert_eq!((handle.report().notice.as_str(), device.opened.load(Ordering::Acquire)), ("", 0));

    let mut subscription = handle.subscribe();
    device.give(Given::Samples(tone(0, FRAMES * 4, 440.0, 9000.0)));
    next(&mut subscription).await;
    device.is_there.store(false, Ordering::Release);
    device.give(Given::Gone);
    let told = tokio::time::timeout(LONG, presence.wait_for(|is_there| !*is_there)).await;
    assert!(!*told.expect("the loss is told").unwrap());
    // Nobody looks after it for nobody.
    drop((subscription, presence));
    until("the sleep", || handle.report().notice == "there is none").await;
    device.is_there.store(true, Ordering::Release);
    let presence = handle.presence();
    until("a look at once", || *presence.borrow()).await;
}

#[tokio::test]
async fn a_device_that_only_opening_tells_of_counts_as_there() {
    let device = Device::new();
    device.is_there.store(false, Ordering::Release);
    let audio = Audio::spawn_from(Box::new(device.clone()));
    let handle = audio.handle();
    let presence = handle.presence();
    let subscription = handle.subscribe();
    until("the fault", || handle.report().notice == "it is not there").await;
    drop(subscription);
    until("the sleep", || handle.report().state == AudioState::Asleep).await;
    assert_eq!(handle.report().notice, "it is not there", "still so, as far as is known");
    assert!(*presence.borrow());
}
