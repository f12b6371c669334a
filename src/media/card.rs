//! Cards: drawn pictures that are sent while there is no live one. They hold no time and no motion, so that a
//! card is encoded once and then costs nothing.

use super::canvas::{Canvas, Colour, glyph_advance, line_advance, text_scale};
use super::convert::convert_stripes;
use super::picture::{I420Picture, Stripes};
use crate::video::format::Resolution;
use crate::video::signal::SignalState;

/// Size of a card when no signal was ever seen.
pub const DEFAULT_SIZE: Resolution = Resolution::new(1280, 720);

/// What a live signal's card says until its first picture is there.
const WAITING: &str = "The picture is coming.";

/// The card of a signal state, drawn at `size`.
pub fn draw(size: Resolution, signal: SignalState) -> I420Picture {
    let sentence = if signal == SignalState::Active { WAITING } else { signal.sentence() };
    let mut canvas = Canvas::new(size);
    let size = canvas.resolution();
    canvas.fill(0, 0, size.width, size.height, Colour::rgb(22, 26, 34));
    let scale = text_scale(size, 40, 12);
    let lines = wrap(sentence, (size.width / glyph_advance(scale)).saturating_sub(4).max(8) as usize);
    let height = lines.len() as u32 * line_advance(scale);
    let top = size.height.saturating_sub(height) / 2;
    canvas.fill(0, top.saturating_sub(scale * 6), size.width, scale, Colour::rgb(230, 140, 30));
    canvas.fill(0, top + height + scale * 3, size.width, scale, Colour::rgb(230, 140, 30));
    for (n, line) in lines.iter().enumerate() {
        let width = line.chars().count() as u32 * glyph_advance(scale);
        let x = size.width.saturating_sub(width) / 2;
        canvas.text(x, top + n as u32 * line_advance(scale), scale, Colour::WHITE, line);
    }
    let mut picture = I420Picture::new(size);
    #[allow(clippy::disallowed_methods, reason = "a card has no capture time; the field is not read")]
    let frame = canvas.as_frame(std::time::Instant::now());
    if let Err(error) = convert_stripes(&frame, &Stripes::all(size.height), &mut picture) {
        tracing::error!(%error, "a card could not be drawn");
    }
    picture
}

/// Breaks a sentence at its spaces into lines of at most `most` characters (a longer word stands alone).
fn wrap(sentence: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split_whitespace() {
        let Some(last) = lines.last_mut() else { break };
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= most {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_own_still_card() {
        use SignalState::{Active, NoCable, NoDevice, NoSignal, NoSync, OutOfRange, Stalled};
        let size = Resolution::new(642, 359);
        let states = [Active, NoCable, NoDevice, NoSignal, NoSync, OutOfRange, Stalled];
        let cards: Vec<_> = states.iter().map(|s| draw(size, *s)).collect();
        for (n, card) in cards.iter().enumerate() {
            assert_eq!(card, &draw(size, states[n]), "drawn again, it is the same");
            assert_eq!(card.resolution(), Resolution::new(642, 358));
            assert!(card.y().iter().filter(|y| **y > 200).count() > 500, "there is text on it");
            assert!(cards[..n].iter().all(|other| other != card));
        }
    }

    #[test]
    fn any_size_can_be_drawn_and_long_words_do_not_hang() {
        for size in [(0, 0), (1, 1), (16, 16), (4096, 2160)] {
            draw(Resolution::new(size.0, size.1), SignalState::NoSignal);
        }
        assert_eq!(wrap("abcdefghij kl mn op", 5), ["abcdefghij", "kl mn", "op"]);
    }
}
