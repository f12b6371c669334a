use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn event() -> impl Strategy<Value = InputEvent> {
    prop_oneof![
        4 => (0u8..12, any::<bool>()).prop_map(|(k, d)| key(KeyUsage(if k < 3 { 0xE0 + k } else { k + 1 }), d)),
        2 => any::<bool>().prop_map(left),
        2 => any::<u16>().prop_map(place),
        1 => (-300i32..300).prop_map(|dx| InputEvent::PointerRelative { dx, dy: 1 }),
        1 => (-3i32..3).prop_map(|vertical| InputEvent::Wheel { vertical, horizontal: 0 }),
        1 => Just(InputEvent::Tap { usage: KeyUsage::A, modifiers: vec![KeyUsage::LEFT_CONTROL] }),
        1 => Just(InputEvent::Text("aB\n".into())),
        1 => Just(InputEvent::Lock { lock: LockKey::CapsLock, is_on: true }),
        1 => Just(InputEvent::ReleaseAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Default::default() })]
    /// Whatever sessions do and however the host behaves: once it reads again and all sessions are gone, the last
    /// reports say that everything is up, and in between no key is down that no session ever pressed.
    #[test]
    fn everything_is_up_in_the_end(
        deeds in proptest::collection::vec((any::<bool>(), event(), 0u64..700, 0u8..20, 0usize..5), 1..60)
    ) {
        let mut sim = Sim::new();
        sim.engine.set_leds(LedState::default());
        let mut pressed = BTreeSet::from([0u8, KeyUsage::A.0, KeyUsage::B.0, 0x28, 0x39]);
        for (is_a, event, wait, mood, lane) in deeds {
            if let InputEvent::Key { usage, is_down: true } = &event {
                pressed.insert(usage.0);
            }
            match mood {
                0 => sim.answer_all(GONE),
                1 => sim.answer_all(BUSY),
                2 => sim.answer_all(Err("broken".into())),
                3 | 4 if lane < 4 => sim.answers[lane] = BUSY,
                5..=9 => sim.answer_all(WRITTEN),
                _ => {}
            }
            sim.send(if is_a { A } else { B }, [event]);
            sim.run(wait);
        }
        sim.answer_all(WRITTEN);
        sim.engine.close(A);
        sim.run(1500);
        sim.engine.close(B);
        sim.run(3000);
        prop_assert!(sim.engine.state.is_all_up() && sim.engine.is_drained());
        prop_assert!(sim.notice().0);
        for device in [HidDevice::Keyboard, HidDevice::Absolute, HidDevice::Relative] {
            let reports = sim.got(device);
            let byte = |r: &str, n: usize| u8::from_str_radix(&r[2 * n..2 * n + 2], 16).unwrap();
            if let Some(last) = reports.last() {
                prop_assert_eq!(byte(last, 0), 0, "{:?}", device);
                if device == HidDevice::Keyboard {
                    prop_assert_eq!(*last, UP);
                }
            }
            if device == HidDevice::Keyboard {
                for report in reports {
                    for n in 2..8 {
                        let usage = byte(report, n);
                        prop_assert!(usage == 1 || pressed.contains(&usage), "{} in {}", usage, report);
                    }
                }
            }
        }
    }
}
