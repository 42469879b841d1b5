//! Operations: what entries say. Each kind has one number, one canonical body and one owner that gives it effect.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::agent;
use crate::claim::{Claim, Closing, Fence, Unclaim};
use crate::entry::{DATA_KIND_MIN, FOUND_KIND, RawOp};
use crate::id::{BeadId, EntryId, InstanceId, InviteId, NodeId, ProjectId};
use crate::lease::{Handover, Proposal, Recovery};
use crate::limits::{
    ADDRESS_BYTES_MAX, ADDRESSES_MAX, AGENT_TASK_BYTES_MAX, AGENT_WORD_BYTES_MAX, ATTACHMENT_BYTES_MAX,
    ATTACHMENT_NAME_BYTES_MAX, ATTACHMENTS_MAX, CLAIM_SEEN_MAX, CONTROL_HEADS_MAX, CUT_ENDS_MAX, FENCE_CLOSES_MAX,
    LETTER_BODY_BYTES_MAX, LETTER_SEEN_MAX, NAME_BYTES_MAX, PROJECT_KEY_BYTES_MAX, PROJECT_KEYS_MAX, RECIPIENTS_MAX,
    SUBJECT_BYTES_MAX, THREAD_BYTES_MAX, VOTERS_MAX,
};
use crate::mail::{Letter, Receipt};
use crate::roster::Ownership;

const ADMIT_KIND: u16 = 1;
const NODE_KIND: u16 = 2;
const PROJECT_KIND: u16 = 3;
const AGENT_KIND: u16 = 4;
const PROPOSAL_KIND: u16 = 5;
const HANDOVER_KIND: u16 = 6;
const RECOVERY_KIND: u16 = 7;
const REMOVE_KIND: u16 = 8;
const NAME_KIND: u16 = 9;
const OWN_KIND: u16 = 10;
const BEAD_KIND: u16 = DATA_KIND_MIN;
const LETTER_KIND: u16 = DATA_KIND_MIN + 1;
const RECEIPT_KIND: u16 = DATA_KIND_MIN + 2;
const CLAIM_KIND: u16 = DATA_KIND_MIN + 3;
const FENCE_KIND: u16 = DATA_KIND_MIN + 4;
const UNCLAIM_KIND: u16 = DATA_KIND_MIN + 5;
const CLOSING_KIND: u16 = DATA_KIND_MIN + 6;

/// One operation in the form that the parts work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Founds a mesh; only as the first operation of the founding entry.
    Found(Found),
    /// Lets a node into the mesh.
    Admit(Admit),
    /// Takes a node out of the mesh, or leaves it in a lesser role.
    Remove(Removal),
    /// Gives a node a name.
    Name(Naming),
    /// Gives the mesh to another owner.
    Own(Ownership),
    /// Says what a node is called and where it can be reached; written by the node itself.
    Node(NodeFacts),
    /// Says that some keys name one project.
    Project(ProjectKeys),
    /// Says who an agent of the author's node is.
    Agent(AgentFacts),
    /// Changes a bead.
    Bead(BeadChange),
    /// Carries a letter.
    Letter(Box<Letter>),
    /// Says that an agent has read or acknowledged a letter.
    Receipt(Receipt),
    /// Proposes other voters.
    Proposal(Proposal),
    /// Hands over a part of what a voter keeps.
    Handover(Box<Handover>),
    /// Names voters after a majority was lost.
    Recovery(Recovery),
    /// Says that an agent works on something.
    Claim(Box<Claim>),
    /// Shows that a claim has a lease.
    Fence(Box<Fence>),
    /// Ends a claim.
    Unclaim(Unclaim),
    /// Says under which lease a bead was closed.
    Closing(Closing),
}

/// Founds a mesh. The author of the founding entry is its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What people call the mesh.
    pub name: String,
    /// The public half of the recovery key.
    pub recovery: [u8; 32],
    /// What people call the founding node.
    pub node_name: String,
}

/// Lets a node into the mesh, or gives it another role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// The control heads the author saw; authority is judged there.
    pub seen: Vec<EntryId>,
    /// The node let in.
    pub node: NodeId,
    /// What people call it until it says otherwise.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The invite it came by.
    pub invite: Option<InviteId>,
}

/// Takes from a node what it was given before: it leaves the mesh, or stays in a lesser role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The control heads the author saw; authority is judged there.
    pub seen: Vec<EntryId>,
    /// The node.
    pub node: NodeId,
    /// What it may still do; nothing where it leaves the mesh.
    pub stays: Option<Role>,
    /// Where what it has written ends, unless it may go on writing: what leads to none of these by `prev` has no effect.
    pub cut: Vec<CutEnd>,
}

/// The last entry with effect of one instance of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CutEnd {
    /// The instance.
    pub instance: InstanceId,
    /// The entry.
    pub last: EntryId,
}

/// Gives a node a name, which counts before the one it gives itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Naming {
    /// The control heads the author saw; authority is judged there.
    pub seen: Vec<EntryId>,
    /// The node.
    pub node: NodeId,
    /// What people call it.
    pub name: String,
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads; what it writes has no effect.
    Observer,
    /// Reads and writes.
    Member,
    /// Also lets nodes in.
    Admin,
}

/// What a node says of itself; the last word counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// The control heads the author saw.
    pub seen: Vec<EntryId>,
    /// What people call it.
    pub name: String,
    /// Where it listens, as multiaddresses.
    pub addresses: Vec<String>,
}

/// Says that some keys name one project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectKeys {
    /// The keys, the strongest first: git remote, root commit, given name.
    pub keys: Vec<String>,
    /// What aliases minted in the project begin with.
    pub prefix: Option<String>,
}

/// Says who an agent of the author's node is; the last word counts, except that who is retired stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// What it is called on its node; letters of either case mean the same agent.
    pub name: String,
    /// The program that acts, such as a coding agent; empty where it is not said.
    pub program: String,
    /// The model that the program uses; empty where it is not said.
    pub model: String,
    /// What it works on; empty where it is not said.
    pub task: String,
    /// The project that it works in.
    pub project: Option<ProjectId>,
    /// Whether it acts no more.
    pub retired: bool,
}

/// Changes a bead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeadChange {
    /// The bead.
    pub bead: BeadId,
    /// One automerge change in its wire form.
    #[serde(with = "serde_bytes")]
    pub change: Vec<u8>,
}

/// Why an operation has no effect here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The kind is not known to this version.
    #[error("operation kind {0} is not known to this version")]
    UnknownKind(u16),
    /// The body does not decode, or is not canonical.
    #[error("operation body of kind {0} is malformed")]
    Malformed(u16),
    /// A field breaks its bound.
    #[error("operation field {field} exceeds its limit of {limit}")]
    OverLimit {
        /// The field.
        field: &'static str,
        /// The bound, in bytes or items.
        limit: usize,
    },
}

impl Op {
    /// Returns whether an operation is a letter or a receipt, without decoding it.
    pub fn is_mail(raw: &RawOp) -> bool {
        matches!(raw.kind, LETTER_KIND | RECEIPT_KIND)
    }

    /// Returns whether an operation is about voters, without decoding it.
    pub fn is_of_voters(raw: &RawOp) -> bool {
        (PROPOSAL_KIND..=RECOVERY_KIND).contains(&raw.kind)
    }

    /// Returns whether an operation is about claims, without decoding it.
    pub fn is_claim(raw: &RawOp) -> bool {
        (CLAIM_KIND..=CLOSING_KIND).contains(&raw.kind)
    }

    /// Encodes the operation.
    pub fn encode(&self) -> RawOp {
        match self {
            Self::Found(found) => raw(FOUND_KIND, found),
            Self::Admit(admit) => raw(ADMIT_KIND, admit),
            Self::Remove(removal) => raw(REMOVE_KIND, removal),
            Self::Name(naming) => raw(NAME_KIND, naming),
            Self::Own(ownership) => raw(OWN_KIND, ownership),
            Self::Node(facts) => raw(NODE_KIND, facts),
            Self::Project(keys) => raw(PROJECT_KIND, keys),
            Self::Agent(facts) => raw(AGENT_KIND, facts),
            Self::Bead(change) => raw(BEAD_KIND, change),
            Self::Letter(letter) => raw(LETTER_KIND, letter.as_ref()),
            Self::Receipt(receipt) => raw(RECEIPT_KIND, receipt),
            Self::Proposal(proposal) => raw(PROPOSAL_KIND, proposal),
            Self::Handover(handover) => raw(HANDOVER_KIND, handover.as_ref()),
            Self::Recovery(recovery) => raw(RECOVERY_KIND, recovery),
            Self::Claim(claim) => raw(CLAIM_KIND, claim.as_ref()),
            Self::Fence(fence) => raw(FENCE_KIND, fence.as_ref()),
            Self::Unclaim(unclaim) => raw(UNCLAIM_KIND, unclaim),
            Self::Closing(closing) => raw(CLOSING_KIND, closing),
        }
    }

    /// Decodes an operation and checks the bounds of its fields.
    ///
    /// # Errors
    /// When this version gives the operation no effect.
    pub fn decode(raw: &RawOp) -> Result<Self, OpError> {
        let op = match raw.kind {
            FOUND_KIND => Self::Found(body(raw)?),
            ADMIT_KIND => Self::Admit(body(raw)?),
            REMOVE_KIND => Self::Remove(body(raw)?),
            NAME_KIND => Self::Name(body(raw)?),
            OWN_KIND => Self::Own(body(raw)?),
            NODE_KIND => Self::Node(body(raw)?),
            PROJECT_KIND => Self::Project(body(raw)?),
            AGENT_KIND => Self::Agent(body(raw)?),
            BEAD_KIND => Self::Bead(body(raw)?),
            LETTER_KIND => Self::Letter(body(raw)?),
            RECEIPT_KIND => Self::Receipt(body(raw)?),
            PROPOSAL_KIND => Self::Proposal(body(raw)?),
            HANDOVER_KIND => Self::Handover(body(raw)?),
            RECOVERY_KIND => Self::Recovery(body(raw)?),
            CLAIM_KIND => Self::Claim(body(raw)?),
            FENCE_KIND => Self::Fence(body(raw)?),
            UNCLAIM_KIND => Self::Unclaim(body(raw)?),
            CLOSING_KIND => Self::Closing(body(raw)?),
            kind => return Err(OpError::UnknownKind(kind)),
        };
        op.check()?;
        Ok(op)
    }

    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// Names the first field that breaks its bound.
    fn check(&self) -> Result<(), OpError> {
        match self {
            Self::Found(found) => within("name", found.name.len().max(found.node_name.len()), NAME_BYTES_MAX),
            Self::Admit(admit) => {
                within("seen", admit.seen.len(), CONTROL_HEADS_MAX)?;
                within("name", admit.name.len(), NAME_BYTES_MAX)
            }
            Self::Remove(removal) => {
                within("seen", removal.seen.len(), CONTROL_HEADS_MAX)?;
                within("cut", removal.cut.len(), CUT_ENDS_MAX)
            }
            Self::Name(naming) => {
                within("seen", naming.seen.len(), CONTROL_HEADS_MAX)?;
                if naming.name.is_empty() {
                    return Err(OpError::Malformed(NAME_KIND));
                }
                within("name", naming.name.len(), NAME_BYTES_MAX)
            }
            Self::Own(ownership) => within("seen", ownership.seen.len(), CONTROL_HEADS_MAX),
            Self::Node(facts) => {
                within("seen", facts.seen.len(), CONTROL_HEADS_MAX)?;
                within("name", facts.name.len(), NAME_BYTES_MAX)?;
                within("addresses", facts.addresses.len(), ADDRESSES_MAX)?;
                within("address", longest(&facts.addresses), ADDRESS_BYTES_MAX)
            }
            Self::Project(keys) => {
                within("keys", keys.keys.len(), PROJECT_KEYS_MAX)?;
                within("key", longest(&keys.keys), PROJECT_KEY_BYTES_MAX)?;
                within("prefix", keys.prefix.as_ref().map_or(0, String::len), NAME_BYTES_MAX)
            }
            Self::Agent(facts) => {
                within("name", facts.name.len(), NAME_BYTES_MAX)?;
                agent::check_name(&facts.name).map_err(|_| OpError::Malformed(AGENT_KIND))?;
                within("program", facts.program.len(), AGENT_WORD_BYTES_MAX)?;
                within("model", facts.model.len(), AGENT_WORD_BYTES_MAX)?;
                within("task", facts.task.len(), AGENT_TASK_BYTES_MAX)
            }
            Self::Letter(letter) => {
                within("thread", letter.thread.len(), THREAD_BYTES_MAX)?;
                within("to", letter.to.len().saturating_add(letter.cc.len()), RECIPIENTS_MAX)?;
                within("subject", letter.subject.len(), SUBJECT_BYTES_MAX)?;
                within("body", letter.body.len(), LETTER_BODY_BYTES_MAX)?;
                within("seen", letter.seen.len(), LETTER_SEEN_MAX)?;
                within("attachments", letter.attachments.len(), ATTACHMENTS_MAX)?;
                let names = letter.attachments.iter().map(|attachment| attachment.name.len());
                within("attachment", names.max().unwrap_or(0), ATTACHMENT_NAME_BYTES_MAX)?;
                let bytes = letter.attachments.iter().map(|attachment| attachment.bytes);
                let limit = usize::try_from(ATTACHMENT_BYTES_MAX).unwrap_or(usize::MAX);
                within("attachment", bytes.max().map_or(0, |max| usize::try_from(max).unwrap_or(usize::MAX)), limit)
            }
            Self::Claim(claim) => within("seen", claim.seen.len(), CLAIM_SEEN_MAX),
            Self::Fence(fence) => {
                within("closes", fence.closes.len(), FENCE_CLOSES_MAX)?;
                within("proof", fence.proof.len(), VOTERS_MAX)
            }
            Self::Bead(_)
            | Self::Receipt(_)
            | Self::Proposal(_)
            | Self::Handover(_)
            | Self::Recovery(_)
            | Self::Unclaim(_)
            | Self::Closing(_) => Ok(()),
        }
    }
}

fn longest(texts: &[String]) -> usize {
    texts.iter().map(String::len).max().unwrap_or(0)
}

fn raw<T: Serialize>(kind: u16, body: &T) -> RawOp {
    // Serialising into memory fails only for types postcard has no form for, and these have one.
    let body = postcard::to_stdvec(body).expect("operations have a postcard form");
    RawOp { kind, body }
}

fn body<T: Serialize + DeserializeOwned>(raw: &RawOp) -> Result<T, OpError> {
    let malformed = |_| OpError::Malformed(raw.kind);
    let value: T = postcard::from_bytes(&raw.body).map_err(malformed)?;
    let canonical = postcard::to_stdvec(&value).map_err(malformed)?;
    if canonical == raw.body { Ok(value) } else { Err(OpError::Malformed(raw.kind)) }
}

fn within(field: &'static str, size: usize, limit: usize) -> Result<(), OpError> {
    if size <= limit { Ok(()) } else { Err(OpError::OverLimit { field, limit }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AgentId, BlobHash, LetterId};
    use crate::mail::{Attachment, ReceiptKind};

    #[test]
    fn every_operation_reads_back() {
        let mut taken = Ownership::given(vec![], EntryId::from_bytes([3; 32]), NodeId::from_bytes([4; 32]));
        taken.recovery = Some([5; 64]);
        let ops = [
            Op::Found(Found { name: "home".into(), recovery: [1; 32], node_name: "box".into() }),
            Op::Admit(Admit {
                seen: vec![EntryId::from_bytes([3; 32])],
                node: NodeId::from_bytes([4; 32]),
                name: "laptop".into(),
                role: Role::Member,
                invite: None,
            }),
            Op::Remove(Removal {
                seen: vec![EntryId::from_bytes([3; 32])],
                node: NodeId::from_bytes([4; 32]),
                stays: Some(Role::Observer),
                cut: vec![CutEnd { instance: InstanceId::from_bytes([5; 8]), last: EntryId::from_bytes([6; 32]) }],
            }),
            Op::Name(Naming { seen: vec![], node: NodeId::from_bytes([4; 32]), name: "attic".into() }),
            Op::Own(taken),
            Op::Node(NodeFacts { seen: vec![], name: "box".into(), addresses: vec!["/ip4/127.0.0.1/tcp/1".into()] }),
            Op::Project(ProjectKeys { keys: vec!["github.com/a/b".into()], prefix: Some("b".into()) }),
            Op::Bead(BeadChange { bead: BeadId::from_bytes([5; 16]), change: vec![1, 2, 3] }),
            Op::Agent(crate::testing::agent("Ada")),
            Op::Letter(Box::new(crate::testing::letter(
                AgentId::from_bytes([6; 16]),
                &[AgentId::from_bytes([7; 16])],
                "hello",
            ))),
            Op::Receipt(Receipt {
                letter: LetterId::from_bytes([8; 16]),
                agent: AgentId::from_bytes([7; 16]),
                kind: ReceiptKind::Read,
            }),
        ];
        for op in ops {
            assert_eq!(Op::decode(&op.encode()), Ok(op));
        }
    }

    #[test]
    fn an_unknown_kind_and_a_trailing_byte_are_told_apart() {
        assert_eq!(Op::decode(&RawOp { kind: 999, body: vec![] }), Err(OpError::UnknownKind(999)));
        let mut op = Op::Bead(BeadChange { bead: BeadId::from_bytes([5; 16]), change: vec![] }).encode();
        op.body.push(0);
        assert_eq!(Op::decode(&op), Err(OpError::Malformed(BEAD_KIND)));
    }

    #[test]
    fn a_field_over_its_limit_is_named() {
        let op = Op::Node(NodeFacts { seen: vec![], name: "x".repeat(65), addresses: vec![] });
        assert_eq!(Op::decode(&op.encode()), Err(OpError::OverLimit { field: "name", limit: 64 }));
    }

    #[test]
    fn a_letter_or_an_agent_over_its_limits_has_no_effect() {
        let (ada, bob) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let letter = crate::testing::letter(ada, &[bob], "hello");
        let attachment = |name: &str, bytes| Attachment { hash: BlobHash::of(b""), name: name.to_owned(), bytes };
        for (letter, field) in [
            (Letter { subject: "x".repeat(257), ..letter.clone() }, "subject"),
            (Letter { body: "x".repeat(64 * 1024 + 1), ..letter.clone() }, "body"),
            (Letter { to: vec![bob; 40], cc: vec![bob; 25], ..letter.clone() }, "to"),
            (Letter { seen: vec![LetterId::from_bytes([1; 16]); 17], ..letter.clone() }, "seen"),
            (Letter { thread: "x".repeat(129), ..letter.clone() }, "thread"),
            (Letter { attachments: vec![attachment("x", 1); 9], ..letter.clone() }, "attachments"),
            (Letter { attachments: vec![attachment(&"x".repeat(256), 1)], ..letter.clone() }, "attachment"),
            (Letter { attachments: vec![attachment("x", 16 * 1024 * 1024 + 1)], ..letter }, "attachment"),
        ] {
            let decoded = Op::decode(&Op::Letter(Box::new(letter)).encode());
            assert!(matches!(decoded, Err(OpError::OverLimit { field: named, .. }) if named == field), "{field}");
        }
        let agent = Op::Agent(crate::testing::agent("two words")).encode();
        assert_eq!(Op::decode(&agent), Err(OpError::Malformed(AGENT_KIND)));
    }
}
