//! The ladder with the engine on it: what a host gets when the cause of a trouble ends, and how soon.

use super::*;
use crate::hid::backend::HidDevice;

/// How soon input is back after a cause's end, in milliseconds.
const SOON: u64 = 3000;

impl Sim {
    /// A controller that goes on typing: A is pressed and let go each second.
    fn type_on(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.send(A, [key(KeyUsage::A, true)]);
            self.run(500);
            self.send(A, [key(KeyUsage::A, false)]);
            self.run(500);
        }
    }

    /// B, a key that was never pressed before, arrives within [`SOON`] of now, and what arrives before is all up or
    /// what is typed from now on.
    fn expect_input_back(&mut self, what: &str) {
        self.forget();
        for _ in 0..SOON / 100 {
            self.send(A, [key(KeyUsage::B, true), key(KeyUsage::B, false)]);
            self.run(100);
        }
        let keys = self.keys();
        assert!(keys.contains(&B_DOWN), "{what}: {keys:?}");
        assert!(keys.iter().all(|report| [UP, B_DOWN].contains(report)), "{what}: old input: {keys:?}");
        assert_eq!(keys.last(), Some(&UP), "{what}");
        assert_eq!(self.notice(), (true, String::new()), "{what}");
    }

    fn repairing() -> Self {
        let mut sim = Self::new();
        sim.engine.set_remedies("Look", true);
        sim.type_on(2);
        sim
    }
}

const B_DOWN: &str = "0000050000000000";

#[test]
fn a_suspended_host_is_never_repaired() {
    let mut sim = Sim::repairing();
    sim.answer_all(BUSY);
    sim.type_on(600);
    assert!(!sim.notice().0 && sim.notice().1.contains("asleep"), "{:?}", sim.notice());
    assert_eq!((sim.repairs.len(), sim.reopens), (0, 0));
    sim.answer_all(WRITTEN);
    sim.expect_input_back("suspended");
}

#[test]
fn usbhid_unbound_at_the_host_is_a_host_that_does_not_read() {
    let mut sim = Sim::repairing();
    sim.answer_all(BUSY);
    sim.type_on(30);
    sim.answer_all(WRITTEN);
    sim.expect_input_back("usbhid bound again");
    assert_eq!((sim.repairs.len(), sim.engine.health(sim.now).recovery.losses), (0, 0));
}

#[test]
fn a_port_that_was_disabled_is_found_again_whatever_the_pause() {
    for seconds in [1, 7, 29, 31, 100, 1000] {
        let mut sim = Sim::repairing();
        sim.answer_all(GONE);
        sim.type_on(seconds);
        let recovery = sim.engine.health(sim.now).recovery;
        assert_eq!(recovery.losses, 1);
        assert_eq!(recovery.rebinds, u64::from(seconds > 30), "after {seconds} s");
        sim.answer_all(WRITTEN);
        sim.expect_input_back("port enabled");
        assert_eq!(sim.engine.health(sim.now).recovery.rung, None);
    }
}

#[test]
fn an_unbound_gadget_is_bound_again_by_the_helper() {
    let mut sim = Sim::repairing();
    // Descriptors that are still open say that the host is gone, and there is no node to open.
    sim.answer_all(GONE);
    sim.reopen_answer = Err("not bound to a USB controller".into());
    sim.heals_after = Some((Repair::Rebind, Duration::from_secs(1)));
    let unbound_at = sim.now;
    sim.type_on(1);
    assert!(sim.notice().1.contains("not bound"), "{}", sim.notice().1);
    assert_eq!(sim.repairs.len(), 1);
    let (asked_at, repair) = sim.repairs[0];
    assert!(repair == Repair::Rebind && asked_at - unbound_at < Duration::from_secs(1));
    sim.run(1000 - 1);
    sim.expect_input_back("gadget bound");
    assert_eq!(sim.repairs.len(), 1, "bound is enough");
}

#[test]
fn a_gadget_that_binding_does_not_help_is_built_anew() {
    let mut sim = Sim::repairing();
    sim.answer_all(Err("Input/output error".into()));
    sim.heals_after = Some((Repair::Rebuild, Duration::from_secs(1)));
    sim.type_on(12);
    sim.expect_input_back("gadget built");
    let repairs: Vec<Repair> = sim.repairs.iter().map(|(_, repair)| *repair).collect();
    assert_eq!(repairs, [Repair::Rebind, Repair::Rebuild]);
}

#[test]
fn nobody_who_hears_is_asked_seldom_and_counts_for_nothing() {
    let mut sim = Sim::repairing();
    sim.helper = Err("no helper".into());
    sim.reopen_answer = Err("no node".into());
    sim.answer_all(GONE);
    sim.type_on(1700);
    let repairs: Vec<Repair> = sim.repairs.iter().map(|(_, repair)| *repair).collect();
    assert_eq!(repairs, [Repair::Rebind, Repair::Rebind]);
    assert!(sim.repairs[1].0 - sim.repairs[0].0 >= Duration::from_secs(15 * 60));
    let recovery = sim.engine.health(sim.now).recovery;
    assert_eq!((recovery.rung, recovery.rebinds), (Some(Rung::Reopen), 0));
    sim.reopen_answer = Ok(());
    sim.answer_all(WRITTEN);
    sim.expect_input_back("somebody did it by hand");
}

#[test]
fn a_function_that_is_not_there_is_told_once_it_is_wanted() {
    let mut sim = Sim::new();
    sim.answers[lane_index(HidDevice::Absolute)] = Ok(WriteOutcome::NoDevice);
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(10);
    assert_eq!(sim.notice(), (true, String::new()));
    sim.send(A, [place(1), left(true), left(false), key(KeyUsage::A, false)]);
    sim.run(10);
    assert_eq!(sim.keys(), [A_DOWN, UP], "the keyboard goes on");
    let (is_connected, notice) = sim.notice();
    assert!(is_connected && notice.contains("no absolute pointer"), "{notice}");
    let before = sim.attempts;
    sim.send(A, [place(2)]);
    sim.run(5000);
    assert_eq!(sim.attempts, before, "it is not tried again and again");
    // A gadget that was built anew may have it.
    sim.answer_all(GONE);
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(100);
    sim.answer_all(WRITTEN);
    sim.run(1000);
    sim.send(A, [place(3)]);
    sim.run(10);
    assert_eq!(sim.got(HidDevice::Absolute).last(), Some(&"00030000000000"));
    assert_eq!(sim.notice(), (true, String::new()));
}

#[test]
fn input_wakes_a_host_that_sleeps_where_that_is_wanted() {
    let mut sim = Sim::repairing();
    sim.answer_all(BUSY);
    sim.type_on(10);
    assert_eq!(sim.wakes, 0, "not unless asked for");
    sim.engine.set_wakes_on_input(true);
    sim.run(60_000);
    assert_eq!(sim.wakes, 0, "not without input");
    sim.send(A, [key(KeyUsage::A, true)]);
    sim.run(1);
    assert_eq!(sim.wakes, 1);
    sim.type_on(9);
    assert_eq!(sim.wakes, 3, "once in three seconds");
    sim.answer_all(WRITTEN);
    sim.expect_input_back("awake");
    let wakes = sim.wakes;
    sim.type_on(5);
    assert_eq!(sim.wakes, wakes, "an awake host is left alone");
    sim.engine.wake(sim.now);
    sim.run(1);
    assert_eq!(sim.wakes, wakes + 1, "a request is always passed on");
    sim.engine.woke(Err("no such controller".into()), sim.now);
    assert!(sim.notice().1.contains("cannot be woken (no such controller)"));
}

#[test]
fn old_news_are_asked_for_again() {
    let mut sim = Sim::new();
    sim.engine.refresh(sim.now);
    sim.type_on(1);
    sim.forget();
    sim.run(5000);
    sim.engine.refresh(sim.now);
    sim.run(10);
    assert_eq!(sim.keys().len(), 0, "known well enough");
    sim.run(10_000);
    sim.answer_all(GONE);
    assert!(sim.notice().0);
    sim.engine.refresh(sim.now);
    sim.run(10);
    assert!(!sim.notice().0);
}
