//! Checking the store: every record is read, and views are compared with what they are derived from.

use std::collections::BTreeSet;

use beadmesh_protocol::id::{BeadId, base32};

use super::super::beads::derive;
use super::{Failure, Replica};
use crate::command::{Answer, Finding};
use crate::keys;

/// Two stores had one key: a copy was put back, or runs beside its original.
const CLONED: &str = "store.cloned";
/// What to do where the key is this node's.
const CLONED_HERE: &str = "nothing is lost; stop all but one of the nodes with this key, give the others an empty home \
     and join, then run `beadmesh doctor --accept`";
/// What to do where the key is another node's.
const CLONED_THERE: &str = "nothing is lost; see that its home is in use once, then run `beadmesh doctor --accept`";
/// The store is older than what this node had written.
const RESTORED: &str = "store.restored";
/// What to do about that.
const RESTORED_HERE: &str = "nothing is lost that a peer held; if an older copy was put back, or the disk was lost, run \
     `beadmesh doctor --accept`";

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
                    remedy: "copy the home directory away, then join again: peers hold the entry".to_owned(),
                });
            }
        }
        findings.extend(self.stale_mail()?);
        let mut stale = 0u64;
        for key in self.stage.keys(keys::BEADS)? {
            let Some(id) = BeadId::from_slice(&key[keys::BEADS.len()..]) else { continue };
            let derived = derive(&self.stage, &self.mesh, id)?;
            let stored = self.beads.record(&self.stage, &self.mesh, id)?;
            if stored.is_none_or(|stored| stored.bead != derived.bead || stored.conflicts != derived.conflicts) {
                stale += 1;
            }
        }
        if stale > 0 {
            let what = if stale == 1 { "1 bead is".to_owned() } else { format!("{stale} beads are") };
            findings.push(Finding {
                check: "store.views",
                message: format!("{what} shown otherwise than the changes say."),
                remedy: "run `beadmesh doctor --rebuild`".to_owned(),
            });
        }
        let future = self.entries.future_count();
        if future > 0 {
            let what = if future == 1 { "1 entry carries".to_owned() } else { format!("{future} entries carry") };
            findings.push(Finding {
                check: "clock.skew",
                message: format!("{what} a time far ahead of this clock."),
                remedy: "set the clock of the node that wrote it, or this one's".to_owned(),
            });
        }
        findings.extend(self.copies());
        findings.extend(self.cycles()?);
        Ok(Answer::Checked(findings))
    }

    /// Looks for letters that are listed otherwise than the entries say.
    fn stale_mail(&mut self) -> Result<Option<Finding>, Failure> {
        self.mail.finish_review(&mut self.stage, &self.mesh)?;
        let mut stale = 0;
        for id in self.entries.data_ids() {
            // What can not be read is a finding of its own.
            let Ok(Some(entry)) = self.entries.load(&self.stage, id) else { continue };
            stale += u64::from(!self.mail.is_noted(&self.stage, &entry)?);
        }
        if stale == 0 {
            stale = self.mail.stale(&self.stage, &self.mesh)? + self.stale_waits()?;
        }
        let what = if stale == 1 { "1 letter is".to_owned() } else { format!("{stale} letters are") };
        Ok((stale > 0).then(|| Finding {
            check: "store.mail",
            message: format!("{what} listed otherwise than the entries say."),
            remedy: "run `beadmesh doctor --rebuild`".to_owned(),
        }))
    }

    /// Returns the stable ids of what is known of copies of stores without a check.
    pub(super) fn copies_found(&self) -> Vec<&'static str> {
        let mut ids: Vec<&'static str> = self.copies().into_iter().map(|finding| finding.check).collect();
        ids.dedup();
        ids
    }

    /// Tells what entries say of copies of stores: this node's, then others'.
    fn copies(&self) -> Vec<Finding> {
        let copies = self.entries.copies();
        let entries = |count: u64| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
        let are = |count: u64| if count == 1 { "1 is".to_owned() } else { format!("{count} are") };
        let mut findings = Vec::new();
        let mut tell = |check: &'static str, message: String, remedy: &str| {
            findings.push(Finding { check, message, remedy: remedy.to_owned() });
        };
        let elsewhere = copies.elsewhere();
        if elsewhere > 0 {
            let message = format!("{} came that another store wrote with this node's key.", entries(elsewhere));
            tell(CLONED, message, CLONED_HERE);
        }
        let mut doubled = copies.doubled();
        if let Some(count) = doubled.remove(&self.entries.node()) {
            tell(CLONED, format!("Of the entries of this node, {} numbered like another.", are(count)), CLONED_HERE);
        }
        for (node, count) in doubled.iter().take(LISTED_MAX) {
            let name = self.mesh.roster().display_name(*node);
            tell(CLONED, format!("Of the entries of {name}, {} numbered like another.", are(*count)), CLONED_THERE);
        }
        let returned = copies.returned();
        if returned > 0 {
            let message = format!("{} of this node came back from peers: the store is older.", entries(returned));
            tell(RESTORED, message, RESTORED_HERE);
        }
        findings
    }

    /// Names the dependencies that are ignored because they close cycles.
    fn cycles(&mut self) -> Result<Option<Finding>, Failure> {
        let index = self.beads.index(&self.stage, &self.mesh)?;
        let alias = |id: BeadId| index.name(id);
        let ignored = index.graph.ignored_edges();
        let edges: BTreeSet<_> =
            ignored.into_iter().map(|(source, _, target)| (alias(source), alias(target))).collect();
        if edges.is_empty() {
            return Ok(None);
        }
        let listed = edges.iter().take(LISTED_MAX);
        let mut names: Vec<String> = listed.clone().map(|(source, target)| format!("{source} → {target}")).collect();
        let removals = listed.map(|(source, target)| format!("`beadmesh bead dep remove {source} --on {target}`"));
        let removals: Vec<String> = removals.collect();
        if edges.len() > LISTED_MAX {
            names.push(format!("and {} more", edges.len() - LISTED_MAX));
        }
        let what = match edges.len() {
            1 => "1 dependency closes a cycle and is".to_owned(),
            count => format!("{count} dependencies close cycles and are"),
        };
        Ok(Some(Finding {
            check: "beads.cycle",
            message: format!("{what} ignored for readiness: {}.", names.join(", ")),
            remedy: format!("run {}", removals.join(", ")),
        }))
    }
}
