//! The catalogue: what fails its self-check or in use is passed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kvmdesk::media::encode::encoders::{Candidate, CandidateState, Encoders};
use kvmdesk::media::encode::{EncodeError, EncodedPicture, Encoder, FrameOrder};
use kvmdesk::media::picture::I420Picture;
use kvmdesk::video::annexb::{self, nal_type, unit_type};
use kvmdesk::video::format::Resolution;
use kvmdesk::video::frame::{Codec, CodecSet};

use super::{SMALL, open, order, picture};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DoesNotOpen,
    OnlySmall,
    GivesNothing,
    WrongColours,
    OneFrameLate,
    IgnoresRequests,
    OnlyKeyFrames,
    NoParameterSets,
    Lies,
}

struct Fake {
    name: &'static str,
    fault: Fault,
    opened: AtomicUsize,
}

struct FakeEncoder {
    name: &'static str,
    fault: Fault,
    inner: Box<dyn Encoder>,
    before: Option<I420Picture>,
}

fn fake(name: &'static str, fault: Fault) -> Arc<Fake> {
    Arc::new(Fake { name, fault, opened: AtomicUsize::new(0) })
}

impl Candidate for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn codec(&self) -> Codec {
        Codec::H264
    }

    fn cost(&self) -> u32 {
        if self.fault == Fault::None { 100 } else { 50 }
    }

    fn open(&self, resolution: Resolution) -> Result<Box<dyn Encoder>, EncodeError> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::DoesNotOpen {
            return Err(EncodeError::Library { call: "open", code: -1 });
        }
        if self.fault == Fault::OnlySmall && resolution.width > 640 {
            return Err(EncodeError::Size(resolution));
        }
        let inner = open("openh264", resolution)?;
        Ok(Box::new(FakeEncoder { name: self.name, fault: self.fault, inner, before: None }))
    }
}

impl Encoder for FakeEncoder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn codec(&self) -> Codec {
        Codec::H264
    }

    fn resolution(&self) -> Resolution {
        self.inner.resolution()
    }

    fn encode(
        &mut self,
        picture: &I420Picture,
        mut order: FrameOrder,
    ) -> Result<EncodedPicture, EncodeError> {
        let before = self.before.replace(picture.clone());
        order.wants_keyframe &= self.fault != Fault::IgnoresRequests;
        order.wants_keyframe |= self.fault == Fault::OnlyKeyFrames;
        let shown = match (self.fault, before) {
            (Fault::WrongColours, _) => I420Picture::new(picture.resolution()),
            (Fault::OneFrameLate, Some(before)) => before,
            _ => picture.clone(),
        };
        let mut encoded = self.inner.encode(&shown, order)?;
        if self.fault == Fault::GivesNothing {
            encoded.data = bytes::Bytes::new();
        }
        if self.fault == Fault::NoParameterSets {
            let units = annexb::nal_units(&encoded.data);
            let kept = units.filter(|u| ![nal_type::SPS, nal_type::PPS].contains(&unit_type(u)));
            encoded.data = kept.flat_map(|u| [&[0, 0, 0, 1], u].concat()).collect();
        }
        encoded.is_keyframe |= self.fault == Fault::Lies;
        Ok(encoded)
    }
}

#[test]
fn an_encoder_that_fails_its_check_is_passed_over() {
    for fault in [
        Fault::DoesNotOpen,
        Fault::GivesNothing,
        Fault::WrongColours,
        Fault::OneFrameLate,
        Fault::IgnoresRequests,
        Fault::OnlyKeyFrames,
        Fault::NoParameterSets,
        Fault::Lies,
    ] {
        let bad = fake("bad", fault);
        let encoders = Encoders::checked(vec![bad.clone(), fake("good", Fault::None)]);
        assert_eq!(encoders.cost(Codec::H264), Some(50));
        assert!(encoders.report().iter().all(|c| c.state == CandidateState::NotTried));
        assert_eq!(encoders.open(Codec::H264, SMALL).unwrap().name(), "good", "{fault:?}");
        assert_eq!(encoders.cost(Codec::H264), Some(100), "{fault:?}");
        let report = encoders.report();
        assert!(matches!(&report[0].state, CandidateState::Rejected { reason } if !reason.is_empty()));
        assert!(matches!(&report[1].state, CandidateState::Proven { .. }), "{report:?}");
        assert_eq!(encoders.open(Codec::H264, SMALL).unwrap().name(), "good");
        encoders.prove_all();
        assert_eq!(bad.opened.load(Ordering::Relaxed), 1, "{fault:?}: it is not tried again");
    }
}

#[test]
fn the_check_is_made_once() {
    let good = fake("good", Fault::None);
    let encoders = Encoders::checked(vec![good.clone()]);
    for _ in 0..3 {
        encoders.open(Codec::H264, SMALL).unwrap();
    }
    encoders.prove_all();
    assert_eq!(good.opened.load(Ordering::Relaxed), 1 + 3);
}

#[test]
fn a_size_beyond_one_encoder_goes_to_the_next_and_rejects_nobody() {
    let encoders = Encoders::checked(vec![fake("small", Fault::OnlySmall), fake("good", Fault::None)]);
    assert_eq!(encoders.open(Codec::H264, Resolution::new(1280, 720)).unwrap().name(), "good");
    assert_eq!(encoders.open(Codec::H264, SMALL).unwrap().name(), "small");
    let odd = encoders.open(Codec::H264, Resolution::new(641, 480));
    assert!(matches!(odd, Err(EncodeError::Size(_))));
    assert_eq!(encoders.open(Codec::H264, SMALL).unwrap().name(), "small");
}

#[test]
fn one_that_fails_in_use_is_replaced_until_nothing_is_left() {
    let encoders = Encoders::checked(vec![fake("first", Fault::None), fake("second", Fault::None)]);
    let mut encoder = encoders.open(Codec::H264, SMALL).unwrap();
    encoder.encode(&picture(SMALL, 0), order(false, 26)).unwrap();
    encoders.reject("first", "it stopped".to_owned());
    assert_eq!(encoders.open(Codec::H264, SMALL).unwrap().name(), "second");
    assert_eq!(encoders.codecs(), CodecSet::of(&[Codec::H264]));
    encoders.reject("second", "it stopped, too".to_owned());
    assert!(encoders.codecs().is_empty());
    assert_eq!(encoders.cost(Codec::H264), None);
    assert!(matches!(encoders.open(Codec::H264, SMALL), Err(EncodeError::None(Codec::H264))));
    assert_eq!(encoders.report()[0].state, CandidateState::Rejected { reason: "it stopped".to_owned() });
}

#[test]
fn what_is_rejected_in_one_catalogue_stays_in_another() {
    let machine = Encoders::of_this_machine();
    machine.reject("openh264", "for a test".to_owned());
    assert!(open("openh264", SMALL).is_ok());
}
