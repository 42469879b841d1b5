//! Tests of the roster as a whole.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::*;
use crate::clock::Wall;
use crate::id::InstanceId;
use crate::limits::{LEAVES_MAX, OWN_NAMES_MAX};
use crate::op::{Admit, CutEnd, Found, Naming, NodeFacts, ProjectKeys, Removal};
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

/// What an entry of the fixture does about a node: its one operation.
fn act(entry: &Entry) -> Option<(NodeId, Option<Role>, Vec<EntryId>, bool)> {
    match Op::decode(&entry.content().ops[0]) {
        Ok(Op::Admit(admit)) => Some((admit.node, Some(admit.role), admit.seen, false)),
        Ok(Op::Remove(removal)) => Some((removal.node, removal.stays, removal.seen, true)),
        _ => None,
    }
}

/// Says by the letter of the rules who is a member: everything is looked for in whole pasts.
struct Letter<'a> {
    entries: BTreeMap<EntryId, &'a Entry>,
    pasts: BTreeMap<EntryId, BTreeSet<EntryId>>,
    /// Where each stands among those that come after what they saw, as the fold has it.
    places: BTreeMap<EntryId, usize>,
    effect: BTreeSet<EntryId>,
    ranked: Vec<NodeId>,
}

impl<'a> Letter<'a> {
    fn of(mesh: &'a MeshFixture) -> Self {
        let mut pasts: BTreeMap<EntryId, BTreeSet<EntryId>> = BTreeMap::new();
        // The fixture's entries come after what they saw.
        for entry in &mesh.entries {
            let seen = act(entry).map(|(_, _, seen, _)| seen).unwrap_or_default();
            let past = seen.iter().flat_map(|id| pasts[id].iter().chain([id]).copied()).collect();
            pasts.insert(entry.id(), past);
        }
        let history = History::of(&mesh.entries);
        let places = history.vertices().iter().enumerate().map(|(at, vertex)| (vertex.entry.id(), history.place(at)));
        let entries = mesh.entries.iter().map(|entry| (entry.id(), entry)).collect();
        let mut letter = Self { entries, pasts, places: places.collect(), effect: BTreeSet::new(), ranked: vec![] };
        let owner = mesh.founder.node();
        letter.ranked.push(owner);
        let mut turn = 0;
        while let Some(node) = letter.ranked.get(turn).copied() {
            letter.judge(node, owner);
            turn += 1;
            let mut next: Vec<(usize, NodeId)> = letter.with_effect(|_, role| role == Some(Role::Admin));
            next.retain(|(_, node)| !letter.ranked.contains(node));
            letter.ranked.extend(next.into_iter().min().map(|(_, node)| node));
        }
        let others: BTreeSet<NodeId> = mesh.entries.iter().map(|entry| entry.content().author).collect();
        let ranked = letter.ranked.clone();
        others.into_iter().filter(|node| !ranked.contains(node)).for_each(|node| letter.judge(node, owner));
        letter
    }

    /// Returns where acts with effect stand, and whom they are about.
    fn with_effect(&self, wanted: impl Fn(NodeId, Option<Role>) -> bool) -> Vec<(usize, NodeId)> {
        let acts = self.effect.iter().filter_map(|id| Some((id, act(self.entries[id])?)));
        acts.filter(|(_, (node, role, ..))| wanted(*node, *role))
            .map(|(id, (node, ..))| (self.places[id], node))
            .collect()
    }

    fn judge(&mut self, node: NodeId, owner: NodeId) {
        let mut own: Vec<EntryId> =
            self.entries.values().filter(|entry| entry.content().author == node).map(|entry| entry.id()).collect();
        own.sort_by_key(|id| self.places[id]);
        let leaves = |id: &EntryId| act(self.entries[id]).is_some_and(|(of, _, _, takes)| takes && of == node);
        let left: Vec<EntryId> = own
            .iter()
            .copied()
            .filter(|id| leaves(id) && node != owner && self.had(node, Role::Observer, *id))
            .collect();
        self.effect.extend(left);
        let is_ranked = self.ranked.contains(&node);
        let acts = own.into_iter().filter(|id| {
            let about = act(self.entries[id]).map(|(of, ..)| of);
            let is_lower = about.is_some_and(|of| of != node && !self.ranked.contains(&of));
            is_ranked && is_lower && (node == owner || self.had(node, Role::Admin, *id))
        });
        let acts: Vec<EntryId> = acts.collect();
        self.effect.extend(acts);
    }

    fn about(&self, node: NodeId) -> impl Iterator<Item = (EntryId, Option<Role>, bool)> {
        let acts = self.effect.iter().filter_map(|id| Some((*id, act(self.entries[id])?)));
        acts.filter(move |(_, (of, ..))| *of == node).map(|(id, (_, role, _, takes))| (id, role, takes))
    }

    /// Whether a node had a role at an entry: it was given in the past, and every removal is later, or is followed in
    /// the past by another grant.
    fn had(&self, node: NodeId, role: Role, at: EntryId) -> bool {
        let past = &self.pasts[&at];
        let granted = |id: &EntryId, given: Option<Role>| given >= Some(role) && past.contains(id);
        self.about(node).any(|(id, given, _)| granted(&id, given))
            && self.about(node).filter(|(_, _, takes)| *takes).all(|(taking, _, _)| {
                let again = |(id, given, _): (EntryId, Option<Role>, bool)| {
                    granted(&id, given) && (id == taking || self.pasts[&id].contains(&taking))
                };
                self.pasts[&taking].contains(&at) || self.about(node).any(again)
            })
    }

    fn members(&self, owner: NodeId) -> BTreeMap<NodeId, Role> {
        let nodes: BTreeSet<NodeId> = self.effect.iter().filter_map(|id| Some(act(self.entries[id])?.0)).collect();
        let mut members = BTreeMap::new();
        for node in nodes {
            let live = self.about(node).filter(|(id, given, _)| {
                let saw = |taking: EntryId| taking == *id || self.pasts[id].contains(&taking);
                given.is_some() && self.about(node).filter(|(_, _, takes)| *takes).all(|(taking, ..)| saw(taking))
            });
            let live: Vec<(EntryId, Option<Role>, bool)> = live.collect();
            let last = live.iter().filter(|(id, ..)| !live.iter().any(|(other, ..)| self.pasts[other].contains(id)));
            let last = last.max_by_key(|(id, ..)| (self.entries[id].content().hlc, *id));
            members.extend(last.and_then(|(_, role, _)| Some((node, (*role)?))));
        }
        members.insert(owner, Role::Admin);
        members
    }
}

proptest! {
    #[test]
    fn the_fold_keeps_to_the_letter_of_the_rules(
        steps in vec((1..6_u8, 1..6_u8, 0..6_u8, vec(any::<Index>(), 0..3), 0..9_u64), 1..24),
    ) {
        let mut mesh = MeshFixture::founded();
        for (by, node, what, seen, millis) in steps {
            let seen: BTreeSet<EntryId> = seen.iter().map(|at| mesh.entries[at.index(mesh.entries.len())].id()).collect();
            let (seen, name, node) = (seen.into_iter().collect(), String::from("n"), Author::seeded(node).node());
            let op = match what {
                0..3 => Op::Admit(Admit { seen, node, name, role: Role::Admin, invite: None }),
                3 => Op::Admit(Admit { seen, node, name, role: Role::Member, invite: None }),
                4 => Op::Remove(Removal { seen, node, stays: None, cut: vec![] }),
                _ => Op::Remove(Removal { seen, node, stays: Some(Role::Observer), cut: vec![] }),
            };
            mesh.push(&Author::seeded(by), 1_700_000_000_000 + millis, op);
        }
        let roster = mesh.roster();
        let roles: BTreeMap<NodeId, Role> = roster.members.iter().map(|(node, member)| (*node, member.role)).collect();
        let letter = Letter::of(&mesh);
        prop_assert_eq!(&roles, &letter.members(mesh.founder.node()));
        let acts = mesh.entries.iter().filter(|entry| act(entry).is_some()).map(Entry::id);
        let void: BTreeSet<EntryId> = acts.filter(|id| !letter.effect.contains(id)).collect();
        prop_assert_eq!(roster.void.keys().copied().collect::<BTreeSet<_>>(), void);
        for (node, member) in &roster.members {
            if member.role == Role::Admin {
                prop_assert!(roster.heads.contains(&member.head));
            }
            let introduction = roster.introduction(*node, &mesh.entries).unwrap();
            let short = Roster::fold(mesh.mesh, introduction.needed).unwrap();
            prop_assert!(short.members.contains_key(node));
        }
        mesh.entries.reverse();
        prop_assert_eq!(mesh.roster(), roster);
    }
}

#[test]
fn who_is_removed_has_a_standing_and_who_is_let_in_again_goes_on_elsewhere() {
    let mut mesh = MeshFixture::founded();
    let (founder, bob) = (mesh.founder.clone(), Author::seeded(2));
    mesh.admit(&founder, &bob, Role::Member);
    assert_eq!(mesh.roster().standings, BTreeMap::new());
    let end = CutEnd { instance: InstanceId::from_bytes([1; 8]), last: EntryId::from_bytes([9; 32]) };
    let removal = mesh.remove(&founder, &bob, vec![end]);
    let roster = mesh.roster();
    assert_eq!(roster.removals_of(bob.node()), [removal]);
    assert_eq!(roster.display_name(bob.node()), "joined");
    assert_eq!(roster.former[&bob.node()].removed_by, founder.node());
    let standing = &roster.standings[&bob.node()];
    assert_eq!((standing.ends.len(), standing.resumed.len()), (1, 0));
    let seen = roster.seen_about(founder.node(), bob.node());
    assert!(seen.contains(&removal));
    let again = mesh.admit_seeing(&founder, &bob, Role::Member, seen);
    let roster = mesh.roster();
    assert!(roster.may_write(bob.node()) && roster.former.is_empty());
    assert!(roster.standings[&bob.node()].resumed.contains_key(&cut::instance_after(again)));
    // Another role for a member that may go on writing leaves it where it writes.
    let raised = mesh.admit(&founder, &bob, Role::Admin);
    let resumed = mesh.roster().standings[&bob.node()].resumed.clone();
    assert!([again, raised].iter().all(|entry| resumed.contains_key(&cut::instance_after(*entry))));
}

#[test]
fn a_given_name_counts_before_the_one_a_node_gives_itself() {
    let mut mesh = MeshFixture::founded();
    let (founder, bob, cid) = (mesh.founder.clone(), Author::seeded(2), Author::seeded(3));
    mesh.admit(&founder, &bob, Role::Member);
    mesh.admit(&founder, &cid, Role::Member);
    mesh.facts(&bob, "laptop", 1_700_000_000_000);
    let name = |mesh: &mut MeshFixture, by: &Author, name: &str| {
        let naming = Naming { seen: mesh.roster().seen_by(by.node()), node: bob.node(), name: name.to_owned() };
        mesh.push(by, 1_700_000_000_000, Op::Name(naming));
        mesh.roster().display_name(bob.node())
    };
    assert_eq!(mesh.roster().display_name(bob.node()), "laptop");
    assert_eq!(name(&mut mesh, &cid, "stolen"), "laptop");
    assert_eq!(name(&mut mesh, &founder, "attic"), "attic");
    assert_eq!(name(&mut mesh, &bob, "cellar"), "cellar");
    mesh.facts(&bob, "laptop again", 1_800_000_000_000);
    let roster = mesh.roster();
    assert_eq!(roster.display_name(bob.node()), "cellar");
    assert_eq!(roster.members[&bob.node()].own_name, "laptop again");
}

#[test]
fn a_member_that_leaves_over_and_over_crowds_nobody_out() {
    let mut mesh = MeshFixture::founded();
    let (founder, bob) = (mesh.founder.clone(), Author::seeded(2));
    let admission = mesh.admit(&founder, &bob, Role::Member);
    for _ in 0..100 {
        mesh.remove_seeing(&bob, &bob, (None, vec![]), vec![admission]);
    }
    let roster = mesh.roster();
    assert_eq!((roster.heads.len(), roster.removals_of(bob.node()).len()), (1, LEAVES_MAX));
    let seen = roster.seen_about(founder.node(), bob.node());
    mesh.admit_seeing(&founder, &bob, Role::Member, seen);
    assert_eq!(mesh.roster().role(bob.node()), Some(Role::Member));
}

#[test]
fn a_node_that_gives_itself_names_over_and_over_is_called_by_one_of_the_latest() {
    let mut mesh = MeshFixture::founded();
    let (founder, bob) = (mesh.founder.clone(), Author::seeded(2));
    let admission = mesh.admit(&founder, &bob, Role::Member);
    // None saw another, and the first has the highest clock.
    for at in 0..=OWN_NAMES_MAX as u64 {
        let naming = Naming { seen: vec![admission], node: bob.node(), name: format!("name {at}") };
        mesh.push(&bob, 1_800_000_000_000 + at, Op::Name(naming));
    }
    assert_eq!(mesh.roster().display_name(bob.node()), format!("name {OWN_NAMES_MAX}"));
    let naming = Naming { seen: mesh.roster().seen_about(bob.node(), bob.node()), node: bob.node(), name: "x".into() };
    mesh.push(&bob, 1_800_000_000_999, Op::Name(naming));
    assert_eq!(mesh.roster().display_name(bob.node()), "x");
}

#[test]
fn what_a_removed_node_calls_itself_afterwards_is_shown_to_nobody() {
    let mut mesh = MeshFixture::founded();
    let (founder, bob) = (mesh.founder.clone(), Author::seeded(2));
    mesh.admit(&founder, &bob, Role::Member);
    mesh.facts(&bob, "before", 1_600_000_000_500);
    mesh.remove(&founder, &bob, vec![]);
    mesh.facts(&bob, "after", 1_800_000_000_000);
    assert_eq!(mesh.roster().display_name(bob.node()), "before");
}
