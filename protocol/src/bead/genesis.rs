//! The genesis change: the constant that every bead's document begins with, and the containers it makes.
//!
//! Because its bytes are the same everywhere, documents begun on two machines share object ids and merge field by
//! field. It is only ever extended by a second constant on top, never changed.

use std::sync::LazyLock;

use super::draft::{Cell, Draft, Object, Row};
use super::intake::{Actor, Change};

/// A map inside a bead's document; its number is the counter of the operation that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Container {
    /// `labels`: word → true
    Labels = 1,
    /// `deps`: `type|target` → what is known about it
    Deps = 2,
    /// `scopes`: pattern → true
    Scopes = 3,
    /// `criteria`: hash of the text → order and text
    Criteria = 4,
    /// `comments`: hash of author, date and text → the comment
    Comments = 5,
    /// `needs`: name → amount
    Needs = 6,
    /// `metadata`: key → canonical JSON
    Metadata = 7,
    /// `extra`: unknown key → canonical JSON
    Extra = 8,
}

impl Container {
    /// Every container, in the order in which genesis makes them.
    pub const ALL: [Self; 8] = [
        Self::Labels,
        Self::Deps,
        Self::Scopes,
        Self::Criteria,
        Self::Comments,
        Self::Needs,
        Self::Metadata,
        Self::Extra,
    ];

    /// Returns the key of the container in the document's root.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Deps => "deps",
            Self::Scopes => "scopes",
            Self::Criteria => "criteria",
            Self::Comments => "comments",
            Self::Needs => "needs",
            Self::Metadata => "metadata",
            Self::Extra => "extra",
        }
    }

    /// Reads a container by its key.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.as_str() == text)
    }

    /// Returns the counter of the operation that makes the container.
    pub const fn counter(self) -> u64 {
        self as u64
    }

    /// Finds the container that the operation with that counter makes.
    pub fn by_counter(counter: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.counter() == counter)
    }
}

/// The actor of the genesis change: one zero byte, because every change inside a container repeats it.
pub const ACTOR: Actor = Actor::single(0);

/// The highest operation counter of the genesis change.
pub const MAX_OP: u64 = Container::ALL.len() as u64;

// A constant that is computed: the bytes are pinned by the test vector below.
static CHANGE: LazyLock<Change> = LazyLock::new(|| {
    let rows = Container::ALL.map(|container| Row {
        object: Object::Root,
        key: container.as_str().into(),
        cell: Cell::Map,
        preds: Vec::new(),
    });
    Draft { deps: Vec::new(), actor: ACTOR, seq: 1, start_op: 1, time: 0, rows: rows.into() }
        .seal()
        .expect("genesis is a constant that automerge accepts")
});

/// Returns the genesis change.
pub fn change() -> &'static Change {
    &CHANGE
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn the_bytes_of_genesis_never_change() {
        assert_eq!(HEXLOWER.encode(change().bytes()), include_str!("vectors/genesis.hex").trim());
    }

    #[test]
    fn genesis_reads_back_as_a_change() {
        let read = Change::parse(change().bytes()).unwrap();
        assert_eq!(read.hash(), change().hash());
        assert_eq!(read.ops(), 8);
    }

    #[test]
    fn a_container_reads_back_from_its_key_and_its_counter() {
        for container in Container::ALL {
            assert_eq!(Container::parse(container.as_str()), Some(container));
            assert_eq!(Container::by_counter(container.counter()), Some(container));
        }
    }
}
