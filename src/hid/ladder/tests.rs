#![allow(clippy::disallowed_methods, reason = "a base for simulated time")]

use super::*;

/// Climbs for so many seconds while every write and open fails with `trouble`; gives rungs with their seconds.
fn climb(ladder: &mut Ladder, trouble: Trouble, start: Instant, seconds: u64) -> Vec<(u64, Rung)> {
    let mut rungs = vec![];
    while let Some(at) = ladder.deadline().filter(|at| *at <= start + Duration::from_secs(seconds)) {
        let (rung, _) = ladder.climb(at).unwrap();
        rungs.push(((at - start).as_secs(), rung));
        match (rung, trouble) {
            (Rung::Reopen, Trouble::Failed) | (Rung::Retry, _) => {
                ladder.fell(trouble, at);
            }
            (Rung::Reopen, Trouble::Away) => ladder.reopened(at),
            (Rung::Rebind | Rung::Rebuild, _) => {}
        }
    }
    rungs
}

fn repairs(rungs: &[(u64, Rung)]) -> Vec<(u64, Rung)> {
    rungs.iter().copied().filter(|(_, rung)| *rung >= Rung::Rebind).collect()
}

fn ladder(trouble: Trouble, can_repair: bool) -> (Ladder, Instant) {
    let (mut ladder, now) = (Ladder::default(), Instant::now());
    ladder.set_can_repair(can_repair);
    assert!(ladder.fell(trouble, now));
    (ladder, now)
}

#[test]
fn a_host_that_is_away_is_retried_each_second_and_its_gadget_repaired_ever_more_seldom() {
    let (mut ladder, now) = ladder(Trouble::Away, true);
    let rungs = climb(&mut ladder, Trouble::Away, now, 4000);
    assert_eq!(
        rungs[..4].iter().map(|r| r.1).collect::<Vec<_>>(),
        [Rung::Retry, Rung::Retry, Rung::Reopen, Rung::Retry]
    );
    let want = [30, 90, 210, 450, 930, 1830, 2730, 3630].map(|at| (at, Rung::Rebuild));
    let mut want = want.to_vec();
    want[0].1 = Rung::Rebind;
    assert_eq!(repairs(&rungs), want, "the pause doubles up to 15 minutes");
    let tries: Vec<u64> = rungs.iter().filter(|r| r.1 == Rung::Retry).map(|r| r.0).collect();
    assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 2), "its return is noticed all the while");
    let recovery = ladder.recovery();
    assert_eq!((recovery.rung, recovery.losses), (Some(Rung::Rebuild), 1));
    assert_eq!((recovery.rebinds, recovery.rebuilds), (1, 7));
}

#[test]
fn a_node_that_fails_is_repaired_soon() {
    let (mut ladder, now) = ladder(Trouble::Failed, true);
    let rungs = climb(&mut ladder, Trouble::Failed, now, 100);
    assert_eq!(rungs[0].1, Rung::Reopen);
    let want = [(0, Rung::Rebind), (10, Rung::Rebuild), (30, Rung::Rebuild), (70, Rung::Rebuild)];
    assert_eq!(repairs(&rungs), want);
}

#[test]
fn without_anybody_to_ask_nothing_is_asked() {
    for trouble in [Trouble::Away, Trouble::Failed] {
        let (mut ladder, now) = ladder(trouble, false);
        let rungs = climb(&mut ladder, trouble, now, 600);
        assert!(rungs.len() > 500 && repairs(&rungs).is_empty());
    }
}

#[test]
fn a_host_that_is_away_after_a_repair_gets_its_time() {
    let (mut ladder, now) = ladder(Trouble::Failed, true);
    climb(&mut ladder, Trouble::Failed, now, 2);
    let bound = now + Duration::from_secs(2);
    ladder.fell(Trouble::Away, bound);
    let rungs = climb(&mut ladder, Trouble::Away, bound, 40);
    assert_eq!(repairs(&rungs), [(30, Rung::Rebuild)]);
}

#[test]
fn what_is_over_is_forgotten() {
    let (mut ladder, now) = ladder(Trouble::Failed, true);
    climb(&mut ladder, Trouble::Failed, now, 12);
    let later = now + Duration::from_secs(12);
    assert_eq!(ladder.rose(later), Some((Duration::from_secs(12), Rung::Rebuild)));
    assert_eq!(ladder.rose(later), None);
    assert_eq!((ladder.deadline(), ladder.climb(later)), (None, None));
    assert_eq!(ladder.recovery().rung, None);
    assert!(ladder.fell(Trouble::Failed, later), "the next one begins at the foot");
    let rungs = climb(&mut ladder, Trouble::Failed, later, 2);
    assert_eq!(repairs(&rungs), [(0, Rung::Rebind)]);
}

#[test]
fn a_node_that_is_away_while_it_is_repaired_is_not_repaired_once_more() {
    let (mut ladder, now) = ladder(Trouble::Away, true);
    assert_eq!(repairs(&climb(&mut ladder, Trouble::Away, now, 30)), [(30, Rung::Rebind)]);
    // The gadget is taken from its controller for a second, and its nodes with it.
    let unbound = now + Duration::from_secs(30);
    ladder.fell(Trouble::Failed, unbound);
    assert_eq!(repairs(&climb(&mut ladder, Trouble::Failed, unbound, 2)), []);
    let bound = unbound + Duration::from_secs(2);
    ladder.fell(Trouble::Away, bound);
    assert_eq!(repairs(&climb(&mut ladder, Trouble::Away, bound, 40)), [(30, Rung::Rebuild)]);
    // It fails for good later: the second repair has its twenty seconds too.
    let failing = bound + Duration::from_secs(41);
    ladder.fell(Trouble::Failed, failing);
    assert_eq!(repairs(&climb(&mut ladder, Trouble::Failed, failing, 12)), [(9, Rung::Rebuild)]);
}
