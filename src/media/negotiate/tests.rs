use proptest::prelude::*;

use super::*;

const OPENH264: Offer = Offer { codec: Codec::H264, cost: 100 };
const VP8: Offer = Offer { codec: Codec::Vp8, cost: 200 };
const VP9: Offer = Offer { codec: Codec::Vp9, cost: 250 };
const AV1: Offer = Offer { codec: Codec::Av1, cost: 190 };

fn wish(watcher: u64, decodes: &[Codec], prefers: Option<Codec>) -> Wish {
    let request = VideoRequest { decodes: CodecSet::of(decodes), prefers, ..VideoRequest::default() };
    Wish { watcher, request, seat: None }
}

fn at_rate(watcher: u64, rate: Option<u32>) -> Wish {
    let mut wish = wish(watcher, &[Codec::H264], None);
    wish.request.bits_per_second = rate;
    wish
}

fn codecs(wishes: &[Wish], offers: &[Offer]) -> Vec<Option<Codec>> {
    negotiate(wishes, offers, true).into_iter().map(|seat| seat.map(|s| s.codec)).collect()
}

/// The same wishes, sitting where they were put.
fn seated(wishes: &[Wish], seats: &[Option<Seat>]) -> Vec<Wish> {
    wishes.iter().zip(seats).map(|(wish, seat)| Wish { seat: *seat, ..*wish }).collect()
}

#[test]
fn one_encoder_is_enough_where_one_is_enough() {
    let offers = [OPENH264, VP8, VP9];
    let all = [Codec::H264, Codec::Vp8, Codec::Vp9];
    assert_eq!(
        codecs(&[wish(1, &all, None), wish(2, &all, None)], &offers),
        [Some(Codec::H264); 2],
        "cheapest"
    );
    let web = wish(2, &[Codec::Vp9], None);
    assert_eq!(codecs(&[wish(1, &all, None), web], &offers), [Some(Codec::Vp9); 2], "fewest before cheapest");
    let apple = wish(1, &[Codec::H264], None);
    assert_eq!(codecs(&[apple, web], &offers), [Some(Codec::H264), Some(Codec::Vp9)]);
    let flexible = wish(3, &all, Some(Codec::Vp9));
    assert_eq!(
        codecs(&[apple, web, flexible], &offers),
        [Some(Codec::H264), Some(Codec::Vp9), Some(Codec::Vp9)]
    );
}

#[test]
fn preferences_count_where_they_cost_no_encoder() {
    let offers = [OPENH264, VP8, VP9];
    let all = [Codec::H264, Codec::Vp8, Codec::Vp9];
    assert_eq!(codecs(&[wish(1, &all, Some(Codec::Vp8))], &offers), [Some(Codec::Vp8)], "alone");
    assert_eq!(
        codecs(&[wish(1, &all, Some(Codec::H265))], &offers),
        [Some(Codec::H264)],
        "not usable: ignored"
    );
    let votes = [
        wish(1, &all, Some(Codec::H264)),
        wish(2, &all, Some(Codec::Vp9)),
        wish(3, &all, Some(Codec::Vp9)),
        wish(4, &all, None),
    ];
    assert_eq!(codecs(&votes, &offers), [Some(Codec::Vp9); 4], "the most frequent");
    let narrow = wish(5, &[Codec::H264], None);
    assert_eq!(codecs(&[votes[1], narrow], &offers), [Some(Codec::H264); 2], "not for an encoder of its own");
}

#[test]
fn who_decodes_nothing_has_no_seat() {
    assert_eq!(codecs(&[wish(1, &[Codec::H265], None), wish(2, &[], None)], &[OPENH264, AV1]), [None, None]);
    assert_eq!(codecs(&[wish(1, &Codec::ALL, None)], &[]), [None]);
    assert_eq!(negotiate(&[], &[OPENH264], true), []);
}

#[test]
fn slow_lines_get_a_second_lane_or_skip_and_come_back_late() {
    let flags = |wishes: &[Wish], allows| -> Vec<(bool, bool)> {
        let seats = negotiate(wishes, &[OPENH264], allows);
        seats.into_iter().map(|s| s.map(|s| (s.is_second, s.is_skipping)).unwrap()).collect()
    };
    let wishes = [
        at_rate(1, None),
        at_rate(2, Some(2_000_000)),
        at_rate(3, Some(300_000)),
        at_rate(4, Some(12_000_000)),
    ];
    assert_eq!(flags(&wishes, false), [(false, false), (false, true), (false, true), (false, false)]);
    assert_eq!(flags(&wishes, true), [(false, false), (true, false), (true, true), (false, false)]);

    let mut pair = seated(&[at_rate(1, Some(9_000_000)), at_rate(2, Some(2_000_000))], &[None, None]);
    let seats = negotiate(&pair, &[OPENH264], true);
    pair = seated(&pair, &seats);
    pair[1].request.bits_per_second = Some(4_000_000);
    assert_eq!(flags(&pair, true), [(false, false), (true, false)], "2.25 times apart: stays");
    pair[1].request.bits_per_second = Some(5_000_000);
    assert_eq!(flags(&pair, true), [(false, false), (false, false)]);
}

fn some_codecs() -> impl Strategy<Value = CodecSet> {
    (0u8..32).prop_map(|bits| {
        Codec::ALL
            .into_iter()
            .enumerate()
            .filter(|(n, _)| bits >> n & 1 == 1)
            .map(|(_, codec)| codec)
            .collect()
    })
}

fn some_wishes() -> impl Strategy<Value = Vec<Wish>> {
    let preference = proptest::option::of(proptest::sample::select(Codec::ALL.to_vec()));
    let one = (some_codecs(), preference, proptest::option::of(1u32..100_000_000));
    proptest::collection::vec(one, 0..9).prop_map(|all| {
        let wish = |(n, (decodes, prefers, bits_per_second))| Wish {
            watcher: n as u64,
            request: VideoRequest { decodes, prefers, bits_per_second, ..VideoRequest::default() },
            seat: None,
        };
        all.into_iter().enumerate().map(wish).collect()
    })
}

fn some_offers() -> impl Strategy<Value = Vec<Offer>> {
    (some_codecs(), proptest::collection::vec(1u32..500, 5))
        .prop_map(|(set, costs)| set.iter().zip(costs).map(|(codec, cost)| Offer { codec, cost }).collect())
}

/// Whether `set` has something for everyone who can be served.
fn serves(set: CodecSet, wishes: &[Wish], offered: CodecSet) -> bool {
    wishes.iter().map(|w| w.request.decodes.and(offered)).all(|u| u.is_empty() || !u.and(set).is_empty())
}

proptest! {
    #[test]
    fn seats_are_usable_few_and_stable(wishes in some_wishes(), offers in some_offers(), allows in any::<bool>()) {
        let offered: CodecSet = offers.iter().map(|o| o.codec).collect();
        let seats = negotiate(&wishes, &offers, allows);
        for (wish, seat) in wishes.iter().zip(&seats) {
            let usable = wish.request.decodes.and(offered);
            prop_assert_eq!(seat.is_none(), usable.is_empty());
            prop_assert!(seat.is_none_or(|s| usable.contains(s.codec) && (allows || !s.is_second)));
        }
        let used: CodecSet = seats.iter().flatten().map(|s| s.codec).collect();
        let smaller = (0u8..32)
            .map(|bits| Codec::ALL.into_iter().enumerate().filter(move |(n, _)| bits >> n & 1 == 1).map(|(_, c)| c))
            .map(|set| set.collect::<CodecSet>())
            .any(|set| set.iter().count() < used.iter().count() && serves(set.and(offered), &wishes, offered));
        prop_assert!(!smaller, "fewer encoders would do");
        for codec in used.iter() {
            let first = |s: &&Seat| s.codec == codec && !s.is_second;
            prop_assert!(seats.iter().flatten().any(|s| first(&s) && !s.is_skipping), "someone sets the pace");
            if seats.iter().flatten().any(|s| s.codec == codec && s.is_second) {
                prop_assert!(seats.iter().flatten().any(|s| s.codec == codec && s.is_second && !s.is_skipping));
            }
        }
        // Asked again nothing moves, whoever is asked first.
        let again = seated(&wishes, &seats);
        prop_assert_eq!(&negotiate(&again, &offers, allows), &seats);
        let mut turned = negotiate(&again.iter().rev().copied().collect::<Vec<_>>(), &offers, allows);
        turned.reverse();
        prop_assert_eq!(&turned, &seats);
    }

    #[test]
    fn who_is_alone_gets_what_he_prefers(wishes in some_wishes(), offers in some_offers()) {
        let offered: CodecSet = offers.iter().map(|o| o.codec).collect();
        for wish in wishes {
            if let Some(prefers) = wish.request.prefers.filter(|p| wish.request.decodes.and(offered).contains(*p)) {
                prop_assert_eq!(codecs(&[wish], &offers), [Some(prefers)]);
            }
        }
    }
}
