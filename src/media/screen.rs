//! What a display shows: the live picture, kept up to date from captured frames, or a card; and at which size it is
//! sent. Time is an argument.

use std::time::{Duration, Instant};

use super::budget::Change;
use super::capture::{FramePair, SourceState};
use super::captured::CapturedPicture;
use super::card;
use super::change::changed_stripes;
use super::convert::{ConvertError, convert_stripes, half_size};
use super::encode::encoders::Encoders;
use super::picture::{I420Picture, STRIPE_ROWS, Stripes};
use super::pipeline::MaxSize;
use super::sampling::{Watchman, has_rows};
use super::scale::{Scaler, SizeBudget};
use crate::video::format::Resolution;
use crate::video::signal::{DisplayState, SignalState};

/// A change of at most this part of the stripes is small.
const SMALL: usize = 8;
/// A card is drawn again so often at first, and so often after [`FRESH`].
const REDRAW: Duration = Duration::from_secs(5);
const RARE_REDRAW: Duration = Duration::from_secs(10);
const FRESH: Duration = Duration::from_secs(60);

/// The newest frame, in its source's memory.
#[derive(Debug)]
struct Lent {
    picture: CapturedPicture,
    /// What the picture in planes of ours lacks of it.
    stale: Stripes,
}

/// The picture of one display.
#[derive(Debug)]
pub(super) struct Screen {
    picture: I420Picture,
    /// What is shown, as it was captured: `picture` may be older then.
    lent: Option<Lent>,
    /// Size of the signal that `picture` was made of; the source may give it smaller.
    original: Resolution,
    /// Size at which pictures are sent: never larger than a live picture is.
    sent: Resolution,
    /// When `picture` was captured or drawn.
    captured_at: Instant,
    /// `picture` is what the source showed last, not a card.
    is_live: bool,
    /// A frame was converted in part only: the next one is taken as a whole.
    is_torn: bool,
    /// For the next compressed frame.
    spare: Option<I420Picture>,
    signal: SignalState,
    signal_since: Instant,
    /// The last picture before the signal was lost, for behind the card.
    last_live: Option<I420Picture>,
    redraw_at: Instant,
    watchman: Watchman,
    sizes: SizeBudget,
    scaler: Scaler,
    /// `picture` at the size at which it is sent, if that is another; out of date if it does not say so.
    scaled: Option<I420Picture>,
    is_scaled: bool,
}

impl Screen {
    /// A card until a picture comes.
    pub(super) fn new(state: SourceState, max_size: MaxSize, now: Instant) -> Self {
        let mut screen = Self {
            picture: I420Picture::new(Resolution::default()),
            lent: None,
            original: state.resolution.unwrap_or(card::DEFAULT_SIZE),
            sent: Resolution::default(),
            captured_at: now,
            is_live: false,
            is_torn: false,
            spare: None,
            signal: state.signal,
            signal_since: now,
            last_live: None,
            redraw_at: now,
            watchman: Watchman::default(),
            sizes: SizeBudget::new(max_size),
            scaler: Scaler::default(),
            scaled: None,
            is_scaled: false,
        };
        screen.settle();
        screen.picture = screen.draw_card(now);
        screen
    }

    /// What watchers are told.
    pub(super) fn display_state(&self, encoders: &Encoders) -> DisplayState {
        DisplayState {
            resolution: self.size(),
            original_resolution: self.original,
            signal: self.signal,
            encodes: encoders.codecs(),
        }
    }

    /// Whether a live picture is shown.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    /// When what is shown was captured or drawn.
    pub(super) fn captured_at(&self) -> Instant {
        self.captured_at
    }

    /// Size of the signal.
    pub(super) fn original(&self) -> Resolution {
        self.original
    }

    /// Size at which pictures are sent.
    pub(super) fn size(&self) -> Resolution {
        self.sent
    }

    /// The size that captured pictures need not exceed, if it is less than the signal's.
    pub(super) fn wish(&self) -> Option<Resolution> {
        Some(self.wanted()).filter(|wanted| *wanted != self.original.to_even())
    }

    /// Size at which pictures should be sent.
    fn wanted(&self) -> Resolution {
        let size = self.sizes.size(self.original);
        Resolution::new(size.width.max(2), size.height.max(2))
    }

    /// Takes over the wanted size as soon as the picture has enough pixels for it.
    fn settle(&mut self) {
        let (wanted, picture) = (self.wanted(), self.picture.resolution());
        self.sent = if !self.is_live || wanted.fits_into(picture) {
            wanted
        } else if self.sent.fits_into(picture) {
            self.sent
        } else {
            picture
        };
    }

    /// The picture as it was captured, if it is sent in that size and needs no conversion.
    pub(super) fn captured(&self) -> Option<CapturedPicture> {
        let lent = self.lent.as_ref().filter(|_| self.is_live)?;
        (lent.picture.resolution() == self.size()).then(|| lent.picture.clone())
    }

    /// To be asked before the picture is encoded: the newest frame may hold changes that were not looked for.
    pub(super) fn look_closely(&mut self, now: Instant) -> Option<Change> {
        let lent = self.lent.as_mut()?;
        let stripes = self.watchman.look_closely(&lent.picture.frame(), now)?;
        lent.stale.join(&stripes);
        let change = size_of(&stripes);
        if change.is_some() {
            self.is_scaled = false;
            self.captured_at = lent.picture.frame().captured_at;
        }
        change
    }

    /// Converts what is only in the source's memory.
    fn convert_lent(&mut self) {
        let Some(lent) = &mut self.lent else { return };
        let height = lent.picture.resolution().height;
        let stale = std::mem::replace(&mut lent.stale, Stripes::none(height));
        if let Err(error) = convert_stripes(&lent.picture.frame(), &stale, &mut self.picture) {
            // It was looked at when it was lent.
            tracing::error!(%error, "a captured picture could not be converted");
            self.is_torn = true;
        }
    }

    /// The picture to encode.
    pub(super) fn picture(&mut self) -> &I420Picture {
        self.convert_lent();
        let size = self.size();
        if self.picture.resolution() == size {
            self.scaled = None;
            return &self.picture;
        }
        if self.scaled.as_ref().is_none_or(|scaled| scaled.resolution() != size) {
            self.scaled = None;
            self.is_scaled = false;
        }
        let scaled = self.scaled.get_or_insert_with(|| I420Picture::new(size));
        if !self.is_scaled {
            self.scaler.scale(&self.picture, scaled);
            self.is_scaled = true;
        }
        scaled
    }

    /// Someone wants the picture as it is now.
    pub(super) fn alert(&mut self, now: Instant) {
        self.watchman.alert(now);
    }

    /// Encoding a change took all lanes so long; true if the size changes by it at once. It grows with the next frame.
    pub(super) fn encoded(&mut self, took: Duration, now: Instant) -> bool {
        if !self.is_live || !self.sizes.encoded(took, self.original, now) {
            return false;
        }
        let before = self.sent;
        self.settle();
        self.sent != before
    }

    /// Brings the picture up to date with a frame of a signal of the size `original`; what changed, if anything.
    pub(super) fn take(
        &mut self,
        pair: &FramePair<'_>,
        original: Resolution,
        now: Instant,
    ) -> Result<Option<Change>, ConvertError> {
        let frame = &pair.current;
        self.set_original(if frame.resolution.fits_into(original) { original } else { frame.resolution });
        let half = half_size(frame.format, frame.resolution).filter(|half| self.wanted().fits_into(*half));
        let even = half.unwrap_or(frame.resolution.to_even());
        let is_same_size = self.is_live && self.picture.resolution() == even;
        if !is_same_size || self.is_torn {
            self.watchman.reset();
        }
        // Frames follow each other only if the picture holds the one before.
        let follows = is_same_size && !self.is_torn;
        let stripes = if follows { self.watchman.look(pair, now) } else { None };
        let has_rows = has_rows(frame);
        let change = match stripes {
            stripes if pair.captured.is_some() => self.lend(pair, stripes, follows)?,
            Some(stripes) if has_rows || stripes.is_empty() => {
                self.stop_lending();
                self.is_torn = true;
                convert_stripes(frame, &stripes, &mut self.picture)?;
                size_of(&stripes)
            }
            // Of a compressed frame it is only known that it is another, and after a wake-up the source has no frame
            // before: the picture may be the same all the same, or nearly so.
            Some(_) | None => {
                self.stop_lending();
                let spare = self.spare.take().filter(|spare| spare.resolution() == even);
                let mut fresh = spare.unwrap_or_else(|| I420Picture::new(even));
                convert_stripes(frame, &Stripes::all(even.height), &mut fresh)?;
                let is_first = !is_same_size;
                let stripes =
                    if is_first { Stripes::all(even.height) } else { fresh.changed_from(&self.picture) };
                let old = std::mem::replace(&mut self.picture, fresh);
                self.spare = (!has_rows).then_some(old);
                size_of(&stripes)
            }
        };
        self.is_torn = false;
        self.is_live = true;
        self.last_live = None;
        self.settle();
        self.set_signal(SignalState::Active, now);
        if change.is_some() {
            self.is_scaled = false;
            self.captured_at = frame.captured_at;
        }
        Ok(change)
    }

    /// Takes a frame over without converting it; what changed.
    fn lend(
        &mut self,
        pair: &FramePair<'_>,
        stripes: Option<Stripes>,
        follows: bool,
    ) -> Result<Option<Change>, ConvertError> {
        let Some(picture) = pair.captured.clone() else { return Ok(None) };
        let (size, before) = (picture.resolution(), self.lent.take());
        let (changed, stale) = match (stripes, before) {
            (Some(changed), before) => (changed, before.map(|lent| lent.stale)),
            // After a wake-up: the frame before is still there.
            (None, Some(before)) if follows => {
                (changed_stripes(&pair.current, &before.picture.frame()), Some(before.stale))
            }
            (None, None) if follows => {
                let mut fresh = I420Picture::new(size);
                convert_stripes(&pair.current, &Stripes::all(size.height), &mut fresh)?;
                (fresh.changed_from(&self.picture), None)
            }
            (None, _) => {
                self.picture = I420Picture::new(size);
                (Stripes::all(size.height), None)
            }
        };
        let mut stale = stale.unwrap_or_else(|| Stripes::none(size.height));
        stale.join(&changed);
        self.lent = Some(Lent { picture, stale });
        Ok(size_of(&changed))
    }

    /// From here on the picture is in planes of ours alone.
    fn stop_lending(&mut self) {
        self.convert_lent();
        self.lent = None;
    }

    /// The source is in another state: draws its card, a live picture of the right size stays. True if everyone
    /// should see it; a live signal's first frame comes in a moment, until then its card is only for those who must
    /// have a key frame.
    pub(super) fn set_state(&mut self, state: SourceState, now: Instant) -> bool {
        self.set_signal(state.signal, now);
        let original = state.resolution.unwrap_or(card::DEFAULT_SIZE);
        let is_active = state.signal == SignalState::Active;
        if is_active && self.is_live && self.original == original {
            return false;
        }
        self.stop_lending();
        if self.is_live {
            let live = std::mem::replace(&mut self.picture, I420Picture::new(Resolution::default()));
            self.last_live = Some(live);
            self.is_live = false;
        }
        self.set_original(original);
        self.settle();
        self.show_card(now);
        !is_active
    }

    /// When the card should be drawn again; `None` while there is none.
    pub(super) fn redraw_at(&self) -> Option<Instant> {
        (!self.is_live && self.signal != SignalState::Active).then_some(self.redraw_at)
    }

    /// Draws the card again; true if it looks different now.
    pub(super) fn redraw(&mut self, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.picture, I420Picture::new(Resolution::default()));
        self.show_card(now);
        before != self.picture
    }

    fn show_card(&mut self, now: Instant) {
        self.picture = self.draw_card(now);
        self.captured_at = now;
        self.is_scaled = false;
        let pause =
            if now.saturating_duration_since(self.signal_since) < FRESH { REDRAW } else { RARE_REDRAW };
        self.redraw_at = now + pause;
    }

    /// The one place where a card is drawn, at the size at which it is sent.
    fn draw_card(&self, now: Instant) -> I420Picture {
        let since =
            (self.signal != SignalState::Active).then(|| now.saturating_duration_since(self.signal_since));
        card::draw(self.size(), self.signal, since, self.last_live.as_ref())
    }

    fn set_signal(&mut self, signal: SignalState, now: Instant) {
        if self.signal != signal {
            self.signal = signal;
            self.signal_since = now;
        }
    }

    fn set_original(&mut self, original: Resolution) {
        if self.original != original {
            self.original = original;
            self.sizes.reset();
        }
    }
}

/// How much changed, if anything.
fn size_of(stripes: &Stripes) -> Option<Change> {
    let changed: usize = stripes.runs().map(|(_, rows)| (rows / STRIPE_ROWS) as usize).sum();
    match changed {
        0 => None,
        n if n <= (stripes.count() / SMALL).max(1) => Some(Change::Small),
        _ => Some(Change::Large),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests own their clocks")]
mod tests;
