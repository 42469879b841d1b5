use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::bead::draft::{Cell, Draft, Row};
use crate::bead::{Bead, Comment, Criterion, Dep, DepKey, Edit, Field, FieldValue, Status, Target};
use crate::clock::Wall;

const ID: BeadId = BeadId::from_bytes([7; 16]);
const ADA: [u8; 8] = [0xa; 8];
const BOB: [u8; 8] = [0xb; 8];
const CYD: [u8; 8] = [0xc; 8];

fn set(field: Field, text: &str) -> Edit {
    Edit::Set(field, FieldValue::Text(text.into()))
}

fn at(millis: u64) -> Wall {
    Wall::from_millis(millis)
}

fn edit(document: &mut Document, actor: [u8; 8], edits: &[Edit]) -> Vec<Change> {
    document.edit(actor, at(1_000), edits).unwrap()
}

/// A document with a title, and the changes that made it.
fn begun() -> (Document, Vec<Change>) {
    let mut document = Document::new(ID);
    let changes = edit(&mut document, CYD, &[set(Field::Title, "begun"), set(Field::Status, "open")]);
    (document, changes)
}

/// Lets every writer edit its own copy of one document, then shows what each order of arrival folds to.
fn concurrent(writers: &[([u8; 8], &[Edit])]) -> Document {
    let (begun, mut all) = begun();
    for (actor, edits) in writers {
        all.extend(edit(&mut begun.clone(), *actor, edits));
    }
    let (forth, left) = Document::fold(ID, all.clone());
    assert_eq!(left, Folded::default());
    let mut back = Document::new(ID);
    assert_eq!(back.receive(&all[0]), Receipt::Applied);
    for change in all[1..].iter().rev() {
        assert_eq!(back.receive(change), Receipt::Applied);
    }
    assert_eq!((forth.bead(), forth.conflicts()), (back.bead(), back.conflicts()));
    back
}

#[test]
fn a_new_document_shows_an_open_task() {
    assert_eq!(Document::new(ID).bead(), Bead::new(ID, String::new(), String::new()));
}

#[test]
fn the_writer_of_a_field_is_the_change_whose_value_is_shown() {
    let (begun, all) = begun();
    let mut closed = begun.clone();
    let close = closed.edit(ADA, at(5_000), &[set(Field::Status, "closed")]).unwrap();
    let claim = begun.clone().edit(BOB, at(7_000), &[set(Field::Status, "in_progress")]).unwrap();
    let document = Document::fold(ID, all.iter().chain(&close).chain(&claim).cloned()).0;
    assert_eq!(document.bead().status, Status::Closed);
    assert_eq!(document.writer(Field::Status), Some((close[0].hash(), at(5_000))));
    assert_eq!(document.writer(Field::Title), Some((all[0].hash(), at(1_000))));
    assert_eq!(document.writer(Field::Assignee), None);
}

#[test]
fn of_concurrent_scalars_one_wins_everywhere_and_the_other_stays_readable() {
    let (ada, bob) = ([set(Field::Notes, "from ada")], [set(Field::Notes, "from bob")]);
    let merged = concurrent(&[(ADA, &ada), (BOB, &bob)]);
    assert_eq!(merged.bead().notes.as_deref(), Some("from bob"));
    let conflicts = merged.conflicts();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].field, "notes");
    assert_eq!(conflicts[0].shown, FieldValue::Text("from bob".into()));
    assert_eq!(conflicts[0].others, [FieldValue::Text("from ada".into())]);
}

#[test]
fn edits_of_different_fields_both_survive() {
    let (ada, bob) = ([set(Field::Notes, "n")], [set(Field::Design, "d")]);
    let merged = concurrent(&[(ADA, &ada), (BOB, &bob)]);
    let bead = merged.bead();
    assert_eq!((bead.notes.as_deref(), bead.design.as_deref()), (Some("n"), Some("d")));
    assert!(merged.conflicts().is_empty());
}

#[test]
fn status_goes_by_precedence_among_concurrent_values() {
    let ladder = ["tombstone", "closed", "blocked", "in_progress", "pinned", "deferred", "custom"];
    for pair in ladder.windows(2) {
        let (high, low) = ([set(Field::Status, pair[0])], [set(Field::Status, pair[1])]);
        for (first, second) in [(ADA, BOB), (BOB, ADA)] {
            let merged = concurrent(&[(first, &high), (second, &low)]);
            assert_eq!(merged.bead().status, Status::from(pair[0].to_owned()), "{pair:?}");
            assert_eq!(merged.conflicts()[0].shown, FieldValue::Text(pair[0].into()));
        }
    }
}

#[test]
fn statuses_of_one_precedence_go_by_automerges_order() {
    let (ada, bob) = ([set(Field::Status, "in_progress")], [set(Field::Status, "hooked")]);
    assert_eq!(concurrent(&[(ADA, &ada), (BOB, &bob)]).bead().status, Status::Hooked);
    assert_eq!(concurrent(&[(BOB, &ada), (ADA, &bob)]).bead().status, Status::InProgress);
}

#[test]
fn a_reopen_that_saw_the_close_wins() {
    let (mut document, _) = begun();
    edit(&mut document, ADA, &[set(Field::Status, "closed")]);
    edit(&mut document, BOB, &[set(Field::Status, "open")]);
    assert_eq!(document.bead().status, Status::Open);
    assert!(document.conflicts().is_empty());
}

#[test]
fn closed_at_and_close_reason_come_from_the_change_whose_status_is_shown() {
    let closed = [set(Field::Status, "closed"), set(Field::ClosedAt, "2026-01-01"), set(Field::CloseReason, "done")];
    let blocked = [
        set(Field::Status, "blocked"),
        Edit::Set(Field::ClosedAt, FieldValue::Text("never".into())),
        set(Field::CloseReason, "not closed"),
    ];
    for (closer, blocker) in [(ADA, BOB), (BOB, ADA)] {
        let bead = concurrent(&[(closer, &closed), (blocker, &blocked)]).bead();
        assert_eq!(bead.status, Status::Closed);
        assert_eq!(bead.closed_at.as_deref(), Some("2026-01-01"));
        assert_eq!(bead.close_reason.as_deref(), Some("done"));
    }
}

#[test]
fn two_that_close_a_bead_have_nothing_to_settle_but_reasons_that_differ() {
    let closing = |date: &str, reason: Option<&str>| {
        let reason = reason.map_or(FieldValue::Absent, |text| FieldValue::Text(text.into()));
        [set(Field::Status, "closed"), set(Field::ClosedAt, date), Edit::Set(Field::CloseReason, reason)]
    };
    for (first, second, shown, other) in [
        (None, None, None, None),
        (Some("done"), Some("done"), Some("done"), None),
        (Some("done"), None, Some("done"), None),
        (Some("done"), Some("no longer wanted"), Some("no longer wanted"), Some("done")),
    ] {
        let (ada, bob) = (closing("2026-01-01", first), closing("2026-01-02", second));
        let merged = concurrent(&[(ADA, &ada), (BOB, &bob)]);
        let bead = merged.bead();
        assert_eq!((bead.closed_at.as_deref(), bead.close_reason.as_deref()), (Some("2026-01-02"), shown));
        let text = |text: &str| FieldValue::Text(text.into());
        let told = merged.conflicts().into_iter().map(|conflict| (conflict.field, conflict.others));
        let expected = other.map(|other| ("close_reason".to_owned(), vec![text(other)]));
        assert_eq!(told.collect::<Vec<_>>(), Vec::from_iter(expected), "{first:?}, {second:?}");
    }
}

#[test]
fn a_reason_written_beside_another_status_is_no_conflict() {
    let closed = [set(Field::Status, "closed"), set(Field::CloseReason, "done")];
    let blocked = [set(Field::Status, "blocked"), set(Field::CloseReason, "not closed")];
    for (closer, blocker) in [(ADA, BOB), (BOB, ADA)] {
        let conflicts = concurrent(&[(closer, &closed), (blocker, &blocked)]).conflicts();
        assert_eq!(conflicts.iter().map(|conflict| conflict.field.as_str()).collect::<Vec<_>>(), ["status"]);
    }
}

#[test]
fn maps_are_unions() {
    let ada = [Edit::AddLabel("red".into()), Edit::Need("gpu".into(), Some("1".into()))];
    let bob = [Edit::AddLabel("blue".into()), Edit::Need("ram".into(), Some("8".into()))];
    let bead = concurrent(&[(ADA, &ada), (BOB, &bob)]).bead();
    assert_eq!(bead.labels.into_iter().collect::<Vec<_>>(), ["blue", "red"]);
    assert_eq!(bead.needs.len(), 2);
}

#[test]
fn an_item_added_while_another_removes_it_stays() {
    let (mut document, mut all) = begun();
    all.extend(edit(&mut document, CYD, &[Edit::Need("gpu".into(), Some("1".into()))]));
    let removed = edit(&mut document.clone(), ADA, &[Edit::Need("gpu".into(), None)]);
    let changed = edit(&mut document.clone(), BOB, &[Edit::Need("gpu".into(), Some("2".into()))]);
    let (merged, _) = Document::fold(ID, all.into_iter().chain(removed).chain(changed));
    assert_eq!(merged.bead().needs, BTreeMap::from([("gpu".into(), "2".into())]));
}

#[test]
fn concurrent_values_of_one_item_are_a_conflict_of_that_item() {
    let ada = [Edit::Metadata("k".into(), Some("1".into()))];
    let bob = [Edit::Metadata("k".into(), Some("2".into()))];
    let conflicts = concurrent(&[(ADA, &ada), (BOB, &bob)]).conflicts();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].field, "metadata.k");
}

#[test]
fn equal_concurrent_values_are_no_conflict() {
    let both = [set(Field::Assignee, "ada")];
    assert!(concurrent(&[(ADA, &both), (BOB, &both)]).conflicts().is_empty());
}

#[test]
fn putting_the_shown_value_again_settles_a_conflict() {
    let (ada, bob) = ([set(Field::Notes, "from ada")], [set(Field::Notes, "from bob")]);
    let mut merged = concurrent(&[(ADA, &ada), (BOB, &bob)]);
    let made = edit(&mut merged, CYD, &[set(Field::Notes, "from bob")]);
    assert_eq!(made.len(), 1);
    assert!(merged.conflicts().is_empty());
    assert!(edit(&mut merged, CYD, &[set(Field::Notes, "from bob")]).is_empty());
}

#[test]
fn an_edit_that_changes_nothing_makes_no_change() {
    let (mut document, _) = begun();
    let nothing = [
        set(Field::Title, "begun"),
        Edit::Set(Field::Notes, FieldValue::Absent),
        set(Field::Design, ""),
        Edit::RemoveLabel("none".into()),
    ];
    assert_eq!(document.edit(ADA, at(5), &nothing), Ok(Vec::new()));
}

#[test]
fn criteria_go_by_order_then_text_and_comments_by_date() {
    let mut document = Document::new(ID);
    let criterion = |order, text: &str| Edit::AddCriterion(Criterion { order, text: text.into() });
    let comment = |date: &str, text: &str| {
        Edit::AddComment(Comment {
            author: "ada".into(),
            created_at: Some(date.into()),
            text: text.into(),
            extra: BTreeMap::new(),
        })
    };
    let edits = [
        criterion(2, "b"),
        criterion(1, "z"),
        criterion(1, "a"),
        comment("2026-02", "later"),
        comment("2026-01", "first"),
    ];
    edit(&mut document, ADA, &edits);
    let bead = document.bead();
    assert_eq!(bead.criteria.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["a", "z", "b"]);
    assert_eq!(bead.comments.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["first", "later"]);
    edit(&mut document, ADA, &[criterion(3, "a"), Edit::RemoveCriterion("z".into())]);
    assert_eq!(document.bead().criteria.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn every_edit_is_read_back() {
    let mut document = Document::new(ID);
    let key = DepKey { kind: "blocks".into(), target: Target::Id(BeadId::from_bytes([9; 16])) };
    let dep = Dep { created_by: Some("ada".into()), ..Dep::default() };
    let edits = [
        Edit::Set(Field::Priority, FieldValue::Number(0)),
        Edit::Set(Field::EstimateMinutes, FieldValue::Number(90)),
        Edit::AddDep(key.clone(), dep.clone()),
        Edit::AddScope("src/**".into()),
        Edit::Metadata("m".into(), Some("1".into())),
        Edit::Extra("e".into(), Some("[]".into())),
    ];
    edit(&mut document, ADA, &edits);
    let bead = document.bead();
    assert_eq!((bead.priority, bead.estimate_minutes), (0, Some(90)));
    assert_eq!(bead.deps, BTreeMap::from([(key.clone(), dep)]));
    assert!(bead.scopes.contains("src/**") && bead.metadata.contains_key("m") && bead.extra.contains_key("e"));
    let removals = [
        Edit::Set(Field::EstimateMinutes, FieldValue::Absent),
        Edit::RemoveDep(key),
        Edit::RemoveScope("src/**".into()),
        Edit::Metadata("m".into(), None),
        Edit::Extra("e".into(), None),
    ];
    edit(&mut document, ADA, &removals);
    let mut expected = Bead::new(ID, String::new(), String::new());
    expected.priority = 0;
    expected.updated_at = Some("1970-01-01T00:00:01Z".into());
    assert_eq!(document.bead(), expected);
}

#[test]
fn updated_at_is_the_latest_change_unless_the_imported_date_is_later() {
    let (mut document, _) = begun();
    assert_eq!(document.bead().updated_at.as_deref(), Some("1970-01-01T00:00:01Z"));
    document.edit(ADA, at(2_000), &[set(Field::UpdatedAt, "2026-01-01T01:00:00+01:00")]).unwrap();
    assert_eq!(document.bead().updated_at.as_deref(), Some("2026-01-01T01:00:00+01:00"));
    document.edit(ADA, at(1_800_000_000_000), &[set(Field::Notes, "n")]).unwrap();
    assert_eq!(document.bead().updated_at.as_deref(), Some("2027-01-15T08:00:00Z"));
}

#[test]
fn a_bead_larger_than_one_change_is_written_as_a_chain() {
    let mut document = Document::new(ID);
    let long = "x".repeat(60 * 1024);
    let edits = [set(Field::Description, &long), set(Field::Notes, &long), set(Field::Title, "t")];
    let changes = edit(&mut document, ADA, &edits);
    assert_eq!(changes.len(), 2);
    let (folded, left) = Document::fold(ID, changes.into_iter().rev());
    assert_eq!(left, Folded::default());
    assert_eq!(folded.bead(), document.bead());
    assert_eq!(folded.bead().notes, Some(long));
}

#[test]
fn an_edit_over_a_limit_is_refused_with_field_bound_and_size() {
    let (mut document, _) = begun();
    let error = document.edit(ADA, at(1), &[set(Field::Title, &"x".repeat(501))]).unwrap_err();
    assert_eq!(error.to_string(), "title: 501 bytes, at most 500 are allowed; shorten it");
    let error = document.edit(ADA, at(1), &[Edit::Set(Field::Priority, FieldValue::Number(5))]).unwrap_err();
    assert_eq!(error.to_string(), "priority: 5 is not from 0 to 4; choose one that is");
    let labels: Vec<Edit> = (0..1_025).map(|n| Edit::AddLabel(n.to_string())).collect();
    let error = document.edit(ADA, at(1), &labels).unwrap_err();
    assert_eq!(error.to_string(), "labels: 1025 items, at most 1024 are allowed; remove some first");
}

#[test]
fn three_hundred_concurrent_changes_can_still_be_edited() {
    let (begun, mut all) = begun();
    for n in 0..300u32 {
        let mut actor = [1; 8];
        actor[..4].copy_from_slice(&n.to_le_bytes());
        let mut copy = begun.clone();
        for _ in 0..=(n % 3) {
            all.extend(edit(&mut copy, actor, &[set(Field::Notes, &format!("{n}")), Edit::AddLabel(format!("l{n}"))]));
        }
    }
    let (mut merged, _) = Document::fold(ID, all.clone());
    assert_eq!(merged.heads().len(), 300);
    let made = edit(&mut merged, BOB, &[set(Field::Notes, "settled")]);
    assert_eq!(made.len(), 2);
    assert_eq!(merged.heads(), [made[1].hash()]);
    let (folded, left) = Document::fold(ID, all.into_iter().chain(made));
    assert_eq!(left, Folded::default());
    assert_eq!(folded.bead(), merged.bead());
    assert!(folded.conflicts().is_empty());
}

fn raw(actor: [u8; 8], seq: u64, start_op: u64, deps: &[ChangeHash], text: &str) -> Change {
    let row =
        Row { object: Object::Root, key: "notes".into(), cell: Cell::Text(text.to_owned().into()), preds: Vec::new() };
    let mut deps = deps.to_vec();
    deps.sort_unstable();
    Draft { deps, actor: actor.into(), seq, start_op, time: 1, rows: vec![row] }.seal().unwrap()
}

#[test]
fn of_two_changes_with_one_actor_and_number_the_lower_hash_has_effect() {
    let genesis = genesis::change().hash();
    let (a, b) = (raw(ADA, 1, 9, &[genesis], "a"), raw(ADA, 1, 9, &[genesis], "b"));
    let (low, high) = if a.hash() < b.hash() { (a, b) } else { (b, a) };
    let child = raw(BOB, 1, 10, &[high.hash()], "child");
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&high), Receipt::Applied);
    assert_eq!(document.receive(&child), Receipt::Applied);
    assert_eq!(document.receive(&low), Receipt::Displaces(high.hash()));
    assert!(document.contains(&high.hash()));
    let (document, left) = Document::fold(ID, [high.clone(), child.clone(), low.clone()]);
    assert!(document.contains(&low.hash()) && !document.contains(&high.hash()));
    assert_eq!(left.void[&high.hash()], Void::Twin(low.hash()));
    assert_eq!(left.void[&child.hash()], Void::Dependency(high.hash()));
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&low), Receipt::Applied);
    assert_eq!(document.receive(&high), Receipt::Void(Void::Twin(low.hash())));
    assert_eq!(document.receive(&child), Receipt::Void(Void::Dependency(high.hash())));
    assert_eq!(document.receive(&low), Receipt::Duplicate);
}

#[test]
fn a_change_waits_for_its_dependencies() {
    let genesis = genesis::change().hash();
    let first = raw(ADA, 1, 9, &[genesis], "a");
    let second = raw(BOB, 1, 10, &[first.hash()], "b");
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&second), Receipt::Waiting(vec![first.hash()]));
    assert_eq!(document.receive(&first), Receipt::Applied);
    assert_eq!(document.receive(&second), Receipt::Applied);
    let (_, left) = Document::fold(ID, [second.clone()]);
    assert_eq!(left.waiting, BTreeMap::from([(second.hash(), vec![first.hash()])]));
}

#[test]
fn a_change_that_does_not_build_on_genesis_is_void() {
    let change = raw(ADA, 1, 1, &[], "a");
    assert_eq!(Document::new(ID).receive(&change), Receipt::Void(Void::Rootless));
}

#[test]
fn a_change_that_does_not_build_on_genesis_takes_no_other_changes_place() {
    let first = raw(ADA, 1, 9, &[genesis::change().hash()], "first");
    let rootless = (0..).map(|n| raw(ADA, 1, 9, &[], &format!("{n}"))).find(|twin| twin.hash() < first.hash()).unwrap();
    for order in [[&first, &rootless], [&rootless, &first]] {
        let mut document = Document::new(ID);
        order.into_iter().for_each(|change| _ = document.receive(change));
        assert!(document.contains(&first.hash()));
        let (folded, left) = Document::fold(ID, order.map(Clone::clone));
        assert!(folded.contains(&first.hash()));
        assert_eq!(left.void, BTreeMap::from([(rootless.hash(), Void::Rootless)]));
    }
}

#[test]
fn a_change_whose_operations_skip_or_repeat_numbers_is_void() {
    let genesis = genesis::change().hash();
    for found in [8, 10] {
        let change = raw(ADA, 1, found, &[genesis], "a");
        assert_eq!(Document::new(ID).receive(&change), Receipt::Void(Void::StartOp { found, expected: 9 }));
    }
}

#[test]
fn a_change_that_does_not_build_on_its_actors_last_is_void() {
    let genesis = genesis::change().hash();
    let first = raw(ADA, 1, 9, &[genesis], "a");
    let aside = raw(BOB, 1, 9, &[genesis], "b");
    let second = raw(ADA, 2, 10, &[aside.hash()], "c");
    let skipped = raw(CYD, 2, 9, &[genesis], "d");
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&skipped), Receipt::Void(Void::Sequence(1)));
    assert_eq!(document.receive(&first), Receipt::Applied);
    assert_eq!(document.receive(&aside), Receipt::Applied);
    assert_eq!(document.receive(&second), Receipt::Void(Void::Sequence(1)));
}

#[test]
fn a_change_that_replaces_what_did_not_stand_there_is_void() {
    let (document, begun) = begun();
    let title = Pred { counter: 9, actor: CYD.into() };
    let row = |key: &'static str| Row { object: Object::Root, key: key.into(), cell: Cell::Null, preds: vec![title] };
    let draft = |key| Draft {
        deps: vec![begun[0].hash()],
        actor: ADA.into(),
        seq: 1,
        start_op: 11,
        time: 0,
        rows: vec![row(key)],
    };
    let wrong = draft("status").seal().unwrap();
    assert_eq!(document.clone().receive(&wrong), Receipt::Void(Void::Replaces(9)));
    let right = draft("title").seal().unwrap();
    assert_eq!(document.clone().receive(&right), Receipt::Applied);
    // What stood there counts even after another change has replaced it meanwhile.
    let mut later = document;
    edit(&mut later, BOB, &[set(Field::Title, "other")]);
    assert_eq!(later.receive(&right), Receipt::Applied);
}

#[test]
fn an_actor_whose_next_number_is_taken_is_asked_to_be_drawn_anew() {
    let (mut document, begun) = begun();
    let stranger = raw(ADA, 1, 500, &[begun[0].hash()], "void");
    assert!(matches!(document.receive(&stranger), Receipt::Void(_)));
    let error = document.edit(ADA, at(1), &[set(Field::Notes, "n")]).unwrap_err();
    assert_eq!(error, crate::bead::edit::EditError::Actor(ADA.into()));
}

#[test]
fn values_of_unexpected_kinds_are_absent() {
    let odd = |key: &'static str, cell| Row { object: Object::Root, key: key.into(), cell, preds: Vec::new() };
    let item = |container, key: &'static str, cell| Row { object: Object::In(container), ..odd(key, cell) };
    let rows = vec![
        odd("title", Cell::Int(-1)),
        odd("status", Cell::True),
        odd("priority", Cell::Int(i64::MIN)),
        odd("estimate_minutes", Cell::Text("long".into())),
        odd("project", Cell::Text("no id".into())),
        odd("unheard_of", Cell::True),
        item(Container::Deps, "no bar", Cell::Text("".into())),
        item(Container::Comments, "c", Cell::Text("not JSON".into())),
        item(Container::Criteria, "c", Cell::Null),
        item(Container::Needs, "n", Cell::Int(3)),
    ];
    let deps = vec![genesis::change().hash()];
    let change = Draft { deps, actor: ADA.into(), seq: 1, start_op: 9, time: 0, rows }.seal().unwrap();
    let change = Change::parse(change.bytes()).unwrap();
    let mut document = Document::new(ID);
    assert_eq!(document.receive(&change), Receipt::Applied);
    assert_eq!(document.bead(), Bead::new(ID, String::new(), String::new()));
    assert!(document.conflicts().is_empty());
}

/// A handful of writers who edit, and sometimes learn what another did; twins and foreign numbers among it.
fn history(steps: &[(u8, u8, u8)]) -> Vec<Change> {
    let mut writers: Vec<Document> = vec![Document::new(ID); 3];
    let actors = [ADA, BOB, CYD];
    let mut all: Vec<Change> = Vec::new();
    for (step, (writer, what, value)) in steps.iter().enumerate() {
        let who = usize::from(writer % 3);
        let text = format!("{value}");
        let edit = match what % 8 {
            0 => set(Field::Title, &text),
            1 => set(Field::Status, ["open", "closed", "in_progress", "tombstone"][usize::from(value % 4)]),
            2 => Edit::AddLabel(format!("l{}", value % 3)),
            3 => Edit::RemoveLabel(format!("l{}", value % 3)),
            4 => set(Field::ClosedAt, &text),
            5 => {
                let deps = writers[who].heads();
                let seq = 1 + u64::from(value % 3);
                all.push(raw(actors[who], seq, 9 + u64::from(value % 4), &deps, &text));
                continue;
            }
            _ => {
                for change in &all {
                    // A writer that learns of a twin goes on with what it had.
                    writers[who].receive(change);
                }
                continue;
            }
        };
        if let Ok(changes) = writers[who].edit(actors[who], at(step as u64), &[edit]) {
            all.extend(changes);
        }
    }
    all
}

/// Hands changes in one at a time as a replica does: again when they waited, anew when one displaces another.
fn received(changes: &[Change]) -> Document {
    let mut document = Document::new(ID);
    let mut held: Vec<Change> = Vec::new();
    for change in changes {
        held.push(change.clone());
        if let Receipt::Displaces(_) = document.receive(change) {
            document = Document::fold(ID, held.iter().cloned()).0;
            continue;
        }
        while held.iter().any(|change| document.receive(change) == Receipt::Applied) {}
    }
    document
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_order_of_arrival_folds_to_one_bead(
        (steps, keys) in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..24)
            .prop_flat_map(|steps| {
                let keys = proptest::collection::vec(any::<u32>(), steps.len() * 2);
                (Just(steps), keys)
            })
    ) {
        let changes = history(&steps);
        let mut shuffled: Vec<_> = changes.iter().cloned().zip(keys.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<Change> = shuffled.into_iter().map(|(change, _)| change).collect();
        let (folded, left) = Document::fold(ID, changes.iter().cloned());
        let (again, left_again) = Document::fold(ID, shuffled.iter().cloned());
        prop_assert_eq!(&left, &left_again);
        for other in [&again, &received(&changes), &received(&shuffled)] {
            prop_assert_eq!(folded.heads(), other.heads());
            prop_assert_eq!(folded.changes().collect::<Vec<_>>(), other.changes().collect::<Vec<_>>());
            prop_assert_eq!(folded.bead(), other.bead());
            prop_assert_eq!(folded.conflicts(), other.conflicts());
            for field in [Field::Status, Field::Assignee] {
                prop_assert_eq!(folded.writer(field), other.writer(field));
            }
        }
        for change in &changes {
            let told = [folded.contains(&change.hash()), left.void.contains_key(&change.hash()),
                left.waiting.contains_key(&change.hash())];
            prop_assert_eq!(told.into_iter().filter(|told| *told).count(), 1);
            prop_assert_eq!(&Change::from_wire(change.to_wire()).unwrap(), change);
        }
    }

    #[test]
    fn a_first_change_of_any_rows_shows_the_same_without_a_document(
        cells in proptest::collection::vec((0..12_usize, 0..40_usize, 0..8_u8), 0..24)
    ) {
        let words = ["a", "b", "blocks|bm-1", "odd", "", "labels.x"];
        let mut rows: BTreeMap<(Object, String), Cell<'static>> = BTreeMap::new();
        let mut order = Vec::new();
        for (place, key, value) in cells {
            let key = if place < 4 { Field::ALL[key % 20].as_str() } else { words[key % words.len()] };
            let object = if place < 4 { Object::Root } else { Object::In(Container::ALL[place - 4]) };
            let cell = match value {
                0 => Cell::Delete,
                1 => Cell::Null,
                2 => Cell::True,
                3 => Cell::Int(i64::from(value)),
                4 => Cell::Text("".into()),
                5 => Cell::Text(r#"{"order":1,"text":"t"}"#.into()),
                6 => Cell::Text(r#"{"author":"ada","text":"t"}"#.into()),
                _ => Cell::Text("closed".into()),
            };
            if rows.insert((object, key.to_owned()), cell).is_none() {
                order.push((object, key.to_owned()));
            }
        }
        let rows = order.into_iter().map(|(object, key)| Row {
            object,
            cell: rows[&(object, key.clone())].clone(),
            key: key.into(),
            preds: Vec::new(),
        });
        let deps = vec![genesis::change().hash()];
        let draft = Draft { deps, actor: ADA.into(), seq: 1, start_op: 9, time: 1_000, rows: rows.collect() };
        let change = draft.seal().unwrap();
        prop_assert_eq!(&Change::parse(change.bytes()).unwrap(), &change);
        prop_assert!(change.automerge().is_some());
        let (document, left) = Document::fold(ID, [change.clone()]);
        prop_assert_eq!(left, Folded::default());
        prop_assert_eq!(Bead::of_first(ID, &change), Some(document.bead()));
        prop_assert!(document.conflicts().is_empty());
    }
}
