//! Equal nodes show equal things, and these are what the united sets say.

use std::collections::BTreeMap;
use std::fmt::Debug;

use beadmesh_protocol::bead::Bead;
use beadmesh_protocol::id::{BeadId, EntryId, InstanceId, NodeId};
use beadmesh_store::command::{BeadAnswer, MemberAnswer};

use super::Ending;
use super::report::{self, Report, apart};
use crate::outcome::Violation;
use crate::view::{Glance, View};

/// Finds nodes whose sets or views differ from those of others, or from what the union of all sets folds to.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("converge", ending);
    compare_glances(ending.glances, &mut report);
    let mut found = Differences::default();
    for view in ending.views {
        if has_equal_sets(ending, view, &mut report) {
            found.place = view.place;
            compare_views(ending, view, &mut found);
        }
    }
    for (Difference { what, shown, expected }, places) in found.by_kind {
        let who = report::nodes(&places);
        let show = if places.len() == 1 { "shows" } else { "show" };
        report.note(
            places.first().copied(),
            format!("{what}: {who} {show} {shown} where the reference shows {expected}."),
        );
    }
    report.finish()
}

/// Something that is shown otherwise than the reference does.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    what: String,
    shown: String,
    expected: String,
}

/// What differs, with the nodes that show it so: nodes that are wrong in one way are told of together.
#[derive(Debug, Default)]
struct Differences {
    place: Option<u32>,
    by_kind: BTreeMap<Difference, Vec<u32>>,
}

impl Differences {
    fn add(&mut self, what: String, shown: &str, expected: &str) {
        let (shown, expected) = apart(shown, expected);
        self.by_kind.entry(Difference { what, shown, expected }).or_default().extend(self.place);
    }
}

/// Compares the digests of all nodes, the few that are looked at in full among them.
fn compare_glances(glances: &[Glance], report: &mut Report) {
    let mut groups: BTreeMap<[u8; 32], Vec<&Glance>> = BTreeMap::new();
    for glance in glances {
        groups.entry(glance.sets).or_default().push(glance);
    }
    let Some(most) = groups.values().max_by_key(|group| (group.len(), group[0].entries)) else { return };
    for group in groups.values().filter(|group| group[0].sets != most[0].sets) {
        let places = |group: &[&Glance]| report::nodes(&group.iter().map(|glance| glance.place).collect::<Vec<_>>());
        let (few, many) = (places(group), places(most));
        let (here, there) = (group[0].entries, most[0].entries);
        let verb = if group.len() == 1 { "holds" } else { "hold" };
        let what = format!("{few} {verb} another set, of {here} entries, than {many}, with {there}.");
        report.note(Some(group[0].place), what);
    }
}

/// Compares what a node holds with the union; where it is not that, nothing it shows can be.
fn has_equal_sets(ending: &Ending<'_>, view: &View, report: &mut Report) -> bool {
    let expected = ending.reference;
    if view.sets == expected.sets && view.entries == expected.entries {
        return true;
    }
    let who = report::viewer(view);
    let lacking = only_in(&expected.entries, &view.entries);
    let extra = only_in(&view.entries, &expected.entries);
    let mut told = false;
    for (found, verb, whose) in [(lacking, "lacks", "the union holds"), (extra, "holds", "the union lacks")] {
        let Some((id, (author, instance, n))) = found.first() else { continue };
        let author = report::author(ending, *author);
        let (id, count) = (id.short(), found.len());
        let what =
            format!("{who} {verb} {count} entries that {whose}, such as {id}, number {n} of {author} in {instance}.");
        report.note(view.place, what);
        told = true;
    }
    if !told {
        let what = format!("{who} holds the union and calls it {}, which goes by {}.", view.sets, expected.sets);
        report.note(view.place, what);
    }
    false
}

type Entries = BTreeMap<EntryId, (NodeId, InstanceId, u64)>;

fn only_in(one: &Entries, other: &Entries) -> Vec<(EntryId, (NodeId, InstanceId, u64))> {
    let only = one.iter().filter(|(id, _)| !other.contains_key(id));
    only.map(|(id, place)| (*id, *place)).collect()
}

fn compare_views(ending: &Ending<'_>, view: &View, found: &mut Differences) {
    let expected = ending.reference;
    for (id, answer) in &view.beads {
        match expected.beads.get(id) {
            Some(other) if other == answer => {}
            Some(other) => compare_beads(&report::bead(ending, *id), answer, other, found),
            None => found.add(report::bead(ending, *id), "it", "none"),
        }
    }
    for id in expected.beads.keys().filter(|id| !view.beads.contains_key(id)) {
        found.add(report::bead(ending, *id), "none", "it");
    }
    let names = |ids: &[BeadId]| ids.iter().map(|id| report::bead(ending, *id)).collect::<Vec<_>>();
    for (what, here, there) in
        [("the ready list", &view.ready, &expected.ready), ("the blocked list", &view.blocked, &expected.blocked)]
    {
        if here != there {
            compare_lists(what, &names(here), &names(there), found);
        }
    }
    compare_lists("the members", &members(view), &members(expected), found);
    compare_lists("the export", &view.lines, &expected.lines, found);
    if view.agents != expected.agents {
        compare_lists("the agents", &texts(&view.agents), &texts(&expected.agents), found);
    }
    if view.mail != expected.mail {
        let (here, there) = (&view.mail, &expected.mail);
        compare_lists("the letters", &texts(&here.letters), &texts(&there.letters), found);
        compare_lists("the threads", &texts(&here.threads), &texts(&there.threads), found);
        compare_lists("the inboxes", &texts(&here.inboxes), &texts(&there.inboxes), found);
    }
}

fn texts<T: Debug>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| format!("{item:?}")).collect()
}

/// Returns what a view says of each member, aside from which of them it is the view of.
fn members(view: &View) -> Vec<String> {
    let told = |member: &MemberAnswer| format!("{:?}", MemberAnswer { here: false, ..member.clone() });
    view.members.iter().map(told).collect()
}

/// Tells of the first place where two lists differ, with what stands there.
fn compare_lists(what: &str, here: &[String], there: &[String], found: &mut Differences) {
    let Some(at) = (0..here.len().max(there.len())).find(|at| here.get(*at) != there.get(*at)) else { return };
    let shown = |list: &[String]| list.get(at).map_or("nothing", String::as_str).to_owned();
    let what = format!("{what}, of {} and {}, at place {at}", here.len(), there.len());
    found.add(what, &shown(here), &shown(there));
}

/// Tells of every field that differs.
fn compare_beads(name: &str, here: &BeadAnswer, there: &BeadAnswer, found: &mut Differences) {
    let mut differs = false;
    let fields = [(answer_fields(here), answer_fields(there)), (fields(&here.bead), fields(&there.bead))];
    for (here, there) in fields.into_iter().flat_map(|(here, there)| here.into_iter().zip(there)) {
        let (one, other) = (format!("{:?}", here.1), format!("{:?}", there.1));
        if one != other {
            found.add(format!("{name}, {}", here.0), &one, &other);
            differs = true;
        }
    }
    if !differs {
        found.add(name.to_owned(), "something else, in a way that does not print,", "it");
    }
}

type Fields<'a> = Vec<(&'static str, &'a dyn Debug)>;

/// Lists what an answer says beside the bead; a field that is added can not be forgotten here.
fn answer_fields(answer: &BeadAnswer) -> Fields<'_> {
    let BeadAnswer { bead: _, alias, ready, deps, blocked_by, parent, children, dependents, statuses, .. } = answer;
    let BeadAnswer { conflicts, stale_close, holder, .. } = answer;
    vec![
        ("alias as shown", alias),
        ("ready", ready),
        ("deps as shown", deps),
        ("blocked_by", blocked_by),
        ("parent", parent),
        ("children", children),
        ("dependents", dependents),
        ("statuses", statuses),
        ("conflicts", conflicts),
        ("stale close", stale_close),
        ("holder", holder),
    ]
}

/// Lists the fields of a bead; one that is added can not be forgotten here.
fn fields(bead: &Bead) -> Fields<'_> {
    macro_rules! list {
        ($($field:ident),* $(,)?) => {{
            let Bead { $($field),* } = bead;
            vec![$((stringify!($field), $field as &dyn Debug)),*]
        }};
    }
    list![
        id,
        project,
        alias,
        title,
        description,
        design,
        acceptance,
        notes,
        status,
        priority,
        kind,
        assignee,
        estimate_minutes,
        created_at,
        created_by,
        updated_at,
        closed_at,
        close_reason,
        due_at,
        defer_until,
        external_ref,
        labels,
        deps,
        scopes,
        criteria,
        comments,
        needs,
        metadata,
        extra,
    ]
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::check::tests::{Scene, bead_id, told};

    #[test]
    fn equal_views_are_in_order() {
        assert_eq!(told(check, &Scene::sound()), [""; 0]);
    }

    #[test]
    fn a_node_with_another_digest_is_named() {
        let mut scene = Scene::sound();
        scene.glances[2].sets = [9; 32];
        scene.glances[2].entries = 1;
        assert_eq!(told(check, &scene), ["node 2 holds another set, of 1 entries, than nodes 0 and 1, with 4."]);
    }

    #[test]
    fn an_entry_that_a_node_lacks_is_named_and_nothing_that_follows_from_it() {
        let mut scene = Scene::sound();
        let id = *scene.views[1].entries.keys().next_back().unwrap();
        scene.views[1].entries.remove(&id);
        scene.views[1].sets = "other".to_owned();
        scene.views[1].beads.clear();
        let found = told(check, &scene);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("node 1 lacks 1 entries that the union holds, such as "), "{found:?}");
        assert!(found[0].contains("number 2 of node 1"), "{found:?}");
    }

    #[test]
    fn an_entry_that_only_one_node_holds_is_named() {
        let mut scene = Scene::sound();
        let id = *scene.reference.entries.keys().next_back().unwrap();
        scene.reference.entries.remove(&id);
        let found = told(check, &scene);
        assert!(found[0].starts_with("node 0 holds 1 entries that the union lacks, such as "), "{found:?}");
    }

    #[test]
    fn a_digest_that_does_not_go_with_the_entries_is_told() {
        let mut scene = Scene::sound();
        scene.views[0].sets = "other".to_owned();
        assert_eq!(told(check, &scene), ["node 0 holds the union and calls it other, which goes by equal."]);
    }

    #[test]
    fn nodes_that_differ_in_one_way_are_told_of_together_with_the_field() {
        let mut scene = Scene::sound();
        for view in &mut scene.views {
            view.beads.get_mut(&bead_id(1)).unwrap().bead.labels.insert("stray".to_owned());
        }
        let found = told(check, &scene);
        let expected = format!(
            "bead bm-1 ({}), labels: nodes 0 and 1 show {{\"stray\"}} where the reference shows {{}}.",
            bead_id(1)
        );
        assert_eq!(found, [expected]);
    }

    #[test]
    fn what_only_the_graph_knows_is_compared_too() {
        let mut scene = Scene::sound();
        scene.views[0].beads.get_mut(&bead_id(2)).unwrap().children.push("bm-9".to_owned());
        let found = told(check, &scene);
        assert!(found[0].contains("children: node 0 shows [\"bm-9\"] where the reference shows []."), "{found:?}");
    }

    #[test]
    fn beads_lists_members_and_exports_that_differ_are_told() {
        let mut scene = Scene::sound();
        scene.views[0].beads.remove(&bead_id(2));
        scene.views[0].ready.pop();
        scene.views[0].members[1].name = "another".to_owned();
        scene.views[0].lines[0].push_str("more");
        let found = told(check, &scene);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("bm-2") && found[0].contains("node 0 shows none where the reference shows it"));
        assert!(found[1].starts_with("the export, of 2 and 2, at place 0: node 0 shows "), "{found:?}");
        assert!(found[2].starts_with("the members, of 3 and 3, at place 1: node 0 shows "), "{found:?}");
        assert!(found[3].starts_with("the ready list, of 1 and 2, at place 1: node 0 shows nothing "), "{found:?}");
    }
}
