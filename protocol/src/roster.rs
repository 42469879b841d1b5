//! The roster: who is in the mesh, with which role. A pure fold over the control entries, in whatever order they came.
//!
//! Control operations name the control heads their author saw; authority is judged at that causal position. Removal
//! and role changes come with their own issue; what is here already keeps their rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::entry::{Entry, Set};
use crate::id::{EntryId, MeshId, NodeId};
use crate::limits::CONTROL_HEADS_MAX;
use crate::op::{Op, Role};
use crate::planted::{self, Bug};

mod history;

use history::History;

/// Who is in the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// The mesh.
    pub mesh: MeshId,
    /// What people call the mesh.
    pub name: String,
    /// The node that founded the mesh and owns it.
    pub owner: NodeId,
    /// The public half of the recovery key.
    pub recovery: [u8; 32],
    /// The members, the owner included.
    pub members: BTreeMap<NodeId, Member>,
    /// Every node that any storable admission names, void or not: entries of these authors are storable.
    pub known: BTreeSet<NodeId>,
    /// The founding entry and admissions with effect, those without another of them in their future.
    ///
    /// Only who has authority can add to them, so nobody else can crowd an admin's own past out of what it names.
    pub heads: Vec<EntryId>,
    /// Control entries whose admissions have no effect, with the reason.
    pub void: BTreeMap<EntryId, VoidReason>,
    /// Names that more than one member bears.
    shared_names: BTreeSet<String>,
}

/// One node of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Who let it in; the owner let itself in.
    pub admitted_by: NodeId,
    /// When it was let in.
    pub admitted_at: Timestamp,
    /// Where it says it can be reached, as multiaddresses.
    pub addresses: Vec<String>,
    /// The entry that let it in.
    pub admission: EntryId,
    /// One of the heads: `admission`, or one that has it in its past.
    pub head: EntryId,
    /// Its entries about itself that no other of them names as seen, the one that counts first.
    pub facts: Vec<EntryId>,
}

/// Why a control operation has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// Its author was no admin at the operation's causal position.
    #[error("its author was no admin then")]
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
        let owner = founding.content().author;
        let Some(Op::Found(found)) = founding.control_ops().first() else { return None };
        let mut roster = Self {
            mesh,
            name: found.name.clone(),
            owner,
            recovery: found.recovery,
            members: BTreeMap::new(),
            known: BTreeSet::from([owner]),
            heads: Vec::new(),
            void: BTreeMap::new(),
            shared_names: BTreeSet::new(),
        };
        for vertex in history.vertices() {
            roster.known.extend(vertex.admits.iter().map(|(node, _)| *node));
        }
        let mut judged = roster.judge(&history);
        judged.has_effect[at] = true;
        let tips = tips(&history, &judged.has_effect);
        let heads = tips.iter().enumerate().filter(|(at, tip)| **tip == Some(*at)).map(|(at, _)| at);
        roster.heads = heads.map(|at| history.vertex(at).entry.id()).collect();
        roster.heads.sort_unstable();
        judged.admissions.insert(owner, at);
        for (node, at) in judged.admissions {
            let tip = tips[at].expect("an entry with effect has a head above it or is one");
            roster.members.insert(node, Member::admitted(node, history.vertex(at).entry, history.vertex(tip).entry));
        }
        if let Some(member) = roster.members.get_mut(&owner) {
            (member.name, member.role) = (found.node_name.clone(), Role::Admin);
        }
        roster.settle_facts(&history);
        let mut names = BTreeSet::new();
        let twice = roster.members.values().filter(|member| !names.insert(&member.name));
        roster.shared_names = twice.map(|member| member.name.clone()).collect();
        Some(roster)
    }

    /// Returns the role of a node, `None` for strangers.
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.members.get(&node).map(|member| member.role)
    }

    /// Returns whether what the node writes to the data set has effect.
    pub fn may_write(&self, node: NodeId) -> bool {
        let lowest = if planted::is(Bug::ObserversWrite) { Role::Observer } else { Role::Member };
        self.role(node).is_some_and(|role| role >= lowest)
    }

    /// Returns the name shown for a node: its own, with the start of its id where two members share it.
    pub fn display_name(&self, node: NodeId) -> String {
        let Some(member) = self.members.get(&node) else { return node.short() };
        if self.shared_names.contains(&member.name) {
            format!("{}~{}", member.name, &node.to_string()[..4])
        } else {
            member.name.clone()
        }
    }

    /// Returns what an admission by `author` names as seen: a head that has its own admission in its past, then others.
    pub fn seen_by(&self, author: NodeId) -> Vec<EntryId> {
        let own = self.members.get(&author).map(|member| member.head);
        let others = self.heads.iter().copied().filter(|head| Some(*head) != own);
        own.into_iter().chain(others).take(CONTROL_HEADS_MAX).collect()
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
        let past = history.past(history.find(member.admission)?);
        let needed = std::iter::once(founding).chain(past.into_iter().filter(|&at| at != founding));
        let others = self.members.iter().filter(|(other, _)| **other != member.admitted_by);
        let bearer = self.members.get_key_value(&member.admitted_by);
        let facts = bearer.into_iter().chain(others).filter_map(|(_, member)| member.facts.first());
        let places: BTreeMap<EntryId, usize> =
            history.vertices().iter().enumerate().map(|(at, vertex)| (vertex.entry.id(), at)).collect();
        let helpful = facts.filter_map(|id| places.get(id).copied());
        Some(Introduction { helpful: helpful.map(entry).collect(), needed: needed.map(entry).collect() })
    }

    /// Walks the admissions in causal order and gives effect to those whose author had authority.
    fn judge(&mut self, history: &History<'_>) -> Judged {
        let authors = history.admitting(self.owner);
        let words = authors.len().div_ceil(64);
        let count = history.vertices().len();
        // For each entry which of the authors its past, and itself, made admins.
        let mut admins = vec![0_u64; count * words];
        let mut has_effect = vec![false; count];
        let mut latest: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for &at in history.order() {
            let vertex = history.vertex(at);
            let mut known = vec![0_u64; words];
            for &parent in &vertex.parents {
                let theirs = &admins[parent * words..][..words];
                known.iter_mut().zip(theirs).for_each(|(word, more)| *word |= more);
            }
            let number = authors.get(&vertex.author());
            let is_admin = number.is_some_and(|number| known[number / 64] & (1 << (number % 64)) != 0);
            if vertex.author() == self.owner || is_admin || planted::is(Bug::AnyoneAdmits) {
                for (node, role) in &vertex.admits {
                    has_effect[at] = true;
                    if let Some(number) = authors.get(node).filter(|_| *role == Role::Admin) {
                        known[number / 64] |= 1 << (number % 64);
                    }
                    let present = latest.entry(*node).or_default();
                    let past = if present.is_empty() { BTreeSet::new() } else { history.seen_of(at, present) };
                    present.retain(|earlier| *earlier != at && !past.contains(earlier));
                    present.push(at);
                }
            } else if !vertex.admits.is_empty() {
                self.void.insert(vertex.entry.id(), VoidReason::NoAuthority);
            }
            admins[at * words..][..words].copy_from_slice(&known);
        }
        let waiting = history.waiting().filter(|vertex| !vertex.admits.is_empty());
        self.void.extend(waiting.map(|vertex| (vertex.entry.id(), VoidReason::MissingDependency)));
        // Places are in the order of (hlc, id), so the highest is the last word of those that are concurrent.
        let admissions = latest.into_iter().filter_map(|(node, places)| Some((node, places.into_iter().max()?)));
        Judged { has_effect, admissions: admissions.collect() }
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
        // The latest comes last, and so first in the list of its author.
        for (vertex, _) in vertices.iter().zip(is_seen).filter(|(vertex, is_seen)| vertex.is_facts && !is_seen).rev() {
            let Some(member) = self.members.get_mut(&vertex.author()) else { continue };
            if member.facts.is_empty() {
                let ops = vertex.entry.control_ops().iter();
                for facts in ops.filter_map(|op| if let Op::Node(facts) = op { Some(facts) } else { None }) {
                    (member.name, member.addresses) = (facts.name.clone(), facts.addresses.clone());
                }
            }
            if member.facts.len() < CONTROL_HEADS_MAX / 2 {
                member.facts.push(vertex.entry.id());
            }
        }
    }
}

impl Member {
    /// Reads what an admission with effect says of a node.
    fn admitted(node: NodeId, admission: &Entry, head: &Entry) -> Self {
        let content = admission.content();
        let mut admits = admission.control_ops().iter().filter_map(|op| match op {
            Op::Admit(admit) if admit.node == node => Some((admit.name.clone(), admit.role)),
            _ => None,
        });
        // The founding entry admits nobody but its author.
        let (name, role) = admits.next_back().unwrap_or((String::new(), Role::Admin));
        Self {
            name,
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

/// Which admissions have effect.
struct Judged {
    /// For each entry whether it lets somebody in.
    has_effect: Vec<bool>,
    /// For each node the last word on its admission.
    admissions: BTreeMap<NodeId, usize>,
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
            if let Op::Admit(admit) = op {
                open.push(admit.node);
            }
        }
        storable.extend(entries);
    }
    storable
}

/// Returns for each entry one with effect that has it in its past and is a head; a head names itself.
fn tips(history: &History<'_>, has_effect: &[bool]) -> Vec<Option<usize>> {
    let mut tips = vec![None; has_effect.len()];
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
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::Index;

    use super::*;
    use crate::clock::Wall;
    use crate::op::{Admit, Found, NodeFacts, ProjectKeys};
    use crate::testing::{Author, MeshFixture};

    #[test]
    fn the_founder_is_the_owner_and_the_first_member() {
        let mesh = MeshFixture::founded();
        let roster = mesh.roster();
        assert_eq!(roster.owner, mesh.founder.node());
        assert_eq!(roster.role(roster.owner), Some(Role::Admin));
        assert_eq!(roster.heads.len(), 1);
    }

    #[test]
    fn an_admission_by_an_admin_has_effect_and_one_by_a_member_has_none() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid) = (Author::seeded(2), Author::seeded(3));
        mesh.admit(&mesh.founder.clone(), &bob, Role::Member);
        let void = mesh.admit(&bob, &cid, Role::Member);
        let roster = mesh.roster();
        assert_eq!(roster.role(bob.node()), Some(Role::Member));
        assert_eq!(roster.role(cid.node()), None);
        assert_eq!(roster.void.get(&void), Some(&VoidReason::NoAuthority));
        assert!(roster.known.contains(&cid.node()), "a void admission still makes its entries storable");
    }

    #[test]
    fn authority_is_judged_where_the_operation_stood() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid) = (Author::seeded(2), Author::seeded(3));
        let before = mesh.roster().heads;
        mesh.admit(&mesh.founder.clone(), &bob, Role::Admin);
        mesh.admit_seeing(&bob, &cid, Role::Member, before);
        assert_eq!(mesh.roster().role(cid.node()), None, "bob had not seen his own admission");
        mesh.admit(&bob, &cid, Role::Member);
        assert_eq!(mesh.roster().role(cid.node()), Some(Role::Member));
    }

    #[test]
    fn an_operation_waits_for_what_it_saw() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid) = (Author::seeded(2), Author::seeded(3));
        mesh.admit(&mesh.founder.clone(), &bob, Role::Admin);
        mesh.admit(&bob, &cid, Role::Member);
        let without_bob: Vec<&Entry> =
            mesh.entries.iter().enumerate().filter(|(index, _)| *index != 1).map(|(_, entry)| entry).collect();
        let roster = Roster::fold(mesh.mesh, without_bob).unwrap();
        assert_eq!(roster.role(cid.node()), None);
        assert_eq!(roster.void.values().next(), Some(&VoidReason::MissingDependency));
    }

    #[test]
    fn the_last_word_goes_by_what_was_seen_before_clocks() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        mesh.facts(&founder, "later-clock", 2_000_000_000_000);
        mesh.facts(&founder, "saw-the-other", 1_000_000_000_000);
        assert_eq!(mesh.roster().members[&founder.node()].name, "saw-the-other");
    }

    #[test]
    fn the_fold_does_not_depend_on_order() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        for seed in 2..9 {
            let author = Author::seeded(seed);
            let role = if seed % 2 == 0 { Role::Admin } else { Role::Observer };
            mesh.admit(&founder, &author, role);
            mesh.facts(&author, "twin", 1_700_000_000_000 + u64::from(seed));
        }
        let forward = mesh.roster();
        mesh.entries.reverse();
        assert_eq!(mesh.roster(), forward);
        let name = forward.display_name(Author::seeded(2).node());
        assert!(name.starts_with("twin~"), "{name}");
    }

    #[test]
    fn what_others_write_can_not_crowd_out_the_past_of_an_admin() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        let (admin, member) = (Author::seeded(2), Author::seeded(3));
        mesh.admit(&founder, &admin, Role::Admin);
        mesh.admit(&founder, &member, Role::Member);
        // Facts that saw nothing, admissions without authority, and one that hides all heads behind what never comes.
        for at in 0..100 {
            let facts = NodeFacts { seen: vec![], name: format!("n{at}"), addresses: vec![] };
            mesh.push(&member, 1_700_000_000_000, Op::Node(facts));
            mesh.admit_seeing(&member, &Author::seeded(at + 100), Role::Admin, vec![]);
        }
        let mut hidden = mesh.roster().heads;
        hidden.push(EntryId::from_bytes([9; 32]));
        mesh.admit_seeing(&member, &Author::seeded(99), Role::Admin, hidden);
        let joiner = Author::seeded(4);
        mesh.admit(&admin, &joiner, Role::Member);
        assert_eq!(mesh.roster().role(joiner.node()), Some(Role::Member));
    }

    #[test]
    fn an_admin_names_its_own_past_first_where_heads_are_many() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        let admins: Vec<Author> = (2..102).map(Author::seeded).collect();
        for admin in &admins {
            mesh.admit_seeing(&founder, admin, Role::Admin, vec![]);
        }
        assert_eq!(mesh.roster().heads.len(), 101);
        for (admin, joiner) in admins.iter().zip((102..).map(Author::seeded)) {
            mesh.admit(admin, &joiner, Role::Member);
            assert_eq!(mesh.roster().role(joiner.node()), Some(Role::Member));
        }
    }

    #[test]
    fn facts_wait_for_nothing() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        mesh.facts(&founder, "first", 1_600_000_000_001);
        mesh.facts(&founder, "second", 1_600_000_000_002);
        mesh.entries.remove(1);
        let roster = mesh.roster();
        assert_eq!(roster.members[&founder.node()].name, "second");
        assert_eq!(roster.void, BTreeMap::new());
    }

    #[test]
    fn an_introduction_folds_to_a_roster_with_the_node_in_it() {
        let mut mesh = MeshFixture::founded();
        let founder = mesh.founder.clone();
        let (admin, joiner) = (Author::seeded(2), Author::seeded(3));
        mesh.admit(&founder, &admin, Role::Admin);
        for name in ["old", "new"] {
            mesh.facts(&founder, name, 1_700_000_000_000);
            mesh.facts(&admin, name, 1_700_000_000_000);
            let keys = ProjectKeys { keys: vec![format!("name:{name}")], prefix: None };
            mesh.push(&admin, 1_700_000_000_000, Op::Project(keys));
        }
        mesh.admit(&admin, &joiner, Role::Observer);
        let full = mesh.roster();
        let Introduction { needed, helpful } = full.introduction(joiner.node(), &mesh.entries).unwrap();
        assert_eq!((needed.len(), helpful.len()), (3, 2));
        assert!(needed[0].is_founding());
        assert_eq!(helpful[0].content().author, admin.node());
        let short = Roster::fold(mesh.mesh, needed.iter().copied()).unwrap();
        assert_eq!(short.role(joiner.node()), Some(Role::Observer));
        assert_eq!(Roster::fold(mesh.mesh, needed.into_iter().chain(helpful)).unwrap(), full);
        assert_eq!(full.introduction(Author::seeded(9).node(), &mesh.entries), None);
    }

    #[test]
    fn strangers_that_vouch_for_each_other_are_not_storable() {
        let mut mesh = MeshFixture::founded();
        let (bob, cid, dan) = (Author::seeded(2), Author::seeded(3), Author::seeded(4));
        mesh.admit(&mesh.founder.clone(), &bob, Role::Member);
        mesh.admit(&bob, &cid, Role::Member);
        mesh.facts(&cid, "named by a void admission", 1_700_000_000_000);
        let storable_count = mesh.entries.len();
        let (eve, mal) = (Author::seeded(8), Author::seeded(9));
        mesh.admit_seeing(&eve, &mal, Role::Admin, vec![]);
        mesh.admit_seeing(&mal, &eve, Role::Admin, vec![]);
        mesh.admit_seeing(&mal, &dan, Role::Admin, vec![]);
        let kept = storable(mesh.mesh, mesh.entries.clone());
        let ids = |entries: &[Entry]| entries.iter().map(Entry::id).collect::<BTreeSet<_>>();
        assert_eq!(ids(&kept), ids(&mesh.entries[..storable_count]));
    }

    #[test]
    fn a_founding_entry_that_names_what_was_before_it_does_no_harm() {
        let founder = Author::seeded(1);
        let found = Found { name: "mesh".into(), recovery: [7; 32], node_name: "founder".into() };
        let seen = vec![EntryId::from_bytes([9; 32])];
        let name = String::from("self");
        let admit = Admit { seen, node: founder.node(), name, role: Role::Observer, invite: None };
        let ops = [Op::Found(found), Op::Admit(admit)];
        let entry = founder.entry(MeshId::NONE, 1, Wall::from_millis(1_600_000_000_000), &ops);
        let roster = Roster::fold(entry.id().into(), [&entry]).unwrap();
        assert_eq!(roster.role(founder.node()), Some(Role::Admin));
    }

    /// Says by the letter of the rules who is let in: authority is looked for in the whole past of each admission.
    fn members_by_the_letter(mesh: &MeshFixture) -> BTreeMap<NodeId, Role> {
        let admit = |entry: &Entry| match Op::decode(&entry.content().ops[0]) {
            Ok(Op::Admit(admit)) => Some(admit),
            _ => None,
        };
        let mut pasts: BTreeMap<EntryId, BTreeSet<EntryId>> = BTreeMap::new();
        let mut with_effect: Vec<&Entry> = Vec::new();
        // The fixture's entries come after what they saw.
        for entry in &mesh.entries {
            let seen = admit(entry).map(|admit| admit.seen).unwrap_or_default();
            let past = seen.iter().flat_map(|id| pasts[id].iter().chain([id]).copied()).collect::<BTreeSet<_>>();
            let author = entry.content().author;
            let made_admin = |earlier: &&Entry| {
                let made = admit(earlier).expect("only admissions have effect");
                past.contains(&earlier.id()) && made.node == author && made.role == Role::Admin
            };
            let is_admin = author == mesh.founder.node() || with_effect.iter().any(made_admin);
            if admit(entry).is_some() && is_admin {
                with_effect.push(entry);
            }
            pasts.insert(entry.id(), past);
        }
        let mut members = BTreeMap::new();
        with_effect.sort_by_key(|entry| (entry.content().hlc, entry.id()));
        for entry in &with_effect {
            let made = admit(entry).expect("only admissions have effect");
            let is_last = !with_effect.iter().any(|later| {
                admit(later).is_some_and(|other| other.node == made.node) && pasts[&later.id()].contains(&entry.id())
            });
            if is_last {
                members.insert(made.node, made.role);
            }
        }
        members.insert(mesh.founder.node(), Role::Admin);
        members
    }

    proptest! {
        #[test]
        fn the_fold_keeps_to_the_letter_of_the_rules(
            steps in vec((1..6_u8, 1..6_u8, any::<bool>(), vec(any::<Index>(), 0..3), 0..9_u64), 1..20),
        ) {
            let mut mesh = MeshFixture::founded();
            for (by, node, is_admin, seen, millis) in steps {
                let seen: BTreeSet<EntryId> = seen.iter().map(|at| mesh.entries[at.index(mesh.entries.len())].id()).collect();
                let role = if is_admin { Role::Admin } else { Role::Member };
                let (seen, name, node) = (seen.into_iter().collect(), String::from("n"), Author::seeded(node).node());
                let admit = Admit { seen, node, name, role, invite: None };
                mesh.push(&Author::seeded(by), 1_700_000_000_000 + millis, Op::Admit(admit));
            }
            let roster = mesh.roster();
            let roles: BTreeMap<NodeId, Role> = roster.members.iter().map(|(node, member)| (*node, member.role)).collect();
            prop_assert_eq!(&roles, &members_by_the_letter(&mesh));
            for (node, member) in &roster.members {
                prop_assert!(roster.heads.contains(&member.head));
                let introduction = roster.introduction(*node, &mesh.entries).unwrap();
                let short = Roster::fold(mesh.mesh, introduction.needed).unwrap();
                prop_assert!(short.members.contains_key(node));
            }
            mesh.entries.reverse();
            prop_assert_eq!(mesh.roster(), roster);
        }
    }
}
