use super::*;
use SignalState::{Active, NoCable, NoDevice, NoSignal, NoSync, OutOfRange, Stalled};

const STATES: [SignalState; 7] = [Active, NoCable, NoDevice, NoSignal, NoSync, OutOfRange, Stalled];

/// A picture of one grey with a bright left half.
fn halves(size: Resolution) -> I420Picture {
    let mut picture = I420Picture::new(size);
    let width = picture.resolution().width as usize;
    let rows = picture.rows_mut(0, u32::MAX);
    for (n, luma) in rows.y.iter_mut().enumerate() {
        *luma = if n % width < width / 2 { 235 } else { 80 };
    }
    rows.u.fill(90);
    picture
}

/// Mean luma of a rectangle.
fn mean(picture: &I420Picture, x: usize, y: usize, width: usize, height: usize) -> u64 {
    let rows = picture.y().chunks(picture.resolution().width as usize).skip(y).take(height);
    let sum: u64 = rows.map(|row| row[x..x + width].iter().map(|v| u64::from(*v)).sum::<u64>()).sum();
    sum / (width * height) as u64
}

#[test]
fn every_state_has_its_own_still_card() {
    let size = Resolution::new(642, 359);
    let cards: Vec<_> = STATES.iter().map(|s| draw(size, *s, None, None)).collect();
    for (n, card) in cards.iter().enumerate() {
        assert_eq!(card, &draw(size, STATES[n], None, None), "drawn again, it is the same");
        assert_eq!(card.resolution(), Resolution::new(642, 358));
        assert!(card.y().iter().filter(|y| **y > 200).count() > 500, "there is text on it");
        assert!(cards[..n].iter().all(|other| other != card));
    }
}

#[test]
fn any_size_can_be_drawn_before_any_other() {
    let behind = [(2, 2), (640, 480), (3, 4000)].map(|(w, h)| halves(Resolution::new(w, h)));
    for (width, height) in
        [(0, 0), (1, 1), (16, 16), (17, 400), (400, 17), (320, 200), (640, 480), (4096, 2160)]
    {
        let size = Resolution::new(width, height);
        let since = Some(Duration::from_secs(u64::MAX));
        assert_eq!(draw(size, Stalled, since, None).resolution(), I420Picture::new(size).resolution());
        for behind in behind.iter().filter(|_| width < 1000) {
            draw(size, NoDevice, since, Some(behind));
        }
    }
}

#[test]
fn the_last_picture_shows_darkly_around_the_panel() {
    for from in [Resolution::new(1280, 720), Resolution::new(640, 360)] {
        let card = draw(Resolution::new(1280, 720), NoSignal, None, Some(&halves(from)));
        let (left, right) = (mean(&card, 20, 20, 500, 100), mean(&card, 760, 20, 500, 100));
        assert_eq!((left, right), (16 + 219 * 5 / 16, 16 + 64 * 5 / 16), "five sixteenths of it are left");
        assert_eq!(card.u()[0], 128 - 38 * 5 / 16, "its colours are paler");
        // Along the panel's upper edge, where there are no words.
        let frame = Panel::new(card.resolution(), NoSignal, None).frame;
        let (x, y) = ((frame.x + 40.0) as usize, (frame.y + 10.0) as usize);
        let hidden = mean(&card, x, y, 100, 6).abs_diff(mean(&card, 1180 - x, y, 100, 6));
        assert!(hidden <= 4 && left - right > 40, "the panel hides what is behind it: {hidden}");
    }
    // Another shape is fitted in, with black beside it.
    let tall = draw(Resolution::new(1280, 720), NoSignal, None, Some(&halves(Resolution::new(640, 480))));
    assert_eq!((mean(&tall, 0, 0, 158, 720), mean(&tall, 162, 10, 400, 100)), (16, 84));
}

#[test]
fn words_are_whole_and_fit_every_common_size() {
    for (width, height) in [(640, 480), (800, 600), (1024, 768), (1280, 720), (1920, 1080), (3840, 2160)] {
        for state in STATES {
            let size = Resolution::new(width, height);
            let panel = Panel::new(size, state, Some(Duration::from_secs(45_296)));
            let (frame, scale) = (panel.frame, panel.scale);
            assert!(frame.x >= 8.0 && frame.y >= 8.0, "{size} {state:?}: the panel is inside");
            let text: Vec<&str> = panel.lines.iter().map(|l| l.text.as_str()).collect();
            let (head, body) = words(state);
            assert_eq!(text.join(" "), format!("{head} {body} for 12 h 34 min").replace("  ", " "));
            for line in &panel.lines {
                let right = panel.left + text_width(line.scale, &line.text);
                assert!(right <= frame.x + frame.width - scale * 8.0, "{size}: `{}` is cut", line.text);
                assert!(line.y + line.scale * 9.0 <= frame.y + frame.height, "{size}: `{}`", line.text);
                assert!(line.scale * 7.0 >= 12.0, "{size}: {} pixels high", line.scale * 7.0);
            }
        }
    }
}

#[test]
fn a_card_tells_how_long_it_has_been() {
    let at = |seconds| since_words(Duration::from_secs(seconds));
    assert_eq!(
        [at(0), at(12), at(60), at(239), at(3600), at(7505), at(360_000)],
        ["for 0 s", "for 12 s", "for 1 min", "for 3 min", "for 1 h", "for 2 h 5 min", "for 100 h"]
    );
    let size = Resolution::new(640, 480);
    let card = |seconds| draw(size, NoSignal, Some(Duration::from_secs(seconds)), None);
    assert!(card(12) != card(13) && card(12) != draw(size, NoSignal, None, None));
    assert_eq!(card(180), card(239));
}
