//! The agents of a cell: they claim, work, write late, release, and try again.

use std::collections::BTreeMap;

use beadmesh_protocol::id::{AgentId, BeadId};
use beadmesh_protocol::lease::holder::{End, Held, Wish};
use beadmesh_protocol::lease::message::Terms;
use beadmesh_protocol::lease::{Holder, LaneId};
use beadmesh_protocol::scope::{Mode, Scope};

use super::plan::Plan;
use super::{Cell, Event, id};
use crate::random::Stream;

/// What claims are for: these clash in many ways.
const PATTERNS: &[&[&str]] = &[
    &["src/**"],
    &["src/a.rs"],
    &["**/a.rs"],
    &["src/b*.rs", "docs/**"],
    &["docs/*.md"],
    &["docs/guide.md"],
    &["tests/**"],
];

/// The claims of all agents, one slot each: an agent of two slots may have two leases.
#[derive(Debug)]
pub(super) struct Agents {
    slots: Vec<Slot>,
    by_lane: BTreeMap<LaneId, usize>,
    work_max_us: u64,
}

#[derive(Debug)]
struct Slot {
    holder: Holder,
    /// What is due for another turn than this is not due any more.
    turn: u64,
    state: State,
    /// Since when a claim of the calm phase waits.
    calm_since: Option<u64>,
    had_turn: bool,
    stream: Stream,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Claiming(LaneId),
    Working { lane: LaneId, until_us: u64 },
}

impl Agents {
    pub(super) fn new(plan: &Plan) -> Self {
        let slot = |(at, (node, agent)): (usize, &(u8, u8))| Slot {
            holder: Holder { node: id(usize::from(*node)), agent: AgentId::from_bytes([agent + 1; 16]) },
            turn: 0,
            state: State::Idle,
            calm_since: None,
            had_turn: false,
            stream: Stream::keyed(plan.seed, "cell agent", u64::try_from(at).expect("few"), 0),
        };
        let slots = plan.slots.iter().enumerate().map(slot).collect();
        Self { slots, by_lane: BTreeMap::new(), work_max_us: plan.work_max_us }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns when a slot acts first.
    pub(super) fn first(&mut self, at: usize) -> (u64, u64) {
        (self.slots[at].stream.below(5_000_000), 0)
    }

    pub(super) fn all_had_their_turn(&self) -> bool {
        self.slots.iter().all(|slot| slot.had_turn)
    }

    /// Returns the slots whose claim of the calm phase got no lease, and since when they wait.
    pub(super) fn without_a_turn(&self) -> Vec<(usize, u64)> {
        let waiting = self.slots.iter().enumerate().filter(|(_, slot)| !slot.had_turn);
        waiting.map(|(at, slot)| (at, slot.calm_since.unwrap_or(0))).collect()
    }

    /// Forgets what a node's agents were at: it has stopped.
    fn drop_node(&mut self, place: usize) -> Vec<(usize, LaneId)> {
        let mut dropped = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.holder.node == id(place)) {
            if let State::Claiming(lane) | State::Working { lane, .. } = slot.state {
                self.by_lane.remove(&lane);
                dropped.push((at, lane));
            }
            slot.state = State::Idle;
            slot.turn += 1;
        }
        dropped
    }
}

impl Cell<'_> {
    /// Lets an agent do what it is about to.
    pub(super) fn act(&mut self, agent: usize, turn: u64) {
        let slot = &self.agents.slots[agent];
        if slot.turn != turn {
            return;
        }
        let place = super::place(slot.holder.node);
        let node = &self.nodes[place];
        if let (true, Some(until)) = (node.is_up, node.paused_until) {
            self.at(until.max(self.now_us + 1), Event::Agent { agent, turn });
            return;
        }
        if !node.is_up {
            return;
        }
        match self.agents.slots[agent].state {
            State::Idle => self.claim(agent, place),
            State::Claiming(_) => {}
            State::Working { lane, until_us } => self.work(agent, place, lane, until_us),
        }
        self.settle(place);
    }

    fn claim(&mut self, agent: usize, place: usize) {
        if self.calm && self.agents.slots[agent].had_turn {
            return;
        }
        let is_calm = self.calm;
        let (now_us, now) = (self.now_us, self.clock(place));
        let slot = &mut self.agents.slots[agent];
        let stream = &mut slot.stream;
        let patterns = *stream.pick(PATTERNS);
        let mode = if stream.chance(250) { Mode::Shared } else { Mode::Exclusive };
        let beads = if stream.chance(300) { vec![BeadId::from_bytes([1; 16])] } else { Vec::new() };
        let scope = Scope::parse(None, beads, patterns).expect("a sound scope");
        let patience = if is_calm { 700_000_000 } else { *stream.pick(&[0, 0, 3_000_000, 60_000_000]) };
        let wish = Wish {
            holder: slot.holder,
            terms: Terms { scope, mode },
            patience: std::time::Duration::from_micros(patience),
            term: std::time::Duration::from_micros(if is_calm {
                900_000_000
            } else {
                stream.scaled(1_000_000, 100_000_000)
            }),
        };
        if is_calm {
            slot.calm_since.get_or_insert(now_us);
        }
        self.checks.see("second-lane", self.nodes[place].claims.open().any(|(lane, ..)| lane.holder == wish.holder));
        let terms = wish.terms.clone();
        let lane = self.nodes[place].claims.claim(now, wish);
        let slot = &mut self.agents.slots[agent];
        slot.state = State::Claiming(lane);
        slot.turn += 1;
        self.agents.by_lane.insert(lane, agent);
        self.checks.on_claim(lane, terms);
    }

    /// Writes, which arrives late, and ends the lease when the work is done.
    fn work(&mut self, agent: usize, place: usize, lane: LaneId, until_us: u64) {
        let now = self.clock(place);
        let valid = self.nodes[place].claims.valid(now, lane);
        let slot = &mut self.agents.slots[agent];
        slot.turn += 1;
        if let Some(token) = valid {
            let late_us = slot.stream.scaled(1_000, 20_000_000);
            self.checks.on_write(self.now_us, lane, token, self.now_us + late_us);
        }
        if valid.is_none() || self.now_us >= until_us {
            self.checks.on_ended(self.now_us, lane);
            self.nodes[place].claims.release(lane, None);
            self.rest(agent, lane);
            return;
        }
        let slot = &mut self.agents.slots[agent];
        let at = (self.now_us + slot.stream.scaled(50_000, 3_000_000)).min(until_us);
        let turn = slot.turn;
        self.at(at.max(self.now_us + 1), Event::Agent { agent, turn });
    }

    pub(super) fn on_held(&mut self, place: usize, held: &Held) {
        let until_us = self.nodes[place].clock.when(held.until);
        self.checks.on_held(self.now_us, held, until_us);
        let Some(&agent) = self.agents.by_lane.get(&held.lane) else { return };
        let work_max_us = if self.calm { 5_000_000 } else { self.agents.work_max_us };
        let slot = &mut self.agents.slots[agent];
        slot.had_turn |= slot.calm_since.is_some();
        let until_us = self.now_us + slot.stream.scaled(1_000, work_max_us);
        slot.state = State::Working { lane: held.lane, until_us };
        slot.turn += 1;
        let (at, turn) = (self.now_us + slot.stream.scaled(1_000, 500_000), slot.turn);
        self.at(at, Event::Agent { agent, turn });
    }

    pub(super) fn on_ended(&mut self, lane: LaneId, end: &End) {
        self.checks.on_end(end);
        if let Some(agent) = self.agents.by_lane.get(&lane).copied() {
            self.rest(agent, lane);
        }
    }

    /// Lets an agent be idle for a while.
    fn rest(&mut self, agent: usize, lane: LaneId) {
        self.agents.by_lane.remove(&lane);
        let is_calm = self.calm;
        let slot = &mut self.agents.slots[agent];
        slot.state = State::Idle;
        slot.turn += 1;
        let pause = if is_calm { 500_000 } else { slot.stream.scaled(10_000, 10_000_000) };
        let turn = slot.turn;
        self.at(self.now_us + pause, Event::Agent { agent, turn });
    }

    /// Ends all that a node's agents were at, and lets them begin again when it runs.
    pub(super) fn drop_claims(&mut self, place: usize) {
        for (_, lane) in self.agents.drop_node(place) {
            self.checks.on_ended(self.now_us, lane);
        }
    }

    /// Lets the agents of a node begin anew.
    pub(super) fn wake_agents(&mut self, place: usize) {
        for agent in 0..self.agents.len() {
            if self.agents.slots[agent].holder.node == id(place) && self.agents.slots[agent].state == State::Idle {
                let slot = &mut self.agents.slots[agent];
                slot.turn += 1;
                let (at, turn) = (self.now_us + 1 + slot.stream.below(500_000), slot.turn);
                self.at(at, Event::Agent { agent, turn });
            }
        }
    }
}
