//! A change before it is sealed: its rows as values, and the one byte form they have.
//!
//! We write changes ourselves rather than through a transaction: an import then costs no document, and what is read
//! can be held against the only form it may have.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::column::{put_bytes, put_runs, put_signed, put_unsigned};
use super::genesis::{self, Container};
use super::intake::{Actor, Change, ChangeError};
use crate::id::ChangeHash;

/// The four bytes that every automerge chunk begins with.
pub(super) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// The chunk type of a change that is not compressed.
pub(super) const CHUNK_CHANGE: u8 = 1;

pub(super) const OBJECT_ACTOR: u64 = 0x01;
pub(super) const OBJECT_COUNTER: u64 = 0x02;
pub(super) const KEY_TEXT: u64 = 0x15;
pub(super) const INSERT: u64 = 0x34;
pub(super) const ACTION: u64 = 0x42;
pub(super) const VALUE_META: u64 = 0x56;
pub(super) const VALUE: u64 = 0x57;
pub(super) const PRED_COUNT: u64 = 0x70;
pub(super) const PRED_ACTOR: u64 = 0x71;
pub(super) const PRED_COUNTER: u64 = 0x73;

pub(super) const ACTION_MAKE_MAP: u64 = 0;
pub(super) const ACTION_SET: u64 = 1;
pub(super) const ACTION_DELETE: u64 = 3;

pub(super) const KIND_NULL: u64 = 0;
pub(super) const KIND_TRUE: u64 = 2;
pub(super) const KIND_INT: u64 = 4;
pub(super) const KIND_TEXT: u64 = 6;

/// The map that an operation writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Root,
    In(Container),
}

/// What an operation writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    /// Takes the key away.
    Delete,
    /// Makes a container; only genesis does.
    Map,
    Null,
    True,
    Int(i64),
    Text(Cow<'a, str>),
}

impl Cell<'_> {
    const fn action(&self) -> u64 {
        match self {
            Self::Delete => ACTION_DELETE,
            Self::Map => ACTION_MAKE_MAP,
            Self::Null | Self::True | Self::Int(_) | Self::Text(_) => ACTION_SET,
        }
    }

    /// Appends the value's bytes and returns its length and kind in one number.
    fn put(&self, out: &mut Vec<u8>) -> u64 {
        let start = out.len();
        let kind = match self {
            Self::Delete | Self::Map | Self::Null => KIND_NULL,
            Self::True => KIND_TRUE,
            Self::Int(number) => {
                put_signed(out, *number);
                KIND_INT
            }
            Self::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                KIND_TEXT
            }
        };
        ((out.len() - start) as u64) << 4 | kind
    }

    /// Returns the bytes of the value, at most.
    pub(super) fn bytes_max(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            _ => 10,
        }
    }
}

/// An operation that this one replaces; ordered as automerge orders operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pred {
    pub(super) counter: u64,
    pub(super) actor: Actor,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) object: Object,
    pub(super) key: Cow<'a, str>,
    pub(super) cell: Cell<'a>,
    /// Sorted, without repeats.
    pub(super) preds: Vec<Pred>,
}

impl Row<'_> {
    /// Returns the bytes the row adds to a change, at most: its value, its key, and a handful for every column.
    pub(super) fn bytes_max(&self) -> usize {
        self.key.len() + self.cell.bytes_max() + 32 + self.preds.len() * (16 + Actor::BYTES_MAX)
    }
}

/// A change as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft<'a> {
    /// Sorted, without repeats.
    pub(super) deps: Vec<ChangeHash>,
    pub(super) actor: Actor,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    /// Milliseconds since 1970 UTC.
    pub(super) time: u64,
    pub(super) rows: Vec<Row<'a>>,
}

impl Draft<'_> {
    /// Writes the change and has automerge take it in.
    pub(super) fn seal(&self) -> Result<Change, ChangeError> {
        let body = self.body();
        let (bytes, hash) = chunk(&body);
        Change::sealed(self, bytes, body.len(), hash)
    }

    /// Returns the one body that the rows have.
    pub(super) fn body(&self) -> Vec<u8> {
        let actors = self.actors();
        let columns = self.columns(&actors);
        let mut out = Vec::with_capacity(128 + columns.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
        put_unsigned(&mut out, self.deps.len() as u64);
        for dep in &self.deps {
            out.extend_from_slice(dep.as_bytes());
        }
        put_bytes(&mut out, self.actor.as_slice());
        put_unsigned(&mut out, self.seq);
        put_unsigned(&mut out, self.start_op);
        put_signed(&mut out, i64::try_from(self.time).unwrap_or(i64::MAX));
        put_unsigned(&mut out, 0);
        put_unsigned(&mut out, (actors.len() - 1) as u64);
        for actor in &actors[1..] {
            put_bytes(&mut out, actor.as_slice());
        }
        put_unsigned(&mut out, columns.len() as u64);
        for (spec, bytes) in &columns {
            put_unsigned(&mut out, *spec);
            put_unsigned(&mut out, bytes.len() as u64);
        }
        for (_, bytes) in &columns {
            out.extend_from_slice(bytes);
        }
        out
    }

    /// Returns our own actor, then every other that a row names, sorted.
    fn actors(&self) -> Vec<Actor> {
        let mut others = BTreeSet::new();
        for row in &self.rows {
            others.extend(row.preds.iter().map(|pred| pred.actor));
            if row.object != Object::Root {
                others.insert(genesis::ACTOR);
            }
        }
        others.remove(&self.actor);
        std::iter::once(self.actor).chain(others).collect()
    }

    /// Returns the columns that are not empty, in the order of their numbers.
    fn columns(&self, actors: &[Actor]) -> Vec<(u64, Vec<u8>)> {
        let index_of = |actor: Actor| {
            let others = actors[1..].binary_search(&actor).map(|index| index as u64 + 1);
            if actor == self.actor { 0 } else { others.expect("every actor of a row was collected") }
        };
        let rows = self.rows.len();
        let mut keys = Vec::with_capacity(rows);
        let mut object_actors = Vec::with_capacity(rows);
        let mut object_counters = Vec::with_capacity(rows);
        let mut actions = Vec::with_capacity(rows);
        let mut metas = Vec::with_capacity(rows);
        let mut values = Vec::new();
        let mut pred_counts = Vec::with_capacity(rows);
        let mut pred_actors = Vec::new();
        let mut pred_deltas = Vec::new();
        let mut before = 0i64;
        for row in &self.rows {
            let container = match row.object {
                Object::Root => None,
                Object::In(container) => Some(container),
            };
            object_actors.push(container.map(|_| index_of(genesis::ACTOR)));
            object_counters.push(container.map(Container::counter));
            keys.push(Some(row.key.as_ref()));
            actions.push(Some(row.cell.action()));
            metas.push(Some(row.cell.put(&mut values)));
            pred_counts.push(Some(row.preds.len() as u64));
            for pred in &row.preds {
                let counter = i64::try_from(pred.counter).unwrap_or(i64::MAX);
                pred_actors.push(Some(index_of(pred.actor)));
                pred_deltas.push(Some(counter - before));
                before = counter;
            }
        }
        let mut columns = Vec::with_capacity(10);
        let mut column = |spec, bytes: Vec<u8>| {
            if !bytes.is_empty() {
                columns.push((spec, bytes));
            }
        };
        column(OBJECT_ACTOR, numbers(&object_actors));
        column(OBJECT_COUNTER, numbers(&object_counters));
        let mut texts = Vec::new();
        put_runs(&mut texts, &keys, |out, key| put_bytes(out, key.as_bytes()));
        column(KEY_TEXT, texts);
        let mut insert = Vec::new();
        if rows > 0 {
            put_unsigned(&mut insert, rows as u64);
        }
        column(INSERT, insert);
        column(ACTION, numbers(&actions));
        column(VALUE_META, numbers(&metas));
        column(VALUE, values);
        column(PRED_COUNT, numbers(&pred_counts));
        column(PRED_ACTOR, numbers(&pred_actors));
        let mut deltas = Vec::new();
        put_runs(&mut deltas, &pred_deltas, put_signed);
        column(PRED_COUNTER, deltas);
        columns
    }
}

fn numbers(rows: &[Option<u64>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_runs(&mut out, rows, put_unsigned);
    out
}

/// Wraps a body as a change chunk and returns it with its hash.
pub(super) fn chunk(body: &[u8]) -> (Vec<u8>, ChangeHash) {
    let mut bytes = Vec::with_capacity(body.len() + 13);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(CHUNK_CHANGE);
    put_bytes(&mut bytes, body);
    let hash: [u8; 32] = Sha256::digest(&bytes[8..]).into();
    bytes[4..8].copy_from_slice(&hash[..4]);
    (bytes, ChangeHash::from_bytes(hash))
}
