//! Who is in the mesh, and that nothing of anybody else has effect.

use std::collections::BTreeSet;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::op::Role;
use beadmesh_store::command::MemberAnswer;

use super::Ending;
use super::report::{self, Report};
use crate::outcome::Violation;
use crate::view::View;

/// Finds strangers, wrong roles, and what strangers, observers and removed machines wrote.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("roster", ending);
    for view in ending.shown() {
        for bead in view.beads.keys().filter(|bead| ending.outlawed.contains(bead)) {
            let bead = report::bead(ending, *bead);
            let who = report::viewer(view);
            report.note(view.place, format!("{who} shows {bead}, which nobody wrote who may."));
        }
        check_members(ending, view, &mut report);
        check_authors(ending, view, &mut report);
    }
    report.finish()
}

/// Members are nodes of the plan, those among them who were told so, each once and with the role it was let in with.
fn check_members(ending: &Ending<'_>, view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let mut seen = BTreeSet::new();
    for member in &view.members {
        let MemberAnswer { node, role, owner, .. } = member;
        let name = report::author(ending, *node);
        let Some(place) = ending.place(*node) else {
            report.note(view.place, format!("{who} counts {name} among the members, as {role:?}."));
            continue;
        };
        if !seen.insert(place) {
            report.note(view.place, format!("{who} counts {name} twice among the members."));
        }
        let raised = ending.promoted.contains(&place).then_some(Role::Admin);
        let planned = raised.or(ending.node(place).map(|node| node.role));
        if planned != Some(*role) {
            report.note(view.place, format!("{who} says that {name} is {role:?}; it was let in as {planned:?}."));
        }
        if *owner != (place == 0) {
            let says = if *owner { "is the owner" } else { "is not the owner" };
            report.note(view.place, format!("{who} says that {name} {says}; node 0 founded the mesh."));
        }
    }
    let missing: Vec<u32> = ending.joined.difference(&seen).copied().collect();
    if !missing.is_empty() {
        let missing = report::nodes(&missing);
        report.note(view.place, format!("{who} lacks {missing} among the members, though told that it is in."));
    }
}

/// Entries of who was never let in are not stored; nodes of the plan may have been and not know.
fn check_authors(ending: &Ending<'_>, view: &View, report: &mut Report) {
    let known: BTreeSet<NodeId> = ending.keys.values().copied().collect();
    let mut told = BTreeSet::new();
    for (id, (author, _, n)) in &view.entries {
        let is_known = known.contains(author) || ending.named.contains(author);
        let is_stranger = ending.strangers.contains(author) || !is_known;
        if is_stranger && told.insert(*author) {
            let (who, name) = (report::viewer(view), report::author(ending, *author));
            report.note(view.place, format!("{who} holds entry {} (number {n}) of {name}.", id.short()));
        }
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::id::EntryId;
    use beadmesh_protocol::op::Role;

    use super::check;
    use crate::check::tests::{Scene, bead_id, instance, key, told};

    #[test]
    fn a_mesh_of_its_own_members_is_in_order() {
        assert_eq!(told(check, &Scene::sound()), [""; 0]);
    }

    #[test]
    fn a_bead_of_an_outlaw_is_found() {
        let mut scene = Scene::sound();
        scene.outlawed.insert(bead_id(2));
        let found = told(check, &scene);
        let bead = bead_id(2);
        assert_eq!(found.len(), 3);
        assert_eq!(found[1], format!("node 0 shows bead bm-2 ({bead}), which nobody wrote who may."));
    }

    #[test]
    fn who_was_made_an_admin_is_to_be_one() {
        let mut scene = Scene::sound();
        scene.promoted.insert(1);
        assert!(told(check, &scene)[0].ends_with("says that node 1 is Member; it was let in as Some(Admin)."));
        scene.reference.members[1].role = Role::Admin;
        scene.views.iter_mut().for_each(|view| view.members[1].role = Role::Admin);
        assert_eq!(told(check, &scene), [""; 0]);
    }

    #[test]
    fn strangers_twins_wrong_roles_and_wrong_owners_are_found() {
        let mut scene = Scene::sound();
        scene.reference.members[1].role = Role::Admin;
        scene.reference.members[2].owner = true;
        scene.views[0].members[1].node = key(9);
        let twin = scene.views[1].members[2].clone();
        scene.views[1].members.push(twin);
        let stranger = key(9).short();
        assert_eq!(
            told(check, &scene),
            [
                "the reference says that node 1 is Admin; it was let in as Some(Member).".to_owned(),
                "the reference says that node 2 is the owner; node 0 founded the mesh.".to_owned(),
                format!("node 0 counts the stranger {stranger} among the members, as Member."),
                "node 0 lacks node 1 among the members, though told that it is in.".to_owned(),
                "node 1 counts node 2 twice among the members.".to_owned(),
            ]
        );
    }

    #[test]
    fn a_node_that_does_not_know_yet_that_it_is_in_may_be_a_member() {
        let mut scene = Scene::sound();
        scene.joined.remove(&2);
        assert_eq!(told(check, &scene), [""; 0]);
        scene.joined.insert(2);
        scene.views[0].members.pop();
        assert_eq!(told(check, &scene), ["node 0 lacks node 2 among the members, though told that it is in."]);
    }

    #[test]
    fn an_entry_of_a_stranger_is_found() {
        let mut scene = Scene::sound();
        scene.views[1].entries.insert(EntryId::from_bytes([9; 32]), (key(9), instance(9), 4));
        let found = told(check, &scene);
        assert_eq!(found, [format!("node 1 holds entry 09090909 (number 4) of the stranger {}.", key(9).short())]);
    }
}
