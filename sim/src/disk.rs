//! What lies on a node's disk, read past its replica: the one place here that knows the store's layout.
//!
//! A value that can not be read ends the reading; what lies behind it is missed, as by anybody who looked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use beadmesh_protocol::entry::{Entry, Sealed};
use beadmesh_protocol::id::{EntryId, InstanceId, MeshId, NodeId};
use beadmesh_store::Kv as _;
use beadmesh_store::memory::MemoryKv;

/// Who wrote an entry, in which instance, as which number.
pub(crate) type Signed = (NodeId, InstanceId, u64);

/// Returns the ids of every entry, from the index that names them.
pub(crate) fn ids(disk: &MemoryKv) -> BTreeSet<EntryId> {
    let mut ids = BTreeSet::new();
    let _ = disk.scan(b"K", Some(b"L"), &mut |key, _| {
        ids.extend(EntryId::from_slice(&key[1..]));
        ControlFlow::Continue(())
    });
    ids
}

/// Returns every entry.
pub(crate) fn entries(disk: &MemoryKv) -> BTreeMap<EntryId, Sealed> {
    let mut entries = BTreeMap::new();
    let _ = disk.scan(b"E", Some(b"F"), &mut |key, value| {
        if let (Some(id), Ok(sealed)) = (EntryId::from_slice(&key[1..]), postcard::from_bytes(value)) {
            entries.insert(id, sealed);
        }
        ControlFlow::Continue(())
    });
    entries
}

/// Returns who signed each of some entries.
pub(crate) fn signed(mesh: MeshId, entries: &BTreeMap<EntryId, Sealed>) -> BTreeMap<EntryId, Signed> {
    let opened = entries.values().filter_map(|sealed| Entry::open_trusted(mesh, sealed.clone()).ok());
    opened.map(|entry| (entry.id(), (entry.content().author, entry.content().instance, entry.content().n))).collect()
}
