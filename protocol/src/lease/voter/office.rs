//! How a voter leaves an epoch and enters the next.

use std::collections::BTreeMap;

use super::{Grant, Voter};
use crate::clock::Instant;
use crate::id::AgentId;
use crate::lease::change::{Certificate, Dump};
use crate::lease::message::Sealed;
use crate::lease::span::start_wait;
use crate::lease::succession::RECOVERY_STEP;
use crate::lease::{Attempt, Epoch, Holder, LaneId, Token};
use crate::limits::{COUNTER_JUMP_MAX, COUNTER_START_JUMP};
use crate::planted::{self, Bug};

/// How far above those of before each recovery puts the counters: its voters may know of none of the tokens before it.
///
/// A machine would have to start 2^16 times to come so far.
const COUNTER_RECOVERY_JUMP: u64 = 1 << 48;
const _: () = assert!(COUNTER_JUMP_MAX < COUNTER_RECOVERY_JUMP && COUNTER_START_JUMP << 16 == COUNTER_RECOVERY_JUMP);

impl Voter {
    /// Grants nothing more in this epoch, and hands over what is kept; for the owner's proposal of the next epoch.
    ///
    /// That it has sealed must be durable before what it hands over leaves. One that has sealed before says for what.
    /// `None` if it does not vote, or has started too lately to know what it promised.
    pub fn seal(&mut self, now: Instant, successor: &Epoch) -> Option<Sealed> {
        let epoch = self.state.epoch_number();
        let follows = epoch.checked_add(1) == Some(successor.number) && successor.is_sound();
        if !self.votes() || !follows || self.quiet_until(now).is_some() {
            return None;
        }
        if self.state.sealed_for.is_none() {
            self.state.sealed_for = Some(successor.clone());
            self.drop_spent(now, 0);
            self.changed.touch_state();
        }
        let successor = self.state.sealed_for.clone()?;
        let grants = self.grants.all().iter();
        let dump = Dump {
            grants: grants.map(|(attempt, grant)| (*attempt, Grant { until_us: 0, ..grant.clone() })).collect(),
            lanes: self.lanes.clone(),
            closes: self.closes.clone(),
            counter: self.state.counter,
            floor: self.state.floor,
        };
        Some(Sealed { voter: self.state.voter, epoch, successor, dump })
    }

    /// Takes note that it has handed over in an epoch, as an entry of its own node shows; to be called once it knows the
    /// epoch in force, and before it is asked to seal.
    ///
    /// One that does not know so was turned back, and may have forgotten promises that it handed over: it is dead.
    pub fn note_handover(&mut self, epoch: u64) {
        let known = self.state.epoch_number();
        let is_known = epoch < known || (epoch == known && self.state.sealed_for.is_some());
        if !is_known && !self.state.dead {
            self.state.dead = true;
            self.changed.touch_state();
        }
    }

    /// Starts an epoch: imports what a majority of the one before kept, and votes if it is named. Returns whether the
    /// epoch was news.
    pub fn activate(&mut self, now: Instant, certificate: &Certificate) -> bool {
        let Certificate { epoch, dump } = certificate;
        if epoch.number <= self.state.epoch_number() {
            return false;
        }
        let active = self.is_named_by(epoch);
        let mut united = dump.clone();
        united.unite(&Dump {
            grants: BTreeMap::new(),
            lanes: std::mem::take(&mut self.lanes),
            closes: std::mem::take(&mut self.closes),
            counter: self.state.counter,
            floor: self.state.floor,
        });
        let before = self.grants.take();
        for (attempt, grant) in &before {
            if !united.grants.contains_key(attempt) {
                united.floor = united.floor.max(Some(grant.token(*attempt)));
            }
            self.changed.grant(*attempt);
        }
        if !active || planted::is(Bug::ImportsNothing) {
            united.grants.clear();
        }
        for (attempt, grant) in &mut united.grants {
            grant.keep_from(now, epoch.hold_ms);
            self.changed.grant(*attempt);
        }
        self.grants = united.grants.into_iter().collect();
        (self.lanes, self.closes) = (united.lanes, united.closes);
        self.lanes.keys().for_each(|holder| self.changed.lanes(*holder));
        self.closes.keys().for_each(|bead| self.changed.close(*bead));
        (self.state.counter, self.state.floor) = (united.counter, united.floor);
        self.enter(epoch);
        true
    }

    /// Starts an epoch that the recovery key has named: imports nothing, keeps no promise but as part of the floor, and
    /// grants nothing until whatever the lost voters promised has lapsed. Returns whether the epoch was news.
    pub fn recover(&mut self, now: Instant, epoch: &Epoch) -> bool {
        if epoch.number <= self.state.epoch_number() {
            return false;
        }
        for (attempt, grant) in self.grants.take() {
            self.state.floor = self.state.floor.max(Some(grant.token(attempt)));
            self.changed.grant(attempt);
        }
        if !planted::is(Bug::NoRecoveryWait) {
            let until_us = now.after(start_wait()).as_micros();
            self.state.quiet_until_us = self.state.quiet_until_us.max(until_us);
        }
        self.skip_counters((epoch.number / RECOVERY_STEP).saturating_mul(COUNTER_RECOVERY_JUMP));
        self.enter(epoch);
        true
    }

    /// Puts every token that this voter can have forgotten below its floor, and all up to a counter.
    pub(super) fn skip_counters(&mut self, up_to: u64) {
        self.state.counter = self.state.counter.saturating_add(COUNTER_START_JUMP).max(up_to);
        let nobody = Holder { node: self.node, agent: AgentId::from_bytes([0; AgentId::BYTES]) };
        let attempt = Attempt { lane: LaneId { holder: nobody, incarnation: 0, lane: 0 }, seq: 0 };
        self.state.floor = self.state.floor.max(Some(Token { counter: self.state.counter, attempt }));
        self.changed.touch_state();
    }

    fn enter(&mut self, epoch: &Epoch) {
        self.waits.clear();
        self.state.active = self.is_named_by(epoch);
        (self.state.epoch, self.state.sealed_for) = (Some(epoch.clone()), None);
        self.changed.touch_state();
    }

    fn is_named_by(&self, epoch: &Epoch) -> bool {
        epoch.seat(self.node).is_some_and(|seat| seat.voter == self.state.voter)
    }
}
