//! Relays, from both sides: whom this node relays for, and through whom others reach it; rules without input or output.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use libp2p::core::transport::ListenerId;
use libp2p::{Multiaddr, PeerId, relay};

use crate::pace::{Pace, Taken};

/// Relays through which a node that can not be reached makes itself known.
const RELAYS_MAX: usize = 2;

/// The first and the longest wait before a relay that refused is asked again.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// Bytes that pass through one circuit in each direction. The first sync of 100,000 beads takes about as much; a circuit
/// that is cut is followed by another, and the sync goes on where it was.
const CIRCUIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Time one circuit lasts.
const CIRCUIT_TIME_MAX: Duration = Duration::from_secs(60 * 60);

/// Circuits through one node.
const CIRCUITS_MAX: usize = 256;

/// Circuits of one node, to or from it.
const CIRCUITS_PER_PEER_MAX: usize = 64;

/// Reservations on one node.
const RESERVATIONS_MAX: usize = 1_024;

/// Reservations of one node: one on each connection, of which some may be dead without anybody's knowing it yet.
const RESERVATIONS_PER_PEER_MAX: usize = 8;

/// How fast a member may ask for reservations and circuits.
const MEMBER_PACE: Pace = Pace { burst: 64, refill: Duration::from_millis(500), gain: 1 };

/// How fast strangers, all together, may ask for circuits.
const STRANGERS_PACE: Pace = Pace { burst: 8, refill: Duration::from_secs(2), gain: 1 };

/// Whom this node relays for: shared with the relay, which asks each time.
#[derive(Debug, Clone)]
pub(super) struct Permits(Arc<Mutex<Rules>>);

#[derive(Debug)]
struct Rules {
    members: BTreeMap<PeerId, Taken>,
    strangers: Taken,
    /// Members that have an invite open, so that strangers may ask for circuits to them.
    hosts: BTreeSet<PeerId>,
}

impl Permits {
    pub(super) fn new(now: Instant) -> Self {
        let strangers = Taken::nothing(now);
        let rules = Rules { members: BTreeMap::new(), strangers, hosts: BTreeSet::new() };
        Self(Arc::new(Mutex::new(rules)))
    }

    /// Sets who is a member.
    pub(super) fn set_members(&self, members: &BTreeSet<PeerId>, now: Instant) {
        let mut rules = self.lock();
        let earlier = std::mem::take(&mut rules.members);
        let taken = |member: &PeerId| earlier.get(member).copied().unwrap_or(Taken::nothing(now));
        rules.members = members.iter().map(|member| (*member, taken(member))).collect();
        rules.hosts.retain(|host| members.contains(host));
    }

    /// Notes whether a member has an invite open.
    pub(super) fn set_host(&self, member: PeerId, is_host: bool) {
        let mut rules = self.lock();
        if is_host && rules.members.contains_key(&member) {
            rules.hosts.insert(member);
        } else {
            rules.hosts.remove(&member);
        }
    }

    /// Returns whether any member has an invite open.
    pub(super) fn has_hosts(&self) -> bool {
        !self.lock().hosts.is_empty()
    }

    /// Returns whether a node gets a reservation now: members do.
    fn may_reserve(&self, peer: &PeerId, now: Instant) -> bool {
        self.lock().members.get_mut(peer).is_some_and(|taken| taken.take(&MEMBER_PACE, now))
    }

    /// Returns whether a node gets a circuit now: members do, and strangers while a member has an invite open.
    fn may_connect(&self, peer: &PeerId, now: Instant) -> bool {
        let mut rules = self.lock();
        if let Some(taken) = rules.members.get_mut(peer) {
            return taken.take(&MEMBER_PACE, now);
        }
        !rules.hosts.is_empty() && rules.strangers.take(&STRANGERS_PACE, now)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the bounds of the relay that asks these permits.
pub(super) fn bounds(permits: &Permits) -> relay::Config {
    let (reserving, connecting) = (permits.clone(), permits.clone());
    relay::Config {
        max_reservations: RESERVATIONS_MAX,
        max_reservations_per_peer: RESERVATIONS_PER_PEER_MAX,
        reservation_duration: CIRCUIT_TIME_MAX,
        reservation_rate_limiters: vec![Box::new(move |peer, _: &Multiaddr, now| reserving.may_reserve(&peer, now))],
        max_circuits: CIRCUITS_MAX,
        max_circuits_per_peer: CIRCUITS_PER_PEER_MAX,
        max_circuit_duration: CIRCUIT_TIME_MAX,
        max_circuit_bytes: CIRCUIT_BYTES_MAX,
        circuit_src_rate_limiters: vec![Box::new(move |peer, _: &Multiaddr, now| connecting.may_connect(&peer, now))],
    }
}

/// The reservations of this node.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    /// Members that relay, by what they say themselves.
    offering: BTreeSet<NodeId>,
    /// What was asked for and not refused: few.
    asked: Vec<Reservation>,
    refusals: BTreeMap<NodeId, Refusals>,
}

#[derive(Debug)]
struct Reservation {
    listener: ListenerId,
    relay: NodeId,
    is_accepted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Refusals {
    count: u32,
    not_before: Instant,
}

/// What is to be done about reservations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until something happens.
    Rest,
    /// Nothing until then.
    Wait(Instant),
    /// Ask this relay.
    Reserve(NodeId),
}

impl Reservations {
    /// Notes whether a member relays for others.
    pub(super) fn set_offering(&mut self, node: NodeId, is_offering: bool) {
        if is_offering {
            self.offering.insert(node);
        } else {
            self.offering.remove(&node);
        }
    }

    /// Decides whom to ask next; `is_linked` says who can be asked.
    pub(super) fn next_step(&self, now: Instant, is_linked: impl Fn(&NodeId) -> bool) -> Step {
        if self.asked.len() >= RELAYS_MAX {
            return Step::Rest;
        }
        let is_asked = |node: &NodeId| self.asked.iter().any(|reservation| reservation.relay == *node);
        let mut step = Step::Rest;
        for node in self.offering.iter().filter(|node| !is_asked(node) && is_linked(node)) {
            match self.refusals.get(node).map(|refusals| refusals.not_before).filter(|at| *at > now) {
                None => return Step::Reserve(*node),
                Some(at) => match step {
                    Step::Wait(earlier) if earlier <= at => {}
                    _ => step = Step::Wait(at),
                },
            }
        }
        step
    }

    /// Notes that a relay is asked.
    pub(super) fn on_asked(&mut self, relay: NodeId, listener: ListenerId) {
        self.asked.push(Reservation { listener, relay, is_accepted: false });
    }

    /// Notes that a relay has granted a reservation.
    pub(super) fn on_accepted(&mut self, relay: NodeId) {
        self.refusals.remove(&relay);
        for reservation in self.asked.iter_mut().filter(|reservation| reservation.relay == relay) {
            reservation.is_accepted = true;
        }
    }

    /// Notes the end of a reservation, or that there is none; returns the relay.
    pub(super) fn on_closed(&mut self, listener: ListenerId, now: Instant) -> Option<NodeId> {
        let at = self.asked.iter().position(|reservation| reservation.listener == listener)?;
        let reservation = self.asked.remove(at);
        if !reservation.is_accepted {
            self.on_refused(reservation.relay, now);
        }
        Some(reservation.relay)
    }

    /// Notes that a relay could not be asked, or refused; it is asked again later.
    pub(super) fn on_refused(&mut self, relay: NodeId, now: Instant) {
        let refusals = self.refusals.entry(relay).or_insert(Refusals { count: 0, not_before: now });
        let wait = RETRY_MIN.saturating_mul(1_u32.checked_shl(refusals.count).unwrap_or(u32::MAX)).min(RETRY_MAX);
        *refusals = Refusals { count: refusals.count.saturating_add(1), not_before: now + wait };
    }

    /// Forgets refusals: in another network, another try may do.
    pub(super) fn on_moved(&mut self) {
        self.refusals.clear();
    }

    /// Forgets a node that is no longer a member.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.offering.remove(node);
        self.refusals.remove(node);
    }

    /// Returns the relays through which this node can be reached.
    pub(super) fn relays(&self) -> BTreeSet<NodeId> {
        let accepted = self.asked.iter().filter(|reservation| reservation.is_accepted);
        accepted.map(|reservation| reservation.relay).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    #[test]
    fn strangers_get_circuits_only_while_an_invite_is_open_and_reservations_never() {
        let now = Instant::now();
        let permits = Permits::new(now);
        let (member, stranger) = (PeerId::random(), PeerId::random());
        permits.set_members(&[member].into(), now);
        assert!(permits.may_reserve(&member, now) && permits.may_connect(&member, now));
        assert!(!permits.may_reserve(&stranger, now) && !permits.may_connect(&stranger, now));
        permits.set_host(stranger, true);
        assert!(!permits.has_hosts(), "a stranger opens nothing");
        permits.set_host(member, true);
        assert!(!permits.may_reserve(&stranger, now));
        let circuits = (0..100).filter(|_| permits.may_connect(&PeerId::random(), now)).count();
        assert_eq!(circuits, 8);
        assert!(permits.may_connect(&member, now), "members are not slowed down by strangers");
        permits.set_members(&BTreeSet::new(), now);
        assert!(!permits.has_hosts() && !permits.may_reserve(&member, now));
    }

    #[test]
    fn a_member_that_asks_too_fast_is_slowed_down() {
        let now = Instant::now();
        let permits = Permits::new(now);
        let member = PeerId::random();
        permits.set_members(&[member].into(), now);
        let granted = (0..1_000).filter(|_| permits.may_connect(&member, now)).count();
        assert_eq!(granted, 64);
        permits.set_members(&[member].into(), now);
        assert!(!permits.may_connect(&member, now), "said again, it is no other member");
        assert!(permits.may_connect(&member, now + MEMBER_PACE.refill));
    }

    #[test]
    fn two_relays_are_kept_and_a_dead_one_is_replaced() {
        let now = Instant::now();
        let mut reservations = Reservations::default();
        let all = |_: &NodeId| true;
        assert_eq!(reservations.next_step(now, all), Step::Rest);
        for byte in 1..=3 {
            reservations.set_offering(node(byte), true);
        }
        let listeners = [ListenerId::next(), ListenerId::next()];
        for (byte, listener) in (1..).zip(listeners) {
            assert_eq!(reservations.next_step(now, all), Step::Reserve(node(byte)));
            reservations.on_asked(node(byte), listener);
            reservations.on_accepted(node(byte));
        }
        assert_eq!(reservations.next_step(now, all), Step::Rest);
        assert_eq!(reservations.relays(), [node(1), node(2)].into());
        assert_eq!(reservations.on_closed(listeners[0], now), Some(node(1)));
        let without_first = |node: &NodeId| *node != NodeId::from_bytes([1; 32]);
        assert_eq!(reservations.next_step(now, without_first), Step::Reserve(node(3)));
        assert_eq!(reservations.next_step(now, all), Step::Reserve(node(1)), "one that was lost may be asked at once");
    }

    #[test]
    fn a_relay_that_refuses_is_asked_again_ever_later() {
        let mut now = Instant::now();
        let mut reservations = Reservations::default();
        reservations.set_offering(node(1), true);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(reservations.next_step(now, |_| true), Step::Reserve(node(1)));
            let listener = ListenerId::next();
            reservations.on_asked(node(1), listener);
            reservations.on_closed(listener, now);
            let Step::Wait(at) = reservations.next_step(now, |_| true) else { panic!("asked again at once") };
            waits.push(at - now);
            now = at;
        }
        assert_eq!((waits[0], waits[1], waits[11]), (RETRY_MIN, 2 * RETRY_MIN, RETRY_MAX));
        reservations.on_closed(ListenerId::next(), now);
        reservations.on_refused(node(1), now);
        reservations.on_moved();
        assert_eq!(reservations.next_step(now, |_| true), Step::Reserve(node(1)));
    }
}
