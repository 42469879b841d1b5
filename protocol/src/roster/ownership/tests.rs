//! Tests of who owns the mesh, and of what that does to authority.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::super::Roster;
use super::super::table::What::{Admin, Forge, Give, Member, Remove, Take};
use super::super::table::{Step, effects, founded, op, played};
use crate::entry::Entry;
use crate::id::NodeId;
use crate::limits::OWNERSHIPS_GIVEN_MAX;
use crate::op::{Op, Role};
use crate::testing::{Author, MeshFixture};

/// What a row says, its acts, which of them have effect, who owns the mesh, and who is a member besides.
type Row = (&'static str, &'static [Step], &'static [bool], u8, &'static [(u8, Role)]);

/// The table: node 1 founds the mesh. Published in docs/decisions/0021-ownership.md.
const ROWS: &[Row] = &[
    (
        "the owner gives the mesh to a member, and stays an admin",
        &[(1, 2, Member, &[0]), (1, 2, Give(0), &[1])],
        &[true, true],
        2,
        &[(1, Role::Admin)],
    ),
    (
        "nobody else gives it",
        &[(1, 2, Admin, &[0]), (2, 2, Give(0), &[1]), (2, 3, Give(0), &[1])],
        &[true, false, false],
        1,
        &[(2, Role::Admin)],
    ),
    (
        "who owns it removes who did",
        &[(1, 2, Member, &[0]), (1, 2, Give(0), &[1]), (2, 1, Remove, &[2])],
        &[true, true, true],
        2,
        &[],
    ),
    (
        "who did removes nobody who does, neither afterwards nor meanwhile",
        &[(1, 2, Member, &[0]), (1, 2, Give(0), &[1]), (1, 2, Remove, &[2]), (1, 2, Remove, &[1])],
        &[true, true, false, false],
        2,
        &[(1, Role::Admin)],
    ),
    (
        "what the founder does afterwards counts as an admin's, the first of them",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (1, 3, Give(0), &[2]), (1, 2, Remove, &[3]), (2, 1, Remove, &[3])],
        &[true, true, true, true, false],
        3,
        &[(1, Role::Admin)],
    ),
    (
        "what the new owner did before counts as it did",
        &[(1, 2, Admin, &[0]), (2, 3, Member, &[1]), (1, 2, Give(0), &[2]), (2, 3, Remove, &[3])],
        &[true, true, true, true],
        2,
        &[(1, Role::Admin)],
    ),
    (
        "an admin that had not heard does not remove the new owner",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (1, 3, Give(0), &[2]), (2, 3, Remove, &[2])],
        &[true, true, true, false],
        3,
        &[(1, Role::Admin), (2, Role::Admin)],
    ),
    (
        "who was removed before it is given the mesh is in it again",
        &[(1, 2, Admin, &[0]), (1, 2, Remove, &[1]), (1, 2, Give(0), &[2])],
        &[true, true, true],
        2,
        &[(1, Role::Admin)],
    ),
    (
        "a mesh given away is not given again, whatever the clocks say",
        &[(1, 2, Member, &[0]), (1, 3, Member, &[1]), (1, 2, Give(0), &[2]), (1, 3, Give(0), &[3])],
        &[true, true, true, false],
        2,
        &[(1, Role::Admin), (3, Role::Member)],
    ),
    (
        "of two gifts that know nothing of each other the first by the clock counts",
        &[(1, 2, Member, &[0]), (1, 3, Member, &[1]), (1, 2, Give(0), &[2]), (1, 3, Give(0), &[2])],
        &[true, true, false, true],
        3,
        &[(1, Role::Admin), (2, Role::Member)],
    ),
    (
        "it is given on, and back",
        &[(1, 2, Member, &[0]), (1, 2, Give(0), &[1]), (2, 1, Give(2), &[2]), (1, 2, Remove, &[3])],
        &[true, true, true, true],
        1,
        &[],
    ),
    (
        "the recovery key takes it, whoever gives it meanwhile",
        &[(1, 2, Member, &[0]), (1, 3, Member, &[1]), (3, 3, Take(0), &[2]), (1, 2, Give(0), &[2])],
        &[true, true, true, false],
        3,
        &[(1, Role::Admin), (2, Role::Member)],
    ),
    (
        "also from whom it was given, and from there the other has no say",
        &[
            (1, 2, Member, &[0]),
            (1, 2, Give(0), &[1]),
            (1, 1, Take(0), &[2]),
            (2, 1, Remove, &[3]),
            (1, 2, Remove, &[3]),
        ],
        &[true, false, true, false, true],
        1,
        &[],
    ),
    (
        "what is given afterwards counts, until it is taken once more",
        &[(1, 2, Member, &[0]), (2, 2, Take(0), &[1]), (2, 1, Give(2), &[2]), (2, 2, Take(2), &[3])],
        &[true, true, false, true],
        2,
        &[(1, Role::Admin)],
    ),
    (
        "nobody takes it with what another has signed",
        &[
            (1, 2, Member, &[0]),
            (1, 3, Member, &[1]),
            (2, 2, Take(0), &[2]),
            (3, 2, Take(0), &[2]),
            (2, 1, Remove, &[3]),
        ],
        &[true, true, true, false, true],
        2,
        &[(3, Role::Member)],
    ),
    (
        "a gift that is dated back undoes no taking",
        &[
            (1, 2, Member, &[0]),
            (1, 2, Give(0), &[1]),
            (2, 2, Take(0), &[2]),
            (2, 1, Remove, &[3]),
            (1, 1, Give(0), &[0]),
        ],
        &[true, false, true, true, false],
        2,
        &[],
    ),
    (
        "with another key nothing is taken",
        &[(1, 2, Admin, &[0]), (2, 2, Forge(0), &[1]), (1, 2, Remove, &[1])],
        &[true, false, true],
        1,
        &[],
    ),
    (
        "who owns the mesh does not leave it, who did may",
        &[
            (1, 2, Member, &[0]),
            (1, 1, Remove, &[1]),
            (1, 2, Give(0), &[1]),
            (1, 1, Remove, &[3]),
            (2, 2, Remove, &[3]),
        ],
        &[true, false, true, true, false],
        2,
        &[],
    ),
    (
        "with the key of a founder that lost the mesh nobody lets anybody in meanwhile once it is removed",
        &[(1, 2, Member, &[0]), (2, 2, Take(0), &[1]), (2, 1, Remove, &[2]), (1, 3, Member, &[1])],
        &[true, true, true, false],
        2,
        &[],
    ),
    (
        "who has taken it before repeats that, dated back, and undoes nothing",
        &[
            (1, 2, Admin, &[0]),
            (1, 3, Admin, &[1]),
            (2, 2, Take(0), &[2]),
            (3, 3, Take(3), &[3]),
            (3, 2, Remove, &[4]),
            (2, 2, Take(0), &[2]),
            (2, 3, Remove, &[6]),
        ],
        &[true, true, true, true, true, false, false],
        3,
        &[(1, Role::Admin)],
    ),
    (
        "what it signs with another key hides nothing that it took",
        &[
            (1, 2, Admin, &[0]),
            (2, 2, Take(0), &[1]),
            (2, 1, Remove, &[2]),
            (2, 2, Forge(0), &[1]),
            (2, 2, Forge(0), &[0]),
            (2, 2, Forge(0), &[]),
        ],
        &[true, true, true, false, false, false],
        2,
        &[],
    ),
    (
        "a gift to oneself is none",
        &[(1, 2, Admin, &[0]), (1, 1, Give(0), &[1]), (1, 2, Give(0), &[1])],
        &[true, false, true],
        2,
        &[(1, Role::Admin)],
    ),
];

#[test]
fn authority_follows_the_chain_of_owners() {
    for (name, steps, found, owner, members) in ROWS {
        let mut mesh = played(steps);
        let roster = mesh.roster();
        assert_eq!(effects(&mesh, &roster), *found, "{name}: effects");
        assert_eq!(roster.owner, Author::seeded(*owner).node(), "{name}: owner");
        let roles: BTreeMap<NodeId, Role> = roster.members.iter().map(|(node, member)| (*node, member.role)).collect();
        let expected = members.iter().copied().chain([(*owner, Role::Admin)]);
        let expected = expected.map(|(node, role)| (Author::seeded(node).node(), role));
        assert_eq!(roles, expected.collect(), "{name}: members");
        mesh.entries.reverse();
        assert_eq!(mesh.roster(), roster, "{name}: order");
    }
}

#[test]
fn the_owner_goes_before_all_ranks_and_the_others_keep_theirs() {
    let mut mesh = founded();
    let [one, two, three, four] = [1, 2, 3, 4].map(|seed| Author::seeded(seed).node());
    for (at, node) in [two, three, four].into_iter().enumerate() {
        let seen = vec![mesh.entries[at].id()];
        let op = op(&mesh, (node, Admin, seen));
        mesh.push(&Author::seeded(1), 1_700_000_000_000, op);
    }
    let seen = vec![mesh.entries[3].id()];
    let give = op(&mesh, (three, Give(0), seen));
    mesh.push(&Author::seeded(1), 1_700_000_000_000, give);
    let roster = mesh.roster();
    assert_eq!(roster.ranks, BTreeMap::from([(three, 0), (one, 1), (two, 2), (four, 3)]));
    assert!(roster.may_act_on(three, one) && roster.may_act_on(one, two) && !roster.may_act_on(one, three));
}

#[test]
fn a_mesh_is_given_so_often_and_then_only_taken() {
    let mut mesh = founded();
    let give = |mesh: &mut MeshFixture, at: usize| {
        let (by, to) = if at.is_multiple_of(2) { (1, 2) } else { (2, 1) };
        let last = mesh.entries.len() - 1;
        let op = op(mesh, (Author::seeded(to).node(), Give(last), Vec::new()));
        mesh.push(&Author::seeded(by), 1_700_000_000_000, op);
    };
    (0..=OWNERSHIPS_GIVEN_MAX).for_each(|at| give(&mut mesh, at));
    let roster = mesh.roster();
    assert_eq!((roster.gifts, roster.owner), (OWNERSHIPS_GIVEN_MAX, mesh.founder.node()));
    let op = op(&mesh, (Author::seeded(3).node(), Take(0), Vec::new()));
    mesh.push(&Author::seeded(3), 1_700_000_000_000, op);
    let roster = mesh.roster();
    assert_eq!((roster.gifts, roster.owner), (0, Author::seeded(3).node()));
}

proptest! {
    #[test]
    fn there_is_one_owner_an_admin_whatever_is_said_in_whatever_order(
        steps in vec((1..5_u8, 1..5_u8, 0..8_u8, any::<Index>(), vec(any::<Index>(), 0..3), 0..9_u64), 1..20),
    ) {
        let mut mesh = founded();
        for (by, node, what, before, seen, millis) in steps {
            let count = mesh.entries.len();
            let seen = seen.iter().map(|at| mesh.entries[at.index(count)].id()).collect();
            let before = before.index(count);
            let what = match what {
                0 => Admin,
                1 => Member,
                2 => Remove,
                3..6 => Give(before),
                6 => Take(before),
                _ => Forge(before),
            };
            let op = op(&mesh, (Author::seeded(node).node(), what, seen));
            mesh.push(&Author::seeded(by), 1_700_000_000_000 + millis, op);
        }
        let roster = mesh.roster();
        prop_assert_eq!(roster.role(roster.owner), Some(Role::Admin));
        prop_assert_eq!(roster.ranks[&roster.owner], 0);
        let link = mesh.entries.iter().find(|entry| entry.id() == roster.ownership).unwrap();
        let made = link.control_ops().iter().find_map(|op| match op {
            Op::Own(ownership) => Some(ownership.node),
            _ => None,
        });
        prop_assert_eq!(made.unwrap_or_else(|| mesh.founder.node()), roster.owner);
        prop_assert!(!roster.void.contains_key(&roster.ownership));
        let mut ranks: Vec<usize> = roster.ranks.values().copied().collect();
        ranks.sort_unstable();
        prop_assert_eq!(ranks, (0..roster.ranks.len()).collect::<Vec<_>>());
        mesh.entries.reverse();
        prop_assert_eq!(Roster::fold(mesh.mesh, &mesh.entries).unwrap(), roster.clone());
        // Whoever took it writes that down once more, long before.
        let again = |entry: &Entry| match entry.control_ops().first() {
            Some(Op::Own(taken)) if taken.recovery.is_some() => Some((entry.content().author, taken.clone())),
            _ => None,
        };
        let again: Vec<_> = mesh.entries.iter().filter_map(again).collect();
        for (author, taken) in again {
            let author = (1..5).map(Author::seeded).find(|known| known.node() == author).unwrap();
            mesh.push(&author, 1_600_000_000_000, Op::Own(taken));
        }
        prop_assert_eq!(mesh.roster().owner, roster.owner);
    }
}
