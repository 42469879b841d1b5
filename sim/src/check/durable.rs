//! What was acknowledged is not lost, and what was refused left nothing behind.
//!
//! Never a false alarm: where another deed may have undone what was asked, the effect is let go. Which deeds may have is
//! said in `rivals`.

use std::collections::BTreeSet;

use beadmesh_protocol::bead::import::value_of;
use beadmesh_protocol::bead::{Bead, Field, FieldValue, Target};
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BeadId;
use beadmesh_store::command::BeadAnswer;

use super::Ending;
use super::report::{self, Report, short};
use crate::journal::{Deed, Effect, Fate};
use crate::outcome::Violation;
use crate::view::View;
use crate::workload::{mark, marked};

mod rivals;

use rivals::Rivals;

/// Finds effects of acknowledged deeds that do not hold, and traces of refused ones.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("durable", ending);
    let rivals = Rivals::of(ending);
    for (at, deed) in ending.journal.deeds.iter().enumerate() {
        let Fate::Done(done_us) = deed.fate else { continue };
        // What an observer writes is void; a rogue may have made its own changes void.
        if deed.excused || ending.is_rogue(deed.node) || !ending.may_write(deed.node) {
            continue;
        }
        for effect in &deed.effects {
            // Of a bead whose first change a rogue holds back there is nothing to show, and an import leaves it alone.
            if matches!(effect, Effect::Imported { .. }) && ending.meddled.contains(&effect.bead()) {
                continue;
            }
            let lacking: Vec<&View> = ending.shown().filter(|view| !holds(effect, view)).collect();
            let Some(first) = lacking.first() else { continue };
            let is_gone = lacking.iter().any(|view| !view.beads.contains_key(&effect.bead()));
            if is_gone || !rivals.may_have_undone(at, effect) {
                let who: Vec<String> = lacking.iter().map(|view| report::viewer(view)).collect();
                let what = lost(ending, effect, if is_gone { None } else { first.beads.get(&effect.bead()) });
                let asked = format!("{}, acknowledged {}", asked(deed), moment(done_us));
                report.note(first.place, format!("{asked}: {what}, says {}.", who.join(" and ")));
            }
        }
    }
    find_refused(ending, &mut report);
    report.finish()
}

fn asked(deed: &Deed) -> String {
    format!("wish {} of node {}, asked at {}", deed.wish, deed.node, moment(deed.asked_us))
}

fn moment(us: u64) -> String {
    format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
}

/// Returns whether a view shows what an effect says.
fn holds(effect: &Effect, view: &View) -> bool {
    let Some(answer) = view.beads.get(&effect.bead()) else { return false };
    let bead = &answer.bead;
    match effect {
        Effect::Created { .. } | Effect::Imported { .. } | Effect::Worked { .. } => true,
        Effect::Field { field, value, .. } => has_value(answer, field, value.as_deref()),
        Effect::Label { label, present, .. } => bead.labels.contains(label) == *present,
        Effect::Scope { pattern, present, .. } => bead.scopes.contains(pattern) == *present,
        Effect::Comment { text, .. } => bead.comments.iter().any(|comment| comment.text == *text),
        Effect::Dep { kind, target, present, .. } => {
            let wanted = |word: &str| kind.as_deref().is_none_or(|kind| kind == word);
            let target = Target::Id(*target);
            bead.deps.keys().any(|key| key.target == target && wanted(&key.kind)) == *present
        }
    }
}

/// Returns whether a field shows a value, or keeps it as the one that lost a conflict.
fn has_value(answer: &BeadAnswer, name: &str, value: Option<&str>) -> bool {
    let field = Field::parse(name).unwrap_or_else(|| panic!("the journal names a field {name:?}; there is none"));
    let others = answer.conflicts.iter().filter(|conflict| conflict.field == name).flat_map(|found| &found.others);
    is_value(field, &value_of(&answer.bead, field), value)
        || others.into_iter().any(|other| is_value(field, other, value))
}

fn is_value(field: Field, stands: &FieldValue, wanted: Option<&str>) -> bool {
    if wanted.is_none_or(str::is_empty) {
        // A field that is cleared shows what it shows in a bead of which nothing is known.
        let blank = Bead::new(BeadId::from_bytes([0; 16]), String::new(), String::new());
        return *stands == FieldValue::Absent || *stands == value_of(&blank, field);
    }
    match (stands, wanted) {
        (_, None) | (FieldValue::Absent, Some(_)) => false,
        (FieldValue::Number(number), Some(wanted)) => number.to_string() == wanted,
        (FieldValue::Text(text), Some(wanted)) => {
            // What is no instant is stored as one.
            let is_date = matches!(field, Field::DueAt | Field::DeferUntil);
            let instant = |text| Wall::parse_lenient(text).filter(|_| is_date);
            text == wanted || instant(wanted).is_some_and(|wanted| Some(wanted) == instant(text))
        }
    }
}

/// Says what does not hold, with what is shown instead.
fn lost(ending: &Ending<'_>, effect: &Effect, shown: Option<&BeadAnswer>) -> String {
    let bead = report::bead(ending, effect.bead());
    let Some(answer) = shown else {
        let alias =
            if let Effect::Created { alias, .. } = effect { format!(", created as {alias},") } else { String::new() };
        return format!("{bead}{alias} is not there");
    };
    let item = |is: &bool, what: String| format!("{bead} has {} {what}", if *is { "lost" } else { "kept" });
    match effect {
        Effect::Created { .. } | Effect::Imported { .. } | Effect::Worked { .. } => format!("{bead} is not there"),
        Effect::Field { field, value, .. } => {
            let stands = Field::parse(field).map(|field| value_of(&answer.bead, field));
            let (value, stands) = (short(&format!("{value:?}")), short(&format!("{stands:?}")));
            format!("{bead} has lost {field} = {value}, shown is {stands}")
        }
        Effect::Label { label, present, .. } => item(present, format!("the label {:?}", short(label))),
        Effect::Scope { pattern, present, .. } => item(present, format!("the scope {:?}", short(pattern))),
        Effect::Comment { text, .. } => item(&true, format!("the comment {:?}", short(text))),
        Effect::Dep { kind, target, present, .. } => {
            let kind = kind.as_deref().unwrap_or("any");
            item(present, format!("the dependency {kind} on {}", report::bead(ending, *target)))
        }
    }
}

/// Finds words of refused wishes: all words that a wish brings in bear its number.
fn find_refused(ending: &Ending<'_>, report: &mut Report) {
    let deeds = &ending.journal.deeds;
    let is_refused = |deed: &&Deed| matches!(deed.fate, Fate::Refused(_));
    let mut refused: BTreeSet<usize> = deeds.iter().filter(is_refused).map(|deed| deed.wish).collect();
    for deed in deeds.iter().filter(|deed| !is_refused(deed)) {
        refused.remove(&deed.wish);
    }
    if refused.is_empty() {
        return;
    }
    let mut told = BTreeSet::new();
    for view in ending.shown() {
        let conflicts = view.beads.values().flat_map(|answer| &answer.conflicts).flat_map(|conflict| &conflict.others);
        let texts = conflicts.filter_map(|value| if let FieldValue::Text(text) = value { Some(text) } else { None });
        for text in view.lines.iter().chain(texts) {
            for wish in marked(text).filter(|wish| refused.contains(wish)) {
                if told.insert(wish) {
                    let deed = deeds.iter().find(|deed| deed.wish == wish).expect("a refused wish has a deed");
                    let Fate::Refused(code) = deed.fate else { continue };
                    let around = text.find(&mark(wish)).map_or(String::new(), |at| short(&text[at..]));
                    let what = format!(
                        "{}, was refused ({code}), and yet {} shows {around:?}.",
                        asked(deed),
                        report::viewer(view)
                    );
                    report.note(view.place, what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::bead::{Comment, Conflict, DepKey, Status};

    use super::*;
    use crate::check::tests::{Scene, bead_id, told};

    fn field(field: &'static str, value: &str) -> Effect {
        Effect::Field { bead: bead_id(1), field, value: Some(value.to_owned()) }
    }

    fn label(label: &str, present: bool) -> Effect {
        Effect::Label { bead: bead_id(1), label: label.to_owned(), present }
    }

    fn dep(kind: Option<&str>, present: bool) -> Effect {
        Effect::Dep { bead: bead_id(1), kind: kind.map(str::to_owned), target: bead_id(2), present }
    }

    /// A scene in which those deeds were done: node, asked at, acknowledged at (nothing: no answer), effect.
    fn scene(deeds: &[(u32, u64, Option<u64>, Effect)]) -> Scene {
        let mut scene = Scene::sound();
        for (node, asked_us, done_us, effect) in deeds {
            let fate = done_us.map_or(Fate::Unknown, Fate::Done);
            scene.asked(*node, *asked_us, fate, effect.clone());
        }
        scene
    }

    fn count(scene: &Scene) -> usize {
        told(check, scene).len()
    }

    #[test]
    fn what_holds_is_in_order() {
        let mut scene = scene(&[
            (0, 1, Some(2), field("title", "bead 1")),
            (0, 3, Some(4), field("priority", "2")),
            (0, 3, Some(4), field("status", "open")),
            (0, 5, Some(6), field("due_at", "2027-01-01")),
            (0, 5, Some(6), Effect::Field { bead: bead_id(1), field: "notes", value: None }),
            (1, 7, Some(8), label("w9-label", true)),
            (1, 7, Some(8), dep(Some("blocks"), true)),
            (1, 7, Some(8), Effect::Comment { bead: bead_id(1), text: "w1-said".to_owned() }),
            (2, 9, Some(10), Effect::Imported { bead: bead_id(2) }),
        ]);
        scene.change(bead_id(1), |answer| {
            answer.bead.due_at = Some("2027-01-01T00:00:00Z".to_owned());
            answer.bead.labels.insert("w9-label".to_owned());
            let key = DepKey { kind: "blocks".to_owned(), target: Target::Id(bead_id(2)) };
            answer.bead.deps.insert(key, beadmesh_protocol::bead::Dep::default());
            answer.bead.comments.push(Comment {
                author: "ada".to_owned(),
                created_at: None,
                text: "w1-said".to_owned(),
                extra: std::collections::BTreeMap::new(),
            });
        });
        assert_eq!(told(check, &scene), [""; 0]);
    }

    #[test]
    fn a_bead_that_is_gone_is_told_with_who_asked_for_it() {
        let mut scene = Scene::sound();
        for view in &mut scene.views {
            view.beads.remove(&bead_id(2));
        }
        let expected = format!(
            "wish 1 of node 1, asked at 0.000200 s, acknowledged 0.000300 s: bead bm-2 ({}), created as bm-2, is not \
             there, says node 0 and node 1.",
            bead_id(2)
        );
        assert_eq!(told(check, &scene), [expected]);
        scene.journal.deeds[1].excused = true;
        assert_eq!(count(&scene), 0);
        scene.journal.deeds[1].excused = false;
        scene.plan.nodes[1].rogue = true;
        assert_eq!(count(&scene), 0);
        scene.plan.nodes[1].rogue = false;
        scene.plan.nodes[1].role = beadmesh_protocol::op::Role::Observer;
        assert_eq!(count(&scene), 0, "what an observer writes is void");
    }

    #[test]
    fn every_kind_of_effect_can_fail() {
        let kinds = [
            Effect::Imported { bead: bead_id(7) },
            field("title", "w0-other"),
            label("w0-gone", true),
            Effect::Scope { bead: bead_id(1), pattern: "src/".to_owned(), present: true },
            Effect::Comment { bead: bead_id(1), text: "w0-gone".to_owned() },
            dep(Some("blocks"), true),
            dep(None, true),
        ];
        for effect in kinds {
            let found = told(check, &scene(&[(0, 1_000, Some(2_000), effect.clone())]));
            assert_eq!(found.len(), 1, "{effect:?}");
        }
        let found = told(check, &scene(&[(2, 1_000, Some(2_000), field("title", "w2-other"))]));
        assert!(found[0].contains("has lost title = Some(\"w2-other\"), shown is Some(Text(\"bead 1\"))"), "{found:?}");
    }

    #[test]
    fn what_was_removed_stays_away() {
        let mut kept = scene(&[(0, 1_000, Some(2_000), label("stray", false))]);
        kept.change(bead_id(1), |answer| answer.bead.labels.extend(["stray".to_owned()]));
        assert!(
            told(check, &kept)[0].contains("has kept the label \"stray\", says the reference and node 0 and node 1.")
        );
    }

    #[test]
    fn a_value_that_lost_a_conflict_is_not_lost() {
        let mut scene = scene(&[(0, 1_000, Some(2_000), field("title", "w2-mine"))]);
        assert_eq!(count(&scene), 1);
        scene.change(bead_id(1), |answer| {
            let (shown, others) = (FieldValue::Text("bead 1".to_owned()), vec![FieldValue::Text("w2-mine".to_owned())]);
            answer.conflicts.push(Conflict { field: "title".to_owned(), shown, others });
        });
        assert_eq!(count(&scene), 0);
    }

    #[test]
    fn a_value_may_be_undone_by_who_could_know_of_it() {
        let mine = (0, 1_000, Some(2_000), field("title", "w2-mine"));
        let bead_1 = || field("title", "bead 1");
        // By one asked later, at the same time, or one of which nothing was heard.
        for later in [(1, 3_000, Some(4_000)), (1, 500, Some(1_500)), (1, 10, None), (0, 3_000, Some(4_000))] {
            let theirs = (later.0, later.1, later.2, bead_1());
            assert_eq!(count(&scene(&[mine.clone(), theirs])), 0, "{later:?}");
        }
        // Not by one that was over before, here or elsewhere.
        for earlier in [(0, 500, Some(600)), (1, 500, Some(600)), (0, 500, None)] {
            let theirs = (earlier.0, earlier.1, earlier.2, bead_1());
            assert_eq!(count(&scene(&[mine.clone(), theirs])), 1, "{earlier:?}");
        }
        // Not by one that was refused, set another field, or meant another bead.
        let mut refused = scene(&[mine.clone(), (1, 3_000, Some(4_000), bead_1())]);
        refused.journal.deeds.last_mut().unwrap().fate = Fate::Refused("conflict");
        assert_eq!(count(&refused), 1);
        let notes = Effect::Field { bead: bead_id(1), field: "notes", value: None };
        assert_eq!(count(&scene(&[mine.clone(), (1, 3_000, Some(4_000), notes)])), 1);
    }

    #[test]
    fn a_node_that_lost_its_store_may_not_know_what_it_did() {
        let deeds = [(0, 1_000, Some(2_000), field("priority", "0")), (0, 500, Some(600), field("priority", "2"))];
        let before = (1, 300, Some(400), field("priority", "0"));
        assert_eq!(count(&scene(&deeds)), 1);
        let mut scene = scene(&[deeds[0].clone(), deeds[1].clone(), before]);
        assert_eq!(count(&scene), 1, "what node 0 did before, it knew");
        scene.lost.insert(scene.keys[&0]);
        assert_eq!(count(&scene), 0, "what stood there may have been set by node 1, and the wish changed nothing");
    }

    #[test]
    fn a_wish_that_may_have_changed_nothing_is_undone_by_an_earlier_one() {
        let mine = (0, 1_000, Some(2_000), field("assignee", "ada"));
        let (same, other) = (field("assignee", "ada"), field("assignee", "bob"));
        let mut both = scene(&[mine.clone(), (1, 100, Some(200), same), (1, 300, Some(400), other.clone())]);
        both.change(bead_id(1), |answer| answer.bead.assignee = Some("bob".to_owned()));
        assert_eq!(count(&both), 0);
        let mut alone = scene(&[mine, (1, 300, Some(400), other)]);
        alone.change(bead_id(1), |answer| answer.bead.assignee = Some("bob".to_owned()));
        assert_eq!(count(&alone), 1);
        // As it was created: open.
        let mut reopened =
            scene(&[(0, 1_000, Some(2_000), field("status", "open")), (1, 300, Some(400), field("status", "closed"))]);
        reopened.change(bead_id(1), |answer| answer.bead.status = Status::Closed);
        assert_eq!(count(&reopened), 0);
    }

    #[test]
    fn dates_and_reasons_of_closing_go_with_the_status_of_others() {
        let mine = (0, 1_000, Some(2_000), field("close_reason", "w2-done"));
        let deleted_by = |node| {
            let mut scene = scene(&[mine.clone(), (node, 300, Some(400), field("status", "tombstone"))]);
            scene.change(bead_id(1), |answer| answer.bead.status = Status::Tombstone);
            count(&scene)
        };
        assert_eq!(deleted_by(1), 0);
        assert_eq!(deleted_by(0), 1);
        let status = (0, 1_000, Some(2_000), field("status", "w2-status"));
        let reason = (1, 3_000, Some(4_000), field("close_reason", "w3-done"));
        let found = told(check, &scene(&[status, reason]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("has lost status"), "{found:?}");
    }

    #[test]
    fn an_add_wins_over_a_removal_that_could_not_know_of_it() {
        let add = |node| (node, 1_000, Some(2_000), label("w2-label", true));
        let removal = |node, asked, done| (node, asked, done, label("w2-label", false));
        assert_eq!(count(&scene(&[add(0), removal(1, 300, Some(400))])), 1);
        assert_eq!(count(&scene(&[add(0), removal(1, 3_000, Some(4_000))])), 0);
        assert_eq!(count(&scene(&[add(0), removal(1, 300, None)])), 0);
        // A label that stood there already was not added, and may have been removed elsewhere before.
        let plain = |node, asked, present| (node, asked, Some(asked + 50), label("plain", present));
        assert_eq!(count(&scene(&[plain(0, 1_000, true), plain(1, 200, true), plain(1, 300, false)])), 0);
        assert_eq!(count(&scene(&[plain(0, 1_000, true), plain(1, 300, false)])), 1);
    }

    #[test]
    fn a_removal_takes_away_what_its_node_knew() {
        let with_label = |deeds: &[(u32, u64, Option<u64>, Effect)]| {
            let mut scene = scene(deeds);
            scene.change(bead_id(1), |answer| answer.bead.labels.extend(["x".to_owned()]));
            count(&scene)
        };
        let removal = (0, 1_000, Some(2_000), label("x", false));
        assert_eq!(with_label(&[removal.clone(), (0, 100, Some(200), label("x", true))]), 1);
        assert_eq!(with_label(&[removal.clone(), (1, 100, Some(200), label("x", true))]), 0);
        assert_eq!(with_label(&[removal, (0, 3_000, Some(4_000), label("x", true))]), 0);
    }

    #[test]
    fn dependencies_are_undone_by_type() {
        let add = (0, 1_000, Some(2_000), dep(Some("blocks"), true));
        let removal = |kind| (1, 3_000, Some(4_000), dep(kind, false));
        assert_eq!(count(&scene(&[add.clone(), removal(Some("related"))])), 1);
        assert_eq!(count(&scene(&[add.clone(), removal(Some("blocks"))])), 0);
        assert_eq!(count(&scene(&[add, removal(None)])), 0);
    }

    #[test]
    fn imported_and_meddled_beads_are_asked_for_less() {
        let lost = [(0, 1_000, Some(2_000), field("title", "w2-mine"))];
        let mut imported = scene(&lost);
        imported.asked(1, 10, Fate::Unknown, Effect::Imported { bead: bead_id(1) });
        assert_eq!(count(&imported), 0);
        imported.asked(1, 10, Fate::Done(20), Effect::Comment { bead: bead_id(1), text: "gone".to_owned() });
        assert_eq!(count(&imported), 1);
        imported.meddled.insert(bead_id(1));
        assert_eq!(count(&imported), 0);
        imported.views[0].beads.remove(&bead_id(1));
        assert!(count(&imported) > 0);
        let mut held_back = Scene::sound();
        held_back.asked(1, 10, Fate::Done(20), Effect::Imported { bead: bead_id(7) });
        assert_eq!(count(&held_back), 1);
        held_back.meddled.insert(bead_id(7));
        assert_eq!(count(&held_back), 0);
    }

    #[test]
    fn words_of_a_refused_wish_are_nowhere() {
        let mut scene = Scene::sound();
        scene.asked(1, 1_000, Fate::Refused("cycle"), field("title", "w2-title"));
        scene.change(bead_id(1), |answer| answer.bead.title = "w22-title".to_owned());
        assert_eq!(count(&scene), 0);
        scene.views[1].lines[0] = "{\"title\":\"w2-title\"}".to_owned();
        assert_eq!(
            told(check, &scene),
            ["wish 2 of node 1, asked at 0.001000 s, was refused (cycle), and yet node 1 shows \"w2-title\\\"}\"."]
        );
        let again = Deed { fate: Fate::Unknown, ..scene.journal.deeds[2].clone() };
        scene.journal.deeds.push(again);
        assert_eq!(count(&scene), 0);
    }
}
