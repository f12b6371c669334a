//! Controllers that decode one codec each, against the encoders of this machine: a right picture in each, and the next
//! codec when one is withdrawn. What this machine does not encode or decode is named and left out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kvmdesk::media::capture::pattern::PatternSource;
use kvmdesk::media::encode::decode;
use kvmdesk::media::encode::encoders::{CandidateState, Encoders};
use kvmdesk::media::picture::I420Picture;
use kvmdesk::media::pipeline::Pipeline;
use kvmdesk::video::card::TestCard;
use kvmdesk::video::frame::Codec;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use tokio::sync::watch;

use super::many::{App, display};
use super::rig::decoding;
use crate::support::controller::LONG;
use crate::support::is_strict;

/// The test card, standing still.
fn still() -> (Pipeline, Arc<Encoders>, watch::Sender<TestCard>) {
    let (card, told) = watch::channel(TestCard::default());
    let source = PatternSource::new(told);
    source.freeze_switch().store(true, Ordering::Relaxed);
    let encoders = Encoders::of_this_machine();
    (Pipeline::spawn_from(Box::new(source), 30, encoders.clone()), encoders, card)
}

/// How far two pictures are from each other, in steps of luma on average.
fn distance(a: &I420Picture, b: &I420Picture) -> f64 {
    assert_eq!(a.resolution(), b.resolution());
    let size = a.resolution();
    let pixels = (size.width * size.height) as usize;
    let sum: u64 = a.y().iter().zip(b.y()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / pixels as f64
}

fn usable(state: &CandidateState) -> bool {
    matches!(state, CandidateState::NotTried | CandidateState::Proven { .. })
}

/// Codecs that are encoded and decoded here.
fn testable(encoders: &Encoders) -> Vec<Codec> {
    let both = |codec: &Codec| encoders.codecs().contains(*codec) && decode::open(*codec).is_some();
    let (can, cannot): (Vec<_>, Vec<_>) = Codec::ALL.into_iter().partition(both);
    for codec in cannot {
        eprintln!("skipped: {codec} is not encoded or not decoded on this machine");
    }
    can
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_codec_alone_shows_the_same_picture() {
    let (pipeline, encoders, _card) = still();
    let mut first: Option<I420Picture> = None;
    for (n, codec) in testable(&encoders).into_iter().enumerate() {
        let mut app = App::open(n as u64, vec![display(&pipeline)], Arc::default(), &[codec]).await;
        app.units = Some(vec![]);
        // The key frame and what refines it.
        app.until(|app| app.frames.len() >= 2).await;
        assert!(app.frames.iter().all(|f| f.3 == codec) && app.frames[0].2, "{codec}: {:?}", app.frames);
        let mut decoder = decode::open(codec).unwrap();
        let mut picture = None;
        for unit in app.units.take().unwrap() {
            picture = Some(decoder.decode(&unit).unwrap_or_else(|e| panic!("{codec}: {e}")));
        }
        let picture = picture.unwrap();
        let far = first.as_ref().map_or(0.0, |first| distance(first, &picture));
        assert!(far < 3.0, "{codec} is {far} steps of luma from another");
        println!("{codec}: {far:.2} steps of luma from the first");
        first.get_or_insert(picture);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_codec_gives_way_to_the_next() {
    let (pipeline, encoders, _card) = still();
    let mut left = testable(&encoders);
    let mut app = App::open(1, vec![display(&pipeline)], Arc::default(), &left).await;
    app.until(|app| !app.frames.is_empty()).await;
    while left.len() > 1 {
        let now = app.frames.last().unwrap().3;
        left.retain(|codec| *codec != now);
        // What the app would change to is checked while it watches, not when it changes.
        let next = *left.iter().min_by_key(|codec| encoders.cost(**codec)).unwrap();
        let best = || encoders.report().into_iter().find(|r| r.codec == next && usable(&r.state)).unwrap();
        let checked = async {
            while !matches!(best().state, CandidateState::Proven { .. }) {
                app.next().await;
            }
        };
        tokio::time::timeout(LONG, checked).await.expect("the next encoder was checked");
        app.say(Misc::Option(decoding(&left, 0))).await;
        let asked = Instant::now();
        let so_far = app.frames.len();
        app.until(|app| app.frames[so_far..].iter().any(|f| f.3 != now)).await;
        let next = app.frames[so_far..].iter().find(|f| f.3 != now).copied().unwrap();
        let took = asked.elapsed();
        println!("from {now} to {} in {} ms", next.3, took.as_millis());
        assert!(!is_strict() || took <= Duration::from_millis(500), "{took:?}");
        assert!(next.2 && left.contains(&next.3), "a key frame of one that is left: {next:?}");
        app.frames = vec![next];
    }
}
