//! The writer thread `hid-writer`: a thin shell around `engine` that reads the clock and blocks in `poll(2)`
//! only. One queue and one owner per session; what a session holds goes up when its handle is dropped.
#![allow(clippy::disallowed_methods, reason = "an edge: the writer thread is where time comes from")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::input::event::{InputEvent, LedState};
use crate::input::layout::Layout;
use crate::input::typist::{Typist, UnicodeEntry};

use super::backend::HidBackend;
use super::engine::{Deed, Engine};
use super::ladder::Recovery;
use super::pointing::PointerMode;
use super::poll::{self, Sleeper, Waker};
use super::queue::Gauge;
use super::report::OwnerId;

/// How the HID side does, for `status` and the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HidHealth {
    /// Reports are being taken (or none was written yet).
    pub is_connected: bool,
    /// A sentence about what is wrong, empty when all is well.
    pub notice: String,
    /// Reports written since start.
    pub reports_written: u64,
    /// Events thrown away because the host was gone.
    pub events_discarded: u64,
    /// Characters of texts left out because the keyboard layout has no key for them.
    pub characters_not_typed: u64,
    /// What was done about a host that took nothing.
    pub recovery: Recovery,
}

/// The settings of a writer.
#[derive(Debug, Clone, Default)]
pub struct HidSettings {
    /// Keyboard layout of the target for typed text, one of [`Layout::names`]. With another name no text is typed
    /// and the health notice says so; check it with [`Layout::by_name`] first.
    pub keyboard_layout: String,
    /// What becomes of characters that the layout does not type.
    pub unicode_entry: UnicodeEntry,
    /// Which pointer devices the target understands.
    pub pointer: PointerMode,
    /// Input wakes a host that sleeps, where the backend can wake.
    pub wakes_on_input: bool,
}

/// Owner of the writer thread; dropping it lifts everything and joins, within 300 ms.
#[derive(Debug)]
pub struct HidWriter {
    link: Option<Arc<Link>>,
    next_owner: AtomicU64,
    leds: watch::Receiver<LedState>,
    health: watch::Receiver<HidHealth>,
    thread: Option<JoinHandle<()>>,
}

/// One session's way in; dropping it lifts whatever the session holds.
#[derive(Debug)]
pub struct HidHandle {
    owner: OwnerId,
    gauge: Arc<Gauge>,
    link: Option<Arc<Link>>,
}

/// How far the texts of one session are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextProgress {
    /// Bytes of texts that are not typed to their end.
    pub bytes_waiting: usize,
    /// How often a text ended early: Esc, everything let go, or a computer that was gone.
    pub cuts: usize,
}

/// Why an event was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keyboard queue is full: the computer does not take input")]
pub struct QueueFull;

/// What goes to the thread. The channel has no lock that the thread could wait for.
#[derive(Debug)]
enum Message {
    Open(OwnerId, Arc<Gauge>),
    Event(OwnerId, InputEvent),
    Screen(u32, u32),
    Typist(Box<Typist>),
    Close(OwnerId),
    Wake,
    Ping(oneshot::Sender<()>),
    Stop,
}

#[derive(Debug)]
struct Link {
    sender: mpsc::Sender<Message>,
    waker: Waker,
}

impl Link {
    /// `false` if the thread has ended.
    fn send(&self, message: Message) -> bool {
        let is_sent = self.sender.send(message).is_ok();
        self.waker.wake();
        is_sent
    }
}

/// After a stop: how long sessions may finish what they are at, and when the thread ends whatever is left.
const STOP_GRACE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(280));
/// Counters alone are published no more often than this.
const COUNTER_PACE: Duration = Duration::from_millis(500);
/// A LED descriptor that is readable but gives no report is left alone for this long.
const LED_PAUSE: Duration = Duration::from_millis(250);

impl HidWriter {
    /// Starts the thread. If the system has no thread or descriptor left, the writer takes nothing and says so in
    /// its health.
    pub fn spawn(backend: Box<dyn HidBackend>, settings: HidSettings) -> Self {
        let (led_sender, leds) = watch::channel(LedState::default());
        let (health_sender, health) =
            watch::channel(HidHealth { is_connected: true, ..HidHealth::default() });
        let failure = health_sender.clone();
        let started = poll::waker().and_then(|(waker, sleeper)| {
            let (sender, news) = mpsc::channel();
            let link = Arc::new(Link { sender, waker });
            let shell = Shell { link: link.clone(), news, sleeper, leds: led_sender, health: health_sender };
            let typist = Layout::by_name(&settings.keyboard_layout)
                .map(|layout| Typist::new(layout, settings.unicode_entry))
                .map_err(|error| {
                    tracing::error!("{error}; no text will be typed");
                    format!("No text can be typed: {error}.")
                });
            let thread = std::thread::Builder::new()
                .name("hid-writer".to_owned())
                .spawn(move || shell.run(backend, typist, settings.pointer, settings.wakes_on_input))?;
            Ok((link, thread))
        });
        let (link, thread) = match started {
            Ok((link, thread)) => (Some(link), Some(thread)),
            Err(error) => {
                tracing::error!("the HID writer thread cannot be started: {error}");
                failure.send_modify(|health| {
                    health.is_connected = false;
                    health.notice =
                        format!("Keyboard and mouse could not be started ({error}): restart kvmdesk.");
                });
                (None, None)
            }
        };
        Self { link, next_owner: AtomicU64::new(0), leds, health, thread }
    }

    /// A new owner of keys and buttons.
    pub fn open_session(&self) -> HidHandle {
        let owner = OwnerId(self.next_owner.fetch_add(1, Ordering::Relaxed));
        let gauge = Arc::new(Gauge::default());
        if let Some(link) = &self.link {
            link.send(Message::Open(owner, gauge.clone()));
        }
        HidHandle { owner, gauge, link: self.link.clone() }
    }

    /// Texts are typed with this from now on, those that are being typed too.
    pub fn set_typist(&self, typist: Typist) {
        if let Some(link) = &self.link {
            link.send(Message::Typist(Box::new(typist)));
        }
    }

    /// The target's LEDs, all off until the first report.
    pub fn leds(&self) -> watch::Receiver<LedState> {
        self.leds.clone()
    }

    /// Health, for status and notices. Counters alone are published at most twice a second.
    pub fn health(&self) -> watch::Receiver<HidHealth> {
        self.health.clone()
    }
}

impl Drop for HidWriter {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.send(Message::Stop);
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HID writer thread had panicked");
        }
    }
}

impl HidHandle {
    /// Queues an event; never blocks. Releases and pointer positions are always taken.
    ///
    /// # Errors
    /// [`QueueFull`] for presses and text while the queue is full, and for everything once the writer is gone.
    pub fn send(&self, event: InputEvent) -> Result<(), QueueFull> {
        self.queue(event)?;
        self.flush();
        Ok(())
    }

    /// As [`HidHandle::send`], but the writer sleeps on until [`HidHandle::flush`]: events that belong together cost
    /// one wake-up, which is most of what an event costs.
    ///
    /// # Errors
    /// As [`HidHandle::send`].
    pub fn queue(&self, event: InputEvent) -> Result<(), QueueFull> {
        let link = self.link.as_ref().ok_or(QueueFull)?;
        self.gauge.admit(&event)?;
        link.sender.send(Message::Event(self.owner, event)).map_err(|_| QueueFull)
    }

    /// Has the writer see to what was queued.
    pub fn flush(&self) {
        if let Some(link) = &self.link {
            link.waker.wake();
        }
    }

    /// Tells how large the target's screen is, in its own pixels: by that places become distances and distances places.
    /// A side of 0 says nothing; one of more than 16384 counts as 16384.
    pub fn set_screen(&self, width: u32, height: u32) {
        if let Some(link) = &self.link {
            link.send(Message::Screen(width, height));
        }
    }

    /// Asks for a host that sleeps to be woken; whether it awoke shows in the health.
    pub fn wake(&self) {
        if let Some(link) = &self.link {
            link.send(Message::Wake);
        }
    }

    /// Asks whether the thread still works: it answers at once. An error means that it ended.
    pub fn ping(&self) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        if let Some(link) = &self.link {
            link.send(Message::Ping(answer));
        }
        answered
    }

    /// How far the texts of this session are.
    pub fn text_progress(&self) -> TextProgress {
        let (bytes_waiting, cuts) = self.gauge.text();
        TextProgress { bytes_waiting, cuts }
    }
}

impl Drop for HidHandle {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.send(Message::Close(self.owner));
        }
    }
}

/// The thread's belongings.
struct Shell {
    link: Arc<Link>,
    news: mpsc::Receiver<Message>,
    sleeper: Sleeper,
    leds: watch::Sender<LedState>,
    health: watch::Sender<HidHealth>,
}

impl Shell {
    fn run(
        self,
        mut backend: Box<dyn HidBackend>,
        typist: Result<Typist, String>,
        pointer: PointerMode,
        wakes_on_input: bool,
    ) {
        tracing::debug!("HID writer starts with backend {}", backend.name());
        let mut engine = Engine::new(typist, backend.keeps_state());
        engine.set_remedies(backend.advice(), backend.can_repair());
        engine.set_pointer(pointer);
        engine.set_wakes_on_input(wakes_on_input);
        let mut stopping: Option<Instant> = None;
        let mut leds_paused_until: Option<Instant> = None;
        let mut published_at: Option<Instant> = None;
        loop {
            self.link.waker.rearm(&self.sleeper);
            for message in self.news.try_iter() {
                match message {
                    Message::Open(owner, gauge) => {
                        if backend.keeps_state() {
                            engine.refresh(Instant::now());
                        }
                        engine.open(owner, gauge);
                    }
                    Message::Event(owner, event) => engine.push(owner, event, Instant::now()),
                    Message::Screen(width, height) => engine.set_screen(width, height),
                    Message::Typist(typist) => engine.set_typist(*typist),
                    Message::Close(owner) => engine.close(owner),
                    Message::Wake => engine.wake(Instant::now()),
                    Message::Ping(answer) => {
                        // Whoever asked may have lost patience.
                        let _ = answer.send(());
                    }
                    Message::Stop => stopping = stopping.or_else(|| Some(Instant::now())),
                }
            }
            while let Some(leds) = backend.poll_leds() {
                engine.set_leds(leds);
                self.leds.send_if_modified(|old| std::mem::replace(old, leds) != leds);
                leds_paused_until = None;
            }
            if backend.has_read() {
                leds_paused_until = None;
                engine.nudge(Instant::now());
            }
            if backend.has_news() {
                engine.inquire();
            }
            if let Some(since) = stopping {
                engine.close_all(since.elapsed() >= STOP_GRACE.0);
            }
            while let Some(deed) = engine.poll_deed(Instant::now()) {
                perform(&mut engine, backend.as_mut(), deed);
                if stopping.is_some_and(|since| since.elapsed() >= STOP_GRACE.1) {
                    break;
                }
            }
            let now = Instant::now();
            let publish_at = self.publish(engine.health(now), now, &mut published_at);
            if stopping.is_some_and(|since| engine.is_drained() || now >= since + STOP_GRACE.1) {
                self.health.send_replace(engine.health(now));
                return;
            }
            let stop_steps = stopping.map(|since| since + STOP_GRACE.0).filter(|at| *at > now);
            let stop_end = stopping.map(|since| since + STOP_GRACE.1);
            leds_paused_until = leds_paused_until.filter(|at| *at > now);
            let until =
                [engine.deadline(), backend.deadline(), publish_at, stop_steps, stop_end, leds_paused_until];
            let timeout =
                until.into_iter().flatten().min().map(|at| at.saturating_duration_since(Instant::now()));
            let led_fd = if leds_paused_until.is_none() { backend.led_fd() } else { None };
            use std::os::fd::AsFd;
            match poll::wait_readable([Some(self.sleeper.as_fd()), led_fd], timeout) {
                // Errors count as readable: without this pause a descriptor in error would spin.
                Ok([_, has_leds]) if has_leds => leds_paused_until = Some(Instant::now() + LED_PAUSE),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!("poll failed in the HID writer: {error}");
                    std::thread::sleep(LED_PAUSE);
                }
            }
        }
    }

    /// Publishes what changed, counters at their own pace. Returns when counters are due.
    fn publish(
        &self,
        health: HidHealth,
        now: Instant,
        published_at: &mut Option<Instant>,
    ) -> Option<Instant> {
        let (is_news, has_counters) = {
            let old = self.health.borrow();
            (old.is_connected != health.is_connected || old.notice != health.notice, *old != health)
        };
        let due = published_at.map_or(now, |at| at + COUNTER_PACE);
        if !is_news && !has_counters {
            return None;
        }
        if !is_news && now < due {
            return Some(due);
        }
        self.health.send_replace(health);
        *published_at = Some(now);
        None
    }
}

fn perform(engine: &mut Engine, backend: &mut dyn HidBackend, deed: Deed) {
    match deed {
        Deed::Write(report) => {
            let outcome = backend.write(report.device(), report.bytes()).map_err(|error| error.to_string());
            engine.wrote(report.device(), outcome, Instant::now());
        }
        Deed::Reopen => {
            let outcome = backend.reopen().map_err(|error| error.to_string());
            engine.reopened(outcome, Instant::now());
        }
        Deed::Repair(repair) => {
            let outcome = backend.repair(repair).map_err(|error| error.to_string());
            engine.asked(repair, outcome, Instant::now());
        }
        Deed::Wake => {
            let outcome = backend.wake().map_err(|error| error.to_string());
            engine.woke(outcome, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
