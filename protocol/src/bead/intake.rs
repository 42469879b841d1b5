//! A change as it comes from outside: read and bounded before automerge sees any of it.
//!
//! Run-length columns let 186 bytes name 20 million operations, so everything is counted here first. What is read must
//! also be exactly what we would write for the same rows, so that one meaning has one hash. Whether a change has effect
//! in a document is not decided here but by `document`.

use std::collections::BTreeSet;
use std::fmt;

use super::actor::Actor;
use super::column::{Reader, all_false, bound, runs};
use super::draft::{self, Cell, Draft, Object, Pred, Row};
use super::genesis::{self, Container};
use crate::id::ChangeHash;
use crate::limits::{CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_OPS_MAX, WORD_BYTES_MAX};

/// Bytes of a key inside a document: two words and the bar between them, as a dependency has.
pub const KEY_BYTES_MAX: usize = 2 * WORD_BYTES_MAX + 1;

/// The latest time a change may carry: the end of the year 9999, the last that RFC 3339 can write.
pub const TIME_MAX: u64 = 253_402_300_799_999;

/// Other actors that one change may name: one for every operation it replaces, and genesis.
const ACTORS_MAX: u64 = CHANGE_OPS_MAX + 1;

/// Columns of a change: the ten that we write.
const COLUMNS_MAX: u64 = 10;

/// A change that passed every check that needs no other change.
#[derive(Clone)]
pub struct Change {
    bytes: Vec<u8>,
    body_start: usize,
    hash: ChangeHash,
    deps: Vec<ChangeHash>,
    actor: Actor,
    seq: u64,
    start_op: u64,
    ops: u64,
    time: u64,
    replaces: Vec<Replaced>,
}

/// The operations that one operation of a change replaces, and where they must stand.
#[derive(Debug, Clone)]
pub(super) struct Replaced {
    pub(super) object: Object,
    pub(super) key: String,
    pub(super) preds: Vec<Pred>,
}

impl Change {
    /// Reads a chunk of automerge's binary format: one raw change, nothing else.
    ///
    /// # Errors
    /// Names the field, its value and its bound; nothing was expanded when one is returned.
    pub fn parse(bytes: &[u8]) -> Result<Self, ChangeError> {
        bound("change bytes", bytes.len() as u64, CHANGE_BYTES_MAX as u64)?;
        let mut reader = Reader::new(bytes);
        if reader.take("magic", 4)? != draft::MAGIC {
            return Err(ChangeError::Magic);
        }
        reader.take("checksum", 4)?;
        let kind = reader.byte("chunk type")?;
        if kind != draft::CHUNK_CHANGE {
            return Err(ChangeError::Chunk { kind });
        }
        let length = reader.unsigned("chunk length")?;
        let body = reader.take("chunk", length)?;
        if !reader.is_empty() {
            return Err(ChangeError::Trailing { after: "chunk", bytes: reader.remaining() });
        }
        let (canonical, hash) = draft::chunk(body);
        if canonical != bytes {
            return Err(ChangeError::Checksum);
        }
        Self::of_body(body, canonical, hash)
    }

    /// Reads the form that goes into entries: the body alone, because all before it follows from it.
    ///
    /// # Errors
    /// As `parse`.
    pub fn from_wire(body: &[u8]) -> Result<Self, ChangeError> {
        bound("change bytes", body.len() as u64, CHANGE_BYTES_MAX as u64)?;
        let (bytes, hash) = draft::chunk(body);
        bound("change bytes", bytes.len() as u64, CHANGE_BYTES_MAX as u64)?;
        Self::of_body(body, bytes, hash)
    }

    /// Returns the form that goes into entries.
    pub fn to_wire(&self) -> &[u8] {
        &self.bytes[self.body_start..]
    }

    fn of_body(body: &[u8], bytes: Vec<u8>, hash: ChangeHash) -> Result<Self, ChangeError> {
        let draft = read_body(body)?;
        let makes = draft.rows.iter().any(|row| row.cell == Cell::Map);
        if (makes || draft.actor == genesis::ACTOR) && hash != genesis::change().hash {
            return Err(ChangeError::Genesis);
        }
        if draft.body() != body {
            return Err(ChangeError::NotCanonical);
        }
        Self::sealed(&draft, bytes, body.len(), hash)
    }

    /// Joins rows, the bytes they have and the hash of those.
    pub(super) fn sealed(
        draft: &Draft<'_>,
        bytes: Vec<u8>,
        body_len: usize,
        hash: ChangeHash,
    ) -> Result<Self, ChangeError> {
        bound("change bytes", bytes.len() as u64, CHANGE_BYTES_MAX as u64)?;
        let replaces = draft
            .rows
            .iter()
            .filter(|row| !row.preds.is_empty())
            .map(|row| Replaced { object: row.object, key: row.key.as_ref().to_owned(), preds: row.preds.clone() })
            .collect();
        Ok(Self {
            body_start: bytes.len() - body_len,
            bytes,
            hash,
            deps: draft.deps.clone(),
            actor: draft.actor,
            seq: draft.seq,
            start_op: draft.start_op,
            ops: draft.rows.len() as u64,
            time: draft.time,
            replaces,
        })
    }

    /// Returns the whole chunk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the change's name.
    pub const fn hash(&self) -> ChangeHash {
        self.hash
    }

    /// Returns the changes this one was made on top of, sorted.
    pub fn deps(&self) -> &[ChangeHash] {
        &self.deps
    }

    /// Returns who made it.
    pub const fn actor(&self) -> Actor {
        self.actor
    }

    /// Returns its number among the actor's changes, from 1.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the counter of its first operation.
    pub const fn start_op(&self) -> u64 {
        self.start_op
    }

    /// Returns how many operations it has; none if it only joins its dependencies.
    pub const fn ops(&self) -> u64 {
        self.ops
    }

    /// Returns the counter of its last operation, or of the last before it when it has none.
    pub const fn max_op(&self) -> u64 {
        self.start_op + self.ops - 1
    }

    /// Returns when it was made, as its maker's clock said: milliseconds since 1970 UTC, 0 for an import.
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Returns whether this is an actor's first change, built on genesis alone: in a document of its own it has effect.
    pub(super) fn is_first(&self) -> bool {
        self.seq == 1
            && self.deps == [genesis::change().hash]
            && self.start_op == genesis::MAX_OP + 1
            && self.replaces.is_empty()
    }

    /// Reads the operations again; they are not kept.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        read_body(self.to_wire()).expect("the same bytes were read before").rows
    }

    pub(super) fn replaces(&self) -> &[Replaced] {
        &self.replaces
    }

    /// Returns the change as automerge reads it: what a document is made of, and not needed before.
    ///
    /// Nothing that was taken in is known to be refused by automerge; if anything is, a document gives it no effect.
    pub(super) fn automerge(&self) -> Option<automerge::Change> {
        automerge::Change::try_from(&self.bytes[..]).ok()
    }
}

/// Returns the name of the change that has this wire form, which is not looked into.
pub fn hash_of_wire(body: &[u8]) -> ChangeHash {
    draft::chunk(body).1
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({}, {}/{}, {} ops)", self.hash.short(), self.actor, self.seq, self.ops)
    }
}

impl PartialEq for Change {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Change {}

/// Why bytes are not a change that beadmesh takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The bytes do not begin as automerge chunks do.
    #[error("magic: not an automerge chunk")]
    Magic,
    /// The chunk is a document, a compressed change, a bundle or unknown.
    #[error("chunk type: {kind}, only raw changes (1) are taken")]
    Chunk {
        /// The type found.
        kind: u8,
    },
    /// The checksum or the length's form does not fit the body.
    #[error("checksum: does not fit the bytes after it")]
    Checksum,
    /// The bytes end inside a field.
    #[error("{field}: cut off")]
    Truncated {
        /// The field.
        field: &'static str,
    },
    /// Bytes follow where nothing may.
    #[error("{bytes} bytes after the {after}, none are taken")]
    Trailing {
        /// What they follow.
        after: &'static str,
        /// How many there are.
        bytes: usize,
    },
    /// A number is too large for 64 bits or not in its shortest form.
    #[error("{field}: a number over 64 bits or not in its shortest form")]
    Number {
        /// The field.
        field: &'static str,
    },
    /// A text is not UTF-8.
    #[error("{field}: not UTF-8")]
    Utf8 {
        /// The field.
        field: &'static str,
    },
    /// A count, size or value is over its bound.
    #[error("{field}: {count}, at most {max} are taken")]
    Bound {
        /// The field.
        field: &'static str,
        /// What the bytes claim.
        count: u64,
        /// The bound.
        max: u64,
    },
    /// A column is unknown, compressed, for lists or out of order.
    #[error("column {spec}: unknown, compressed, not for maps or out of order")]
    Column {
        /// The column's number with its type.
        spec: u64,
    },
    /// A column has another number of rows than the change has operations.
    #[error("{field}: {rows} rows, {expected} are needed")]
    Rows {
        /// The column.
        field: &'static str,
        /// The rows it has.
        rows: u64,
        /// The rows it needs.
        expected: u64,
    },
    /// A row lacks a value that it needs.
    #[error("{field}: a row without a value")]
    Null {
        /// The column.
        field: &'static str,
    },
    /// An operation is for lists or text.
    #[error("{field}: only maps are taken, no lists or text")]
    NotAMap {
        /// The column.
        field: &'static str,
    },
    /// An operation is not one that our documents know.
    #[error("action: {action}, only set (1) and delete (3) are taken")]
    Action {
        /// The action found.
        action: u64,
    },
    /// A value is not one that our documents hold.
    #[error("value: kind {kind} of {bytes} bytes, only null, true, integers and text are taken")]
    Value {
        /// The kind found.
        kind: u64,
        /// The length found.
        bytes: u64,
    },
    /// An operation writes into an object that genesis did not make.
    #[error("object: not the root and not a container of genesis")]
    Object,
    /// An operation writes over a container.
    #[error("key {key:?}: a container, it can not be replaced")]
    Container {
        /// The container's key.
        key: &'static str,
    },
    /// Two operations write to one key.
    #[error("key {key:?}: written twice in one change")]
    Twice {
        /// The key.
        key: String,
    },
    /// An operation names an actor that the change does not list.
    #[error("{field}: actor {index} of {count}")]
    ActorIndex {
        /// The column.
        field: &'static str,
        /// The index found.
        index: u64,
        /// How many actors there are.
        count: u64,
    },
    /// A container is made, or the genesis actor used, by another change than genesis.
    #[error("actor: only the genesis change makes containers or uses its actor")]
    Genesis,
    /// The same rows have another form.
    #[error("columns: not in the one form that these operations have")]
    NotCanonical,
}

/// Reads a change's body into rows, counting everything before it is expanded.
fn read_body(body: &[u8]) -> Result<Draft<'_>, ChangeError> {
    let mut reader = Reader::new(body);
    let count = reader.unsigned("deps")?;
    bound("deps", count, CHANGE_DEPS_MAX)?;
    let mut deps = Vec::with_capacity(reader.remaining().min(32 * 256) / 32);
    for _ in 0..count {
        let hash = ChangeHash::from_slice(reader.take("deps", 32)?).expect("32 bytes were taken");
        deps.push(hash);
    }
    if !deps.is_sorted_by(|a, b| a < b) {
        return Err(ChangeError::NotCanonical);
    }
    let actor = read_actor(&mut reader)?;
    let seq = reader.unsigned("seq")?;
    let start_op = reader.unsigned("start op")?;
    bound("seq", seq, u64::from(u32::MAX))?;
    bound("start op", start_op, u64::from(u32::MAX) - CHANGE_OPS_MAX)?;
    if seq == 0 || start_op == 0 {
        return Err(ChangeError::Null { field: if seq == 0 { "seq" } else { "start op" } });
    }
    let time = reader.signed("time")?;
    let time =
        u64::try_from(time).map_err(|_| ChangeError::Bound { field: "time", count: time.unsigned_abs(), max: 0 })?;
    bound("time", time, TIME_MAX)?;
    bound("message bytes", reader.unsigned("message")?, 0)?;
    let others = reader.unsigned("actors")?;
    bound("actors", others, ACTORS_MAX)?;
    let mut actors = vec![actor];
    for _ in 0..others {
        actors.push(read_actor(&mut reader)?);
    }
    let rows = Columns::read(reader)?.rows(&actors, start_op)?;
    Ok(Draft { deps, actor, seq, start_op, time, rows })
}

fn read_actor(reader: &mut Reader<'_>) -> Result<Actor, ChangeError> {
    let length = reader.unsigned("actor")?;
    bound("actor bytes", length, Actor::BYTES_MAX as u64)?;
    Actor::from_slice(reader.take("actor", length)?).ok_or(ChangeError::Null { field: "actor" })
}

/// The bytes of the columns that a change may have.
#[derive(Default)]
struct Columns<'a> {
    object_actor: &'a [u8],
    object_counter: &'a [u8],
    key: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_meta: &'a [u8],
    value: &'a [u8],
    pred_count: &'a [u8],
    pred_actor: &'a [u8],
    pred_counter: &'a [u8],
}

impl<'a> Columns<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, ChangeError> {
        let count = reader.unsigned("columns")?;
        bound("columns", count, COLUMNS_MAX)?;
        let mut specs = Vec::with_capacity(10);
        for _ in 0..count {
            let spec = reader.unsigned("column")?;
            let length = reader.unsigned("column length")?;
            if specs.last().is_some_and(|(before, _)| *before >= spec) {
                return Err(ChangeError::Column { spec });
            }
            specs.push((spec, length));
        }
        let mut columns = Self::default();
        for (spec, length) in specs {
            let column = match spec {
                draft::OBJECT_ACTOR => &mut columns.object_actor,
                draft::OBJECT_COUNTER => &mut columns.object_counter,
                draft::KEY_TEXT => &mut columns.key,
                draft::INSERT => &mut columns.insert,
                draft::ACTION => &mut columns.action,
                draft::VALUE_META => &mut columns.value_meta,
                draft::VALUE => &mut columns.value,
                draft::PRED_COUNT => &mut columns.pred_count,
                draft::PRED_ACTOR => &mut columns.pred_actor,
                draft::PRED_COUNTER => &mut columns.pred_counter,
                _ => return Err(ChangeError::Column { spec }),
            };
            *column = reader.take("column", length)?;
        }
        if reader.is_empty() {
            Ok(columns)
        } else {
            Err(ChangeError::Trailing { after: "columns", bytes: reader.remaining() })
        }
    }

    fn rows(&self, actors: &[Actor], start_op: u64) -> Result<Vec<Row<'a>>, ChangeError> {
        let actions = full("action", runs("action", self.action, |r| r.unsigned("action"))?)?;
        let count = actions.len();
        let keys = full("key", runs("key", self.key, read_key)?)?;
        let metas = full("value", runs("value", self.value_meta, |r| r.unsigned("value"))?)?;
        let objects = self.objects(actors, count)?;
        let inserts = all_false("insert", self.insert)?;
        let mut preds = self.preds(actors, start_op)?.into_iter();
        same_rows("key", keys.len() as u64, count)?;
        same_rows("value", metas.len() as u64, count)?;
        same_rows("insert", inserts, count)?;
        same_rows("pred", preds.len() as u64, count)?;
        let mut values = Reader::new(self.value);
        let mut rows = Vec::with_capacity(count);
        let mut written = BTreeSet::new();
        for (index, action) in actions.into_iter().enumerate() {
            let object = objects.get(index).copied().unwrap_or(Object::Root);
            let key = keys[index];
            if !written.insert((object, key)) {
                return Err(ChangeError::Twice { key: key.to_owned() });
            }
            let cell = read_cell(action, metas[index], &mut values)?;
            if let (Object::Root, Some(container)) = (object, Container::parse(key))
                && cell != Cell::Map
            {
                return Err(ChangeError::Container { key: container.as_str() });
            }
            let preds = preds.next().expect("there are as many as rows");
            rows.push(Row { object, key: key.into(), cell, preds });
        }
        if values.is_empty() {
            Ok(rows)
        } else {
            Err(ChangeError::Trailing { after: "values", bytes: values.remaining() })
        }
    }

    /// Returns the object of every row, or nothing when all rows write to the root.
    fn objects(&self, actors: &[Actor], count: usize) -> Result<Vec<Object>, ChangeError> {
        let indexes = runs("object actor", self.object_actor, |r| r.unsigned("object actor"))?;
        let counters = runs("object", self.object_counter, |r| r.unsigned("object"))?;
        if indexes.is_empty() && counters.is_empty() {
            return Ok(Vec::new());
        }
        same_rows("object actor", indexes.len() as u64, count)?;
        same_rows("object", counters.len() as u64, count)?;
        let pairs = indexes.into_iter().zip(counters);
        pairs
            .map(|pair| match pair {
                (None, None) => Ok(Object::Root),
                (Some(index), Some(counter)) => {
                    let actor = actor_at("object actor", actors, index)?;
                    let container = Container::by_counter(counter).filter(|_| actor == genesis::ACTOR);
                    container.map(Object::In).ok_or(ChangeError::Object)
                }
                _ => Err(ChangeError::Null { field: "object" }),
            })
            .collect()
    }

    /// Returns the operations that every row replaces.
    fn preds(&self, actors: &[Actor], start_op: u64) -> Result<Vec<Vec<Pred>>, ChangeError> {
        let counts = full("pred", runs("pred", self.pred_count, |r| r.unsigned("pred"))?)?;
        let total = counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        bound("pred", total, CHANGE_OPS_MAX)?;
        let indexes = full("pred actor", runs("pred actor", self.pred_actor, |r| r.unsigned("pred actor"))?)?;
        let deltas = full("pred counter", runs("pred counter", self.pred_counter, |r| r.signed("pred counter"))?)?;
        let needed = usize::try_from(total).expect("the bound on rows fits a usize");
        same_rows("pred actor", indexes.len() as u64, needed)?;
        same_rows("pred counter", deltas.len() as u64, needed)?;
        let mut before = 0i64;
        let mut pairs = indexes.into_iter().zip(deltas);
        let mut rows = Vec::with_capacity(counts.len());
        for count in counts {
            let mut preds: Vec<Pred> = Vec::new();
            for _ in 0..count {
                let (index, delta) = pairs.next().expect("the counts were summed");
                before = before.saturating_add(delta);
                let counter = u64::try_from(before).ok().filter(|counter| (1..start_op).contains(counter));
                let counter = counter.ok_or(ChangeError::Bound {
                    field: "pred counter",
                    count: before.unsigned_abs(),
                    max: start_op - 1,
                })?;
                let pred = Pred { counter, actor: actor_at("pred actor", actors, index)? };
                if preds.last().is_some_and(|last| *last >= pred) {
                    return Err(ChangeError::NotCanonical);
                }
                preds.push(pred);
            }
            rows.push(preds);
        }
        Ok(rows)
    }
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<&'a str, ChangeError> {
    let key = reader.text("key")?;
    bound("key bytes", key.len() as u64, KEY_BYTES_MAX as u64)?;
    Ok(key)
}

fn read_cell<'a>(action: u64, meta: u64, values: &mut Reader<'a>) -> Result<Cell<'a>, ChangeError> {
    let (bytes, kind) = (meta >> 4, meta & 0xf);
    match (action, kind, bytes) {
        (draft::ACTION_DELETE, draft::KIND_NULL, 0) => Ok(Cell::Delete),
        (draft::ACTION_MAKE_MAP, draft::KIND_NULL, 0) => Ok(Cell::Map),
        (draft::ACTION_SET, draft::KIND_NULL, 0) => Ok(Cell::Null),
        (draft::ACTION_SET, draft::KIND_TRUE, 0) => Ok(Cell::True),
        (draft::ACTION_SET, draft::KIND_INT, 1..=10) => {
            let mut number = Reader::new(values.take("value", bytes)?);
            let value = number.signed("value")?;
            if number.is_empty() { Ok(Cell::Int(value)) } else { Err(ChangeError::Number { field: "value" }) }
        }
        (draft::ACTION_SET, draft::KIND_TEXT, _) => {
            let text = std::str::from_utf8(values.take("value", bytes)?);
            text.map(|text| Cell::Text(text.into())).map_err(|_| ChangeError::Utf8 { field: "value" })
        }
        (draft::ACTION_SET | draft::ACTION_DELETE | draft::ACTION_MAKE_MAP, ..) => {
            Err(ChangeError::Value { kind, bytes })
        }
        _ => Err(ChangeError::Action { action }),
    }
}

fn actor_at(field: &'static str, actors: &[Actor], index: u64) -> Result<Actor, ChangeError> {
    let found = usize::try_from(index).ok().and_then(|index| actors.get(index));
    found.copied().ok_or(ChangeError::ActorIndex { field, index, count: actors.len() as u64 })
}

/// Takes the rows of a column that may have no null.
fn full<T>(field: &'static str, rows: Vec<Option<T>>) -> Result<Vec<T>, ChangeError> {
    rows.into_iter().collect::<Option<_>>().ok_or(ChangeError::Null { field })
}

fn same_rows(field: &'static str, rows: u64, expected: usize) -> Result<(), ChangeError> {
    let expected = expected as u64;
    if rows == expected { Ok(()) } else { Err(ChangeError::Rows { field, rows, expected }) }
}

#[cfg(test)]
mod bombs;
