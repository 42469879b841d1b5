//! Which attempts of a holder have ended: a late copy of what they asked must count for nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lease::Attempt;

/// Lanes of one holder that may have ended one by one; of more the voter takes no account before the holder says that
/// lower ones have ended.
const CLOSED_MAX: usize = 1_024;

/// The lanes of one holder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lanes {
    /// The highest number of starts of the holder's node; all attempts of earlier ones have ended.
    incarnation: u64,
    /// All lanes below have ended.
    from: u64,
    /// Lanes from there on of which attempts have ended, with the last of these.
    closed: BTreeMap<u64, u64>,
}

impl Lanes {
    /// Returns the highest number of starts of the holder's node.
    pub(super) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Returns whether the attempt has ended.
    pub fn is_closed(&self, attempt: Attempt) -> bool {
        let lane = attempt.lane;
        if lane.incarnation != self.incarnation {
            return lane.incarnation < self.incarnation;
        }
        lane.lane < self.from || self.closed.get(&lane.lane).is_some_and(|seq| attempt.seq <= *seq)
    }

    /// Takes note of the lowest lane that is open; returns whether that is news.
    pub(super) fn advance(&mut self, incarnation: u64, from: u64) -> bool {
        if incarnation > self.incarnation {
            *self = Self { incarnation, from, closed: BTreeMap::new() };
            return true;
        }
        if incarnation < self.incarnation || from <= self.from {
            return false;
        }
        self.from = from;
        self.closed = self.closed.split_off(&from);
        true
    }

    /// Ends an attempt and those before it in its lane; returns whether that is news.
    pub(super) fn close(&mut self, attempt: Attempt) -> bool {
        let known = self.is_closed(attempt) || attempt.lane.incarnation != self.incarnation;
        if known || (self.closed.len() >= CLOSED_MAX && !self.closed.contains_key(&attempt.lane.lane)) {
            return false;
        }
        self.closed.insert(attempt.lane.lane, attempt.seq);
        true
    }

    /// Adds what another voter knows.
    pub(in crate::lease) fn unite(&mut self, other: &Self) {
        self.advance(other.incarnation, other.from);
        if other.incarnation != self.incarnation {
            return;
        }
        for (&lane, &seq) in other.closed.range(self.from..) {
            let mine = self.closed.entry(lane).or_insert(seq);
            *mine = seq.max(*mine);
        }
    }
}
