//! Entries of authors not known yet, kept in memory until the roster names them or their link is gone.
//!
//! The first that come are kept, and when there is no room what comes later is refused: a flood can not wash away what
//! is kept, and what is older comes first and is what the rest depends on. A reconciliation brings what did not fit.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::reconcile::Key;

use super::LinkId;

/// Entries that are kept in all; bounds what looking through them costs.
const ORPHANS_MAX: usize = 1_024;

/// Bytes of entries that are kept in all.
const ORPHAN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Which part of all room one link may take, so that three that flood leave some.
const LINK_SHARE: usize = 4;

/// What is kept, in the order of keys.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    kept: BTreeMap<Key, (LinkId, Entry)>,
    all: Load,
    links: BTreeMap<LinkId, Load>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    entries: usize,
    bytes: usize,
}

impl Load {
    fn plus(self, entry: &Entry) -> Self {
        Self { entries: self.entries + 1, bytes: self.bytes + entry.bytes_len() }
    }

    fn minus(self, entry: &Entry) -> Self {
        Self { entries: self.entries - 1, bytes: self.bytes - entry.bytes_len() }
    }

    fn fits(self, share: usize) -> bool {
        self.entries <= ORPHANS_MAX / share && self.bytes <= ORPHAN_BYTES_MAX / share
    }
}

impl Orphans {
    /// Keeps an entry that came over a link; returns whether it is kept now.
    pub(super) fn keep(&mut self, link: LinkId, entry: Entry) -> bool {
        let key = Key::new(entry.content().hlc, entry.id());
        if self.kept.contains_key(&key) {
            return true;
        }
        let (all, of_link) = (self.all.plus(&entry), self.of(link).plus(&entry));
        if !all.fits(1) || !of_link.fits(LINK_SHARE) {
            return false;
        }
        self.all = all;
        self.links.insert(link, of_link);
        self.kept.insert(key, (link, entry));
        true
    }

    /// Takes out what came over a link and is by one of those authors, oldest first.
    pub(super) fn take(&mut self, link: LinkId, authors: &BTreeSet<NodeId>) -> Vec<Entry> {
        self.take_if(|from, entry| from == link && authors.contains(&entry.content().author))
    }

    /// Drops what came over a link.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.take_if(|from, _| from == link);
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns whether something is kept that came over a link.
    pub(super) fn has(&self, link: LinkId) -> bool {
        self.of(link).entries > 0
    }

    fn of(&self, link: LinkId) -> Load {
        self.links.get(&link).copied().unwrap_or_default()
    }

    fn take_if(&mut self, wanted: impl Fn(LinkId, &Entry) -> bool) -> Vec<Entry> {
        let mut taken = Vec::new();
        for (_, (link, entry)) in self.kept.extract_if(.., |_, (link, entry)| wanted(*link, entry)) {
            self.all = self.all.minus(&entry);
            let left = self.links.get(&link).copied().unwrap_or_default().minus(&entry);
            if left.entries == 0 {
                self.links.remove(&link);
            } else {
                self.links.insert(link, left);
            }
            taken.push(entry);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::clock::Wall;
    use beadmesh_protocol::id::{BeadId, MeshId};
    use beadmesh_protocol::op::{BeadChange, Op};
    use beadmesh_protocol::testing::Author;

    use super::*;

    const HERE: LinkId = LinkId(1);
    const THERE: LinkId = LinkId(2);

    /// An entry with a change of about that many bytes.
    fn entry(author: &Author, n: u64, bytes: usize) -> Entry {
        let change = Op::Bead(BeadChange { bead: BeadId::from_bytes([1; 16]), change: vec![7; bytes] });
        author.entry(MeshId::from_bytes([9; 32]), n, Wall::from_millis(n), &[change])
    }

    #[test]
    fn a_link_keeps_its_first_entries_within_a_quarter_of_all_bytes() {
        let (mut orphans, author) = (Orphans::default(), Author::seeded(1));
        let kept = (0..100).filter(|n| orphans.keep(HERE, entry(&author, *n, 64 * 1024))).count();
        assert_eq!(kept, 31);
        assert!(orphans.keep(THERE, entry(&author, 200, 64 * 1024)));
        let taken = orphans.take(HERE, &[author.node()].into());
        assert!(taken.iter().map(|entry| entry.content().n).eq(0..31));
        assert_eq!((orphans.has(HERE), orphans.has(THERE)), (false, true));
        assert!(orphans.keep(HERE, entry(&author, 300, 64 * 1024)));
    }

    #[test]
    fn all_links_share_what_is_kept_and_give_it_back_when_they_are_gone() {
        let (mut orphans, author) = (Orphans::default(), Author::seeded(1));
        let mut kept = 0;
        for n in 0..2_000 {
            kept += usize::from(orphans.keep(LinkId(n % 7), entry(&author, n, 1)));
        }
        assert_eq!(kept, ORPHANS_MAX);
        (0..7).for_each(|link| orphans.forget(LinkId(link)));
        assert_eq!((orphans.kept.len(), orphans.all.bytes, orphans.links.len()), (0, 0, 0));
    }
}
