//! The gate: which closes of beads came too late, because another agent had the lease by then.
//!
//! A pure function of the entries that are here. A stale close counts for nothing and is shown as what it is; it is not
//! dropped.

use std::collections::BTreeMap;

use beadmesh_protocol::claim::gate::{Shown, stale};
use beadmesh_protocol::id::{AgentId, BeadId, ChangeHash, EntryId, base32};
use beadmesh_protocol::lease::{Holder, Token};
use serde::{Deserialize, Serialize};

use super::Replica;
use super::claims::Closed;
use crate::keys;
use crate::stage::StoreError;

/// A close that came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StaleClose {
    /// Who closed the bead.
    pub(crate) by: AgentId,
    /// The counter of the token under which.
    pub(crate) token: u64,
    /// Who had the lease by then.
    pub(crate) holder: AgentId,
    /// The counter of that lease's token.
    pub(crate) holder_token: u64,
}

impl Replica {
    /// Judges the closes of beads of which leases or closes have come since this was last called.
    pub(super) fn judge_closes(&mut self) -> Result<(), StoreError> {
        for bead in self.claims.take_judged() {
            let stale = self.stale_closes(bead)?;
            let key = keys::stale(bead);
            if stale != self.stage.record(&key)?.unwrap_or_default() {
                if stale.is_empty() {
                    self.stage.delete(key);
                } else {
                    self.stage.put_record(key, &stale);
                }
                self.beads.note_behind(bead);
            }
        }
        Ok(())
    }

    /// Returns the entries in which a bead was closed under leases before one with that token, and not too late.
    ///
    /// Voters tell the next holder of these, but for what a lost message kept from them.
    pub(super) fn closes_before(&self, bead: BeadId, token: Token) -> Result<Vec<EntryId>, StoreError> {
        let late = self.stale_closes(bead)?;
        let closings = self.closings(bead)?.into_iter();
        let before = closings.filter(|(change, closed)| closed.token < token && !late.contains_key(change));
        Ok(before.map(|(_, closed)| closed.entry).collect())
    }

    /// Returns the changes that closed a bead under leases; one that is said to stand under several stands under the highest.
    fn closings(&self, bead: BeadId) -> Result<BTreeMap<ChangeHash, Closed>, StoreError> {
        let prefix = keys::closings_of(bead);
        let mut closings = BTreeMap::new();
        for (key, closed) in self.stage.records::<Closed>(&prefix)? {
            let change = key.get(prefix.len()..prefix.len() + ChangeHash::BYTES).and_then(ChangeHash::from_slice);
            let change = change.ok_or_else(|| StoreError::Undecodable { key: base32(&key) })?;
            let known = closings.entry(change).or_insert(closed);
            *known = closed.max(*known);
        }
        Ok(closings)
    }

    /// Returns the changes that closed a bead too late.
    fn stale_closes(&self, bead: BeadId) -> Result<BTreeMap<ChangeHash, StaleClose>, StoreError> {
        let closings = self.closings(bead)?;
        if closings.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut fences = Vec::new();
        for (_, facts) in self.claims.fenced_on(&self.stage, bead)? {
            if let (Some(holder), Some(fence)) = (facts.holder(), facts.fence())
                && (self.mesh.roster().may_write(holder.node)
                    || self.mesh.roster().standings.contains_key(&holder.node))
            {
                let closes: Vec<EntryId> = fence.closes.iter().copied().collect();
                fences.push((holder, fence.token, closes));
            }
        }
        let mut judged = BTreeMap::new();
        for (change, Closed { token, entry }) in closings {
            let holder: Holder = token.attempt.lane.holder;
            // A token that its holder has not shown is none.
            if !fences.iter().any(|(of, shown, _)| *of == holder && *shown >= token) {
                continue;
            }
            let shown = fences.iter().map(|(holder, token, closes)| Shown { holder: *holder, token: *token, closes });
            if let Some(later) = stale((holder, token, entry), shown) {
                let close = StaleClose {
                    by: holder.agent,
                    token: token.counter,
                    holder: later.attempt.lane.holder.agent,
                    holder_token: later.counter,
                };
                judged.insert(change, close);
            }
        }
        Ok(judged)
    }
}
