//! No bead waits for itself, and beads are ready and blocked by the published rule.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::id::BeadId;

use super::Ending;
use super::report::{self, Report};
use crate::outcome::Violation;
use crate::view::View;

mod model;

use model::Model;

/// Finds beads that hold each other up, and beads that are ready or blocked and should not be, or the other way round.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("cycles", ending);
    for view in ending.shown() {
        check_holds(ending, view, &mut report);
        check_lists(ending, view, &mut report);
    }
    report.finish()
}

/// Returns whether dependencies in a view may close a cycle, as far as it says what they point at.
pub(crate) fn may_have_cycle(view: &View) -> bool {
    !Model::of(view).tangled().is_empty()
}

/// What a bead is held up by and what it is under, taken together, never lead back to it.
fn check_holds(ending: &Ending<'_>, view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let by_alias: BTreeMap<&str, BeadId> = view.beads.iter().map(|(id, answer)| (answer.alias.as_str(), *id)).collect();
    let mut holds: BTreeMap<BeadId, Vec<BeadId>> = BTreeMap::new();
    for (id, answer) in &view.beads {
        for alias in answer.blocked_by.iter().chain(&answer.parent) {
            match by_alias.get(alias.as_str()) {
                Some(above) => holds.entry(*id).or_default().push(*above),
                None => {
                    let bead = report::bead(ending, *id);
                    report.note(view.place, format!("{bead} waits for {alias:?} at {who}, and no bead goes by that."));
                }
            }
        }
    }
    let circling =
        model::leading_into_cycles(view.beads.keys().copied(), |id| holds.get(&id).cloned().unwrap_or_default());
    if let Some(cycle) = circling.first().and_then(|start| walk(*start, &holds, &circling)) {
        let names: Vec<String> = cycle.iter().map(|id| report::bead(ending, *id)).collect();
        report.note(view.place, format!("{who} lets beads wait in a circle: {}.", names.join(" → ")));
    }
}

/// Follows what holds beads up until one comes again; returns the way from that one to itself.
fn walk(start: BeadId, holds: &BTreeMap<BeadId, Vec<BeadId>>, circling: &BTreeSet<BeadId>) -> Option<Vec<BeadId>> {
    let mut way = vec![start];
    loop {
        let next = holds.get(way.last()?)?.iter().find(|id| circling.contains(id))?;
        if let Some(from) = way.iter().position(|id| id == next) {
            way.push(*next);
            return Some(way.split_off(from));
        }
        way.push(*next);
    }
}

/// Compares both lists with a plain reading of the rule; beads that lead into a cycle are left to the core.
fn check_lists(ending: &Ending<'_>, view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let model = Model::of(view);
    let ready: BTreeSet<BeadId> = view.ready.iter().copied().collect();
    let blocked: BTreeSet<BeadId> = view.blocked.iter().copied().collect();
    for (list, name, set) in [(&view.ready, "ready", &ready), (&view.blocked, "blocked", &blocked)] {
        if list.len() != set.len() {
            report.note(view.place, format!("{who} lists a bead twice among the {name} ones."));
        }
        if let Some(id) = set.iter().find(|id| !view.beads.contains_key(id)) {
            report.note(view.place, format!("{who} calls {} {name}, and does not list it.", report::bead(ending, *id)));
        }
        let ranks: Vec<_> = list.iter().filter_map(|id| model.rank(*id)).collect();
        if let Some(pair) = ranks.windows(2).find(|pair| pair[0] > pair[1]) {
            let [first, then] = [pair[0].3, pair[1].3].map(|id| report::bead(ending, id));
            report.note(view.place, format!("{who} lists {first} before {then} among the {name} ones."));
        }
    }
    for (id, answer) in &view.beads {
        if answer.ready != ready.contains(id) {
            let (bead, says) = (report::bead(ending, *id), if answer.ready { "is" } else { "is not" });
            report.note(view.place, format!("{bead} {says} ready by itself at {who}, and the list says otherwise."));
        }
        if model.tangled().contains(id) {
            continue;
        }
        for (name, is, should) in [
            ("ready", ready.contains(id), model.is_ready(*id, ending.wall)),
            ("blocked", blocked.contains(id), model.is_blocked(*id)),
        ] {
            if is != should {
                let bead = report::bead(ending, *id);
                let (is, should) = if is { ("is", "should not") } else { ("is not", "should") };
                let why = model.why(*id, ending.wall);
                report.note(view.place, format!("{bead} {is} {name} at {who} and {should} be: {why}."));
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use beadmesh_protocol::bead::{Dep, DepKey, Status, Target};

    use super::*;
    use crate::check::tests::{Scene, answer, bead_id, told};

    /// Makes a bead depend on another.
    pub(in crate::check) fn depend(view: &mut View, from: BeadId, to: BeadId) {
        depend_by(view, "blocks", from, Target::Id(to));
    }

    fn depend_by(view: &mut View, kind: &str, from: BeadId, target: Target) {
        let key = DepKey { kind: kind.to_owned(), target };
        view.beads.get_mut(&from).unwrap().bead.deps.insert(key, Dep::default());
    }

    /// Puts a bead on no list, and calls it so.
    fn unlist(view: &mut View, id: BeadId) {
        view.ready.retain(|ready| *ready != id);
        view.beads.get_mut(&id).unwrap().ready = false;
    }

    /// What is said of a view, the reference being the one that is changed.
    fn said(change: impl Fn(&mut View)) -> Vec<String> {
        let mut scene = Scene::sound();
        change(&mut scene.reference);
        told(check, &scene)
    }

    #[test]
    fn lists_by_the_rule_are_in_order() {
        assert_eq!(told(check, &Scene::sound()), [""; 0]);
        let blocked = said(|view| {
            depend(view, bead_id(1), bead_id(2));
            unlist(view, bead_id(1));
            view.blocked.push(bead_id(1));
            view.beads.get_mut(&bead_id(1)).unwrap().blocked_by.push("bm-2".to_owned());
        });
        assert_eq!(blocked, [""; 0]);
    }

    #[test]
    fn a_bead_that_something_holds_up_is_not_ready() {
        let found = said(|view| depend(view, bead_id(1), bead_id(2)));
        let one = bead_id(1);
        assert_eq!(
            found,
            [
                format!("bead bm-1 ({one}) is ready at the reference and should not be: it waits for bm-2."),
                format!("bead bm-1 ({one}) is not blocked at the reference and should be: it waits for bm-2."),
            ]
        );
    }

    #[test]
    fn a_bead_that_nothing_holds_up_is_ready() {
        let found = said(|view| unlist(view, bead_id(2)));
        let two = bead_id(2);
        let expected = format!("bead bm-2 ({two}) is not ready at the reference and should be: nothing holds it up.");
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_list_that_is_out_of_order_or_contradicts_its_beads_is_found() {
        let found = said(|view| view.ready.reverse());
        let (one, two) = (bead_id(1), bead_id(2));
        let expected = format!("the reference lists bead bm-2 ({two}) before bead bm-1 ({one}) among the ready ones.");
        assert_eq!(found, [expected]);
        assert!(said(|view| view.ready.insert(0, bead_id(1)))[0].contains("lists a bead twice"));
        assert!(said(|view| view.ready.push(bead_id(7)))[0].contains("and does not list it"));
        let found = said(|view| view.beads.get_mut(&bead_id(1)).unwrap().ready = false);
        let expected =
            format!("bead bm-1 ({one}) is not ready by itself at the reference, and the list says otherwise.");
        assert_eq!(found, [expected]);
    }

    #[test]
    fn beads_that_wait_in_a_circle_are_found() {
        let found = said(|view| {
            view.beads.insert(bead_id(3), answer(3));
            view.ready.push(bead_id(3));
            view.beads.get_mut(&bead_id(1)).unwrap().parent = Some("bm-2".to_owned());
            view.beads.get_mut(&bead_id(2)).unwrap().blocked_by = vec!["bm-3".to_owned()];
            view.beads.get_mut(&bead_id(3)).unwrap().blocked_by = vec!["bm-2".to_owned()];
        });
        let (two, three) = (bead_id(2), bead_id(3));
        let expected = format!(
            "the reference lets beads wait in a circle: bead bm-2 ({two}) → bead bm-3 ({three}) → bead bm-2 ({two})."
        );
        assert_eq!(found, [expected]);
        let found = said(|view| view.beads.get_mut(&bead_id(1)).unwrap().blocked_by = vec!["bm-9".to_owned()]);
        assert!(found[0].ends_with("waits for \"bm-9\" at the reference, and no bead goes by that."), "{found:?}");
    }

    #[test]
    fn beads_that_lead_into_a_cycle_are_left_to_the_core() {
        let found = said(|view| {
            view.beads.insert(bead_id(3), answer(3));
            depend(view, bead_id(1), bead_id(2));
            depend(view, bead_id(2), bead_id(1));
            depend(view, bead_id(3), bead_id(2));
        });
        let three = bead_id(3);
        let expected = format!("bead bm-3 ({three}) is ready by itself at the reference, and the list says otherwise.");
        assert_eq!(found, [expected]);
        let mut scene = Scene::sound();
        assert!(!may_have_cycle(&scene.reference));
        depend(&mut scene.reference, bead_id(1), bead_id(1));
        assert!(may_have_cycle(&scene.reference));
    }

    #[test]
    fn every_clause_of_the_rule_is_known() {
        let (one, two) = (bead_id(1), bead_id(2));
        type Change = fn(&mut View);
        // What is changed, whether bead 1 is ready then, and whether it is blocked.
        let rows: [(&str, Change, bool, bool); 12] = [
            ("in progress", |view| status(view, 1, Status::InProgress), false, false),
            ("blocked by its status", |view| status(view, 1, Status::Blocked), false, true),
            ("deferred", |view| until(view, 1, "2026-06-02"), false, false),
            ("deferred until now", |view| until(view, 1, super::super::tests::WALL), true, false),
            ("under a deferred one", |view| (under(view), until(view, 2, "2026-06-02")).0, false, false),
            (
                "under one deferred by its status",
                |view| (under(view), status(view, 2, Status::Deferred)).0,
                false,
                true,
            ),
            ("under one that is closed", |view| (under(view), status(view, 2, Status::Closed)).0, true, false),
            ("under an open one", under, true, false),
            ("on a closed one", |view| (on(view, "blocks"), status(view, 2, Status::Closed)).0, true, false),
            ("on a deleted one", |view| (on(view, "waits-for"), status(view, 2, Status::Tombstone)).0, true, false),
            ("by another type", |view| on(view, "related"), true, false),
            ("marked", |view| mark(view), false, false),
        ];
        for (name, change, ready, blocked) in rows {
            let mut view = Scene::sound().reference;
            change(&mut view);
            let wall = beadmesh_protocol::clock::Wall::parse(super::super::tests::WALL).unwrap();
            let model = Model::of(&view);
            assert_eq!((model.is_ready(one, wall), model.is_blocked(one)), (ready, blocked), "{name}");
        }
        let mut view = Scene::sound().reference;
        for (name, missing) in [("bm-2", false), ("bm-9", true), (&format!("bm-2~{}", &two.to_string()[..4]), false)] {
            view.beads.get_mut(&one).unwrap().bead.deps.clear();
            depend_by(&mut view, "conditional-blocks", one, Target::Alias(name.to_owned()));
            assert_eq!(Model::of(&view).is_blocked(one), !missing, "{name}");
        }
    }

    fn status(view: &mut View, number: u8, status: Status) {
        view.beads.get_mut(&bead_id(number)).unwrap().bead.status = status;
    }

    fn until(view: &mut View, number: u8, date: &str) {
        view.beads.get_mut(&bead_id(number)).unwrap().bead.defer_until = Some(date.to_owned());
    }

    fn on(view: &mut View, kind: &str) {
        depend_by(view, kind, bead_id(1), Target::Id(bead_id(2)));
    }

    fn under(view: &mut View) {
        on(view, "parent-child");
    }

    fn mark(view: &mut View) {
        let extra = &mut view.beads.get_mut(&bead_id(1)).unwrap().bead.extra;
        extra.insert("is_template".to_owned(), "true".to_owned());
    }
}
