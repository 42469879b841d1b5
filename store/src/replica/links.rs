//! Links: one session for each peer that is linked, and what is remembered of peers between links.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::clock::{Instant, Now, Wall};
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{EntryId, NodeId};
use beadmesh_protocol::limits::FRAME_IDS_MAX;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::roster::Roster;
use beadmesh_protocol::sync::{Holdings, Order, Progress, Session, Side};
use beadmesh_protocol::wire::Frame;
use serde::{Deserialize, Serialize};

use super::LinkId;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// How often the sets are compared with one linked peer, chosen at random.
pub(crate) const COMPARE_INTERVAL: Duration = Duration::from_secs(30);

/// What is remembered of a peer between links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRecord {
    /// How many of the entries that we held it was known to hold.
    pub(crate) held: u64,
    /// When it was last linked.
    pub(crate) last_seen: Wall,
}

/// One link that is up.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) path: String,
    pub(crate) session: Session,
    settled: bool,
    /// Entries that came over this link and are acknowledged once they are durable.
    owed: Vec<EntryId>,
}

/// Every link, and the peers behind them.
#[derive(Debug)]
pub(crate) struct Links {
    /// Bytes of entries sent to one peer ahead of its acknowledgements.
    window_bytes: usize,
    up: BTreeMap<LinkId, Link>,
}

impl Links {
    /// Begins without a link.
    pub(crate) fn new(window_bytes: usize) -> Self {
        Self { window_bytes, up: BTreeMap::new() }
    }

    /// Begins a session on a new link; an older link of the same peer is given up.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        link: LinkId,
        (here, node): (NodeId, NodeId),
        path: String,
        holdings: &Holdings<'_>,
    ) -> Vec<Order> {
        self.up.retain(|_, old| old.node != node);
        let side = if here < node { Side::Lower } else { Side::Higher };
        let (session, orders) = Session::open(side, now, self.window_bytes, holdings);
        self.up.insert(link, Link { node, path, session, settled: false, owed: Vec::new() });
        orders
    }

    pub(crate) fn session(&mut self, link: LinkId) -> Option<&mut Session> {
        self.up.get_mut(&link).map(|link| &mut link.session)
    }

    pub(crate) fn ids(&self) -> Vec<LinkId> {
        self.up.keys().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.up.len()
    }

    /// Returns the link to a peer.
    pub(crate) fn of(&self, node: NodeId) -> Option<&Link> {
        self.up.values().find(|link| link.node == node)
    }

    /// Returns the peers that are linked.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.up.values().map(|link| link.node).collect()
    }

    /// Returns the name of the link to a peer.
    pub(crate) fn id_of(&self, node: NodeId) -> Option<LinkId> {
        self.up.iter().find(|(_, link)| link.node == node).map(|(id, _)| *id)
    }

    /// Forgets a link and keeps what is known of its peer; returns the peer.
    pub(crate) fn close(
        &mut self,
        stage: &mut Stage,
        link: LinkId,
        entries: u64,
        wall: Wall,
    ) -> Result<Option<NodeId>, StoreError> {
        let Some(link) = self.up.remove(&link) else { return Ok(None) };
        remember(stage, &link, entries, wall)?;
        Ok(Some(link.node))
    }

    /// Keeps what is known of every linked peer.
    pub(crate) fn remember(&self, stage: &mut Stage, entries: u64, wall: Wall) -> Result<(), StoreError> {
        self.up.values().try_for_each(|link| remember(stage, link, entries, wall))
    }

    /// Notes that an entry came over a link, and is to be acknowledged there once it is durable.
    pub(crate) fn owe(&mut self, link: LinkId, id: EntryId) {
        if let Some(link) = self.up.get_mut(&link) {
            link.owed.push(id);
        }
    }

    /// Queues an entry of ours that is durable now for every peer.
    pub(crate) fn push(&mut self, id: EntryId) {
        self.up.values_mut().for_each(|link| link.session.push(id));
    }

    /// Returns the acknowledgements due now: to the link an entry came by, and as news to all others; to all where it came
    /// by none.
    ///
    /// A link on which the peer has not greeted yet gets none: its greeting is compared with what is held by then.
    pub(crate) fn acknowledgements(&mut self, news: &[(EntryId, Option<LinkId>)]) -> Vec<(LinkId, Frame)> {
        let mut frames = Vec::new();
        for (&id, link) in self.up.iter_mut().filter(|(_, link)| link.session.is_greeted()) {
            let mut ids = std::mem::take(&mut link.owed);
            let news = if planted::is(Bug::NotPassedOn) { &[] } else { news };
            ids.extend(news.iter().filter(|(_, from)| *from != Some(id)).map(|(entry, _)| *entry));
            frames.extend(ids.chunks(FRAME_IDS_MAX).map(|ids| (id, Frame::Ack(ids.to_vec()))));
        }
        frames
    }

    /// Returns the frames of entries that there is room to send now.
    pub(crate) fn entries(
        &mut self,
        now: Instant,
        load: &mut dyn FnMut(EntryId) -> Option<Entry>,
    ) -> Vec<(LinkId, Frame)> {
        let mut frames = Vec::new();
        for (&id, link) in &mut self.up {
            while let Some(frame) = link.session.next_entries(now, load) {
                frames.push((id, frame));
            }
        }
        frames
    }

    /// Returns peers that have come to hold what we hold since this was last asked.
    pub(crate) fn newly_settled(&mut self) -> Vec<NodeId> {
        let mut settled = Vec::new();
        for link in self.up.values_mut() {
            let is_settled = link.session.is_settled();
            if is_settled && !link.settled {
                settled.push(link.node);
            }
            link.settled = is_settled;
        }
        settled
    }

    /// Returns the earliest timer of any session.
    pub(crate) fn next_wakeup(&self) -> Option<Instant> {
        self.up.values().filter_map(|link| link.session.next_wakeup()).min()
    }

    /// Returns how many entries the peer is not known to hold, and how far catching up from it has come.
    pub(crate) fn standing(
        &self,
        stage: &Stage,
        node: NodeId,
        entries: u64,
        now: Now,
    ) -> Result<(u64, Option<Wall>, Option<Progress>), StoreError> {
        let record: Option<PeerRecord> = stage.record(&keys::peer(node))?;
        let before = entries.saturating_sub(record.map_or(0, |record| record.held));
        let seen = record.map(|record| record.last_seen);
        let Some(link) = self.of(node) else { return Ok((before, seen, None)) };
        let progress = link.session.progress();
        let under_way = (progress.done < progress.total).then_some(progress);
        Ok((link.session.lag().unwrap_or(before), Some(now.wall), under_way))
    }

    /// Returns the links of nodes that are no members, with the nodes.
    pub(crate) fn strangers(&self, roster: &Roster) -> Vec<(LinkId, NodeId)> {
        let strangers = self.up.iter().filter(|(_, link)| !roster.members.contains_key(&link.node));
        strangers.map(|(id, link)| (*id, link.node)).collect()
    }
}

/// Keeps how many of our entries a peer holds, as its link knows it.
fn remember(stage: &mut Stage, link: &Link, entries: u64, wall: Wall) -> Result<(), StoreError> {
    let key = keys::peer(link.node);
    let before: Option<PeerRecord> = stage.record(&key)?;
    let held = match link.session.lag() {
        Some(lag) => entries.saturating_sub(lag),
        None => before.map_or(0, |record| record.held),
    };
    let record = PeerRecord { held, last_seen: wall };
    if before != Some(record) {
        stage.put_record(key, &record);
    }
    Ok(())
}
