//! Where records lie: one letter, then what names the record. Entries are the truth; views are derived from them.

use beadmesh_protocol::clock::{Timestamp, Wall};
use beadmesh_protocol::id::{
    AgentId, BeadId, BlobHash, ChangeHash, ClaimId, EntryId, InstanceId, InviteId, LetterId, NodeId,
};
use beadmesh_protocol::mail::ReceiptKind;

/// Which mesh this store is in, and who writes here.
pub(crate) const IDENTITY: &[u8] = b"M/identity";

/// How far our own entries have come.
pub(crate) const COUNTER: &[u8] = b"M/counter";

/// In how many openings of this store something was said of this node to the mesh.
pub(crate) const OPENINGS: &[u8] = b"M/openings";

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

/// What the beads of this node's agents wait for: derived.
pub(crate) const WAITS: &[u8] = b"W";

/// What is kept of the tokens of this node's agents.
pub(crate) const TOKENS: &[u8] = b"T";

/// What this node's voter keeps.
pub(crate) const VOTER: &[u8] = b"V";

/// What it keeps beside its promises.
pub(crate) const VOTER_STATE: &[u8] = b"Vs";

/// What it promised, by attempt.
pub(crate) const GRANTS: &[u8] = b"Vg";

/// What it knows of the lanes of each holder.
pub(crate) const LANES: &[u8] = b"Vl";

/// The entries in which beads were closed under leases, by bead.
pub(crate) const CLOSES: &[u8] = b"Vc";

/// How often the node has begun to claim: no number is used twice.
pub(crate) const INCARNATION: &[u8] = b"Q/incarnation";

/// Claims of this node's agents that are to be held, or got back.
pub(crate) const OWN_CLAIMS: &[u8] = b"Qc";

/// What this node's agents are told of their leases.
pub(crate) const LEASE_NEWS: &[u8] = b"Qn";

/// All that is derived of claims.
pub(crate) const CLAIMS: &[u8] = b"F";

/// What is known of each claim.
pub(crate) const CLAIM_FACTS: &[u8] = b"Fc";

/// Claims that nobody has ended.
pub(crate) const OPEN_CLAIMS: &[u8] = b"Fo";

/// Claims on beads that had a lease, by bead.
pub(crate) const FENCED: &[u8] = b"Fb";

/// Under which lease a change closed a bead, by bead and change.
pub(crate) const CLOSINGS: &[u8] = b"Fg";

/// Closes of beads that came too late, by bead.
pub(crate) const STALE: &[u8] = b"Fz";

/// How the entries of nodes that were cut off hang together, by node: derived.
pub(crate) const LINKS: &[u8] = b"H";

/// Why a node does not come by an invite, by invite: it was removed meanwhile, or turned away.
pub(crate) const BARRED: &[u8] = b"J";

/// All that is derived of mail.
pub(crate) const MAIL: &[u8] = b"L";

/// Where letters are, by who carried them.
pub(crate) const CARRIED: &[u8] = b"Lc";

/// Letters that have effect, without their bodies.
pub(crate) const LETTERS: &[u8] = b"Ls";

/// Agents whose letters are under review.
pub(crate) const REVIEWS: &[u8] = b"La";

/// System letters: derived, and of this node alone.
pub(crate) const SYSTEM: &[u8] = b"Lk";

/// Acknowledgements that this node's agents wait for, by when they are overdue: derived.
pub(crate) const AWAITED: &[u8] = b"Lo";

/// Nodes that wait to be approved.
pub(crate) const APPLICANTS: &[u8] = b"N";

/// Bytes of a time in keys.
pub(crate) const TIME_BYTES: usize = 8;

pub(crate) fn applicant(node: NodeId) -> Vec<u8> {
    [APPLICANTS, node.as_bytes()].concat()
}

/// Returns the node that a key made by `applicant` names.
pub(crate) fn applicant_of(key: &[u8]) -> Option<NodeId> {
    NodeId::from_slice(key.get(APPLICANTS.len()..)?)
}

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

/// That the links of a node's entries are kept.
pub(crate) fn links_of(node: NodeId) -> Vec<u8> {
    [LINKS, node.as_bytes()].concat()
}

pub(crate) fn link(node: NodeId, entry: EntryId) -> Vec<u8> {
    [LINKS, node.as_bytes(), entry.as_bytes()].concat()
}

/// Returns the node and, if there is one, the entry that a key made by `link` or `links_of` names.
pub(crate) fn link_of(key: &[u8]) -> Option<(NodeId, Option<EntryId>)> {
    let (node, entry) = key.get(LINKS.len()..)?.split_at_checked(NodeId::BYTES)?;
    Some((NodeId::from_slice(node)?, EntryId::from_slice(entry)))
}

pub(crate) fn barred_from(invite: InviteId) -> Vec<u8> {
    [BARRED, invite.as_bytes()].concat()
}

pub(crate) fn barred(invite: InviteId, node: NodeId) -> Vec<u8> {
    [BARRED, invite.as_bytes(), node.as_bytes()].concat()
}

pub(crate) fn changes_of(bead: BeadId) -> Vec<u8> {
    [CHANGES, bead.as_bytes()].concat()
}

pub(crate) fn change(bead: BeadId, change: ChangeHash) -> Vec<u8> {
    [CHANGES, bead.as_bytes(), change.as_bytes()].concat()
}

/// One more entry that carries a change, whose own key is given.
pub(crate) fn carrier(change: &[u8], entry: EntryId) -> Vec<u8> {
    [change, entry.as_bytes()].concat()
}

pub(crate) fn bead(id: BeadId) -> Vec<u8> {
    [BEADS, id.as_bytes()].concat()
}

pub(crate) fn waits(id: BeadId) -> Vec<u8> {
    [WAITS, id.as_bytes()].concat()
}

pub(crate) fn token(agent: AgentId) -> Vec<u8> {
    [TOKENS, agent.as_bytes()].concat()
}

pub(crate) fn own_claim(claim: ClaimId) -> Vec<u8> {
    [OWN_CLAIMS, claim.as_bytes()].concat()
}

pub(crate) fn lease_news(letter: LetterId) -> Vec<u8> {
    [LEASE_NEWS, letter.as_bytes()].concat()
}

pub(crate) fn claim_facts(claim: ClaimId) -> Vec<u8> {
    [CLAIM_FACTS, claim.as_bytes()].concat()
}

pub(crate) fn open_claim(claim: ClaimId) -> Vec<u8> {
    [OPEN_CLAIMS, claim.as_bytes()].concat()
}

pub(crate) fn fenced_on(bead: BeadId) -> Vec<u8> {
    [FENCED, bead.as_bytes()].concat()
}

pub(crate) fn fenced(bead: BeadId, claim: ClaimId) -> Vec<u8> {
    [FENCED, bead.as_bytes(), claim.as_bytes()].concat()
}

pub(crate) fn closings_of(bead: BeadId) -> Vec<u8> {
    [CLOSINGS, bead.as_bytes()].concat()
}

pub(crate) fn stale(bead: BeadId) -> Vec<u8> {
    [STALE, bead.as_bytes()].concat()
}

pub(crate) fn closing(bead: BeadId, change: ChangeHash, author: NodeId) -> Vec<u8> {
    [CLOSINGS, bead.as_bytes(), change.as_bytes(), author.as_bytes()].concat()
}

pub(crate) fn carried_of(letter: LetterId) -> Vec<u8> {
    [CARRIED, letter.as_bytes()].concat()
}

pub(crate) fn carried(letter: LetterId, author: NodeId) -> Vec<u8> {
    [CARRIED, letter.as_bytes(), author.as_bytes()].concat()
}

/// What one entry says, of all that a node has said over and over: in the order of hybrid times.
pub(crate) fn said_in(list: &[u8], hlc: Timestamp, entry: EntryId) -> Vec<u8> {
    [list, &hlc.as_u64().to_be_bytes(), entry.as_bytes()].concat()
}

/// Entries with letters that say they are from an agent, with effect or without.
pub(crate) fn letters_from(agent: AgentId) -> Vec<u8> {
    [b"Lf", agent.as_bytes().as_slice()].concat()
}

pub(crate) fn letters_from_in(agent: AgentId, entry: EntryId) -> Vec<u8> {
    [b"Lf", agent.as_bytes().as_slice(), entry.as_bytes()].concat()
}

/// How far the review of an agent's letters has come.
pub(crate) fn review(agent: AgentId) -> Vec<u8> {
    [REVIEWS, agent.as_bytes()].concat()
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
    [b"Lb", blob.as_bytes().as_slice()].concat()
}

/// Of those the ones that were written on a node.
pub(crate) fn carrying_of(blob: BlobHash, node: NodeId) -> Vec<u8> {
    [b"Lb", blob.as_bytes().as_slice(), node.as_bytes()].concat()
}

/// Puts a letter behind one of these lists, the newest first.
pub(crate) fn newest_first(list: Vec<u8>, hlc: Timestamp, letter: LetterId) -> Vec<u8> {
    [list, (!hlc.as_u64()).to_be_bytes().to_vec(), letter.as_bytes().to_vec()].concat()
}

/// How many of those there are; absent for none.
pub(crate) fn unread_count(agent: AgentId) -> Vec<u8> {
    [b"Lv", agent.as_bytes().as_slice()].concat()
}

/// Letters of a thread, by the hash of its name, the oldest first.
pub(crate) fn thread(hash: &[u8; 16]) -> Vec<u8> {
    [b"Lt", hash.as_slice()].concat()
}

/// Puts a letter behind the list of a thread, or of an agent's system letters in one, the oldest first.
pub(crate) fn oldest_first(list: Vec<u8>, hlc: Timestamp, letter: LetterId) -> Vec<u8> {
    [list, hlc.as_u64().to_be_bytes().to_vec(), letter.as_bytes().to_vec()].concat()
}

/// How many of those there are; absent for none.
pub(crate) fn thread_count(hash: &[u8; 16]) -> Vec<u8> {
    [b"Lm", hash.as_slice()].concat()
}

/// Letters of a thread that no other letter of it names.
pub(crate) fn heads(hash: &[u8; 16]) -> Vec<u8> {
    [b"Lh", hash.as_slice()].concat()
}

/// Letters of a thread that name a letter.
pub(crate) fn naming(letter: LetterId, thread: &[u8; 16]) -> Vec<u8> {
    [b"Ln", letter.as_bytes().as_slice(), thread].concat()
}

/// Returns under which key the letters of a list are counted, if they are.
pub(crate) fn count_of(list: &[u8]) -> Option<Vec<u8>> {
    let (kind, name) = list.split_at_checked(2)?;
    match kind {
        b"Lu" => Some([b"Lv", name].concat()),
        b"Lt" => Some([b"Lm", name].concat()),
        b"Lj" => Some([b"Lx", name].concat()),
        _ => None,
    }
}

pub(crate) fn system(id: LetterId) -> Vec<u8> {
    [SYSTEM, id.as_bytes()].concat()
}

/// System letters about what a bead waits for.
pub(crate) fn system_on(waiting: BeadId) -> Vec<u8> {
    [b"Lw", waiting.as_bytes().as_slice()].concat()
}

/// System letters of an agent in a thread, the oldest first.
pub(crate) fn system_in(hash: &[u8; 16], agent: AgentId) -> Vec<u8> {
    [b"Lj", hash.as_slice(), agent.as_bytes()].concat()
}

/// How many of those there are; absent for none.
pub(crate) fn system_count(hash: &[u8; 16], agent: AgentId) -> Vec<u8> {
    [b"Lx", hash.as_slice(), agent.as_bytes()].concat()
}

/// An acknowledgement that is overdue from a time on.
pub(crate) fn awaited(due: Wall, letter: LetterId, recipient: AgentId) -> Vec<u8> {
    [AWAITED, &due.as_millis().to_be_bytes(), letter.as_bytes(), recipient.as_bytes()].concat()
}

/// Returns the time, the letter and the recipient that a key made by `awaited` names.
pub(crate) fn awaited_of(key: &[u8]) -> Option<(Wall, LetterId, AgentId)> {
    let (due, rest) = key.get(AWAITED.len()..)?.split_first_chunk()?;
    let (letter, recipient) = rest.split_first_chunk()?;
    let due = Wall::from_millis(u64::from_be_bytes(*due));
    Some((due, LetterId::from_bytes(*letter), AgentId::from_slice(recipient)?))
}

pub(crate) fn receipt(letter: LetterId, agent: AgentId, kind: ReceiptKind, author: NodeId) -> Vec<u8> {
    let kind = match kind {
        ReceiptKind::Read => 0,
        ReceiptKind::Acknowledged => 1,
    };
    [b"Lr", letter.as_bytes().as_slice(), agent.as_bytes(), &[kind], author.as_bytes()].concat()
}
