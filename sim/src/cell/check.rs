//! What must hold in a cell at every instant, judged by true time.
//!
//! The names are those of violations: `exclusion` (two holders of clashing leases valid at once), `token` (a later lease
//! with a lower token, or one token for two), `voter` (two live promises that clash at one voter), `flush` (a promise left
//! before it was durable), `epoch` (a promise after sealing, or by a voter the epoch does not name, or two epochs of one number), `act` (a write under a
//! lease that was not valid), `gate` (the gate took a write under a lower token than before), `turn` (a claim never got its
//! turn when all was healed), `memory` (a voter keeps more than it promised and a constant).

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::lease::holder::{End, Held};
use beadmesh_protocol::lease::message::{Answer, Terms};
use beadmesh_protocol::lease::{Epoch, LaneId, Start, Token, Voter};

use super::node::{Disk, Node};
use crate::outcome::Violation;

/// Records that a voter may keep beside its promises in force: spent ones, waiting claims, lanes of holders.
const RECORDS_MAX: usize = 1_024 + 256 + 256;

/// Violations kept of one run.
const VIOLATIONS_MAX: usize = 20;

/// All that is seen while a cell runs.
#[derive(Debug)]
pub(super) struct Checks {
    violations: Vec<Violation>,
    seen: BTreeMap<&'static str, u64>,
    terms: BTreeMap<LaneId, Terms>,
    leases: Vec<Lease>,
    tokens: BTreeMap<Token, LaneId>,
    /// Writes under way, by when they arrive.
    writes: BTreeSet<(u64, Token, LaneId)>,
    /// The highest token that the gate has taken a write under, for what.
    gate: Vec<(Token, Terms)>,
    /// The epochs, each as it was first begun.
    epochs: BTreeMap<u64, (Epoch, Start)>,
}

/// A lease as true time knows it.
#[derive(Debug)]
struct Lease {
    lane: LaneId,
    token: Token,
    terms: Terms,
    from_us: u64,
    until_us: u64,
    is_over: bool,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self {
            violations: Vec::new(),
            seen: BTreeMap::new(),
            terms: BTreeMap::new(),
            leases: Vec::new(),
            tokens: BTreeMap::new(),
            writes: BTreeSet::new(),
            gate: Vec::new(),
            epochs: BTreeMap::new(),
        }
    }

    pub(super) fn end(mut self) -> (Vec<Violation>, u64, BTreeMap<&'static str, u64>) {
        self.take_writes(u64::MAX);
        (self.violations, u64::try_from(self.leases.len()).expect("few"), self.seen)
    }

    /// Counts that something happened, if it did.
    ///
    /// # Panics
    /// When the name is not listed: one that is mistyped would never be missed.
    pub(super) fn see(&mut self, name: &'static str, happened: bool) {
        assert!(super::SOMETIMES.contains(&name), "{name:?} is not among the names to be seen sometimes");
        if happened {
            *self.seen.entry(name).or_default() += 1;
        }
    }

    pub(super) fn fail(&mut self, check: &'static str, at_us: u64, node: Option<usize>, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            let node = node.and_then(|node| u32::try_from(node).ok());
            self.violations.push(Violation { check, at_ms: at_us / 1_000, node, what });
        }
    }

    pub(super) fn on_claim(&mut self, lane: LaneId, terms: Terms) {
        self.terms.insert(lane, terms);
    }

    /// A lease begins: nothing that clashes may be valid, and every lease that clashed before had a lower token.
    pub(super) fn on_held(&mut self, now_us: u64, held: &Held, until_us: u64) {
        if self.tokens.insert(held.token, held.lane).is_some() {
            self.fail("token", now_us, None, format!("token {:?} stands for two leases", held.token));
        }
        // Terms are kept with the lease: a store that was turned back uses the names of lanes anew.
        let Some(terms) = self.terms.get(&held.lane).cloned() else { return };
        for at in self.clashing(held.lane, &terms) {
            let (other, token) = (&self.leases[at], self.leases[at].token);
            if other.until_us > now_us {
                let what =
                    format!("{:?} is valid until {} us, and {:?} holds", other.token, other.until_us, held.token);
                self.fail("exclusion", now_us, None, what);
            }
            if token.counter >= held.token.counter {
                self.fail("token", now_us, None, format!("{:?} comes after {token:?} and is not higher", held.token));
            }
        }
        let lease = Lease { lane: held.lane, token: held.token, terms, from_us: now_us, until_us, is_over: false };
        self.leases.push(lease);
    }

    /// A lease lasts longer: nothing that clashes may have become valid meanwhile.
    pub(super) fn on_renewed(&mut self, now_us: u64, lane: LaneId, until_us: u64) {
        let Some(lease) = self.leases.iter_mut().rev().find(|lease| lease.lane == lane && !lease.is_over) else {
            return;
        };
        lease.until_us = until_us;
        let (token, terms) = (lease.token, lease.terms.clone());
        self.see("renewed", true);
        for at in self.clashing(lane, &terms) {
            let other = &self.leases[at];
            if other.until_us > now_us {
                let what = format!("{:?} is valid until {} us, and {token:?} is renewed", other.token, other.until_us);
                self.fail("exclusion", now_us, None, what);
            }
        }
    }

    /// A holder acts no more under a lease.
    pub(super) fn on_ended(&mut self, now_us: u64, lane: LaneId) {
        for lease in self.leases.iter_mut().filter(|lease| lease.lane == lane && !lease.is_over) {
            (lease.until_us, lease.is_over) = (lease.until_us.min(now_us), true);
        }
    }

    pub(super) fn on_end(&mut self, end: &End) {
        let name = match end {
            End::Clash { .. } | End::Refused(_) => "refused",
            End::NoMajority { .. } => "no-majority",
            End::Lapsed(_) => "lapsed",
            End::TermOver(_) => "term-over",
        };
        self.see(name, true);
    }

    pub(super) fn on_heard(&mut self, answer: &Answer) {
        match answer {
            Answer::Busy { blockers, .. } => {
                self.see("older-waits", blockers.iter().any(|blocker| blocker.left_us.is_none()));
                self.see("busy", true);
            }
            Answer::Stale { .. } => self.see("stale-token", true),
            Answer::Wrong { .. } => self.see("wrong-epoch", true),
            Answer::Ended { .. } => self.see("late-copy", true),
            Answer::Granted { .. } | Answer::Refused { .. } | Answer::Here(_) => {}
        }
    }

    /// A holder writes; what it writes arrives later.
    pub(super) fn on_write(&mut self, now_us: u64, lane: LaneId, token: Token, arrives_us: u64) {
        let is_valid = self.leases.iter().rev().any(|lease| {
            lease.lane == lane && lease.token == token && lease.from_us <= now_us && now_us < lease.until_us
        });
        if !is_valid {
            self.fail("act", now_us, None, format!("a write under {token:?}, which is not valid"));
        }
        self.take_writes(now_us);
        self.writes.insert((arrives_us, token, lane));
    }

    /// A voter has changed: no two of its live promises clash, and it keeps no more than it may.
    pub(super) fn on_voter(&mut self, now_us: u64, place: usize, now: Instant, voter: &Voter) {
        let live: Vec<(Token, &Terms)> = voter.live(now).map(|(token, grant)| (token, &grant.terms)).collect();
        // What a majority handed over may hold attempts that came to nothing beside a lease.
        let pairs = live.iter().enumerate().flat_map(|(at, one)| live[at + 1..].iter().map(move |other| (one, other)));
        let clashes = pairs.filter(|((one, terms), (other, others))| {
            one.attempt.lane.holder != other.attempt.lane.holder && voter.epoch().1 && terms.excludes(others)
        });
        let clashes = clashes.count();
        (0..clashes).for_each(|_| self.see("clash-handed-over", true));
        if voter.records() > live.len() + RECORDS_MAX {
            self.fail("memory", now_us, Some(place), format!("{} records for {} leases", voter.records(), live.len()));
        }
    }

    /// A node takes an epoch for the one in force: no other has that number.
    pub(super) fn on_epoch(&mut self, now_us: u64, place: usize, epoch: &Epoch, start: &Start) {
        self.see("epoch-changed", matches!(start, Start::Handed(_)));
        let (known, first) = self.epochs.entry(epoch.number).or_insert_with(|| (epoch.clone(), start.clone()));
        let (is_other, differs) = (known != epoch, first != start);
        self.see("majorities-differ", differs && !is_other);
        if is_other {
            self.fail("epoch", now_us, Some(place), format!("there are two epochs {}", epoch.number));
        }
    }

    /// A voter answers: a promise is of the epoch it votes in, and never given beside one that clashes.
    pub(super) fn on_answer(&mut self, now_us: u64, place: usize, node: &Node, answer: Option<&Answer>) {
        let Some(Answer::Granted { promise, .. }) = answer else { return };
        let promise = &promise.promise;
        let (epoch, active) = node.voter.epoch();
        let is_named = epoch.is_some_and(|epoch| {
            epoch.number == promise.epoch
                && epoch.seat(super::id(place)).is_some_and(|seat| seat.voter == promise.voter)
        });
        if !active || !is_named || node.voter.here().sealed_for.is_some() {
            self.fail("epoch", now_us, Some(place), format!("a promise in epoch {}, out of turn", promise.epoch));
        }
        let now = node.clock.read(now_us).mono;
        let mine =
            node.voter.live(now).find(|(token, _)| *token == promise.token).map(|(_, grant)| grant.terms.clone());
        let clash = node.voter.live(now).find(|(token, grant)| {
            token.attempt.lane.holder != promise.token.attempt.lane.holder
                && mine.as_ref().is_some_and(|mine| mine.excludes(&grant.terms))
        });
        if let Some((token, _)) = clash {
            let what = format!("{:?} is promised beside {token:?}", promise.token);
            self.fail("voter", now_us, Some(place), what);
        }
    }

    /// An answer leaves: a promise is durable.
    pub(super) fn on_sent(&mut self, now_us: u64, place: usize, disk: &Disk, answer: &Answer) {
        if let Answer::Granted { promise, .. } = answer
            && !disk.knows(&promise.promise)
        {
            self.fail("flush", now_us, Some(place), format!("{:?} left before it was durable", promise.promise.token));
        }
    }

    /// Hands the gate what has arrived.
    fn take_writes(&mut self, now_us: u64) {
        while let Some(&(arrives_us, token, lane)) =
            self.writes.first().filter(|(arrives_us, ..)| *arrives_us <= now_us)
        {
            self.writes.pop_first();
            let Some(lease) = self.leases.iter().find(|lease| lease.token == token && lease.lane == lane) else {
                self.fail("gate", arrives_us, None, format!("a write came under {token:?}, which nobody held"));
                continue;
            };
            let terms = lease.terms.clone();
            let holder = token.attempt.lane.holder;
            let higher = self
                .gate
                .iter()
                .any(|(taken, under)| *taken > token && taken.attempt.lane.holder != holder && under.excludes(&terms));
            self.see("gate-refused", higher);
            if higher {
                continue;
            }
            if self.gate.iter().all(|(taken, _)| taken.attempt != token.attempt) {
                self.gate.push((token, terms));
            }
        }
    }

    /// Returns the leases of other holders that clash with what a claim is for.
    fn clashing(&self, lane: LaneId, terms: &Terms) -> Vec<usize> {
        let clashes = |lease: &Lease| lease.lane.holder != lane.holder && lease.terms.excludes(terms);
        (0..self.leases.len()).filter(|at| clashes(&self.leases[*at])).collect()
    }
}
