//! The pointer of targets that know only one kind, and of several hands at once.

use crate::hid::pointing::PointerMode;

use super::*;

/// The pixel of a screen of 1001 x 501.
fn pixel(x: i32, y: i32) -> InputEvent {
    InputEvent::PointerAbsolute(AbsolutePoint::from_pixel(x, y, 1001, 501))
}

fn by(dx: i32, dy: i32) -> InputEvent {
    InputEvent::PointerRelative { dx, dy }
}

fn sim(mode: PointerMode) -> Sim {
    let mut sim = Sim::new();
    sim.engine.set_pointer(mode);
    sim.engine.set_screen(1001, 501);
    sim
}

/// A target with a relative mouse: where its pointer is after the reports, from wherever it was.
fn pointer_of(sim: &Sim, mut at: (i32, i32)) -> (i32, i32) {
    for report in sim.got(HidDevice::Relative) {
        let byte = |n: usize| i32::from(u8::from_str_radix(&report[2 * n..2 * n + 2], 16).unwrap() as i8);
        at = ((at.0 + byte(1)).clamp(0, 1000), (at.1 + byte(2)).clamp(0, 500));
    }
    at
}

#[test]
fn a_boot_mouse_gets_to_the_pixel_by_distances() {
    let mut sim = sim(PointerMode::Relative);
    sim.send(A, [pixel(300, 200), left(true)]);
    sim.run(500);
    assert_eq!(pointer_of(&sim, (777, 3)), (300, 200));
    assert_eq!(sim.got(HidDevice::Relative).last(), Some(&"0100000000"));
    sim.send(A, [pixel(299, 203), left(false)]);
    sim.run(10);
    assert_eq!(pointer_of(&sim, (777, 3)), (299, 203));
    let reports = sim.got(HidDevice::Relative);
    assert_eq!(reports[reports.len() - 2..], ["01ff030000", "0000000000"]);
    sim.send(A, [by(4, 4), pixel(1000, 0)]);
    sim.run(100);
    assert_eq!(pointer_of(&sim, (777, 3)), (1000, 0));
    assert!(sim.got(HidDevice::Absolute).is_empty());
}

#[test]
fn the_newest_place_wins_also_by_distances_and_the_last_one_arrives() {
    let mut sim = sim(PointerMode::Relative);
    sim.send(A, [pixel(500, 250)]);
    sim.run(500);
    sim.answer_all(BUSY);
    for x in 0..400 {
        sim.send(A, [pixel(x, x)]);
        sim.run(1);
    }
    sim.send(A, [left(true), left(false), pixel(77, 66)]);
    sim.answer_all(WRITTEN);
    sim.forget();
    sim.run(200);
    let click = sim.log.iter().position(|l| l.2.starts_with("01")).unwrap();
    assert_eq!(pointer_of(&sim, (500, 250)), (77, 66));
    sim.log.truncate(click);
    assert_eq!(pointer_of(&sim, (500, 250)), (399, 399), "clicked where the user clicked");
    assert!(click < 10, "not one report a move: {click}");
}

#[test]
fn after_lost_reports_the_pointer_goes_home_first_and_stands_where_last_told() {
    let mut sim = sim(PointerMode::Relative);
    sim.send(A, [pixel(500, 250)]);
    sim.run(500);
    for answer in [GONE, BUSY] {
        sim.answer_all(answer);
        sim.send(A, [pixel(10, 20), key(KeyUsage::A, true)]);
        sim.run(5000);
        sim.forget();
        sim.answer_all(WRITTEN);
        sim.run(2500);
        assert_eq!(pointer_of(&sim, (1000, 500)), (10, 20), "wherever it was");
        assert!(sim.got(HidDevice::Absolute).is_empty());
    }
}

#[test]
fn a_device_that_knows_only_places_gets_places() {
    let mut sim = sim(PointerMode::Absolute);
    sim.send(A, [pixel(500, 250), by(1, -1), left(true), by(2000, 0), left(false)]);
    sim.run(50);
    let at = |x, y| {
        let AbsolutePoint { x, y } = AbsolutePoint::from_pixel(x, y, 1001, 501);
        format!("{:04x}{:04x}", x.swap_bytes(), y.swap_bytes())
    };
    // A place is rounded up, and what is added to it is not: at most one step of 32767 between them.
    let reports = sim.got(HidDevice::Absolute);
    assert_eq!(reports[0], format!("00{}0000", at(500, 250)));
    assert_eq!(reports[1][..2], *"00");
    assert_eq!((&reports[2][..2], &reports[2][2..10]), ("01", &reports[1][2..10]), "pressed where it went");
    assert_eq!((&reports[3][..6], &reports[4][..6]), ("01ff7f", "00ff7f"));
    assert_eq!(reports.len(), 5);
    assert!(sim.got(HidDevice::Relative).is_empty());
}

/// Many boot menus read the boot mouse and not the absolute one.
#[test]
fn what_reads_only_the_boot_mouse_is_found_out_and_so_is_its_end() {
    let mut sim = sim(PointerMode::Auto);
    sim.answers[1] = BUSY;
    sim.send(A, [pixel(300, 200)]);
    sim.run(2500);
    assert_eq!(pointer_of(&sim, (9, 9)), (300, 200), "the place that nobody read comes by distances");
    sim.send(A, [pixel(310, 200), left(true), left(false)]);
    sim.run(50);
    assert_eq!(pointer_of(&sim, (9, 9)), (310, 200));
    assert_eq!(sim.got(HidDevice::Relative).iter().filter(|r| r.starts_with("01")).count(), 1);
    assert_eq!(sim.notice(), (true, String::new()));
    sim.run(60_000);
    assert!(sim.got(HidDevice::Absolute).is_empty());
    sim.forget();
    sim.answers[1] = WRITTEN;
    sim.run(1500);
    assert_eq!(sim.got(HidDevice::Absolute).len(), 1, "the system has started: the same place, told as one");
    sim.send(A, [pixel(5, 5), left(true), left(false)]);
    sim.run(50);
    assert_eq!((sim.got(HidDevice::Absolute).len(), sim.got(HidDevice::Relative).len()), (4, 0));
}

/// A host that is asleep reads nothing; it is no boot menu.
#[test]
fn nothing_is_moved_by_distances_when_a_host_wakes_up() {
    for sleep in [1900, 2100, 3900, 4200, 10_000] {
        let mut sim = sim(PointerMode::Auto);
        sim.send(A, [pixel(300, 200)]);
        sim.run(50);
        sim.answer_all(BUSY);
        sim.send(A, [pixel(310, 210)]);
        sim.run(sleep);
        sim.forget();
        sim.answer_all(WRITTEN);
        sim.run(2500);
        assert!(sim.got(HidDevice::Relative).iter().all(|report| *report == "0000000000"), "{sleep}");
        assert_eq!(stand(&sim, (0, 0)), (310, 210), "{sleep}");
    }
}

#[test]
fn two_hands_click_where_each_of_them_is() {
    let mut sim = Sim::new();
    sim.send(A, [place(0x100)]);
    sim.run(5);
    sim.send(B, [place(0x200)]);
    sim.run(5);
    sim.forget();
    sim.send(A, [left(true), left(false)]);
    sim.run(5);
    sim.send(B, [InputEvent::Wheel { vertical: 1, horizontal: 0 }]);
    sim.run(5);
    let want = ["00000100000000", "01000100000000", "00000100000000", "00000200000000", "00000200000100"];
    assert_eq!(sim.got(HidDevice::Absolute), want);
    sim.forget();
    sim.send(B, [left(true)]);
    sim.run(5);
    sim.send(A, [place(0x300)]);
    sim.run(5);
    sim.send(B, [InputEvent::Button { button: PointerButton::Right, is_down: true }]);
    sim.run(5);
    let want = ["01000200000000", "01000300000000", "03000300000000"];
    assert_eq!(sim.got(HidDevice::Absolute), want, "what is dragged is not torn back");
}

#[test]
fn a_flood_of_moves_holds_no_key_back_and_ends_at_its_last_place() {
    let mut sim = Sim::new();
    for n in 0..10_000u16 {
        sim.send(A, [place(n)]);
    }
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(1);
    assert_eq!(sim.keys(), [A_DOWN]);
    assert_eq!(sim.got(HidDevice::Absolute), ["000f2700000000"]);
}

/// A target's one pointer after reports of both devices, in pixels of 1001 x 501.
fn stand(sim: &Sim, mut at: (i32, i32)) -> (i32, i32) {
    for (_, device, report) in &sim.log {
        let bytes: Vec<u8> = (0..report.len())
            .step_by(2)
            .map(|n| u8::from_str_radix(&report[n..n + 2], 16).unwrap())
            .collect();
        match device {
            HidDevice::Absolute => {
                let [x, y] = [1, 3].map(|n| u16::from_le_bytes([bytes[n], bytes[n + 1]]));
                at = AbsolutePoint { x, y }.to_pixel(1001, 501);
            }
            HidDevice::Relative => {
                let [dx, dy] = [1, 2].map(|n| i32::from(bytes[n] as i8));
                at = ((at.0 + dx).clamp(0, 1000), (at.1 + dy).clamp(0, 500));
            }
            HidDevice::Keyboard | HidDevice::Consumer | HidDevice::System => {}
        }
    }
    at
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(7), failure_persistence: None, ..Default::default()
    })]
    /// Whatever hands do and however the host behaves: once it reads again the pointer stands where last told, to the
    /// pixel, in every mode, and a click is where its hand is.
    #[test]
    fn the_pointer_stands_where_last_told(
        mode in 0usize..3,
        deeds in proptest::collection::vec((0u8..6, 0i32..1001, 0i32..501, 0u64..900, 0u8..16), 1..40),
        last in (0i32..1001, 0i32..501),
    ) {
        let mode = [PointerMode::Auto, PointerMode::Absolute, PointerMode::Relative][mode];
        let mut sim = sim(mode);
        for (deed, x, y, wait, mood) in deeds {
            match mood {
                0 => sim.answer_all(GONE),
                1 => sim.answer_all(BUSY),
                2 => sim.answer_all(Err("broken".into())),
                3 => sim.answers[1] = BUSY,
                4 => sim.answers[2] = BUSY,
                5..=8 => sim.answer_all(WRITTEN),
                _ => {}
            }
            let event = match deed {
                0 | 1 => pixel(x, y),
                2 => by(x - 500, y - 250),
                3 => left(x & 1 == 0),
                _ => InputEvent::Wheel { vertical: 1, horizontal: 0 },
            };
            sim.send(A, [event]);
            sim.run(wait);
        }
        sim.send(A, [left(false), pixel(last.0, last.1)]);
        sim.run(100);
        sim.answer_all(WRITTEN);
        sim.run(5000);
        proptest::prop_assert_eq!(stand(&sim, (3, 3)), last, "{:?}", mode);
        // Another hand goes elsewhere; what the first clicks is where it was.
        sim.send(B, [left(false), pixel(7, 9)]);
        sim.run(500);
        proptest::prop_assert_eq!(stand(&sim, (3, 3)), (7, 9));
        sim.send(A, [left(true), left(false)]);
        sim.run(500);
        proptest::prop_assert_eq!(stand(&sim, (3, 3)), last);
    }
}

#[test]
fn a_click_that_nobody_reads_holds_keys_and_text_back_for_a_moment_only() {
    let clicks: [&[InputEvent]; 3] = [
        &[place(1), left(true), left(false)],
        &[
            InputEvent::PointerRelative { dx: 9, dy: 9 },
            InputEvent::PointerRelative { dx: 9, dy: 9 },
            left(true),
        ],
        &[InputEvent::Consumer(ConsumerUsage(0xE2)), InputEvent::Consumer(ConsumerUsage(0xE2))],
    ];
    for events in clicks {
        let mut sim = Sim::new();
        sim.answers[1..].fill(BUSY);
        sim.send(A, events.iter().cloned());
        sim.send(A, [key(KeyUsage::A, true), key(KeyUsage::A, false), InputEvent::Text("aa".into())]);
        sim.run(200);
        assert!(sim.keys().is_empty(), "{events:?}: what is clicked and what is typed keep their order");
        sim.run(150);
        assert_eq!(sim.keys(), [A_DOWN, UP].repeat(3), "{events:?}");
        sim.send(A, [key(KeyUsage::A, true)]);
        sim.run(20);
        assert_eq!(sim.keys().len(), 7, "{events:?}");
        sim.engine.close(A);
        sim.run(20);
        assert_eq!(sim.keys().last(), Some(&UP), "{events:?}: a key is let go");
    }
}
