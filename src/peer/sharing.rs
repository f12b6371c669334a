//! Who may type: which of the controllers of one computer acts on its keyboard and pointer. One [`Arbiter`] per target,
//! fed by its sessions; pure, and without time: a session that is silent for long ends by itself and leaves the line.

/// How several controllers share one keyboard and pointer (`input.sharing`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// All of them act.
    #[default]
    Shared,
    /// The one that came first acts until it leaves; then the next one.
    ExclusiveFirst,
    /// One at a time acts; another one takes over by pressing a key or a button.
    TakeOver,
}

/// What a session wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// To act, when it is its turn.
    Join,
    /// Nothing: it only looks, or it is over.
    Leave,
    /// To act now.
    Take,
}

/// What a session is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Hold {
    /// Its hands act. So it stands also with sessions that want nothing.
    #[default]
    Mine,
    /// Another controller's hands act.
    Theirs {
        /// Who that is, for the user.
        holder: String,
        /// Whether [`Claim::Take`] would be granted.
        can_take: bool,
    },
}

/// The sessions that want to act, the one whose turn it is first.
#[derive(Debug)]
pub struct Arbiter {
    sharing: Sharing,
    line: Vec<(u64, String)>,
}

impl Arbiter {
    /// Nobody is there.
    pub fn new(sharing: Sharing) -> Self {
        Self { sharing, line: vec![] }
    }

    /// Another rule from now on; the line stays.
    pub fn set_sharing(&mut self, sharing: Sharing) {
        self.sharing = sharing;
    }

    /// A session says what it wants; `name` is how others are told of it.
    pub fn claim(&mut self, session: u64, name: &str, claim: Claim) {
        let at = self.line.iter().position(|(other, _)| *other == session);
        match (claim, at) {
            (Claim::Join, None) => self.line.push((session, name.to_owned())),
            (Claim::Leave, Some(at)) => {
                self.line.remove(at);
            }
            (Claim::Take, Some(at)) if self.sharing == Sharing::TakeOver => self.line[..=at].rotate_right(1),
            (Claim::Join | Claim::Take, Some(_)) | (Claim::Leave | Claim::Take, None) => {}
        }
    }

    /// The same window has come back as another session: it takes its old place.
    pub fn replace(&mut self, old: u64, new: u64) {
        if let Some((session, _)) = self.line.iter_mut().find(|(session, _)| *session == old) {
            *session = new;
        }
    }

    /// How it stands for a session.
    pub fn hold_of(&self, session: u64) -> Hold {
        let wants = self.line.iter().any(|(other, _)| *other == session);
        match self.line.first() {
            Some((first, name)) if wants && self.sharing != Sharing::Shared && *first != session => {
                Hold::Theirs { holder: name.clone(), can_take: self.sharing == Sharing::TakeOver }
            }
            Some(_) | None => Hold::Mine,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn arbiter(sharing: Sharing, sessions: &[u64]) -> Arbiter {
        let mut arbiter = Arbiter::new(sharing);
        sessions.iter().for_each(|s| arbiter.claim(*s, &format!("user {s}"), Claim::Join));
        arbiter
    }

    fn theirs(session: u64, can_take: bool) -> Hold {
        Hold::Theirs { holder: format!("user {session}"), can_take }
    }

    #[test]
    fn shared_is_for_all() {
        let mut a = arbiter(Sharing::Shared, &[1, 2]);
        a.claim(2, "", Claim::Take);
        assert_eq!((a.hold_of(1), a.hold_of(2)), (Hold::Mine, Hold::Mine));
    }

    #[test]
    fn the_first_holds_until_it_leaves_or_only_looks() {
        let mut a = arbiter(Sharing::ExclusiveFirst, &[1, 2, 3]);
        assert_eq!(
            (a.hold_of(1), a.hold_of(2), a.hold_of(3)),
            (Hold::Mine, theirs(1, false), theirs(1, false))
        );
        a.claim(3, "", Claim::Take);
        a.claim(1, "again", Claim::Join);
        assert_eq!(a.hold_of(3), theirs(1, false));
        a.claim(1, "", Claim::Leave);
        assert_eq!((a.hold_of(1), a.hold_of(2), a.hold_of(3)), (Hold::Mine, Hold::Mine, theirs(2, false)));
        a.claim(1, "user 1", Claim::Join);
        assert_eq!(a.hold_of(1), theirs(2, false), "at the end of the line");
        a.claim(2, "", Claim::Leave);
        assert_eq!(a.hold_of(3), Hold::Mine);
    }

    #[test]
    fn whoever_takes_holds_and_gives_back_to_the_one_before() {
        let mut a = arbiter(Sharing::TakeOver, &[1, 2, 3]);
        a.claim(3, "", Claim::Take);
        assert_eq!(
            (a.hold_of(1), a.hold_of(2), a.hold_of(3)),
            (theirs(3, true), theirs(3, true), Hold::Mine)
        );
        a.claim(9, "", Claim::Take);
        assert_eq!(a.hold_of(3), Hold::Mine, "only who is there takes");
        a.claim(3, "", Claim::Leave);
        assert_eq!((a.hold_of(1), a.hold_of(2)), (Hold::Mine, theirs(1, true)));
    }

    #[test]
    fn another_rule_holds_for_those_who_are_there() {
        let mut a = arbiter(Sharing::Shared, &[1, 2]);
        a.set_sharing(Sharing::ExclusiveFirst);
        assert_eq!((a.hold_of(1), a.hold_of(2)), (Hold::Mine, theirs(1, false)));
        a.set_sharing(Sharing::TakeOver);
        a.claim(2, "", Claim::Take);
        assert_eq!((a.hold_of(1), a.hold_of(2)), (theirs(2, true), Hold::Mine));
        a.set_sharing(Sharing::Shared);
        assert_eq!((a.hold_of(1), a.hold_of(2)), (Hold::Mine, Hold::Mine));
    }

    #[test]
    fn a_window_that_comes_back_keeps_its_place() {
        let mut a = arbiter(Sharing::ExclusiveFirst, &[1, 2]);
        a.replace(1, 7);
        a.claim(7, "user 7", Claim::Join);
        a.claim(1, "", Claim::Leave);
        assert_eq!((a.hold_of(7), a.hold_of(2)), (Hold::Mine, theirs(1, false)));
        a.replace(99, 2);
        assert_eq!(a.hold_of(7), Hold::Mine);
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Default::default() })]
        /// Of the sessions that want to act exactly one does, unless all share; and nobody is told of one that is gone.
        #[test]
        fn exactly_one_of_those_who_want_holds(
            takes in any::<bool>(),
            deeds in proptest::collection::vec((0u64..5, 0u8..4, 0u64..5), 0..60),
        ) {
            let sharing = if takes { Sharing::TakeOver } else { Sharing::ExclusiveFirst };
            let mut arbiter = Arbiter::new(sharing);
            let mut wanting = std::collections::BTreeSet::new();
            for (session, deed, other) in deeds {
                match deed {
                    0 => { arbiter.claim(session, &session.to_string(), Claim::Join); wanting.insert(session); }
                    1 => { arbiter.claim(session, "", Claim::Leave); wanting.remove(&session); }
                    2 => {
                        arbiter.claim(session, "", Claim::Take);
                        prop_assert!(!takes || arbiter.hold_of(session) == Hold::Mine);
                    }
                    // As the house does: the new session is a number that was never there before.
                    _ if !wanting.contains(&(other + 10)) && wanting.remove(&session) => {
                        arbiter.replace(session, other + 10);
                        wanting.insert(other + 10);
                    }
                    _ => {}
                }
                let holders = wanting.iter().filter(|s| arbiter.hold_of(**s) == Hold::Mine).count();
                prop_assert_eq!(holders, usize::from(!wanting.is_empty()));
            }
        }
    }
}
