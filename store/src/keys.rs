//! Where records lie: one letter, then what names the record. Entries are the truth; views are derived from them.

use beadmesh_protocol::id::{BeadId, ChangeHash, EntryId, InstanceId, InviteId, NodeId};

/// Which mesh this store is in, and who writes here.
pub(crate) const IDENTITY: &[u8] = b"M/identity";

/// How far our own entries have come.
pub(crate) const COUNTER: &[u8] = b"M/counter";

/// What peers brought of this node's own entries.
pub(crate) const COPIES: &[u8] = b"M/copies";

/// The layout version of derived records; another one here means they must be derived anew.
pub(crate) const VIEWS_LAYOUT: &[u8] = b"M/views";

/// Entries as they travel.
pub(crate) const ENTRIES: &[u8] = b"E";

/// What is needed of an entry without reading it: its set and its hybrid time.
pub(crate) const INDEX: &[u8] = b"K";

/// The ids of control entries.
pub(crate) const CONTROL: &[u8] = b"R";

/// Invites this node has opened.
pub(crate) const INVITES: &[u8] = b"I";

/// What is known of peers between links.
pub(crate) const PEERS: &[u8] = b"P";

/// The numbers of each author's entries, by instance: derived, but for what somebody took note of.
pub(crate) const AUTHORS: &[u8] = b"A";

/// Where the changes of beads are, by bead: derived.
pub(crate) const CHANGES: &[u8] = b"C";

/// Beads as shown: derived.
pub(crate) const BEADS: &[u8] = b"B";

pub(crate) fn entry(id: EntryId) -> Vec<u8> {
    [ENTRIES, id.as_bytes()].concat()
}

pub(crate) fn index(id: EntryId) -> Vec<u8> {
    [INDEX, id.as_bytes()].concat()
}

pub(crate) fn control(id: EntryId) -> Vec<u8> {
    [CONTROL, id.as_bytes()].concat()
}

pub(crate) fn invite(id: InviteId) -> Vec<u8> {
    [INVITES, id.as_bytes()].concat()
}

pub(crate) fn peer(id: NodeId) -> Vec<u8> {
    [PEERS, id.as_bytes()].concat()
}

pub(crate) fn author(author: NodeId, instance: InstanceId) -> Vec<u8> {
    [AUTHORS, author.as_bytes(), instance.as_bytes()].concat()
}

/// Returns the author and the instance that a key made by `author` names.
pub(crate) fn author_of(key: &[u8]) -> Option<(NodeId, InstanceId)> {
    let (author, instance) = key.get(AUTHORS.len()..)?.split_at_checked(NodeId::BYTES)?;
    Some((NodeId::from_slice(author)?, InstanceId::from_slice(instance)?))
}

pub(crate) fn changes_of(bead: BeadId) -> Vec<u8> {
    [CHANGES, bead.as_bytes()].concat()
}

pub(crate) fn change(bead: BeadId, change: ChangeHash) -> Vec<u8> {
    [CHANGES, bead.as_bytes(), change.as_bytes()].concat()
}

pub(crate) fn bead(id: BeadId) -> Vec<u8> {
    [BEADS, id.as_bytes()].concat()
}
