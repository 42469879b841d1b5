//! Turns edits into changes: what differs from the document, checked against every limit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use automerge::{ScalarValue, Value};

use super::actor::Actor;
use super::document::{Document, Receipt};
use super::draft::{Cell, Draft, Object, Row};
use super::genesis::Container;
use super::intake::{Change, ChangeError, TIME_MAX};
use super::{Comment, Dep, Edit, Field, FieldValue, item};
use crate::clock::Wall;
use crate::id::ChangeHash;
use crate::limits::{
    CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_OPS_MAX, ESTIMATE_MINUTES_MAX, MAP_ITEMS_MAX, PATTERN_BYTES_MAX,
    PRIORITY_MAX, TEXT_BYTES_MAX, TITLE_BYTES_MAX, WORD_BYTES_MAX,
};

/// Bytes that a change needs besides its dependencies and rows: actors, numbers, columns.
const ENVELOPE_BYTES_MAX: usize = 256;

/// Bytes of one item of a map as it is written, escapes and all: with its key it fits one change.
pub const ITEM_BYTES_MAX: usize = TEXT_BYTES_MAX + 1_024;

const _: () = assert!(
    ITEM_BYTES_MAX + 2 * WORD_BYTES_MAX + 2 * ENVELOPE_BYTES_MAX + 64 < CHANGE_BYTES_MAX,
    "the largest item fits one change with few dependencies"
);

/// Why edits were not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// A text is longer than its field allows.
    #[error("{field}: {bytes} bytes, at most {max} are allowed; shorten it")]
    Long {
        /// The field.
        field: String,
        /// Its size.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A number is outside its range.
    #[error("{field}: {value} is not from 0 to {max}; choose one that is")]
    Range {
        /// The field.
        field: &'static str,
        /// The value given.
        value: i64,
        /// The highest that is allowed.
        max: i64,
    },
    /// A value is of another kind than its field.
    #[error("{field}: {wanted} is needed; give one")]
    Kind {
        /// The field.
        field: &'static str,
        /// What the field holds.
        wanted: &'static str,
    },
    /// A key is empty or has a character it may not have.
    #[error("{field}: {reason}; choose another")]
    Key {
        /// The map.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A map would have too many items.
    #[error("{field}: {items} items, at most {max} are allowed; remove some first")]
    Items {
        /// The map.
        field: &'static str,
        /// How many there would be.
        items: usize,
        /// The bound.
        max: usize,
    },
    /// The actor's next number is taken by a change without effect here.
    #[error("actor {0}: its next number is taken by another change; draw a new actor")]
    Actor(Actor),
    /// The change that was made is not one that would be taken in.
    #[error("the change made is not one that would be taken in")]
    Change(#[from] ChangeError),
}

/// Where an edit writes, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write<'a> {
    pub(super) object: Object,
    pub(super) key: Cow<'a, str>,
    pub(super) cell: Cell<'a>,
}

impl<'a> Write<'a> {
    fn item(container: Container, key: impl Into<Cow<'a, str>>, cell: Cell<'a>) -> Self {
        Self { object: Object::In(container), key: key.into(), cell }
    }

    pub(super) fn row(self) -> Row<'a> {
        Row { object: self.object, key: self.key, cell: self.cell, preds: Vec::new() }
    }

    pub(super) fn of(edit: &'a Edit) -> Self {
        let text = |text: &'a str| Cell::Text(text.into());
        let optional = |value: &'a Option<String>| value.as_deref().map_or(Cell::Delete, text);
        match edit {
            Edit::Set(field, value) => Self { object: Object::Root, key: field.as_str().into(), cell: cell_of(value) },
            Edit::AddLabel(label) => Self::item(Container::Labels, label, Cell::True),
            Edit::RemoveLabel(label) => Self::item(Container::Labels, label, Cell::Delete),
            Edit::AddDep(key, dep) => {
                Self::item(Container::Deps, item::dep_key(key), Cell::Text(item::dep_value(dep).into()))
            }
            Edit::RemoveDep(key) => Self::item(Container::Deps, item::dep_key(key), Cell::Delete),
            Edit::AddScope(pattern) => Self::item(Container::Scopes, pattern, Cell::True),
            Edit::RemoveScope(pattern) => Self::item(Container::Scopes, pattern, Cell::Delete),
            Edit::AddCriterion(criterion) => Self::item(
                Container::Criteria,
                item::criterion_key(&criterion.text),
                Cell::Text(item::criterion_value(criterion).into()),
            ),
            Edit::RemoveCriterion(text) => Self::item(Container::Criteria, item::criterion_key(text), Cell::Delete),
            Edit::AddComment(comment) => Self::item(
                Container::Comments,
                item::comment_key(comment),
                Cell::Text(item::comment_value(comment).into()),
            ),
            Edit::Need(key, value) => Self::item(Container::Needs, key, optional(value)),
            Edit::Metadata(key, value) => Self::item(Container::Metadata, key, optional(value)),
            Edit::Extra(key, value) => Self::item(Container::Extra, key, optional(value)),
        }
    }
}

/// Returns how a field's value is written.
pub(super) fn cell_of(value: &FieldValue) -> Cell<'_> {
    match value {
        FieldValue::Absent => Cell::Null,
        FieldValue::Number(number) => Cell::Int(*number),
        FieldValue::Text(text) if text.is_empty() => Cell::Null,
        FieldValue::Text(text) => Cell::Text(text.into()),
    }
}

impl Document {
    /// Makes and takes in the changes that bring about the edits: one as a rule, several when one would be too large,
    /// none when nothing differs. Of two edits of one key the later counts.
    ///
    /// Putting the shown value of a disputed field again is a difference: it settles the dispute.
    ///
    /// # Errors
    /// Names the field, its bound, its size and what to do; the document is unchanged then.
    pub fn edit(&mut self, actor: [u8; 8], at: Wall, edits: &[Edit]) -> Result<Vec<Change>, EditError> {
        let mut writes: BTreeMap<(Object, Cow<'_, str>), (usize, Cell<'_>)> = BTreeMap::new();
        for (place, edit) in edits.iter().enumerate() {
            check(edit)?;
            let write = Write::of(edit);
            writes.insert((write.object, write.key), (place, write.cell));
        }
        self.check_items(&writes)?;
        let mut ordered: Vec<_> = writes.into_iter().collect();
        ordered.sort_by_key(|(_, (place, _))| *place);
        let mut rows = Vec::new();
        for ((object, key), (_, cell)) in ordered {
            rows.extend(self.differing(object, key, cell));
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let actor = Actor::from(actor);
        let seq = self.next_seq(actor).ok_or(EditError::Actor(actor))?;
        let start = Start { deps: self.heads_with_max_op(), seq };
        let changes = seal_all(actor, at.as_millis().min(TIME_MAX), start, rows)?;
        // What others would not take in is not made: a value that replaces thousands of concurrent ones, say.
        changes.iter().try_for_each(|change| Change::parse(change.bytes()).map(|_| ()))?;
        for change in &changes {
            let receipt = self.receive(change);
            assert_eq!(receipt, Receipt::Applied, "a change made on the heads has effect");
        }
        Ok(changes)
    }

    /// Returns the row that writes the cell, or nothing when it stands there undisputed.
    fn differing<'a>(&self, object: Object, key: Cow<'a, str>, cell: Cell<'a>) -> Option<Row<'a>> {
        let standing = self.standing(object, &key);
        let same = match cell {
            Cell::Delete | Cell::Null if standing.is_empty() => true,
            Cell::Delete => false,
            _ => !standing.is_empty() && standing.iter().all(|(value, _)| holds(value, &cell)),
        };
        let preds = standing.into_iter().map(|(_, pred)| pred).collect();
        (!same).then_some(Row { object, key, cell, preds })
    }

    fn check_items(&self, writes: &BTreeMap<(Object, Cow<'_, str>), (usize, Cell<'_>)>) -> Result<(), EditError> {
        let mut added: BTreeMap<Container, usize> = BTreeMap::new();
        for ((object, key), (_, cell)) in writes {
            if let Object::In(container) = object
                && *cell != Cell::Delete
                && self.standing(*object, key).is_empty()
            {
                *added.entry(*container).or_default() += 1;
            }
        }
        for (container, added) in added {
            let items = self.range(container).count() + added;
            if items > MAP_ITEMS_MAX {
                return Err(EditError::Items { field: container.as_str(), items, max: MAP_ITEMS_MAX });
            }
        }
        Ok(())
    }
}

/// What the first of several changes builds on.
pub(super) struct Start {
    /// The changes, sorted, each with the counter of its last operation.
    pub(super) deps: Vec<(ChangeHash, u64)>,
    pub(super) seq: u64,
}

/// Seals rows as a chain of changes by one actor, as few as the limits allow.
///
/// More dependencies than one change may have are first joined by changes without operations.
pub(super) fn seal_all(actor: Actor, time: u64, start: Start, rows: Vec<Row<'_>>) -> Result<Vec<Change>, ChangeError> {
    let Start { mut deps, mut seq } = start;
    let mut changes = Vec::new();
    let mut seal = |deps: &mut Vec<(ChangeHash, u64)>, rows| {
        let highest = deps.iter().map(|(_, max_op)| *max_op).max().unwrap_or(0);
        let hashes = deps.iter().map(|(hash, _)| *hash).collect();
        let change = Draft { deps: hashes, actor, seq, start_op: highest + 1, time, rows }.seal()?;
        seq += 1;
        *deps = vec![(change.hash(), change.max_op())];
        changes.push(change);
        Ok::<(), ChangeError>(())
    };
    let deps_max = usize::try_from(CHANGE_DEPS_MAX).expect("the bound on dependencies fits a usize");
    let room_for = |deps: usize| (CHANGE_BYTES_MAX - ENVELOPE_BYTES_MAX).saturating_sub(deps * 32);
    let first_row = rows.first().map_or(0, Row::bytes_max);
    // A large row leaves no room for many dependencies. Each join takes in the one before it, so the chain holds.
    let mut joined: Vec<(ChangeHash, u64)> = Vec::new();
    while deps.len() + joined.len() > 1
        && (deps.len() + joined.len() > deps_max || first_row > room_for(deps.len() + joined.len()))
    {
        let taken = deps.len().min(deps_max - joined.len());
        joined.extend(deps.drain(..taken));
        joined.sort_unstable();
        seal(&mut joined, Vec::new())?;
    }
    deps.extend(joined);
    deps.sort_unstable();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let mut room = room_for(deps.len());
        let mut batch = Vec::new();
        while let Some(row) = rows.next_if(|row| batch.is_empty() || row.bytes_max() <= room) {
            room = room.saturating_sub(row.bytes_max());
            batch.push(row);
            if batch.len() as u64 == CHANGE_OPS_MAX {
                break;
            }
        }
        seal(&mut deps, batch)?;
    }
    Ok(changes)
}

fn holds(value: &Value<'_>, cell: &Cell<'_>) -> bool {
    let Value::Scalar(scalar) = value else { return false };
    match (scalar.as_ref(), cell) {
        (ScalarValue::Null, Cell::Null) | (ScalarValue::Boolean(true), Cell::True) => true,
        (ScalarValue::Int(stands), Cell::Int(number)) => stands == number,
        (ScalarValue::Str(stands), Cell::Text(text)) => stands.as_str() == text.as_ref(),
        _ => false,
    }
}

/// Checks an edit against every limit that needs no document.
///
/// # Errors
/// Names the field, its bound, its size and what to do.
pub fn check(edit: &Edit) -> Result<(), EditError> {
    match edit {
        Edit::Set(field, value) => check_field(*field, value),
        Edit::AddLabel(label) | Edit::RemoveLabel(label) => check_key("labels", label),
        Edit::AddScope(pattern) | Edit::RemoveScope(pattern) => {
            check_key("scopes", pattern)?;
            check_bytes("scopes", pattern.len(), PATTERN_BYTES_MAX)
        }
        Edit::AddDep(key, dep) => {
            check_dep_key(key)?;
            check_dep(dep)
        }
        Edit::RemoveDep(key) => check_dep_key(key),
        Edit::AddCriterion(criterion) => {
            check_key_not_empty("criteria", &criterion.text)?;
            check_bytes("criteria", criterion.text.len(), TEXT_BYTES_MAX)?;
            check_bytes("criteria", item::criterion_value(criterion).len(), ITEM_BYTES_MAX)
        }
        Edit::RemoveCriterion(text) => check_bytes("criteria", text.len(), TEXT_BYTES_MAX),
        Edit::AddComment(comment) => check_comment(comment),
        Edit::Need(key, value) => {
            check_key("needs", key)?;
            check_bytes("needs", value.as_ref().map_or(0, String::len), WORD_BYTES_MAX)
        }
        Edit::Metadata(key, value) => {
            check_key("metadata", key)?;
            check_bytes("metadata", value.as_ref().map_or(0, String::len), TEXT_BYTES_MAX)
        }
        Edit::Extra(key, value) => {
            check_key("extra", key)?;
            check_bytes("extra", value.as_ref().map_or(0, String::len), TEXT_BYTES_MAX)
        }
    }
}

fn check_field(field: Field, value: &FieldValue) -> Result<(), EditError> {
    let name = field.as_str();
    let number_max = match field {
        Field::Priority => Some(i64::from(PRIORITY_MAX)),
        Field::EstimateMinutes => Some(i64::from(ESTIMATE_MINUTES_MAX)),
        _ => None,
    };
    match (value, number_max) {
        (FieldValue::Absent, _) => Ok(()),
        (FieldValue::Number(value), Some(max)) if (0..=max).contains(value) => Ok(()),
        (FieldValue::Number(value), Some(max)) => Err(EditError::Range { field: name, value: *value, max }),
        (FieldValue::Number(_), None) => Err(EditError::Kind { field: name, wanted: "a text" }),
        (FieldValue::Text(_), Some(_)) => Err(EditError::Kind { field: name, wanted: "a number" }),
        (FieldValue::Text(text), None) => {
            let max = match field {
                Field::Title => TITLE_BYTES_MAX,
                Field::Description | Field::Design | Field::Acceptance | Field::Notes | Field::CloseReason => {
                    TEXT_BYTES_MAX
                }
                _ => WORD_BYTES_MAX,
            };
            check_bytes(name, text.len(), max)
        }
    }
}

fn check_dep_key(key: &super::DepKey) -> Result<(), EditError> {
    check_key("deps", &key.kind)?;
    if key.kind.contains('|') {
        return Err(EditError::Key { field: "deps", reason: "a type may not hold a bar (|)" });
    }
    check_key("deps", &key.target.to_string())
}

fn check_dep(dep: &Dep) -> Result<(), EditError> {
    for text in [&dep.created_at, &dep.created_by].into_iter().flatten() {
        check_bytes("deps", text.len(), WORD_BYTES_MAX)?;
    }
    check_bytes("deps", item::dep_value(dep).len(), ITEM_BYTES_MAX)
}

fn check_comment(comment: &Comment) -> Result<(), EditError> {
    check_bytes("comments.author", comment.author.len(), WORD_BYTES_MAX)?;
    check_bytes("comments.created_at", comment.created_at.as_ref().map_or(0, String::len), WORD_BYTES_MAX)?;
    check_bytes("comments.text", comment.text.len(), TEXT_BYTES_MAX)?;
    check_bytes("comments (written as JSON)", item::comment_value(comment).len(), ITEM_BYTES_MAX)
}

fn check_key(field: &'static str, key: &str) -> Result<(), EditError> {
    check_key_not_empty(field, key)?;
    check_bytes(field, key.len(), WORD_BYTES_MAX)
}

fn check_key_not_empty(field: &'static str, key: &str) -> Result<(), EditError> {
    if key.is_empty() { Err(EditError::Key { field, reason: "it is empty" }) } else { Ok(()) }
}

fn check_bytes(field: &str, bytes: usize, max: usize) -> Result<(), EditError> {
    if bytes > max { Err(EditError::Long { field: field.to_owned(), bytes, max }) } else { Ok(()) }
}
