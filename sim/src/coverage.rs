//! What a sweep should see sometimes: a run in which nothing of it happens proves little.

use std::collections::BTreeMap;

/// Every name that may be counted, in order, with what is counted.
///
/// Where a rogue does something, that it had no effect is for the checkers to say.
pub const SOMETIMES: &[(&str, &str)] = &[
    ("agent-retired", "an agent is retired"),
    ("alias-shared", "two beads bear one alias"),
    ("bead-deleted-and-reopened", "a bead that was deleted is opened again"),
    ("bomb-refused", "a rogue sends a change made to cost memory and time"),
    ("bridge-used", "a partition begins that leaves a node which sees both sides"),
    ("claim-contested", "two claims that clash are both open in the end"),
    ("claim-held", "a claim is answered with a lease"),
    ("claim-refused", "a claim is refused because somebody else holds what clashes"),
    ("claim-tentative", "a claim is answered without a lease"),
    ("claim-yielded", "a claim that was told to the mesh gives way to another"),
    ("clone-moved", "a copy of a store is started on other hardware"),
    ("clone-same-machine", "a copy of a store is started beside the first on the same hardware"),
    ("command-ambiguous", "a command names a bead in a way that several fit"),
    ("command-refused", "a command is refused"),
    ("conflict-shown", "a bead shows that concurrent values lost"),
    ("crash-lost-unflushed", "a process ends while it handles or flushes a batch"),
    ("crash-while-writing", "a machine loses power while its disk writes"),
    ("cycle-ignored-edge", "dependencies of beads close a cycle at the end, so that one of them is ignored"),
    ("cycle-refused", "a dependency is refused because it would close a cycle"),
    ("dep-on-missing", "a dependency points at a bead that is not known"),
    ("dial-refused", "two nodes reach each other of which one does not take the other for a member"),
    ("disk-corrupt-noticed", "a store that was damaged does not open, or says so"),
    ("disk-lost-and-recovered", "a disk was lost or damaged, and all nodes became equal all the same"),
    ("entry-from-future", "an entry is taken whose time lies far ahead"),
    ("flood-survived", "a rogue floods its peers"),
    ("forged-refused", "a frame of a rogue is refused for an entry whose signature does not fit"),
    ("fork-entry", "two entries with one number are both kept to the end"),
    ("frame-held-by-partition", "a frame waits for a cut, a clog or a sleeper"),
    ("garbage-refused", "bytes of a rogue are refused, for they are no frame"),
    ("import-conflicting", "a record is not merged because it is another task"),
    ("import-equal-twice", "a record is imported that is known already, and changes nothing"),
    ("import-older-kept", "a record that is older than what is known changes nothing"),
    ("impostor-void", "a rogue writes a letter or a receipt in the name of an agent of another node"),
    ("join-again", "a node that was not answered asks again to be let in"),
    ("join-approved", "a machine waits until it is approved, and is let in"),
    ("join-refused", "a join is refused"),
    ("joined-while-running", "a node joins a mesh that is at work"),
    ("lease-followed", "a lease follows another on what clashes, under a higher token"),
    ("lease-lapsed", "a lease lapses that its agent still wanted"),
    ("lease-message-lost", "a message about leases is lost on its way"),
    ("letter-before-its-agent", "a letter lies at a node before the agent that it is from is known there"),
    ("letter-sent-while-apart", "a letter is sent at a node without a link, and is everywhere once in the end"),
    ("link-overflowed", "a link breaks because too much waits on it"),
    ("link-replaced", "a link comes up while one end takes an older one between the same nodes for up"),
    ("link-timed-out", "a link breaks because nothing gets through"),
    ("notice-delivered", "a notice of entries comes to a node"),
    ("notice-flood-survived", "a rogue floods the mesh with notices of what nobody has"),
    ("notice-lost", "a notice is lost on its way to a node"),
    ("notice-refused", "a notice of a rogue is refused"),
    ("observer-void", "a rogue that is an observer writes"),
    ("offline-for-a-day", "a node is apart from all others for a day"),
    ("one-way-cut", "a frame is held in one direction while the other is open"),
    (
        "outcast-void",
        "a rogue writes with the key of a machine that was removed, and lets it in as if it had not heard",
    ),
    ("owner-usurped", "a rogue gives itself the mesh, and takes it with a key of its own"),
    ("pair-converged-through-third", "two nodes that were never linked come to hold the same"),
    ("paused-over-timeout", "a machine sleeps for longer than its links last"),
    ("rebuild-equal", "views are derived anew while the mesh is at work"),
    ("receipt-before-its-letter", "a receipt lies at a node before its letter has effect there"),
    ("replay-ignored", "a rogue sends old frames again"),
    ("resolve-settled", "fields are settled by hand"),
    ("restored-older", "a store is put back to an older state"),
    ("stale-close", "a bead is closed too late, and everybody shows it"),
    ("store-copied", "a store is copied after a failed write and opened as a new instance"),
    ("stranger-ignored", "a rogue sends an entry of a stranger"),
    ("token-refused", "an agent is refused whose token its node does not know any more"),
    ("twin-change", "a rogue writes two changes with one actor and number"),
    ("unknown-op-stored", "a rogue writes an operation of an unknown kind"),
    ("view-large", "a bead takes more bytes to show than a stored view may have"),
    ("voters-changed", "a node learns of other voters"),
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
