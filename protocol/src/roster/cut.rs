//! What still counts of the entries of a node that was cut off.
//!
//! A removal names the last entry of each of the node's instances that has effect. What leads up to these by `prev` counts
//! as before, and nothing else does: `prev` is a hash, so what is written afterwards can not be slipped in before the
//! cut, whatever number and time it bears. Cuts of several removals unite.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::entry::{Content, Entry};
use crate::id::{EntryId, InstanceId};
use crate::limits::CUT_ENDS_MAX;
use crate::op::CutEnd;

/// The BLAKE3 context under which the instance is named in which a node goes on after an admission.
const INSTANCE_CONTEXT: &str = "beadmesh 2026 readmitted instance v1";

/// Where a node was cut off, and where it may go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last entries that count.
    pub ends: BTreeSet<CutEnd>,
    /// When it was let in again, by the instance in which it goes on; empty where it may not write.
    pub resumed: BTreeMap<InstanceId, Timestamp>,
}

impl Standing {
    /// Returns whether an entry counts for having been written after the node was let in again.
    ///
    /// That is, in an instance that such an admission names; or in one that no cut ends and that is later than one, for a
    /// store may be lost or copied again.
    pub fn resumes(&self, instance: InstanceId, hlc: Timestamp) -> bool {
        let is_ended = || self.ends.iter().any(|end| end.instance == instance);
        self.resumed.contains_key(&instance) || (self.resumed.values().any(|since| hlc > *since) && !is_ended())
    }
}

/// Returns the instance in which a node goes on that an entry lets in again.
pub fn instance_after(admission: EntryId) -> InstanceId {
    let hash = blake3::derive_key(INSTANCE_CONTEXT, admission.as_bytes());
    InstanceId::from_slice(&hash[..InstanceId::BYTES]).expect("8 of 32 bytes")
}

/// How one entry of a node hangs together with its others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Link {
    /// The instance.
    pub instance: InstanceId,
    /// When it was written.
    pub hlc: Timestamp,
    /// The entry before it.
    pub prev: Option<EntryId>,
}

impl Link {
    /// Reads it off an entry.
    pub fn of(entry: &Entry) -> Self {
        let Content { instance, hlc, prev, .. } = *entry.content();
        Self { instance, hlc, prev }
    }
}

/// The entries of one node that was cut off, and which of them count: equal whatever the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    standing: Standing,
    links: BTreeMap<EntryId, Link>,
    /// Those that lead up to an end.
    reached: BTreeSet<EntryId>,
    /// Those that would if they are of that instance, and are not held.
    awaited: BTreeSet<(EntryId, InstanceId)>,
}

impl Chain {
    /// Begins with the entries that are held.
    pub fn new(standing: Standing, links: BTreeMap<EntryId, Link>) -> Self {
        let mut chain = Self { standing, links, reached: BTreeSet::new(), awaited: BTreeSet::new() };
        let ends: Vec<CutEnd> = chain.standing.ends.iter().copied().collect();
        for end in ends {
            chain.reach(end.last, end.instance);
        }
        chain
    }

    /// Returns whether an entry counts; none does that is not known here.
    pub fn counts(&self, entry: EntryId) -> bool {
        self.reached.contains(&entry)
            || self.links.get(&entry).is_some_and(|link| self.standing.resumes(link.instance, link.hlc))
    }

    /// Adds an entry; returns the others that count now and did not before.
    pub fn add(&mut self, entry: EntryId, link: Link) -> Vec<EntryId> {
        self.links.insert(entry, link);
        let is_awaited = self.awaited.contains(&(entry, link.instance));
        self.awaited.retain(|(awaited, _)| *awaited != entry);
        let mut gained = if is_awaited { self.reach(entry, link.instance) } else { Vec::new() };
        gained.retain(|gained| *gained != entry);
        gained
    }

    /// Judges all entries anew by another standing; returns those of which it says otherwise than before.
    pub fn judge(&mut self, standing: Standing) -> Vec<EntryId> {
        if standing == self.standing {
            return Vec::new();
        }
        let judged = Self::new(standing, std::mem::take(&mut self.links));
        let before = std::mem::replace(self, judged);
        let counted = |entry: &EntryId, link: &Link| {
            before.reached.contains(entry) || before.standing.resumes(link.instance, link.hlc)
        };
        let turned = self.links.iter().filter(|(entry, link)| counted(entry, link) != self.counts(**entry));
        turned.map(|(entry, _)| *entry).collect()
    }

    /// Returns where the node was cut off.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Returns the entries that are held.
    pub fn entries(&self) -> impl Iterator<Item = EntryId> {
        self.links.keys().copied()
    }

    /// Returns where a removal now would cut: after each entry that counts and is followed by none that does.
    ///
    /// Of more instances than one removal can name the latest stay.
    pub fn ends(&self) -> Vec<CutEnd> {
        ends(self.links.iter().filter(|(entry, _)| self.counts(**entry)), &self.awaited)
    }

    /// Follows an entry down within its instance, as far as its past is held; returns those that have come to count.
    fn reach(&mut self, entry: EntryId, instance: InstanceId) -> Vec<EntryId> {
        let mut gained = Vec::new();
        let mut next = Some((entry, instance));
        while let Some((entry, instance)) = next.take() {
            let Some(link) = self.links.get(&entry) else {
                self.awaited.insert((entry, instance));
                break;
            };
            if link.instance != instance || !self.reached.insert(entry) {
                break;
            }
            if !self.standing.resumes(link.instance, link.hlc) {
                gained.push(entry);
            }
            next = link.prev.map(|prev| (prev, instance));
        }
        gained
    }
}

/// Returns where a removal cuts off a node all of whose entries count.
pub fn ends_of_all(links: &BTreeMap<EntryId, Link>) -> Vec<CutEnd> {
    ends(links.iter(), &BTreeSet::new())
}

fn ends<'a>(
    counting: impl Iterator<Item = (&'a EntryId, &'a Link)>,
    awaited: &BTreeSet<(EntryId, InstanceId)>,
) -> Vec<CutEnd> {
    let counting: Vec<(&EntryId, &Link)> = counting.collect();
    let follows = |(_, link): &(&EntryId, &Link)| Some((link.prev?, link.instance));
    let followed: BTreeSet<(EntryId, InstanceId)> = counting.iter().filter_map(follows).collect();
    let last = counting.into_iter().filter(|(entry, link)| !followed.contains(&(**entry, link.instance)));
    let mut ends: Vec<(Timestamp, CutEnd)> =
        last.map(|(entry, link)| (link.hlc, CutEnd { instance: link.instance, last: *entry })).collect();
    let unfollowed = awaited.iter().filter(|end| !followed.contains(end));
    ends.extend(
        unfollowed.map(|(entry, instance)| (Timestamp::default(), CutEnd { instance: *instance, last: *entry })),
    );
    ends.sort_unstable_by(|a, b| b.cmp(a));
    ends.truncate(CUT_ENDS_MAX);
    let mut ends: Vec<CutEnd> = ends.into_iter().map(|(_, end)| end).collect();
    ends.sort_unstable();
    ends
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn id(number: u8) -> EntryId {
        EntryId::from_bytes([number; 32])
    }

    fn link(instance: u8, millis: u64, prev: Option<u8>) -> Link {
        let hlc = Timestamp::from_wall(crate::clock::Wall::from_millis(millis));
        Link { instance: InstanceId::from_bytes([instance; 8]), hlc, prev: prev.map(id) }
    }

    fn standing(ends: &[(u8, u8)], resumed: &[(u8, u64)]) -> Standing {
        let end =
            |(instance, last): &(u8, u8)| CutEnd { instance: InstanceId::from_bytes([*instance; 8]), last: id(*last) };
        let since = |(instance, millis): &(u8, u64)| {
            let hlc = Timestamp::from_wall(crate::clock::Wall::from_millis(*millis));
            (InstanceId::from_bytes([*instance; 8]), hlc)
        };
        Standing { ends: ends.iter().map(end).collect(), resumed: resumed.iter().map(since).collect() }
    }

    /// Entries 1 to 4 of instance 1, one after the other; entry 9 says that it follows 2, as 3 does.
    fn links() -> BTreeMap<EntryId, Link> {
        let chain = (1..=4).map(|n| (id(n), link(1, n.into(), (n > 1).then(|| n - 1))));
        chain.chain([(id(9), link(1, 2, Some(2)))]).collect()
    }

    fn counting(chain: &Chain) -> Vec<u8> {
        chain.entries().filter(|entry| chain.counts(*entry)).map(|entry| entry.as_bytes()[0]).collect()
    }

    #[test]
    fn what_leads_up_to_an_end_counts_and_nothing_else() {
        assert_eq!(counting(&Chain::new(standing(&[(1, 3)], &[]), links())), [1, 2, 3]);
        assert_eq!(counting(&Chain::new(standing(&[(1, 3), (1, 9)], &[]), links())), [1, 2, 3, 9]);
        assert_eq!(counting(&Chain::new(standing(&[], &[]), links())), [0; 0]);
    }

    #[test]
    fn an_entry_that_was_missing_brings_in_all_before_it() {
        let mut held = links();
        held.remove(&id(3));
        let mut chain = Chain::new(standing(&[(1, 4)], &[]), held);
        assert_eq!(counting(&chain), [4]);
        assert_eq!(chain.add(id(3), link(1, 3, Some(2))), [id(2), id(1)]);
        assert_eq!(counting(&chain), [1, 2, 3, 4]);
    }

    #[test]
    fn who_is_let_in_again_goes_on_in_the_instance_named_or_in_one_never_seen() {
        let resumed = standing(&[(1, 2)], &[(5, 10)]);
        let mut chain = Chain::new(resumed, links());
        for (entry, instance, millis) in [(20, 5, 1), (21, 6, 11), (22, 6, 10), (23, 1, 12)] {
            chain.add(id(entry), link(instance, millis, None));
        }
        assert_eq!(counting(&chain), [1, 2, 20, 21]);
        let turned = chain.judge(standing(&[(1, 2), (5, 20)], &[]));
        assert_eq!(turned, [id(21)]);
    }

    #[test]
    fn a_removal_cuts_after_what_counts() {
        assert_eq!(ends_of_all(&links()), standing(&[(1, 4), (1, 9)], &[]).ends.into_iter().collect::<Vec<_>>());
        let chain = Chain::new(standing(&[(1, 3)], &[]), links());
        assert_eq!(chain.ends(), standing(&[(1, 3)], &[]).ends.into_iter().collect::<Vec<_>>());
        let gone = Chain::new(standing(&[(1, 7)], &[]), links());
        assert_eq!(gone.ends(), standing(&[(1, 7)], &[]).ends.into_iter().collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn the_order_of_entries_and_cuts_makes_no_difference(
            entries in vec((1..4_u8, 0..9_u64, any::<Option<u8>>()), 1..24),
            ends in vec((1..4_u8, 0..24_u8), 0..4),
            resumed in vec((1..6_u8, 0..9_u64), 0..2),
        ) {
            let links: BTreeMap<EntryId, Link> = (0_u8..).zip(&entries).map(|(number, (instance, millis, prev))| {
                // An entry comes after the one it names: a hash can not be known before.
                let prev = prev.filter(|_| number > 0).map(|prev| prev % number);
                (id(number), link(*instance, *millis, prev))
            }).collect();
            let standing = standing(&ends, &resumed);
            let whole = Chain::new(standing.clone(), links.clone());
            let mut grown = Chain::new(Standing::default(), BTreeMap::new());
            let mut counted = BTreeSet::new();
            for (at, (entry, link)) in links.iter().rev().enumerate() {
                if at == links.len() / 2 {
                    let turned = grown.judge(standing.clone());
                    counted.extend(turned);
                }
                let gained = grown.add(*entry, *link);
                counted.extend(gained);
                if grown.counts(*entry) {
                    counted.insert(*entry);
                }
            }
            prop_assert_eq!(&grown, &whole);
            let expected: BTreeSet<EntryId> = links.keys().copied().filter(|entry| whole.counts(*entry)).collect();
            prop_assert_eq!(counted, expected);
            let again = Chain::new(Standing { ends: whole.ends().into_iter().collect(), ..standing }, links);
            prop_assert!(counting(&whole).into_iter().all(|entry| again.counts(id(entry))));
        }
    }
}
