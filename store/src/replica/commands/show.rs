//! Describing beads: the document's view joined with what only the graph knows.

use beadmesh_protocol::bead::Target;
use beadmesh_protocol::id::BeadId;

use super::super::beads::Index;
use super::{Failure, Replica};
use crate::command::{Answer, BeadAnswer, CommandError, DepAnswer, StaleCloseAnswer};
use crate::stage::StoreError;

impl Replica {
    /// Answers with one bead.
    pub(super) fn bead_answer(&mut self, id: BeadId) -> Result<Answer, Failure> {
        let missing = || CommandError::NotFound { what: "bead", name: id.to_string() };
        Ok(Answer::Bead(Box::new(self.describe(id)?.ok_or_else(missing)?)))
    }

    /// Describes a bead, if it is shown here.
    pub(super) fn describe(&mut self, id: BeadId) -> Result<Option<BeadAnswer>, StoreError> {
        let Some(record) = self.beads.record(&self.stage, &self.mesh, id)? else { return Ok(None) };
        let wall = self.now.wall;
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let alias = |id: BeadId| index.name(id);
        let deps = record.bead.deps.keys().map(|key| DepAnswer {
            key: key.clone(),
            target: target_alias(index, id, &key.target),
            status: index
                .graph
                .resolve(&key.target, id)
                .and_then(|target| index.rows.get(target))
                .map(|row| row.status.clone()),
        });
        let children = index.graph.children(id);
        let dependents = index.graph.dependents(id).into_iter().map(|(dependent, _)| dependent);
        let mut dependents: Vec<BeadId> = dependents.filter(|dependent| !children.contains(dependent)).collect();
        dependents.dedup();
        let blockers = index.graph.blockers(id).into_iter().map(|(blocker, _)| blocker);
        let (blockers, parent): (Vec<BeadId>, _) = (blockers.collect(), index.graph.parent(id));
        let named = blockers.iter().chain(&parent).chain(&children).chain(&dependents);
        let status = |id: &BeadId| Some((alias(*id), index.rows.get(*id)?.status.clone()));
        Ok(Some(BeadAnswer {
            alias: alias(id),
            ready: index.graph.is_ready(id, wall),
            deps: deps.collect(),
            statuses: named.filter_map(status).collect(),
            blocked_by: blockers.into_iter().map(alias).collect(),
            parent: parent.map(alias),
            children: children.iter().copied().map(alias).collect(),
            dependents: dependents.into_iter().map(alias).collect(),
            conflicts: record.conflicts,
            holder: self.claims.holding(&self.mesh, wall, id).map(|holder| self.mesh.address(holder.agent)),
            stale_close: record.stale_close.map(|stale| StaleCloseAnswer {
                by: self.mesh.address(stale.by),
                token: stale.token,
                holder: self.mesh.address(stale.holder),
                holder_token: stale.holder_token,
            }),
            bead: record.bead,
        }))
    }
}

/// Returns what a dependency of `from` points at, as an alias; what is not known here stays as it was written.
pub(super) fn target_alias(index: &Index, from: BeadId, target: &Target) -> String {
    match target {
        Target::Alias(alias) => alias.clone(),
        Target::Id(_) => {
            let known = index.graph.resolve(target, from).and_then(|id| index.rows.display(id));
            known.unwrap_or_else(|| target.to_string())
        }
    }
}
