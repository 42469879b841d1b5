//! What counts of the entries of nodes that were cut off: which of them are here, and how they hang together.
//!
//! The links of such a node's entries are kept from its first removal on; all else follows from them and the roster, and
//! can be worked out anew.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{EntryId, NodeId, base32};
use beadmesh_protocol::op::CutEnd;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::roster::Roster;
use beadmesh_protocol::roster::cut::{Chain, Link, Standing, ends_of_all};

use super::entries::Entries;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// The entries of nodes that were cut off.
#[derive(Debug, Default)]
pub(crate) struct Cuts(BTreeMap<NodeId, Chain>);

impl Cuts {
    /// Goes on with what a store holds, and collects what it lacks.
    pub(crate) fn open(stage: &mut Stage, entries: &Entries, roster: &Roster) -> Result<Self, StoreError> {
        let mut links: BTreeMap<NodeId, BTreeMap<EntryId, Link>> = BTreeMap::new();
        for (key, link) in stage.records::<Option<Link>>(keys::LINKS)? {
            let (node, entry) = keys::link_of(&key).ok_or_else(|| StoreError::Undecodable { key: base32(&key) })?;
            let links = links.entry(node).or_default();
            links.extend(entry.zip(link));
        }
        let mut cuts = Self::default();
        for (node, links) in links {
            cuts.0.insert(node, Chain::new(standing(roster, node), links));
        }
        for node in roster.standings.keys() {
            cuts.collect(stage, entries, roster, *node)?;
        }
        Ok(cuts)
    }

    /// Forgets what is kept, for it to be collected again.
    pub(crate) fn clear(stage: &mut Stage) -> Result<(), StoreError> {
        for key in stage.keys(keys::LINKS)? {
            stage.delete(key);
        }
        Ok(())
    }

    /// Returns whether an entry of a node has effect, by all that is known of its author.
    pub(crate) fn counts(&self, roster: &Roster, author: NodeId, entry: EntryId) -> bool {
        if !roster.standings.contains_key(&author) || planted::is(Bug::CutForgotten) {
            return roster.may_write(author) || (planted::is(Bug::CutForgotten) && roster.former.contains_key(&author));
        }
        self.0.get(&author).is_some_and(|chain| chain.counts(entry))
    }

    /// Notes an entry that is stored now; returns others of its author that have come to count by it.
    pub(crate) fn note(&mut self, stage: &mut Stage, entry: &Entry) -> Vec<EntryId> {
        let author = entry.content().author;
        let Some(chain) = self.0.get_mut(&author) else { return Vec::new() };
        let link = Link::of(entry);
        stage.put_record(keys::link(author, entry.id()), &Some(link));
        chain.add(entry.id(), link)
    }

    /// Judges by another roster; returns the entries that count now and did not before, or the other way round.
    pub(crate) fn judge(
        &mut self,
        stage: &mut Stage,
        entries: &Entries,
        (before, after): (&Roster, &Roster),
    ) -> Result<Vec<(NodeId, EntryId)>, StoreError> {
        let cut: BTreeSet<NodeId> = before.standings.keys().chain(after.standings.keys()).copied().collect();
        let mut turned = Vec::new();
        for node in cut {
            if before.standings.get(&node) == after.standings.get(&node) {
                continue;
            }
            self.collect(stage, entries, before, node)?;
            let chain = &self.0[&node];
            let all: Vec<EntryId> = chain.entries().collect();
            let counted: Vec<bool> = all.iter().map(|entry| self.counts(before, node, *entry)).collect();
            if let Some(chain) = self.0.get_mut(&node) {
                chain.judge(standing(after, node));
            }
            let others = all.into_iter().zip(counted);
            let others = others.filter(|(entry, counted)| self.counts(after, node, *entry) != *counted);
            turned.extend(others.map(|(entry, _)| (node, entry)));
        }
        Ok(turned)
    }

    /// Returns where a removal of a node would cut it off now.
    pub(crate) fn ends(
        &mut self,
        stage: &mut Stage,
        entries: &Entries,
        (roster, node): (&Roster, NodeId),
    ) -> Result<Vec<CutEnd>, StoreError> {
        if roster.standings.contains_key(&node) {
            self.collect(stage, entries, roster, node)?;
            return Ok(self.0[&node].ends());
        }
        if !roster.may_write(node) {
            return Ok(Vec::new());
        }
        Ok(ends_of_all(&links(stage, entries, node)?))
    }

    /// Returns the entries of a node that was cut off.
    pub(crate) fn entries_of(&self, node: NodeId) -> Vec<EntryId> {
        self.0.get(&node).into_iter().flat_map(Chain::entries).collect()
    }

    /// Begins to keep the links of a node's entries, unless they are kept.
    fn collect(
        &mut self,
        stage: &mut Stage,
        entries: &Entries,
        roster: &Roster,
        node: NodeId,
    ) -> Result<(), StoreError> {
        if self.0.contains_key(&node) {
            return Ok(());
        }
        let links = links(stage, entries, node)?;
        // A node of which nothing is here is kept as well.
        stage.put_record(keys::links_of(node), &None::<Link>);
        for (entry, link) in &links {
            stage.put_record(keys::link(node, *entry), &Some(*link));
        }
        self.0.insert(node, Chain::new(standing(roster, node), links));
        Ok(())
    }
}

fn standing(roster: &Roster, node: NodeId) -> Standing {
    roster.standings.get(&node).cloned().unwrap_or_default()
}

/// Reads how the entries of a node hang together, out of all that are here.
fn links(stage: &Stage, entries: &Entries, node: NodeId) -> Result<BTreeMap<EntryId, Link>, StoreError> {
    let mut links = BTreeMap::new();
    for id in entries.control_ids().into_iter().chain(entries.data_ids()) {
        if let Some(entry) = entries.load(stage, id)?.filter(|entry| entry.content().author == node) {
            links.insert(id, Link::of(&entry));
        }
    }
    Ok(links)
}
