use super::*;
use crate::agent::store::Store;
use crate::crypto::seed::Seed;
use crate::video::card::TestCard;

struct House {
    sessions: Sessions,
    card: watch::Receiver<TestCard>,
    store: Store,
    _dir: tempfile::TempDir,
}

const SALT: &str = "a2b3c4d5";

fn house(permanent: Option<&str>) -> House {
    sharing_house(permanent, Sharing::Shared)
}

fn sharing_house(permanent: Option<&str>, sharing: Sharing) -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let hash = permanent.map(|p| PasswordHash::new(p, SALT));
    let gate = Gate::new(SALT.into(), hash, Instant::now(), 0, Seed::from_bytes([1; 32]));
    let (cards, mut told) = TestCards::new(1);
    let board = BoardCard::new("test".into());
    let logbook = Logbook::open(store.clone());
    House {
        sessions: Sessions::new(gate, sharing, logbook, Some(board), cards).unwrap(),
        card: told.remove(0),
        store,
        _dir: dir,
    }
}

fn attempt(password: &str, session_id: u64) -> LoginAttempt {
    LoginAttempt {
        address: [10, 0, 0, 2].into(),
        my_id: "123456789".into(),
        my_name: "ann".into(),
        my_platform: "Linux".into(),
        version: "1.4.9".into(),
        session_id,
        proof: PasswordHash::new(password, SALT).proof("k7m9pq").to_vec(),
        challenge: "k7m9pq".into(),
    }
}

impl House {
    fn come(&self, password: &str, session_id: u64) -> (u64, watch::Receiver<Option<String>>) {
        let attempt = attempt(password, session_id);
        let session = self.sessions.admit((attempt.address, 1).into(), Route::Direct).unwrap();
        assert_eq!(self.sessions.judge(&attempt, Instant::now()), Verdict::Accepted);
        let (end, ended) = watch::channel(None);
        self.sessions.logged_in(session, &attempt, end);
        (session, ended)
    }
}

#[test]
fn a_window_that_comes_back_replaces_its_old_session() {
    let house = house(Some("secret12"));
    let (old, old_end) = house.come("secret12", 7);
    let (other, other_end) = house.come("secret12", 8);
    let (new, new_end) = house.come("secret12", 7);
    assert_eq!(old_end.borrow().as_deref(), Some(""), "ended without a text");
    assert_eq!((other_end.borrow().as_ref(), new_end.borrow().as_ref()), (None, None));
    house.sessions.closed(old, &CloseReason::EndedHere(String::new()));
    assert_eq!(house.sessions.list().iter().map(|s| s.session).collect::<Vec<_>>(), [other, new]);
}

#[test]
fn a_changed_password_ends_who_used_the_old_one() {
    let house = house(Some("secret12"));
    let (_, end) = house.come("secret12", 7);
    assert_eq!(house.sessions.set_permanent(Some(PasswordHash::new("secret12", SALT))), 0, "unchanged");
    assert_eq!(house.sessions.set_permanent(Some(PasswordHash::new("another1", SALT))), 1);
    let text = end.borrow().clone().unwrap();
    assert!(crate::peer::texts::is_final(&text), "{text}");
    assert!(crate::peer::texts::is_final(ENDED));
}

#[test]
fn the_one_time_password_is_published_when_it_changes() {
    let house = house(None);
    let shown = house.sessions.one_time();
    let first = shown.borrow().clone().unwrap();
    let (session, _) = house.come(first.reveal(), 7);
    assert_eq!(shown.borrow().as_ref(), Some(&first));
    house.sessions.closed(session, &CloseReason::TimedOut);
    let second = shown.borrow().clone().unwrap();
    assert_ne!(first, second);
    house.sessions.set_permanent(Some(PasswordHash::new("secret12", SALT)));
    assert_eq!(*shown.borrow(), None);
}

#[test]
fn connections_are_counted() {
    let house = house(None);
    let crowd = |ip: [u8; 4]| house.sessions.admit((ip, 1).into(), Route::Relayed);
    let of_one: Vec<u64> = std::iter::from_fn(|| crowd([10, 0, 0, 1])).collect();
    assert_eq!(of_one.len(), MAX_PER_ADDRESS);
    let others = (2..=255).filter(|n| crowd([10, 0, 0, *n]).is_some()).count();
    assert_eq!(others, MAX_CONNECTIONS - MAX_PER_ADDRESS);
    house.sessions.closed(of_one[0], &CloseReason::TimedOut);
    assert!(crowd([10, 0, 0, 1]).is_some(), "a place is free again");
}

#[test]
fn log_ins_are_kept_and_sessions_ended_by_number() {
    let house = house(Some("secret12"));
    let (session, end) = house.come("secret12", 7);
    assert!(house.sessions.end(session) && !house.sessions.end(session + 100));
    assert_eq!(end.borrow().as_deref(), Some(ENDED));
    house.sessions.closed(session, &CloseReason::EndedHere(ENDED.into()));
    assert!(house.sessions.list().is_empty());
    house.sessions.finish();
    let kept = crate::agent::logbook::read(&house.store).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].session, kept[0].my_name.as_str(), kept[0].seconds), (session, "ann", Some(0)));
}

#[test]
fn hands_reach_the_card() {
    let house = house(Some("secret12"));
    let (session, _) = house.come("secret12", 7);
    house
        .sessions
        .noticed(session, &InputEvent::PointerAbsolute(crate::input::event::AbsolutePoint { x: 3, y: 4 }));
    let card = house.card.borrow().clone();
    assert_eq!(card.pointer, Some((3, 4)));
    assert!(card.lines.iter().any(|l| l.contains("ann (123456789) on Linux, direct")), "{:?}", card.lines);
}

/// A session that wants to type, and what it is told about that.
fn wanting(house: &House, window: u64) -> (u64, watch::Receiver<Hold>) {
    let (session, _) = house.come("secret12", window);
    let (hold, told) = watch::channel(Hold::Mine);
    house.sessions.claim(session, Claim::Join, &hold);
    (session, told)
}

#[test]
fn the_first_holds_and_the_others_are_told_who_that_is() {
    let house = sharing_house(Some("secret12"), Sharing::ExclusiveFirst);
    let (first, mut first_told) = wanting(&house, 7);
    let (second, mut second_told) = wanting(&house, 8);
    let (_, third_told) = wanting(&house, 9);
    let theirs = Hold::Theirs { holder: "ann (123456789)".into(), can_take: false };
    assert_eq!(*second_told.borrow_and_update(), theirs);
    assert_eq!(*first_told.borrow_and_update(), Hold::Mine);
    let (again, again_told) = wanting(&house, 7);
    house.sessions.closed(first, &CloseReason::EndedHere(String::new()));
    assert_eq!(*again_told.borrow(), Hold::Mine, "the same window keeps its turn");
    assert!(!second_told.has_changed().unwrap());
    assert!(
        first_told.has_changed().is_err() || !first_told.has_changed().unwrap(),
        "the old one hears nothing"
    );
    house.sessions.closed(again, &CloseReason::TimedOut);
    assert_eq!(*second_told.borrow_and_update(), Hold::Mine);
    assert_eq!(*third_told.borrow(), theirs);
    house.sessions.claim(second, Claim::Leave, &watch::channel(Hold::Mine).0);
    assert_eq!(*third_told.borrow(), Hold::Mine, "who only looks on holds nothing");
}
