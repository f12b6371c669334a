//! The receiver against a simulated device, in simulated time.
#![allow(clippy::disallowed_methods, reason = "tests own their clocks")]

use super::*;

mod refusals;

const FRAME: Duration = Duration::from_millis(16);
/// A recovered picture may take so long after the end of its cause.
const AT_MOST: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NoSignal,
    NoCable,
    NoLock,
    OutOfRange,
    Stalled,
    /// The device is unregistered; every descriptor is dead until it is closed.
    Disconnect,
    /// One error, then the stream has to be started anew.
    Fatal,
    /// Streaming cannot be started.
    Refused,
    /// The driver is gone, and its node.
    Unbound,
}

const FAULTS: [Fault; 9] = [
    Fault::NoSignal,
    Fault::NoCable,
    Fault::NoLock,
    Fault::OutOfRange,
    Fault::Stalled,
    Fault::Disconnect,
    Fault::Fatal,
    Fault::Refused,
    Fault::Unbound,
];

/// What a wedged device needs before frames come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cure {
    Restart,
    Reopen,
    HotPlug,
}

#[derive(Debug)]
struct Fake {
    fault: Option<Fault>,
    wedge: Option<Cure>,
    size: Resolution,
    set: Option<Resolution>,
    hertz: u32,
    set_hertz: u32,
    is_open: bool,
    /// Its descriptor has died and stays dead.
    is_dead: bool,
    is_streaming: bool,
    is_broken: bool,
    is_plugged: bool,
    has_events: bool,
    has_edid: bool,
    pulses: usize,
    wish: Option<Resolution>,
    configured: usize,
    formats: usize,
    refuses_to_plug: bool,
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Fake {
    fn check(&self) -> io::Result<()> {
        if !self.is_open || self.is_dead { Err(errno(libc::ENODEV)) } else { Ok(()) }
    }
}

impl Hardware for Fake {
    fn open(&mut self) -> io::Result<()> {
        assert!(!self.is_open, "opened twice");
        match self.fault {
            Some(Fault::Unbound) => return Err(errno(libc::ENOENT)),
            Some(Fault::Disconnect) => return Err(errno(libc::ENODEV)),
            _ => {}
        }
        (self.is_open, self.is_dead) = (true, false);
        self.wedge = self.wedge.filter(|cure| *cure != Cure::Reopen);
        Ok(())
    }

    fn close(&mut self) {
        (self.is_open, self.is_streaming, self.is_dead) = (false, false, false);
    }

    fn query(&mut self) -> io::Result<Option<Resolution>> {
        self.check()?;
        match self.fault {
            _ if !self.is_plugged => Err(errno(libc::ENOLINK)),
            Some(Fault::NoSignal | Fault::NoCable) => Err(errno(libc::ENOLINK)),
            Some(Fault::NoLock) => Err(errno(libc::ENOLCK)),
            Some(Fault::OutOfRange) => Err(errno(libc::ERANGE)),
            _ => Ok(Some(self.size)),
        }
    }

    fn is_set(&self) -> bool {
        self.set_hertz == self.hertz
    }

    fn power_present(&mut self) -> Option<bool> {
        Some(self.fault != Some(Fault::NoCable))
    }

    fn set_wish(&mut self, wish: Option<Resolution>) -> bool {
        std::mem::replace(&mut self.wish, wish) != wish
    }

    fn configure(&mut self) -> io::Result<Resolution> {
        self.check()?;
        self.configured += 1;
        if self.is_streaming {
            return Err(errno(libc::EBUSY));
        }
        self.set = Some(self.size);
        self.set_hertz = self.hertz;
        Ok(self.size)
    }

    fn start(&mut self) -> io::Result<Resolution> {
        self.check()?;
        assert!(!self.is_streaming, "started twice");
        if self.fault == Some(Fault::Refused) {
            return Err(errno(libc::EIO));
        }
        (self.is_streaming, self.is_broken) = (true, false);
        Ok(self.set.unwrap())
    }

    fn stop(&mut self) {
        self.is_streaming = false;
        self.wedge = self.wedge.filter(|cure| *cure != Cure::Restart);
    }

    fn refuse_format(&mut self, _: &str) -> bool {
        let has_other = self.formats > 1;
        self.formats -= usize::from(has_other);
        has_other
    }

    fn has_events(&self) -> bool {
        self.has_events
    }

    fn can_hot_plug(&self) -> bool {
        self.has_edid
    }

    fn hot_plug(&mut self, is_plugged: bool) -> io::Result<()> {
        self.check()?;
        if is_plugged && self.refuses_to_plug {
            return Err(errno(libc::EIO));
        }
        self.is_plugged = is_plugged;
        if is_plugged {
            self.pulses += 1;
            self.wedge = None;
        }
        Ok(())
    }
}

struct Simulation {
    receiver: Receiver<Fake>,
    now: Instant,
    next_frame: Instant,
    has_event: bool,
    /// Size of the last frame that came, and when.
    shown: Option<(Resolution, Instant)>,
    ticks: u64,
}

impl Simulation {
    fn new(has_events: bool, has_edid: bool) -> Self {
        let now = Instant::now();
        let fake = Fake {
            fault: None,
            wedge: None,
            size: Resolution::new(1920, 1080),
            set: None,
            hertz: 60,
            set_hertz: 0,
            is_open: false,
            is_dead: false,
            is_streaming: false,
            is_broken: false,
            is_plugged: true,
            has_events,
            has_edid,
            pulses: 0,
            wish: None,
            configured: 0,
            formats: 1,
            refuses_to_plug: false,
        };
        let mut receiver = Receiver::new(fake, now);
        receiver.set_awake(true);
        Self { receiver, now, next_frame: now, has_event: false, shown: None, ticks: 0 }
    }

    fn fake(&mut self) -> &mut Fake {
        &mut self.receiver.hardware
    }

    /// Lets time pass, as poll(2) would.
    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while self.now < end {
            self.ticks += 1;
            let fake = &self.receiver.hardware;
            // What poll(2) tells at once.
            if fake.is_open && fake.is_dead && self.receiver.is_pollable() {
                let error = errno(libc::ENODEV);
                self.receiver.stream_failed(&error, self.now);
            } else if std::mem::take(&mut self.has_event) && fake.has_events && fake.is_open {
                self.receiver.source_changed(self.now);
            } else if fake.is_streaming && fake.is_broken {
                let error = errno(libc::EIO);
                self.receiver.stream_failed(&error, self.now);
            } else if fake.is_streaming && self.now >= self.next_frame {
                self.next_frame = self.now + FRAME;
                let comes = fake.wedge.is_none() && fake.fault != Some(Fault::Stalled);
                // Frames of a mode that is not set any more come damaged or not at all.
                if comes && fake.set == Some(fake.size) && fake.is_set() {
                    self.shown = fake.set.map(|size| (size, self.now));
                    self.receiver.frame_came(self.now);
                }
            }
            self.receiver.tick(self.now);
            let mut next = self.receiver.deadline().max(self.now + Duration::from_millis(1)).min(end);
            if self.receiver.hardware.is_streaming {
                next = next.min(self.next_frame.max(self.now + Duration::from_millis(1)));
            }
            self.now = next;
        }
    }

    fn set_fault(&mut self, fault: Option<Fault>) {
        let fake = self.fake();
        fake.fault = fault;
        match fault {
            Some(Fault::Disconnect | Fault::Unbound) => fake.is_dead = true,
            Some(Fault::Fatal | Fault::Refused) => fake.is_broken = true,
            _ => {}
        }
        self.has_event = true;
    }

    fn signal(&self) -> SignalState {
        self.receiver.state().signal
    }

    /// The picture is there and right within [`AT_MOST`]; gives the time it took.
    fn recovers(&mut self, what: &str) -> Duration {
        let start = self.now;
        self.shown = None;
        let size = self.fake().size;
        while self.shown.is_none_or(|(shown, _)| shown != size) || self.signal() != SignalState::Active {
            assert!(self.now - start <= AT_MOST, "{what}: {:?} {:?}", self.signal(), self.receiver);
            self.run(Duration::from_millis(10));
        }
        assert_eq!(self.receiver.state().resolution, Some(size), "{what}");
        self.now - start
    }
}

fn expected(fault: Fault) -> SignalState {
    match fault {
        Fault::NoSignal => SignalState::NoSignal,
        Fault::NoCable => SignalState::NoCable,
        Fault::NoLock => SignalState::NoSync,
        Fault::OutOfRange => SignalState::OutOfRange,
        Fault::Stalled | Fault::Refused => SignalState::Stalled,
        Fault::Disconnect | Fault::Unbound => SignalState::NoDevice,
        // Over as soon as the stream is started anew.
        Fault::Fatal => SignalState::Active,
    }
}

#[test]
fn every_fault_has_its_state_and_ends_within_three_seconds() {
    for has_events in [true, false] {
        for fault in FAULTS {
            for seconds in [3, 7, 61, 600] {
                let mut simulation = Simulation::new(has_events, true);
                simulation.recovers("the start");
                // So that "no 5 V" is believed.
                simulation.set_fault(Some(Fault::NoSignal));
                simulation.run(Duration::from_secs(3));
                simulation.set_fault(Some(fault));
                simulation.run(Duration::from_secs(seconds));
                let what = format!("{fault:?} for {seconds} s, events: {has_events}");
                assert_eq!(simulation.signal(), expected(fault), "{what}");
                simulation.set_fault(None);
                simulation.recovers(&what);
            }
        }
    }
}

#[test]
fn random_faults_and_modes_one_after_the_other() {
    let mut seed = 1u64;
    let mut random = |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % most
    };
    for has_events in [true, false] {
        let mut simulation = Simulation::new(has_events, has_events);
        let mut longest = Duration::ZERO;
        for number in 0..500 {
            let fault = FAULTS[random(FAULTS.len() as u64) as usize];
            simulation.set_fault(Some(fault));
            simulation.run(Duration::from_millis(random(20_000)));
            if random(3) == 0 {
                let width = 640 + 16 * random(80) as u32;
                simulation.fake().size = Resolution::new(width, 480);
            }
            simulation.set_fault(None);
            longest = longest.max(simulation.recovers(&format!("fault {number}, {fault:?}")));
            simulation.run(Duration::from_millis(random(8_000)));
        }
        assert!(longest > Duration::ZERO);
    }
}

#[test]
fn a_wedged_device_is_cured_by_the_rung_that_it_needs() {
    for (cure, within) in [(Cure::Restart, 3), (Cure::Reopen, 5), (Cure::HotPlug, 10)] {
        let mut simulation = Simulation::new(true, true);
        simulation.recovers("the start");
        simulation.fake().wedge = Some(cure);
        simulation.run(Duration::from_secs(within));
        assert_eq!(simulation.signal(), SignalState::Active, "{cure:?}");
        let counts = simulation.receiver.counts();
        assert_eq!(counts.hot_plugs > 0, cure == Cure::HotPlug, "{counts:?}");
        assert_eq!(counts.reopens > 1, cure != Cure::Restart, "the first opening counts too: {counts:?}");
        assert_eq!(simulation.fake().pulses as u64, counts.hot_plugs);
    }
}

#[test]
fn without_an_edid_or_while_another_program_streams_the_computer_is_left_alone() {
    let mut simulation = Simulation::new(true, false);
    simulation.fake().wedge = Some(Cure::HotPlug);
    simulation.run(Duration::from_secs(100));
    assert_eq!((simulation.fake().pulses, simulation.signal()), (0, SignalState::Stalled));

    let mut receiver = Simulation::new(true, true).receiver;
    let mut now = Instant::now();
    receiver.stream_failed(&errno(libc::EBUSY), now);
    receiver.hardware.fault = Some(Fault::Refused);
    for _ in 0..1000 {
        receiver.stream_failed(&errno(libc::EBUSY), now);
        now += Duration::from_millis(100);
        receiver.tick(now);
    }
    assert_eq!(receiver.counts().hot_plugs, 0);
}

#[test]
fn mode_changes_are_followed_with_and_without_events() {
    for has_events in [true, false] {
        let mut simulation = Simulation::new(has_events, true);
        simulation.recovers("the start");
        for width in (640..1920).step_by(64) {
            simulation.fake().size = Resolution::new(width, 480);
            simulation.has_event = true;
            simulation.recovers(&format!("{width}, events: {has_events}"));
            // Another mode of the same size.
            simulation.fake().hertz += 1;
            simulation.has_event = true;
            simulation.recovers(&format!("{width} at another rate, events: {has_events}"));
        }
    }
}

#[test]
fn no_power_is_no_cable_only_where_power_was_seen_without_a_signal() {
    let mut power = PowerSense::default();
    assert_eq!(power.without_signal(Some(false)), SignalState::NoSignal, "this may be all that it ever says");
    assert_eq!(power.without_signal(None), SignalState::NoSignal);
    assert_eq!(power.without_signal(Some(true)), SignalState::NoSignal, "a computer that is asleep");
    assert_eq!(power.without_signal(Some(false)), SignalState::NoCable);
    assert_eq!(power.without_signal(None), SignalState::NoSignal);
}

#[test]
fn asleep_nothing_streams_and_little_happens() {
    let mut simulation = Simulation::new(true, true);
    simulation.recovers("the start");
    simulation.receiver.set_awake(false);
    simulation.run(Duration::from_secs(1));
    assert!(!simulation.fake().is_streaming);
    simulation.ticks = 0;
    simulation.run(Duration::from_secs(600));
    assert!(simulation.ticks <= 310, "{} wake-ups in ten minutes", simulation.ticks);
    simulation.fake().size = Resolution::new(800, 600);
    simulation.run(Duration::from_secs(3));
    assert_eq!(simulation.receiver.state().resolution, Some(Resolution::new(800, 600)));
    simulation.receiver.set_awake(true);
    simulation.recovers("waking");
}

#[test]
fn a_wish_sets_the_device_anew_and_is_no_trouble() {
    let mut simulation = Simulation::new(false, true);
    simulation.recovers("the start");
    let (counts, before) = (simulation.receiver.counts(), simulation.fake().configured);
    let half = Some(Resolution::new(960, 540));
    for (wish, configured) in [(half, 1), (half, 1), (None, 2), (half, 3)] {
        let now = simulation.now;
        simulation.receiver.set_wish(wish, now);
        assert_eq!(simulation.signal(), SignalState::Active);
        let took = simulation.recovers("a wish");
        assert!(took < Duration::from_millis(50), "{took:?}");
        assert_eq!(simulation.fake().configured, before + configured);
    }
    assert_eq!(simulation.receiver.counts(), counts);
    // While there is nothing to set it is kept for later.
    simulation.set_fault(Some(Fault::NoSignal));
    simulation.run(Duration::from_secs(2));
    let now = simulation.now;
    simulation.receiver.set_wish(None, now);
    simulation.run(Duration::from_secs(2));
    assert_eq!(simulation.signal(), SignalState::NoSignal);
    simulation.set_fault(None);
    simulation.recovers("the signal");
}

#[test]
fn time_in_which_nobody_looked_is_no_stall() {
    let mut simulation = Simulation::new(true, true);
    simulation.recovers("the start");
    let counts = simulation.receiver.counts();
    for _ in 0..20 {
        // An encoder that takes five seconds for a picture.
        simulation.now += Duration::from_secs(5);
        simulation.receiver.was_away(Duration::from_secs(5));
        simulation.run(Duration::from_millis(20));
        assert_eq!(simulation.signal(), SignalState::Active);
    }
    assert_eq!(simulation.receiver.counts(), counts);
}

#[test]
fn trouble_does_not_spin() {
    for fault in FAULTS {
        let mut simulation = Simulation::new(true, true);
        simulation.recovers("the start");
        simulation.set_fault(Some(fault));
        simulation.run(Duration::from_secs(10));
        simulation.receiver.set_awake(true);
        simulation.ticks = 0;
        simulation.run(Duration::from_secs(60));
        let frames = if fault == Fault::Fatal || fault == Fault::Stalled { 60_000 / 16 + 60 } else { 0 };
        assert!(simulation.ticks <= 400 + frames, "{fault:?}: {} ticks a minute", simulation.ticks);
    }
}
