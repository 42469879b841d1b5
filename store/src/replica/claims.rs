//! What is known of everybody's claims: what was said, by which lease, and whether it has ended.
//!
//! Everything here is derived from entries and can be built anew, in whatever order they came. What somebody says of a
//! claim that is not its own node's has no effect.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::bead::intake::hash_of_wire;
use beadmesh_protocol::claim::settle::{Contest, Open, settle};
use beadmesh_protocol::claim::{Claim, Closing, Fence, Unclaim, Why};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::{Entry, RawOp};
use beadmesh_protocol::id::{BeadId, ClaimId, EntryId, NodeId, ProjectId};
use beadmesh_protocol::lease::{Holder, Terms, Token};
use beadmesh_protocol::op::Op;
use beadmesh_protocol::planted::{self, Bug};
use beadmesh_protocol::scope::Index;
use serde::{Deserialize, Serialize};

use super::mesh::Mesh;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Contests of one claim that are looked at.
const CONTESTS_MAX: usize = 64;

/// Closes that one claim lets stand; of more the lowest ids stay.
const CLOSES_KEPT_MAX: usize = 256;

/// What is known of one claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The claim and its node, once its entry has come.
    pub(crate) claim: Option<(NodeId, Claim)>,
    /// What was shown of its leases, by who showed it.
    fences: BTreeMap<NodeId, Fenced>,
    /// Why it has ended, by who said so; of several the least.
    ends: BTreeMap<NodeId, Why>,
}

/// What was shown of the leases of a claim, taken together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fenced {
    /// The highest token.
    pub(crate) token: Token,
    /// The latest end of its term.
    pub(crate) until: Wall,
    /// The entries in which earlier holders closed beads of the scope.
    pub(crate) closes: BTreeSet<EntryId>,
}

/// Under which lease a bead was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Closed {
    /// The token.
    pub(crate) token: Token,
    /// The entry that says so.
    pub(crate) entry: EntryId,
}

impl Facts {
    /// Returns the claim with its node.
    pub(crate) fn of(&self) -> Option<(NodeId, &Claim)> {
        self.claim.as_ref().map(|(node, claim)| (*node, claim))
    }

    /// Returns whose claim it is.
    pub(crate) fn holder(&self) -> Option<Holder> {
        self.of().map(|(node, claim)| Holder { node, agent: claim.agent })
    }

    /// Returns what its node has shown of its leases.
    pub(crate) fn fence(&self) -> Option<&Fenced> {
        let holder = self.holder()?;
        self.fences.get(&holder.node).filter(|fence| fence.token.attempt.lane.holder == holder)
    }

    /// Returns why its node has ended it, if it has.
    pub(crate) fn end(&self) -> Option<Why> {
        self.ends.get(&self.of()?.0).copied()
    }

    /// Returns until when its agent means to hold it.
    pub(crate) fn until(&self) -> Wall {
        let claimed = self.of().map(|(_, claim)| claim.until).unwrap_or_default();
        self.fence().map_or(claimed, |fence| fence.until.max(claimed))
    }
}

/// The claims of the mesh.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Claims that nobody has ended, by name.
    open: BTreeMap<ClaimId, Facts>,
    /// Their scopes, to find those that cover a path.
    index: Index<ClaimId>,
    /// The projects of these scopes, one of which may be known by several ids.
    projects: BTreeSet<ProjectId>,
    /// Which of them are on which bead.
    on_beads: BTreeSet<(BeadId, ClaimId)>,
    /// Claims of which something has come since this was last asked.
    turned: BTreeSet<ClaimId>,
    /// Beads whose closes may have become stale, or may be so no longer.
    judged: BTreeSet<BeadId>,
}

impl Claims {
    /// Goes on with what a store holds.
    pub(crate) fn open(stage: &Stage) -> Result<Self, StoreError> {
        let mut claims = Self::default();
        for key in stage.keys(keys::OPEN_CLAIMS)? {
            let Some(id) = ClaimId::from_slice(&key[keys::OPEN_CLAIMS.len()..]) else { continue };
            if let Some(facts) = claims.facts(stage, id)? {
                claims.note_open(id, facts);
            }
        }
        Ok(claims)
    }

    /// Gives effect to the operations on claims of a stored entry.
    pub(crate) fn apply_entry(&mut self, stage: &mut Stage, entry: &Entry) -> Result<(), StoreError> {
        let author = entry.content().author;
        for raw in entry.content().ops.iter().filter(|raw| Op::is_claim(raw)) {
            match Op::decode(raw) {
                Ok(Op::Claim(claim)) => self.change(stage, claim.id(author), |facts| {
                    facts.claim = Some((author, *claim));
                })?,
                Ok(Op::Fence(fence)) => self.change(stage, fence.claim, |facts| facts.show(author, *fence))?,
                Ok(Op::Unclaim(Unclaim { claim, why })) => self.change(stage, claim, |facts| {
                    if planted::is(Bug::EndForgotten) && facts.claim.is_none() {
                        return;
                    }
                    let known = facts.ends.entry(author).or_insert(why);
                    *known = why.min(*known);
                })?,
                Ok(Op::Closing(closing)) if carries(entry, &closing) => {
                    self.note_closing(stage, closing, entry.id())?;
                }
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn change(&mut self, stage: &mut Stage, id: ClaimId, change: impl FnOnce(&mut Facts)) -> Result<(), StoreError> {
        let mut facts = self.facts(stage, id)?.unwrap_or_default();
        let before = facts.clone();
        change(&mut facts);
        if let Some((node, _)) = facts.claim {
            // What others say of it counts for nothing.
            facts.fences.retain(|by, _| *by == node);
            facts.ends.retain(|by, _| *by == node);
        }
        if facts == before {
            return Ok(());
        }
        stage.put_record(keys::claim_facts(id), &facts);
        if let Some((_, claim)) = facts.of() {
            if facts.fence().is_some() {
                for bead in claim.terms.scope.beads() {
                    stage.put(keys::fenced(*bead, id), Vec::new());
                    self.judged.insert(*bead);
                }
            }
            if facts.end().is_none() {
                stage.put(keys::open_claim(id), Vec::new());
                self.note_open(id, facts);
            } else {
                stage.delete(keys::open_claim(id));
                for bead in claim.terms.scope.beads() {
                    self.on_beads.remove(&(*bead, id));
                }
                self.index.remove(&id);
                self.open.remove(&id);
            }
            self.turned.insert(id);
        }
        Ok(())
    }

    fn note_open(&mut self, id: ClaimId, facts: Facts) {
        let beads = facts.of().into_iter().flat_map(|(_, claim)| claim.terms.scope.beads());
        self.on_beads.extend(beads.map(|bead| (*bead, id)));
        if let Some((_, claim)) = facts.of() {
            self.projects.extend(claim.terms.scope.project());
            self.index.insert(id, &claim.terms.scope, claim.terms.mode);
        }
        self.open.insert(id, facts);
    }

    fn note_closing(&mut self, stage: &mut Stage, closing: Closing, entry: EntryId) -> Result<(), StoreError> {
        let Closing { bead, change, token } = closing;
        // What one node says puts out nothing of another's, which may count where the former does not.
        let key = keys::closing(bead, change, token.attempt.lane.holder.node);
        let known: Option<Closed> = stage.record(&key)?;
        let closed = known.max(Some(Closed { token, entry }));
        if closed != known {
            stage.put_record(key, &closed.expect("one of both"));
            self.judged.insert(bead);
        }
        Ok(())
    }

    /// Returns what is known of a claim, ended or not.
    pub(crate) fn facts(&self, stage: &Stage, id: ClaimId) -> Result<Option<Facts>, StoreError> {
        match self.open.get(&id) {
            Some(facts) => Ok(Some(facts.clone())),
            None => stage.record(&keys::claim_facts(id)),
        }
    }

    /// Returns the claims that count now: not ended, of agents that may write, and not past their term.
    pub(crate) fn in_force<'a>(
        &'a self,
        mesh: &'a Mesh,
        wall: Wall,
    ) -> impl Iterator<Item = (ClaimId, &'a Facts, Open<'a>)> {
        self.open.iter().filter_map(move |(id, facts)| Some((*id, facts, self.counting(mesh, wall, *id, facts)?)))
    }

    /// Returns an open claim as it is settled with others, if it counts now.
    fn counting<'a>(&self, mesh: &Mesh, wall: Wall, id: ClaimId, facts: &'a Facts) -> Option<Open<'a>> {
        let (node, claim) = facts.of()?;
        let known = mesh.directory().agent(claim.agent).filter(|agent| agent.node == node && !agent.retired);
        let counts = known.is_some() && mesh.roster().may_write(node) && facts.until() > wall;
        let holder = Holder { node, agent: claim.agent };
        counts.then(|| Open { id, holder, claim, token: facts.fence().map(|fence| fence.token) })
    }

    /// Returns the claims that count now and cover a path of a project.
    pub(crate) fn covering<'a>(
        &'a self,
        (mesh, wall): (&'a Mesh, Wall),
        (project, path): (ProjectId, &str),
    ) -> Vec<(ClaimId, &'a Facts, Open<'a>)> {
        let same = self.projects.iter().filter(|known| mesh.canonical(**known) == project);
        let ids: BTreeSet<ClaimId> = same.flat_map(|known| self.index.covering(Some(*known), path)).copied().collect();
        let found = ids.into_iter().filter_map(|id| {
            let facts = self.open.get(&id)?;
            Some((id, facts, self.counting(mesh, wall, id, facts)?))
        });
        found.collect()
    }

    /// Returns the claims on a bead that count now, by id.
    pub(crate) fn on_bead<'a>(&'a self, mesh: &'a Mesh, wall: Wall, bead: BeadId) -> impl Iterator<Item = Open<'a>> {
        let on_bead =
            self.on_beads.range((bead, ClaimId::from_bytes([0; 16]))..).take_while(move |(on, _)| *on == bead);
        on_bead.filter_map(move |(_, id)| self.counting(mesh, wall, *id, self.open.get(id)?))
    }

    /// Returns who has the latest lease on a bead, by the claims that count now.
    pub(crate) fn holding(&self, mesh: &Mesh, wall: Wall, bead: BeadId) -> Option<Holder> {
        let held = self.on_bead(mesh, wall, bead).filter(|open| open.token.is_some());
        held.max_by_key(|open| (open.token, open.id)).map(|open| open.holder)
    }

    /// Returns the claims that count now and exclude what these terms ask for.
    pub(crate) fn excluding<'a>(
        &'a self,
        mesh: &'a Mesh,
        wall: Wall,
        terms: &'a Terms,
    ) -> impl Iterator<Item = Open<'a>> + 'a {
        let clashing = self.index.clashing(&terms.scope, terms.mode);
        clashing.into_iter().filter_map(move |id| self.counting(mesh, wall, *id, self.open.get(id)?))
    }

    /// Returns the contests of one claim with others that count now, as far as a set of claims can settle them.
    ///
    /// Of very many the ones with the lowest ids stay.
    pub(crate) fn contests(&self, mesh: &Mesh, wall: Wall, id: ClaimId) -> Vec<Contest> {
        let own = self.open.get(&id).and_then(|facts| self.counting(mesh, wall, id, facts));
        let Some(own) = own else { return Vec::new() };
        let rivals = self.excluding(mesh, wall, &own.claim.terms);
        let rivals = rivals.filter(|rival| rival.holder != own.holder).take(CONTESTS_MAX);
        let open: Vec<Open<'_>> = std::iter::once(own).chain(rivals).collect();
        let contests = settle(&open).contests.into_iter();
        contests.filter(|contest| contest.ahead == id || contest.behind == id).collect()
    }

    /// Returns the names of all claims that are known, ended or not.
    pub(crate) fn names(&self, stage: &Stage) -> Result<Vec<ClaimId>, StoreError> {
        let keys = stage.keys(keys::CLAIM_FACTS)?;
        Ok(keys.iter().filter_map(|key| ClaimId::from_slice(&key[keys::CLAIM_FACTS.len()..])).collect())
    }

    /// Returns every claim that is known, ended or not.
    pub(crate) fn all(&self, stage: &Stage) -> Result<Vec<(ClaimId, Facts)>, StoreError> {
        let named =
            |(key, facts): (Vec<u8>, Facts)| Some((ClaimId::from_slice(&key[keys::CLAIM_FACTS.len()..])?, facts));
        Ok(stage.records(keys::CLAIM_FACTS)?.into_iter().filter_map(named).collect())
    }

    /// Returns the claims on a bead that had a lease.
    pub(crate) fn fenced_on(&self, stage: &Stage, bead: BeadId) -> Result<Vec<(ClaimId, Facts)>, StoreError> {
        let prefix = keys::fenced_on(bead);
        let mut fenced = Vec::new();
        for key in stage.keys(&prefix)? {
            let Some(id) = ClaimId::from_slice(&key[prefix.len()..]) else { continue };
            if let Some(facts) = self.facts(stage, id)? {
                fenced.push((id, facts));
            }
        }
        Ok(fenced)
    }

    /// Forgets what a node has said of claims, for what still counts of it to be given effect again.
    pub(crate) fn forget(&mut self, stage: &mut Stage, node: NodeId) -> Result<(), StoreError> {
        for (id, mut facts) in self.all(stage)? {
            let before = facts.clone();
            facts.fences.remove(&node);
            facts.ends.remove(&node);
            if let Some((_, claim)) = facts.claim.take_if(|(of, _)| *of == node) {
                stage.delete(keys::open_claim(id));
                for bead in claim.terms.scope.beads() {
                    stage.delete(keys::fenced(*bead, id));
                    self.on_beads.remove(&(*bead, id));
                    self.judged.insert(*bead);
                }
                self.index.remove(&id);
                self.open.remove(&id);
            }
            if facts == before {
                continue;
            }
            if facts == Facts::default() {
                stage.delete(keys::claim_facts(id));
            } else {
                stage.put_record(keys::claim_facts(id), &facts);
            }
            self.turned.insert(id);
        }
        for (key, closed) in stage.records::<Closed>(keys::CLOSINGS)? {
            if closed.token.attempt.lane.holder.node == node {
                let bead = key[keys::CLOSINGS.len()..].get(..BeadId::BYTES).and_then(BeadId::from_slice);
                self.judged.extend(bead);
                stage.delete(key);
            }
        }
        Ok(())
    }

    /// Notes that all closes under leases are to be judged anew: who may write has changed.
    pub(crate) fn judge_all(&mut self, stage: &Stage) -> Result<(), StoreError> {
        for key in stage.keys(keys::CLOSINGS)? {
            let bead = key[keys::CLOSINGS.len()..].get(..BeadId::BYTES).and_then(BeadId::from_slice);
            self.judged.extend(bead);
        }
        Ok(())
    }

    /// Takes the claims of which something has come since this was last asked.
    pub(crate) fn take_turned(&mut self) -> BTreeSet<ClaimId> {
        std::mem::take(&mut self.turned)
    }

    /// Takes the beads whose closes are to be judged anew.
    pub(crate) fn take_judged(&mut self) -> BTreeSet<BeadId> {
        std::mem::take(&mut self.judged)
    }

    /// Drops everything derived.
    pub(crate) fn clear(&mut self, stage: &mut Stage) -> Result<(), StoreError> {
        for key in stage.keys(keys::CLAIMS)? {
            stage.delete(key);
        }
        *self = Self::default();
        Ok(())
    }
}

/// Returns whether an entry closes a bead under a lease of its author: it brings the change that does.
fn carries(entry: &Entry, closing: &Closing) -> bool {
    let is_of_author = closing.token.attempt.lane.holder.node == entry.content().author;
    let brings = |raw: &RawOp| match Op::decode(raw) {
        Ok(Op::Bead(op)) => op.bead == closing.bead && hash_of_wire(&op.change) == closing.change,
        Ok(_) | Err(_) => false,
    };
    is_of_author && entry.content().ops.iter().any(brings)
}

impl Facts {
    /// Adds what somebody shows of a lease.
    fn show(&mut self, by: NodeId, fence: Fence) {
        let Fence { token, until, closes, .. } = fence;
        let known = self.fences.entry(by).or_insert_with(|| Fenced { token, until, closes: BTreeSet::new() });
        known.token = known.token.max(token);
        known.until = known.until.max(until);
        known.closes.extend(closes);
        while known.closes.len() > CLOSES_KEPT_MAX {
            known.closes.pop_last();
        }
    }
}
