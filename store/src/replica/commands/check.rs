//! Checking the store: every record is read, and views are compared with what they are derived from.

use beadmesh_protocol::id::{BeadId, base32};

use super::{Failure, Replica};
use crate::command::{Answer, Finding};
use crate::keys;

/// Findings of one kind that are listed one by one.
const LISTED_MAX: usize = 20;

impl Replica {
    /// Looks for damage, stale views and clocks that ran ahead.
    pub(super) fn check(&mut self) -> Result<Answer, Failure> {
        let mut findings = Vec::new();
        for key in self.stage.keys(keys::INDEX)? {
            let id = beadmesh_protocol::id::EntryId::from_slice(&key[keys::INDEX.len()..]);
            let sound = id.is_some_and(|id| {
                self.entries.load(&self.stage, id).is_ok_and(|entry| entry.is_some_and(|entry| entry.id() == id))
            });
            if !sound && findings.len() < LISTED_MAX {
                findings.push(Finding {
                    check: "store.checksum",
                    message: format!("Entry {} can not be read.", base32(&key)),
                    remedy: "copy the home directory away, then join again: peers hold the entry",
                });
            }
        }
        let mut stale = 0u64;
        for key in self.stage.keys(keys::BEADS)? {
            let Some(id) = BeadId::from_slice(&key[keys::BEADS.len()..]) else { continue };
            let derived = self.beads.derive(&self.stage, &self.mesh, id)?;
            let stored = self.beads.record(&self.stage, &self.mesh, id)?;
            if stored.is_none_or(|stored| stored.bead != derived.bead || stored.conflicts != derived.conflicts) {
                stale += 1;
            }
        }
        if stale > 0 {
            findings.push(Finding {
                check: "store.views",
                message: format!("{stale} beads are shown otherwise than their changes say."),
                remedy: "run `beadmesh doctor --rebuild`",
            });
        }
        let future = self.entries.future_count();
        if future > 0 {
            findings.push(Finding {
                check: "clock.skew",
                message: format!("{future} entries carry a time far ahead of this clock."),
                remedy: "set the clock of the node that wrote them, or this one's",
            });
        }
        let cycles = self.beads.index(&self.stage, &self.mesh)?.graph.ignored_edges().len();
        if cycles > 0 {
            findings.push(Finding {
                check: "beads.cycle",
                message: format!("{cycles} dependencies close a cycle and are ignored for readiness."),
                remedy: "remove them with `beadmesh bead dep remove`",
            });
        }
        Ok(Answer::Checked(findings))
    }
}
