use super::*;

fn text(n: usize) -> InputEvent {
    InputEvent::Text("x".repeat(n))
}

fn escape(is_down: bool) -> InputEvent {
    key(KeyUsage::ESCAPE, is_down)
}

/// A thread that runs late: the pause between two strokes ends while it is still at the one before.
#[test]
fn a_pause_that_ended_meanwhile_is_not_slept_through() {
    let mut sim = Sim::new();
    sim.send(A, [InputEvent::Text("xxx".into()), key(KeyUsage::A, true)]);
    sim.run(0);
    while sim.engine.deadline().is_some() {
        sim.now += TEXT_PACE * 2;
        sim.run(0);
    }
    assert_eq!(sim.keys(), [["00001b0000000000", UP].repeat(3), vec![A_DOWN]].concat());
}

#[test]
fn esc_from_anyone_stops_long_texts_at_once_and_is_not_a_key_then() {
    let mut sim = Sim::new();
    sim.send(A, [text(2000), text(10)]);
    sim.run(100);
    assert!(
        sim.notice().1.contains("2000 characters") && sim.notice().1.contains("32 s"),
        "{:?}",
        sim.notice()
    );
    let typed = sim.keys().len();
    assert!(typed > 4);
    sim.send(B, [escape(true), escape(false)]);
    sim.run(5000);
    assert!(sim.keys().len() <= typed + 1, "at most what was down goes up");
    assert_eq!(sim.keys().last(), Some(&"0000000000000000"));
    assert_eq!(sim.notice().1, "Typing was stopped by Esc.");
    sim.forget();
    sim.send(A, [text(1)]);
    sim.run(100);
    assert_eq!(sim.keys(), ["00001b0000000000", "0000000000000000"], "the next text is typed");
}

#[test]
fn esc_behind_a_short_text_is_a_key() {
    let mut sim = Sim::new();
    sim.send(A, [text(2), escape(true), escape(false)]);
    sim.run(1000);
    let (x, esc, up) = ("00001b0000000000", "0000290000000000", "0000000000000000");
    assert_eq!(sim.keys(), [x, up, x, up, esc, up]);
}

#[test]
fn cuts_are_counted_for_whoever_waits_for_a_text() {
    let mut sim = Sim::new();
    let gauge = Arc::<Gauge>::default();
    sim.engine.open(A, gauge.clone());
    let send = |sim: &mut Sim, event: InputEvent| {
        gauge.admit(&event).unwrap();
        sim.engine.push(A, event, sim.now);
    };
    send(&mut sim, text(10));
    assert_eq!(gauge.text(), (10, 0));
    sim.run(1000);
    assert_eq!(gauge.text(), (0, 0), "typed to its end");
    for (n, cut) in [InputEvent::ReleaseAll, escape(true)].into_iter().enumerate() {
        send(&mut sim, text(100));
        sim.run(50);
        send(&mut sim, cut);
        sim.run(100);
        assert_eq!(gauge.text(), (0, n + 1));
    }
    sim.answer_all(GONE);
    send(&mut sim, text(100));
    sim.run(50);
    assert_eq!(gauge.text(), (0, 3), "the host was gone");
}

#[test]
fn characters_by_number_hold_their_modifier_around_all_digits() {
    let mut sim = Sim::typing("us", UnicodeEntry::Windows);
    sim.send(A, [InputEvent::Text("é".into())]);
    sim.run(1000);
    let alt = "0400000000000000";
    let digit = |usage: &str| format!("0400{usage}0000000000");
    let (d0, d2, d3) = (digit("62"), digit("5a"), digit("5b"));
    let want = [alt, &d0, alt, &d2, alt, &d3, alt, &d3, alt, "0000000000000000"];
    assert_eq!(sim.keys(), want);
    assert_eq!(sim.engine.health.characters_not_typed, 0);
}

#[test]
fn esc_among_single_characters_is_typed_in_its_place() {
    let mut sim = Sim::new();
    let typed = std::iter::repeat_with(|| text(1)).take(50);
    sim.send(A, typed.chain([escape(true), escape(false)]));
    sim.run(5000);
    let keys = sim.keys();
    let x = keys.iter().filter(|k| **k == "00001b0000000000").count();
    assert_eq!((x, keys[100..].to_vec()), (50, vec!["0000290000000000", "0000000000000000"]));
}

#[test]
fn a_long_text_tells_its_quarters_and_its_end_with_what_was_left_out() {
    let mut sim = Sim::new();
    sim.send(A, [InputEvent::Text(format!("é{}", "x".repeat(999)))]);
    let mut told = vec![];
    for _ in 0..350 {
        sim.run(50);
        let (is_connected, notice) = sim.notice();
        assert!(is_connected);
        if told.last() != Some(&notice) {
            told.push(notice);
        }
    }
    let numbers = |s: &str| -> Vec<u32> {
        s.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    };
    let all: Vec<_> = told.iter().map(|s| numbers(s)).collect();
    assert_eq!(
        all,
        [vec![1000, 16], vec![250, 1000, 12], vec![500, 1000, 8], vec![750, 1000, 4], vec![1000, 1]]
    );
    assert!(told[..4].iter().all(|s| s.ends_with("Esc stops it.")), "{told:?}");
    assert!(told[4].contains("1 of them were left out") && told[4].contains("\"us\""), "{}", told[4]);
    sim.run(11_000);
    assert_eq!(sim.notice().1, "");
}

#[test]
fn what_cannot_be_typed_is_told_for_a_while() {
    let mut sim = Sim::new();
    sim.send(A, [InputEvent::Text("aé€b".into())]);
    sim.run(200);
    assert_eq!(sim.keys(), [A_DOWN, UP, "0000050000000000", UP]);
    let health = sim.engine.health(sim.now);
    assert_eq!(health.characters_not_typed, 2);
    assert!(health.is_connected && health.notice.contains("left out") && !health.notice.contains('é'));
    sim.run(11_000);
    assert_eq!(sim.notice(), (true, String::new()));
}
