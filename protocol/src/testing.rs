//! Builders for tests of this crate and of those above it: authors with fixed keys and a small mesh of entries.

use ed25519_dalek::SigningKey;

use crate::clock::{Timestamp, Wall};
use crate::entry::{Content, Entry};
use crate::id::{AgentId, EntryId, InstanceId, MeshId, NodeId};
use crate::mail::{Importance, Letter};
use crate::op::{Admit, AgentFacts, CutEnd, Found, NodeFacts, Op, Removal, Role};
use crate::roster::Roster;

pub mod bombs;

/// A node's key, made from a seed.
#[derive(Debug, Clone)]
pub struct Author {
    /// The signing key.
    pub key: SigningKey,
}

impl Author {
    /// Returns the author of that seed, always the same.
    pub fn seeded(seed: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// Returns the author's node id.
    pub fn node(&self) -> NodeId {
        NodeId::from_bytes(self.key.verifying_key().to_bytes())
    }

    /// Signs an entry that carries `ops`.
    pub fn entry(&self, mesh: MeshId, n: u64, wall: Wall, ops: &[Op]) -> Entry {
        let content = Content {
            author: self.node(),
            instance: InstanceId::from_bytes([1; 8]),
            n,
            prev: None,
            hlc: Timestamp::from_wall(wall),
            ops: ops.iter().map(Op::encode).collect(),
        };
        content.sign(mesh, &self.key).expect("test entries keep their limits")
    }
}

/// A mesh as a list of control entries.
#[derive(Debug, Clone)]
pub struct MeshFixture {
    /// The mesh.
    pub mesh: MeshId,
    /// Who founded it.
    pub founder: Author,
    /// Its control entries, in the order they were made.
    pub entries: Vec<Entry>,
}

impl MeshFixture {
    /// Returns a mesh of one.
    pub fn founded() -> Self {
        Self::recoverable([7; 32])
    }

    /// Returns a mesh of one with the public half of a recovery key.
    pub fn recoverable(recovery: [u8; 32]) -> Self {
        let founder = Author::seeded(1);
        let found = Found { name: "mesh".into(), recovery, node_name: "founder".into() };
        let entry = founder.entry(MeshId::NONE, 1, Wall::from_millis(1_600_000_000_000), &[Op::Found(found)]);
        Self { mesh: entry.id().into(), founder, entries: vec![entry] }
    }

    /// Returns the roster of the entries so far.
    pub fn roster(&self) -> Roster {
        Roster::fold(self.mesh, &self.entries).expect("the founding entry is there")
    }

    /// Adds an admission that saw everything so far.
    pub fn admit(&mut self, by: &Author, node: &Author, role: Role) -> EntryId {
        let seen = self.roster().seen_by(by.node());
        self.admit_seeing(by, node, role, seen)
    }

    /// Adds an admission that saw just those entries.
    pub fn admit_seeing(&mut self, by: &Author, node: &Author, role: Role, seen: Vec<EntryId>) -> EntryId {
        let admit = Admit { seen, node: node.node(), name: "joined".into(), role, invite: None };
        self.push(by, 1_700_000_000_000, Op::Admit(admit))
    }

    /// Adds a removal that saw everything so far and cuts after some entries.
    pub fn remove(&mut self, by: &Author, node: &Author, cut: Vec<CutEnd>) -> EntryId {
        let seen = self.roster().seen_about(by.node(), node.node());
        self.remove_seeing(by, node, (None, cut), seen)
    }

    /// Adds a removal that saw just those entries; the node stays in a lesser role, or leaves.
    pub fn remove_seeing(
        &mut self,
        by: &Author,
        node: &Author,
        (stays, cut): (Option<Role>, Vec<CutEnd>),
        seen: Vec<EntryId>,
    ) -> EntryId {
        self.push(by, 1_700_000_000_000, Op::Remove(Removal { seen, node: node.node(), stays, cut }))
    }

    /// Adds what a node says of itself, at a wall time in milliseconds.
    pub fn facts(&mut self, by: &Author, name: &str, millis: u64) -> EntryId {
        let facts = NodeFacts { seen: self.roster().facts_seen_by(by.node()), name: name.into(), addresses: vec![] };
        self.push(by, millis, Op::Node(facts))
    }

    /// Adds an entry with one operation, written at a wall time in milliseconds.
    pub fn push(&mut self, by: &Author, millis: u64, op: Op) -> EntryId {
        let n = u64::try_from(self.entries.len()).expect("few entries") + 1;
        let entry = by.entry(self.mesh, n, Wall::from_millis(millis), &[op]);
        let id = entry.id();
        self.entries.push(entry);
        id
    }
}

/// Returns what a node says of an agent of which it knows no more than the name.
pub fn agent(name: &str) -> AgentFacts {
    let (program, model, task) = (String::new(), String::new(), String::new());
    AgentFacts { name: name.to_owned(), program, model, task, project: None, retired: false }
}

/// Returns a letter with one word for subject, body and thread.
pub fn letter(from: AgentId, to: &[AgentId], word: &str) -> Letter {
    Letter {
        project: None,
        thread: word.to_owned(),
        from,
        to: to.to_vec(),
        cc: Vec::new(),
        subject: word.to_owned(),
        body: word.to_owned(),
        importance: Importance::Normal,
        ack_required: false,
        in_reply_to: None,
        seen: Vec::new(),
        attachments: Vec::new(),
        sent_at: Wall::from_millis(1_700_000_000_000),
        nonce: [0; 8],
    }
}
