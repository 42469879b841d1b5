//! Finding letters by their words: an index in memory, read when first asked for and kept up to date from then on.
//!
//! Reading it goes through all letters, so it is done in slices. It begins with the newest, and ends where the index is
//! full.

use std::collections::BTreeSet;

use beadmesh_protocol::clock::Timestamp;
use beadmesh_protocol::id::LetterId;
use beadmesh_protocol::mail::Letter;

use super::super::mesh::Mesh;
use super::slice::Slice;
use super::words::{Bounds, Index};
use super::{Carried, Mail, Reader, lists};
use crate::command::MailQuery;
use crate::keys;
use crate::stage::{Stage, StoreError};

/// Letters that are looked for words; older ones are left out. Far more than the index has room for.
const LETTERS_MAX: usize = 250_000;

/// Rows of letters that are listed at one time.
const LISTED_AT_ONCE: usize = 128;

/// How many times the bytes of an entry are counted when its words are taken apart, beside reading it.
const WORDS_WEIGHT: usize = 4;

/// The words of letters, and how far reading them has come.
#[derive(Debug)]
pub(super) struct Search {
    index: Index,
    reading: Option<Reading>,
}

/// What is left to read.
#[derive(Debug)]
enum Reading {
    /// The letters are listed, from a row on: the newest that were met.
    Listing { from: Vec<u8>, newest: BTreeSet<(Carried, LetterId)> },
    /// These are taken apart, the newest of them, which is the last, first.
    Words { left: Vec<(Carried, LetterId)>, reader: Reader },
}

/// A page of what was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) letters: Vec<LetterId>,
    pub(crate) is_more: bool,
    /// Whether letters were not looked through for want of room.
    pub(crate) is_cut: bool,
}

impl Search {
    fn new(bounds: Bounds) -> Self {
        let reading = Reading::Listing { from: keys::LETTERS.to_vec(), newest: BTreeSet::new() };
        Self { index: Index::new(bounds), reading: Some(reading) }
    }

    /// Adds a letter that has come to have effect.
    pub(super) fn add<'a>(&mut self, id: LetterId, hlc: Timestamp, texts: impl IntoIterator<Item = &'a str>) {
        if !self.index.holds(id) {
            self.index.add(id, hlc, texts);
        }
    }

    /// Takes out a letter that has effect no more.
    pub(super) fn remove(&mut self, id: LetterId) {
        self.index.remove(id);
    }
}

impl Mail {
    /// Returns a page of the letters whose subject, body and sender hold every word of a query, the newest first.
    ///
    /// While letters are still read, those read so far are looked through.
    pub(crate) fn search(&mut self, stage: &Stage, mesh: &Mesh, query: &MailQuery) -> Result<Found, StoreError> {
        if self.search.is_none() {
            self.search = Some(Search::new(Bounds::default()));
            self.read_on(stage, mesh)?;
        }
        let nothing = Found { letters: Vec::new(), is_more: false, is_cut: false };
        let after = match query.after {
            None => None,
            Some(id) => match self.record(stage, id)? {
                Some(record) => Some((record.carried.hlc, id)),
                None => return Ok(nothing),
            },
        };
        let Some(search) = &self.search else { return Ok(nothing) };
        let (letters, is_more) = search.index.find(&query.query, after, query.limit);
        Ok(Found { letters, is_more, is_cut: search.index.is_cut() })
    }

    /// Returns whether letters are still read for searches.
    pub(crate) fn is_reading(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.reading.is_some())
    }

    /// Reads letters for one slice.
    pub(crate) fn read_on(&mut self, stage: &Stage, mesh: &Mesh) -> Result<(), StoreError> {
        let Some(mut search) = self.search.take() else { return Ok(()) };
        let mut slice = Slice::new();
        while !slice.is_over()
            && let Some(reading) = search.reading.take()
        {
            search.reading = match reading {
                Reading::Listing { from, newest } => {
                    Some(self.list_on(stage, (from, newest), &mut search.index, &mut slice)?)
                }
                Reading::Words { left, reader } => {
                    self.take_apart(stage, mesh, (left, reader), &mut search.index, &mut slice)?
                }
            };
        }
        self.search = Some(search);
        Ok(())
    }

    /// Lists some more letters.
    fn list_on(
        &self,
        stage: &Stage,
        (from, mut newest): (Vec<u8>, BTreeSet<(Carried, LetterId)>),
        index: &mut Index,
        slice: &mut Slice,
    ) -> Result<Reading, StoreError> {
        let rows = stage.keys_from(keys::LETTERS, &from, LISTED_AT_ONCE)?;
        slice.spend(1 + rows.len());
        for id in lists::letters(&rows) {
            if let Some(record) = self.record(stage, id)? {
                newest.insert((record.carried, id));
            }
            if newest.len() > LETTERS_MAX {
                newest.pop_first();
                index.cut();
            }
        }
        match rows.into_iter().nth(LISTED_AT_ONCE - 1) {
            Some(last) => Ok(Reading::Listing { from: lists::past(last), newest }),
            // Letters of one entry have one time, so they stay together.
            None => Ok(Reading::Words { left: newest.into_iter().collect(), reader: Reader::default() }),
        }
    }

    /// Takes the newest letter that is left apart; nothing is left after the last, or when the index is full.
    fn take_apart(
        &self,
        stage: &Stage,
        mesh: &Mesh,
        (mut left, mut reader): (Vec<(Carried, LetterId)>, Reader),
        index: &mut Index,
        slice: &mut Slice,
    ) -> Result<Option<Reading>, StoreError> {
        let Some((carried, id)) = left.pop() else { return Ok(None) };
        slice.spend(1);
        // What has changed since it was listed is in the index already, or belongs in it no more.
        let is_current = self.record(stage, id)?.is_some_and(|record| record.carried == carried);
        if is_current && !index.holds(id) {
            let before = reader.bytes();
            let letter = reader.letter(stage, mesh, carried)?;
            slice.spend_bytes(reader.bytes() - before);
            slice.spend_bytes(letter.body.len() * WORDS_WEIGHT);
            if !index.add_older(id, carried.hlc, texts(mesh, &letter)) {
                return Ok(None);
            }
        }
        Ok(Some(Reading::Words { left, reader }))
    }
}

/// Returns the texts of a letter that are looked through.
pub(super) fn texts<'a>(mesh: &'a Mesh, letter: &'a Letter) -> [&'a str; 3] {
    let sender = mesh.directory().agent(letter.from).map_or("", |agent| agent.name.as_str());
    [&letter.subject, &letter.body, sender]
}
