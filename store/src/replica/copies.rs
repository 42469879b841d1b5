//! What entries tell of copies of stores: numbers used twice, and entries of ours that others brought.
//!
//! It decides nothing: every entry is kept whatever it tells. What is noted here is there to be reported.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use beadmesh_protocol::clock::Timestamp;
use beadmesh_protocol::entry::{Content, Entry};
use beadmesh_protocol::id::{InstanceId, NodeId};
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::stage::{Stage, StoreError};

/// Runs of numbers that are remembered of one author's instance; what comes in some order has few.
const RUNS_MAX: usize = 256;

/// What is known of copies of stores, this node's and others'.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    numbers: BTreeMap<(NodeId, InstanceId), Numbers>,
    own: Own,
}

/// The numbers of one author's entries in one instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Numbers {
    /// The first and the last number of each run that is held, in order.
    runs: Vec<(u64, u64)>,
    /// Entries that came with a number that another one bore already.
    doubled: u64,
    /// How many of those somebody has taken note of.
    accepted: u64,
}

/// What peers brought of this node's own entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Own {
    /// When this instance began to count what is brought.
    since: Option<Timestamp>,
    /// Entries written before that: the store is older than they are.
    returned: u64,
    /// Entries written since, in another instance: another store has this node's key.
    elsewhere: u64,
}

impl Copies {
    /// Opens what is known in a store.
    ///
    /// # Errors
    /// When the store fails, or what peers brought does not decode.
    pub(crate) fn open(stage: &Stage) -> Result<Self, StoreError> {
        let mut numbers = BTreeMap::new();
        stage.scan(keys::AUTHORS, |key, value| {
            // What does not decode is of another layout, and derived anew as soon as the store is open.
            let record = postcard::from_bytes(value).unwrap_or_default();
            numbers.extend(keys::author_of(key).map(|named| (named, record)));
            ControlFlow::Continue(())
        })?;
        Ok(Self { numbers, own: stage.record(keys::COPIES)?.unwrap_or_default() })
    }

    /// Notes the number of an entry that is stored now; returns whether another one bears it.
    pub(crate) fn note(&mut self, stage: &mut Stage, entry: &Entry) -> bool {
        let Content { author, instance, n, .. } = *entry.content();
        let numbers = self.numbers.entry((author, instance)).or_default();
        let is_doubled = numbers.note(n);
        stage.put_record(keys::author(author, instance), numbers);
        is_doubled
    }

    /// Notes that an entry of ours came from elsewhere that was not held, in this instance or another.
    pub(crate) fn met(&mut self, stage: &mut Stage, hlc: Timestamp, is_this_instance: bool) {
        let Some(since) = self.own.since else { return };
        if is_this_instance || hlc <= since {
            self.own.returned += 1;
        } else {
            self.own.elsewhere += 1;
        }
        stage.put_record(keys::COPIES.to_vec(), &self.own);
    }

    /// Begins to count what is brought of ours, unless this instance has begun to before.
    pub(crate) fn begin(&mut self, stage: &mut Stage, now: Timestamp) {
        if self.own.since.is_none() {
            self.own.since = Some(now);
            stage.put_record(keys::COPIES.to_vec(), &self.own);
        }
    }

    /// Begins anew with the next instance: what was brought to the one before has been found by then.
    pub(crate) fn renew(&mut self) {
        self.own.since = None;
    }

    /// Forgets which numbers were held, for them to be noted again.
    pub(crate) fn clear(&mut self, stage: &mut Stage) {
        for ((author, instance), numbers) in &mut self.numbers {
            *numbers = Numbers { accepted: numbers.accepted, ..Numbers::default() };
            stage.put_record(keys::author(*author, *instance), numbers);
        }
    }

    /// Takes note of all that was found so far, so that only what comes later is told.
    pub(crate) fn accept(&mut self, stage: &mut Stage) {
        for ((author, instance), numbers) in &mut self.numbers {
            if numbers.accepted != numbers.doubled {
                numbers.accepted = numbers.doubled;
                stage.put_record(keys::author(*author, *instance), numbers);
            }
        }
        let Own { returned, elsewhere, .. } = self.own;
        if returned + elsewhere > 0 {
            self.own = Own { returned: 0, elsewhere: 0, ..self.own };
            stage.put_record(keys::COPIES.to_vec(), &self.own);
        }
    }

    /// Returns how many entries of each author bear a number that another one bears, where nobody took note yet.
    pub(crate) fn doubled(&self) -> BTreeMap<NodeId, u64> {
        let mut doubled = BTreeMap::new();
        for ((author, _), numbers) in &self.numbers {
            let untold = numbers.doubled.saturating_sub(numbers.accepted);
            if untold > 0 {
                *doubled.entry(*author).or_insert(0) += untold;
            }
        }
        doubled
    }

    /// Returns how many entries of ours came that this store should have held.
    pub(crate) fn returned(&self) -> u64 {
        self.own.returned
    }

    /// Returns how many entries came that another store wrote with this node's key.
    pub(crate) fn elsewhere(&self) -> u64 {
        self.own.elsewhere
    }
}

impl Numbers {
    /// Adds a number; returns whether it was there.
    fn note(&mut self, n: u64) -> bool {
        let at = self.runs.partition_point(|(_, last)| *last < n);
        if self.runs.get(at).is_some_and(|(first, _)| *first <= n) {
            self.doubled += 1;
            return true;
        }
        let follows = at > 0 && self.runs[at - 1].1 + 1 == n;
        let precedes = self.runs.get(at).is_some_and(|(first, _)| *first == n + 1);
        match (follows, precedes) {
            (true, true) => self.runs[at - 1].1 = self.runs.remove(at).1,
            (true, false) => self.runs[at - 1].1 = n,
            (false, true) => self.runs[at].0 = n,
            (false, false) => self.runs.insert(at, (n, n)),
        }
        if self.runs.len() > RUNS_MAX {
            // An author who leaves gaps on purpose costs no more than this; of what is forgotten nothing is told.
            self.runs.remove(0);
        }
        false
    }
}

#[cfg(test)]
mod tests;
