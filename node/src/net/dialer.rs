//! Whom to dial and when, and which of several connections to keep: rules for one member, without input or output.
//!
//! Both ends dial. The lower node alone opens links and closes what is one too many, so two dials that cross settle on
//! one link without either end undoing the other's choice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

use super::Timing;
use super::link::LinkId;

/// What the dialer knows of one member.
#[derive(Debug)]
pub(super) struct Peer {
    /// The addresses the roster knows.
    pub(super) addresses: BTreeSet<Multiaddr>,
    /// The addresses found on the local network.
    nearby: BTreeSet<Multiaddr>,
    pub(super) connections: BTreeMap<ConnectionId, Standing>,
    pub(super) link: Option<Current>,
    /// The connection on which a link's stream is being opened.
    pub(super) opening: Option<ConnectionId>,
    /// The dial that is under way.
    pub(super) dialling: Option<ConnectionId>,
    attempts: u32,
    not_before: Instant,
}

/// One connection of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) since: Instant,
    /// When the peer last answered a ping on it.
    pub(super) answered: Option<Instant>,
}

/// The link of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) id: LinkId,
    pub(super) connection: ConnectionId,
    pub(super) since: Instant,
}

/// What is to be done about a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until something happens.
    Rest,
    /// Nothing until then.
    Wait(Instant),
    /// Dial the member.
    Dial,
    /// Open a link on this connection.
    Open(ConnectionId),
    /// Close this connection.
    Close(ConnectionId),
}

impl Peer {
    pub(super) fn new(addresses: BTreeSet<Multiaddr>, now: Instant) -> Self {
        Self {
            addresses,
            nearby: BTreeSet::new(),
            connections: BTreeMap::new(),
            link: None,
            opening: None,
            dialling: None,
            attempts: 0,
            not_before: now,
        }
    }

    /// Returns every address to try.
    pub(super) fn targets(&self) -> Vec<Multiaddr> {
        self.addresses.union(&self.nearby).cloned().collect()
    }

    /// Lets the next attempt happen at once: something changed.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.attempts = 0;
        self.not_before = now;
    }

    /// Notes a connection that was made.
    pub(super) fn on_connected(&mut self, connection: ConnectionId, now: Instant) {
        self.connections.insert(connection, Standing { since: now, answered: None });
        self.not_before = now;
        if self.dialling == Some(connection) {
            self.dialling = None;
        }
    }

    /// Sets the addresses found on the local network.
    pub(super) fn set_nearby(&mut self, nearby: BTreeSet<Multiaddr>, now: Instant) {
        if self.link.is_none() && !nearby.is_subset(&self.nearby) {
            self.hurry(now);
        }
        self.nearby = nearby;
    }

    /// Notes that an attempt failed; the next one waits longer.
    pub(super) fn on_failed(&mut self, now: Instant, timing: &Timing, jitter: &mut Jitter) {
        self.not_before = now + jitter.spread(delay(self.attempts, timing));
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Notes the end of a link; only one that lived for a while makes the next wait short.
    pub(super) fn on_link_ended(&mut self, link: Current, now: Instant, timing: &Timing, jitter: &mut Jitter) {
        if now.saturating_duration_since(link.since) >= timing.settle_time {
            self.attempts = 0;
        }
        self.on_failed(now, timing, jitter);
    }

    /// Decides what to do next; `lower` says whether this node is the lower of the two.
    pub(super) fn next_step(&self, lower: bool, now: Instant, timing: &Timing) -> Step {
        if let Some(link) = &self.link {
            return if lower { self.judge_spares(link, now, timing) } else { Step::Rest };
        }
        if self.opening.is_some() {
            return Step::Rest;
        }
        if let Some((connection, standing)) = self.connections.last_key_value() {
            let deadline = if lower { self.not_before } else { standing.since + timing.link_wait };
            return match (now >= deadline, lower) {
                (false, _) => Step::Wait(deadline),
                (true, true) => Step::Open(*connection),
                (true, false) => Step::Close(*connection),
            };
        }
        if self.dialling.is_some() || (self.addresses.is_empty() && self.nearby.is_empty()) {
            return Step::Rest;
        }
        if now < self.not_before { Step::Wait(self.not_before) } else { Step::Dial }
    }

    /// Decides between the link's connection and one made after it.
    ///
    /// Either two dials crossed, then the older answers pings and the newer goes; or the peer came back from a crash or
    /// another network, then the older stays silent and goes.
    fn judge_spares(&self, link: &Current, now: Instant, timing: &Timing) -> Step {
        let Some((spare, standing)) = self.connections.iter().rev().find(|(id, _)| **id != link.connection) else {
            return Step::Rest;
        };
        let own = self.connections.get(&link.connection);
        if own.is_some_and(|own| own.answered.is_some_and(|at| at > standing.since)) {
            return Step::Close(*spare);
        }
        let deadline = standing.since + timing.spare_grace;
        if now >= deadline { Step::Close(link.connection) } else { Step::Wait(deadline) }
    }
}

fn delay(attempts: u32, timing: &Timing) -> Duration {
    timing.retry_min.saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX)).min(timing.retry_max)
}

/// Spreads waits, so that nodes that fell together do not rise together.
#[derive(Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a wait between half of `wait` and all of it.
    pub(super) fn spread(&mut self, wait: Duration) -> Duration {
        // SplitMix64 (Steele, Lea, Flood 2014): enough for jitter.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let share = u32::try_from(bits % 1_001).expect("below 1,001");
        wait / 2 + wait / 2 * share / 1_000
    }
}

/// When each member is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    times: BTreeMap<NodeId, Instant>,
    queue: BTreeSet<(Instant, NodeId)>,
}

impl Schedule {
    /// Sets the time for a node, in place of any earlier one.
    pub(super) fn set(&mut self, node: NodeId, at: Instant) {
        self.clear(node);
        self.times.insert(node, at);
        self.queue.insert((at, node));
    }

    /// Forgets the time of a node.
    pub(super) fn clear(&mut self, node: NodeId) {
        if let Some(at) = self.times.remove(&node) {
            self.queue.remove(&(at, node));
        }
    }

    /// Returns the earliest time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes one node whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<NodeId> {
        let (at, node) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.clear(node);
        Some(node)
    }
}

#[cfg(test)]
mod tests;
