//! Where records lie: one letter, then what names the record. Entries are the truth; views are derived from them.

use beadmesh_protocol::clock::Timestamp;
use beadmesh_protocol::id::{AgentId, BeadId, BlobHash, ChangeHash, EntryId, InstanceId, InviteId, LetterId, NodeId};
use beadmesh_protocol::mail::ReceiptKind;

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

/// What is kept of the tokens of this node's agents.
pub(crate) const TOKENS: &[u8] = b"T";

/// All that is derived of mail.
pub(crate) const MAIL: &[u8] = b"L";

/// Where letters are, by who carried them.
pub(crate) const CARRIED: &[u8] = b"Lc";

/// Letters that have effect, without their bodies.
pub(crate) const LETTERS: &[u8] = b"Ls";

/// Bytes of a time in keys.
pub(crate) const TIME_BYTES: usize = 8;

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

pub(crate) fn token(agent: AgentId) -> Vec<u8> {
    [TOKENS, agent.as_bytes()].concat()
}

pub(crate) fn carried_of(letter: LetterId) -> Vec<u8> {
    [CARRIED, letter.as_bytes()].concat()
}

pub(crate) fn carried(letter: LetterId, author: NodeId) -> Vec<u8> {
    [CARRIED, letter.as_bytes(), author.as_bytes()].concat()
}

/// Letters that say they are from an agent, with effect or without.
pub(crate) fn letters_from(agent: AgentId) -> Vec<u8> {
    [b"Lf", agent.as_bytes().as_slice()].concat()
}

pub(crate) fn letter_from(agent: AgentId, letter: LetterId) -> Vec<u8> {
    [b"Lf", agent.as_bytes().as_slice(), letter.as_bytes()].concat()
}

pub(crate) fn letter(id: LetterId) -> Vec<u8> {
    [LETTERS, id.as_bytes()].concat()
}

/// Letters that have come to an agent.
pub(crate) fn inbox(agent: AgentId) -> Vec<u8> {
    [b"Li", agent.as_bytes().as_slice()].concat()
}

/// Of those the ones of high importance.
pub(crate) fn pressing(agent: AgentId) -> Vec<u8> {
    [b"Lp", agent.as_bytes().as_slice()].concat()
}

/// Of those the ones that it has not read.
pub(crate) fn unread(agent: AgentId) -> Vec<u8> {
    [b"Lu", agent.as_bytes().as_slice()].concat()
}

/// Letters that carry a blob.
pub(crate) fn carrying(blob: BlobHash) -> Vec<u8> {
    [b"La", blob.as_bytes().as_slice()].concat()
}

/// Of those the ones that were written on a node.
pub(crate) fn carrying_of(blob: BlobHash, node: NodeId) -> Vec<u8> {
    [b"La", blob.as_bytes().as_slice(), node.as_bytes()].concat()
}

/// Puts a letter behind one of these, the newest first.
pub(crate) fn newest_first(list: Vec<u8>, hlc: Timestamp, letter: LetterId) -> Vec<u8> {
    [list, (!hlc.as_u64()).to_be_bytes().to_vec(), letter.as_bytes().to_vec()].concat()
}

/// Letters of a thread, by the hash of its name.
pub(crate) fn thread(hash: &[u8; 16]) -> Vec<u8> {
    [b"Lt", hash.as_slice()].concat()
}

/// Letters of a thread that no other letter of it names.
pub(crate) fn heads(hash: &[u8; 16]) -> Vec<u8> {
    [b"Lh", hash.as_slice()].concat()
}

/// Letters of a thread that name a letter.
pub(crate) fn naming(letter: LetterId, thread: &[u8; 16]) -> Vec<u8> {
    [b"Ln", letter.as_bytes().as_slice(), thread].concat()
}

pub(crate) fn receipt(letter: LetterId, agent: AgentId, kind: ReceiptKind, author: NodeId) -> Vec<u8> {
    let kind = match kind {
        ReceiptKind::Read => 0,
        ReceiptKind::Acknowledged => 1,
    };
    [b"Lr", letter.as_bytes().as_slice(), agent.as_bytes(), &[kind], author.as_bytes()].concat()
}
