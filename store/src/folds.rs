//! Folds that the replicas of one process share: in a simulated mesh a thousand hold the same sets.
//!
//! What a set folds to is a function of the set alone, so the replica that comes to it first works it out, and the others
//! get what came of it. A node has one replica and no use for this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beadmesh_protocol::id::{BeadId, MeshId};
use beadmesh_protocol::reconcile::Summary;
use beadmesh_protocol::roster::Roster;

use crate::replica::{Control, Warm};

/// Documents kept of one generation, about 20 KB each.
const DOCUMENTS_MAX: usize = 4_096;

/// Folded control sets kept of one generation, about 1 KB an entry each.
const CONTROLS_MAX: usize = 32;

/// What sets of changes and of control entries fold to. Clones share.
#[derive(Debug, Clone, Default)]
pub struct Folds(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    documents: Generations<(BeadId, Summary), Warm>,
    rosters: Generations<(MeshId, Summary), Roster>,
    /// By the entries, and by those among them that count for nothing since their nodes were cut off.
    controls: Generations<(MeshId, Summary, Summary), Control>,
}

/// A bounded map: what was not asked for during a whole generation is forgotten.
#[derive(Debug)]
struct Generations<K, V> {
    young: BTreeMap<K, Arc<V>>,
    old: BTreeMap<K, Arc<V>>,
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }
}

impl<K: Ord + Copy, V> Generations<K, V> {
    fn find(&mut self, key: K, max: usize) -> Option<Arc<V>> {
        if let Some(found) = self.young.get(&key) {
            return Some(found.clone());
        }
        let found = self.old.remove(&key)?;
        self.keep(key, found.clone(), max);
        Some(found)
    }

    fn keep(&mut self, key: K, value: Arc<V>, max: usize) {
        if self.young.len() >= max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl Folds {
    /// Returns the document of a bead that those changes fold to.
    pub(crate) fn document(&self, bead: BeadId, set: Summary) -> Option<Arc<Warm>> {
        self.kept().documents.find((bead, set), DOCUMENTS_MAX)
    }

    pub(crate) fn keep_document(&self, bead: BeadId, warm: &Arc<Warm>) {
        self.kept().documents.keep((bead, warm.set()), warm.clone(), DOCUMENTS_MAX);
    }

    /// Returns the roster of those control entries of a mesh.
    pub(crate) fn roster(&self, mesh: MeshId, set: Summary) -> Option<Arc<Roster>> {
        self.kept().rosters.find((mesh, set), CONTROLS_MAX)
    }

    pub(crate) fn keep_roster(&self, set: Summary, roster: &Arc<Roster>) {
        self.kept().rosters.keep((roster.mesh, set), roster.clone(), CONTROLS_MAX);
    }

    /// Returns what those control entries of a mesh fold to, some of which count for nothing.
    pub(crate) fn control(&self, mesh: MeshId, (set, void): (Summary, Summary)) -> Option<Arc<Control>> {
        self.kept().controls.find((mesh, set, void), CONTROLS_MAX)
    }

    pub(crate) fn keep_control(&self, mesh: MeshId, control: &Arc<Control>) {
        let (set, void) = control.sets();
        self.kept().controls.keep((mesh, set, void), control.clone(), CONTROLS_MAX);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked has not left it half changed: a value is whole when it is put in.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let mut kept = Generations::default();
        for number in 0..100 {
            kept.keep(number, Arc::new(number), 4);
            assert_eq!(kept.find(0, 4).as_deref(), Some(&0));
        }
        assert_eq!(kept.find(1, 4), None);
        assert!(kept.young.len() + kept.old.len() <= 9);
    }
}
