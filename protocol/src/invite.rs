//! Invites: the ticket a person hands over, and the two messages by which its holder is let in.
//!
//! The secret never crosses the wire: the joiner proves it by a keyed hash over mesh, inviter and joiner, so an
//! overheard proof serves nobody else. The link below has already proved both node keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::Wall;
use crate::entry::{Entry, Sealed};
use crate::id::{InviteId, MeshId, NodeId, base32};
use crate::limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, NAME_BYTES_MAX, WIRE_VERSION};
use crate::op::Role;

const TICKET_MARK: &str = "bm1";
const CHECKSUM_BYTES: usize = 4;
const TICKET_CHARS_MAX: usize = 8 * 1024;

/// Characters of a node's id in its fingerprint.
const FINGERPRINT_CHARS: usize = 12;

/// What makes a ticket worth something: 128 random bits, known to inviter and joiner.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Wraps random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the name under which the inviter keeps the invite.
    pub fn invite(&self) -> InviteId {
        let hash = blake3::derive_key("beadmesh 2026 invite id v1", &self.0);
        InviteId::from_slice(&hash[..InviteId::BYTES]).expect("16 of 32 bytes")
    }

    /// Returns the proof that `joiner` knows the secret.
    pub fn prove(&self, mesh: MeshId, inviter: NodeId, joiner: NodeId) -> [u8; 32] {
        let key = blake3::derive_key("beadmesh 2026 invite proof v1", &self.0);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(mesh.as_bytes()).update(inviter.as_bytes()).update(joiner.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What `invite` prints and `join` reads: one string, `bm1` and base32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The mesh to join.
    pub mesh: MeshId,
    /// The node to ask.
    pub inviter: NodeId,
    /// Where to find it, as multiaddresses.
    pub addresses: Vec<String>,
    /// The secret.
    pub secret: Secret,
    /// Until when the invite is open, by the inviter's clock.
    pub expires: Wall,
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not begin as tickets do.
    #[error("a ticket begins with {TICKET_MARK}")]
    NoMark,
    /// It is longer than any ticket.
    #[error("a ticket has at most {TICKET_CHARS_MAX} characters, this has {0}")]
    TooLong(usize),
    /// A character was lost, changed or added.
    #[error("the ticket is damaged: copy it again, whole")]
    Damaged,
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(&checksum.as_bytes()[..CHECKSUM_BYTES]);
        write!(f, "{TICKET_MARK}{}", base32(&bytes))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.len() > TICKET_CHARS_MAX {
            return Err(TicketError::TooLong(text.len()));
        }
        let encoded = text.strip_prefix(TICKET_MARK).ok_or(TicketError::NoMark)?;
        let bytes = data_encoding::BASE32_NOPAD_NOCASE.decode(encoded.as_bytes()).map_err(|_| TicketError::Damaged)?;
        let split = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(TicketError::Damaged)?;
        let (body, checksum) = bytes.split_at(split);
        if blake3::hash(body).as_bytes()[..CHECKSUM_BYTES] != *checksum {
            return Err(TicketError::Damaged);
        }
        let ticket: Self = postcard::from_bytes(body).map_err(|_| TicketError::Damaged)?;
        let fits = ticket.addresses.len() <= ADDRESSES_MAX
            && ticket.addresses.iter().all(|address| address.len() <= ADDRESS_BYTES_MAX);
        if fits { Ok(ticket) } else { Err(TicketError::Damaged) }
    }
}

/// Why bytes are not a message of a join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message of a join does not decode")]
pub struct MessageError;

/// What a joiner sends on `/beadmesh/join/1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The wire version the joiner speaks.
    pub version: u16,
    /// The invite it was given.
    pub invite: InviteId,
    /// Its proof of the invite's secret.
    pub proof: [u8; 32],
    /// What it wants to be called.
    pub name: String,
}

/// What the inviter answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// Let in: control entries that say so, the founding entry first; all others come over a link.
    Welcome(Vec<Sealed>),
    /// Not let in.
    Refused(JoinRefusal),
}

/// Why a joiner is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// No such invite, or the proof is wrong; told apart by nobody.
    #[error("the ticket is not valid here")]
    UnknownTicket,
    /// The invite has been used by another node.
    #[error("the ticket has been used")]
    UsedTicket,
    /// The invite is over.
    #[error("the ticket has expired")]
    ExpiredTicket,
    /// The versions do not fit.
    #[error("the inviter speaks wire version {0}")]
    Version(u16),
    /// The mesh has as many nodes as it may.
    #[error("the mesh is full")]
    MeshFull,
    /// The request breaks a limit.
    #[error("the request is malformed: a name has 1 to {NAME_BYTES_MAX} bytes, without control characters")]
    Malformed,
    /// The inviter is no admin any more.
    #[error("the inviter may not let nodes in any more")]
    NotAdmin,
    /// What a joiner needs to know of the mesh does not fit one answer.
    #[error("the mesh has too long a history of admissions to let another node in")]
    TooLong,
    /// The node was removed from the mesh while the invite was open.
    #[error("this node was removed from the mesh; only a ticket made since lets it in again")]
    Removed,
    /// Nobody has approved the node yet; it may ask again.
    #[error("nobody has approved this node yet")]
    Pending,
    /// An admin has turned the node away.
    #[error("an admin has turned this node away; only another ticket lets it ask again")]
    Denied,
    /// As many nodes as may wait for approval do so.
    #[error("too many nodes wait to be approved")]
    Crowded,
}

impl JoinRequest {
    /// Encodes the request.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a request.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode(bytes)
    }
}

impl JoinAnswer {
    /// Returns how many bytes a welcome of one entry adds to at most: the entry, its signature and both lengths.
    pub fn entry_bytes(entry: &Entry) -> usize {
        entry.bytes_len() + 64 + 8
    }

    /// Encodes the answer.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes an answer; the entries in it are not checked yet.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode(bytes)
    }
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("messages of a join have a postcard form")
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(MessageError),
    }
}

/// An invite as its inviter keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// The secret.
    pub secret: Secret,
    /// Until when it is open; once its last use is taken, when that was.
    pub expires: Wall,
    /// How many nodes may still come by it.
    pub uses_left: u32,
    /// Who came by it; these may repeat a join whose answer was lost.
    pub used_by: Vec<NodeId>,
    /// What those who come by it may do.
    pub role: Role,
    /// Whether an admin has to approve each of those who come.
    pub approval: bool,
}

/// A node that has come by an invite which asks for approval, as the inviter keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applicant {
    /// The invite.
    pub invite: InviteId,
    /// What it wants to be called.
    pub name: String,
    /// When it first asked.
    pub since: Wall,
}

/// Returns what a person compares before approving a node: 60 bits of its key, in three groups.
///
/// Whoever wants another key with the same has to try 2^60 of them.
pub fn fingerprint(node: NodeId) -> String {
    let start = node.to_string()[..FINGERPRINT_CHARS].to_ascii_uppercase();
    let (first, rest) = start.split_at(FINGERPRINT_CHARS / 3);
    let (second, third) = rest.split_at(FINGERPRINT_CHARS / 3);
    format!("{first}-{second}-{third}")
}

/// Returns whether a person means that node by a fingerprint, or by more of its id.
pub fn is_fingerprint_of(text: &str, node: NodeId) -> bool {
    let chars = text.chars().filter(|char| *char != '-' && !char.is_whitespace());
    let start: String = chars.map(|char| char.to_ascii_lowercase()).collect();
    start.len() >= FINGERPRINT_CHARS && node.to_string().starts_with(&start)
}

impl Invite {
    /// Decides whether `joiner` may come in by this invite; the caller admits it and calls `take`.
    ///
    /// # Errors
    /// Why not.
    pub fn check(
        &self,
        mesh: MeshId,
        inviter: NodeId,
        joiner: NodeId,
        request: &JoinRequest,
        wall: Wall,
    ) -> Result<(), JoinRefusal> {
        if request.version != WIRE_VERSION {
            return Err(JoinRefusal::Version(WIRE_VERSION));
        }
        let expected = self.secret.prove(mesh, inviter, joiner);
        if !bool::from(expected.ct_eq(&request.proof)) {
            return Err(JoinRefusal::UnknownTicket);
        }
        if request.name.is_empty() || request.name.len() > NAME_BYTES_MAX || request.name.contains(char::is_control) {
            return Err(JoinRefusal::Malformed);
        }
        if self.used_by.contains(&joiner) {
            return Ok(());
        }
        if self.uses_left == 0 {
            return Err(JoinRefusal::UsedTicket);
        }
        if wall >= self.expires {
            return Err(JoinRefusal::ExpiredTicket);
        }
        Ok(())
    }

    /// Returns whether another node can still be let in by it.
    pub fn is_open(&self, wall: Wall) -> bool {
        self.uses_left > 0 && wall < self.expires
    }

    /// Counts a use by `joiner`, unless it is a repeated one; the last one ends the invite.
    pub fn take(&mut self, joiner: NodeId, wall: Wall) {
        if self.used_by.contains(&joiner) {
            return;
        }
        self.used_by.push(joiner);
        self.uses_left = self.uses_left.saturating_sub(1);
        // Whoever was approved comes to hear of it later.
        if self.uses_left == 0 && !self.approval {
            self.expires = self.expires.min(wall);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{NodeFacts, Op};
    use crate::testing::Author;

    const MESH: MeshId = MeshId::from_bytes([1; 32]);
    const INVITER: NodeId = NodeId::from_bytes([2; 32]);
    const JOINER: NodeId = NodeId::from_bytes([3; 32]);
    const THIEF: NodeId = NodeId::from_bytes([4; 32]);
    const NOON: Wall = Wall::from_millis(1_700_000_000_000);

    fn ticket() -> Ticket {
        Ticket {
            mesh: MESH,
            inviter: INVITER,
            addresses: vec!["/ip4/127.0.0.1/tcp/7117".into()],
            secret: Secret::from_bytes([5; 16]),
            expires: NOON,
        }
    }

    fn invite() -> Invite {
        let (secret, role) = (ticket().secret, Role::Member);
        Invite { secret, expires: NOON, uses_left: 1, used_by: vec![], role, approval: false }
    }

    fn request(joiner: NodeId) -> JoinRequest {
        let secret = ticket().secret;
        JoinRequest {
            version: WIRE_VERSION,
            invite: secret.invite(),
            proof: secret.prove(MESH, INVITER, joiner),
            name: "laptop".into(),
        }
    }

    #[test]
    fn a_fingerprint_is_the_start_of_an_id_in_any_case_with_or_without_dashes_and_less_is_none() {
        let text = fingerprint(JOINER);
        assert_eq!(text, "AMBQ-GAYD-AMBQ");
        for same in [&*text, "ambqgaydambq", " ambq gayd-ambq ", &JOINER.to_string()] {
            assert!(is_fingerprint_of(same, JOINER), "{same}");
            assert!(!is_fingerprint_of(same, THIEF), "{same}");
        }
        for less in ["", "-", "AMBQ-GAYD-AMB", "ambqgaydambr"] {
            assert!(!is_fingerprint_of(less, JOINER), "{less}");
        }
    }

    #[test]
    fn a_ticket_reads_back_and_any_changed_character_is_noticed() {
        let text = ticket().to_string();
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(format!(" {text}\n").parse(), Ok(ticket()));
        for index in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[index] = if bent[index] == b'x' { b'y' } else { b'x' };
            let bent = String::from_utf8(bent).unwrap();
            assert!(bent.parse::<Ticket>().is_err(), "{bent}");
        }
        assert_eq!("hello".parse::<Ticket>(), Err(TicketError::NoMark));
        assert_eq!("bm1".parse::<Ticket>(), Err(TicketError::Damaged));
    }

    #[test]
    fn messages_of_a_join_read_back_and_nothing_may_follow_them() {
        let mut bytes = request(JOINER).encode();
        assert_eq!(JoinRequest::decode(&bytes), Ok(request(JOINER)));
        bytes.push(0);
        assert_eq!(JoinRequest::decode(&bytes), Err(MessageError));
        let answer = JoinAnswer::Refused(JoinRefusal::MeshFull);
        assert_eq!(JoinAnswer::decode(&answer.encode()), Ok(answer));
    }

    #[test]
    fn an_invite_lets_in_who_proves_the_secret_once() {
        let mut invite = invite();
        let before = Wall::from_millis(NOON.as_millis() - 1);
        assert_eq!(invite.check(MESH, INVITER, JOINER, &request(JOINER), before), Ok(()));
        invite.take(JOINER, before);
        assert_eq!(invite.expires, before, "nobody else can come any more");
        assert_eq!(invite.check(MESH, INVITER, JOINER, &request(JOINER), NOON), Ok(()), "a lost answer is repeated");
        let other = invite.check(MESH, INVITER, THIEF, &request(THIEF), before);
        assert_eq!(other, Err(JoinRefusal::UsedTicket));
    }

    #[test]
    fn an_overheard_proof_serves_nobody_else() {
        let overheard = request(JOINER);
        let answer = invite().check(MESH, INVITER, THIEF, &overheard, Wall::default());
        assert_eq!(answer, Err(JoinRefusal::UnknownTicket));
    }

    #[test]
    fn an_expired_invite_and_a_foreign_version_are_named() {
        assert_eq!(invite().check(MESH, INVITER, JOINER, &request(JOINER), NOON), Err(JoinRefusal::ExpiredTicket));
        let mut old = request(JOINER);
        old.version = 0;
        let answer = invite().check(MESH, INVITER, JOINER, &old, Wall::default());
        assert_eq!(answer, Err(JoinRefusal::Version(WIRE_VERSION)));
    }

    #[test]
    fn a_name_that_would_steer_a_terminal_is_refused() {
        for name in ["", "lap\x1b[2Jtop", "lap\ntop", &"x".repeat(NAME_BYTES_MAX + 1)] {
            let request = JoinRequest { name: name.to_owned(), ..request(JOINER) };
            let answer = invite().check(MESH, INVITER, JOINER, &request, Wall::default());
            assert_eq!(answer, Err(JoinRefusal::Malformed), "{name:?}");
        }
    }

    #[test]
    fn a_welcome_is_no_longer_than_what_its_entries_are_counted_for() {
        let author = Author::seeded(1);
        for name in ["", "a", &"long".repeat(16)] {
            let facts = NodeFacts { seen: vec![], name: name.into(), addresses: vec!["x".repeat(256); 16] };
            let entry = author.entry(MESH, u64::MAX, Wall::default(), &[Op::Node(facts)]);
            let bytes = JoinAnswer::Welcome(vec![entry.seal(); 200]).encode().len();
            assert!(bytes <= 16 + 200 * JoinAnswer::entry_bytes(&entry), "{bytes}");
        }
    }
}
