//! The roster: who is in the mesh, with which role. A pure fold over the control entries, in whatever order they came.
//!
//! Control operations name the control heads their author saw; authority is judged at that causal position (`authority`).
//! What of the entries of a node that was removed still counts is said by `cut`.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::entry::{Entry, Set};
use crate::id::{EntryId, MeshId, NodeId};
use crate::limits::CONTROL_HEADS_MAX;
use crate::op::{Admit, Op, Role};
use crate::planted::{self, Bug};

mod authority;
pub mod cut;
mod history;
mod ownership;
#[cfg(test)]
mod table;

use authority::{Rulings, Which};
use cut::{Standing, instance_after};
use history::{Act, History};
use ownership::Owners;
pub use ownership::Ownership;

/// Who is in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The mesh.
    pub mesh: MeshId,
    /// What people call the mesh.
    pub name: String,
    /// The node that owns the mesh: the founder, until it is given to another or taken for one.
    pub owner: NodeId,
    /// How that came to be: the founding entry, or the last that made another node the owner.
    pub ownership: EntryId,
    /// The last entry that took the mesh with the recovery key, or the founding entry.
    pub taking: EntryId,
    /// How often it was given since then; not more than `OWNERSHIPS_GIVEN_MAX` times.
    pub gifts: usize,
    /// The node that founded the mesh.
    pub founder: NodeId,
    /// The public half of the recovery key.
    pub recovery: [u8; 32],
    /// The members, the owner included.
    pub members: BTreeMap<NodeId, Member>,
    /// Those who were members and are none any more.
    pub former: BTreeMap<NodeId, Former>,
    /// Where nodes were cut off, with effect, whether they are members again or not.
    pub standings: BTreeMap<NodeId, Standing>,
    /// Every node that any storable admission names, void or not: entries of these authors are storable.
    pub known: BTreeSet<NodeId>,
    /// The founding entry and what admins have done with effect, those without another of them in their future.
    ///
    /// Only who has authority can add to them, so nobody else can crowd an admin's own past out of what it names.
    pub heads: Vec<EntryId>,
    /// Control entries of whose acts none has effect, with the reason.
    pub void: BTreeMap<EntryId, VoidReason>,
    /// Those who ever had authority, by rank: the owner is first.
    pub ranks: BTreeMap<NodeId, usize>,
    /// The removals of each node, those without another of them in their future.
    removals: BTreeMap<NodeId, Vec<EntryId>>,
    /// Names that more than one member bears.
    shared_names: BTreeSet<String>,
}

/// One node of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// What it calls itself, or has asked to be called.
    pub own_name: String,
    /// What it may do.
    pub role: Role,
    /// Who let it in; the owner let itself in.
    pub admitted_by: NodeId,
    /// When it was let in.
    pub admitted_at: Timestamp,
    /// Where it says it can be reached, as multiaddresses.
    pub addresses: Vec<String>,
    /// The entry that gave it its role.
    pub admission: EntryId,
    /// One of the heads: `admission`, or one that has it in its past.
    pub head: EntryId,
    /// Its entries about itself that no other of them names as seen, the one that counts first.
    pub facts: Vec<EntryId>,
}

/// One node that was in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// What people called it.
    pub name: String,
    /// Who removed it; itself where it has left.
    pub removed_by: NodeId,
    /// When.
    pub removed_at: Timestamp,
}

/// Why a control operation has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Its author had no authority over the node at the operation's causal position.
    #[error("its author had no authority for it then")]
    NoAuthority,
    /// It names a control entry that has not arrived.
    #[error("it rests on an entry that has not arrived")]
    MissingDependency,
}

/// What a node that is let in needs to know, out of all control entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction<'a> {
    /// The founding entry, then the node's admission after its whole past: it can fold these and finds itself in.
    pub needed: Vec<&'a Entry>,
    /// What members say of themselves, the one that let it in first: where they can be reached.
    pub helpful: Vec<&'a Entry>,
}

impl Roster {
    /// Folds the control entries of one mesh; `None` while the founding entry is not among them.
    pub fn fold<'a>(mesh: MeshId, entries: impl IntoIterator<Item = &'a Entry>) -> Option<Self> {
        let history = History::of(entries);
        let at = history.founding(mesh)?;
        let founding = history.vertex(at).entry;
        let founder = founding.content().author;
        let Some(Op::Found(found)) = founding.control_ops().first() else { return None };
        let owners = Owners::of(&history, at, mesh, &found.recovery);
        let mut roster = Self {
            mesh,
            name: found.name.clone(),
            owner: owners.last().owner,
            ownership: history.vertex(owners.last().from).entry.id(),
            taking: history.vertex(owners.root()).entry.id(),
            gifts: owners.gifts(),
            founder,
            recovery: found.recovery,
            members: BTreeMap::new(),
            former: BTreeMap::new(),
            standings: BTreeMap::new(),
            known: BTreeSet::from([founder]),
            heads: Vec::new(),
            void: BTreeMap::new(),
            ranks: BTreeMap::new(),
            removals: BTreeMap::new(),
            shared_names: BTreeSet::new(),
        };
        for vertex in history.vertices() {
            let admitted = vertex.acts.iter().filter(|act| matches!(act, Act::Grant(..) | Act::Own(_)));
            roster.known.extend(admitted.map(Act::node));
        }
        let mut rulings = Rulings::of(&history, &owners);
        let tips = tips(&history, &rulings.has_authority);
        let heads = tips.iter().enumerate().filter(|(at, tip)| **tip == Some(*at)).map(|(at, _)| at);
        roster.heads = heads.map(|at| history.vertex(at).entry.id()).collect();
        roster.heads.sort_unstable();
        roster.note_void(&history, &rulings);
        roster.settle_members(&history, &rulings, &tips);
        roster.settle_founder(founder, founding, &found.node_name);
        let names = std::mem::take(&mut rulings.names);
        roster.ranks = std::mem::take(&mut rulings.ranks);
        roster.settle_facts(&history);
        for (node, given) in names {
            let last = rulings.last_words(given.iter().map(|(at, _)| *at)).pop();
            let name = given.iter().find(|(at, _)| Some(*at) == last).map(|(_, naming)| naming.name.clone());
            roster.rename(node, name);
        }
        let mut names = BTreeSet::new();
        let twice = roster.members.values().filter(|member| !names.insert(&member.name));
        roster.shared_names = twice.map(|member| member.name.clone()).collect();
        Some(roster)
    }

    /// Returns the role of a node, `None` for strangers.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.members.get(&node).map(|member| member.role)
    }

    /// Returns whether what the node writes from now on has effect.
    pub fn may_write(&self, node: NodeId) -> bool {
        let lowest = if planted::is(Bug::ObserversWrite) { Role::Observer } else { Role::Member };
        self.role(node).is_some_and(|role| role >= lowest)
    }

    /// Returns whether a node may let another in, remove it, or give it a role or a name.
    pub fn may_act_on(&self, by: NodeId, node: NodeId) -> bool {
        let outranks = |rank: &usize| self.ranks.get(&node).is_none_or(|other| rank < other);
        self.role(by) == Some(Role::Admin) && by != node && self.ranks.get(&by).is_some_and(outranks)
    }

    /// Returns the name shown for a node: its own, with the start of its id where two members share it.
    pub fn display_name(&self, node: NodeId) -> String {
        let Some(member) = self.members.get(&node) else {
            return self.former.get(&node).map_or_else(|| node.short(), |former| shown(&former.name));
        };
        let name = shown(&member.name);
        if self.shared_names.contains(&member.name) { format!("{name}~{}", &node.to_string()[..4]) } else { name }
    }

    /// Returns what an admission by `author` names as seen: a head that has its own admission in its past, then others.
    pub fn seen_by(&self, author: NodeId) -> Vec<EntryId> {
        let own = self.members.get(&author).map(|member| member.head);
        let others = self.heads.iter().copied().filter(|head| Some(*head) != own);
        own.into_iter().chain(others).take(CONTROL_HEADS_MAX).collect()
    }

    /// Returns what an act of `author` about a node names as seen: as `seen_by`, and every removal of the node.
    pub fn seen_about(&self, author: NodeId, node: NodeId) -> Vec<EntryId> {
        let own = self.members.get(&author).map(|member| member.head);
        let removals = self.removals.get(&node).into_iter().flatten().copied();
        let mut seen: Vec<EntryId> = own.into_iter().chain(removals).collect();
        let others: Vec<EntryId> = self.heads.iter().copied().filter(|head| !seen.contains(head)).collect();
        seen.extend(others);
        seen.truncate(CONTROL_HEADS_MAX);
        seen
    }

    /// Returns the removals of a node with effect that no later one has seen.
    pub fn removals_of(&self, node: NodeId) -> &[EntryId] {
        self.removals.get(&node).map_or(&[], Vec::as_slice)
    }

    /// Returns what `author` names as seen when it says something of itself: what it said before, then as `seen_by`.
    pub fn facts_seen_by(&self, author: NodeId) -> Vec<EntryId> {
        let before = self.members.get(&author).map(|member| member.facts.clone()).unwrap_or_default();
        before.into_iter().chain(self.seen_by(author)).take(CONTROL_HEADS_MAX).collect()
    }

    /// Picks from all control entries what a member needs that was let in just now; `None` for strangers.
    pub fn introduction<'a>(
        &self,
        node: NodeId,
        entries: impl IntoIterator<Item = &'a Entry>,
    ) -> Option<Introduction<'a>> {
        let member = self.members.get(&node)?;
        let history = History::of(entries);
        let entry = |at: usize| history.vertex(at).entry;
        let founding = history.founding(self.mesh)?;
        let mut of = vec![history.find(member.admission)?];
        // What it rests on may have been voided by a removal that it had not seen.
        of.extend(self.removals.values().flatten().filter_map(|removal| history.find(*removal)));
        let past = history.past(&of);
        let needed = std::iter::once(founding).chain(past.into_iter().filter(|&at| at != founding));
        let others = self.members.iter().filter(|(other, _)| **other != member.admitted_by);
        let bearer = self.members.get_key_value(&member.admitted_by);
        let facts = bearer.into_iter().chain(others).filter_map(|(_, member)| member.facts.first());
        let places: BTreeMap<EntryId, usize> =
            history.vertices().iter().enumerate().map(|(at, vertex)| (vertex.entry.id(), at)).collect();
        let helpful = facts.filter_map(|id| places.get(id).copied());
        Some(Introduction { helpful: helpful.map(entry).collect(), needed: needed.map(entry).collect() })
    }

    /// Notes which entries hold acts, and none with effect.
    fn note_void(&mut self, history: &History<'_>, rulings: &Rulings<'_, '_>) {
        for &at in history.order() {
            let vertex = history.vertex(at);
            if !vertex.acts.is_empty() && !rulings.has_effect[at] {
                self.void.insert(vertex.entry.id(), VoidReason::NoAuthority);
            }
        }
        let waiting = history.waiting().filter(|vertex| !vertex.acts.is_empty());
        self.void.extend(waiting.map(|vertex| (vertex.entry.id(), VoidReason::MissingDependency)));
    }

    /// Says of every node that was ever let in whether it is a member, and what it may do.
    fn settle_members(&mut self, history: &History<'_>, rulings: &Rulings<'_, '_>, tips: &[Option<usize>]) {
        let entry = |at: usize| history.vertex(at).entry;
        for (&node, grants) in &rulings.grants {
            let live = rulings.live(node, Which::All);
            let admissions: Vec<&Entry> = [&live, grants].into_iter().flatten().map(|grant| entry(grant.at)).collect();
            let admit = admissions.into_iter().find_map(|entry| Some((admission_of(entry, node)?, entry)));
            if let Some(last) = rulings.last_words(live.iter().map(|grant| grant.at)).pop() {
                let mut member = Member::admitted(node, entry(last), history.tip(last, tips));
                let role = live.iter().rev().find(|grant| grant.at == last).map(|grant| grant.role);
                member.role = role.unwrap_or(member.role);
                if let Some((admit, by)) = admit {
                    (member.name, member.own_name) = (admit.name.clone(), admit.name.clone());
                    (member.admitted_by, member.admitted_at) = (by.content().author, by.content().hlc);
                }
                self.members.insert(node, member);
            } else if let Some(last) = rulings.takings_of(node).map(|taking| taking.at).max() {
                let content = entry(last).content();
                let name = admit.map(|(admit, _)| admit.name.clone()).unwrap_or_default();
                let former = Former { name, removed_by: content.author, removed_at: content.hlc };
                self.former.insert(node, former);
            }
            self.settle_standing(history, rulings, node);
        }
    }

    /// Says of the founder what nobody but itself has said: its first name, and when it came.
    fn settle_founder(&mut self, founder: NodeId, founding: &Entry, name: &str) {
        if let Some(member) = self.members.get_mut(&founder) {
            (member.name, member.own_name) = (name.to_owned(), name.to_owned());
            (member.admitted_by, member.admitted_at) = (founder, founding.content().hlc);
        } else if let Some(former) = self.former.get_mut(&founder) {
            former.name = name.to_owned();
        }
    }

    /// Says where a node was cut off, if it was.
    fn settle_standing(&mut self, history: &History<'_>, rulings: &Rulings<'_, '_>, node: NodeId) {
        let mut takings: Vec<usize> = rulings.takings_of(node).map(|taking| taking.at).collect();
        if takings.is_empty() {
            return;
        }
        takings.sort_by_key(|at| history.place(*at));
        let mut removals = rulings.last_words(takings);
        removals.truncate(CONTROL_HEADS_MAX / 2);
        let ids = removals.into_iter().map(|at| history.vertex(at).entry.id());
        self.removals.insert(node, ids.collect());
        let cuts: Vec<_> = rulings.takings_of(node).filter(|taking| taking.cuts()).collect();
        if cuts.is_empty() {
            return;
        }
        let mut standing = Standing::default();
        standing.ends.extend(cuts.into_iter().flat_map(|taking| taking.removal.cut.iter().copied()));
        if self.may_write(node) {
            let writers = rulings.live(node, Which::Cuts).into_iter().filter(|grant| grant.role >= Role::Member);
            let admissions = writers.map(|grant| history.vertex(grant.at).entry);
            standing.resumed.extend(admissions.map(|entry| (instance_after(entry.id()), entry.content().hlc)));
        }
        self.standings.insert(node, standing);
    }

    /// Gives a node a name that counts before its own.
    fn rename(&mut self, node: NodeId, name: Option<String>) {
        let Some(name) = name else { return };
        if let Some(member) = self.members.get_mut(&node) {
            member.name = name;
        } else if let Some(former) = self.former.get_mut(&node) {
            former.name = name;
        }
    }

    /// Gives members the names and addresses that they say they have. That needs no authority, so it waits for nothing.
    fn settle_facts(&mut self, history: &History<'_>) {
        let vertices = history.vertices();
        let mut is_seen = vec![false; vertices.len()];
        for vertex in vertices.iter().filter(|vertex| vertex.is_facts) {
            let author = vertex.author();
            let before = vertex.parents.iter().filter(|&&parent| vertices[parent].author() == author);
            before.for_each(|&parent| is_seen[parent] = true);
        }
        let mut named = BTreeSet::new();
        // The latest comes last, and so first in the list of its author.
        for (vertex, _) in vertices.iter().zip(is_seen).filter(|(vertex, is_seen)| vertex.is_facts && !is_seen).rev() {
            let ops = vertex.entry.control_ops().iter();
            let facts = ops.filter_map(|op| if let Op::Node(facts) = op { Some(facts) } else { None }).next_back();
            let Some(member) = self.members.get_mut(&vertex.author()) else {
                // What it says after its removal is for nobody.
                if let (Some(former), Some(facts)) = (self.former.get_mut(&vertex.author()), facts)
                    && vertex.entry.content().hlc <= former.removed_at
                    && named.insert(vertex.author())
                {
                    former.name.clone_from(&facts.name);
                }
                continue;
            };
            if member.facts.is_empty()
                && let Some(facts) = facts
            {
                (member.name, member.addresses) = (facts.name.clone(), facts.addresses.clone());
                member.own_name.clone_from(&facts.name);
            }
            if member.facts.len() < CONTROL_HEADS_MAX / 2 {
                member.facts.push(vertex.entry.id());
            }
        }
    }
}

impl Member {
    /// Reads what an entry that gave a node its role says of it.
    fn admitted(node: NodeId, admission: &Entry, head: &Entry) -> Self {
        let content = admission.content();
        // The founding entry admits nobody but its author.
        let (name, role) = admission_of(admission, node)
            .map_or((String::new(), Role::Admin), |admit| (admit.name.clone(), admit.role));
        Self {
            name,
            own_name: String::new(),
            role,
            admitted_by: content.author,
            admitted_at: content.hlc,
            addresses: Vec::new(),
            admission: admission.id(),
            head: head.id(),
            facts: Vec::new(),
        }
    }
}

/// Returns the last word of an entry on letting a node in.
fn admission_of(entry: &Entry, node: NodeId) -> Option<&Admit> {
    let mut admits = entry.control_ops().iter().filter_map(|op| match op {
        Op::Admit(admit) if admit.node == node => Some(admit),
        _ => None,
    });
    admits.next_back()
}

/// Returns a name as it may stand on a terminal: what an old or foreign node called itself must not steer one.
fn shown(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Returns the entries that a node that holds nothing of the mesh may store: control entries by the founder, or by
/// authors that admissions among them name.
pub fn storable(mesh: MeshId, entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut by_author: BTreeMap<NodeId, Vec<Entry>> = BTreeMap::new();
    let mut open = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.set() == Set::Control) {
        let author = entry.content().author;
        if MeshId::from(entry.id()) == mesh {
            open.push(author);
        }
        by_author.entry(author).or_default().push(entry);
    }
    let mut storable = Vec::new();
    while let Some(author) = open.pop() {
        let Some(entries) = by_author.remove(&author) else { continue };
        for op in entries.iter().flat_map(Entry::control_ops) {
            match op {
                Op::Admit(admit) => open.push(admit.node),
                Op::Own(ownership) => open.push(ownership.node),
                _ => {}
            }
        }
        storable.extend(entries);
    }
    storable
}

/// Returns for each entry one with effect that has it in its past and is a head; a head names itself.
fn tips(history: &History<'_>, has_effect: &[bool]) -> Vec<Option<usize>> {
    let mut tips: Vec<Option<usize>> = vec![None; has_effect.len()];
    for &at in history.order().iter().rev() {
        if has_effect[at] && tips[at].is_none() {
            tips[at] = Some(at);
        }
        for &parent in &history.vertex(at).parents {
            tips[parent] = tips[parent].or(tips[at]);
        }
    }
    tips
}

#[cfg(test)]
mod tests;
