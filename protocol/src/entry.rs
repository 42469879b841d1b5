//! The entry: a signed record of one author carrying operations; the only thing that is stored and replicated.
//!
//! This file knows form only: canonical bytes, limits, hash, signature. Whether an author counts and what an operation
//! means is decided by `set` and by the parts that own the operations.

use std::sync::{Arc, OnceLock};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{EntryId, InstanceId, MeshId, NodeId};
use crate::limits::{ENTRY_BYTES_MAX, ENTRY_OPS_MAX, OP_BYTES_MAX};
use crate::op::Op;

/// Separates the hash of entries from every other use of BLAKE3.
const ENTRY_DOMAIN: &str = "beadmesh 2026 entry v1";

/// The lowest kind of a data operation; kinds below it belong to the control set.
pub const DATA_KIND_MIN: u16 = 64;

/// The kind of the founding operation; an entry that begins with it is hashed under no mesh.
pub const FOUND_KIND: u16 = 0;

/// One of the two replicated sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Set {
    /// Roster, voters, agents, projects: small, and reconciled first.
    Control,
    /// Beads, letters, receipts, claims.
    Data,
}

/// An operation as it travels: its kind and its body, whose form the kind decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawOp {
    /// What the body is; kinds this program does not know are kept and have no effect.
    pub kind: u16,
    /// Canonical postcard of the operation.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// What an author signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The node that wrote the entry.
    pub author: NodeId,
    /// The store opening in which it was written.
    pub instance: InstanceId,
    /// Counts the author's entries within the instance, from 1.
    pub n: u64,
    /// The author's entry before this one in the instance.
    pub prev: Option<EntryId>,
    /// When it was written, by the author's hybrid clock.
    pub hlc: Timestamp,
    /// What it says: 1 to `ENTRY_OPS_MAX` operations, all of one set.
    pub ops: Vec<RawOp>,
}

/// A signed entry whose form, hash and signature have been checked. Clones share it.
#[derive(Clone)]
pub struct Entry(Arc<Checked>);

/// What was checked.
struct Checked {
    id: EntryId,
    set: Set,
    content: Content,
    bytes: Vec<u8>,
    signature: [u8; 64],
    /// The operations of a control entry, once they were asked for.
    control: OnceLock<Vec<Op>>,
}

/// An entry as it lies in a frame or on disk: unchecked bytes and signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Canonical postcard of the content.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// The author's ed25519 signature over the entry's id.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Why bytes are not an entry of this mesh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The entry is longer than any may be.
    #[error("entry of {bytes} bytes exceeds the limit of {ENTRY_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The bytes do not decode.
    #[error("entry does not decode: {0}")]
    Malformed(postcard::Error),
    /// The bytes decode, but are not the one encoding of what they say.
    #[error("entry is not in canonical form")]
    NotCanonical,
    /// The entry carries no operation, or too many.
    #[error("entry carries {ops} operations, allowed are 1 to {ENTRY_OPS_MAX}")]
    OpCount {
        /// How many it carries.
        ops: usize,
    },
    /// One operation is longer than any may be.
    #[error("operation {index} of {bytes} bytes exceeds the limit of {OP_BYTES_MAX}")]
    OpTooLong {
        /// Its place in the entry.
        index: usize,
        /// Its length.
        bytes: usize,
    },
    /// The entry mixes control and data operations.
    #[error("entry mixes control and data operations")]
    MixedSets,
    /// The founding entry of another mesh, or a founding operation where none belongs.
    #[error("founding operation of another mesh")]
    ForeignFounding,
    /// The author is not a valid public key.
    #[error("author {0} is not an ed25519 public key")]
    BadAuthor(NodeId),
    /// The signature is not the author's.
    #[error("signature of entry {0} is not its author's")]
    BadSignature(EntryId),
}

impl Content {
    /// Encodes, hashes and signs the content as an entry of `mesh`.
    ///
    /// # Errors
    /// When the content breaks a limit.
    pub fn sign(self, mesh: MeshId, key: &SigningKey) -> Result<Entry, EntryError> {
        let bytes = postcard::to_stdvec(&self).map_err(EntryError::Malformed)?;
        let set = check_form(&self, &bytes)?;
        let id = hash(mesh, &self, &bytes)?;
        let signature = key.sign(id.as_bytes()).to_bytes();
        Ok(Entry::of(id, set, self, bytes, signature))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0.id, self.0.signature) == (other.0.id, other.0.signature)
    }
}

impl Eq for Entry {}

impl Entry {
    fn of(id: EntryId, set: Set, content: Content, bytes: Vec<u8>, signature: [u8; 64]) -> Self {
        Self(Arc::new(Checked { id, set, content, bytes, signature, control: OnceLock::new() }))
    }

    /// Checks a sealed entry: length, canonical form, limits, hash and signature, the cheap checks first.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn open(mesh: MeshId, sealed: Sealed) -> Result<Self, EntryError> {
        let entry = Self::open_trusted(mesh, sealed)?;
        let Checked { id, content, signature, .. } = &*entry.0;
        let author = VerifyingKey::from_bytes(content.author.as_bytes());
        let author = author.map_err(|_| EntryError::BadAuthor(content.author))?;
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        author.verify_strict(id.as_bytes(), &signature).map_err(|_| EntryError::BadSignature(*id))?;
        Ok(entry)
    }

    /// Opens a sealed entry from our own store, whose signature was checked before it was written.
    ///
    /// # Errors
    /// The first check of form that fails.
    pub fn open_trusted(mesh: MeshId, sealed: Sealed) -> Result<Self, EntryError> {
        let Sealed { bytes, signature } = sealed;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong { bytes: bytes.len() });
        }
        let content: Content = postcard::from_bytes(&bytes).map_err(EntryError::Malformed)?;
        if postcard::to_stdvec(&content).map_err(EntryError::Malformed)? != bytes {
            return Err(EntryError::NotCanonical);
        }
        let set = check_form(&content, &bytes)?;
        let id = hash(mesh, &content, &bytes)?;
        Ok(Self::of(id, set, content, bytes, signature))
    }

    /// Returns the hash that names the entry.
    pub fn id(&self) -> EntryId {
        self.0.id
    }

    /// Returns the set the entry belongs to.
    pub fn set(&self) -> Set {
        self.0.set
    }

    /// Returns what the author signed.
    pub fn content(&self) -> &Content {
        &self.0.content
    }

    /// Returns the operations of a control entry that this version gives effect; none of a data entry, which may be large.
    pub fn control_ops(&self) -> &[Op] {
        let decode = || self.0.content.ops.iter().filter_map(|raw| Op::decode(raw).ok()).collect();
        if self.0.set == Set::Control { self.0.control.get_or_init(decode) } else { &[] }
    }

    /// Returns the length of the encoded content in bytes, without the signature.
    pub fn bytes_len(&self) -> usize {
        self.0.bytes.len()
    }

    /// Returns the form that travels and is stored.
    pub fn seal(&self) -> Sealed {
        Sealed { bytes: self.0.bytes.clone(), signature: self.0.signature }
    }

    /// Returns whether this is a founding entry.
    pub fn is_founding(&self) -> bool {
        self.0.content.is_founding()
    }
}

impl Content {
    fn is_founding(&self) -> bool {
        self.ops.first().is_some_and(|op| op.kind == FOUND_KIND)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.0.id).field("content", &self.0.content).finish_non_exhaustive()
    }
}

/// Checks the limits that content alone decides and returns the set it belongs to.
fn check_form(content: &Content, bytes: &[u8]) -> Result<Set, EntryError> {
    if bytes.len() > ENTRY_BYTES_MAX {
        return Err(EntryError::TooLong { bytes: bytes.len() });
    }
    let ops = &content.ops;
    if ops.is_empty() || ops.len() > ENTRY_OPS_MAX {
        return Err(EntryError::OpCount { ops: ops.len() });
    }
    if let Some((index, op)) = ops.iter().enumerate().find(|(_, op)| op.body.len() > OP_BYTES_MAX) {
        return Err(EntryError::OpTooLong { index, bytes: op.body.len() });
    }
    if ops.iter().skip(1).any(|op| op.kind == FOUND_KIND) {
        return Err(EntryError::ForeignFounding);
    }
    let data = ops.iter().filter(|op| op.kind >= DATA_KIND_MIN).count();
    match data {
        0 => Ok(Set::Control),
        all if all == ops.len() => Ok(Set::Data),
        _ => Err(EntryError::MixedSets),
    }
}

/// Hashes encoded content; a founding entry is hashed under no mesh, and its hash must then be the mesh.
fn hash(mesh: MeshId, content: &Content, bytes: &[u8]) -> Result<EntryId, EntryError> {
    let founding = content.is_founding();
    let under = if founding { MeshId::NONE } else { mesh };
    let mut hasher = blake3::Hasher::new_derive_key(ENTRY_DOMAIN);
    hasher.update(under.as_bytes());
    hasher.update(bytes);
    let id = EntryId::from_bytes(*hasher.finalize().as_bytes());
    if founding && mesh != MeshId::NONE && MeshId::from(id) != mesh {
        return Err(EntryError::ForeignFounding);
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Wall;

    const MESH: MeshId = MeshId::from_bytes([9; 32]);

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[1; 32])
    }

    fn content(kinds: &[u16]) -> Content {
        Content {
            author: NodeId::from_bytes(key().verifying_key().to_bytes()),
            instance: InstanceId::from_bytes([2; 8]),
            n: 1,
            prev: None,
            hlc: Timestamp::from_wall(Wall::from_millis(1_700_000_000_000)),
            ops: kinds.iter().map(|&kind| RawOp { kind, body: vec![1, 2, 3] }).collect(),
        }
    }

    #[test]
    fn a_signed_entry_opens_again_as_the_same_entry() {
        let entry = content(&[64, 65]).sign(MESH, &key()).unwrap();
        assert_eq!(Entry::open(MESH, entry.seal()), Ok(entry.clone()));
        assert_eq!(entry.set(), Set::Data);
    }

    #[test]
    fn an_entry_of_one_mesh_is_not_one_of_another() {
        let entry = content(&[64]).sign(MESH, &key()).unwrap();
        let other = MeshId::from_bytes([8; 32]);
        assert!(matches!(Entry::open(other, entry.seal()), Err(EntryError::BadSignature(_))));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = content(&[64]).sign(MESH, &key()).unwrap().seal();
        for bit in 0..sealed.bytes.len() * 8 {
            let mut bent = sealed.clone();
            bent.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::open(MESH, bent).is_err(), "bit {bit}");
        }
        for bit in 0..512 {
            let mut bent = sealed.clone();
            bent.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(Entry::open(MESH, bent).is_err(), "signature bit {bit}");
        }
    }

    #[test]
    fn a_longer_spelling_of_the_same_number_is_not_canonical() {
        let mut sealed = content(&[64]).sign(MESH, &key()).unwrap().seal();
        let n = sealed.bytes.iter().skip(40).position(|&byte| byte == 1).unwrap() + 40;
        sealed.bytes.splice(n..=n, [0x81, 0x00]);
        assert_eq!(Entry::open(MESH, sealed), Err(EntryError::NotCanonical));
    }

    #[test]
    fn limits_are_checked_before_the_signature() {
        assert_eq!(content(&[]).sign(MESH, &key()), Err(EntryError::OpCount { ops: 0 }));
        assert_eq!(content(&[64; 1_025]).sign(MESH, &key()), Err(EntryError::OpCount { ops: 1_025 }));
        assert_eq!(content(&[1, 64]).sign(MESH, &key()), Err(EntryError::MixedSets));
        let mut long = content(&[64]);
        long.ops[0].body = vec![0; OP_BYTES_MAX + 1];
        assert_eq!(long.sign(MESH, &key()), Err(EntryError::OpTooLong { index: 0, bytes: OP_BYTES_MAX + 1 }));
        let mut longer = content(&[64, 64, 64]);
        longer.ops.iter_mut().for_each(|op| op.body = vec![0; OP_BYTES_MAX]);
        assert!(matches!(longer.sign(MESH, &key()), Err(EntryError::TooLong { .. })));
    }

    #[test]
    fn a_founding_entry_names_its_mesh_and_fits_no_other() {
        let founding = content(&[FOUND_KIND]).sign(MeshId::NONE, &key()).unwrap();
        let mesh = MeshId::from(founding.id());
        assert_eq!(Entry::open(mesh, founding.seal()).unwrap().id(), founding.id());
        assert_eq!(Entry::open(MESH, founding.seal()), Err(EntryError::ForeignFounding));
    }
}
