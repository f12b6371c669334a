//! Still pictures: refinement, silence, sampling, screenshots, cards; and sizes by budget.

use kvmdesk::media::capture::v4l2::{V4l2Settings, V4l2Source};
use kvmdesk::media::encode::encoders::Candidate;
use kvmdesk::media::pipeline::MaxSize;
use kvmdesk::media::snapshot::SnapshotError;

use super::fakes::{AsCandidate, Fake};
use super::*;

pub fn only(fake: &Arc<Fake>) -> Arc<Encoders> {
    Encoders::of(vec![Arc::new(AsCandidate(fake.clone())) as Arc<dyn Candidate>])
}

pub fn vp9_wish() -> VideoRequest {
    VideoRequest { decodes: CodecSet::of(&[Codec::Vp9]), ..wish() }
}

#[tokio::test]
async fn a_still_picture_is_coarse_then_fine_then_silent_and_a_change_is_seen_again() {
    let fake = Fake::new("fake-vp9", Codec::Vp9, 250);
    let screen = Screen::with(true, only(&fake));
    let mut watcher = screen.handle.subscribe(vp9_wish());
    assert!(next(&mut watcher).await.is_keyframe);
    let rest = tokio::spawn(async move {
        let mut frames = 0;
        while watcher.next().await.is_some() {
            frames += 1;
        }
        frames
    });
    screen.until(|stats| stats.refinements == 1).await;
    let refined = screen.handle.stats();
    // Two seconds of the card: compared as a whole for the first of them, then by samples.
    screen.until(|stats| stats.unchanged >= refined.unchanged + 60).await;
    assert_eq!(screen.handle.stats().encoded, refined.encoded, "nothing more is encoded");
    let orders = fake.orders();
    assert!(orders[0].wants_keyframe && (32..=36).contains(&orders[0].quantiser), "coarse first: {orders:?}");
    assert!(orders[1..].iter().all(|order| !order.wants_keyframe), "{orders:?}");
    assert_eq!(orders.last().map(|order| order.quantiser), Some(19), "{orders:?}");

    screen.tell.send_modify(|card| card.pointer = Some((100, 100)));
    screen.until(|stats| stats.encoded > refined.encoded).await;
    assert_eq!(
        fake.orders().last().map(|order| order.quantiser),
        Some(19),
        "a small change is as fine as the rest"
    );
    drop(screen);
    assert!(rest.await.unwrap() >= 2, "the refinement and the change");
}

/// Mean square error of decoded luma against red, green and blue.
fn error_of(decoder: &mut Decoder, data: &[u8], rgb: &[u8]) -> f64 {
    let yuv = decoder.decode(data).unwrap().expect("a picture for every frame");
    let ((width, _), (stride, ..)) = (yuv.dimensions(), yuv.strides());
    let luma = yuv.y().chunks(stride).flat_map(|row| &row[..width]);
    let wanted = rgb.chunks_exact(3).map(|p| {
        let [r, g, b] = [p[0], p[1], p[2]].map(f64::from);
        16.0 + (65.738 * r + 129.057 * g + 25.064 * b) / 256.0
    });
    let total: f64 = luma.zip(wanted).map(|(y, wanted)| (f64::from(*y) - wanted).powi(2)).sum();
    total / (rgb.len() / 3) as f64
}

#[tokio::test]
async fn refinement_comes_nearer_to_the_picture() {
    let screen = Screen::new(true);
    let snapshot = tokio::time::timeout(PATIENCE, screen.handle.snapshot()).await.unwrap().unwrap();
    let mut watcher = screen.handle.subscribe(wish());
    let mut decoder = Decoder::new().unwrap();
    let mut errors = Vec::new();
    while screen.handle.stats().refinements == 0 || errors.len() < screen.handle.stats().encoded as usize {
        errors.push(error_of(&mut decoder, &next(&mut watcher).await.data, &snapshot.rgb));
    }
    let (coarse, fine) = (errors[errors.len() - 2], errors[errors.len() - 1]);
    eprintln!("mean square error of luma, frame by frame: {errors:.2?}");
    assert!(fine < coarse * 0.7, "{errors:?}");
}

#[tokio::test]
async fn a_snapshot_is_the_captured_picture_and_wakes_the_source_for_it() {
    let screen = Screen::new(true);
    let (first, second) = tokio::join!(screen.handle.snapshot(), screen.handle.snapshot());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.resolution, Resolution::new(1280, 720));
    assert_eq!(first.rgb, second.rgb);
    let pixel = |x: usize, y: usize| &first.rgb[(y * 1280 + x) * 3..][..3];
    // The colour bars, exactly: not through 4:2:0.
    for (n, colour) in [[255u8, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0]].iter().enumerate() {
        let found = pixel(160 * n + 80, 60);
        assert!(found.iter().zip(colour).all(|(a, b)| a.abs_diff(*b) <= 3), "{found:?} for {colour:?}");
    }
    assert_eq!(&first.to_png()[1..4], b"PNG");
    assert_eq!(screen.handle.stats().encoded, 0);
    let captured = screen.handle.stats().captured;
    assert!(captured <= 3, "{captured} pictures for two snapshots");
}

#[tokio::test]
async fn there_is_no_snapshot_of_a_card_or_of_a_pipeline_that_ended() {
    let source = V4l2Source::new(V4l2Settings::at("/nonexistent/video"));
    let pipeline = Pipeline::spawn_from(Box::new(source), 60, Encoders::of_this_machine());
    let handle = pipeline.handle();
    let answer = tokio::time::timeout(PATIENCE, handle.snapshot()).await.unwrap();
    assert_eq!(answer.unwrap_err(), SnapshotError::NoSignal(SignalState::NoDevice));
    // The card is a picture like others, and goes on: it says how long the signal has been gone.
    let mut watcher = handle.subscribe(wish());
    assert!(next(&mut watcher).await.is_keyframe);
    for _ in 0..3 {
        assert!(!next(&mut watcher).await.is_keyframe);
    }
    drop(pipeline);
    assert_eq!(handle.snapshot().await.unwrap_err(), SnapshotError::Gone);
}

#[tokio::test]
async fn an_encoder_that_cannot_keep_up_gets_smaller_pictures() {
    let fake = Fake::new("slow-vp9", Codec::Vp9, 250);
    // 92 ms at 640x480, 23 ms at half of it.
    fake.slowness.store(300, std::sync::atomic::Ordering::Relaxed);
    let size = Resolution::new(640, 480);
    let screen = Screen::sized(MaxSize::Auto, size, only(&fake));
    let mut watcher = screen.handle.subscribe(vp9_wish());
    let frame = loop {
        let frame = next(&mut watcher).await;
        if frame.resolution != size {
            break frame;
        }
    };
    assert_eq!((frame.resolution, frame.original_resolution), (Resolution::new(320, 240), size));
    assert!(frame.is_keyframe);
    let state = *screen.handle.state().borrow();
    assert_eq!((state.resolution, state.original_resolution), (Resolution::new(320, 240), size));
}

#[tokio::test]
async fn a_fixed_size_is_kept_and_announced_from_the_start() {
    let most = Resolution::new(400, 400);
    let screen = Screen::sized(MaxSize::Fixed(most), Resolution::new(640, 480), Encoders::of_this_machine());
    let small = Resolution::new(400, 300);
    assert_eq!(screen.handle.state().borrow().resolution, small);
    let mut watcher = screen.handle.subscribe(wish());
    let mut decoder = Decoder::new().unwrap();
    for _ in 0..5 {
        let frame = next(&mut watcher).await;
        assert_eq!((frame.resolution, frame.original_resolution), (small, Resolution::new(640, 480)));
        assert_eq!(decoded_size(&mut decoder, &frame.data), small);
    }
}
