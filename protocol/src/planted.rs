//! Planted bugs: mistakes that an engineer could make here, each of which a checker of the simulator must find.
//!
//! They exist in builds with `RUSTFLAGS="--cfg planted"` only. In all others `is` is a constant `false`, so nothing of a
//! bug is left in the program. That is also why this is the one global of the crate: which bug is planted would else be
//! handed through every state machine of every build. It belongs to a thread, because a sweep runs seeds on several and
//! each run stays on one.

#[cfg(planted)]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Lists the bugs once, as the enum, its names and what each is about.
macro_rules! bugs {
    ($($bug:ident, $name:literal, $about:literal;)+) => {
        /// A mistake that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $about] $bug,)+
        }

        impl Bug {
            /// Every bug: those of the store, of sync, of beads, of the graph, of aliases, of the roster, of mail, of
            /// claims and of leases.
            pub const ALL: &[Self] = &[$(Self::$bug,)+];

            /// Returns its name in plans and on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)+ }
            }

            /// Says in a sentence what is wrong.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$bug => $about,)+ }
            }
        }
    };
}

bugs! {
    LateFlush, "late-flush", "A commit flushes what came before it and not what it writes itself.";
    RepliesDespiteFailure, "replies-despite-failure", "Answers leave although the flush that they waited for failed.";
    CounterNotKept, "counter-not-kept", "The number of the last entry of ours is not stored when entries are written.";
    InstanceKept, "instance-kept", "A store that was copied, or finds itself on other hardware, goes on as it was.";
    ForgetsFuture, "forgets-future", "On opening, entries dated ahead of the wall clock are left out of the sets.";
    EqualCounts, "equal-counts", "Two data sets of as many entries are taken to be equal.";
    ControlQueueCleared, "control-queue-cleared",
        "Control entries that the peer lacks wait where the comparison of the data set clears them away.";
    NotPassedOn, "not-passed-on",
        "Entries taken from a peer are not announced to others, and sets are compared only when a link comes up.";
    OwnEntriesRefused, "own-entries-refused", "Data entries of ours that peers give back are taken to be held.";
    HelloEcho, "hello-echo", "A hello that shows equal sets is answered by a hello, which is answered by a hello.";
    TimersForgotten, "timers-forgotten", "The replica never asks to be woken.";
    WindowIgnored, "window-ignored", "All that a peer lacks is sent at once, whatever it has acknowledged.";
    FirstChangeAlone, "first-change-alone",
        "A first change that arrives is shown alone, whatever changes of its bead came before it.";
    WaitingForgotten, "waiting-forgotten",
        "A document in memory forgets a change whose dependency is missing, rather than let it wait.";
    StaleView, "stale-view", "A concurrent change that reaches a document in memory does not show until the next one.";
    SameLabelLost, "same-label-lost", "An item that two nodes added at once is not shown.";
    ActorReused, "actor-reused", "The automerge actor follows from the node's key alone, so later openings repeat it.";
    LastEdgeIgnored, "last-edge-ignored", "Of the edges of a cycle the one that came last is ignored, not the youngest.";
    CycleScar, "cycle-scar", "An edge that closed a cycle stays ignored when the cycle is gone.";
    FirstHeardAlias, "first-heard-alias", "Of two bearers of an alias the one heard of first keeps it, not the oldest.";
    ShortIds, "short-ids", "Ids of new beads have eight random bits.";
    StrangersStored, "strangers-stored", "Entries of authors whom nobody admitted are stored.";
    ObserversWrite, "observers-write", "What observers write has effect.";
    AnyoneAdmits, "anyone-admits", "An admission has effect whoever wrote it.";
    CutForgotten, "cut-forgotten", "What a removed node wrote after its cut has effect like all before it.";
    AnyoneOwns, "anyone-owns", "Whoever says so has given the mesh to another owner.";
    Resurrected, "resurrected", "An admission brings a removed node back though its author had not heard of the removal.";
    ImpostorLetter, "impostor-letter", "A letter has effect whichever node wrote it, not only by that of its sender.";
    ImpostorReceipt, "impostor-receipt", "A receipt counts whichever node wrote it, not only by that of its agent.";
    EarlyLetterLost, "early-letter-lost", "A letter that comes before word of its sender stays without effect.";
    LetterTwice, "letter-twice",
        "A letter that an earlier entry brings again is listed anew, and not taken from where it stood.";
    ThreadByClock, "thread-by-clock", "Letters of a thread are in the order of clocks, not after those they name.";
    ContestsUntold, "contests-untold", "Agents are not told of claims that clash with theirs.";
    EndForgotten, "end-forgotten", "The end of a claim that comes before the claim is dropped.";
    AnswersBeforeFlush, "answers-before-flush", "A voter's promise leaves before it is durable.";
    ForgottenPromises, "forgotten-promises", "A voter that starts again takes all it had promised for lapsed.";
    LostVoterReturns, "lost-voter-returns", "A machine that lost its disk votes again under the same name.";
    NoStartWait, "no-start-wait", "A voter grants at once after a start of its machine.";
    PromiseShortened, "promise-shortened",
        "A renewal in an epoch with a shorter hold shortens what was promised in the one before.";
    TokensUnchecked, "tokens-unchecked", "A voter does not look at the tokens of what clashed before.";
    ReleaseByHolder, "release-by-holder", "The release of one attempt ends all that its holder has.";
    ImportsNothing, "imports-nothing", "A voter begins an epoch without what the voters before it kept.";
    SealedByFew, "sealed-by-few", "One voter that has sealed is enough to begin an epoch.";
    NoRecoveryWait, "no-recovery-wait", "A voter that the recovery key names grants at once.";
    GrantsSealed, "grants-sealed", "A voter goes on granting after it has sealed.";
    HalfIsEnough, "half-is-enough", "Promises of half of the voters, rounded down, are a lease.";
    RoundsAdded, "rounds-added", "Promises of several rounds add up.";
    FromTheReply, "from-the-reply", "A lease lasts from when the last promise came, not from when it was asked for.";
    NoDriftGuard, "no-drift-guard", "A holder relies on a promise for as long as the voter keeps it.";
    AttemptSurvives, "attempt-survives", "What was only tried for in one epoch goes on in the next.";
    SplitsStay, "splits-stay", "A younger claim keeps its votes while it can not see that more than half are against it.";
    StartsForgotten, "starts-forgotten", "A start of a node is numbered by what its disk knows alone.";
}

impl Bug {
    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }
}

/// Returns whether bugs can be planted in this build.
pub const fn available() -> bool {
    cfg!(planted)
}

/// Returns whether that bug is planted on this thread; never in a build without them.
#[inline]
pub fn is(bug: Bug) -> bool {
    cfg!(planted) && planted() == Some(bug)
}

/// Plants a bug on this thread, or none; returns whether that is so now.
#[must_use]
pub fn set(bug: Option<Bug>) -> bool {
    #[cfg(planted)]
    PLANTED.set(bug);
    planted() == bug
}

#[cfg(planted)]
fn planted() -> Option<Bug> {
    PLANTED.get()
}

#[cfg(not(planted))]
const fn planted() -> Option<Bug> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_goes_by_one_name_and_is_told_in_a_sentence() {
        for bug in Bug::ALL {
            assert_eq!(Bug::parse(bug.name()), Some(*bug));
            assert!(bug.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", bug.name());
            assert!(bug.about().ends_with('.') && bug.about().len() < 120, "{}", bug.about());
        }
        assert_eq!(Bug::parse("none"), None);
    }

    #[test]
    fn a_bug_is_planted_in_builds_with_bugs_only() {
        assert!(set(None));
        assert_eq!(set(Some(Bug::LateFlush)), available());
        assert_eq!(is(Bug::LateFlush), available());
        assert!(!is(Bug::HelloEcho));
        assert!(set(None));
        assert!(!is(Bug::LateFlush));
    }
}
