//! Whom to dial and when, and which of several connections to keep: rules for one member, without input or output.
//!
//! Both ends dial. The lower node alone opens links and closes what is one too many, so two dials that cross settle on
//! one link without either end undoing the other's choice. A direct connection is better than one through a relay, and
//! takes the link over as soon as it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

use super::link::LinkId;
use super::{Timing, address};

/// The first and the longest wait before a better way than through a relay is looked for again.
const BETTER_MIN: Duration = Duration::from_secs(4);
const BETTER_MAX: Duration = Duration::from_secs(5 * 60);

/// The ways by which a member can be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    /// At its own addresses.
    Direct,
    /// Through relays.
    Relayed,
}

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
    /// The dials that are under way.
    pub(super) dialling: BTreeMap<Route, ConnectionId>,
    /// The routes that were dialled since the last wait, and when the first was.
    tried: BTreeSet<Route>,
    round: Instant,
    attempts: u32,
    not_before: Instant,
    /// When connections made before are to be replaced: this node is in another network since.
    moved: Option<Instant>,
    /// When a better way than through a relay is looked for again, and how often that was in vain.
    better_at: Instant,
    better_tries: u32,
}

/// One connection of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) since: Instant,
    /// When the peer last answered a ping on it.
    pub(super) answered: Option<Instant>,
    /// The route it takes.
    pub(super) route: Route,
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
    /// Dial the member by this route.
    Dial(Route),
    /// Open a link on this connection.
    Open(ConnectionId),
    /// Close this connection.
    Close(ConnectionId),
}

impl Step {
    /// Returns this step, or the other one if that comes first.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Rest, step) | (step, Self::Rest) => step,
            (Self::Wait(first), Self::Wait(second)) => Self::Wait(first.min(second)),
            (Self::Wait(_), step) | (step, _) => step,
        }
    }
}

impl Peer {
    pub(super) fn new(addresses: BTreeSet<Multiaddr>, now: Instant) -> Self {
        Self {
            addresses,
            nearby: BTreeSet::new(),
            connections: BTreeMap::new(),
            link: None,
            opening: None,
            dialling: BTreeMap::new(),
            tried: BTreeSet::new(),
            round: now,
            attempts: 0,
            not_before: now,
            moved: None,
            better_at: now,
            better_tries: 0,
        }
    }

    /// Returns every address to try by a route; of each relay one, for to a relay there is a connection already.
    pub(super) fn targets(&self, route: Route) -> Vec<Multiaddr> {
        let (direct, circuits) = address::by_route(self.addresses.union(&self.nearby).cloned());
        if route == Route::Direct { direct } else { circuits }
    }

    /// Returns whether a direct connection stands.
    pub(super) fn has_direct(&self) -> bool {
        self.connections.values().any(|standing| standing.route == Route::Direct)
    }

    /// Returns an address of the member's own.
    pub(super) fn first_direct(&self) -> Option<Multiaddr> {
        self.targets(Route::Direct).into_iter().next()
    }

    fn routes(&self) -> BTreeSet<Route> {
        [Route::Direct, Route::Relayed].into_iter().filter(|route| !self.targets(*route).is_empty()).collect()
    }

    /// Lets the next attempt happen at once: something changed.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.attempts = 0;
        self.not_before = now;
        self.better_at = now;
        self.better_tries = 0;
        if self.dialling.is_empty() {
            self.tried.clear();
        }
    }

    /// Dials anew whatever stands or is under way: this node is in another network, and what was made in the last one
    /// is likely to be dead.
    pub(super) fn on_moved(&mut self, now: Instant) {
        self.dialling.clear();
        self.hurry(now);
        self.moved = Some(now);
    }

    /// Notes a connection that was made; after a move, returns those that it replaces.
    pub(super) fn on_connected(
        &mut self,
        connection: ConnectionId,
        route: Route,
        now: Instant,
    ) -> Option<Vec<ConnectionId>> {
        let replaced = self.moved.take().map(|_| self.connections.keys().copied().collect());
        self.connections.insert(connection, Standing { since: now, answered: None, route });
        self.not_before = now;
        self.tried.clear();
        self.dialling.retain(|_, dialling| *dialling != connection);
        if route == Route::Relayed && self.better_tries == 0 {
            self.better_at = now + BETTER_MIN;
        }
        replaced
    }

    /// Sets the addresses found on the local network.
    pub(super) fn set_nearby(&mut self, nearby: BTreeSet<Multiaddr>, now: Instant) {
        if !nearby.is_subset(&self.nearby) && self.is_wanting() {
            self.hurry(now);
        }
        self.nearby = nearby;
    }

    /// Returns whether the next dial begins a round.
    fn is_fresh(&self) -> bool {
        self.tried.is_empty() || (self.dialling.is_empty() && self.routes().is_subset(&self.tried))
    }

    /// Notes that a member is dialled.
    pub(super) fn on_dialled(&mut self, route: Route, connection: ConnectionId, now: Instant) {
        if self.link.is_some() && self.moved.is_none() {
            // Each time that a better way is looked for, the next time waits longer.
            let wait = BETTER_MIN.saturating_mul(1_u32.checked_shl(self.better_tries).unwrap_or(u32::MAX));
            self.better_at = now + wait.min(BETTER_MAX);
            self.better_tries = self.better_tries.saturating_add(1);
        } else {
            if self.is_fresh() {
                self.round = now;
                self.tried.clear();
            }
            self.tried.insert(route);
        }
        self.dialling.insert(route, connection);
    }

    /// Notes that a dial failed; returns whether that was the last one of its round.
    pub(super) fn on_dial_failed(&mut self, connection: ConnectionId) -> bool {
        let dials = self.dialling.len();
        self.dialling.retain(|_, dialling| *dialling != connection);
        let is_last = self.dialling.is_empty() && self.routes().is_subset(&self.tried);
        dials > self.dialling.len() && is_last
    }

    /// Notes that an attempt failed; the next one waits longer.
    pub(super) fn on_failed(&mut self, now: Instant, timing: &Timing, jitter: &mut Jitter) {
        self.tried.clear();
        self.not_before = now + jitter.spread(delay(self.attempts, timing));
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Notes the end of a link; only one that lived for a while makes the next wait short.
    pub(super) fn on_link_ended(&mut self, link: Current, now: Instant, timing: &Timing, jitter: &mut Jitter) {
        if now.saturating_duration_since(link.since) >= timing.settle_time {
            self.attempts = 0;
        }
        // What stands beside it is as good as any.
        if !self.connections.keys().any(|connection| *connection != link.connection) {
            self.on_failed(now, timing, jitter);
        }
    }

    /// Returns whether the link leads through a relay.
    pub(super) fn is_relayed(&self) -> bool {
        let standing = self.link.and_then(|link| self.connections.get(&link.connection));
        standing.is_some_and(|standing| standing.route == Route::Relayed)
    }

    /// Returns whether there is no link, or none that is as good as can be.
    pub(super) fn is_wanting(&self) -> bool {
        self.link.is_none() || self.is_relayed() || self.moved.is_some()
    }

    /// Decides what to do next; `lower` says whether this node is the lower of the two.
    pub(super) fn next_step(&self, lower: bool, now: Instant, timing: &Timing) -> Step {
        if let Some(link) = &self.link {
            let spares = if lower { self.judge_spares(link, now, timing) } else { Step::Rest };
            return spares.or(self.look_further(lower, now, timing));
        }
        if self.opening.is_some() {
            return Step::Rest;
        }
        if let Some((connection, standing)) = self.best() {
            let deadline = if lower { self.not_before } else { standing.since + timing.link_wait };
            return match (now >= deadline, lower) {
                (false, _) => Step::Wait(deadline),
                (true, true) => Step::Open(connection),
                (true, false) => Step::Close(connection),
            };
        }
        self.next_dial(now, timing)
    }

    /// Returns the connection to open a link on: a direct one, and of several the newest.
    fn best(&self) -> Option<(ConnectionId, &Standing)> {
        let direct = self.connections.iter().rev().find(|(_, standing)| standing.route == Route::Direct);
        direct.or(self.connections.last_key_value()).map(|(connection, standing)| (*connection, standing))
    }

    /// Decides which route to dial: relays cost others something, so that they come a little later.
    fn next_dial(&self, now: Instant, timing: &Timing) -> Step {
        let routes = self.routes();
        let is_fresh = self.is_fresh();
        let next = if is_fresh { routes.first() } else { routes.difference(&self.tried).next() };
        let due = match is_fresh {
            true => self.not_before,
            false if self.dialling.is_empty() => now,
            false => self.round + timing.head_start,
        };
        match next {
            None => Step::Rest,
            Some(_) if now < due => Step::Wait(due),
            Some(route) => Step::Dial(*route),
        }
    }

    /// Decides what to do about a member that is linked, but not as it should be.
    ///
    /// Of one in another network now, every route is tried. Of one through a relay, its own addresses are, and by the
    /// lower node a new circuit, on which both ends try again to meet without the relay.
    fn look_further(&self, lower: bool, now: Instant, timing: &Timing) -> Step {
        if self.moved.is_some() {
            return self.next_dial(now, timing);
        }
        if !self.is_relayed() || !self.dialling.is_empty() {
            return Step::Rest;
        }
        let wanted = if lower && self.better_tries.is_multiple_of(2) { Route::Relayed } else { Route::Direct };
        let routes = self.routes();
        match (routes.contains(&wanted), routes.first()) {
            _ if now < self.better_at => Step::Wait(self.better_at),
            (true, _) => Step::Dial(wanted),
            (false, Some(other)) if lower || *other == Route::Direct => Step::Dial(*other),
            (false, _) => Step::Rest,
        }
    }

    /// Decides between the link's connection and another.
    ///
    /// A direct one takes the place of one through a relay. Otherwise either two dials crossed, then the older answers
    /// pings and the newer goes; or the peer came back from a crash or another network, then the older stays silent and
    /// goes.
    fn judge_spares(&self, link: &Current, now: Instant, timing: &Timing) -> Step {
        if self.is_relayed()
            && self.opening.is_none()
            && let Some((direct, Standing { route: Route::Direct, .. })) = self.best()
        {
            return Step::Open(direct);
        }
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
