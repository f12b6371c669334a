use std::time::{Duration, Instant};

use super::*;
use crate::peer::limits::{FIRST_LOCK, MAX_ENTRIES};

const SALT: &str = "salt";

fn gate(permanent: Option<&str>, now: Instant) -> Gate {
    let hash = permanent.map(|p| PasswordHash::new(p, SALT));
    Gate::new(SALT.into(), hash, now, 1_000_000_040_000, Seed::from_bytes([5; 32]))
}

fn attempt(address: &str, password: &str) -> LoginAttempt {
    let proof =
        if password.is_empty() { vec![] } else { PasswordHash::new(password, SALT).proof("c").to_vec() };
    LoginAttempt {
        address: address.parse().unwrap(),
        my_id: "1".into(),
        my_name: "n".into(),
        my_platform: "Linux".into(),
        version: "1.4.9".into(),
        session_id: 7,
        proof,
        challenge: "c".into(),
    }
}

fn wrong() -> Verdict {
    Verdict::Refused(texts::WRONG_PASSWORD)
}

#[test]
fn seven_a_clock_minute_and_thirty_one_in_all() {
    let start = Instant::now();
    let mut gate = gate(Some("right"), start);
    let mut now = start;
    let mut evaluated = 0;
    for minute in 0..6 {
        for n in 0..9 {
            match gate.judge(&attempt("10.0.0.1", "bad"), now) {
                Verdict::Refused(texts::WRONG_PASSWORD) => evaluated += 1,
                Verdict::Refused(texts::ONE_MINUTE_LATER) => assert!(n >= 7, "minute {minute}, try {n}"),
                Verdict::Refused(text) => assert_eq!((text, evaluated), (texts::TOO_MANY, 31)),
                other => panic!("{other:?}"),
            }
        }
        now += Duration::from_secs(60);
    }
    assert_eq!(evaluated, 31);
    assert_eq!(gate.judge(&attempt("10.0.0.1", "right"), now), Verdict::Refused(texts::TOO_MANY));
    assert_eq!(gate.judge(&attempt("10.0.0.2", "right"), now), Verdict::Accepted, "others are untouched");
    assert_eq!(
        gate.judge(&attempt("::ffff:10.0.0.1", "right"), now),
        Verdict::Refused(texts::TOO_MANY),
        "the same address in another dress"
    );
}

#[test]
fn minutes_are_those_of_the_clock() {
    let start = Instant::now();
    let mut gate = gate(Some("right"), start);
    for _ in 0..7 {
        assert_eq!(gate.judge(&attempt("10.0.0.1", "bad"), start), wrong());
    }
    // 1 000 000 040 000 ms is 40 s before a full minute.
    let before = start + Duration::from_secs(19);
    assert_eq!(gate.judge(&attempt("10.0.0.1", "right"), before), Verdict::Refused(texts::ONE_MINUTE_LATER));
    let after = start + Duration::from_secs(41);
    assert_eq!(gate.judge(&attempt("10.0.0.1", "right"), after), Verdict::Accepted);
}

/// Fails until the lock closes and returns when it did.
fn lock(gate: &mut Gate, address: &str, mut now: Instant) -> Instant {
    loop {
        match gate.judge(&attempt(address, "bad"), now) {
            Verdict::Refused(texts::TOO_MANY) => return now,
            _ => now += Duration::from_secs(10),
        }
    }
}

#[test]
fn a_lock_ages_and_doubles_and_unlock_opens_it() {
    let start = Instant::now();
    let mut gate = gate(Some("right"), start);
    let refused = Verdict::Refused(texts::TOO_MANY);
    let mut now = lock(&mut gate, "10.0.0.1", start);
    assert_eq!(
        gate.judge(&attempt("10.0.0.1", "right"), now + FIRST_LOCK - Duration::from_secs(20)),
        refused
    );
    now = lock(&mut gate, "10.0.0.1", now + FIRST_LOCK);
    assert_eq!(
        gate.judge(&attempt("10.0.0.1", "right"), now + 2 * FIRST_LOCK - Duration::from_secs(20)),
        refused
    );
    assert_eq!(gate.judge(&attempt("10.0.0.1", "right"), now + 2 * FIRST_LOCK), Verdict::Accepted);
    now = lock(&mut gate, "10.0.0.1", now + 2 * FIRST_LOCK);
    gate.unlock();
    assert_eq!(gate.judge(&attempt("10.0.0.1", "right"), now), Verdict::Accepted);
}

#[test]
fn prefixes_sum_up_and_tables_stay_bounded() {
    let start = Instant::now();
    let mut gate = gate(Some("right"), start);
    let mut count = 0;
    let verdict = loop {
        match gate.judge(&attempt(&format!("2001:db8::{count:x}"), "bad"), start) {
            Verdict::Refused(texts::WRONG_PASSWORD) => count += 1,
            other => break other,
        }
    };
    assert_eq!((count, verdict), (61, Verdict::Refused(texts::TOO_MANY_64)));
    for n in 0..20 {
        gate.judge(&attempt(&format!("2001:db8:0:1::{n:x}"), "bad"), start);
    }
    let other_64 = gate.judge(&attempt("2001:db8:0:2::1", "right"), start);
    assert_eq!(other_64, Verdict::Refused(texts::TOO_MANY_56));
    for n in 0..20 {
        gate.judge(&attempt(&format!("2001:db8:0:f00::{n:x}"), "bad"), start);
    }
    let other_56 = gate.judge(&attempt("2001:db8:0:aa00::1", "right"), start);
    assert_eq!(other_56, Verdict::Refused(texts::TOO_MANY_48));
    for n in 0..MAX_ENTRIES as u32 + 100 {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
        gate.judge(&attempt(&address, "bad"), start + Duration::from_secs(1));
    }
    assert_eq!(gate.suspects(), MAX_ENTRIES);
}

#[test]
fn an_empty_password_is_silence_and_never_counts() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    for _ in 0..100 {
        assert_eq!(gate.judge(&attempt("10.0.0.1", ""), now), Verdict::Silent);
    }
    let password = gate.one_time().unwrap().reveal().clone();
    assert_eq!(gate.judge(&attempt("10.0.0.1", &password), now), Verdict::Accepted);
}

#[test]
fn the_one_time_password_is_renewed_with_its_last_session() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let first = gate.one_time().unwrap().reveal().clone();
    assert_eq!(first.len(), ONE_TIME_LEN);
    let good = attempt("10.0.0.1", &first);
    for session in [1, 2] {
        assert_eq!(gate.judge(&good, now), Verdict::Accepted);
        gate.opened(session, &good);
    }
    gate.closed(1, now);
    assert_eq!(*gate.one_time().unwrap().reveal(), first, "a session still uses it");
    gate.closed(2, now);
    assert_ne!(*gate.one_time().unwrap().reveal(), first);
    let mut stranger = good.clone();
    stranger.session_id = 8;
    assert_eq!(gate.judge(&stranger, now), wrong());
    let late = now + RECENT - Duration::from_millis(1);
    assert_eq!(gate.judge(&good, late), Verdict::Accepted, "the same window, within 30 s");
    assert_eq!(gate.judge(&good, now + RECENT), wrong(), "and not after");
}

#[test]
fn a_reconnect_with_the_old_proof_may_come_back_again() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let good = attempt("10.0.0.1", &gate.one_time().unwrap().reveal().clone());
    assert_eq!(gate.judge(&good, now), Verdict::Accepted);
    gate.opened(1, &good);
    gate.closed(1, now);
    let second = gate.one_time().unwrap().reveal().clone();
    assert_eq!(gate.judge(&good, now), Verdict::Accepted);
    gate.opened(2, &good);
    gate.closed(2, now + Duration::from_secs(100));
    assert_eq!(*gate.one_time().unwrap().reveal(), second, "nobody used the new one");
    assert_eq!(gate.judge(&good, now + Duration::from_secs(110)), Verdict::Accepted);
}

#[test]
fn ten_wrong_ones_renew_it_and_a_permanent_one_replaces_it() {
    let now = Instant::now();
    let mut gate = gate(None, now);
    let first = gate.one_time().unwrap().reveal().clone();
    for n in 0..9 {
        gate.judge(&attempt(&format!("10.0.0.{n}"), "bad"), now);
    }
    assert_eq!(*gate.one_time().unwrap().reveal(), first);
    gate.judge(&attempt("10.0.0.9", "bad"), now);
    let second = gate.one_time().unwrap().reveal().clone();
    assert_ne!(second, first);
    let good = attempt("10.0.0.1", &second);
    assert_eq!(gate.judge(&good, now), Verdict::Accepted);
    gate.opened(4, &good);
    assert_eq!(gate.set_permanent(Some(PasswordHash::new("perm", SALT))), [4]);
    assert!(gate.one_time().is_none());
    gate.closed(4, now);
    assert_eq!(gate.judge(&good, now), wrong(), "no old proof once a permanent password exists");
    let perm = attempt("10.0.0.1", "perm");
    assert_eq!(gate.judge(&perm, now), Verdict::Accepted);
    gate.opened(5, &perm);
    assert_eq!(gate.set_permanent(Some(PasswordHash::new("perm", SALT))), [] as [u64; 0], "unchanged");
}
