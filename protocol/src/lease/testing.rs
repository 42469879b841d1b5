//! Voters and claims of a few nodes whose messages arrive at once, for tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::holder::{Order, Wish};
use super::message::{Acquire, Answer, Ask, Sealed, Terms};
use super::{Attempt, Birth, Certificate, Claims, Dump, Epoch, Holder, LaneId, Seat, Token, Voter};
use crate::clock::Instant;
use crate::id::{AgentId, NodeId, VoterId};
use crate::limits::HOLD_DEFAULT;
use crate::scope::{Mode, Scope};

/// Returns the id of a node by a small number.
pub(crate) fn node(n: u8) -> NodeId {
    NodeId::from_bytes([n; 32])
}

/// Returns an agent of a node, both by small numbers.
pub(crate) fn holder(on: u8, agent: u8) -> Holder {
    Holder { node: node(on), agent: AgentId::from_bytes([agent; 16]) }
}

/// Returns exclusive terms for these patterns.
pub(crate) fn exclusive(patterns: &[&str]) -> Terms {
    Terms { scope: Scope::parse(None, [], patterns).unwrap(), mode: Mode::Exclusive }
}

/// Returns the epoch in which nodes 1 to `voters` vote.
pub(crate) fn epoch(number: u64, voters: u8) -> Epoch {
    let seats = (1..=voters).map(|n| Seat { node: node(n), voter: VoterId::from_bytes([n; 16]) });
    Epoch::new(number, seats.collect(), HOLD_DEFAULT).unwrap()
}

/// Returns the voter of a node in the first epoch.
pub(crate) fn voter(n: u8, voters: u8) -> Voter {
    Voter::founding(node(n), VoterId::from_bytes([n; 16]), [1; 16], epoch(1, voters))
}

/// Returns what starts the epoch for which these voters have sealed.
pub(crate) fn certificate(sealed: &[Sealed]) -> Certificate {
    let mut dump = Dump::default();
    sealed.iter().for_each(|sealed| dump.unite(&sealed.dump));
    Certificate { epoch: sealed[0].successor.clone(), dump }
}

/// Returns the wish for a first promise of the only claim of a holder.
pub(crate) fn acquire(holder: Holder, counter: u64, terms: Terms) -> Acquire {
    let attempt = Attempt { lane: LaneId { holder, incarnation: 1, lane: 1 }, seq: 1 };
    Acquire {
        token: Token { counter, attempt },
        lanes_from: 1,
        round: 1,
        epoch: 1,
        terms,
        birth: Birth { counter, holder },
        held_by: Vec::new(),
    }
}

/// Some nodes, each with a voter and claims of its own.
pub(crate) struct Cell {
    pub(crate) now: Instant,
    pub(crate) voters: BTreeMap<NodeId, Voter>,
    pub(crate) claims: BTreeMap<NodeId, Claims>,
    /// Nodes that nothing reaches.
    pub(crate) cut_off: BTreeSet<NodeId>,
    /// What drivers were told, in order.
    pub(crate) told: Vec<Order>,
}

impl Cell {
    /// Makes nodes 1 to `nodes`, of which the first `voters` vote.
    pub(crate) fn of(nodes: u8, voters: u8) -> Self {
        let mut claims: BTreeMap<_, _> = (1..=nodes).map(|n| (node(n), Claims::new(node(n), 1))).collect();
        for claims in claims.values_mut() {
            (1..=nodes).for_each(|n| claims.on_reach(node(n), true));
            claims.on_epoch(Instant::default(), &epoch(1, voters));
        }
        let voters = (1..=voters).map(|n| (node(n), voter(n, voters))).collect();
        Self { now: Instant::from_micros(1_000_000), voters, claims, cut_off: BTreeSet::new(), told: Vec::new() }
    }

    /// Claims these patterns, exclusively and without waiting, for an hour.
    pub(crate) fn claim(&mut self, holder: Holder, patterns: &[&str]) -> LaneId {
        self.wish(Wish {
            holder,
            terms: exclusive(patterns),
            patience: Duration::ZERO,
            term: Duration::from_secs(3_600),
        })
    }

    pub(crate) fn wish(&mut self, wish: Wish) -> LaneId {
        let node = wish.holder.node;
        let lane = self.claims.get_mut(&node).unwrap().claim(self.now, wish);
        self.settle();
        lane
    }

    pub(crate) fn release(&mut self, lane: LaneId) {
        self.claims.get_mut(&lane.holder.node).unwrap().release(lane, None);
        self.settle();
    }

    /// Returns the token of a claim whose lease is valid now.
    pub(crate) fn valid(&self, lane: LaneId) -> Option<Token> {
        self.claims[&lane.holder.node].valid(self.now, lane)
    }

    /// Lets time pass, waking claims when they asked for it.
    pub(crate) fn elapse(&mut self, span: Duration) {
        let end = self.now.after(span);
        while let Some(next) = self.claims.values().filter_map(Claims::next_wakeup).min().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            for claims in self.claims.values_mut() {
                claims.on_wakeup(self.now);
            }
            self.settle();
        }
        self.now = end;
    }

    /// Carries messages until none is left.
    pub(crate) fn settle(&mut self) {
        let mut orders = VecDeque::new();
        for _ in 0..100_000 {
            for (node, claims) in &mut self.claims {
                orders.extend(claims.take_orders().into_iter().map(|order| (*node, order)));
            }
            let Some((from, order)) = orders.pop_front() else { return };
            match order {
                Order::Send(to, ask) => self.carry(from, to, &ask),
                other => self.told.push(other),
            }
        }
        panic!("messages have no end");
    }

    pub(crate) fn carry(&mut self, from: NodeId, to: NodeId, ask: &Ask) {
        if from != to && (self.cut_off.contains(&from) || self.cut_off.contains(&to)) {
            return;
        }
        let Some(voter) = self.voters.get_mut(&to) else { return };
        let answer = match ask {
            Ask::Acquire(ask) => voter.acquire(self.now, from, ask),
            Ask::Release(release) => {
                voter.release(from, release);
                None
            }
            Ask::Probe => Some(Answer::Here(voter.here())),
        };
        voter.take_records();
        if let Some(answer) = answer {
            self.claims.get_mut(&from).unwrap().on_answer(self.now, to, answer);
        }
    }
}
