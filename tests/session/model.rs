//! Any order of anything: the rig checks at each step that no key is down without an owner at the close, that no video
//! comes before login, that the first frame after any gap is a key frame and that every session reaches a deadline.

use std::time::Duration;

use kvmdesk::peer::machine::Input;
use kvmdesk::video::format::Resolution;
use kvmdesk::wire::message::hbb;
use kvmdesk::wire::message::hbb::key_event::Union as Key;
use kvmdesk::wire::message::hbb::message::Union;
use kvmdesk::wire::message::hbb::misc::Union as Misc;
use proptest::prelude::*;

use super::rig::*;

#[derive(Debug, Clone)]
enum Step {
    Login(bool),
    Frame(bool),
    Skip,
    Resize(u32),
    Key { down: bool, press: bool, mode: i32, kind: u8, code: u32, modifiers: Vec<i32> },
    Mouse { mask: i32, x: i32, y: i32, modifiers: Vec<i32> },
    Refresh(i32),
    ViewOnly(i32),
    Lost,
    Echoes(bool),
    Pass(u64),
    Bytes(Vec<u8>),
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let modifiers =
        prop::collection::vec(prop_oneof![Just(1), Just(3), Just(4), Just(23), Just(29), Just(63)], 0..4);
    let code = prop_oneof![0u32..130, Just(57421u32), Just(0x0043_0000u32), any::<u32>()];
    let key = (any::<bool>(), prop::bool::weighted(0.2), 0..4i32, 0..5u8, code, modifiers.clone()).prop_map(
        |(down, press, mode, kind, code, modifiers)| Step::Key { down, press, mode, kind, code, modifiers },
    );
    let mouse = (0..140i32, -50..2000i32, -50..2000i32, modifiers)
        .prop_map(|(mask, x, y, modifiers)| Step::Mouse { mask, x, y, modifiers });
    prop_oneof![
        2 => any::<bool>().prop_map(Step::Login),
        6 => any::<bool>().prop_map(Step::Frame),
        1 => Just(Step::Skip),
        1 => (1u32..4).prop_map(Step::Resize),
        12 => key,
        6 => mouse,
        1 => (-1..2i32).prop_map(Step::Refresh),
        1 => (0..3i32).prop_map(Step::ViewOnly),
        1 => Just(Step::Lost),
        1 => any::<bool>().prop_map(Step::Echoes),
        3 => (0..4000u64).prop_map(Step::Pass),
        1 => prop::collection::vec(any::<u8>(), 0..2).prop_map(Step::Bytes),
        1 => Just(Step::Leave),
    ]
}

fn apply(rig: &mut Rig, size: &mut Resolution, step: Step) {
    match step {
        Step::Login(is_right) => {
            let request = rig.login(if is_right { PASSWORD } else { "wrong" });
            rig.send(Union::LoginRequest(request));
        }
        Step::Frame(is_keyframe) => rig.frame_of(0, is_keyframe, *size),
        Step::Skip => rig.skip_frame(),
        Step::Resize(times) => {
            *size = Resolution::new(320 * times, 200 * times);
            rig.input(Input::Display { index: 0, state: state(*size) });
        }
        Step::Key { down, press, mode, kind, code, modifiers } => {
            let union = match kind {
                0 => Key::ControlKey((code % 110) as i32),
                1 => Key::Seq(char::from_u32(code).map(String::from).unwrap_or_default()),
                2 => Key::Win2winHotkey(code),
                3 => Key::Unicode(code),
                _ => Key::Chr(code),
            };
            rig.key(down, press, mode, union, &modifiers);
        }
        Step::Mouse { mask, x, y, modifiers } => {
            rig.send(Union::MouseEvent(hbb::MouseEvent { mask, x, y, modifiers }));
        }
        Step::Refresh(index) => rig.send_misc(Misc::RefreshVideoDisplay(index)),
        Step::ViewOnly(value) => {
            rig.send_misc(Misc::Option(hbb::OptionMessage { disable_keyboard: value, ..Default::default() }));
        }
        Step::Lost => rig.lose_video(),
        Step::Echoes(echoes) => rig.echoes = echoes,
        Step::Pass(ms) => rig.pass(Duration::from_millis(ms)),
        Step::Bytes(bytes) => rig.send_bytes(&bytes),
        Step::Leave => rig.send_misc(Misc::CloseReason(String::new())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold(is_logged_in: bool, steps in prop::collection::vec(step(), 0..60)) {
        let mut rig = if is_logged_in { Rig::watching() } else { Rig::sealed() };
        let mut size = SIZE;
        for step in steps {
            apply(&mut rig, &mut size, step);
        }
        // Whatever came before: without a byte, every session ends by itself.
        rig.echoes = false;
        rig.seconds(65);
        prop_assert!(rig.closed.is_some());
    }

    #[test]
    fn no_first_frame_makes_it_panic(first in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut rig = Rig::new(settings(), kvmdesk::peer::machine::Opening::Secure);
        rig.send_bytes(&first);
        rig.seconds(60);
        prop_assert!(rig.closed.is_some());
    }
}
