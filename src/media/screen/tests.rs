use std::sync::Arc;

use super::*;
use crate::media::capture::{Colours, RawFrame, RawPlane};
use crate::media::captured::Place;
use crate::media::captured::tests::{Heap, frame_in};
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
    screen.take(&FramePair { current: grey(data, SIZE, at), previous, captured: None }, SIZE, at).unwrap()
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
    let previous = Some(grey(&before, SIZE, start));
    let pair = FramePair { current: grey(short, SIZE, start), previous, captured: None };
    assert_eq!(screen.take(&pair, SIZE, start), Err(ConvertError::TooShort));
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
        let pair = FramePair { current: frame(data), previous: previous.map(frame), captured: None };
        screen.take(&pair, SIZE, now).unwrap()
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

/// A JPEG of `size` with a light column at `at`.
fn wide_jpeg(size: Resolution, at: usize) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut pixels = vec![60u8; width * height];
    pixels.chunks_exact_mut(width).for_each(|row| row[at..at + 16].fill(200));
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width,
        pitch: width,
        height,
        format: turbojpeg::PixelFormat::GRAY,
    };
    turbojpeg::compress(image, 90, turbojpeg::Subsamp::Gray).unwrap().to_vec()
}

const WIDE: Resolution = Resolution::new(1280, 720);
const HALF: Resolution = Resolution::new(640, 360);

/// A screen that shows JPEGs of [`WIDE`].
struct Jpegs {
    screen: Screen,
    now: Instant,
    last: Option<Vec<u8>>,
}

impl Jpegs {
    fn new(max_size: MaxSize) -> Self {
        let now = Instant::now();
        let state = SourceState { signal: SignalState::Active, resolution: Some(WIDE) };
        Self { screen: Screen::new(state, max_size, now), now, last: None }
    }

    fn take(&mut self, data: Vec<u8>, size: Resolution) -> Option<Change> {
        let frame = |data| RawFrame { format: PixelFormat::Mjpeg, ..grey(data, size, self.now) };
        let pair =
            FramePair { current: frame(&data), previous: self.last.as_deref().map(frame), captured: None };
        let change = self.screen.take(&pair, WIDE, self.now).unwrap();
        self.last = Some(data);
        change
    }

    /// Encodes that take so long, for so many seconds; how often the size changed at once.
    fn encode(&mut self, took: Duration, seconds: u64) -> usize {
        let end = self.now + Duration::from_secs(seconds);
        let mut changes = 0;
        while self.now < end {
            self.now += took.max(Duration::from_millis(100));
            changes += usize::from(self.screen.encoded(took, self.now));
        }
        changes
    }

    fn sizes(&self) -> (Resolution, Resolution) {
        let shown = self.screen.display_state(&Encoders::of(vec![]));
        assert_eq!(shown.original_resolution, WIDE);
        (shown.resolution, self.screen.picture.resolution())
    }
}

#[test]
fn a_jpeg_is_decoded_at_half_while_the_encoder_is_slow_and_whole_again_afterwards() {
    let mut jpegs = Jpegs::new(MaxSize::Auto);
    jpegs.take(wide_jpeg(WIDE, 0), WIDE);
    assert_eq!((jpegs.sizes(), jpegs.screen.wish()), ((WIDE, WIDE), None));
    assert_eq!(jpegs.encode(Duration::from_millis(140), 4), 1);
    assert_eq!(jpegs.sizes(), (HALF, WIDE), "what is there is scaled at once");
    assert_eq!((jpegs.screen.picture().resolution(), jpegs.screen.wish()), (HALF, Some(HALF)));

    assert_eq!(jpegs.take(wide_jpeg(WIDE, 64), WIDE), Some(Change::Large));
    assert_eq!(jpegs.sizes(), (HALF, HALF), "decoded at the size at which it is sent");
    let row = &jpegs.screen.picture().y()[..640];
    let light: Vec<_> = (0..640).filter(|x| row[*x] > 150).collect();
    assert_eq!(light, (32..40).collect::<Vec<_>>(), "a pixel is where its twice is");

    // A long calm: more pixels are wanted, and sent as soon as there are any.
    assert_eq!(jpegs.encode(Duration::from_millis(5), 130), 0);
    assert_eq!((jpegs.sizes(), jpegs.screen.wish()), ((HALF, HALF), None));
    assert_eq!(jpegs.screen.picture().resolution(), HALF);
    assert_eq!(jpegs.take(wide_jpeg(WIDE, 64), WIDE), Some(Change::Large), "also of a still picture");
    assert_eq!((jpegs.sizes(), jpegs.screen.picture().resolution()), ((WIDE, WIDE), WIDE));
}

#[test]
fn a_fixed_size_is_decoded_at_half_where_it_fits_and_the_source_size_never() {
    for (max_size, sent, decoded) in [
        (MaxSize::Fixed(HALF), HALF, HALF),
        (MaxSize::Fixed(Resolution::new(400, 400)), Resolution::new(400, 224), HALF),
        (MaxSize::Fixed(Resolution::new(800, 800)), Resolution::new(800, 450), WIDE),
        (MaxSize::Fixed(Resolution::new(4000, 4000)), WIDE, WIDE),
        (MaxSize::Source, WIDE, WIDE),
    ] {
        let mut jpegs = Jpegs::new(max_size);
        let wish = (sent != WIDE).then_some(sent);
        assert_eq!(jpegs.screen.wish(), wish, "also before the first picture");
        jpegs.take(wide_jpeg(WIDE, 0), WIDE);
        jpegs.encode(Duration::from_millis(500), 20);
        jpegs.take(wide_jpeg(WIDE, 32), WIDE);
        assert_eq!((jpegs.sizes(), jpegs.screen.wish()), ((sent, decoded), wish), "{max_size:?}");
        assert_eq!(jpegs.screen.picture().resolution(), sent);
    }
}

#[test]
fn frames_that_the_device_made_smaller_are_of_the_same_signal() {
    let mut jpegs = Jpegs::new(MaxSize::Auto);
    jpegs.take(wide_jpeg(WIDE, 0), WIDE);
    jpegs.encode(Duration::from_millis(140), 4);
    // The device now gives a size between the wanted one and its own; its half is too small.
    let between = Resolution::new(800, 450);
    assert_eq!(jpegs.take(wide_jpeg(between, 0), between), Some(Change::Large));
    assert_eq!((jpegs.sizes(), jpegs.screen.wish()), ((HALF, between), Some(HALF)));
    assert_eq!(jpegs.screen.picture().resolution(), HALF);
    jpegs.encode(Duration::from_millis(5), 130);
    assert_eq!((jpegs.sizes(), jpegs.screen.wish()), ((HALF, between), None), "until there are more");
    jpegs.take(wide_jpeg(WIDE, 0), WIDE);
    assert_eq!(jpegs.sizes(), (WIDE, WIDE));
}

/// NV12 of `luma`, with one row of another.
fn nv12(luma: u8, row: usize, other: u8) -> Arc<Heap> {
    let mut bytes = vec![luma; 64 * 320];
    bytes[64 * row..][..64].fill(other);
    bytes.resize(64 * 480, 128);
    Arc::new(Heap { planes: vec![bytes] })
}

fn nv12_frame(memory: &Heap) -> RawFrame<'_> {
    let place = |offset| Place { memory: 0, offset, stride: 64 };
    frame_in(memory, SIZE, [place(0), place(64 * 320)])
}

#[test]
fn a_captured_picture_is_shown_as_it_is_and_converted_only_where_someone_needs_it() {
    let mut now = Instant::now();
    let mut screen = Screen::new(state(SignalState::Active), MaxSize::Auto, now);
    let mut last: Option<Arc<Heap>> = None;
    let mut take = |screen: &mut Screen, memory: Arc<Heap>, now| {
        let previous = last.replace(memory.clone());
        let pair = FramePair {
            current: nv12_frame(&memory),
            previous: previous.as_deref().map(nv12_frame),
            captured: CapturedPicture::of(&nv12_frame(&memory), memory.clone()),
        };
        screen.take(&pair, SIZE, now).unwrap()
    };
    let row = |screen: &Screen, row| screen.captured().unwrap().frame().planes[0].row(row, 64).unwrap()[0];
    assert_eq!(take(&mut screen, nv12(50, 0, 50), now), Some(Change::Large), "the first picture");
    assert_eq!(take(&mut screen, nv12(50, 100, 90), now), Some(Change::Small));
    assert_eq!(take(&mut screen, nv12(50, 100, 90), now), None);
    assert_eq!(row(&screen, 100), 90);
    // Everything that changed since is in the planes, not only the last change.
    assert_eq!(take(&mut screen, nv12(50, 200, 70), now), Some(Change::Small));
    assert_eq!([0, 100, 200].map(|row| screen.picture().y()[64 * row]), [50, 50, 70]);

    // While only some rows are looked at, the newest frame holds a change that was not seen yet.
    let mut is_unseen = false;
    for _ in 0..40 {
        now += Duration::from_millis(50);
        assert_eq!(take(&mut screen, nv12(50, 200, 70), now), None);
        is_unseen |= screen.watchman.is_sampling();
    }
    assert!(is_unseen);
    // Two rows in two phases: one of them is not looked at now.
    let unseen = [203, 206].into_iter().find(|row| take(&mut screen, nv12(50, *row, 71), now).is_none());
    let unseen = unseen.expect("one is not seen at once");
    assert_eq!(row(&screen, unseen), 71);
    assert_eq!(screen.look_closely(now), Some(Change::Small));
    assert_eq!(screen.picture().y()[64 * unseen], 71);
    assert_eq!(screen.look_closely(now), None, "once is enough");

    // A card is in planes of ours, and what it dims is the last picture.
    assert!(screen.set_state(state(SignalState::NoSignal), now));
    assert!(screen.captured().is_none());
    let live = screen.last_live.as_ref().unwrap();
    assert_eq!([0, unseen].map(|row| live.y()[64 * row]), [50, 71]);
    assert_eq!(take(&mut screen, nv12(80, 0, 80), now), Some(Change::Large));
    assert_eq!(row(&screen, 0), 80);
    assert_eq!(screen.picture().y()[64 * unseen], 80);
}
