use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::bead::document::{Document, Folded};
use crate::bead::{Comment, Criterion, Dep, DepKey, Status, Target};
use crate::clock::Wall;
use crate::id::{BeadId, ProjectId};

const ID: BeadId = BeadId::from_bytes([7; 16]);

fn record() -> Bead {
    let mut bead = Bead::new(ID, "VED-D01".into(), "Import the records".into());
    bead.project = Some(ProjectId::from_bytes([3; 16]));
    bead.description = Some("Every line becomes one change.".into());
    bead.status = Status::InProgress;
    bead.priority = 1;
    bead.assignee = Some("ada".into());
    bead.created_at = Some("2026-01-01T00:00:00.123456789Z".into());
    bead.updated_at = Some("2026-02-01T12:00:00.000000001+01:00".into());
    bead.labels = BTreeSet::from(["import".into(), "store".into()]);
    let key = DepKey { kind: "blocks".into(), target: Target::Alias("VED-D00".into()) };
    bead.deps = BTreeMap::from([(key, Dep::default())]);
    bead.criteria = vec![Criterion { order: 0, text: "equal bytes".into() }];
    bead.comments = vec![Comment {
        author: "bob".into(),
        created_at: Some("2026-01-02T00:00:00Z".into()),
        text: "why?".into(),
        extra: BTreeMap::new(),
    }];
    bead.metadata = BTreeMap::from([("weight".into(), "3".into())]);
    bead
}

fn shown(changes: impl IntoIterator<Item = Change>) -> Bead {
    let (document, left) = Document::fold(ID, changes);
    assert_eq!(left, Folded::default());
    document.bead()
}

#[test]
fn the_bytes_of_an_import_never_change() {
    let changes = import_change(&record()).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(HEXLOWER.encode(changes[0].bytes()), include_str!("../vectors/import.hex").trim());
}

#[test]
fn an_imported_record_is_shown_as_it_was() {
    assert_eq!(shown(import_change(&record()).unwrap()), record());
    let bare = Bead::new(ID, String::new(), String::new());
    assert_eq!(shown(import_change(&bare).unwrap()), bare);
}

#[test]
fn an_import_is_a_change_that_anyone_takes_in() {
    for change in import_change(&record()).unwrap() {
        assert_eq!(Change::parse(change.bytes()).unwrap().to_wire(), change.to_wire());
    }
}

#[test]
fn of_two_versions_the_newer_wins_its_fields_and_maps_unite() {
    let old = record();
    let mut new = record();
    new.updated_at = Some("2026-02-01T12:00:00.000000002+01:00".into());
    new.status = Status::Open;
    new.assignee = None;
    new.title = "Renamed".into();
    new.labels = BTreeSet::from(["other".into()]);
    let (old_change, new_change) = (import_change(&old).unwrap(), import_change(&new).unwrap());
    let forth = shown(old_change.iter().chain(&new_change).cloned());
    let back = shown(new_change.into_iter().chain(old_change));
    assert_eq!(forth, back);
    assert_eq!((forth.title.as_str(), forth.assignee), ("Renamed", None));
    assert_eq!(forth.labels.into_iter().collect::<Vec<_>>(), ["import", "other", "store"]);
}

#[test]
fn the_actor_orders_by_date_whatever_its_zone() {
    let dated = |date: Option<&str>| {
        let mut bead = record();
        bead.updated_at = date.map(Into::into);
        import_actor(&bead)
    };
    assert!(dated(Some("2026-01-01T00:00:00+02:00")) < dated(Some("2025-12-31T22:00:00.000000001Z")));
    assert_eq!(dated(None).as_slice()[..8], [0; 8]);
    assert_eq!(dated(Some("no date")).as_slice()[..8], [0; 8]);
    assert_eq!(dated(Some("1950-01-01T00:00:00Z")).as_slice()[..8], [0; 8]);
    assert_eq!(dated(Some("9000-01-01T00:00:00Z")).as_slice()[..8], [0xff; 8]);
}

#[test]
fn a_record_too_large_for_one_change_is_a_chain_of_the_same_bytes() {
    let mut bead = record();
    bead.description = Some("d".repeat(60 * 1024));
    bead.notes = Some("n".repeat(60 * 1024));
    bead.design = Some("d".repeat(60 * 1024));
    let changes = import_change(&bead).unwrap();
    assert_eq!(changes.iter().map(Change::seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(changes, import_change(&bead).unwrap());
    assert_eq!(shown(changes), bead);
}

#[test]
fn a_record_over_a_limit_is_refused() {
    let mut bead = record();
    bead.notes = Some("n".repeat(60 * 1024 + 1));
    let error = import_change(&bead).unwrap_err();
    assert_eq!(error.to_string(), "notes: 61441 bytes, at most 61440 are allowed; shorten it");
}

fn beads() -> impl Strategy<Value = Bead> {
    let text = || proptest::option::of("[a-c]{1,3}");
    let words = || proptest::collection::btree_set("[a-d]", 0..4);
    let map = || proptest::collection::btree_map("[a-d]", "[0-9]", 0..3);
    ("[a-c]{1,2}", text(), text(), 0u8..5, proptest::option::of(0u32..99), words(), words(), map(), map()).prop_map(
        |(title, description, assignee, priority, estimate_minutes, labels, texts, needs, extra)| Bead {
            title,
            description,
            assignee,
            priority,
            estimate_minutes,
            labels,
            criteria: texts.into_iter().zip(0..).map(|(text, order)| Criterion { order, text }).collect(),
            needs,
            extra,
            ..record()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_is_shown_as_it_was(bead in beads()) {
        prop_assert_eq!(shown(import_change(&bead).unwrap()), bead);
    }

    #[test]
    fn a_first_change_shows_without_a_document_what_its_document_shows(bead in beads()) {
        let changes = import_change(&bead).unwrap();
        prop_assert_eq!(Bead::of_first(ID, &changes[0]), Some(shown(vec![changes[0].clone()])));
        prop_assert!(changes[1..].iter().all(|later| Bead::of_first(ID, later).is_none()));
    }

    #[test]
    fn a_created_bead_is_shown_as_it_was(bead in beads()) {
        let mut document = Document::new(ID);
        document.edit([1; 8], Wall::from_millis(1), &created(&bead)).unwrap();
        prop_assert_eq!(document.bead(), bead);
    }

    #[test]
    fn differing_edits_bring_ours_to_theirs(ours in beads(), theirs in beads()) {
        let (mut document, _) = Document::fold(ID, import_change(&ours).unwrap());
        document.edit([1; 8], Wall::from_millis(1), &differing_edits(&ours, &theirs)).unwrap();
        prop_assert_eq!(document.bead(), theirs);
    }

    #[test]
    fn unset_edits_only_add(ours in beads(), theirs in beads()) {
        let (mut document, _) = Document::fold(ID, import_change(&ours).unwrap());
        document.edit([1; 8], Wall::from_millis(1), &unset_edits(&ours, &theirs)).unwrap();
        let merged = document.bead();
        prop_assert_eq!(&merged.title, &ours.title);
        prop_assert_eq!(merged.description, ours.description.clone().or(theirs.description));
        prop_assert!(merged.labels.is_superset(&ours.labels) && merged.labels.is_superset(&theirs.labels));
        for (key, value) in &ours.needs {
            prop_assert_eq!(merged.needs.get(key), Some(value));
        }
    }
}

#[test]
fn a_comment_missing_in_the_newer_version_stays() {
    let mut theirs = record();
    theirs.comments.clear();
    assert!(differing_edits(&record(), &theirs).is_empty());
}
