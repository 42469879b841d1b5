//! What the nodes of a cell say to all about epochs: the control entries of a mesh, as far as leases go.

use std::collections::BTreeMap;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::lease::{Epoch, Handover, Proposal, Recovery, Seat, Start, Succession};
use serde::{Deserialize, Serialize};

/// One entry, with its author where that matters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Entry {
    Proposal(NodeId, Proposal),
    Handover(NodeId, Box<Handover>),
    Recovery(Recovery),
}

/// The entries that a node has, and what follows from them.
#[derive(Debug)]
pub(super) struct Known {
    entries: BTreeMap<u64, Entry>,
    succession: Succession,
    current: (Epoch, Start),
}

impl Entry {
    /// Returns the number that names it with all it says.
    fn name(&self) -> u64 {
        let bytes = postcard::to_stdvec(self).expect("entries have a postcard form");
        let mut name = [0; 8];
        blake3::Hasher::new().update(&bytes).finalize_xof().fill(&mut name);
        u64::from_le_bytes(name)
    }

    fn tell(&self, succession: &mut Succession) {
        match self.clone() {
            Self::Proposal(author, proposal) => succession.on_proposal(author, proposal),
            Self::Handover(author, handover) => succession.on_handover(author, *handover),
            Self::Recovery(recovery) => succession.on_recovery(recovery),
        }
    }
}

impl Known {
    /// Begins with some entries over what a mesh begins with.
    pub(super) fn new(succession: &Succession, entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut succession = succession.clone();
        let entries: BTreeMap<u64, Entry> = entries.into_iter().map(|entry| (entry.name(), entry)).collect();
        entries.values().for_each(|entry| entry.tell(&mut succession));
        let current = succession.current();
        Self { entries, succession, current }
    }

    /// Adds an entry; returns whether it is news.
    pub(super) fn add(&mut self, entry: &Entry) -> bool {
        let is_news = self.entries.insert(entry.name(), entry.clone()).is_none();
        if is_news {
            entry.tell(&mut self.succession);
            self.current = self.succession.current();
        }
        is_news
    }

    /// Returns the names of all entries.
    pub(super) fn names(&self) -> Vec<u64> {
        self.entries.keys().copied().collect()
    }

    /// Returns the entries that are not among those named, in the order of their names.
    pub(super) fn beyond(&self, names: &[u64]) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|(name, _)| names.binary_search(name).is_err()).map(|(_, entry)| entry)
    }

    /// Returns the epoch in force, and how it began.
    pub(super) fn current(&self) -> &(Epoch, Start) {
        &self.current
    }

    /// Returns the epoch that is proposed to follow.
    pub(super) fn proposed(&self) -> Option<&Epoch> {
        self.succession.proposed(&self.current.0)
    }

    /// Returns the epochs in which a voter has begun to hand over.
    pub(super) fn handed_over(&self, seat: Seat) -> Vec<u64> {
        let by_seat = |entry: &Entry| match entry {
            Entry::Handover(author, handover) => {
                (*author == seat.node && handover.voter == seat.voter).then_some(handover.epoch)
            }
            Entry::Proposal(..) | Entry::Recovery(_) => None,
        };
        self.entries.values().filter_map(by_seat).collect()
    }
}
