//! What passes from one epoch to the next: all that a majority of the old voters kept.
//!
//! These voters say what they keep and grant nothing more. Any lease of the old epoch had a majority too, so one of them
//! knows it, and every voter of the new epoch keeps it for a full hold time. Who says so to whom: `succession`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::voter::{Grant, Lanes};
use super::{Attempt, Epoch, Holder, Token};
use crate::id::{BeadId, EntryId};

/// The BLAKE3 context under which what was handed over is named.
const NAME_CONTEXT: &str = "beadmesh 2026 voter dump v1";

/// All that a voter keeps, as it hands it over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    /// What it promised.
    pub grants: BTreeMap<Attempt, Grant>,
    /// What it knows of the lanes of each holder.
    pub lanes: BTreeMap<Holder, Lanes>,
    /// The entries in which beads were closed under leases.
    pub closes: BTreeMap<BeadId, (Token, EntryId)>,
    /// The highest counter it knows.
    pub counter: u64,
    /// The highest token of which it has dropped the record.
    pub floor: Option<Token>,
}

/// Starts an epoch: what its voters import before they grant anything, as far as whoever made it knew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The epoch that starts.
    pub epoch: Epoch,
    /// The union of what a majority of the voters before it kept.
    pub dump: Dump,
}

impl Dump {
    /// Returns the hash that tells it from others.
    pub(super) fn name(&self) -> [u8; 32] {
        let bytes = postcard::to_stdvec(self).expect("what a voter keeps has a postcard form");
        blake3::derive_key(NAME_CONTEXT, &bytes)
    }

    /// Cuts it into parts of at most about so many bytes, at least one, whose union it is.
    pub fn split(self, bytes_max: usize) -> Vec<Self> {
        let Self { grants, lanes, closes, counter, floor } = self;
        let mut parts = vec![Self { counter, floor, ..Self::default() }];
        let mut bytes = 0;
        let mut part = |parts: &mut Vec<Self>, size: usize| {
            if bytes > 0 && bytes + size > bytes_max {
                parts.push(Self { counter, floor, ..Self::default() });
                bytes = 0;
            }
            bytes += size;
        };
        for (holder, lanes) in lanes {
            part(&mut parts, encoded_bytes(&(holder, &lanes)));
            parts.last_mut().expect("there is one").lanes.insert(holder, lanes);
        }
        for (attempt, grant) in grants {
            part(&mut parts, encoded_bytes(&(attempt, &grant)));
            parts.last_mut().expect("there is one").grants.insert(attempt, grant);
        }
        for (bead, close) in closes {
            part(&mut parts, encoded_bytes(&(bead, &close)));
            parts.last_mut().expect("there is one").closes.insert(bead, close);
        }
        parts
    }

    /// Adds what another voter kept.
    pub fn unite(&mut self, other: &Self) {
        for (holder, lanes) in &other.lanes {
            self.lanes.entry(*holder).or_default().unite(lanes);
        }
        for (attempt, grant) in &other.grants {
            match self.grants.get_mut(attempt) {
                Some(mine) => mine.unite(grant),
                None => {
                    self.grants.insert(*attempt, grant.clone());
                }
            }
        }
        let lanes = &self.lanes;
        for (attempt, grant) in &mut self.grants {
            grant.dead |= lanes.get(&attempt.lane.holder).is_some_and(|lanes| lanes.is_closed(*attempt));
        }
        for (bead, close) in &other.closes {
            let mine = self.closes.entry(*bead).or_insert(*close);
            *mine = (*mine).max(*close);
        }
        self.counter = self.counter.max(other.counter);
        self.floor = self.floor.max(other.floor);
    }
}

fn encoded_bytes<T: Serialize>(value: &T) -> usize {
    postcard::to_stdvec(value).expect("what a voter keeps has a postcard form").len()
}

#[cfg(test)]
mod tests;
