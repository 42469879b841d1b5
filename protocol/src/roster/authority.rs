//! Which acts have effect: who had authority over whom, where in the causal order each act stands.
//!
//! What owners did while they owned the mesh is judged first: it rests on nothing else (`ownership`). Then nodes with
//! authority are judged in the order of their rank: the founder, then admins in the order of their first admission as
//! such. Only a higher rank can take authority away, so when a node's turn comes all is known that was done about it, and
//! no two removals can wait for each other.

use std::collections::BTreeMap;

use super::history::{Act, History};
use super::ownership::Owners;
use crate::id::NodeId;
use crate::limits::{LEAVES_MAX, OWN_NAMES_MAX};
use crate::op::{Naming, Removal, Role};
use crate::planted::{self, Bug};

/// The acts with effect, by the node that they are about.
pub(super) struct Rulings<'h, 'a> {
    history: &'h History<'a>,
    owners: &'h Owners,
    /// The nodes that ever had authority, the owner first.
    pub(super) ranks: BTreeMap<NodeId, usize>,
    pub(super) grants: BTreeMap<NodeId, Vec<Grant>>,
    pub(super) takings: BTreeMap<NodeId, Vec<Taking<'a>>>,
    pub(super) names: BTreeMap<NodeId, Vec<(usize, &'a Naming)>>,
    /// For each entry whether something in it has effect by its author's authority.
    pub(super) has_authority: Vec<bool>,
    /// For each entry whether something in it has effect.
    pub(super) has_effect: Vec<bool>,
}

/// A role that was given with effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) at: usize,
    pub(super) role: Role,
}

/// A removal with effect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taking<'a> {
    pub(super) at: usize,
    pub(super) removal: &'a Removal,
}

impl Taking<'_> {
    /// Returns whether it ends what the node writes.
    pub(super) fn cuts(&self) -> bool {
        self.removal.stays < Some(Role::Member)
    }
}

impl<'h, 'a> Rulings<'h, 'a> {
    /// Judges all acts of a history.
    pub(super) fn of(history: &'h History<'a>, owners: &'h Owners) -> Self {
        let count = history.vertices().len();
        let mut rulings = Self {
            history,
            owners,
            ranks: BTreeMap::new(),
            grants: BTreeMap::new(),
            takings: BTreeMap::new(),
            names: BTreeMap::new(),
            has_authority: vec![false; count],
            has_effect: vec![false; count],
        };
        let mut acts: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for &at in history.order() {
            let vertex = history.vertex(at);
            if !vertex.acts.is_empty() {
                acts.entry(vertex.author()).or_default().push(at);
            }
        }
        for reign in owners.reigns() {
            rulings.crown(reign.owner, reign.from);
        }
        for reign in owners.reigns() {
            let acts = acts.get(&reign.owner).into_iter().flatten().copied();
            acts.filter(|at| reign.rules[*at]).for_each(|at| rulings.give_effect(reign.owner, at));
        }
        let mut next = owners.reigns().first().map(|founder| founder.owner);
        while let Some(node) = next {
            rulings.ranks.insert(node, rulings.ranks.len());
            let acts = acts.remove(&node).unwrap_or_default();
            rulings.judge_own(node, &acts);
            rulings.judge_admin(node, &acts);
            next = rulings.next_admin();
        }
        for (node, acts) in acts {
            rulings.judge_own(node, &acts);
            if planted::is(Bug::AnyoneAdmits) {
                acts.into_iter().for_each(|at| rulings.give_effect(node, at));
            }
        }
        rulings.rank_owner();
        rulings
    }

    /// Makes a node an admin by what makes it the owner.
    fn crown(&mut self, owner: NodeId, at: usize) {
        self.grant(at, owner, Role::Admin);
        (self.has_effect[at], self.has_authority[at]) = (true, true);
    }

    /// Puts the owner before all others; they keep their order.
    fn rank_owner(&mut self) {
        let owner = self.owners.last().owner;
        let Some(before) = self.ranks.insert(owner, 0) else { return };
        let passed = self.ranks.iter_mut().filter(|(node, rank)| **node != owner && **rank < before);
        passed.for_each(|(_, rank)| *rank += 1);
    }

    /// Returns the node that is next in rank: of those that were made admins by higher ranks the first.
    ///
    /// Whoever it lets in stands after its own admission, so nobody found later can come before it.
    fn next_admin(&self) -> Option<NodeId> {
        let unranked = self.grants.iter().filter(|(node, _)| !self.ranks.contains_key(node));
        let first = |grants: &[Grant]| {
            let admin = grants.iter().filter(|grant| grant.role == Role::Admin);
            admin.map(|grant| self.history.place(grant.at)).min()
        };
        let first = unranked.filter_map(|(node, grants)| Some((first(grants)?, *node))).min();
        first.map(|(_, node)| node)
    }

    /// Judges what a node does about itself: it may leave where it was a member, and call itself what it likes.
    fn judge_own(&mut self, node: NodeId, acts: &[usize]) {
        let own = |at: &&usize| self.history.vertex(**at).acts.iter().any(|act| act.node() == node);
        let own: Vec<usize> = acts.iter().filter(own).copied().collect();
        if own.is_empty() {
            return;
        }
        let stood = self.standing(node, Role::Observer);
        let (mut leaves, mut names) = (0, Vec::new());
        for at in own.into_iter().filter(|at| stood[*at]) {
            for act in &self.history.vertex(at).acts {
                match act {
                    Act::Take(removal) if removal.node == node && leaves < LEAVES_MAX => {
                        if self.owners.shields(node, at) {
                            continue;
                        }
                        leaves += 1;
                        self.take(at, removal);
                        // Heads are what those with authority did: nobody else can crowd them out.
                        self.has_authority[at] = self.ranks.contains_key(&node);
                    }
                    Act::Name(naming) if naming.node == node => {
                        names.push((at, *naming));
                        self.has_effect[at] = true;
                    }
                    _ => {}
                }
            }
        }
        // Names that did not see each other are weighed one against all others.
        let latest = names.len().saturating_sub(OWN_NAMES_MAX);
        self.names.entry(node).or_default().extend(names.drain(latest..));
    }

    /// Gives effect to what an admin does about lower ranks, where it had authority.
    fn judge_admin(&mut self, node: NodeId, acts: &[usize]) {
        if acts.is_empty() {
            return;
        }
        let had = self.standing(node, Role::Admin);
        let done = |at: &&usize| had[**at] && !self.owners.rules(node, **at);
        let acts: Vec<usize> = acts.iter().filter(done).copied().collect();
        acts.into_iter().for_each(|at| self.give_effect(node, at));
    }

    fn give_effect(&mut self, author: NodeId, at: usize) {
        for act in &self.history.vertex(at).acts {
            // Those of a rank by now rank higher, or are the author.
            let is_out_of_reach = self.ranks.contains_key(&act.node()) || act.node() == author;
            if is_out_of_reach || self.owners.shields(act.node(), at) {
                continue;
            }
            match act {
                // It has its effect, or none, by the chain of owners alone.
                Act::Own(_) => continue,
                Act::Grant(node, role) => self.grant(at, *node, *role),
                Act::Take(removal) => self.take(at, removal),
                Act::Name(naming) => self.names.entry(naming.node).or_default().push((at, naming)),
            }
            (self.has_effect[at], self.has_authority[at]) = (true, true);
        }
    }

    fn grant(&mut self, at: usize, node: NodeId, role: Role) {
        self.grants.entry(node).or_default().push(Grant { at, role });
    }

    fn take(&mut self, at: usize, removal: &'a Removal) {
        self.takings.entry(removal.node).or_default().push(Taking { at, removal });
        if let Some(role) = removal.stays {
            self.grant(at, removal.node, role);
        }
        self.has_effect[at] = true;
    }

    /// Returns where in the causal order a node had a role, or a higher one, by what is known of it so far.
    ///
    /// A place counts if a grant is in its past, and each removal either has the place in its own past, or is in the past
    /// of a grant that is in the place's. What is concurrent with a removal does not count.
    fn standing(&self, node: NodeId, role: Role) -> Vec<bool> {
        let grants = self.grants.get(&node).into_iter().flatten().filter(|grant| grant.role >= role);
        let grants: Vec<usize> = grants.map(|grant| grant.at).collect();
        if grants.is_empty() {
            return vec![false; self.history.vertices().len()];
        }
        let mut stood = self.history.after(&grants);
        for taking in self.takings.get(&node).into_iter().flatten() {
            let before = self.history.before(taking.at);
            let after = self.history.after(&self.later(&grants, taking.at));
            stood.iter_mut().zip(before).zip(after).for_each(|((stood, before), after)| *stood &= before || after);
        }
        for reign in self.owners.reigns().iter().filter(|reign| reign.owner == node) {
            stood.iter_mut().zip(&reign.rules).for_each(|(stood, rules)| *stood |= rules);
        }
        stood
    }

    /// Returns those of some grants that saw a removal, or are part of it.
    fn later(&self, grants: &[usize], taking: usize) -> Vec<usize> {
        let after = self.history.after(&[taking]);
        grants.iter().copied().filter(|grant| after[*grant] || *grant == taking).collect()
    }

    /// Returns the grants of a node that saw all of its removals, or those alone that end what it writes, in causal order.
    pub(super) fn live(&self, node: NodeId, which: Which) -> Vec<Grant> {
        let mut live = self.grants.get(&node).cloned().unwrap_or_default();
        if planted::is(Bug::Resurrected) && which == Which::All {
            live.retain(|grant| !self.takings_of(node).any(|taking| taking.at == grant.at));
        } else {
            for taking in self.takings_of(node).filter(|taking| which == Which::All || taking.cuts()) {
                let after = self.history.after(&[taking.at]);
                live.retain(|grant| after[grant.at] || grant.at == taking.at);
            }
        }
        live.sort_by_key(|grant| self.history.place(grant.at));
        live
    }

    /// Returns the removals of a node, in no order.
    pub(super) fn takings_of(&self, node: NodeId) -> impl Iterator<Item = &Taking<'a>> {
        self.takings.get(&node).into_iter().flatten()
    }

    /// Returns those of some entries, in causal order, that no other of them has in its past, the highest (hlc, id) last.
    pub(super) fn last_words(&self, entries: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut present: Vec<usize> = Vec::new();
        for at in entries {
            if !present.is_empty() {
                let past = self.history.seen_of(at, &present);
                present.retain(|earlier| *earlier != at && !past.contains(earlier));
            }
            present.push(at);
        }
        present.sort_unstable();
        present
    }
}

/// Which removals a grant must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All.
    All,
    /// Those that end what the node writes.
    Cuts,
}

#[cfg(test)]
mod tests;
