//! The claims of one node's agents: what is asked of voters, and what has come of it.
//!
//! Nothing here is kept on disk but the number of starts, which is handed in: a node that starts anew holds nothing, and
//! what voters promised it before lapses or is taken over by a new attempt of the same holder.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::message::{Answer, Ask, Blocker, Here, Promise, Refusal, Release, SignedPromise, Terms};
use super::{Epoch, Holder, LaneId, Token};
use crate::clock::{Instant, Wall};
use crate::id::{BeadId, EntryId, NodeId};
use crate::planted::{self, Bug};

mod lane;

use lane::{Lane, Step};

/// Time between two askings where voters have not all answered; doubled while fewer than a majority do.
const POLL: Duration = Duration::from_millis(400);

/// The longest time between two askings.
const POLL_MAX: Duration = Duration::from_millis(3_200);

/// How long a claim that does not wait may take to settle a race.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// How long a claim that does not wait tries to reach a majority: a round trip over a bad path, twice.
const REACH_MAX: Duration = Duration::from_secs(2);

/// What an agent wants to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who wants it.
    pub holder: Holder,
    /// What it is for.
    pub terms: Terms,
    /// How long to try while others hold it or no majority answers.
    pub patience: Duration,
    /// How long to renew it.
    pub term: Duration,
}

/// What the driver is to do or to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Ask a voter, which may be our own.
    Send(NodeId, Ask),
    /// A claim has got its lease.
    Held(Held),
    /// The lease of a claim lasts longer now.
    Renewed {
        /// The claim.
        lane: LaneId,
        /// Until when it is valid, on this node's clock.
        until: Instant,
    },
    /// A claim has ended without a lease, or with its lease lapsed.
    Ended {
        /// The claim.
        lane: LaneId,
        /// Why.
        end: End,
    },
    /// A voter knows an epoch that is not known here: the control set is to be compared with that node.
    Catch(NodeId),
    /// The number of starts has been used before, for the store was turned back: all claims are over, and a new table is
    /// to be made with a number above this one.
    Outdated(u64),
}

/// A lease as it has just been got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The claim.
    pub lane: LaneId,
    /// The token that fences what is done under it.
    pub token: Token,
    /// Until when it is valid, on this node's clock.
    pub until: Instant,
    /// The promises it rests on.
    pub proof: Vec<SignedPromise>,
    /// The entries in which earlier holders closed beads of the scope; to be at hand before work begins.
    pub closes: BTreeSet<EntryId>,
}

/// Why a claim has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Others hold what clashes.
    Clash {
        /// Who they are; first comes who has promises of the most voters.
        blockers: Vec<Blocker>,
        /// How many voters said so: fewer than leave no majority where others are away.
        voters: usize,
    },
    /// Fewer than a majority of voters could be asked.
    NoMajority {
        /// Voters that answered.
        answered: usize,
        /// Voters there are.
        voters: usize,
        /// Why voters that answered take no part, if one said so.
        reason: Option<Refusal>,
    },
    /// Voters have refused for another reason than a clash.
    Refused(Refusal),
    /// The lease was not renewed in time, or a later one took its place.
    Lapsed(Token),
    /// The term of the claim is over.
    TermOver(Token),
}

/// The claims of the agents of one node.
#[derive(Debug, Clone)]
pub struct Claims {
    node: NodeId,
    incarnation: u64,
    /// The highest counter heard of, `None` before any voter has told one.
    counter: Option<u64>,
    epoch: Option<Epoch>,
    reachable: BTreeSet<NodeId>,
    lanes: BTreeMap<LaneId, Lane>,
    /// How many lanes each holder has had.
    begun: BTreeMap<Holder, u64>,
    orders: Vec<Order>,
}

/// Returns the number of a start, after the one that the node's disk knows of.
///
/// Voters take all that a start asked for as ended once they hear of a higher one. A disk that was lost or put back knows
/// of too low a number, and messages of later starts may still be under way; so the number is not below the clock's
/// milliseconds. Only where the disk is lost or put back and the clock as well can a start have a lower number than one
/// before it: then a voter may end, too early, what it promised to this one.
pub fn incarnation_after(known: u64, wall: Wall) -> u64 {
    let next = known.saturating_add(1);
    if planted::is(Bug::StartsForgotten) { next } else { next.max(wall.as_millis()) }
}

impl Claims {
    /// Makes the table of a node at a start with that number (`incarnation_after`), which must be durable.
    pub fn new(node: NodeId, incarnation: u64) -> Self {
        Self {
            node,
            incarnation,
            counter: None,
            epoch: None,
            reachable: BTreeSet::from([node]),
            lanes: BTreeMap::new(),
            begun: BTreeMap::new(),
            orders: Vec::new(),
        }
    }

    /// Takes what is to be done, in order.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Begins a claim.
    pub fn claim(&mut self, now: Instant, wish: Wish) -> LaneId {
        assert_eq!(wish.holder.node, self.node, "a node claims for its own agents");
        let begun = self.begun.entry(wish.holder).or_default();
        *begun += 1;
        let id = LaneId { holder: wish.holder, incarnation: self.incarnation, lane: *begun };
        let is_patient = !wish.patience.is_zero();
        self.lanes.insert(id, Lane::new(now, id, wish));
        match &self.epoch {
            Some(epoch) if !is_patient && self.reached(epoch) < epoch.quorum() => {
                let (answered, voters) = (self.reached(epoch), epoch.seats.len());
                self.step(now, id, |_, _| Step::End(End::NoMajority { answered, voters, reason: None }));
            }
            _ => self.go_on(now, id),
        }
        id
    }

    /// Lets a claim go on for so long from now; returns whether there is such a claim.
    pub fn extend(&mut self, now: Instant, lane: LaneId, term: Duration) -> bool {
        let Some(lane) = self.lanes.get_mut(&lane) else { return false };
        lane.extend(now, term);
        true
    }

    /// Ends a claim; `close` names the bead its holder has closed and the entry in which it did.
    pub fn release(&mut self, lane: LaneId, close: Option<(BeadId, EntryId)>) {
        if let Some(lane) = self.lanes.remove(&lane) {
            self.send_releases(&lane, close);
        }
    }

    /// Returns the token of a claim whose lease is valid now: to be asked before every act under it.
    pub fn valid(&self, now: Instant, lane: LaneId) -> Option<Token> {
        self.lanes.get(&lane).and_then(|lane| lane.valid(now))
    }

    /// Returns how many voters of the epoch can be asked, and how many there are.
    pub fn reach(&self) -> (usize, usize) {
        self.epoch.as_ref().map_or((0, 0), |epoch| (self.reached(epoch), epoch.seats.len()))
    }

    /// Returns the claims under way or held, with what they are for and until when they are held.
    pub fn open(&self) -> impl Iterator<Item = (LaneId, &Terms, Option<Instant>)> {
        self.lanes.iter().map(|(id, lane)| (*id, &lane.wish.terms, lane.held_until()))
    }

    /// Takes note that a node can be asked, or no longer: a claim that does not wait is told at once when it can not
    /// reach a majority.
    pub fn on_reach(&mut self, node: NodeId, is_reachable: bool) {
        if is_reachable {
            self.reachable.insert(node);
        } else if node != self.node {
            self.reachable.remove(&node);
        }
    }

    /// Takes the newest epoch: leases are renewed in it at once, and what was only tried for begins anew.
    pub fn on_epoch(&mut self, now: Instant, epoch: &Epoch) {
        if self.epoch.as_ref().is_some_and(|known| known.number >= epoch.number) {
            return;
        }
        self.epoch = Some(epoch.clone());
        for id in self.ids() {
            self.step(now, id, |lane, epoch| lane.on_epoch(now, epoch));
        }
    }

    /// Takes what a voter answered. Who is no voter of the epoch is believed nothing but that there may be a later one.
    pub fn on_answer(&mut self, now: Instant, from: NodeId, answer: Answer) {
        if let Answer::Here(Here { epoch, .. }) | Answer::Wrong { epoch, .. } = answer {
            self.catch_up(from, epoch);
        }
        let Some(seat) = self.epoch.as_ref().and_then(|epoch| epoch.seat(from)) else { return };
        match answer {
            Answer::Here(here) if here.voter == seat.voter => {
                self.learn(here.counter);
                for id in self.ids() {
                    self.step(now, id, |lane, _| lane.on_here(now));
                }
            }
            Answer::Granted { promise, closes, counter } => {
                self.learn(counter);
                let lane = promise.promise.token.attempt.lane;
                self.step(now, lane, |lane, epoch| lane.on_granted(now, epoch, from, promise, &closes));
            }
            Answer::Busy { attempt, round, blockers, counter } => {
                self.learn(counter);
                self.step(now, attempt.lane, |lane, epoch| lane.on_busy(now, epoch, from, (attempt, round), blockers));
            }
            Answer::Stale { attempt, counter } => {
                self.learn(counter);
                self.step(now, attempt.lane, |lane, epoch| lane.on_stale(epoch, from, attempt));
            }
            Answer::Ended { attempt, incarnation } => {
                if self.lanes.get(&attempt.lane).is_some_and(|lane| lane.is_trying(attempt)) {
                    self.orders.push(Order::Outdated(incarnation));
                }
            }
            Answer::Refused { attempt, reason } => {
                self.step(now, attempt.lane, |lane, epoch| lane.on_refused(now, epoch, from, attempt, reason));
            }
            Answer::Here(_) | Answer::Wrong { .. } => {}
        }
    }

    /// Does what time has come for.
    pub fn on_wakeup(&mut self, now: Instant) {
        for id in self.ids() {
            if self.lanes.get(&id).is_some_and(|lane| lane.next_wakeup() <= now) {
                self.go_on(now, id);
            }
        }
    }

    /// Returns when `on_wakeup` is due.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.lanes.values().map(Lane::next_wakeup).min()
    }

    /// Returns how many voters of an epoch can be asked.
    fn reached(&self, epoch: &Epoch) -> usize {
        epoch.seats.iter().filter(|seat| self.reachable.contains(&seat.node)).count()
    }

    fn ids(&self) -> Vec<LaneId> {
        self.lanes.keys().copied().collect()
    }

    fn learn(&mut self, counter: u64) {
        self.counter = self.counter.max(Some(counter));
    }

    fn catch_up(&mut self, from: NodeId, epoch: u64) {
        if self.epoch.as_ref().map_or(0, |known| known.number) < epoch {
            self.orders.push(Order::Catch(from));
        }
    }

    fn go_on(&mut self, now: Instant, id: LaneId) {
        self.step(now, id, |lane, epoch| lane.on_wakeup(now, epoch));
    }

    /// Lets one lane decide, and does what it decided.
    fn step(&mut self, now: Instant, id: LaneId, decide: impl FnOnce(&mut Lane, Option<&Epoch>) -> Step) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        match decide(lane, self.epoch.as_ref()) {
            Step::Nothing => {}
            Step::Ask => self.ask(now, id),
            Step::Try => self.begin_attempt(now, id),
            Step::Retry => {
                self.end_attempt(id);
                self.begin_attempt(now, id);
            }
            Step::Rest => self.end_attempt(id),
            Step::Held(held) => self.orders.push(Order::Held(held)),
            Step::Renewed(until) => self.orders.push(Order::Renewed { lane: id, until }),
            Step::End(end) => {
                self.release(id, None);
                self.orders.push(Order::Ended { lane: id, end });
            }
        }
    }

    /// Starts a new attempt with a token above all that was heard of; a node that has heard of none asks for one first.
    fn begin_attempt(&mut self, now: Instant, id: LaneId) {
        let (Some(lane), Some(epoch)) = (self.lanes.get_mut(&id), &self.epoch) else { return };
        let Some(counter) = self.counter else {
            lane.note_probe(now);
            self.orders.extend(epoch.seats.iter().map(|seat| Order::Send(seat.node, Ask::Probe)));
            return;
        };
        let counter = counter.saturating_add(1);
        lane.begin_attempt(counter);
        self.counter = Some(counter);
        self.ask(now, id);
    }

    /// Begins a round: the time a lease lasts counts from here.
    fn ask(&mut self, now: Instant, id: LaneId) {
        let lanes_from = self.lanes_from(id.holder);
        let (Some(lane), Some(epoch)) = (self.lanes.get_mut(&id), &self.epoch) else { return };
        let ask = lane.begin_round(now, epoch, lanes_from);
        let sends = epoch.seats.iter().map(|seat| Order::Send(seat.node, Ask::Acquire(Box::new(ask.clone()))));
        self.orders.extend(sends);
    }

    fn end_attempt(&mut self, id: LaneId) {
        let Some(mut lane) = self.lanes.remove(&id) else { return };
        self.send_releases(&lane, None);
        lane.forget_attempt();
        self.lanes.insert(id, lane);
    }

    /// Tells every voter that an attempt of a lane, which acts no more, has ever been sent to.
    fn send_releases(&mut self, lane: &Lane, close: Option<(BeadId, EntryId)>) {
        let Some(token) = lane.token else { return };
        let release = Release { token, lanes_from: self.lanes_from(lane.id.holder).min(lane.id.lane), close };
        self.orders.extend(lane.asked.iter().map(|node| Order::Send(*node, Ask::Release(release.clone()))));
    }

    /// Returns the lowest lane of the holder that is open, or the next it will open.
    fn lanes_from(&self, holder: Holder) -> u64 {
        let first = LaneId { holder, incarnation: self.incarnation, lane: 0 };
        let open = self.lanes.range(first..).next().filter(|(id, _)| id.holder == holder);
        open.map_or_else(|| self.begun.get(&holder).map_or(1, |begun| begun + 1), |(id, _)| id.lane)
    }
}

/// Returns whether a promise is one for this attempt in this epoch, by the voter that sits at that node.
fn is_for(promise: &Promise, token: Token, epoch: &Epoch, from: NodeId) -> bool {
    (promise.token, promise.epoch) == (token, epoch.number)
        && epoch.seat(from).is_some_and(|seat| seat.voter == promise.voter)
}

#[cfg(test)]
mod tests;
