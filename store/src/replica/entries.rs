//! The replicated sets: writing our own entries, taking those of others, and saying what is held.

use std::cell::RefCell;
use std::collections::BTreeSet;

use beadmesh_protocol::clock::{HybridClock, Timestamp, Wall};
use beadmesh_protocol::entry::{Content, Entry, RawOp, Sealed, Set};
use beadmesh_protocol::id::{EntryId, InstanceId, MeshId, NodeId, base32};
use beadmesh_protocol::limits::{ENTRY_OPS_MAX, WIRE_VERSION};
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::reconcile::{Key, Snapshot, Summary, Trace};
use beadmesh_protocol::wire::Hello;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::copies::Copies;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Bytes of operations that one of our own entries carries, so that handling it elsewhere is short work.
const AUTHORED_BYTES_MAX: usize = 48 * 1024;

/// Which mesh this store is in, and who writes here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) mesh: MeshId,
    pub(crate) instance: InstanceId,
    /// Names the hardware; a store that finds itself on another opens as a new instance.
    pub(crate) machine: String,
}

/// How far our own entries have come in this instance.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Counter {
    n: u64,
    prev: Option<EntryId>,
    hlc: Timestamp,
}

/// What is needed of an entry without reading it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Indexed {
    set: Set,
    hlc: Timestamp,
}

/// The keys of both sets.
#[derive(Debug, Default)]
struct Sets {
    control: BTreeSet<Key>,
    data: BTreeSet<Key>,
    control_summary: Summary,
    data_summary: Summary,
    /// The snapshots of the sets as they are, while a session works on them: links share one.
    control_frozen: RefCell<Trace>,
    data_frozen: RefCell<Trace>,
}

/// What became of an entry that came from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is staged now.
    New,
    /// It is staged now, and another entry of its author bears its number.
    Doubled,
    /// It was here already.
    Known,
}

/// The replicated sets of this node.
#[derive(Debug)]
pub(crate) struct Entries {
    key: SigningKey,
    identity: Identity,
    counter: Counter,
    clock: HybridClock,
    sets: Sets,
    from_future: u64,
    copies: Copies,
}

impl Entries {
    /// Opens the sets of a store that has an identity.
    ///
    /// # Errors
    /// When the store fails or its index does not decode.
    pub(crate) fn open(stage: &Stage, key: SigningKey, identity: Identity, wall: Wall) -> Result<Self, StoreError> {
        let counter: Counter = stage.record(keys::COUNTER)?.unwrap_or_default();
        let (sets, clock, copies) = (Sets::default(), HybridClock::default(), Copies::open(stage)?);
        let mut entries = Self { key, identity, counter, clock, sets, from_future: 0, copies };
        for (key, Indexed { set, hlc }) in stage.records(keys::INDEX)? {
            if planted::is(Bug::ForgetsFuture) && hlc.wall() > wall {
                continue;
            }
            // What was seen before goes on to be followed, as if it had come just now.
            entries.observe(hlc, wall);
            entries.sets.add(set, Key::new(hlc, id_of(&key)?));
        }
        Ok(entries)
    }

    /// Begins with no entry, under a new identity.
    pub(crate) fn fresh(stage: &mut Stage, key: SigningKey, identity: Identity) -> Self {
        stage.put_record(keys::IDENTITY.to_vec(), &identity);
        let counter = Counter::default();
        stage.put_record(keys::COUNTER.to_vec(), &counter);
        let (clock, sets, copies) = (HybridClock::default(), Sets::default(), Copies::default());
        Self { key, identity, counter, clock, sets, from_future: 0, copies }
    }

    /// Goes on as a new instance: its entries are counted from 1 again.
    pub(crate) fn renew_instance(&mut self, stage: &mut Stage, instance: InstanceId, machine: String) {
        self.identity = Identity { mesh: self.identity.mesh, instance, machine };
        self.counter = Counter { hlc: self.counter.hlc, ..Counter::default() };
        stage.put_record(keys::IDENTITY.to_vec(), &self.identity);
        stage.put_record(keys::COUNTER.to_vec(), &self.counter);
        self.copies.renew();
    }

    /// Begins to count which of our entries peers bring: what was held at the opening is here by now.
    pub(crate) fn begin(&mut self, stage: &mut Stage, wall: Wall) {
        let now = self.clock.clone().tick(wall);
        self.copies.begin(stage, now);
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId::from_bytes(self.key.verifying_key().to_bytes())
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn mesh(&self) -> MeshId {
        self.identity.mesh
    }

    pub(crate) fn copies(&self) -> &Copies {
        &self.copies
    }

    pub(crate) fn copies_mut(&mut self) -> &mut Copies {
        &mut self.copies
    }

    /// Returns how many entries were taken whose timestamp lies far ahead of our clock.
    pub(crate) fn future_count(&self) -> u64 {
        self.from_future
    }

    /// Writes operations of one set as entries of ours, several when they do not fit one.
    pub(crate) fn author(&mut self, stage: &mut Stage, wall: Wall, ops: Vec<RawOp>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut group = Vec::new();
        let mut bytes = 0;
        for op in ops {
            let full = group.len() == ENTRY_OPS_MAX || bytes + op.body.len() > AUTHORED_BYTES_MAX;
            if full && !group.is_empty() {
                entries.push(self.sign(wall, std::mem::take(&mut group)));
                bytes = 0;
            }
            bytes += op.body.len();
            group.push(op);
        }
        if !group.is_empty() {
            entries.push(self.sign(wall, group));
        }
        for entry in &entries {
            self.stage(stage, entry);
        }
        if !planted::is(Bug::CounterNotKept) {
            stage.put_record(keys::COUNTER.to_vec(), &self.counter);
        }
        entries
    }

    /// Writes the founding entry, whose hash becomes the mesh.
    pub(crate) fn found(&mut self, stage: &mut Stage, wall: Wall, op: RawOp) -> Entry {
        let entry = self.sign(wall, vec![op]);
        self.identity.mesh = entry.id().into();
        stage.put_record(keys::IDENTITY.to_vec(), &self.identity);
        self.stage(stage, &entry);
        stage.put_record(keys::COUNTER.to_vec(), &self.counter);
        entry
    }

    /// Returns the entry of ours that would come next, without keeping it; `take` does, before another is written.
    pub(crate) fn draft(&self, wall: Wall, ops: Vec<RawOp>) -> Entry {
        self.signed(self.clock.clone().tick(wall), ops)
    }

    fn sign(&mut self, wall: Wall, ops: Vec<RawOp>) -> Entry {
        let hlc = self.clock.tick(wall);
        let entry = self.signed(hlc, ops);
        self.counter = Counter { n: self.counter.n + 1, prev: Some(entry.id()), hlc };
        entry
    }

    fn signed(&self, hlc: Timestamp, ops: Vec<RawOp>) -> Entry {
        let content = Content {
            author: self.node(),
            instance: self.identity.instance,
            n: self.counter.n + 1,
            prev: self.counter.prev,
            hlc,
            ops,
        };
        content.sign(self.identity.mesh, &self.key).expect("operations are bounded before they are signed")
    }

    /// Takes an entry that a peer brought, whose author is known.
    pub(crate) fn take(&mut self, stage: &mut Stage, wall: Wall, entry: &Entry) -> Result<Taken, StoreError> {
        let content = entry.content();
        let is_ours = content.author == self.node();
        if planted::is(Bug::OwnEntriesRefused) && is_ours && entry.set() == Set::Data {
            return Ok(Taken::Known);
        }
        let future = self.from_future;
        let taken = self.keep(stage, wall, entry)?;
        // A clock that ran ahead says nothing about when an entry was written.
        if taken == Taken::New && is_ours && future == self.from_future {
            self.copies.met(stage, content.hlc, content.instance == self.identity.instance);
        }
        Ok(taken)
    }

    /// Takes an entry that is not brought by a peer, whose author is known.
    pub(crate) fn keep(&mut self, stage: &mut Stage, wall: Wall, entry: &Entry) -> Result<Taken, StoreError> {
        let content = entry.content();
        if self.holds(stage, entry.id())? {
            return Ok(Taken::Known);
        }
        self.observe(content.hlc, wall);
        // A restored store meets its own later entries again, and must count past them.
        let ours = content.author == self.node() && content.instance == self.identity.instance;
        if ours && content.n > self.counter.n {
            self.counter = Counter { n: content.n, prev: Some(entry.id()), hlc: self.counter.hlc.max(content.hlc) };
            stage.put_record(keys::COUNTER.to_vec(), &self.counter);
        }
        let is_doubled = self.stage(stage, entry);
        Ok(if is_doubled { Taken::Doubled } else { Taken::New })
    }

    fn observe(&mut self, hlc: Timestamp, wall: Wall) {
        if !self.clock.observe(hlc, wall) {
            self.from_future += 1;
        }
    }

    /// Stages an entry that is not held; returns whether another one bears its author's number.
    fn stage(&mut self, stage: &mut Stage, entry: &Entry) -> bool {
        let (id, set, hlc) = (entry.id(), entry.set(), entry.content().hlc);
        stage.put_record(keys::entry(id), &entry.seal());
        stage.put_record(keys::index(id), &Indexed { set, hlc });
        if set == Set::Control {
            stage.put(keys::control(id), Vec::new());
        }
        self.sets.add(set, Key::new(hlc, id));
        self.copies.note(stage, entry)
    }

    /// Returns whether an entry is held.
    pub(crate) fn holds(&self, stage: &Stage, id: EntryId) -> Result<bool, StoreError> {
        Ok(stage.get(&keys::index(id))?.is_some())
    }

    /// Reads an entry.
    pub(crate) fn load(&self, stage: &Stage, id: EntryId) -> Result<Option<Entry>, StoreError> {
        load(stage, self.identity.mesh, id)
    }

    /// Reads every control entry.
    pub(crate) fn load_control(&self, stage: &Stage) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for key in stage.keys(keys::CONTROL)? {
            let id = EntryId::from_slice(&key[keys::CONTROL.len()..]);
            entries.extend(id.map(|id| self.load(stage, id)).transpose()?.flatten());
        }
        Ok(entries)
    }

    /// Returns the ids of every control entry, in the order of their hybrid times.
    pub(crate) fn control_ids(&self) -> Vec<EntryId> {
        self.sets.control.iter().map(Key::id).collect()
    }

    /// Returns the ids of every data entry, in the order of their hybrid times.
    pub(crate) fn data_ids(&self) -> Vec<EntryId> {
        self.sets.data.iter().map(Key::id).collect()
    }

    /// Says what is held, in the form a link begins with.
    pub(crate) fn hello(&self) -> Hello {
        let Sets { control_summary, data_summary, .. } = self.sets;
        Hello { version: WIRE_VERSION, mesh: self.identity.mesh, control: control_summary, data: data_summary }
    }

    /// Freezes the keys of a set.
    pub(crate) fn snapshot(&self, set: Set) -> Snapshot {
        let (keys, frozen) = match set {
            Set::Control => (&self.sets.control, &self.sets.control_frozen),
            Set::Data => (&self.sets.data, &self.sets.data_frozen),
        };
        let found = frozen.borrow().find();
        found.unwrap_or_else(|| {
            let snapshot = Snapshot::new(keys.iter().copied().collect());
            frozen.replace(snapshot.trace());
            snapshot
        })
    }
}

/// Reads an entry of a mesh.
pub(crate) fn load(stage: &Stage, mesh: MeshId, id: EntryId) -> Result<Option<Entry>, StoreError> {
    let key = keys::entry(id);
    let Some(sealed) = stage.record::<Sealed>(&key)? else { return Ok(None) };
    Entry::open_trusted(mesh, sealed).map(Some).map_err(|_| StoreError::Undecodable { key: id.to_string() })
}

/// Returns the id in a key of the index.
fn id_of(key: &[u8]) -> Result<EntryId, StoreError> {
    EntryId::from_slice(&key[keys::INDEX.len()..]).ok_or_else(|| StoreError::Undecodable { key: base32(key) })
}

impl Sets {
    fn add(&mut self, set: Set, key: Key) {
        let (keys, summary, frozen) = match set {
            Set::Control => (&mut self.control, &mut self.control_summary, &mut self.control_frozen),
            Set::Data => (&mut self.data, &mut self.data_summary, &mut self.data_frozen),
        };
        if keys.insert(key) {
            *frozen.get_mut() = Trace::default();
            summary.add(key.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_a_snapshot_until_the_set_changes() {
        let mut entries = Entries {
            key: SigningKey::from_bytes(&[1; 32]),
            identity: Identity { mesh: MeshId::NONE, instance: InstanceId::from_bytes([1; 8]), machine: String::new() },
            counter: Counter::default(),
            clock: HybridClock::default(),
            sets: Sets::default(),
            from_future: 0,
            copies: Copies::default(),
        };
        let key = |byte| Key::new(Timestamp::default(), EntryId::from_bytes([byte; 32]));
        entries.sets.add(Set::Data, key(1));
        let before = entries.snapshot(Set::Data);
        assert!(std::ptr::eq(entries.snapshot(Set::Data).keys(), before.keys()));
        assert!(entries.snapshot(Set::Control).is_empty());
        entries.sets.add(Set::Data, key(2));
        assert_eq!((before.len(), entries.snapshot(Set::Data).len()), (1, 2));
    }
}
