//! Names mean one thing: beads by id and alias, entries by author, instance and number.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::alias;
use beadmesh_protocol::bead::Bead;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{BeadId, InstanceId, NodeId};

use super::Ending;
use super::report::{self, Report, short};
use crate::journal::{Effect, Fate};
use crate::outcome::Violation;
use crate::view::View;

/// Characters of the id in the suffix that tells two beads of one alias apart.
const SUFFIX_CHARS: usize = 4;

/// Finds names that are missing, changed, or borne by two.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("ids", ending);
    for view in ending.shown() {
        check_aliases(ending, view, &mut report);
    }
    check_creations(ending, &mut report);
    check_numbers(ending, &mut report);
    report.finish()
}

/// Of the beads that bear one alias the oldest shows it bare, the others with the start of their ids.
fn check_aliases(ending: &Ending<'_>, view: &View, report: &mut Report) {
    let who = report::viewer(view);
    let mut bearers: BTreeMap<&str, BTreeSet<(Wall, BeadId)>> = BTreeMap::new();
    for (id, answer) in &view.beads {
        bearers.entry(answer.bead.alias.as_str()).or_default().insert((age(&answer.bead), *id));
        let given = &answer.bead.alias;
        // Who meddles may write any alias, and none.
        if let Err(error) = alias::check(given)
            && !ending.meddled.contains(id)
        {
            report.note(view.place, format!("bead {id} has the alias {:?} at {who}: {error}.", short(given)));
        }
        if ending.reference.beads.get(id).is_some_and(|other| other.alias != answer.alias) {
            let other = short(&ending.reference.beads[id].alias);
            let what = format!("bead {id} goes by {:?} at {who}, in the reference by {other:?}.", short(&answer.alias));
            report.note(view.place, what);
        }
    }
    let mut shown: BTreeMap<&str, BeadId> = BTreeMap::new();
    for (alias, bearers) in bearers {
        for (place, (_, id)) in bearers.iter().enumerate() {
            let name = view.beads[id].alias.as_str();
            let suffix = &id.to_string()[..SUFFIX_CHARS];
            let is_right =
                if place == 0 { name == alias } else { name.strip_prefix(alias) == Some(&format!("~{suffix}")) };
            if !is_right {
                let right = if place == 0 { alias.to_owned() } else { format!("{alias}~{suffix}") };
                let what =
                    format!("bead {id} goes by {:?} at {who}, which should be {:?}.", short(name), short(&right));
                report.note(view.place, what);
            }
            let Some(other) = shown.insert(name, *id) else { continue };
            // The suffix is short, so two of the younger bearers of an alias may bear one by chance.
            let by_chance = bearers.iter().skip(1).any(|(_, bearer)| *bearer == other)
                && place > 0
                && other.to_string().starts_with(suffix);
            if !by_chance {
                report.note(view.place, format!("{who} shows both {other} and {id} as {:?}.", short(name)));
            }
        }
    }
}

/// Returns what beads are ordered by where they bear one alias; one without a date is the youngest.
fn age(bead: &Bead) -> Wall {
    bead.created_at.as_deref().and_then(Wall::parse).unwrap_or(Wall::from_millis(u64::MAX))
}

/// A bead that was acknowledged keeps its alias, and its id is no other's.
fn check_creations(ending: &Ending<'_>, report: &mut Report) {
    let deeds = &ending.journal.deeds;
    let had_effect = |fate: &Fate| !matches!(fate, Fate::Refused(_));
    let effects = || deeds.iter().filter(|deed| had_effect(&deed.fate)).flat_map(|deed| &deed.effects);
    let is_renaming = |effect: &&Effect| {
        matches!(effect, Effect::Field { field, .. } if *field == "alias") || matches!(effect, Effect::Imported { .. })
    };
    let renamed: BTreeSet<BeadId> = effects().filter(is_renaming).map(Effect::bead).collect();
    let mut created: BTreeMap<BeadId, usize> = BTreeMap::new();
    for deed in deeds.iter().filter(|deed| matches!(deed.fate, Fate::Done(_))) {
        for effect in &deed.effects {
            let Effect::Created { bead, alias } = effect else { continue };
            if let Some(other) = created.insert(*bead, deed.wish).filter(|other| *other != deed.wish) {
                let what = format!("wishes {other} and {} were both told that they created {bead}.", deed.wish);
                report.note(Some(deed.node), what);
            }
            if renamed.contains(bead) || ending.meddled.contains(bead) {
                continue;
            }
            for view in ending.shown() {
                let Some(answer) = view.beads.get(bead).filter(|answer| answer.bead.alias != *alias) else { continue };
                let (who, now) = (report::viewer(view), short(&answer.bead.alias));
                let what = format!(
                    "wish {} of node {} was told that bead {bead} is {:?}; at {who} it is {now:?}.",
                    deed.wish,
                    deed.node,
                    short(alias)
                );
                report.note(view.place, what);
            }
        }
    }
}

/// Entries of an author are numbered from 1 in each instance, without gaps and each number once.
fn check_numbers(ending: &Ending<'_>, report: &mut Report) {
    let mut numbers: BTreeMap<(NodeId, InstanceId), BTreeMap<u64, u64>> = BTreeMap::new();
    for (author, instance, n) in ending.reference.entries.values() {
        *numbers.entry((*author, *instance)).or_default().entry(*n).or_default() += 1;
    }
    for ((author, instance), counts) in numbers {
        // Who is no node of the plan is another checker's business.
        let Some(place) = ending.place(author).filter(|place| !ending.is_rogue(*place)) else { continue };
        let twice = counts.iter().find(|(_, count)| **count > 1);
        if let Some((n, count)) = twice.filter(|_| !ending.forked.contains(&author)) {
            let what = format!("{count} entries of node {place} in instance {instance} bear the number {n}.");
            report.note(Some(place), what);
        }
        let gap = (1..).zip(counts.keys()).find(|(expected, n)| expected != *n);
        // What a copy wrote and nobody got is gone with it.
        let is_whole = ending.is_steady(place) && !ending.moved.contains(&author);
        if let Some((expected, n)) = gap.filter(|_| is_whole) {
            let what = format!(
                "entry {expected} of node {place} in instance {instance} is nowhere, though entry {n} is there."
            );
            report.note(Some(place), what);
        }
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::id::EntryId;

    use super::*;
    use crate::check::tests::{Scene, bead_id, instance, told};

    #[test]
    fn names_that_mean_one_thing_are_in_order() {
        assert_eq!(told(check, &Scene::sound()), [""; 0]);
    }

    /// Gives bead 2 the alias of bead 1, shown so.
    fn shared(shown: &str) -> Scene {
        let mut scene = Scene::sound();
        scene.journal.deeds.clear();
        scene.change(bead_id(2), |answer| {
            answer.bead.alias = "bm-1".to_owned();
            answer.alias = shown.to_owned();
        });
        scene
    }

    #[test]
    fn the_younger_bearer_of_an_alias_shows_a_suffix() {
        let right = format!("bm-1~{}", &bead_id(2).to_string()[..4]);
        assert_eq!(told(check, &shared(&right)), [""; 0]);
        let found = told(check, &shared("bm-1"));
        let (one, two) = (bead_id(1), bead_id(2));
        assert_eq!(
            found[..2],
            [
                format!("bead {two} goes by \"bm-1\" at the reference, which should be {right:?}."),
                format!("the reference shows both {one} and {two} as \"bm-1\"."),
            ]
        );
        let found = told(check, &shared("bm-2"));
        assert!(found[0].ends_with(&format!("goes by \"bm-2\" at the reference, which should be {right:?}.")));
        let mut older = shared(&right);
        older.change(bead_id(2), |answer| answer.bead.created_at = Some("1999-01-01T00:00:00Z".to_owned()));
        assert!(told(check, &older)[0].ends_with("at the reference, which should be \"bm-1\"."));
    }

    #[test]
    fn an_alias_that_could_not_be_given_is_found() {
        for (alias, problem) in [("", "empty"), ("a~b", "can not contain"), (&"x".repeat(129), "at most 128 bytes")] {
            let mut scene = Scene::sound();
            scene.journal.deeds.clear();
            scene.change(bead_id(2), |answer| {
                answer.bead.alias = alias.to_owned();
                answer.alias = alias.to_owned();
            });
            let found = told(check, &scene);
            assert!(found.len() == 3 && found[0].contains(problem), "{found:?}");
            scene.meddled.insert(bead_id(2));
            assert_eq!(told(check, &scene), [""; 0]);
        }
    }

    #[test]
    fn an_alias_that_differs_between_nodes_is_found() {
        let mut scene = Scene::sound();
        scene.views[1].beads.get_mut(&bead_id(2)).unwrap().alias = "bm-3".to_owned();
        let found = told(check, &scene);
        let id = bead_id(2);
        assert_eq!(found[0], format!("bead {id} goes by \"bm-3\" at node 1, in the reference by \"bm-2\"."));
    }

    #[test]
    fn an_acknowledged_alias_stays_unless_somebody_changes_it() {
        let mut scene = Scene::sound();
        scene.change(bead_id(2), |answer| {
            answer.bead.alias = "bm-3".to_owned();
            answer.alias = "bm-3".to_owned();
        });
        let found = told(check, &scene);
        assert!(found[0].ends_with("is \"bm-2\"; at the reference it is \"bm-3\"."), "{found:?}");
        let value = Some("bm-3".to_owned());
        scene.asked(0, 500, Fate::Unknown, Effect::Field { bead: bead_id(2), field: "alias", value });
        assert_eq!(told(check, &scene), [""; 0]);
    }

    #[test]
    fn an_id_that_two_wishes_were_given_is_found() {
        let mut scene = Scene::sound();
        scene.asked(0, 500, Fate::Done(600), Effect::Created { bead: bead_id(2), alias: "bm-2".to_owned() });
        assert_eq!(told(check, &scene), [format!("wishes 1 and 2 were both told that they created {}.", bead_id(2))]);
    }

    #[test]
    fn a_number_given_twice_is_found_unless_there_were_two_stores() {
        let mut scene = Scene::sound();
        let place = (scene.keys[&1], instance(1), 2);
        scene.reference.entries.insert(EntryId::from_bytes([9; 32]), place);
        let expected = format!("2 entries of node 1 in instance {} bear the number 2.", instance(1));
        assert_eq!(told(check, &scene), std::slice::from_ref(&expected));
        scene.moved.insert(scene.keys[&1]);
        assert_eq!(told(check, &scene), [expected], "a copy on other hardware counts anew");
        scene.forked.insert(scene.keys[&1]);
        assert_eq!(told(check, &scene), [""; 0]);
    }

    #[test]
    fn a_gap_is_found_unless_a_disk_was_lost() {
        let mut scene = Scene::sound();
        let first = scene.reference.entries.iter().find(|(_, place)| **place == (scene.keys[&1], instance(1), 1));
        let first = *first.unwrap().0;
        scene.reference.entries.remove(&first);
        let expected = format!("entry 1 of node 1 in instance {} is nowhere, though entry 2 is there.", instance(1));
        assert_eq!(told(check, &scene), [expected]);
        scene.lost.insert(scene.keys[&1]);
        assert_eq!(told(check, &scene), [""; 0]);
        scene.lost.clear();
        scene.moved.insert(scene.keys[&1]);
        assert_eq!(told(check, &scene), [""; 0]);
        scene.moved.clear();
        scene.plan.nodes[1].rogue = true;
        assert_eq!(told(check, &scene), [""; 0]);
    }
}
