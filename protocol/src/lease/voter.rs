//! A voter: keeps the promises of one node, and never two that clash.
//!
//! It holds no clock and no disk. What it changes is taken by `take_records` and must be durable before any answer that
//! was given meanwhile leaves the node; a voter whose records could not be kept must never answer again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{Acquire, Answer, Blocker, Here, Promise, Refusal, Release, SignedPromise, Terms};
use super::span::start_wait;
use super::{Attempt, Birth, Epoch, Holder, Token};
use crate::clock::Instant;
use crate::id::{BeadId, EntryId, NodeId, VoterId};
use crate::limits::{COUNTER_JUMP_MAX, LEASES_MAX, LEASES_PER_HOLDER_MAX, WAITS_PER_HOLDER_MAX};
use crate::planted::{self, Bug};

mod grants;
mod lanes;
mod office;
mod records;

use grants::Grants;
pub use lanes::Lanes;
pub use records::{Boot, Record, State};

/// How long an older claim that was told `Busy` keeps younger ones away: four polls.
const WAIT_KEPT: Duration = Duration::from_millis(1_600);

/// Records of attempts that have ended, kept so that few claims meet the floor instead of a record.
const SPENT_MAX: usize = 1_024;

/// Closes kept for who holds the bead next; of more the ones with the lowest tokens go.
const CLOSES_MAX: usize = 10_000;

/// Blockers named in one answer.
const BLOCKERS_MAX: usize = 4;

/// Holders of whose lanes a voter keeps account; of more those without a lease are forgotten.
const HOLDERS_MAX: usize = 16_384;

/// One node's voter.
#[derive(Debug, Clone)]
pub struct Voter {
    node: NodeId,
    state: State,
    grants: Grants,
    lanes: BTreeMap<Holder, Lanes>,
    closes: BTreeMap<BeadId, (Token, EntryId)>,
    waits: BTreeMap<Attempt, Wait>,
    changed: records::Changed,
}

/// What was promised to one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The counter of its token.
    pub counter: u64,
    /// What it is for.
    pub terms: Terms,
    /// The age of its claim.
    pub birth: Birth,
    /// When the promise lapses, on the clock of this start of the machine.
    pub until_us: u64,
    /// Milliseconds for which it was given.
    pub hold_ms: u32,
    /// Whether its holder has ended it.
    pub dead: bool,
}

/// An older claim that is waiting for its turn.
#[derive(Debug, Clone)]
struct Wait {
    token: Token,
    birth: Birth,
    terms: Terms,
    until: Instant,
}

/// What is in the way of a claim: its age, token, microseconds left of the promise if there is one, and terms.
type InTheWay<'a> = (Birth, Token, Option<u64>, &'a Terms);

impl Voter {
    /// Makes the voter of a node that no epoch names yet. It has promised nothing, so it never has to wait.
    pub fn new(node: NodeId, voter: VoterId, boot: Boot) -> Self {
        Self::of(node, State::new(voter, boot))
    }

    /// Makes the voter of the node that has just founded a mesh, with the first epoch, which names it.
    pub fn founding(node: NodeId, voter: VoterId, boot: Boot, epoch: Epoch) -> Self {
        let active = epoch.seat(node).is_some_and(|seat| seat.voter == voter);
        Self::of(node, State { epoch: Some(epoch), active, ..State::new(voter, boot) })
    }

    fn of(node: NodeId, state: State) -> Self {
        let (grants, lanes, closes) = (Grants::default(), BTreeMap::new(), BTreeMap::new());
        let changed = records::Changed::state();
        Self { node, state, grants, lanes, closes, waits: BTreeMap::new(), changed }
    }

    /// Opens a voter from what was kept of it.
    ///
    /// After a start of the machine what is left of each promise can not be told, so each counts for a full hold again;
    /// and because the disk may be older than it seems, nothing is granted until all that it can have forgotten has lapsed.
    pub fn open(node: NodeId, state: State, kept: impl IntoIterator<Item = Record>, boot: Boot, now: Instant) -> Self {
        let mut voter = Self::of(node, state);
        voter.changed = records::Changed::default();
        for record in kept {
            voter.load(record);
        }
        if voter.state.boot != boot {
            voter.state.boot = boot;
            let wait = if planted::is(Bug::NoStartWait) { Duration::ZERO } else { start_wait() };
            voter.state.quiet_until_us = now.after(wait).as_micros();
            voter.skip_counters(0);
            let hold_ms = voter.state.epoch.as_ref().map_or(0, |epoch| epoch.hold_ms);
            let changed = &mut voter.changed;
            voter.grants.amend(|attempt, grant| {
                if !grant.dead {
                    grant.keep_from(now, hold_ms);
                    changed.grant(attempt);
                }
            });
            voter.changed.touch_state();
        }
        if planted::is(Bug::ForgottenPromises) {
            voter.grants.amend(|_, grant| grant.until_us = 0);
        }
        voter
    }

    /// Returns the name of the voter.
    pub fn id(&self) -> VoterId {
        self.state.voter
    }

    /// Returns how many promises the voter has given.
    pub fn serial(&self) -> u64 {
        self.state.serial
    }

    /// Returns the epoch the voter knows, and whether it votes in it.
    pub fn epoch(&self) -> (Option<&Epoch>, bool) {
        (self.state.epoch.as_ref(), self.votes())
    }

    /// Returns whether the voter must never answer again: proof has come of promises that it does not know of.
    pub fn is_dead(&self) -> bool {
        self.state.dead
    }

    /// Returns until when the voter grants nothing because it has just started, `None` if it grants.
    pub fn quiet_until(&self, now: Instant) -> Option<Instant> {
        let until = Instant::from_micros(self.state.quiet_until_us);
        (until > now).then_some(until)
    }

    /// Returns promises in force, by attempt.
    pub fn live(&self, now: Instant) -> impl Iterator<Item = (Token, &Grant)> {
        let live = self.grants.all().iter().filter(move |(_, grant)| grant.is_live(now));
        live.map(|(attempt, grant)| (grant.token(*attempt), grant))
    }

    /// Returns how many records are kept: promises in force or spent, waiting claims, lanes and closes.
    pub fn records(&self) -> usize {
        self.grants.all().len() + self.waits.len() + self.lanes.len() + self.closes.len()
    }

    /// Returns who the voter is and what it knows.
    pub fn here(&self) -> Here {
        let State { voter, counter, floor, .. } = self.state;
        let active = self.votes();
        let sealed_for = self.state.sealed_for.as_ref().map(Epoch::name);
        Here { voter, epoch: self.state.epoch_number(), active, counter, floor, sealed_for }
    }

    /// Takes what another voter of the epoch knows, after a start at which this one may have forgotten it.
    pub fn learn(&mut self, from: NodeId, other: &Here) {
        let seat = self.state.epoch.as_ref().and_then(|epoch| epoch.seat(from));
        let is_voter = seat.is_some_and(|seat| seat.voter == other.voter);
        if !is_voter || other.epoch != self.state.epoch_number() || !other.active {
            return;
        }
        let counter = self.state.counter.max(other.counter);
        let floor = self.state.floor.max(other.floor);
        if (counter, floor) != (self.state.counter, self.state.floor) {
            (self.state.counter, self.state.floor) = (counter, floor);
            self.changed.touch_state();
        }
    }

    /// Takes note of a promise that somebody shows, whose signature the caller has checked.
    ///
    /// One of ours with a number we have not reached was given by a later state of this disk, or by a copy of it.
    pub fn heed(&mut self, shown: &SignedPromise) {
        let promise = &shown.promise;
        if promise.voter == self.state.voter && promise.serial > self.state.serial && !self.state.dead {
            self.state.dead = true;
            self.changed.touch_state();
        }
    }

    /// Answers a wish for a promise.
    ///
    /// The answer must not leave before what `take_records` returns is durable.
    pub fn acquire(&mut self, now: Instant, from: NodeId, ask: &Acquire) -> Option<Answer> {
        let attempt = ask.token.attempt;
        let refused = |reason| Some(Answer::Refused { attempt, reason });
        if attempt.lane.holder.node != from
            || ask.birth.holder != attempt.lane.holder
            || attempt.lane.lane < ask.lanes_from
        {
            return refused(Refusal::Malformed);
        }
        if self.state.dead {
            return None;
        }
        if let Some(reason) = self.out_of_office(now) {
            return refused(reason);
        }
        if !self.state.active || ask.epoch != self.state.epoch_number() {
            return Some(Answer::Wrong { attempt, epoch: self.state.epoch_number() });
        }
        self.end_lanes(attempt, ask.lanes_from);
        let lanes = self.lanes.get(&attempt.lane.holder);
        let is_other = |grant: &Grant| grant.dead || grant.counter != ask.token.counter || grant.terms != ask.terms;
        if lanes.is_some_and(|lanes| lanes.is_closed(attempt)) || self.grants.get(attempt).is_some_and(is_other) {
            let incarnation = lanes.map_or(0, Lanes::incarnation).max(attempt.lane.incarnation);
            return Some(Answer::Ended { attempt, incarnation });
        }
        let reachable = self.state.counter.saturating_add(COUNTER_JUMP_MAX);
        if ask.token.counter > reachable {
            // Who has learned so high a counter in good faith is let in after some more tries.
            self.state.counter = reachable;
            self.changed.touch_state();
            return refused(Refusal::CounterJump);
        }
        self.judge(now, ask)
    }

    /// Ends an attempt, and those before it in its lane.
    pub fn release(&mut self, from: NodeId, release: &Release) {
        let attempt = release.token.attempt;
        if attempt.lane.holder.node != from || self.state.dead {
            return;
        }
        self.end_lanes(attempt, release.lanes_from);
        let lanes = self.lanes.entry(attempt.lane.holder).or_default();
        if lanes.close(attempt) {
            self.changed.lanes(attempt.lane.holder);
        }
        self.end_closed(attempt.lane.holder);
        if planted::is(Bug::ReleaseByHolder) {
            let ended: Vec<Attempt> = self.grants.of(attempt.lane.holder).map(|(attempt, _)| attempt).collect();
            for attempt in ended {
                self.grants.end(attempt);
            }
        }
        self.waits.remove(&attempt);
        // Whatever is remembered of lanes: the holder has stopped.
        let Some(grant) = self.grants.get(attempt).filter(|grant| grant.counter == release.token.counter) else {
            return;
        };
        let close = release.close.filter(|(bead, _)| grant.terms.scope.beads().contains(bead));
        if self.grants.end(attempt) {
            self.changed.grant(attempt);
        }
        if let Some((bead, entry)) = close {
            self.note_close(bead, release.token, entry);
        }
    }

    /// Returns whether it votes in the epoch it knows.
    fn votes(&self) -> bool {
        self.state.active && !self.state.dead
    }

    /// Returns that it has just started, with how long it waits still, if it does.
    fn starting(&self, now: Instant) -> Option<Refusal> {
        let until = self.quiet_until(now)?;
        Some(Refusal::Starting { left_us: until.as_micros() - now.as_micros() })
    }

    /// Returns why nothing is granted to anybody now.
    fn out_of_office(&self, now: Instant) -> Option<Refusal> {
        if let Some(reason) = self.starting(now) {
            return Some(reason);
        }
        let is_sealed = self.state.sealed_for.is_some() && !planted::is(Bug::GrantsSealed);
        (self.state.active && is_sealed).then_some(Refusal::Sealed)
    }

    /// Decides on a wish that is of this epoch and of an open attempt.
    fn judge(&mut self, now: Instant, ask: &Acquire) -> Option<Answer> {
        let attempt = ask.token.attempt;
        let holder = attempt.lane.holder;
        let owns = self.grants.get(attempt).is_some_and(|grant| grant.is_live(now));
        // People and gates see the counter alone, so a later lease has a higher one, and not just a later attempt.
        let floor = self.state.floor.map(|floor| floor.counter);
        let mut stale = !owns && Some(ask.token.counter) <= floor;
        let counts = |other: Attempt| other != attempt && (other.lane.holder != holder || !owns);
        let mut blockers: Vec<InTheWay<'_>> = Vec::new();
        for (other, grant) in self.grants.open_against(&ask.terms) {
            let token = grant.token(other);
            if other.lane.holder != holder && grant.is_live(now) {
                blockers.push((grant.birth, token, Some(grant.until_us - now.as_micros()), &grant.terms));
            } else if counts(other) && ask.token.counter <= token.counter {
                stale = true;
            }
        }
        stale |= self.grants.ended_against(&ask.terms, ask.token.counter).any(|(other, _)| counts(other));
        let renews = ask.renews();
        if !owns && !renews {
            blockers.extend(self.older_waits(now, ask));
        }
        if !blockers.is_empty() {
            blockers.sort_by_key(|(birth, ..)| *birth);
            let named = blockers.into_iter().take(BLOCKERS_MAX);
            let named = named.filter_map(|(birth, token, left_us, terms)| {
                Some(Blocker { token, birth, left_us, witness: terms.scope.clash(&ask.terms.scope)? })
            });
            let blockers = named.collect();
            if !renews {
                self.keep_waiting(now, ask);
            }
            return Some(Answer::Busy { attempt, round: ask.round, blockers, counter: self.state.counter });
        }
        if stale && !planted::is(Bug::TokensUnchecked) {
            return Some(Answer::Stale { attempt, counter: self.state.counter });
        }
        if !owns && let Some(reason) = self.full(now, holder) {
            return Some(Answer::Refused { attempt, reason });
        }
        Some(self.grant(now, ask))
    }

    /// Promises, and notes all that must be durable before the promise leaves.
    fn grant(&mut self, now: Instant, ask: &Acquire) -> Answer {
        let attempt = ask.token.attempt;
        let hold_ms = self.state.epoch.as_ref().map_or(0, |epoch| epoch.hold_ms);
        let mut grant = Grant {
            counter: ask.token.counter,
            terms: ask.terms.clone(),
            birth: ask.birth,
            until_us: 0,
            hold_ms: 0,
            dead: false,
        };
        grant.keep_from(now, hold_ms);
        if let Some(before) = self.grants.get(attempt).filter(|before| before.until_us > grant.until_us)
            && !planted::is(Bug::PromiseShortened)
        {
            // The holder may still rely on a longer hold of the epoch before.
            (grant.until_us, grant.hold_ms) = (before.until_us, before.hold_ms);
        }
        self.grants.insert(attempt, grant);
        self.changed.grant(attempt);
        self.waits.remove(&attempt);
        self.state.counter = self.state.counter.max(ask.token.counter);
        self.state.serial += 1;
        self.changed.touch_state();
        self.drop_spent(now, SPENT_MAX);
        let promise = Promise {
            voter: self.state.voter,
            serial: self.state.serial,
            epoch: ask.epoch,
            round: ask.round,
            token: ask.token,
            terms: ask.terms.name(),
        };
        let closes =
            ask.terms.scope.beads().iter().filter_map(|bead| self.closes.get(bead)).map(|(_, entry)| *entry).collect();
        Answer::Granted { promise: promise.unsigned(), closes, counter: self.state.counter }
    }

    /// Returns why the holder can not have one more promise.
    fn full(&self, now: Instant, holder: Holder) -> Option<Refusal> {
        let mine = self.grants.of(holder).filter(|(_, grant)| grant.is_live(now)).count();
        if mine >= LEASES_PER_HOLDER_MAX {
            return Some(Refusal::HolderFull);
        }
        let is_full = self.grants.all().len() >= LEASES_MAX && self.live(now).count() >= LEASES_MAX;
        is_full.then_some(Refusal::VoterFull)
    }

    /// Returns older claims of others that wait for what clashes.
    fn older_waits<'a>(&'a self, now: Instant, ask: &'a Acquire) -> impl Iterator<Item = InTheWay<'a>> {
        let holder = ask.token.attempt.lane.holder;
        let older = self
            .waits
            .iter()
            .filter(move |(attempt, wait)| wait.until > now && attempt.lane.holder != holder && wait.birth < ask.birth);
        let clashing = older.filter(|(_, wait)| wait.terms.excludes(&ask.terms));
        clashing.map(|(_, wait)| (wait.birth, wait.token, None, &wait.terms))
    }

    /// Remembers that a claim waits, so that younger ones do not slip in before it.
    fn keep_waiting(&mut self, now: Instant, ask: &Acquire) {
        self.waits.retain(|_, wait| wait.until > now);
        let attempt = ask.token.attempt;
        let mine = self.waits.range(attempt.lane.holder.attempts()).filter(|(other, _)| **other != attempt).count();
        if mine < WAITS_PER_HOLDER_MAX && self.waits.len() < LEASES_MAX {
            let until = now.after(WAIT_KEPT);
            let wait = Wait { token: ask.token, birth: ask.birth, terms: ask.terms.clone(), until };
            self.waits.insert(attempt, wait);
        }
    }

    /// Takes note of which lanes of the holder are open still; a node that has started anew has none of before.
    fn end_lanes(&mut self, attempt: Attempt, lanes_from: u64) {
        let holder = attempt.lane.holder;
        if !self.lanes.contains_key(&holder) && self.lanes.len() >= HOLDERS_MAX {
            self.forget_idle_holders();
        }
        if self.lanes.entry(holder).or_default().advance(attempt.lane.incarnation, lanes_from) {
            self.changed.lanes(holder);
            self.end_closed(holder);
        }
    }

    /// Marks what was promised to attempts of a holder that have ended.
    fn end_closed(&mut self, holder: Holder) {
        let Some(lanes) = self.lanes.get(&holder) else { return };
        let is_ended = |(attempt, grant): &(Attempt, &Grant)| !grant.dead && lanes.is_closed(*attempt);
        let ended: Vec<Attempt> = self.grants.of(holder).filter(is_ended).map(|(attempt, _)| attempt).collect();
        for attempt in ended {
            self.grants.end(attempt);
            self.changed.grant(attempt);
        }
    }

    /// Forgets the lanes of holders without a record; a late message of theirs then costs at most a hold time.
    fn forget_idle_holders(&mut self) {
        let busy: BTreeSet<Holder> = self.grants.all().keys().map(|attempt| attempt.lane.holder).collect();
        let idle: Vec<Holder> = self.lanes.keys().filter(|holder| !busy.contains(holder)).copied().collect();
        for holder in idle {
            self.lanes.remove(&holder);
            self.changed.lanes(holder);
        }
    }

    fn note_close(&mut self, bead: BeadId, token: Token, entry: EntryId) {
        let noted = self.closes.entry(bead).or_insert((token, entry));
        *noted = (*noted).max((token, entry));
        self.changed.close(bead);
        if self.closes.len() > CLOSES_MAX
            && let Some(lowest) = self.closes.iter().min_by_key(|(_, close)| **close).map(|(bead, _)| *bead)
        {
            self.closes.remove(&lowest);
            self.changed.close(lowest);
        }
    }

    /// Drops records of attempts that have ended or lapsed beyond the newest `kept`; the floor takes their place.
    fn drop_spent(&mut self, now: Instant, kept: usize) {
        if self.grants.all().len() <= kept {
            return;
        }
        let spent = self.grants.all().iter().filter(|(_, grant)| !grant.is_live(now));
        let mut spent: Vec<Token> = spent.map(|(attempt, grant)| grant.token(*attempt)).collect();
        if spent.len() <= kept {
            return;
        }
        spent.sort_unstable();
        // Half of them go at once, so that this is not done at every promise.
        spent.truncate(spent.len() - kept / 2);
        for token in &spent {
            self.grants.remove(token.attempt);
            self.changed.grant(token.attempt);
        }
        self.state.floor = self.state.floor.max(spent.last().copied());
        self.changed.touch_state();
    }
}

impl Grant {
    /// Returns the token it was given for.
    pub fn token(&self, attempt: Attempt) -> Token {
        Token { counter: self.counter, attempt }
    }

    /// Returns whether the promise is in force.
    pub fn is_live(&self, now: Instant) -> bool {
        !self.dead && self.until_us > now.as_micros()
    }

    /// Gives it a full hold from now on: its own or the epoch's, whichever is longer.
    fn keep_from(&mut self, now: Instant, hold_ms: u32) {
        self.hold_ms = self.hold_ms.max(hold_ms);
        self.until_us = now.after(Duration::from_millis(u64::from(self.hold_ms))).as_micros();
    }

    /// Adds what another voter promised to the same attempt.
    pub(super) fn unite(&mut self, other: &Self) {
        self.hold_ms = self.hold_ms.max(other.hold_ms);
        self.dead |= other.dead;
    }
}

#[cfg(test)]
mod tests;
