//! Who tries to reach whom, and when: each pair of nodes with a way between them, with growing waits.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_store::replica::{Input, LinkId};

use super::{Event, MILLI, Mesh, SECOND, at};
use crate::random::Stream;
use crate::sometimes;

/// The shortest and the longest wait between two attempts: the node's own.
const RETRY_MIN_US: u64 = 250 * MILLI;
const RETRY_MAX_US: u64 = 60 * SECOND;

/// How long a link must live for the next wait to be short.
const SETTLED_US: u64 = 10 * SECOND;

/// Every pair of nodes that may link.
#[derive(Debug)]
pub(super) struct Pairs {
    pairs: BTreeMap<(u32, u32), Pair>,
    /// The neighbours of each node.
    ways: BTreeMap<u32, BTreeSet<u32>>,
}

/// One pair.
#[derive(Debug, Default)]
struct Pair {
    attempts: u32,
    dial_us: Option<u64>,
    link: Option<LinkId>,
}

impl Pairs {
    pub(super) fn new(ways: BTreeSet<(u32, u32)>) -> Self {
        let mut pairs = Self { pairs: BTreeMap::new(), ways: BTreeMap::new() };
        ways.into_iter().for_each(|way| pairs.add(way));
        pairs
    }

    pub(super) fn add(&mut self, (low, high): (u32, u32)) {
        self.pairs.insert((low, high), Pair::default());
        self.ways.entry(low).or_default().insert(high);
        self.ways.entry(high).or_default().insert(low);
    }

    /// Returns how many pairs there are.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns the nodes that a node has a way to.
    pub(super) fn of(&self, node: u32) -> Vec<u32> {
        self.ways.get(&node).into_iter().flatten().copied().collect()
    }
}

impl Mesh<'_> {
    /// Tries every way of a node at once: something has changed.
    pub(super) fn hurry(&mut self, node: u32) {
        for other in self.pairs.of(node) {
            self.dial_after((node.min(other), node.max(other)), 0, true);
        }
    }

    /// Has a pair tried after a wait; `fresh` begins the waits anew.
    fn dial_after(&mut self, pair: (u32, u32), wait_us: u64, fresh: bool) {
        let due = self.now_us + wait_us;
        let Some(state) = self.pairs.pairs.get_mut(&pair) else { return };
        if fresh {
            state.attempts = 0;
        }
        if state.dial_us.is_none_or(|dial| dial > due) {
            state.dial_us = Some(due);
            self.schedule(due, Event::Dial { pair });
        }
    }

    /// Waits before the next attempt, longer each time.
    fn dial_later(&mut self, pair: (u32, u32)) {
        let Some(state) = self.pairs.pairs.get_mut(&pair) else { return };
        let wait = (RETRY_MIN_US << state.attempts.min(10)).min(RETRY_MAX_US);
        state.attempts += 1;
        let jitter = self.nodes[at(pair.0)].stream.between(0, wait / 2);
        self.dial_after(pair, wait / 2 + jitter, false);
    }

    /// Begins to try again once a link is gone.
    pub(super) fn on_link_gone(&mut self, pair: (u32, u32), link: LinkId, since_us: u64) {
        let now_us = self.now_us;
        let Some(state) = self.pairs.pairs.get_mut(&pair) else { return };
        if state.link != Some(link) {
            return;
        }
        state.link = None;
        if now_us - since_us >= SETTLED_US {
            state.attempts = 0;
        }
        self.dial_later(pair);
    }

    pub(super) fn on_dial(&mut self, pair: (u32, u32)) {
        let Some(state) = self.pairs.pairs.get_mut(&pair) else { return };
        if state.dial_us != Some(self.now_us) {
            return;
        }
        state.dial_us = None;
        if let Some(link) = state.link
            && self.network.links.get(&link).is_some_and(|link| link.up == [true; 2])
        {
            return;
        }
        let (low, high) = pair;
        let [one, other] = [&self.nodes[at(low)], &self.nodes[at(high)]];
        // Nobody dials who is not there; both look again when one starts.
        if one.process.is_none() && other.process.is_none() {
            return;
        }
        let known = one.members.contains(&other.id) && other.members.contains(&one.id) && one.id != other.id;
        let reachable =
            one.is_awake() && other.is_awake() && self.network.passes(low, high) && self.network.passes(high, low);
        if !known || !reachable {
            sometimes!(self.coverage, "dial-refused", reachable);
            self.dial_later(pair);
            return;
        }
        // The handshake's round trip is part of the first frame's way.
        self.link_up(pair);
    }

    fn link_up(&mut self, (low, high): (u32, u32)) {
        for (here, there) in [(low, high), (high, low)] {
            if self.yields_to_twin(here, there) {
                self.dial_later((low, high));
                return;
            }
        }
        let half_open = self.network.links.values().any(|link| link.ends == [low, high]);
        sometimes!(self.coverage, "link-replaced", half_open);
        let link = self.network.connect([low, high], self.now_us);
        self.trace.fold(1, self.now_us, u64::from(low) << 32 | u64::from(high), link.0);
        if let Some(state) = self.pairs.pairs.get_mut(&(low, high)) {
            state.link = Some(link);
        }
        for (here, there) in [(low, high), (high, low)] {
            let input = Input::LinkUp(link, self.nodes[at(there)].id, format!("/sim/{there}"));
            self.hand_in(here, input, 0);
        }
    }

    /// Returns whether a node stays with the link it has to the same key elsewhere; else that one is given up.
    fn yields_to_twin(&mut self, here: u32, there: u32) -> bool {
        if self.nodes.len() == self.plan.nodes.len() {
            return false;
        }
        let id = self.nodes[at(there)].id;
        let twin = self.network.links.iter().find_map(|(link, state)| {
            let end = state.ends.iter().position(|end| *end == here)?;
            let other = state.ends[1 - end];
            (state.up == [true; 2] && other != there && self.nodes[at(other)].id == id).then_some(*link)
        });
        let Some(twin) = twin else { return false };
        // Which of two connections of one key goes depends on which answers pings first.
        let mut coin = Stream::keyed(self.plan.seed, "twin", u64::from(here), self.now_us);
        if coin.chance(500) {
            return true;
        }
        self.close_link(twin);
        false
    }
}
