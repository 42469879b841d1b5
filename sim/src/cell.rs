//! The lease cell: a few voters and claimants under every fault, and nothing else, so that a hundred thousand seeds take
//! an hour and not a month.
//!
//! The state machines are those of the node, and what they say to each other travels as bytes. True time is known here, so
//! what the protocol promises is checked against it: `cell/check.rs`.

use std::collections::BTreeMap;

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::lease::Epoch;
use beadmesh_protocol::lease::holder::Order;
use beadmesh_protocol::lease::message::{Answer, Ask};
use beadmesh_protocol::planted::{self, Bug};
use serde::{Deserialize, Serialize};

use crate::outcome::Violation;
use crate::random::Stream;

mod agent;
#[cfg(all(test, planted))]
pub(crate) mod caught;
mod check;
mod fault;
mod known;
mod node;
mod office;
pub mod plan;
mod tally;
#[cfg(test)]
mod tests;

use agent::Agents;
use check::Checks;
use known::Entry;
use node::{Flushed, Node};
use office::Origin;
use plan::{Plan, Trouble};
pub use tally::Tally;

/// What a sweep over many cells should see sometimes.
pub const SOMETIMES: &[&str] = &[
    "busy",
    "clash-handed-over",
    "epoch-changed",
    "gate-refused",
    "handed-over-in-parts",
    "handover-forgotten",
    "lapsed",
    "late-copy",
    "majorities-differ",
    "no-majority",
    "older-waits",
    "owner-stopped-amid-change",
    "recovered",
    "refused",
    "renewed",
    "second-lane",
    "stale-token",
    "term-over",
    "voter-found-itself-turned-back",
    "voter-rebooted-with-live-grants",
    "voter-stopped-with-live-grants",
    "wrong-epoch",
];

/// Seeds from which on everything that should be seen sometimes must have been seen.
pub const COVERAGE_SEEDS_MIN: u64 = 1_000;

/// How long every claim may take to get its turn once all is healed: holds of up to 5 s of 12 slots before it, a restart
/// of all machines at the last moment, a hold time that must lapse, and polls.
const TURN_MAX_US: u64 = 500_000_000;

/// How long after healing agents begin the claims that must succeed: messages of before are gone, or lapse.
const CALM_US: u64 = 5_000_000;

/// What a run of a cell came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The digest of what happened, in order; equal runs have equal digests.
    pub digest: u64,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Events handled.
    pub events: u64,
    /// Virtual microseconds.
    pub virtual_us: u64,
    /// Leases that were got.
    pub leases: u64,
    /// How often things happened that many seeds should see sometimes.
    pub seen: BTreeMap<&'static str, u64>,
}

/// What travels between two nodes.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    Ask(Ask),
    Answer(Answer),
    /// Entries, handed on for ever.
    Entries(Vec<Entry>),
    /// Names the entries that a node has: it wants the others.
    Have(Vec<u64>),
}

/// What is due at some time.
#[derive(Debug)]
enum Event {
    Deliver { to: usize, from: usize, bytes: Vec<u8> },
    Flushed { node: usize, start: u64, flushed: Box<Flushed> },
    Wakeup { node: usize, start: u64 },
    Agent { agent: usize, turn: u64 },
    Trouble(usize),
    Start { node: usize },
    Resume { node: usize },
    Mend { from: usize, to: usize },
    Gossip { node: usize, start: u64 },
    Heal,
    Calm,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    let planted = planted::set(plan.planted.as_deref().and_then(Bug::parse));
    assert!(planted, "a plan with a bug needs a build with bugs");
    let outcome = Cell::new(plan).run();
    let _ = planted::set(None);
    outcome
}

struct Cell<'a> {
    plan: &'a Plan,
    now_us: u64,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    nodes: Vec<Node>,
    agents: Agents,
    checks: Checks,
    /// How many cuts there are from one node to another.
    cuts: BTreeMap<(usize, usize), u32>,
    /// The voters that the owner, node 0, is to propose.
    wanted: Option<(u8, u32)>,
    healed: bool,
    calm: bool,
    network: Stream,
    digest: blake3::Hasher,
    handled: u64,
}

/// Returns the id of a node by its place.
fn id(place: usize) -> NodeId {
    NodeId::from_bytes([u8::try_from(place + 1).expect("a cell has few nodes"); 32])
}

/// Returns the place of a node by its id.
fn place(id: NodeId) -> usize {
    usize::from(id.as_bytes()[0]) - 1
}

impl<'a> Cell<'a> {
    fn new(plan: &'a Plan) -> Self {
        let beginning = office::beginning(plan);
        let nodes: Vec<Node> = (0..plan.nodes()).map(|place| Node::new(plan, place, &beginning)).collect();
        let mut cell = Self {
            plan,
            now_us: 0,
            events: BTreeMap::new(),
            count: 0,
            nodes,
            agents: Agents::new(plan),
            checks: Checks::new(),
            cuts: BTreeMap::new(),
            wanted: None,
            healed: false,
            calm: false,
            network: Stream::keyed(plan.seed, "cell network", 0, 0),
            digest: blake3::Hasher::new(),
            handled: 0,
        };
        for node in 0..plan.nodes() {
            cell.at(cell.now_us, Event::Gossip { node, start: 0 });
        }
        for (index, trouble) in plan.troubles.iter().enumerate() {
            cell.at(trouble.at_us, Event::Trouble(index));
        }
        for agent in 0..cell.agents.len() {
            let (at, turn) = cell.agents.first(agent);
            cell.at(at, Event::Agent { agent, turn });
        }
        cell.at(plan.span_us, Event::Heal);
        cell.at(plan.span_us + CALM_US, Event::Calm);
        cell
    }

    fn run(mut self) -> Outcome {
        let end = self.plan.span_us + CALM_US + TURN_MAX_US;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > end || (self.calm && self.agents.all_had_their_turn()) {
                break;
            }
            self.now_us = at;
            self.handled += 1;
            self.handle(event);
        }
        for (agent, since) in self.agents.without_a_turn() {
            self.checks.fail("turn", self.now_us, Some(agent), format!("a claim made at {since} us got no turn"));
        }
        let mut digest = [0; 8];
        self.digest.finalize_xof().fill(&mut digest);
        let (violations, leases, seen) = self.checks.end();
        let digest = u64::from_le_bytes(digest);
        Outcome { digest, violations, events: self.handled, virtual_us: self.now_us, leases, seen }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { to, from, bytes } => self.deliver(to, from, bytes),
            Event::Flushed { node, start, flushed } => self.flushed(node, start, *flushed),
            Event::Wakeup { node, start } => self.wakeup(node, start),
            Event::Agent { agent, turn } => self.act(agent, turn),
            Event::Trouble(index) => self.trouble(self.plan.troubles[index].trouble),
            Event::Start { node } => self.start(node),
            Event::Resume { node } => self.resume(node),
            Event::Mend { from, to } => self.mend(from, to),
            Event::Gossip { node, start } => self.gossip(node, start),
            Event::Heal => self.heal(),
            Event::Calm => self.begin_calm(),
        }
    }

    fn at(&mut self, at_us: u64, event: Event) {
        self.count += 1;
        self.events.insert((at_us, self.count), event);
    }

    fn fold(&mut self, what: &str, a: u64, b: u64) {
        self.digest.update(what.as_bytes());
        for number in [self.now_us, a, b] {
            self.digest.update(&number.to_le_bytes());
        }
    }

    /// Returns what a node's clock shows.
    fn clock(&self, node: usize) -> Instant {
        self.nodes[node].clock.read(self.now_us).mono
    }

    /// Puts a message on its way: it may be lost, late, or come twice, the second time much later.
    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let bytes = postcard::to_stdvec(message).expect("messages have a postcard form");
        if from == to {
            self.at(self.now_us + 1, Event::Deliver { to, from, bytes });
            return;
        }
        let network = &self.plan.network;
        let is_cut = self.cuts.contains_key(&(from, to));
        let mean = network.latency_mean_us;
        let late = self.network.exponential_us(mean).min(5_000_000);
        let is_lost = !self.healed && self.network.chance(network.loss_per_mille);
        let is_doubled = !self.healed && self.network.chance(network.double_per_mille);
        let again = self.network.scaled(1_000, 120_000_000);
        if is_cut || is_lost {
            return;
        }
        let at = self.now_us + network.latency_min_us + late;
        if is_doubled {
            self.at(at + again, Event::Deliver { to, from, bytes: bytes.clone() });
        }
        self.at(at, Event::Deliver { to, from, bytes });
    }

    fn deliver(&mut self, to: usize, from: usize, bytes: Vec<u8>) {
        if !self.nodes[to].is_up {
            return;
        }
        if let Some(until) = self.nodes[to].paused_until {
            self.at(until.max(self.now_us + 1), Event::Deliver { to, from, bytes });
            return;
        }
        let message: Message = postcard::from_bytes(&bytes).expect("what a node sends decodes");
        self.fold("deliver", to as u64, bytes.len() as u64);
        match message {
            Message::Ask(ask) => self.on_ask(to, from, &ask),
            Message::Answer(answer) => self.on_answer(to, from, answer),
            Message::Entries(entries) => self.on_entries(to, entries),
            Message::Have(names) => self.on_have(to, from, &names),
        }
        self.settle(to);
    }

    fn on_ask(&mut self, to: usize, from: usize, ask: &Ask) {
        let now = self.clock(to);
        let voter = &mut self.nodes[to].voter;
        let answer = match ask {
            Ask::Acquire(acquire) => {
                acquire.held_by.iter().for_each(|shown| voter.heed(shown));
                voter.acquire(now, id(from), acquire)
            }
            Ask::Release(release) => {
                voter.release(id(from), release);
                None
            }
            Ask::Probe => Some(Answer::Here(voter.here())),
        };
        let node = &self.nodes[to];
        self.checks.on_voter(self.now_us, to, now, &node.voter);
        self.checks.on_answer(self.now_us, to, node, answer.as_ref());
        let is_turned_back = self.replace_if_dead(to);
        self.checks.see("voter-found-itself-turned-back", is_turned_back);
        self.nodes[to].answers.extend(answer.map(|answer| (from, answer)));
    }

    fn on_answer(&mut self, to: usize, from: usize, answer: Answer) {
        let now = self.clock(to);
        if let Answer::Here(here) = &answer {
            self.nodes[to].heard.insert(from, (self.now_us, here.voter));
            self.nodes[to].voter.learn(id(from), here);
        }
        self.checks.on_heard(&answer);
        self.nodes[to].claims.on_answer(now, id(from), answer);
    }

    /// Begins to write what waits, unless a flush is under way: what comes meanwhile goes with the next one.
    fn flush(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let Flushed { records, entries, answers, .. } = &node.waiting;
        if node.is_flushing || (records.is_empty() && entries.is_empty() && answers.is_empty()) {
            return;
        }
        node.is_flushing = true;
        let mut flushed = std::mem::take(&mut node.waiting);
        flushed.voter = Some(node.voter.id());
        let at = self.now_us + node.flush_delay(self.plan, &flushed);
        let start = node.start;
        self.at(at, Event::Flushed { node: place, start, flushed: Box::new(flushed) });
    }

    fn flushed(&mut self, place: usize, start: u64, flushed: Flushed) {
        let node = &mut self.nodes[place];
        if !node.is_up || node.start != start {
            return;
        }
        let Flushed { voter, records, entries, mut answers } = flushed;
        node.is_flushing = false;
        node.disk.keep_entries(&entries);
        if voter == Some(node.voter.id()) {
            node.disk.keep(records);
        } else {
            // Another voter has taken its place meanwhile: what the one before promised must not leave.
            answers.clear();
        }
        for (to, answer) in answers {
            self.checks.on_sent(self.now_us, place, &self.nodes[place].disk, &answer);
            self.send(place, to, &Message::Answer(answer));
        }
        for (entry, _) in entries.iter().filter(|(_, origin)| *origin == Origin::Own) {
            self.publish(place, entry);
        }
        self.flush(place);
    }

    fn wakeup(&mut self, place: usize, start: u64) {
        let node = &mut self.nodes[place];
        if !node.is_up || node.start != start {
            return;
        }
        node.wakeup = None;
        if let Some(until) = node.paused_until {
            self.at(until.max(self.now_us + 1), Event::Wakeup { node: place, start });
            return;
        }
        let now = self.clock(place);
        self.nodes[place].claims.on_wakeup(now);
        self.settle(place);
    }

    /// Does what a node ordered, and asks to be woken when it wants that.
    fn settle(&mut self, place: usize) {
        for order in self.nodes[place].claims.take_orders() {
            self.obey(place, order);
        }
        let node = &mut self.nodes[place];
        node.waiting.records.extend(node.voter.take_records());
        let answers = std::mem::take(&mut node.answers);
        if planted::is(Bug::AnswersBeforeFlush) {
            for (to, answer) in answers {
                self.checks.on_sent(self.now_us, place, &self.nodes[place].disk, &answer);
                self.send(place, to, &Message::Answer(answer));
            }
        } else {
            node.waiting.answers.extend(answers);
        }
        self.flush(place);
        let node = &self.nodes[place];
        let (start, clock) = (node.start, &node.clock);
        if let Some(due) = node.claims.next_wakeup() {
            let at = clock.when(due).max(self.now_us + 1);
            if node.wakeup.is_none_or(|known| at < known) {
                self.nodes[place].wakeup = Some(at);
                self.at(at, Event::Wakeup { node: place, start });
            }
        }
    }

    fn obey(&mut self, place: usize, order: Order) {
        match order {
            Order::Send(to, ask) => self.send(place, self::place(to), &Message::Ask(ask)),
            Order::Catch(from) => {
                let names = self.nodes[place].known.names();
                self.send(place, self::place(from), &Message::Have(names));
            }
            Order::Held(held) => {
                self.fold("held", held.token.counter, place as u64);
                self.on_held(place, &held);
            }
            Order::Renewed { lane, until } => {
                let until_us = self.nodes[place].clock.when(until);
                self.checks.on_renewed(self.now_us, lane, until_us);
            }
            Order::Ended { lane, end } => {
                self.fold("ended", lane.lane, place as u64);
                self.checks.on_ended(self.now_us, lane);
                self.on_ended(lane, &end);
            }
            Order::Outdated(incarnation) => {
                self.restart_claims(place, incarnation.saturating_add(1));
            }
        }
    }

    /// Compares entries with another node, and lets the owner see to the voters.
    fn gossip(&mut self, place: usize, start: u64) {
        if !self.nodes[place].is_up || self.nodes[place].start != start {
            return;
        }
        let pause = self.network.between(500_000, 1_500_000);
        self.at(self.now_us + pause, Event::Gossip { node: place, start });
        if self.nodes[place].paused_until.is_some() {
            return;
        }
        let to = self.network.place(self.nodes.len());
        let names = self.nodes[place].known.names();
        self.send(place, to, &Message::Have(names));
        self.send(place, to, &Message::Ask(Ask::Probe));
        if place == 0 {
            self.see_to_voters();
        } else {
            self.follow(place);
        }
        self.settle(place);
    }

    /// Returns whether more than half of the voters of the newest epoch are alive under the names it gives them.
    fn majority_is_alive(&self) -> bool {
        let epochs = self.nodes.iter().map(|node| &node.known.current().0);
        let epoch: &Epoch = epochs.max_by_key(|epoch| epoch.number).expect("there are nodes");
        let alive = epoch.seats.iter().filter(|seat| self.nodes[place(seat.node)].voter.id() == seat.voter);
        alive.count() >= epoch.quorum()
    }
}

impl Trouble {
    /// Returns the troubles of a plan that need no healing.
    fn is_change(self) -> bool {
        matches!(self, Self::Voters { .. })
    }
}
