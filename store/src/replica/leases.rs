//! The claims of this node's agents: asked for, held, lost and got back.
//!
//! A claim that is to be held is kept on disk, so that it is got back after a restart; its lease is not, for a node that
//! starts anew holds nothing. What has come of a claim is said to the mesh as entries, to its agent as system letters, and
//! to who watches as events.

use std::collections::BTreeMap;
use std::time::Duration;

use beadmesh_protocol::claim::{Claim, Fence, Unclaim, Why};
use beadmesh_protocol::clock::{Instant, Wall};
use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, EntryId, NodeId, VoterId};
use beadmesh_protocol::lease::holder::{Order, Wish, incarnation_after};
use beadmesh_protocol::lease::message::Refusal;
use beadmesh_protocol::lease::{Answer, Ask, Claims, Epoch, Holder, LaneId, Message, Token};
use beadmesh_protocol::op::Op;
use serde::{Deserialize, Serialize};

use super::{Replica, RequestId, random};
use crate::command::CommandError;
use crate::keys;
use crate::stage::{Stage, StoreError};

mod given_up;
mod held;
mod news;
mod outcome;
mod voters;

use given_up::GivenUp;
pub use held::HeldLease;
pub(super) use news::News;
use voters::Choice;

/// Time after which a claim without a lease is tried again, should nothing else give a reason to.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How far above that of a start the number of an earlier one may lie, which is forgotten: that of a clock, in milliseconds,
/// that was a hundred years ahead.
const INCARNATION_JUMP_MAX: u64 = 1 << 42;

/// Least time between two comparisons with one node that knows of a later epoch: each has it send anew what is under way.
const CATCH_PAUSE: Duration = Duration::from_secs(2);

/// What is kept of a claim that is to be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    claim: Claim,
    /// Until when its agent means to hold it.
    until: Wall,
    /// Whether it had a lease, so that being without one is a loss.
    was_held: bool,
}

/// One claim of an agent of this node.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) holder: Holder,
    pub(super) claim: Claim,
    /// Until when its agent means to hold it.
    pub(super) until: Wall,
    pub(super) state: State,
    /// Whether the mesh has been told of it.
    published: bool,
    /// The lane in which it is asked for or held.
    lane: Option<LaneId>,
    /// Who waits for an answer.
    asked_by: Option<RequestId>,
    /// When it is to be tried again.
    retry_at: Option<Instant>,
    /// Letters that its agent was written about others who claim what clashes.
    contests_told: usize,
}

/// How a claim of this node stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It is asked for, for the first time.
    Asking,
    /// It has a lease.
    Held { token: Token, until: Instant },
    /// No majority could be asked.
    Tentative { reached: usize, voters: usize, reason: Option<Refusal> },
    /// It had a lease.
    Lapsed {
        since: Wall,
        /// Whether its agent has been told.
        told: bool,
    },
}

/// The claims of this node's agents, and the voters that are being chosen here.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// What is asked of voters; none before the first claim since the node has started.
    machine: Option<Claims>,
    own: BTreeMap<ClaimId, Own>,
    lanes: BTreeMap<LaneId, ClaimId>,
    given_up: BTreeMap<ClaimId, GivenUp>,
    choice: Option<Choice>,
    /// When sets were last compared with a node because it knows of a later epoch.
    caught_up: BTreeMap<NodeId, Instant>,
}

impl Leases {
    /// Goes on with the claims that a store holds: each is to be got back.
    pub(super) fn open(stage: &Stage, node: NodeId, now: (Instant, Wall)) -> Result<Self, StoreError> {
        let mut leases = Self::default();
        for (_, Kept { claim, until, was_held }) in stage.records::<Kept>(keys::OWN_CLAIMS)? {
            let state = match was_held {
                true => State::Lapsed { since: now.1, told: false },
                false => State::Tentative { reached: 0, voters: 0, reason: None },
            };
            let own = Own { until, published: true, retry_at: Some(now.0), ..Own::new(node, claim, state) };
            leases.own.insert(own.claim.id(node), own);
        }
        Ok(leases)
    }

    /// Returns a claim of this node.
    pub(super) fn own(&self, id: ClaimId) -> Option<&Own> {
        self.own.get(&id)
    }

    /// Returns every claim of this node that is not over.
    pub(super) fn all(&self) -> impl Iterator<Item = (ClaimId, &Own)> {
        self.own.iter().map(|(id, own)| (*id, own))
    }

    /// Takes who waits for an answer about a claim.
    pub(super) fn take_asker(&mut self, id: ClaimId) -> Option<RequestId> {
        self.own.get_mut(&id)?.asked_by.take()
    }

    /// Returns when something is due.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        let retry = self.own.values().filter_map(|own| own.retry_at).min();
        let machine = self.machine.as_ref().and_then(Claims::next_wakeup);
        let choice = self.choice.as_ref().map(Choice::deadline);
        [retry, machine, choice].into_iter().flatten().min()
    }

    fn keep(&self, stage: &mut Stage, id: ClaimId) {
        let Some(own) = self.own.get(&id).filter(|own| own.published) else { return };
        let was_held = matches!(own.state, State::Held { .. } | State::Lapsed { .. });
        stage.put_record(keys::own_claim(id), &Kept { claim: own.claim.clone(), until: own.until, was_held });
    }
}

impl Own {
    /// Makes a claim of an agent of the node, which nobody has heard of.
    fn new(node: NodeId, claim: Claim, state: State) -> Self {
        let holder = Holder { node, agent: claim.agent };
        let (published, lane, asked_by, retry_at) = (false, None, None, None);
        Self { holder, until: claim.until, state, published, lane, asked_by, retry_at, contests_told: 0, claim }
    }

    /// Returns the token of a lease that is valid now.
    pub(super) fn valid(&self, now: Instant) -> Option<Token> {
        match self.state {
            State::Held { token, until } if now < until => Some(token),
            _ => None,
        }
    }

    /// Returns the bead that the claim is for.
    pub(super) fn bead(&self) -> Option<BeadId> {
        self.claim.terms.scope.beads().first().copied()
    }
}

impl Replica {
    /// Leaves all claims behind, as the mesh is that they were made in.
    pub(super) fn leave_leases(&mut self) -> Result<(), StoreError> {
        for prefix in [keys::OWN_CLAIMS, keys::NEWS] {
            for key in self.stage.keys(prefix)? {
                self.stage.delete(key);
            }
        }
        let leases = std::mem::take(&mut self.leases);
        let hint = "claim it there".to_owned();
        let gone = CommandError::Conflict { problem: "this node has entered another mesh".to_owned(), hint };
        let choosing = leases.choice.as_ref().map(Choice::asked_by);
        for request in leases.own.into_values().filter_map(|own| own.asked_by).chain(choosing) {
            self.refuse_claim(Some(request), gone.clone());
        }
        self.claims.clear(&mut self.stage)?;
        let fresh = VoterId::from_bytes(random(&mut self.rng));
        self.voting.replace(&mut self.stage, self.entries.node(), fresh)
    }

    /// Begins a claim that this node has not got yet; whoever asked is answered once it is decided.
    pub(super) fn begin_claim(
        &mut self,
        claim: Claim,
        wait: Duration,
        asked_by: Option<RequestId>,
    ) -> Result<ClaimId, StoreError> {
        let id = self.note_own(claim, asked_by);
        self.seek(id, wait)?;
        Ok(id)
    }

    /// Makes a claim tentative without asking anybody.
    pub(super) fn claim_offline(&mut self, claim: Claim) -> Result<ClaimId, StoreError> {
        let id = self.note_own(claim, None);
        let voters = self.mesh.epoch().0.seats.len();
        self.make_tentative(id, (self.voters_in_reach(), voters), None)?;
        Ok(id)
    }

    fn note_own(&mut self, claim: Claim, asked_by: Option<RequestId>) -> ClaimId {
        let node = self.entries.node();
        let id = claim.id(node);
        self.leases.own.insert(id, Own { asked_by, ..Own::new(node, claim, State::Asking) });
        id
    }

    /// Asks the voters for the lease of a claim.
    fn seek(&mut self, id: ClaimId, wait: Duration) -> Result<(), StoreError> {
        self.ensure_machine()?;
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        own.retry_at = None;
        let term = wall.until(own.until);
        let wish = Wish { holder: own.holder, terms: own.claim.terms.clone(), patience: wait, term };
        let machine = self.leases.machine.as_mut().expect("just ensured");
        let lane = machine.claim(now, wish);
        own.lane = Some(lane);
        self.leases.lanes.insert(lane, id);
        self.follow_leases()
    }

    /// Makes the table of claims, at a start with a number that was never used before.
    fn ensure_machine(&mut self) -> Result<(), StoreError> {
        if self.leases.machine.is_some() {
            return Ok(());
        }
        let incarnation = self.stage.record::<u64>(keys::INCARNATION)?.unwrap_or(0);
        self.make_machine(incarnation_after(incarnation, self.now.wall));
        Ok(())
    }

    fn make_machine(&mut self, incarnation: u64) {
        self.stage.put_record(keys::INCARNATION.to_vec(), &incarnation);
        let mut machine = Claims::new(self.entries.node(), incarnation);
        for node in self.links.nodes() {
            machine.on_reach(node, true);
        }
        machine.on_epoch(self.now.mono, self.mesh.epoch().0);
        self.leases.machine = Some(machine);
    }

    /// Does what the table of claims orders.
    pub(super) fn follow_leases(&mut self) -> Result<(), StoreError> {
        let here = self.entries.node();
        loop {
            let orders = self.leases.machine.as_mut().map(Claims::take_orders).unwrap_or_default();
            if orders.is_empty() {
                return Ok(());
            }
            for order in orders {
                match order {
                    Order::Send(node, ask) if node == here => self.ask_own_voter(ask)?,
                    Order::Send(node, ask) => self.say(node, Message::Ask(ask)),
                    Order::Held(held) => self.on_held(held)?,
                    Order::Renewed { lane, until } => self.on_renewed(lane, until),
                    Order::Ended { lane, end } => self.on_lane_ended(lane, end)?,
                    Order::Catch(node) => self.compare_with(node)?,
                    Order::Outdated(known) => self.begin_lanes_anew(known)?,
                }
            }
        }
    }

    /// Asks the voter of this node: its answer counts at once, for nothing leaves before both are durable.
    fn ask_own_voter(&mut self, ask: Ask) -> Result<(), StoreError> {
        let (here, now) = (self.entries.node(), self.now.mono);
        if let Some(answer) = self.vote(here, ask)?
            && let Some(machine) = &mut self.leases.machine
        {
            machine.on_answer(now, here, answer);
        }
        Ok(())
    }

    /// Takes what a member says about leases.
    pub(super) fn on_lease_message(&mut self, from: NodeId, message: Message) -> Result<(), StoreError> {
        if !self.mesh.roster().members.contains_key(&from) {
            return Ok(());
        }
        match message {
            Message::Ask(ask) => {
                if let Some(answer) = self.vote(from, ask)? {
                    self.say(from, Message::Answer(answer));
                }
                Ok(())
            }
            Message::Answer(answer) => {
                if let Answer::Here(here) = &answer {
                    self.learn_from_voter(from, here);
                    self.on_voter_here(from, here)?;
                }
                if let Some(machine) = &mut self.leases.machine {
                    machine.on_answer(self.now.mono, from, answer);
                }
                self.follow_leases()
            }
        }
    }

    /// Takes note that a member can be asked, or no longer.
    pub(super) fn on_reach(&mut self, node: NodeId, is_reachable: bool) -> Result<(), StoreError> {
        let is_voter = self.mesh.epoch().0.seat(node).is_some();
        if let Some(machine) = &mut self.leases.machine {
            machine.on_reach(node, is_reachable);
        }
        if is_reachable && is_voter {
            let now = self.now.mono;
            for own in self.leases.own.values_mut().filter(|own| own.retry_at.is_some()) {
                own.retry_at = Some(now);
            }
            if self.voting.quiet_until(now).is_some() {
                // What this voter may have forgotten, others know.
                self.say(node, Message::Ask(Ask::Probe));
            }
        }
        Ok(())
    }

    /// Goes over to the epoch in force.
    pub(super) fn on_epoch(&mut self, epoch: &Epoch) -> Result<(), StoreError> {
        let now = self.now.mono;
        if let Some(machine) = &mut self.leases.machine {
            machine.on_epoch(now, epoch);
        }
        self.on_choice_in_force(epoch)?;
        self.follow_leases()
    }

    /// Does what time has come for.
    pub(super) fn on_leases_due(&mut self) -> Result<(), StoreError> {
        let now = self.now.mono;
        if self.seals_at().is_none() && self.mesh.succession().proposed(self.mesh.epoch().0).is_some() {
            self.follow_epochs()?;
        }
        if let Some(machine) = &mut self.leases.machine {
            machine.on_wakeup(now);
            self.follow_leases()?;
        }
        let due = |own: &Own| own.retry_at.is_some_and(|at| at <= now);
        let due: Vec<ClaimId> = self.leases.own.iter().filter(|(_, own)| due(own)).map(|(id, _)| *id).collect();
        for id in due {
            self.retry(id)?;
        }
        self.on_choice_due()
    }

    /// Tries again to get a lease for a claim that has none.
    fn retry(&mut self, id: ClaimId) -> Result<(), StoreError> {
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        if own.until <= wall {
            return self.end_claim(id, Why::Expired);
        }
        if !self.config.votes {
            own.retry_at = None;
            return Ok(());
        }
        own.retry_at = Some(now.after(RETRY_INTERVAL));
        if own.lane.is_none() { self.seek(id, Duration::ZERO) } else { Ok(()) }
    }

    /// Ends the claims of an agent that acts no more.
    pub(super) fn end_claims_of(&mut self, agent: AgentId) -> Result<(), StoreError> {
        let own = self.leases.own.iter().filter(|(_, own)| own.claim.agent == agent);
        let ids: Vec<ClaimId> = own.map(|(id, _)| *id).collect();
        ids.into_iter().try_for_each(|id| self.end_claim(id, Why::Done))
    }

    /// Ends a claim, whatever it stands at.
    pub(super) fn end_claim(&mut self, id: ClaimId, why: Why) -> Result<(), StoreError> {
        self.end_claim_by(id, why, None)
    }

    /// Ends a claim whose agent has closed the bead, in an entry that the next holder is to know of.
    pub(super) fn end_claim_by(
        &mut self,
        id: ClaimId,
        why: Why,
        close: Option<(BeadId, EntryId)>,
    ) -> Result<(), StoreError> {
        let Some(own) = self.leases.own.get(&id) else { return Ok(()) };
        if own.published {
            if why != Why::Yielded {
                self.tell_watchers(id, word_of(why), None)?;
            }
            self.author(vec![Op::Unclaim(Unclaim { claim: id, why }).encode()])?;
        }
        self.drop_claim(id, why, close)
    }

    /// Forgets a claim that is over; who still waits for an answer about it is told so.
    fn drop_claim(&mut self, id: ClaimId, why: Why, close: Option<(BeadId, EntryId)>) -> Result<(), StoreError> {
        self.stage.delete(keys::own_claim(id));
        let Some(own) = self.leases.own.remove(&id) else { return Ok(()) };
        let hint = "claim it anew, should it be needed still".to_owned();
        let over = CommandError::Conflict { problem: format!("the claim has ended: {}", word_of(why)), hint };
        self.refuse_claim(own.asked_by, over);
        if let Some(lane) = own.lane {
            self.leases.lanes.remove(&lane);
            if let Some(machine) = &mut self.leases.machine {
                machine.release(lane, close);
            }
        }
        self.follow_leases()
    }

    /// Lets a claim run until another time.
    pub(super) fn extend_claim(&mut self, id: ClaimId, until: Wall) -> Result<(), StoreError> {
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        own.until = until;
        if let (Some(lane), Some(machine)) = (own.lane, &mut self.leases.machine) {
            machine.extend(now, lane, wall.until(until));
        }
        let state = own.state.clone();
        self.leases.keep(&mut self.stage, id);
        if let State::Held { token, .. } = state {
            let fence = Fence { claim: id, token, until, closes: Vec::new(), proof: Vec::new() };
            self.author(vec![Op::Fence(Box::new(fence)).encode()])?;
        }
        Ok(())
    }

    /// Tries at once to get a lease for a claim that has none, for somebody who waits.
    pub(super) fn seek_again(
        &mut self,
        id: ClaimId,
        wait: Duration,
        asked_by: Option<RequestId>,
    ) -> Result<(), StoreError> {
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        let before = std::mem::replace(&mut own.asked_by, asked_by);
        let is_idle = own.lane.is_none();
        let hint = "wait for the answer to that one".to_owned();
        let again = CommandError::Conflict { problem: "the agent has asked for it again".to_owned(), hint };
        self.refuse_claim(before, again);
        if is_idle { self.seek(id, wait) } else { Ok(()) }
    }

    /// Says to the mesh that a claim is made, and by which lease if by any.
    fn publish(&mut self, id: ClaimId, fence: Option<Fence>) -> Result<(), StoreError> {
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        let mut ops = Vec::new();
        if !std::mem::replace(&mut own.published, true) {
            ops.push(Op::Claim(Box::new(own.claim.clone())).encode());
        }
        let (bead, agent) = (own.bead(), own.claim.agent);
        ops.extend(fence.map(|fence| Op::Fence(Box::new(fence)).encode()));
        self.leases.keep(&mut self.stage, id);
        if let Some(bead) = bead {
            ops.extend(self.take_up(bead, agent)?);
        }
        self.author(ops).map(|_| ())
    }

    /// The number of starts has been used before: all lanes are over, and begin again with a higher one.
    fn begin_lanes_anew(&mut self, known: u64) -> Result<(), StoreError> {
        let now = self.now.mono;
        let incarnation = self.stage.record::<u64>(keys::INCARNATION)?.unwrap_or(0);
        if known.saturating_sub(incarnation_after(incarnation, self.now.wall)) > INCARNATION_JUMP_MAX {
            // No voter has seen so many starts of this node.
            return Ok(());
        }
        self.leases.lanes.clear();
        self.make_machine(incarnation_after(known.max(incarnation), self.now.wall));
        let wall = self.now.wall;
        let mut lost = Vec::new();
        for (id, own) in &mut self.leases.own {
            own.lane = None;
            if matches!(own.state, State::Held { .. }) {
                own.state = State::Lapsed { since: wall, told: true };
                lost.push(*id);
            }
            own.retry_at = Some(now);
        }
        lost.into_iter().try_for_each(|id| self.tell(id, "lapsed", None))
    }

    /// Compares the sets with a linked node, which knows of a later epoch, unless that was done just now.
    fn compare_with(&mut self, node: NodeId) -> Result<(), StoreError> {
        let (now, before) = (self.now.mono, self.leases.caught_up.get(&node));
        let is_recent = before.is_some_and(|at| now.since(*at) < CATCH_PAUSE);
        let Some(link) = self.links.id_of(node).filter(|_| !is_recent) else { return Ok(()) };
        self.leases.caught_up.insert(node, now);
        let orders = self.with_session(link, |session, holdings| session.compare(holdings))?;
        self.follow(link, orders)
    }

    /// Returns how many voters can be asked now.
    pub(super) fn voters_in_reach(&self) -> usize {
        self.mesh.epoch().0.seats.iter().filter(|seat| self.is_voter_reached(seat.node)).count()
    }

    /// Returns whether the voter of a node can be asked now, as this node's own can while it runs.
    fn is_voter_reached(&self, node: NodeId) -> bool {
        if node == self.entries.node() { self.config.votes } else { self.links.of(node).is_some() }
    }
}

/// Returns the word for why a claim is over.
pub(super) fn word_of(why: Why) -> &'static str {
    match why {
        Why::Done => "done",
        Why::Yielded => "yielded",
        Why::Expired => "expired",
    }
}

#[cfg(test)]
mod tests;
