//! Operations: what entries say. Each kind has one number, one canonical body and one owner that gives it effect.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::entry::{DATA_KIND_MIN, FOUND_KIND, RawOp};
use crate::id::{BeadId, EntryId, InviteId, NodeId};
use crate::limits::{
    ADDRESS_BYTES_MAX, ADDRESSES_MAX, CONTROL_HEADS_MAX, NAME_BYTES_MAX, PROJECT_KEY_BYTES_MAX, PROJECT_KEYS_MAX,
};

const ADMIT_KIND: u16 = 1;
const NODE_KIND: u16 = 2;
const PROJECT_KIND: u16 = 3;
const BEAD_KIND: u16 = DATA_KIND_MIN;

/// One operation in the form that the parts work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Founds a mesh; only as the first operation of the founding entry.
    Found(Found),
    /// Lets a node into the mesh.
    Admit(Admit),
    /// Says what a node is called and where it can be reached; written by the node itself.
    Node(NodeFacts),
    /// Says that some keys name one project.
    Project(ProjectKeys),
    /// Changes a bead.
    Bead(BeadChange),
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
    /// Encodes the operation.
    pub fn encode(&self) -> RawOp {
        match self {
            Self::Found(found) => raw(FOUND_KIND, found),
            Self::Admit(admit) => raw(ADMIT_KIND, admit),
            Self::Node(facts) => raw(NODE_KIND, facts),
            Self::Project(keys) => raw(PROJECT_KIND, keys),
            Self::Bead(change) => raw(BEAD_KIND, change),
        }
    }

    /// Decodes an operation and checks the bounds of its fields.
    ///
    /// # Errors
    /// When this version gives the operation no effect.
    pub fn decode(raw: &RawOp) -> Result<Self, OpError> {
        match raw.kind {
            FOUND_KIND => {
                let found: Found = body(raw)?;
                within("name", found.name.len().max(found.node_name.len()), NAME_BYTES_MAX)?;
                Ok(Self::Found(found))
            }
            ADMIT_KIND => {
                let admit: Admit = body(raw)?;
                within("seen", admit.seen.len(), CONTROL_HEADS_MAX)?;
                within("name", admit.name.len(), NAME_BYTES_MAX)?;
                Ok(Self::Admit(admit))
            }
            NODE_KIND => {
                let facts: NodeFacts = body(raw)?;
                within("seen", facts.seen.len(), CONTROL_HEADS_MAX)?;
                within("name", facts.name.len(), NAME_BYTES_MAX)?;
                within("addresses", facts.addresses.len(), ADDRESSES_MAX)?;
                let longest = facts.addresses.iter().map(String::len).max().unwrap_or(0);
                within("address", longest, ADDRESS_BYTES_MAX)?;
                Ok(Self::Node(facts))
            }
            PROJECT_KIND => {
                let keys: ProjectKeys = body(raw)?;
                within("keys", keys.keys.len(), PROJECT_KEYS_MAX)?;
                let longest = keys.keys.iter().map(String::len).max().unwrap_or(0);
                within("key", longest, PROJECT_KEY_BYTES_MAX)?;
                within("prefix", keys.prefix.as_ref().map_or(0, String::len), NAME_BYTES_MAX)?;
                Ok(Self::Project(keys))
            }
            BEAD_KIND => Ok(Self::Bead(body(raw)?)),
            kind => Err(OpError::UnknownKind(kind)),
        }
    }
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

    #[test]
    fn every_operation_reads_back() {
        let ops = [
            Op::Found(Found { name: "home".into(), recovery: [1; 32], node_name: "box".into() }),
            Op::Admit(Admit {
                seen: vec![EntryId::from_bytes([3; 32])],
                node: NodeId::from_bytes([4; 32]),
                name: "laptop".into(),
                role: Role::Member,
                invite: None,
            }),
            Op::Node(NodeFacts { seen: vec![], name: "box".into(), addresses: vec!["/ip4/127.0.0.1/tcp/1".into()] }),
            Op::Project(ProjectKeys { keys: vec!["github.com/a/b".into()], prefix: Some("b".into()) }),
            Op::Bead(BeadChange { bead: BeadId::from_bytes([5; 16]), change: vec![1, 2, 3] }),
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
}
