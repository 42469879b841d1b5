//! What a sweep should see sometimes: a run in which nothing of it happens proves little.

use std::collections::BTreeMap;

/// Every name that may be counted, in order, with what it stands for.
pub const SOMETIMES: &[(&str, &str)] = &[
    ("alias-shared", "two beads bear one alias"),
    ("bead-deleted-and-reopened", "a bead that was deleted is opened again"),
    ("bomb-refused", "a change made to cost memory and time has no effect"),
    ("bridge-used", "a frame passes over the node that sees both sides of a partition"),
    ("clone-moved", "a copied store finds itself on other hardware and goes on as a new instance"),
    ("clone-same-machine", "a copied store runs beside the first on the same hardware"),
    ("command-ambiguous", "a command names a bead in a way that several fit"),
    ("command-refused", "a command is refused"),
    ("conflict-shown", "a bead shows that concurrent values lost"),
    ("crash-lost-unflushed", "a crash loses inputs that were handled and not flushed"),
    ("crash-while-writing", "a machine loses power while its disk writes"),
    ("cycle-ignored-edge", "a dependency is ignored because concurrent edits closed a cycle"),
    ("cycle-refused", "a dependency is refused because it would close a cycle"),
    ("dep-on-missing", "a dependency points at a bead that is not known"),
    ("dial-refused", "a node is dialled that can not be reached"),
    ("disk-corrupt-noticed", "a store that was damaged does not open, or says so"),
    ("disk-lost-and-recovered", "a node that lost its disk gets everything back from its peers"),
    ("entry-from-future", "an entry is taken whose time lies far ahead"),
    ("flood-survived", "a node that is flooded still serves others"),
    ("forged-refused", "an entry whose signature does not fit is refused"),
    ("fork-entry", "two entries with one number are both kept"),
    ("frame-held-by-partition", "a frame waits for a partition to end"),
    ("garbage-refused", "bytes that are no frame are refused"),
    ("import-conflicting", "a record is not merged because it is another task"),
    ("import-equal-twice", "a record is imported at two nodes and makes one change"),
    ("import-older-kept", "a record that is older than what is known changes nothing"),
    ("join-again", "a join whose answer was lost is repeated"),
    ("join-refused", "a join is refused"),
    ("joined-while-running", "a node joins a mesh that is at work"),
    ("link-overflowed", "a link breaks because too much waits on it"),
    ("link-replaced", "a newer link takes the place of an older one between the same nodes"),
    ("link-timed-out", "a link breaks because nothing gets through"),
    ("observer-void", "an observer writes, without effect"),
    ("offline-for-a-day", "a node is apart from all others for a day"),
    ("one-way-cut", "frames are held in one direction and pass in the other"),
    ("pair-converged-through-third", "two nodes that were never linked come to hold the same"),
    ("paused-over-timeout", "a machine sleeps for longer than its links last"),
    ("rebuild-equal", "views that are derived anew are as they were"),
    ("replay-ignored", "an old frame comes again and changes nothing"),
    ("resolve-settled", "a conflict is settled by hand"),
    ("restored-older", "a store is put back to an older state"),
    ("store-copied", "a store is copied after a failed sync and opened as a new instance"),
    ("stranger-ignored", "an entry of a stranger is not stored"),
    ("twin-change", "of two changes with one actor and number one has no effect"),
    ("unknown-op-stored", "an operation of an unknown kind is kept, without effect"),
    ("view-large", "a bead's view is too large to be stored"),
    ("wall-far-ahead", "a wall clock is far ahead"),
    ("wall-far-behind", "a wall clock is far behind"),
];

/// How often things happened in one run, or in several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    seen: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Counts that something happened, if it did.
    ///
    /// # Panics
    /// When the name is not listed, happened or not: a name that is mistyped would never be missed.
    pub fn see(&mut self, name: &'static str, happened: bool) {
        let listed = SOMETIMES.binary_search_by_key(&name, |(listed, _)| *listed);
        assert!(listed.is_ok(), "{name:?} is not among the names to be seen sometimes");
        if happened {
            *self.seen.entry(name).or_default() += 1;
        }
    }

    /// Adds what was counted in another run, as its outcome gives it.
    pub fn add(&mut self, seen: &BTreeMap<&'static str, u64>) {
        for (name, count) in seen {
            *self.seen.entry(name).or_default() += count;
        }
    }

    /// Returns how often each thing happened that did.
    pub fn seen(&self) -> &BTreeMap<&'static str, u64> {
        &self.seen
    }

    /// Returns what never happened, with what it stands for.
    pub fn unseen(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        SOMETIMES.iter().copied().filter(|(name, _)| !self.seen.contains_key(name))
    }
}

/// Counts that something happened, if the condition holds: `sometimes!(coverage, "link-replaced", old.is_some())`.
#[macro_export]
macro_rules! sometimes {
    ($coverage:expr, $name:literal, $happened:expr $(,)?) => {
        $coverage.see($name, $happened)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_once_in_order_and_explained() {
        assert!(SOMETIMES.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(SOMETIMES.iter().all(|(name, what)| !name.is_empty() && !what.is_empty()));
    }

    #[test]
    fn what_happened_is_counted_over_runs() {
        let (mut one, mut all) = (Coverage::default(), Coverage::default());
        sometimes!(one, "link-replaced", true);
        sometimes!(one, "link-replaced", true);
        sometimes!(one, "dial-refused", false);
        assert_eq!(*one.seen(), BTreeMap::from([("link-replaced", 2)]));
        all.add(one.seen());
        all.add(one.seen());
        assert_eq!(all.seen()["link-replaced"], 4);
        assert!(!all.unseen().any(|(name, _)| name == "link-replaced"));
        assert!(all.unseen().any(|(name, _)| name == "dial-refused"));
    }

    #[test]
    #[should_panic(expected = "\"link-replaced-by-typo\" is not among the names")]
    fn a_name_that_is_not_listed_is_refused_even_if_it_did_not_happen() {
        sometimes!(Coverage::default(), "link-replaced-by-typo", false);
    }
}
