//! Removals as a table.

use std::collections::BTreeMap;

use super::super::table::What::{Admin, Member, Observe, Remove};
use super::super::table::{Step, effects, played};
use crate::id::NodeId;
use crate::op::Role;
use crate::testing::Author;

/// What a row says, its acts, which of them have effect, and who is a member besides the owner.
type Row = (&'static str, &'static [Step], &'static [bool], &'static [(u8, Role)]);

/// The table: node 1 owns the mesh. Published in docs/decisions/0015-removal.md.
const ROWS: &[Row] = &[
    (
        "an admin removes a member",
        &[(1, 2, Admin, &[0]), (1, 3, Member, &[1]), (2, 3, Remove, &[2])],
        &[true, true, true],
        &[(2, Role::Admin)],
    ),
    (
        "a member removes nobody but itself",
        &[(1, 2, Member, &[0]), (1, 3, Member, &[1]), (2, 3, Remove, &[2]), (2, 2, Remove, &[2])],
        &[true, true, false, true],
        &[(3, Role::Member)],
    ),
    (
        "nobody removes the owner, not even itself",
        &[(1, 2, Admin, &[0]), (2, 1, Remove, &[1]), (1, 1, Remove, &[1])],
        &[true, false, false],
        &[(2, Role::Admin)],
    ),
    (
        "of two admins that remove each other the older stays",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (3, 2, Remove, &[2]), (2, 3, Remove, &[2])],
        &[true, true, false, true],
        &[(2, Role::Admin)],
    ),
    (
        "of three in a ring the oldest has its way, and who is removed removes nobody",
        &[
            (1, 2, Admin, &[0]),
            (1, 3, Admin, &[1]),
            (1, 4, Admin, &[2]),
            (2, 4, Remove, &[3]),
            (4, 3, Remove, &[3]),
            (3, 2, Remove, &[3]),
        ],
        &[true, true, true, true, false, false],
        &[(2, Role::Admin), (3, Role::Admin)],
    ),
    (
        "of three in a ring the other way round the removal by the oldest alone counts",
        &[
            (1, 2, Admin, &[0]),
            (1, 3, Admin, &[1]),
            (1, 4, Admin, &[2]),
            (2, 3, Remove, &[3]),
            (3, 4, Remove, &[3]),
            (4, 2, Remove, &[3]),
        ],
        &[true, true, true, true, false, false],
        &[(2, Role::Admin), (4, Role::Admin)],
    ),
    (
        "what an admin did before its removal stands",
        &[(1, 2, Admin, &[0]), (2, 3, Member, &[1]), (1, 2, Remove, &[2])],
        &[true, true, true],
        &[(3, Role::Member)],
    ),
    (
        "what it does meanwhile is void, however it is dated",
        &[(1, 2, Admin, &[0]), (1, 2, Remove, &[1]), (2, 3, Member, &[1])],
        &[true, true, false],
        &[],
    ),
    (
        "what it does afterwards is void",
        &[(1, 2, Admin, &[0]), (1, 2, Remove, &[1]), (2, 3, Member, &[2])],
        &[true, true, false],
        &[],
    ),
    (
        "who had not heard of a removal brings nobody back",
        &[(1, 2, Admin, &[0]), (1, 3, Member, &[1]), (1, 3, Remove, &[2]), (2, 3, Member, &[2])],
        &[true, true, true, true],
        &[(2, Role::Admin)],
    ),
    (
        "who had, does",
        &[(1, 2, Admin, &[0]), (1, 3, Member, &[1]), (1, 3, Remove, &[2]), (2, 3, Member, &[3])],
        &[true, true, true, true],
        &[(2, Role::Admin), (3, Role::Member)],
    ),
    (
        "an admission must have seen every removal",
        &[(1, 2, Admin, &[0]), (1, 3, Member, &[1]), (1, 3, Remove, &[2]), (2, 3, Remove, &[2]), (2, 3, Member, &[4])],
        &[true, true, true, true, true],
        &[(2, Role::Admin)],
    ),
    (
        "a removal by who was removed meanwhile is void",
        &[(1, 2, Admin, &[0]), (1, 3, Member, &[1]), (1, 2, Remove, &[2]), (2, 3, Remove, &[2])],
        &[true, true, true, false],
        &[(3, Role::Member)],
    ),
    (
        "an admin that was let in again acts again",
        &[(1, 2, Admin, &[0]), (1, 2, Remove, &[1]), (1, 2, Admin, &[2]), (2, 3, Member, &[3])],
        &[true, true, true, true],
        &[(2, Role::Admin), (3, Role::Member)],
    ),
    (
        "and keeps its rank",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (1, 2, Remove, &[2]), (1, 2, Admin, &[3]), (3, 2, Remove, &[4])],
        &[true, true, true, true, false],
        &[(2, Role::Admin), (3, Role::Admin)],
    ),
    (
        "who is let in again as a member acts no more",
        &[(1, 2, Admin, &[0]), (1, 2, Remove, &[1]), (1, 2, Member, &[2]), (2, 3, Member, &[3])],
        &[true, true, true, false],
        &[(2, Role::Member)],
    ),
    (
        "a lower rank gives a higher one no other role",
        &[(1, 2, Admin, &[0]), (1, 3, Admin, &[1]), (3, 2, Member, &[2]), (3, 2, Observe, &[2])],
        &[true, true, false, false],
        &[(2, Role::Admin), (3, Role::Admin)],
    ),
    (
        "a lesser role takes authority away where it stands, and not before",
        &[(1, 2, Admin, &[0]), (2, 3, Member, &[1]), (1, 2, Observe, &[2]), (2, 4, Member, &[1]), (2, 4, Member, &[3])],
        &[true, true, true, false, false],
        &[(2, Role::Observer), (3, Role::Member)],
    ),
    (
        "an admin that leaves can not go on elsewhere",
        &[(1, 2, Admin, &[0]), (2, 2, Remove, &[1]), (2, 3, Member, &[1])],
        &[true, true, false],
        &[],
    ),
    (
        "who was removed does not leave once more",
        &[(1, 2, Member, &[0]), (1, 2, Remove, &[1]), (2, 2, Remove, &[1]), (1, 2, Member, &[2])],
        &[true, true, false, true],
        &[(2, Role::Member)],
    ),
    (
        "a lesser role and a removal apart from each other: it is removed",
        &[(1, 2, Admin, &[0]), (1, 3, Member, &[1]), (1, 3, Observe, &[2]), (2, 3, Remove, &[2])],
        &[true, true, true, true],
        &[(2, Role::Admin)],
    ),
];

#[test]
fn removals_are_judged_by_rank_and_causal_position() {
    for (name, steps, found, members) in ROWS {
        let mesh = played(steps);
        let roster = mesh.roster();
        assert_eq!(effects(&mesh, &roster), *found, "{name}: effects");
        let roles: BTreeMap<NodeId, Role> = roster.members.iter().map(|(node, member)| (*node, member.role)).collect();
        let owner = (Author::seeded(1).node(), Role::Admin);
        let expected = members.iter().map(|(node, role)| (Author::seeded(*node).node(), *role)).chain([owner]);
        assert_eq!(roles, expected.collect(), "{name}: members");
    }
}
