use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::super::Roster;
use super::super::table::What::{Admin, Evict, Give, Member, Observe, Remove, Rotate, Usurp};
use super::super::table::{Step, effects, founded, op, played};
use crate::id::{EntryId, NodeId};
use crate::op::{Naming, Op, Role};
use crate::testing::Author;

/// What a row says, its acts, which of them have effect, who is in the mesh besides node 1, and whose place they took.
type Row = (&'static str, &'static [Step], &'static [bool], &'static [(u8, Role)], &'static [(u8, u8)]);

/// The table: node 1 owns the mesh. Published in docs/decisions/0026-rotation.md.
const ROWS: &[Row] = &[
    (
        "a member replaces its key",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1])],
        &[true, true],
        &[(5, Role::Member)],
        &[(2, 5)],
    ),
    (
        "an admin does, and its new key lets others in where its old one can not any more",
        &[(1, 2, Admin, &[0]), (2, 5, Rotate, &[1]), (2, 3, Member, &[2]), (5, 4, Member, &[2])],
        &[true, true, false, true],
        &[(4, Role::Member), (5, Role::Admin)],
        &[(2, 5)],
    ),
    (
        "what the old key does apart from that is void, and what it did before stands",
        &[(1, 2, Admin, &[0]), (2, 3, Member, &[1]), (2, 5, Rotate, &[2]), (2, 4, Member, &[1])],
        &[true, true, true, false],
        &[(3, Role::Member), (5, Role::Admin)],
        &[(2, 5)],
    ),
    (
        "the new key has the rank of the old one",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (2, 5, Rotate, &[2]), (3, 5, Remove, &[3]), (5, 3, Remove, &[3])],
        &[true, true, true, false, true],
        &[(5, Role::Admin)],
        &[(2, 5)],
    ),
    (
        "once more, and again in that rank",
        &[
            (1, 2, Admin, &[0]),
            (1, 3, Admin, &[1]),
            (2, 6, Rotate, &[2]),
            (6, 5, Rotate, &[3]),
            (3, 5, Remove, &[4]),
            (5, 3, Remove, &[4]),
        ],
        &[true, true, true, true, false, true],
        &[(5, Role::Admin)],
        &[(2, 6), (6, 5)],
    ),
    (
        "a member does so twice",
        &[(1, 2, Member, &[0]), (2, 3, Rotate, &[1]), (3, 5, Rotate, &[2])],
        &[true, true, true],
        &[(5, Role::Member)],
        &[(2, 3), (3, 5)],
    ),
    (
        "a key that has not agreed is let in by nobody, and who names it is out",
        &[(1, 2, Member, &[0]), (2, 5, Usurp, &[1])],
        &[true, true],
        &[],
        &[],
    ),
    (
        "nobody replaces the key of another",
        &[(1, 2, Admin, &[0]), (2, 5, Evict, &[1])],
        &[true, false],
        &[(2, Role::Admin)],
        &[],
    ),
    ("the owner's key is not replaced", &[(1, 5, Rotate, &[0])], &[false], &[], &[]),
    (
        "that of a former owner is",
        &[(1, 2, Admin, &[0]), (1, 2, Give(0), &[1]), (1, 5, Rotate, &[2]), (2, 5, Remove, &[3])],
        &[true, true, true, true],
        &[(2, Role::Admin)],
        &[(1, 5)],
    ),
    (
        "that of a coming owner is not",
        &[(1, 2, Admin, &[0]), (1, 2, Give(0), &[1]), (2, 5, Rotate, &[1])],
        &[true, true, false],
        &[(1, Role::Admin), (2, Role::Admin)],
        &[],
    ),
    (
        "the new key comes to own the mesh",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (1, 5, Give(0), &[2]), (5, 1, Remove, &[3])],
        &[true, true, true, true],
        &[(5, Role::Admin)],
        &[(2, 5)],
    ),
    (
        "who was removed apart from that does not get out of it",
        &[(1, 2, Member, &[0]), (1, 2, Remove, &[1]), (2, 5, Rotate, &[1])],
        &[true, true, false],
        &[],
        &[],
    ),
    (
        "nor by what it does in two steps",
        &[(1, 2, Member, &[0]), (2, 3, Rotate, &[1]), (3, 5, Rotate, &[2]), (1, 2, Remove, &[1])],
        &[true, false, false, true],
        &[],
        &[],
    ),
    (
        "nor does who was given a lesser role",
        &[(1, 2, Admin, &[0]), (1, 2, Observe, &[1]), (2, 5, Rotate, &[1])],
        &[true, true, false],
        &[(2, Role::Observer)],
        &[],
    ),
    (
        "who has it goes on in it",
        &[(1, 2, Admin, &[0]), (1, 2, Observe, &[1]), (2, 5, Rotate, &[2])],
        &[true, true, true],
        &[(5, Role::Observer)],
        &[(2, 5)],
    ),
    (
        "a lower rank stops nobody",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (3, 2, Remove, &[2]), (2, 5, Rotate, &[2])],
        &[true, true, false, true],
        &[(3, Role::Admin), (5, Role::Admin)],
        &[(2, 5)],
    ),
    (
        "of two keys apart from each other neither goes on",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (2, 6, Rotate, &[1])],
        &[true, true, true],
        &[],
        &[],
    ),
    (
        "one key named twice does",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (2, 5, Rotate, &[1])],
        &[true, false, true],
        &[(5, Role::Member)],
        &[(2, 5)],
    ),
    (
        "but not where somebody repeats what it agreed to, and says otherwise what still counts",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (2, 5, Usurp, &[1])],
        &[true, false, true],
        &[],
        &[],
    ),
    (
        "of one after another the first does",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (2, 6, Rotate, &[2])],
        &[true, true, false],
        &[(5, Role::Member)],
        &[(2, 5)],
    ),
    (
        "with the old key somebody leaves apart from that: nothing goes on",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (2, 2, Remove, &[1])],
        &[true, false, true],
        &[],
        &[],
    ),
    (
        "a key that was let in before takes nobody's place",
        &[(1, 2, Member, &[0]), (1, 3, Member, &[1]), (2, 3, Rotate, &[2])],
        &[true, true, true],
        &[(3, Role::Member)],
        &[],
    ),
    (
        "nor does one that was removed",
        &[(1, 2, Member, &[0]), (1, 3, Member, &[1]), (1, 3, Remove, &[2]), (2, 3, Rotate, &[3])],
        &[true, true, true, true],
        &[],
        &[],
    ),
    (
        "the old key is never let in again",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (1, 2, Member, &[2])],
        &[true, true, true],
        &[(5, Role::Member)],
        &[(2, 5)],
    ),
    (
        "who is out by two keys is, and can not replace its key by the one it had named",
        &[
            (1, 2, Member, &[0]),
            (2, 5, Rotate, &[1]),
            (2, 6, Rotate, &[1]),
            (1, 2, Member, &[2, 3]),
            (2, 7, Rotate, &[4]),
        ],
        &[true, true, true, true, true],
        &[(7, Role::Member)],
        &[(2, 7)],
    ),
    (
        "the new key is removed, by who has heard of it or of no other",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (1, 5, Remove, &[1])],
        &[true, true, true],
        &[],
        &[(2, 5)],
    ),
    (
        "a role given to the old key apart from that is not handed on",
        &[(1, 2, Member, &[0]), (1, 2, Admin, &[1]), (2, 5, Rotate, &[1])],
        &[true, true, true],
        &[(5, Role::Member)],
        &[(2, 5)],
    ),
    (
        "one given to the new key afterwards counts",
        &[(1, 2, Member, &[0]), (2, 5, Rotate, &[1]), (1, 5, Admin, &[2]), (5, 3, Member, &[3])],
        &[true, true, true, true],
        &[(3, Role::Member), (5, Role::Admin)],
        &[(2, 5)],
    ),
];

fn node(seed: u8) -> NodeId {
    Author::seeded(seed).node()
}

#[test]
fn another_key_goes_on_where_nothing_speaks_against_it() {
    for (name, steps, found, members, places) in ROWS {
        let mut mesh = played(steps);
        let roster = mesh.roster();
        assert_eq!(effects(&mesh, &roster), *found, "{name}: effects");
        let roles: BTreeMap<NodeId, Role> = roster.members.iter().map(|(node, member)| (*node, member.role)).collect();
        let mut expected: BTreeMap<NodeId, Role> = members.iter().map(|(seed, role)| (node(*seed), *role)).collect();
        if roster.former.contains_key(&node(1)) {
            expected.remove(&node(1));
        } else {
            expected.insert(node(1), Role::Admin);
        }
        assert_eq!(roles, expected, "{name}: members");
        let places = places.iter().map(|(from, to)| (node(*from), node(*to)));
        assert_eq!(roster.successors, places.collect(), "{name}: places");
        mesh.entries.reverse();
        assert_eq!(mesh.roster(), roster, "{name}: order");
    }
}

#[test]
fn whose_key_was_replaced_keeps_its_names_and_shows_by_the_latest_key() {
    let mut mesh = founded();
    let (founder, bob, next) = (mesh.founder.clone(), Author::seeded(2), Author::seeded(5));
    mesh.admit(&founder, &bob, Role::Member);
    let seen = mesh.roster().seen_by(founder.node());
    mesh.push(&founder, 1_700_000_000_000, Op::Name(Naming { seen, node: bob.node(), name: "attic".to_owned() }));
    let seen = mesh.roster().seen_about(bob.node(), bob.node());
    let rotation = op(&mesh, (2, 5, Rotate, seen));
    let rotation = mesh.push(&bob, 1_700_000_000_001, rotation);
    let roster = mesh.roster();
    assert_eq!(roster.members[&next.node()].name, "attic");
    assert_eq!(roster.display_name(bob.node()), "attic");
    assert_eq!((roster.latest(bob.node()), roster.first(next.node())), (next.node(), bob.node()));
    assert_eq!(roster.removals_of(bob.node()), [rotation]);
    assert!(roster.known.contains(&next.node()) && !roster.may_write(bob.node()) && roster.may_write(next.node()));
    // What is done about it has seen by what it was let in, though no admin wrote that.
    assert!(roster.seen_about(founder.node(), next.node()).contains(&rotation));
    let introduction = roster.introduction(next.node(), &mesh.entries).unwrap();
    let short = Roster::fold(mesh.mesh, introduction.needed).unwrap();
    assert_eq!(short.role(next.node()), Some(Role::Member));
    mesh.facts(&next, "cellar", 1_700_000_000_002);
    assert_eq!(mesh.roster().members[&next.node()].own_name, "cellar");
    assert_eq!(mesh.roster().display_name(next.node()), "attic");
}

proptest! {
    #[test]
    fn a_place_is_taken_once_by_who_was_never_let_in_whatever_is_said_in_whatever_order(
        steps in vec((1..5_u8, 1..8_u8, 0..9_u8, any::<Index>(), vec(any::<Index>(), 0..3), 0..9_u64), 1..20),
    ) {
        let mut mesh = founded();
        for (by, of, what, before, seen, millis) in steps {
            let count = mesh.entries.len();
            let seen: Vec<EntryId> = seen.iter().map(|at| mesh.entries[at.index(count)].id()).collect();
            let what = match what {
                0 | 1 => Admin,
                2 => Member,
                3 => Remove,
                4 => Observe,
                5 => Give(before.index(count)),
                6 => Usurp,
                _ => Rotate,
            };
            if matches!(what, Rotate | Usurp) && by == of {
                continue;
            }
            let op = op(&mesh, (by, of, what, seen));
            mesh.push(&Author::seeded(by), 1_700_000_000_000 + millis, op);
        }
        let roster = mesh.roster();
        prop_assert_eq!(roster.role(roster.owner), Some(Role::Admin));
        for (from, to) in &roster.successors {
            prop_assert!(!roster.members.contains_key(from) && roster.former.contains_key(from));
            prop_assert!(roster.members.contains_key(to) || roster.former.contains_key(to));
            prop_assert_eq!(roster.successors.values().filter(|other| *other == to).count(), 1);
            prop_assert!(roster.first(*to) != *to && roster.latest(*from) != *from);
        }
        let mut ranks: Vec<usize> = roster.ranks.values().copied().collect();
        ranks.sort_unstable();
        prop_assert_eq!(ranks, (0..roster.ranks.len()).collect::<Vec<_>>());
        mesh.entries.reverse();
        prop_assert_eq!(mesh.roster(), roster);
    }
}
