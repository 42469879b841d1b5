//! The deterministic change of an imported record, and the edits that bring one bead to another.
//!
//! The same record imported anywhere is the same change, so two imports meet as one.

use std::borrow::Cow;

use super::draft::{Object, Row};
use super::edit::{EditError, Start, Write, cell_of, check, seal_all};
use super::genesis;
use super::intake::{Actor, Change};
use super::{Bead, Edit, Field, FieldValue};
use crate::limits::MAP_ITEMS_MAX;

/// Separates the hash of an imported record from all others; the number is the version of the document's layout.
const DOMAIN: &[u8] = b"beadmesh/import/1";

/// Returns the changes that an imported record is: one, or a chain when one would be too large.
///
/// They build on genesis alone and carry no time. The actor begins with the record's own date, so that of two versions
/// the newer wins every field.
///
/// # Errors
/// Names the field that is over its limit.
pub fn import_change(bead: &Bead) -> Result<Vec<Change>, EditError> {
    let edits = items(bead);
    check_counts(bead)?;
    for field in Field::ALL {
        check(&Edit::Set(field, value_of(bead, field)))?;
    }
    for edit in &edits {
        check(edit)?;
    }
    let values = Field::ALL.map(|field| value_of(bead, field));
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(Field::ALL.len() + edits.len());
    for (field, value) in Field::ALL.into_iter().zip(&values) {
        let key = Cow::Borrowed(field.as_str());
        rows.push(Row { object: Object::Root, key, cell: cell_of(value), preds: Vec::new() });
    }
    let mut writes: Vec<Write<'_>> = edits.iter().map(Write::of).collect();
    writes.sort_by(|a, b| (a.object, &a.key).cmp(&(b.object, &b.key)));
    writes.dedup_by(|a, b| (a.object, &a.key) == (b.object, &b.key));
    rows.extend(writes.into_iter().map(Write::row));
    let start = Start { deps: vec![(genesis::change().hash(), genesis::MAX_OP)], seq: 1 };
    Ok(seal_all(import_actor(bead), 0, start, rows)?)
}

/// Returns the actor of a record's import: its date in nanoseconds, then a hash of its layout and content.
fn import_actor(bead: &Bead) -> Actor {
    let date = bead.updated_at.as_deref().and_then(|text| text.trim().parse::<jiff::Timestamp>().ok());
    let nanos = date.map_or(0, |date| u64::try_from(date.as_nanosecond().max(0)).unwrap_or(u64::MAX));
    let record = postcard::to_stdvec(bead).expect("a bead is plain data");
    let mut hasher = blake3::Hasher::new();
    hasher.update(DOMAIN);
    hasher.update(&record);
    let mut actor = [0; 16];
    actor[..8].copy_from_slice(&nanos.to_be_bytes());
    actor[8..].copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Actor::from_slice(&actor).expect("16 bytes are between 1 and 32")
}

/// Returns the edits that create a bead on an empty document; what is absent is left out.
pub fn created(bead: &Bead) -> Vec<Edit> {
    let fields = Field::ALL.into_iter().map(|field| (field, value_of(bead, field)));
    let set = fields.filter(|(_, value)| *value != FieldValue::Absent);
    set.map(|(field, value)| Edit::Set(field, value)).chain(items(bead)).collect()
}

/// Returns the edits that bring what we have to a newer version of it.
///
/// Fields, labels, dependencies and every other item that the newer version lacks are removed; comments are only added.
/// The date of the newer version is set like any other field.
pub fn differing_edits(ours: &Bead, theirs: &Bead) -> Vec<Edit> {
    let mut edits = Vec::new();
    for field in Field::ALL {
        let value = value_of(theirs, field);
        if value != value_of(ours, field) {
            edits.push(Edit::Set(field, value));
        }
    }
    edits.extend(removed_items(ours, theirs));
    let held = items(ours);
    edits.extend(items(theirs).into_iter().filter(|edit| !held.contains(edit)));
    edits
}

/// Returns the edits that fill in what is unset in ours, for a version that does not say when it is from.
pub fn unset_edits(ours: &Bead, theirs: &Bead) -> Vec<Edit> {
    let mut edits = Vec::new();
    for field in Field::ALL {
        let value = value_of(theirs, field);
        if value != FieldValue::Absent && value_of(ours, field) == FieldValue::Absent {
            edits.push(Edit::Set(field, value));
        }
    }
    let held = items(ours);
    let names: std::collections::BTreeSet<_> = held.iter().map(name_of).collect();
    edits.extend(items(theirs).into_iter().filter(|edit| !names.contains(&name_of(edit))));
    edits
}

/// Returns the value of a scalar field.
pub fn value_of(bead: &Bead, field: Field) -> FieldValue {
    let text = |text: &str| match text {
        "" => FieldValue::Absent,
        text => FieldValue::Text(text.to_owned()),
    };
    let optional = |value: &Option<String>| value.as_deref().map_or(FieldValue::Absent, text);
    match field {
        Field::Title => text(&bead.title),
        Field::Description => optional(&bead.description),
        Field::Design => optional(&bead.design),
        Field::Acceptance => optional(&bead.acceptance),
        Field::Notes => optional(&bead.notes),
        Field::Status => text(bead.status.as_str()),
        Field::Priority => FieldValue::Number(i64::from(bead.priority)),
        Field::Kind => text(&bead.kind),
        Field::Assignee => optional(&bead.assignee),
        Field::EstimateMinutes => {
            bead.estimate_minutes.map_or(FieldValue::Absent, |minutes| FieldValue::Number(i64::from(minutes)))
        }
        Field::CreatedAt => optional(&bead.created_at),
        Field::CreatedBy => optional(&bead.created_by),
        Field::UpdatedAt => optional(&bead.updated_at),
        Field::ClosedAt => optional(&bead.closed_at),
        Field::CloseReason => optional(&bead.close_reason),
        Field::DueAt => optional(&bead.due_at),
        Field::DeferUntil => optional(&bead.defer_until),
        Field::ExternalRef => optional(&bead.external_ref),
        Field::Alias => text(&bead.alias),
        Field::Project => bead.project.map_or(FieldValue::Absent, |project| FieldValue::Text(project.to_string())),
    }
}

/// Returns the edits that add every item of a bead's maps.
fn items(bead: &Bead) -> Vec<Edit> {
    let mut edits = Vec::new();
    edits.extend(bead.labels.iter().cloned().map(Edit::AddLabel));
    edits.extend(bead.deps.iter().map(|(key, dep)| Edit::AddDep(key.clone(), dep.clone())));
    edits.extend(bead.scopes.iter().cloned().map(Edit::AddScope));
    edits.extend(bead.criteria.iter().cloned().map(Edit::AddCriterion));
    edits.extend(bead.comments.iter().cloned().map(Edit::AddComment));
    edits.extend(bead.needs.iter().map(|(key, value)| Edit::Need(key.clone(), Some(value.clone()))));
    edits.extend(bead.metadata.iter().map(|(key, value)| Edit::Metadata(key.clone(), Some(value.clone()))));
    edits.extend(bead.extra.iter().map(|(key, value)| Edit::Extra(key.clone(), Some(value.clone()))));
    edits
}

/// Returns the edits that remove the items that theirs lacks, comments aside.
fn removed_items(ours: &Bead, theirs: &Bead) -> Vec<Edit> {
    let mut edits = Vec::new();
    edits.extend(ours.labels.difference(&theirs.labels).cloned().map(Edit::RemoveLabel));
    let deps = ours.deps.keys().filter(|key| !theirs.deps.contains_key(key));
    edits.extend(deps.cloned().map(Edit::RemoveDep));
    edits.extend(ours.scopes.difference(&theirs.scopes).cloned().map(Edit::RemoveScope));
    let kept: std::collections::BTreeSet<&str> = theirs.criteria.iter().map(|kept| kept.text.as_str()).collect();
    let criteria = ours.criteria.iter().filter(|criterion| !kept.contains(criterion.text.as_str()));
    edits.extend(criteria.map(|criterion| Edit::RemoveCriterion(criterion.text.clone())));
    let gone = |key: &&String, theirs: &std::collections::BTreeMap<String, String>| !theirs.contains_key(*key);
    let needs = ours.needs.keys().filter(|key| gone(key, &theirs.needs));
    edits.extend(needs.map(|key| Edit::Need(key.clone(), None)));
    let metadata = ours.metadata.keys().filter(|key| gone(key, &theirs.metadata));
    edits.extend(metadata.map(|key| Edit::Metadata(key.clone(), None)));
    let extra = ours.extra.keys().filter(|key| gone(key, &theirs.extra));
    edits.extend(extra.map(|key| Edit::Extra(key.clone(), None)));
    edits
}

/// Returns which item an edit is about.
fn name_of(edit: &Edit) -> (Object, String) {
    let Write { object, key, .. } = Write::of(edit);
    (object, key.into_owned())
}

fn check_counts(bead: &Bead) -> Result<(), EditError> {
    let counts = [
        ("labels", bead.labels.len()),
        ("deps", bead.deps.len()),
        ("scopes", bead.scopes.len()),
        ("criteria", bead.criteria.len()),
        ("comments", bead.comments.len()),
        ("needs", bead.needs.len()),
        ("metadata", bead.metadata.len()),
        ("extra", bead.extra.len()),
    ];
    match counts.into_iter().find(|(_, items)| *items > MAP_ITEMS_MAX) {
        Some((field, items)) => Err(EditError::Items { field, items, max: MAP_ITEMS_MAX }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
