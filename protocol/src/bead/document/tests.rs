use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::bead::draft::{Cell, Draft, Row};
use crate::bead::{Bead, Comment, Criterion, Dep, DepKey, Edit, Field, FieldValue, Status, Target};
use crate::clock::Wall;

mod changes;

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
