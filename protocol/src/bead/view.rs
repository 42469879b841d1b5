//! What a document means: the bead it shows and the concurrent values it hides.
//!
//! A value of an unexpected kind is treated as absent, never as an error: any member can write one.

use std::collections::BTreeSet;

use automerge::iter::MapRange;
use automerge::{ReadDoc, ScalarValueRef, Value, ValueRef};

use super::actor::Actor;
use super::document::{Document, object_id};
use super::draft::{Cell, Object, Pred};
use super::genesis::Container;
use super::intake::Change;
use super::{Bead, Conflict, Field, FieldValue, Status, item};
use crate::clock::Wall;
use crate::id::{BeadId, ChangeHash};
use crate::limits::PRIORITY_MAX;
use crate::planted::{self, Bug};

impl Bead {
    /// Returns the bead that a document of this change alone shows, without making the document; nothing unless the change
    /// is the first on genesis.
    ///
    /// Most beads of a first sync are one imported record, and a document costs many times what its view does.
    pub fn of_first(id: BeadId, change: &Change) -> Option<Self> {
        if !change.is_first() {
            return None;
        }
        let mut rows = change.rows();
        // A document's maps go by key.
        rows.sort_by(|a, b| (a.object, &a.key).cmp(&(b.object, &b.key)));
        let mut bead = Self::new(id, String::new(), String::new());
        for row in rows {
            match (row.object, row.cell) {
                (_, Cell::Delete | Cell::Map) => {}
                (Object::Root, cell) => {
                    if let Some(field) = Field::parse(&row.key) {
                        assign(&mut bead, field, of_cell(cell));
                    }
                }
                (Object::In(container), cell) => {
                    let text = if let Cell::Text(text) = cell { Some(text.into_owned()) } else { None };
                    add_item(&mut bead, container, row.key.into_owned(), text);
                }
            }
        }
        finish(&mut bead, change.time());
        Some(bead)
    }
}

impl Document {
    /// Returns the bead as a reader sees it, with concurrent values settled.
    pub fn bead(&self) -> Bead {
        let mut bead = Bead::new(self.id(), String::new(), String::new());
        let mut disputed = Vec::new();
        for entry in self.doc.map_range(object_id(Object::Root), ..) {
            let Some(field) = Field::parse(&entry.key) else { continue };
            if entry.conflict && matches!(field, Field::Status | Field::ClosedAt | Field::CloseReason) {
                disputed.push(field);
            } else {
                assign(&mut bead, field, of_value_ref(entry.value));
            }
        }
        for field in disputed {
            assign(&mut bead, field, self.shown(field));
        }
        for container in Container::ALL {
            let is_lost = |conflict| conflict && planted::is(Bug::SameLabelLost);
            for entry in self.range(container).filter(|entry| !is_lost(entry.conflict)) {
                if let ValueRef::Scalar(value) = entry.value {
                    let text = if let ScalarValueRef::Str(text) = value { Some(text.into_owned()) } else { None };
                    add_item(&mut bead, container, entry.key.into_owned(), text);
                }
            }
        }
        finish(&mut bead, self.newest_time);
        bead
    }

    /// Returns every field and item of which concurrent values differ: fields in their fixed order, then items by key.
    ///
    /// That two machines closed a bead at different moments is nothing to settle, so `closed_at` is never among them, and
    /// `close_reason` only where the bead is closed and those who closed it gave different texts.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let root = self.doc.map_range(object_id(Object::Root), ..).filter(|entry| entry.conflict);
        let disputed: BTreeSet<Field> = root.filter_map(|entry| Field::parse(&entry.key)).collect();
        let mut conflicts = Vec::new();
        for field in Field::ALL.into_iter().filter(|field| disputed.contains(field)) {
            let values = match field {
                Field::ClosedAt => BTreeSet::new(),
                Field::CloseReason => self.reasons().into_iter().map(FieldValue::Text).collect(),
                _ => self.standing(Object::Root, field.as_str()).iter().map(|(value, _)| of_value(value)).collect(),
            };
            conflicts.extend(conflict(field.as_str().to_owned(), self.shown(field), values));
        }
        for container in Container::ALL {
            for entry in self.range(container).filter(|entry| entry.conflict) {
                let standing = self.standing(Object::In(container), &entry.key);
                let values = standing.iter().map(|(value, _)| of_value(value)).collect();
                let name = format!("{}.{}", container.as_str(), entry.key);
                conflicts.extend(conflict(name, of_value_ref(entry.value), values));
            }
        }
        conflicts
    }

    /// Returns the change that wrote the shown value of a field, and when it says it was made: at 0 if it is an import.
    ///
    /// Costs what looking the field up does, however many changes there are.
    pub fn writer(&self, field: Field) -> Option<(ChangeHash, Wall)> {
        let standing = self.doc.get_all(object_id(Object::Root), field.as_str()).ok()?;
        let precedence = |value: &Value<'_>| match of_value(value) {
            FieldValue::Text(word) => Some(Status::from(word).precedence()),
            FieldValue::Absent | FieldValue::Number(_) => None,
        };
        let (_, id) = match field {
            Field::Status => standing.into_iter().max_by_key(|(value, _)| precedence(value)),
            _ => standing.into_iter().last(),
        }?;
        let hash = self.doc.hash_for_opid(&id)?;
        let time = self.doc.get_change_meta_by_hash(&hash)?.timestamp;
        Some((ChangeHash::from_bytes(hash.0), Wall::from_millis(u64::try_from(time).unwrap_or(0))))
    }

    pub(super) fn range(&self, container: Container) -> MapRange<'_> {
        self.doc.map_range(object_id(Object::In(container)), ..)
    }

    /// Returns the value of a field that several changes wrote at once.
    fn shown(&self, field: Field) -> FieldValue {
        let standing = self.standing(Object::Root, field.as_str());
        let winner = standing.last().map_or(FieldValue::Absent, |(value, _)| of_value(value));
        let status = self.shown_status();
        let by_status = status.as_ref().and_then(|(_, actor)| standing.iter().rfind(|(_, by)| by.actor == *actor));
        let beside = by_status.map_or(winner.clone(), |(value, _)| of_value(value));
        match field {
            Field::Status => status.map_or(winner, |(status, _)| FieldValue::Text(status.to_string())),
            // Who closed it without a word takes no reason from another who closed it too.
            Field::CloseReason if beside == FieldValue::Absent => self.reasons().pop().map_or(beside, FieldValue::Text),
            Field::ClosedAt | Field::CloseReason => beside,
            _ => winner,
        }
    }

    /// Returns the texts that stand as reasons of a closed bead, in automerge's order; what was written beside another
    /// status is none.
    fn reasons(&self) -> Vec<String> {
        if self.shown_status().is_none_or(|(status, _)| status != Status::Closed) {
            return Vec::new();
        }
        let statuses = self.statuses();
        let is_beside_other = |by: Actor| {
            statuses.iter().rfind(|(_, actor)| *actor == by).is_some_and(|(status, _)| *status != Status::Closed)
        };
        let standing = self.standing(Object::Root, Field::CloseReason.as_str());
        let written = standing.iter().filter(|(_, by)| !is_beside_other(by.actor));
        let texts = written.filter_map(|(value, _)| match of_value(value) {
            FieldValue::Text(text) => Some(text),
            FieldValue::Absent | FieldValue::Number(_) => None,
        });
        texts.collect()
    }

    /// Returns the status of the highest precedence, the later by automerge's order among equals, and who wrote it.
    fn shown_status(&self) -> Option<(Status, Actor)> {
        self.statuses().into_iter().max_by_key(|(status, _)| status.precedence())
    }

    /// Returns every status that stands and who wrote it, in automerge's order.
    fn statuses(&self) -> Vec<(Status, Actor)> {
        let standing = self.standing(Object::Root, Field::Status.as_str());
        let statuses = standing.iter().filter_map(|(value, Pred { actor, .. })| match of_value(value) {
            FieldValue::Text(word) => Some((Status::from(word), *actor)),
            FieldValue::Absent | FieldValue::Number(_) => None,
        });
        statuses.collect()
    }
}

/// Adds one item of a container to a bead; `text` is its value if that is a text.
fn add_item(bead: &mut Bead, container: Container, key: String, text: Option<String>) {
    match (container, text) {
        (Container::Labels, _) => {
            bead.labels.insert(key);
        }
        (Container::Scopes, _) => {
            bead.scopes.insert(key);
        }
        (_, None) => {}
        (Container::Deps, Some(text)) => {
            bead.deps.extend(item::parse_dep_key(&key).map(|dep| (dep, item::parse_dep_value(&text))));
        }
        (Container::Criteria, Some(text)) => bead.criteria.extend(item::parse_criterion(&text)),
        (Container::Comments, Some(text)) => bead.comments.extend(item::parse_comment(&text)),
        (Container::Needs, Some(text)) => {
            bead.needs.insert(key, text);
        }
        (Container::Metadata, Some(text)) => {
            bead.metadata.insert(key, text);
        }
        (Container::Extra, Some(text)) => {
            bead.extra.insert(key, text);
        }
    }
}

/// Puts lists in order, and dates the bead by its latest change, unless the imported date is
/// later or the same.
fn finish(bead: &mut Bead, newest_time: u64) {
    bead.criteria.sort_by(|a, b| (a.order, &a.text).cmp(&(b.order, &b.text)));
    item::sort_comments(&mut bead.comments);
    if newest_time == 0 {
        return;
    }
    let newest = Wall::from_millis(newest_time);
    let imported = bead.updated_at.as_deref().and_then(Wall::parse);
    if imported.is_none_or(|imported| newest > imported) {
        bead.updated_at = Some(newest.to_string());
    }
}

/// Writes a field's value into a bead; one that the field can not hold leaves what is there.
fn assign(bead: &mut Bead, field: Field, value: FieldValue) {
    let number = match &value {
        FieldValue::Number(number) => Some(*number),
        FieldValue::Absent | FieldValue::Text(_) => None,
    };
    let text = match value {
        FieldValue::Text(text) => Some(text),
        FieldValue::Absent | FieldValue::Number(_) => None,
    };
    match field {
        Field::Title => bead.title = text.unwrap_or_default(),
        Field::Description => bead.description = text,
        Field::Design => bead.design = text,
        Field::Acceptance => bead.acceptance = text,
        Field::Notes => bead.notes = text,
        Field::Status => bead.status = text.map_or(Status::Open, Status::from),
        Field::Priority => {
            let priority = number.and_then(|number| u8::try_from(number).ok());
            bead.priority = priority.filter(|priority| *priority <= PRIORITY_MAX).unwrap_or(bead.priority);
        }
        Field::Kind => bead.kind = text.unwrap_or_else(|| std::mem::take(&mut bead.kind)),
        Field::Assignee => bead.assignee = text,
        Field::EstimateMinutes => bead.estimate_minutes = number.and_then(|number| u32::try_from(number).ok()),
        Field::CreatedAt => bead.created_at = text,
        Field::CreatedBy => bead.created_by = text,
        Field::UpdatedAt => bead.updated_at = text,
        Field::ClosedAt => bead.closed_at = text,
        Field::CloseReason => bead.close_reason = text,
        Field::DueAt => bead.due_at = text,
        Field::DeferUntil => bead.defer_until = text,
        Field::ExternalRef => bead.external_ref = text,
        Field::Alias => bead.alias = text.unwrap_or_default(),
        Field::Project => bead.project = text.and_then(|text| text.parse().ok()),
    }
}

/// Joins the differing values of one field; nothing when they are all alike.
fn conflict(field: String, shown: FieldValue, values: BTreeSet<FieldValue>) -> Option<Conflict> {
    let others: Vec<FieldValue> = values.into_iter().filter(|value| *value != shown).collect();
    (!others.is_empty()).then_some(Conflict { field, shown, others })
}

fn of_value_ref(value: ValueRef<'_>) -> FieldValue {
    match value {
        ValueRef::Scalar(ScalarValueRef::Int(number)) => FieldValue::Number(number),
        ValueRef::Scalar(ScalarValueRef::Str(text)) if !text.is_empty() => FieldValue::Text(text.into_owned()),
        _ => FieldValue::Absent,
    }
}

fn of_cell(cell: Cell<'_>) -> FieldValue {
    match cell {
        Cell::Int(number) => FieldValue::Number(number),
        Cell::Text(text) if !text.is_empty() => FieldValue::Text(text.into_owned()),
        _ => FieldValue::Absent,
    }
}

pub(super) fn of_value(value: &Value<'_>) -> FieldValue {
    let Value::Scalar(scalar) = value else { return FieldValue::Absent };
    match scalar.as_ref() {
        automerge::ScalarValue::Int(number) => FieldValue::Number(*number),
        automerge::ScalarValue::Str(text) if !text.is_empty() => FieldValue::Text(text.to_string()),
        _ => FieldValue::Absent,
    }
}
