use super::*;
use crate::media::capture::{Colours, RawFrame, RawPlane};
use crate::video::format::PixelFormat;

const SIZE: Resolution = Resolution::new(64, 320);

fn grey(data: &[u8], resolution: Resolution, at: Instant) -> RawFrame<'_> {
    RawFrame {
        format: PixelFormat::Grey,
        resolution,
        planes: [RawPlane { data, stride: resolution.width as usize }, RawPlane::EMPTY, RawPlane::EMPTY],
        colours: Colours::Bt601,
        captured_at: at,
    }
}

fn state(signal: SignalState) -> SourceState {
    SourceState { signal, resolution: Some(SIZE) }
}

fn take(screen: &mut Screen, data: &[u8], previous: Option<&[u8]>, at: Instant) -> Option<Change> {
    let previous = previous.map(|data| grey(data, SIZE, at));
    screen.take(&FramePair { current: grey(data, SIZE, at), previous }, at).unwrap()
}

#[test]
fn changes_are_none_small_or_large_and_a_torn_picture_is_made_whole() {
    let start = Instant::now();
    let mut screen = Screen::new(state(SignalState::Active), MaxSize::Auto, start);
    let mut data = vec![50; 64 * 320];
    assert_eq!(take(&mut screen, &data, None, start), Some(Change::Large), "the first picture");
    assert_eq!(take(&mut screen, &data, None, start), None, "the same after a wake-up");
    let before = data.clone();
    data[64 * 100] = 90;
    assert_eq!(take(&mut screen, &data, Some(&before), start), Some(Change::Small));
    assert_eq!(screen.picture().y()[64 * 100], 90);
    let before = data.clone();
    (0..320).step_by(16).take(3).for_each(|row| data[64 * row] = 91);
    assert_eq!(take(&mut screen, &data, Some(&before), start), Some(Change::Large));

    let before = data.clone();
    data[64 * 319] = 92;
    let short = &data[..64 * 310];
    let pair = FramePair { current: grey(short, SIZE, start), previous: Some(grey(&before, SIZE, start)) };
    assert_eq!(screen.take(&pair, start), Err(ConvertError::TooShort));
    assert_eq!(take(&mut screen, &data, Some(&data.clone()), start), Some(Change::Small), "taken as a whole");
    assert_eq!(screen.picture().y()[64 * 319], 92);
}

#[test]
fn a_lost_signal_is_a_card_that_is_drawn_again_ever_more_rarely() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut screen = Screen::new(state(SignalState::Active), MaxSize::Auto, start);
    take(&mut screen, &vec![50; 64 * 320], None, start);
    assert_eq!(screen.redraw_at(), None);
    assert!(!screen.set_state(state(SignalState::Active), at(1)), "nothing to see");
    assert!(screen.is_live());
    assert!(screen.set_state(state(SignalState::NoSignal), at(2)));
    assert!(!screen.is_live() && screen.last_live.as_ref().is_some_and(|live| live.y()[0] == 50));
    assert_eq!(screen.redraw_at(), Some(at(7)));
    screen.redraw(at(7));
    assert_eq!(screen.redraw_at(), Some(at(12)));
    screen.redraw(at(62));
    assert_eq!(screen.redraw_at(), Some(at(72)));
    take(&mut screen, &vec![51; 64 * 320], None, at(80));
    assert!(screen.is_live() && screen.last_live.is_none() && screen.redraw_at().is_none());
}

#[test]
fn what_is_sent_is_scaled_and_announced_and_cards_are_drawn_at_that_size() {
    let now = Instant::now();
    let half = Resolution::new(32, 160);
    let mut screen = Screen::new(state(SignalState::Active), MaxSize::Fixed(half), now);
    assert_eq!(screen.picture().resolution(), half, "the card");
    let mut data = vec![50; 64 * 320];
    take(&mut screen, &data, None, now);
    assert_eq!((screen.picture().resolution(), screen.picture().y()[0]), (half, 50));
    let before = data.clone();
    data[..64 * 16].fill(90);
    take(&mut screen, &data, Some(&before), now);
    assert_eq!(screen.picture().y()[0], 90, "kept up to date");
    let shown = screen.display_state(&Encoders::of(vec![]));
    assert_eq!((shown.resolution, shown.original_resolution), (half, SIZE));
    assert_eq!(shown.signal, SignalState::Active);
}

/// A JPEG of a grey picture with a light square of 8 pixels at (0, `row`).
fn jpeg(row: usize) -> Vec<u8> {
    let mut pixels = vec![60u8; 64 * 320];
    (row..row + 8).for_each(|row| pixels[64 * row..64 * row + 8].fill(200));
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width: 64,
        pitch: 64,
        height: 320,
        format: turbojpeg::PixelFormat::GRAY,
    };
    turbojpeg::compress(image, 90, turbojpeg::Subsamp::Gray).unwrap().to_vec()
}

#[test]
fn of_a_compressed_frame_only_what_really_changed_counts() {
    let now = Instant::now();
    let mut screen = Screen::new(state(SignalState::Active), MaxSize::Auto, now);
    let mut take = |data: &[u8], previous: Option<&[u8]>| {
        let frame = |data| RawFrame { format: PixelFormat::Mjpeg, ..grey(data, SIZE, now) };
        let pair = FramePair { current: frame(data), previous: previous.map(frame) };
        screen.take(&pair, now).unwrap()
    };
    let (first, second) = (jpeg(0), jpeg(8));
    assert_eq!(take(&first, None), Some(Change::Large));
    assert_eq!(take(&first, Some(&first)), None);
    assert_eq!(take(&second, Some(&first)), Some(Change::Small), "one stripe of twenty");
    // Other bytes, the same picture: a comment in front of the first table.
    let mut commented = second[..2].to_vec();
    commented.extend([0xff, 0xfe, 0, 4, 1, 2]);
    commented.extend(&second[2..]);
    assert_eq!(take(&commented, Some(&second)), None);
}
