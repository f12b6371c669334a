//! Several codecs at once, changes in mid-session, encoders that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use kvmdesk::media::encode::encoders::{Candidate, openh264};

use super::fakes::{AsCandidate, Counted, Fake};
use super::*;

/// What `Encoders::of` takes: openh264, and these.
fn with(fakes: &[&Arc<Fake>]) -> Arc<Encoders> {
    let fakes = fakes.iter().map(|fake| Arc::new(AsCandidate((*fake).clone())) as Arc<dyn Candidate>);
    Encoders::of(std::iter::once(openh264()).chain(fakes).collect())
}

fn decodes(codecs: &[Codec]) -> VideoRequest {
    VideoRequest { decodes: CodecSet::of(codecs), ..wish() }
}

#[tokio::test]
async fn eight_watchers_of_four_codecs_are_four_encodes_and_a_stalled_one_changes_nothing() {
    let vp9 = Fake::new("fake-vp9", Codec::Vp9, 250);
    let vp8 = Fake::new("fake-vp8", Codec::Vp8, 200);
    let av1 = Fake::new("fake-av1", Codec::Av1, 190);
    let h265 = Fake::new("fake-h265", Codec::H265, 300);
    let screen = Screen::with(false, with(&[&vp9, &vp8, &av1, &h265]));
    let codecs = [Codec::H264, Codec::Vp9, Codec::Vp8, Codec::Av1];
    let stalled = screen.handle.subscribe(decodes(&[Codec::Vp9]));
    let also_stalled = screen.handle.subscribe(decodes(&[Codec::H264]));
    let mut streams = Vec::new();
    for codec in codecs.into_iter().chain([Codec::Vp8, Codec::Av1]) {
        let mut watcher = screen.handle.subscribe(decodes(&[codec]));
        streams.push(tokio::spawn(async move {
            let (mut decoder, mut expected, mut frames) = (Decoder::new().unwrap(), None, Vec::new());
            while frames.len() < 30 {
                let frame = next(&mut watcher).await;
                assert_eq!(frame.codec, codec);
                assert!(frame.is_keyframe || expected == Some(frame.sequence), "a gap without a key frame");
                expected = Some(frame.sequence + 1);
                if codec == Codec::H264 {
                    assert_eq!(decoded_size(&mut decoder, &frame.data), frame.resolution);
                } else {
                    let name = format!("fake-{}", codec.name().to_lowercase());
                    assert!(frame.data.starts_with(name.as_bytes()), "{:?} for {name}", frame.data);
                }
                frames.push((frame.codec.name(), frame.sequence, frame.data.as_ptr() as usize));
            }
            (frames, watcher)
        }));
    }
    let mut made = std::collections::BTreeMap::new();
    let mut watching = Vec::new();
    for stream in streams {
        let (frames, watcher) = stream.await.unwrap();
        watching.push(watcher);
        for (codec, sequence, bytes) in frames {
            assert_eq!(*made.entry((codec, sequence)).or_insert(bytes), bytes, "the same bytes for everyone");
        }
    }
    assert!(h265.orders().is_empty(), "nobody needs H.265");
    assert_eq!([&vp9, &vp8, &av1].map(|fake| fake.opened.load(Ordering::Relaxed)), [1; 3]);
    let stats = screen.handle.stats();
    let mut lanes: Vec<_> = stats.lanes.iter().map(|lane| (lane.codec.name(), lane.watchers)).collect();
    lanes.sort_unstable();
    assert_eq!(lanes, [("AV1", 2), ("H.264", 2), ("VP8", 2), ("VP9", 2)], "{stats:?}");
    assert!(stats.encode.p50 > Duration::ZERO && stats.hand_out.p99 >= stats.hand_out.p50, "{stats:?}");
    drop((stalled, also_stalled, watching));
    screen.until(|stats| stats.lanes.is_empty()).await;
}

#[tokio::test]
async fn a_withdrawn_codec_gives_way_to_the_next_with_a_key_frame() {
    let vp9 = Fake::new("fake-vp9", Codec::Vp9, 250);
    let screen = Screen::with(false, with(&[&vp9]));
    let mut watcher = screen.handle.subscribe(decodes(&[Codec::H264, Codec::Vp9]));
    let mut other = screen.handle.subscribe(decodes(&[Codec::H264, Codec::Vp9]));
    for _ in 0..5 {
        assert_eq!(next(&mut watcher).await.codec, Codec::H264, "the cheapest");
        next(&mut other).await;
    }
    let asked = Instant::now();
    watcher.update(decodes(&[Codec::Vp9]));
    let frame = next(&mut watcher).await;
    let took = asked.elapsed();
    assert!(frame.codec == Codec::Vp9 && frame.is_keyframe);
    eprintln!("key frame of the next codec after {took:?}");
    // Fewest encoders: the other, who decodes both, comes along.
    while next(&mut other).await.codec != Codec::Vp9 {}
    let stats = screen.handle.stats();
    assert_eq!((stats.lanes.len(), stats.lanes[0].watchers), (1, 2));
}

#[tokio::test]
async fn who_decodes_nothing_gets_nothing_and_costs_nothing() {
    let (_tell, told) = watch::channel(TestCard::default());
    let waits = Arc::new(AtomicUsize::new(0));
    let source = Counted { source: PatternSource::new(told), waits: waits.clone() };
    let pipeline = Pipeline::spawn_from(Box::new(source), 60, Encoders::of_this_machine());
    let handle = pipeline.handle();
    let mut watcher = handle.subscribe(decodes(&[]));
    // Whatever woke it for the subscription is over after two turns; the others are waits of a second.
    let begun = Instant::now();
    let enough = waits.load(Ordering::Relaxed) + 4;
    let wait = async {
        while waits.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    };
    let took = tokio::time::timeout(PATIENCE, wait).await.unwrap();
    assert!(took >= Duration::from_millis(1500), "it spins: four turns in {took:?}");
    assert_eq!((handle.stats().captured, handle.stats().encoded), (0, 0));
    watcher.update(wish());
    assert!(next(&mut watcher).await.is_keyframe);
}

#[tokio::test]
async fn encoders_that_fail_give_way_without_losing_the_session() {
    let first = Fake::new("first-vp9", Codec::Vp9, 150);
    let second = Fake::new("second-vp9", Codec::Vp9, 250);
    let av1 = Fake::new("fake-av1", Codec::Av1, 400);
    let fakes = [&first, &second, &av1].map(|fake| Arc::new(AsCandidate(fake.clone())) as Arc<dyn Candidate>);
    let screen = Screen::with(false, Encoders::of(fakes.to_vec()));
    let mut watcher = screen.handle.subscribe(decodes(&[Codec::Vp9, Codec::Av1]));
    for _ in 0..3 {
        assert!(next(&mut watcher).await.data.starts_with(b"first-vp9"));
    }
    for (broken, successor) in [(&first, "second-vp9"), (&second, "fake-av1")] {
        broken.is_broken.store(true, Ordering::Relaxed);
        let frame = loop {
            let frame = next(&mut watcher).await;
            if frame.data.starts_with(successor.as_bytes()) {
                break frame;
            }
        };
        assert!(frame.is_keyframe, "the first of another encoder");
    }
    let encodes = screen.handle.state().borrow().encodes;
    assert_eq!(encodes, CodecSet::of(&[Codec::Av1]), "it is told what is left");
    assert!(screen.handle.stats().encoder_failures >= 2);
}

#[tokio::test]
async fn an_encoder_that_fails_once_is_opened_again() {
    let only = Fake::new("only-vp9", Codec::Vp9, 150);
    let fakes = vec![Arc::new(AsCandidate(only.clone())) as Arc<dyn Candidate>];
    let screen = Screen::with(false, Encoders::of(fakes));
    let mut watcher = screen.handle.subscribe(decodes(&[Codec::Vp9]));
    next(&mut watcher).await;
    only.fails.store(1, Ordering::Relaxed);
    screen.until(|stats| stats.encoder_failures == 1).await;
    while !next(&mut watcher).await.is_keyframe {}
    assert_eq!(screen.handle.state().borrow().encodes, CodecSet::of(&[Codec::Vp9]));
}

#[tokio::test]
async fn a_line_far_slower_than_the_others_skips_or_gets_its_own_encode() {
    let vp9 = Fake::new("fake-vp9", Codec::Vp9, 250);
    // So slow at first that the CPU allows no second lane: 1280 x 720 pixels, 30 ms.
    vp9.slowness.store(33, Ordering::Relaxed);
    let fakes = vec![Arc::new(AsCandidate(vp9.clone())) as Arc<dyn Candidate>];
    let screen = Screen::with(false, Encoders::of(fakes));
    let mut fast = screen.handle.subscribe(decodes(&[Codec::Vp9]));
    let slow_line = VideoRequest { bits_per_second: Some(200_000), ..decodes(&[Codec::Vp9]) };
    let mut slow = screen.handle.subscribe(slow_line);
    assert!(next(&mut slow).await.is_keyframe);
    // The slow one reads nothing more; the fast one's frames follow each other as before.
    let mut last = None;
    for _ in 0..40 {
        let frame = next(&mut fast).await;
        assert!(frame.is_keyframe || last.is_none_or(|last| frame.sequence == last + 1));
        last = Some(frame.sequence);
    }
    assert!(
        vp9.orders().iter().all(|order| order.bits_per_second.is_none()),
        "nobody waits for the slow line"
    );
    // Now the CPU allows it.
    vp9.slowness.store(0, Ordering::Relaxed);
    let feed = tokio::spawn(async move { while fast.next().await.is_some() {} });
    screen.until(|stats| stats.lanes.iter().any(|lane| lane.is_second)).await;
    let frame = loop {
        let frame = next(&mut slow).await;
        if screen.handle.stats().lanes.iter().any(|lane| lane.is_second && lane.quantiser > 0)
            && frame.is_keyframe
        {
            break frame;
        }
    };
    assert!(frame.is_keyframe);
    let own = |order: &kvmdesk::media::encode::FrameOrder| order.bits_per_second == Some(200_000);
    assert!(vp9.orders().iter().any(own), "an encode for the slow line");
    drop(screen);
    feed.await.unwrap();
}
