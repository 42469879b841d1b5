//! One claim: tries until it holds or gives up, renews while its term runs, and stops at once when its time is over.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{End, Held, POLL, POLL_MAX, REACH_MAX, SETTLE_MAX, Wish, is_for};
use crate::clock::Instant;
use crate::id::{EntryId, NodeId};
use crate::lease::message::{Acquire, Blocker, Refusal, SignedPromise};
use crate::lease::span::validity;
use crate::lease::{Attempt, Birth, Epoch, LaneId, Token};
use crate::planted::{self, Bug};

/// The first pause after an attempt that gave way; doubled with each, five times at most.
const REST: Duration = Duration::from_millis(40);

/// Rounds after which an attempt gives way to an older claim although it can not tell that a majority is out of reach.
const STUCK_ROUNDS: u64 = 3;

/// Rounds that are open at a time: what takes longer than so many polls comes too late.
const ROUNDS_OPEN: u64 = 8;

/// The BLAKE3 context under which pauses are drawn from attempts.
const REST_CONTEXT: &str = "beadmesh 2026 lease pause v1";

/// The state of one claim.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) wish: Wish,
    /// The token of the attempt under way, or of the last one.
    pub(super) token: Option<Token>,
    /// Every node that the attempt has been sent to.
    pub(super) asked: BTreeSet<NodeId>,
    birth: Option<Birth>,
    stage: Stage,
    began: Instant,
    term_until: Instant,
    seq: u64,
    round: u64,
    /// When to ask again.
    poll_at: Instant,
    /// Voters that answered since the last round began, and rounds in a row in which fewer than a majority did.
    heard: BTreeSet<NodeId>,
    unheard: u32,
    /// Attempts that gave way to older claims.
    deaths: u32,
    /// The last rounds. A promise may take longer than the time between two, so several are open at a time.
    rounds: BTreeMap<u64, Round>,
    /// What each voter said last, and to which round.
    said: BTreeMap<NodeId, (u64, Said)>,
    /// The promises that the lease rests on.
    proof: Vec<SignedPromise>,
    closes: BTreeSet<EntryId>,
}

/// One asking of all voters.
#[derive(Debug, Clone)]
struct Round {
    /// When it began: a lease that it brings lasts from then.
    sent: Instant,
    votes: BTreeMap<NodeId, SignedPromise>,
}

/// What a voter said to an attempt.
#[derive(Debug, Clone)]
enum Said {
    Granted,
    Busy(Vec<Blocker>),
    Refused(Refusal),
}

/// How far a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No attempt is under way; the next one is due at that time.
    Idle(Instant),
    /// An attempt asks for promises.
    Trying,
    /// The lease is valid until then.
    Held(Instant),
}

/// What a lane decides.
#[derive(Debug)]
pub(super) enum Step {
    /// To wait.
    Nothing,
    /// To begin a round.
    Ask,
    /// To begin an attempt.
    Try,
    /// To end the attempt and begin another.
    Retry,
    /// To end the attempt and wait a while.
    Rest,
    /// The lease is there.
    Held(Held),
    /// The lease lasts until then.
    Renewed(Instant),
    /// The claim is over.
    End(End),
}

impl Lane {
    pub(super) fn new(now: Instant, id: LaneId, wish: Wish) -> Self {
        Self {
            id,
            term_until: now.after(wish.term),
            wish,
            token: None,
            asked: BTreeSet::new(),
            birth: None,
            stage: Stage::Idle(now),
            began: now,
            seq: 0,
            round: 0,
            poll_at: now,
            heard: BTreeSet::new(),
            unheard: 0,
            deaths: 0,
            rounds: BTreeMap::new(),
            said: BTreeMap::new(),
            proof: Vec::new(),
            closes: BTreeSet::new(),
        }
    }

    pub(super) fn extend(&mut self, now: Instant, term: Duration) {
        self.wish.term = term;
        self.term_until = now.after(term);
    }

    pub(super) fn valid(&self, now: Instant) -> Option<Token> {
        self.held_until().filter(|until| now < *until).and(self.token)
    }

    pub(super) fn held_until(&self) -> Option<Instant> {
        if let Stage::Held(until) = self.stage { Some(until) } else { None }
    }

    pub(super) fn is_trying(&self, attempt: Attempt) -> bool {
        self.stage == Stage::Trying && self.token.is_some_and(|token| token.attempt == attempt)
    }

    pub(super) fn next_wakeup(&self) -> Instant {
        match self.stage {
            Stage::Idle(at) => at.min(self.gives_up_at()),
            Stage::Trying => self.poll_at.min(self.gives_up_at()),
            Stage::Held(until) => self.poll_at.min(until).min(self.term_until),
        }
    }

    /// Does what time has come for.
    pub(super) fn on_wakeup(&mut self, now: Instant, epoch: Option<&Epoch>) -> Step {
        if let Stage::Held(until) = self.stage {
            return match self.token {
                Some(token) if now >= until => Step::End(End::Lapsed(token)),
                Some(token) if now >= self.term_until => Step::End(End::TermOver(token)),
                _ if now >= self.poll_at => Step::Ask,
                _ => Step::Nothing,
            };
        }
        let Some(epoch) = epoch else {
            return Step::End(End::NoMajority { answered: 0, voters: 0, reason: None });
        };
        if now >= self.gives_up_at() {
            return Step::End(self.outcome(epoch));
        }
        match self.stage {
            Stage::Idle(at) if now >= at => Step::Try,
            Stage::Trying if now >= self.poll_at => {
                if self.said.len() < epoch.quorum() && now >= self.began.after(REACH_MAX.max(self.wish.patience)) {
                    return Step::End(self.outcome(epoch));
                }
                // Voters that are away say nothing, so a split of the others may never show as more than half.
                let is_stuck = self.round >= STUCK_ROUNDS && self.meets_older() && !planted::is(Bug::SplitsStay);
                if is_stuck { self.give_way(now) } else { Step::Ask }
            }
            _ => Step::Nothing,
        }
    }

    /// Goes over to a new epoch: a lease is renewed there, an attempt dies with its epoch.
    pub(super) fn on_epoch(&mut self, now: Instant, epoch: Option<&Epoch>) -> Step {
        self.rounds.clear();
        self.said.clear();
        match self.stage {
            Stage::Held(until) if now < until => Step::Ask,
            Stage::Held(_) => self.on_wakeup(now, epoch),
            Stage::Trying if planted::is(Bug::AttemptSurvives) => Step::Ask,
            Stage::Trying => Step::Retry,
            Stage::Idle(_) => Step::Nothing,
        }
    }

    /// A voter has told the highest counter: a claim that waited for one can begin.
    pub(super) fn on_here(&mut self, now: Instant) -> Step {
        if matches!(self.stage, Stage::Idle(_)) && self.birth.is_none() {
            self.stage = Stage::Idle(now);
            return Step::Try;
        }
        Step::Nothing
    }

    /// Counts a promise; a majority of one round is a lease from the time that the round began.
    pub(super) fn on_granted(
        &mut self,
        now: Instant,
        epoch: Option<&Epoch>,
        from: NodeId,
        promise: SignedPromise,
        closes: &[EntryId],
    ) -> Step {
        let (Some(epoch), Some(token)) = (epoch, self.token) else { return Step::Nothing };
        let is_open = match self.stage {
            Stage::Idle(_) => false,
            Stage::Trying => true,
            Stage::Held(until) => now < until,
        };
        let number = promise.promise.round;
        if !is_open || !is_for(&promise.promise, token, epoch, from) || !self.rounds.contains_key(&number) {
            return Step::Nothing;
        }
        self.note(from, number, Said::Granted);
        let round = self.rounds.get_mut(&number).expect("the round is open");
        round.votes.insert(from, promise);
        let counts_from = if planted::is(Bug::FromTheReply) { now } else { round.sent };
        let until = counts_from.after(validity(epoch.hold()));
        if planted::is(Bug::RoundsAdded) {
            let all: Vec<_> = self.rounds.values().flat_map(|round| round.votes.clone()).collect();
            self.rounds.get_mut(&number).expect("the round is open").votes.extend(all);
        }
        let round = &self.rounds[&number];
        self.closes.extend(closes);
        if round.votes.len() < epoch.quorum() || until <= now {
            return self.after_answer(now, epoch);
        }
        self.proof = round.votes.values().cloned().collect();
        match self.stage {
            Stage::Held(before) => {
                self.stage = Stage::Held(before.max(until));
                self.poll_at = self.renews_from(Some(epoch), before.max(until));
                if until > before { Step::Renewed(until) } else { Step::Nothing }
            }
            Stage::Idle(_) | Stage::Trying => {
                self.stage = Stage::Held(until);
                self.poll_at = self.renews_from(Some(epoch), until);
                let (proof, closes) = (self.proof.clone(), self.closes.clone());
                Step::Held(Held { lane: self.id, token, until, proof, closes })
            }
        }
    }

    /// Takes note of who is in the way at one voter.
    pub(super) fn on_busy(
        &mut self,
        now: Instant,
        epoch: Option<&Epoch>,
        from: NodeId,
        (attempt, round): (Attempt, u64),
        blockers: Vec<Blocker>,
    ) -> Step {
        let Some(epoch) = epoch.filter(|epoch| epoch.seat(from).is_some()) else { return Step::Nothing };
        let is_this = self.is_trying(attempt) && self.rounds.contains_key(&round);
        if !is_this || blockers.is_empty() {
            return Step::Nothing;
        }
        self.note(from, round, Said::Busy(blockers));
        if self.busy().count() <= epoch.seats.len() - epoch.quorum() {
            return self.after_answer(now, epoch);
        }
        if self.patience_is_over(now) && self.is_held_by_other(epoch) {
            return Step::End(self.outcome(epoch));
        }
        if self.meets_older() { self.give_way(now) } else { self.after_answer(now, epoch) }
    }

    /// A later lease of somebody else has been at that voter: an attempt needs a higher token.
    ///
    /// A lease stands all the same. That voter may have been away and have dropped its record; if a majority says so,
    /// the lease lapses.
    pub(super) fn on_stale(&mut self, epoch: Option<&Epoch>, from: NodeId, attempt: Attempt) -> Step {
        let is_voter = epoch.is_some_and(|epoch| epoch.seat(from).is_some());
        let is_this = self.token.is_some_and(|token| token.attempt == attempt);
        if is_voter && is_this && self.stage == Stage::Trying { Step::Retry } else { Step::Nothing }
    }

    pub(super) fn on_refused(
        &mut self,
        now: Instant,
        epoch: Option<&Epoch>,
        from: NodeId,
        attempt: Attempt,
        reason: Refusal,
    ) -> Step {
        let Some(epoch) = epoch.filter(|epoch| epoch.seat(from).is_some()) else { return Step::Nothing };
        if !self.is_trying(attempt) {
            return Step::Nothing;
        }
        self.note(from, self.round, Said::Refused(reason));
        // A seal is over as soon as the next epoch is known here.
        let lasting = self.refusals().filter(|reason| *reason != Refusal::Sealed).count();
        let blocked = lasting > epoch.seats.len() - epoch.quorum();
        if blocked && self.patience_is_over(now) {
            Step::End(self.outcome(epoch))
        } else {
            self.after_answer(now, epoch)
        }
    }

    /// Makes the token of a new attempt.
    pub(super) fn begin_attempt(&mut self, counter: u64) {
        self.seq += 1;
        self.token = Some(Token { counter, attempt: Attempt { lane: self.id, seq: self.seq } });
        self.birth.get_or_insert(Birth { counter, holder: self.id.holder });
        self.stage = Stage::Trying;
        (self.round, self.unheard) = (0, 0);
        self.rounds.clear();
        self.said.clear();
    }

    /// Makes the wish of a new round.
    pub(super) fn begin_round(&mut self, now: Instant, epoch: &Epoch, lanes_from: u64) -> Acquire {
        let token = self.token.expect("a round belongs to an attempt");
        let birth = self.birth.expect("an attempt has an age");
        if self.round > 0 {
            self.unheard = if self.heard.len() < epoch.quorum() { self.unheard + 1 } else { 0 };
        }
        self.round += 1;
        self.heard.clear();
        let oldest = self.round.saturating_sub(ROUNDS_OPEN);
        self.rounds.retain(|number, _| *number > oldest);
        self.said.retain(|_, (number, _)| *number > oldest);
        self.rounds.insert(self.round, Round { sent: now, votes: BTreeMap::new() });
        self.poll_at = now.after(POLL.saturating_mul(1 << self.unheard.min(8)).min(POLL_MAX));
        self.asked.extend(epoch.seats.iter().map(|seat| seat.node));
        Acquire {
            token,
            lanes_from,
            round: self.round,
            epoch: epoch.number,
            terms: self.wish.terms.clone(),
            birth,
            held_by: if self.held_until().is_some() { self.proof.clone() } else { Vec::new() },
        }
    }

    /// Takes note that voters were asked what they know.
    pub(super) fn note_probe(&mut self, now: Instant) {
        self.stage = Stage::Idle(now.after(POLL));
    }

    /// Forgets the attempt that has been released.
    pub(super) fn forget_attempt(&mut self) {
        if self.stage == Stage::Trying {
            self.stage = Stage::Idle(self.began);
        }
        self.token = None;
        self.asked.clear();
        self.rounds.clear();
    }

    /// Asks again soon once every voter has answered and nothing is decided: who is in the way may have gone.
    fn after_answer(&mut self, now: Instant, epoch: &Epoch) -> Step {
        if self.stage == Stage::Trying && self.heard.len() == epoch.seats.len() {
            let soon = REST.saturating_mul(1 << self.round.min(4)).min(POLL);
            self.poll_at = self.poll_at.min(now.after(soon));
        }
        Step::Nothing
    }

    /// Takes note of what a voter said, unless it has answered a later round.
    fn note(&mut self, from: NodeId, round: u64, said: Said) {
        self.heard.insert(from);
        if self.said.get(&from).is_none_or(|(known, _)| *known <= round) {
            self.said.insert(from, (round, said));
        }
    }

    /// Returns who is in the way at each voter that said so last.
    fn busy(&self) -> impl Iterator<Item = &Vec<Blocker>> {
        self.said.values().filter_map(|(_, said)| if let Said::Busy(blockers) = said { Some(blockers) } else { None })
    }

    /// Returns why voters that said so last take no part.
    fn refusals(&self) -> impl Iterator<Item = Refusal> {
        self.said.values().filter_map(|(_, said)| if let Said::Refused(reason) = said { Some(*reason) } else { None })
    }

    /// Returns whether an older claim is in the way somewhere.
    fn meets_older(&self) -> bool {
        self.busy().flatten().any(|blocker| Some(blocker.birth) < self.birth)
    }

    /// Ends the attempt so that an older claim gets its votes.
    fn give_way(&mut self, now: Instant) -> Step {
        self.stage = Stage::Idle(now.after(self.rest()));
        self.deaths += 1;
        Step::Rest
    }

    fn patience_is_over(&self, now: Instant) -> bool {
        now >= self.began.after(self.wish.patience)
    }

    /// Returns when a claim without a lease is given up: when the wait is over, but not amid a race.
    fn gives_up_at(&self) -> Instant {
        let reached = if self.birth.is_some() { SETTLE_MAX } else { REACH_MAX };
        self.began.after(self.wish.patience.max(reached)).min(self.term_until)
    }

    /// Returns whether one attempt has promises of a majority, so that waiting for it to give way is idle.
    fn is_held_by_other(&self, epoch: &Epoch) -> bool {
        let mut voters: BTreeMap<Attempt, usize> = BTreeMap::new();
        for blocker in self.busy().flatten().filter(|blocker| blocker.left_us.is_some()) {
            *voters.entry(blocker.token.attempt).or_default() += 1;
        }
        voters.values().any(|count| *count >= epoch.quorum())
    }

    /// Says how a claim without a lease has ended.
    fn outcome(&self, epoch: &Epoch) -> End {
        let mut blockers: BTreeMap<Token, (usize, Blocker)> = BTreeMap::new();
        for blocker in self.busy().flatten() {
            let (promises, known) = blockers.entry(blocker.token).or_insert_with(|| (0, blocker.clone()));
            *promises += usize::from(blocker.left_us.is_some());
            known.left_us = known.left_us.max(blocker.left_us);
        }
        if !blockers.is_empty() {
            let mut blockers: Vec<(usize, Blocker)> = blockers.into_values().collect();
            // One that lost the race has promises, too, but not of a majority.
            blockers.sort_by_key(|(promises, blocker)| (Reverse(*promises), blocker.birth));
            let blockers = blockers.into_iter().map(|(_, blocker)| blocker).collect();
            return End::Clash { blockers, voters: self.busy().count() };
        }
        let reason = self.refusals().max_by_key(|reason| match reason {
            Refusal::HolderFull | Refusal::VoterFull => 3,
            Refusal::Starting { .. } => 2,
            Refusal::Sealed => 1,
            Refusal::CounterJump | Refusal::Malformed => 0,
        });
        match reason {
            Some(reason @ (Refusal::HolderFull | Refusal::VoterFull)) => End::Refused(reason),
            reason => End::NoMajority { answered: self.said.len(), voters: epoch.seats.len(), reason },
        }
    }

    /// Returns when to begin renewing a lease that lasts until then.
    fn renews_from(&self, epoch: Option<&Epoch>, until: Instant) -> Instant {
        let half = epoch.map_or(Duration::ZERO, |epoch| validity(epoch.hold()) / 2);
        Instant::from_micros(until.as_micros().saturating_sub(u64::try_from(half.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Returns how long to rest after giving way: longer each time, and not alike for two claims.
    fn rest(&self) -> Duration {
        let bytes = postcard::to_stdvec(&(self.id, self.seq)).expect("attempts have a postcard form");
        let hash = blake3::derive_key(REST_CONTEXT, &bytes);
        let draw = u64::from(u16::from_le_bytes([hash[0], hash[1]]));
        let window = REST.saturating_mul(1 << self.deaths.min(5));
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros / 2 + micros * draw / (1 << 17))
    }
}
