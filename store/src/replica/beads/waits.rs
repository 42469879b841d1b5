//! Which beads of this node's agents wait for which others, so that a bead that changes finds who is to be told of it.
//!
//! A bead is noted once an agent of this node is its assignee, with what its blocking dependencies name. What a change of
//! any other bead costs does not depend on how many are noted.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::alias;
use beadmesh_protocol::bead::{Bead, Target};
use beadmesh_protocol::id::BeadId;

use super::super::mesh::Mesh;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// What waits for what, and whose wait is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Read when first needed.
    noted: Option<Noted>,
    /// The beads whose agents may be due other letters than before.
    stirred: BTreeSet<BeadId>,
}

/// The beads that are noted, by what they wait for and by themselves. Aliases stand there without a suffix.
#[derive(Debug, Default)]
struct Noted {
    targets: BTreeMap<BeadId, Vec<Target>>,
    waiting: BTreeMap<Target, BTreeSet<BeadId>>,
}

impl Waits {
    /// Notes that a bead is shown anew.
    pub(super) fn on_shown(&mut self, stage: &Stage, mesh: &Mesh, bead: &Bead) -> Result<(), StoreError> {
        let is_ours = bead.assignee.as_deref().is_some_and(|name| mesh.agent_here(name).is_some());
        let noted = loaded(&mut self.noted, stage)?;
        if is_ours || noted.targets.contains_key(&bead.id) {
            self.stirred.insert(bead.id);
        }
        if !noted.waiting.is_empty() {
            let names = [Target::Id(bead.id), Target::Alias(bead.alias.clone())];
            self.stirred.extend(names.iter().filter_map(|name| noted.waiting.get(name)).flatten());
        }
        Ok(())
    }

    /// Notes that a bead is shown no more. By what alias it was known is gone with it.
    pub(super) fn on_gone(&mut self, stage: &Stage, id: BeadId) -> Result<(), StoreError> {
        let noted = loaded(&mut self.noted, stage)?;
        let by_id = |target: &Target| *target == Target::Id(id);
        let stirred = noted.waiting.iter().filter(|(target, _)| by_id(target) || matches!(target, Target::Alias(_)));
        self.stirred.extend(stirred.flat_map(|(_, waiting)| waiting));
        if noted.targets.contains_key(&id) {
            self.stirred.insert(id);
        }
        Ok(())
    }

    /// Notes that all that wait, and some others, are to be looked at again.
    pub(super) fn stir(&mut self, stage: &Stage, others: impl Iterator<Item = BeadId>) -> Result<(), StoreError> {
        let noted = loaded(&mut self.noted, stage)?;
        self.stirred.extend(noted.targets.keys());
        self.stirred.extend(others);
        Ok(())
    }

    /// Takes one of the beads to be looked at.
    pub(super) fn take(&mut self) -> Option<BeadId> {
        self.stirred.pop_first()
    }

    /// Returns every bead that is noted.
    pub(super) fn all(&mut self, stage: &Stage) -> Result<Vec<BeadId>, StoreError> {
        Ok(loaded(&mut self.noted, stage)?.targets.keys().copied().collect())
    }

    /// Notes what a bead waits for; nothing if it is no agent's of this node, or waits for none.
    pub(super) fn note(&mut self, stage: &mut Stage, id: BeadId, targets: &[Target]) -> Result<(), StoreError> {
        let noted = loaded(&mut self.noted, stage)?;
        let targets: Vec<Target> = targets.iter().map(without_suffix).collect();
        let before = noted.targets.get(&id).cloned().unwrap_or_default();
        if before == targets {
            return Ok(());
        }
        for target in before {
            if let Some(waiting) = noted.waiting.get_mut(&target) {
                waiting.remove(&id);
                if waiting.is_empty() {
                    noted.waiting.remove(&target);
                }
            }
        }
        if targets.is_empty() {
            noted.targets.remove(&id);
            stage.delete(keys::waits(id));
        } else {
            stage.put_record(keys::waits(id), &targets);
            noted.add(id, targets);
        }
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self, stage: &mut Stage) -> Result<(), StoreError> {
        for key in stage.keys(keys::WAITS)? {
            stage.delete(key);
        }
        *self = Self::default();
        Ok(())
    }
}

impl Noted {
    fn add(&mut self, id: BeadId, targets: Vec<Target>) {
        for target in &targets {
            self.waiting.entry(target.clone()).or_default().insert(id);
        }
        self.targets.insert(id, targets);
    }
}

fn loaded<'a>(noted: &'a mut Option<Noted>, stage: &Stage) -> Result<&'a mut Noted, StoreError> {
    if noted.is_none() {
        let mut read = Noted::default();
        for (key, targets) in stage.records::<Vec<Target>>(keys::WAITS)? {
            if let Some(id) = BeadId::from_slice(&key[keys::WAITS.len()..]) {
                read.add(id, targets);
            }
        }
        *noted = Some(read);
    }
    Ok(noted.as_mut().expect("just read"))
}

fn without_suffix(target: &Target) -> Target {
    match target {
        Target::Id(id) => Target::Id(*id),
        Target::Alias(text) => Target::Alias(alias::split(text).0.to_owned()),
    }
}
