//! The conversation with a CH9329, with time as an argument: which baud rate it speaks, one command at a time until it
//! is answered, said again when damaged or lost, its state and LEDs by info frames, a reset if its USB side is stuck.
//! Pure: bytes and times go in, orders come out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::frame::{self, Info, PARAMETERS, PARAMETERS_BAUD, Refusal, Reply, ReplyReader};
use super::reports::Command;
use crate::hid::backend::WriteOutcome;
use crate::input::event::LedState;
use crate::input::usage::KeyUsage;

/// The rates that chips have: from the factory, and as boards set them.
pub const BAUD_RATES: [u32; 2] = [9600, 115_200];
/// Wait for a reply; a frame and its reply take 25 ms at 9600 baud.
const PATIENCE: Duration = Duration::from_millis(150);
/// How often a command is sent before the chip counts as lost, within a second.
const MAX_SENDS: u32 = 6;
/// How often a command is said again because it arrived damaged or could not be carried out.
const MAX_REFUSALS: u32 = 10;
/// Wait before a command that could not be carried out is said again.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);
/// After a command was sent more than once: how long further replies to it may still come.
const QUIET: Duration = Duration::from_millis(300);
/// Rounds through the baud rates before the chip counts as not there.
const PROBE_ROUNDS: usize = 3;
/// Between two info frames.
const INFO_PACE: Duration = Duration::from_secs(1);
/// After a lock key: the computer sets its LEDs by then.
const LED_PACE: Duration = Duration::from_millis(60);
/// A chip restarts within this time.
const RESET_PAUSE: Duration = Duration::from_millis(500);
/// First and longest wait before a chip without a computer is reset: some lose it for good when it restarts.
const RESET_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Which baud rate the chip is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Baud {
    /// The one it has.
    #[default]
    Auto,
    /// This one of [`BAUD_RATES`]; a chip that is found with another one is set to it, for good.
    Fixed(u32),
}

/// What the line is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// From now on at this rate; what waits unread is noise.
    SetBaud(u32),
    /// Write these bytes.
    Send(Vec<u8>),
}

/// Why a chip is of no use; a sentence's middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChipError {
    /// No reply at any rate.
    #[error("no CH9329 chip answers at 9600 or 115200 baud; check its wiring and power")]
    NotFound,
    /// It answered once and no longer does.
    #[error("the CH9329 chip stopped answering; check its wiring and power")]
    Silent,
}

/// A command under way.
#[derive(Debug)]
struct Flight {
    command: Command,
    sends: u32,
    refusals: u32,
    /// When the reply is overdue, or when it is said again.
    until: Instant,
    /// It is not sent yet, but at `until`.
    is_waiting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Looking for it; so many tries are over.
    Probing {
        tries: usize,
    },
    /// Its configuration is being changed.
    Configuring,
    /// It restarts; afterwards it is looked for.
    Restarting {
        until: Instant,
    },
    Working,
    Failed(ChipError),
}

/// The machine.
#[derive(Debug)]
pub struct Chip {
    rates: [u32; 2],
    is_fixed: bool,
    has_configured: bool,
    baud: u32,
    phase: Phase,
    reader: ReplyReader,
    flight: Option<Flight>,
    /// Replies that may still come to commands that were sent more than once, and until when.
    surplus: Option<(u32, Instant)>,
    info: Option<Info>,
    info_at: Instant,
    reset_at: Option<(Instant, Duration)>,
    /// A report was lost on the way: the writer has to lift everything.
    has_lost: bool,
    has_news: bool,
    leds: Option<LedState>,
    /// What was told last; the writer forgets it when the computer is gone.
    told_leds: Option<LedState>,
    orders: VecDeque<Order>,
}

impl Chip {
    /// Starts looking for the chip.
    pub fn new(baud: Baud, now: Instant) -> Self {
        let rates = match baud {
            Baud::Fixed(rate) if rate == BAUD_RATES[1] => [BAUD_RATES[1], BAUD_RATES[0]],
            Baud::Fixed(_) | Baud::Auto => BAUD_RATES,
        };
        let mut chip = Self {
            rates,
            is_fixed: matches!(baud, Baud::Fixed(_)),
            has_configured: false,
            baud: rates[0],
            phase: Phase::Probing { tries: 0 },
            reader: ReplyReader::default(),
            flight: None,
            surplus: None,
            info: None,
            info_at: now,
            reset_at: None,
            has_lost: false,
            has_news: false,
            leds: None,
            told_leds: None,
            orders: VecDeque::new(),
        };
        chip.probe(0, now);
        chip
    }

    /// What to do now, in order; `None`: wait for bytes or [`Self::deadline`].
    pub fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let flight = self.flight.as_ref().map(|flight| flight.until);
        match self.phase {
            Phase::Failed(_) => None,
            Phase::Restarting { until } => Some(until),
            Phase::Probing { .. } | Phase::Configuring => flight,
            Phase::Working if flight.is_some() => flight,
            Phase::Working => {
                let quiet = self.surplus.map(|(_, until)| until);
                quiet.or(Some(self.reset_at.map_or(self.info_at, |(at, _)| at.min(self.info_at))))
            }
        }
    }

    /// The chip answers and is being used.
    pub fn is_working(&self) -> bool {
        self.phase == Phase::Working
    }

    /// Once after something happened that a write would tell: the computer went, or the chip.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// The LEDs, if they changed since the last call.
    pub fn take_leds(&mut self) -> Option<LedState> {
        self.leds.take()
    }

    /// Gives a command to the chip, if it is free.
    ///
    /// # Errors
    /// [`ChipError`]: there is no chip; start anew.
    pub fn offer(&mut self, command: Command, now: Instant) -> Result<WriteOutcome, ChipError> {
        self.handle_timeout(now);
        match self.phase {
            Phase::Failed(error) => return Err(error),
            Phase::Probing { .. } | Phase::Configuring | Phase::Restarting { .. } => {
                return Ok(WriteOutcome::Unknown);
            }
            Phase::Working => {}
        }
        let is_connected = self.info.is_some_and(|info| info.is_connected);
        if std::mem::take(&mut self.has_lost) || !is_connected {
            self.told_leds = None;
            return Ok(WriteOutcome::HostGone);
        }
        if self.flight.is_some() || self.surplus.is_some() {
            return Ok(WriteOutcome::Busy);
        }
        if command.code == frame::SEND_KEYBOARD && command.data.iter().skip(2).any(|usage| is_lock(*usage)) {
            self.info_at = self.info_at.min(now + LED_PACE);
        }
        self.send(command, now);
        Ok(WriteOutcome::Written)
    }

    /// Takes what the line brought.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        let mut replies = vec![];
        self.reader.read(bytes, |reply| replies.push(reply));
        for reply in replies {
            self.handle_reply(reply, now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.surplus.is_some_and(|(_, until)| until <= now) {
            self.surplus = None;
        }
        match self.phase {
            Phase::Failed(_) => return,
            Phase::Restarting { until } if until <= now => return self.probe(0, now),
            Phase::Restarting { .. } => return,
            Phase::Probing { .. } | Phase::Configuring | Phase::Working => {}
        }
        match self.flight.take_if(|flight| flight.until <= now) {
            Some(flight) => self.overdue(flight, now),
            None if self.flight.is_some() || self.surplus.is_some() || self.phase != Phase::Working => {}
            None => self.look_after(now),
        }
    }

    /// Nothing is under way: time for an info frame or a reset?
    fn look_after(&mut self, now: Instant) {
        if let Some((at, wait)) = self.reset_at
            && at <= now
        {
            let wait = (wait * 2).min(RESET_WAIT.1);
            self.reset_at = Some((now + RESET_PAUSE + wait, wait));
            self.send(plain(frame::RESET), now);
        } else if self.info_at <= now {
            self.send(plain(frame::GET_INFO), now);
        }
    }

    fn overdue(&mut self, mut flight: Flight, now: Instant) {
        let code = flight.command.code;
        if flight.is_waiting {
            flight.is_waiting = false;
            return self.send_again(flight, now);
        }
        match self.phase {
            Phase::Probing { tries } => self.probe(tries + 1, now),
            // A chip that restarts at once may not answer.
            Phase::Working if code == frame::RESET => self.pause(now),
            Phase::Configuring if code == frame::RESET => self.restart(now),
            Phase::Configuring | Phase::Working | Phase::Restarting { .. } | Phase::Failed(_)
                if flight.sends >= MAX_SENDS =>
            {
                self.fail(ChipError::Silent);
            }
            Phase::Configuring | Phase::Working | Phase::Restarting { .. } | Phase::Failed(_) => {
                flight.command.data.clone_from(&flight.command.again);
                self.send_again(flight, now);
            }
        }
    }

    fn handle_reply(&mut self, reply: Reply, now: Instant) {
        let code = match &reply {
            Reply::Done { code, .. } | Reply::Refused { code, .. } => *code,
        };
        if let Reply::Done { code: frame::GET_INFO, data } = &reply
            && let Some(info) = Info::from_data(data)
        {
            self.learn(info, now);
        }
        let is_answer =
            self.flight.as_ref().is_some_and(|flight| flight.command.code == code && !flight.is_waiting);
        let Some(mut flight) = self.flight.take_if(|_| is_answer) else {
            // A late reply to what was sent more than once, or nothing that we asked for.
            self.surplus = self.surplus.and_then(|(count, until)| (count > 1).then(|| (count - 1, until)));
            return;
        };
        match reply {
            Reply::Done { data, .. } => {
                if flight.sends > 1 {
                    self.surplus = Some((flight.sends - 1, now + QUIET));
                }
                self.done(code, &data, now);
            }
            Reply::Refused { why, .. } => {
                flight.refusals += 1;
                match why {
                    Refusal::Parameter => {
                        tracing::warn!("the CH9329 knows no command {code:#04x} with these data");
                        self.give_up_configuring();
                    }
                    Refusal::Damaged | Refusal::NotCarriedOut if flight.refusals > MAX_REFUSALS => {
                        self.give_up_configuring();
                        self.lose();
                    }
                    // Whether damaged or not taken, nothing of it has counted yet.
                    Refusal::Damaged => self.send_refused(flight, now, Duration::ZERO),
                    Refusal::NotCarriedOut => self.send_refused(flight, now, REFUSED_PAUSE),
                }
            }
        }
    }

    fn done(&mut self, code: u8, data: &[u8], now: Instant) {
        match (self.phase, code) {
            (Phase::Probing { .. }, frame::GET_INFO) if self.info.is_some() => self.found(now),
            (Phase::Configuring, frame::GET_PARAMETERS) if data.len() == PARAMETERS => {
                let mut data = data.to_vec();
                data[PARAMETERS_BAUD].copy_from_slice(&self.rates[0].to_be_bytes());
                let command = Command { code: frame::SET_PARAMETERS, again: data.clone(), data };
                self.send(command, now);
            }
            (Phase::Configuring, frame::SET_PARAMETERS) => self.send(plain(frame::RESET), now),
            (Phase::Configuring, frame::RESET) => self.restart(now),
            (Phase::Configuring, _) => self.give_up_configuring(),
            (Phase::Working, frame::RESET) => self.pause(now),
            _ => {}
        }
    }

    /// A chip answers at the present rate.
    fn found(&mut self, now: Instant) {
        let version = self.info.map_or(0, |info| info.version);
        if self.is_fixed && self.baud != self.rates[0] && !self.has_configured {
            tracing::info!("CH9329 found at {} baud; it is set to {}", self.baud, self.rates[0]);
            self.has_configured = true;
            self.phase = Phase::Configuring;
            return self.send(plain(frame::GET_PARAMETERS), now);
        }
        tracing::info!(version, baud = self.baud, "CH9329 found");
        self.phase = Phase::Working;
        self.info_at = now + INFO_PACE;
    }

    /// A chip that cannot be configured is used as it is.
    fn give_up_configuring(&mut self) {
        if self.phase == Phase::Configuring {
            self.phase = Phase::Working;
        }
    }

    fn learn(&mut self, info: Info, now: Instant) {
        let was_connected = self.info.is_some_and(|old| old.is_connected);
        self.info = Some(info);
        self.info_at = now + INFO_PACE;
        let leds = LedState::from_report(info.leds);
        // A click on a lock key counts until the LEDs change, so the same again is no news.
        if info.is_connected && self.told_leds != Some(leds) {
            self.told_leds = Some(leds);
            self.leds = Some(leds);
        }
        if info.is_connected {
            self.reset_at = None;
        } else {
            self.has_news |= was_connected;
            self.reset_at = self.reset_at.or(Some((now + RESET_WAIT.0, RESET_WAIT.0)));
        }
    }

    fn probe(&mut self, tries: usize, now: Instant) {
        if tries >= PROBE_ROUNDS * self.rates.len() {
            return self.fail(ChipError::NotFound);
        }
        self.phase = Phase::Probing { tries };
        self.baud = self.rates[tries % self.rates.len()];
        self.reader.clear();
        self.surplus = None;
        self.info = None;
        self.orders.push_back(Order::SetBaud(self.baud));
        self.send(plain(frame::GET_INFO), now);
    }

    /// The chip restarts with another configuration.
    fn restart(&mut self, now: Instant) {
        self.phase = Phase::Restarting { until: now + RESET_PAUSE };
    }

    /// The chip restarts as it is.
    fn pause(&mut self, now: Instant) {
        tracing::info!("CH9329 was reset because no computer takes it");
        self.info_at = now + RESET_PAUSE;
    }

    fn fail(&mut self, error: ChipError) {
        self.phase = Phase::Failed(error);
        self.has_news = true;
        self.flight = None;
    }

    /// A report is lost, but the chip is there.
    fn lose(&mut self) {
        self.has_lost = true;
        self.has_news = true;
    }

    fn send(&mut self, command: Command, now: Instant) {
        self.send_again(Flight { command, sends: 0, refusals: 0, until: now, is_waiting: false }, now);
    }

    fn send_again(&mut self, mut flight: Flight, now: Instant) {
        self.orders.push_back(Order::Send(frame::command(flight.command.code, &flight.command.data)));
        flight.until = now + PATIENCE;
        flight.sends += 1;
        self.flight = Some(flight);
    }

    fn send_refused(&mut self, mut flight: Flight, now: Instant, pause: Duration) {
        flight.sends = flight.sends.saturating_sub(1);
        if pause.is_zero() {
            return self.send_again(flight, now);
        }
        flight.is_waiting = true;
        flight.until = now + pause;
        self.flight = Some(flight);
    }
}

fn plain(code: u8) -> Command {
    Command { code, data: vec![], again: vec![] }
}

fn is_lock(usage: u8) -> bool {
    [KeyUsage::CAPS_LOCK, KeyUsage::NUM_LOCK, KeyUsage::SCROLL_LOCK].contains(&KeyUsage(usage))
}

#[cfg(test)]
mod tests;
