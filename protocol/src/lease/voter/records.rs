//! What a voter keeps on disk, record by record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Grant, Lanes, Voter};
use crate::id::{BeadId, EntryId, VoterId};
use crate::lease::{Attempt, Epoch, Holder, Token};

/// Tells one start of a machine from another, as its operating system does: the clock of leases runs through one.
pub type Boot = [u8; 16];

/// What a voter keeps beside its promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The voter.
    pub voter: VoterId,
    /// The start of the machine in which instants of the records count.
    pub boot: Boot,
    /// The last epoch it knows.
    pub epoch: Option<Epoch>,
    /// Whether it votes in that epoch.
    pub active: bool,
    /// The epoch for which it has sealed its own.
    pub sealed_for: Option<Epoch>,
    /// The highest counter of a token it knows.
    pub counter: u64,
    /// The highest token of which it has dropped the record.
    pub floor: Option<Token>,
    /// How many promises it has given.
    pub serial: u64,
    /// Whether proof has come of promises that it does not know of: it never votes again.
    pub dead: bool,
    /// Until when it grants nothing, in microseconds of the machine's clock.
    pub quiet_until_us: u64,
}

/// One durable record of a voter; `None` says that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// All that is not kept for each attempt, holder or bead.
    State(Box<State>),
    /// What was promised to an attempt.
    Grant(Attempt, Option<Box<Grant>>),
    /// Which attempts of a holder have ended.
    Lanes(Holder, Option<Lanes>),
    /// The last entry in which a bead was closed under a lease.
    Close(BeadId, Option<(Token, EntryId)>),
}

/// Which records differ from what is on disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Changed {
    state: bool,
    grants: BTreeSet<Attempt>,
    lanes: BTreeSet<Holder>,
    closes: BTreeSet<BeadId>,
}

impl State {
    pub(super) fn new(voter: VoterId, boot: Boot) -> Self {
        let (epoch, sealed_for, floor) = (None, None, None);
        let (counter, serial, quiet_until_us) = (0, 0, 0);
        Self { voter, boot, epoch, active: false, sealed_for, counter, floor, serial, dead: false, quiet_until_us }
    }

    /// Returns the number of the last epoch it knows, 0 if it knows none.
    pub fn epoch_number(&self) -> u64 {
        self.epoch.as_ref().map_or(0, |epoch| epoch.number)
    }
}

impl Voter {
    /// Takes the records that must be durable before any answer given so far leaves, the state last.
    pub fn take_records(&mut self) -> Vec<Record> {
        let Changed { state, grants, lanes, closes } = std::mem::take(&mut self.changed);
        let mut records = Vec::with_capacity(grants.len() + lanes.len() + closes.len() + 1);
        for attempt in grants {
            records.push(Record::Grant(attempt, self.grants.get(attempt).cloned().map(Box::new)));
        }
        records.extend(lanes.into_iter().map(|holder| Record::Lanes(holder, self.lanes.get(&holder).cloned())));
        records.extend(closes.into_iter().map(|bead| Record::Close(bead, self.closes.get(&bead).copied())));
        if state {
            records.push(Record::State(Box::new(self.state.clone())));
        }
        records
    }

    /// Takes one record as it was kept.
    pub(super) fn load(&mut self, record: Record) {
        match record {
            Record::State(state) => self.state = *state,
            Record::Grant(attempt, Some(grant)) => self.grants.insert(attempt, *grant),
            Record::Lanes(holder, Some(lanes)) => drop(self.lanes.insert(holder, lanes)),
            Record::Close(bead, Some(close)) => drop(self.closes.insert(bead, close)),
            Record::Grant(_, None) | Record::Lanes(_, None) | Record::Close(_, None) => {}
        }
    }
}

impl Changed {
    pub(super) fn state() -> Self {
        Self { state: true, ..Self::default() }
    }

    pub(super) fn touch_state(&mut self) {
        self.state = true;
    }

    pub(super) fn grant(&mut self, attempt: Attempt) {
        self.grants.insert(attempt);
    }

    pub(super) fn lanes(&mut self, holder: Holder) {
        self.lanes.insert(holder);
    }

    pub(super) fn close(&mut self, bead: BeadId) {
        self.closes.insert(bead);
    }
}
