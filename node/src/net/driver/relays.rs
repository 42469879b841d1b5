//! What the driver does about being reached: relaying for others, being relayed by others, and moving between networks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use libp2p::autonat::v2::client;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId, identify, relay};
use tracing::{debug, info};

use super::Driver;
use crate::net::footing::{Footing, Hearsay, Reachability};
use crate::net::relay::{Permits, Reservations, Step};
use crate::net::streams::Kind;
use crate::net::{address, peer};

/// Time in which the changes of one move to another network are taken together.
const MOVE_SETTLE: Duration = Duration::from_millis(100);

/// Time after a move in which more of it may follow, such as an address of the new network.
const MOVE_TIME: Duration = Duration::from_secs(10);

/// How much later than planned the driver goes on when it was stopped, and by how much the clock that counts sleep runs
/// ahead of the other when the machine slept.
const STOPPED_MIN: Duration = Duration::from_secs(10);
const SLEPT_MIN: Duration = Duration::from_secs(2);

/// What the driver knows about being reached.
#[derive(Debug)]
pub(super) struct Relays {
    pub(super) permits: Permits,
    hearsay: Hearsay,
    reservations: Reservations,
    /// When a relay may be asked again.
    reserve_at: Option<Instant>,
    /// Addresses at which the relay of this node is said to be.
    served: BTreeSet<Multiaddr>,
    footing: Footing,
    /// When a move is to be acted on, and when the last one was.
    moving: Option<Instant>,
    moved: Option<Instant>,
}

impl Relays {
    pub(super) fn new(permits: Permits, hearsay: Hearsay) -> Self {
        Self {
            permits,
            hearsay,
            reservations: Reservations::default(),
            reserve_at: None,
            served: BTreeSet::new(),
            footing: Footing::default(),
            moving: None,
            moved: None,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.reserve_at.into_iter().chain(self.moving).min()
    }

    /// Returns the addresses at which this node is reached from outside, wherever it listens.
    pub(super) fn outside(&self) -> impl Iterator<Item = &Multiaddr> {
        self.hearsay.outside()
    }
}

/// Returns whether this process stood still for a while: it was stopped, or the machine slept.
pub(super) fn stood_still(planned: Duration, counted: Duration, slept: Duration) -> bool {
    slept > counted + SLEPT_MIN || slept > planned + STOPPED_MIN
}

impl Driver {
    /// Does what is due about relays and moves.
    pub(super) fn sweep_relays(&mut self, now: Instant) {
        if self.relays.moving.is_some_and(|at| at <= now) {
            self.relays.moving = None;
            self.relays.moved = Some(now);
            info!("this node is in another network: every member is dialled anew");
            self.relays.reservations.on_moved();
            for address in self.relays.hearsay.on_moved() {
                self.swarm.remove_external_address(&address);
            }
            self.on_addresses_changed();
            self.on_moved();
        }
        if self.relays.reserve_at.is_some_and(|at| at <= now) {
            self.reserve(now);
        }
    }

    /// Takes note of a change of the addresses listened on that looks like a move to another network.
    pub(super) fn on_listening_changed(&mut self, address: &Multiaddr, is_new: bool) {
        let is_local = !address::is_routed(address);
        let now = Instant::now();
        // A new address alone, such as that of a container's bridge, breaks nothing that stands.
        let is_part = self.relays.moved.is_some_and(|moved| now < moved + MOVE_TIME);
        if !is_local && !address::is_circuit(address) && (is_part || !is_new) {
            self.relays.moving.get_or_insert(now + MOVE_SETTLE);
        }
    }

    /// Acts as after a move: whatever stood still may have been given up by others.
    pub(super) fn on_stood_still(&mut self) {
        self.relays.moving = Some(Instant::now());
    }

    /// Judges anew how this node can be reached, and does what follows from it.
    pub(super) fn on_reach_changed(&mut self, told: &[String]) {
        let told: BTreeSet<Multiaddr> = told.iter().filter_map(|address| address.parse().ok()).collect();
        let reach = self.relays.hearsay.reach(&told);
        let is_relay = self.relays.hearsay.is_relay(reach);
        let served = if is_relay { self.relays.hearsay.served(&told) } else { BTreeSet::new() };
        for gone in self.relays.served.difference(&served) {
            self.swarm.remove_external_address(gone);
        }
        for new in served.difference(&self.relays.served) {
            self.swarm.add_external_address(new.clone());
        }
        self.relays.served = served;
        let footing = &mut self.relays.footing;
        if footing.is_relay != is_relay {
            info!(is_relay, "relaying for members that can not reach each other");
            let status = if is_relay { relay::Status::Enable } else { relay::Status::Disable };
            self.swarm.behaviour_mut().relay.set_status(Some(status));
        }
        if footing.reach != reach {
            info!(%reach, "judged whether this node can be reached from anywhere");
        }
        (footing.reach, footing.is_relay) = (reach, is_relay);
        self.on_hosts_changed();
        self.reserve(Instant::now());
    }

    /// Shows how this node stands to whoever asks.
    fn show_footing(&mut self) {
        self.relays.footing.relays = self.relays.reservations.relays();
        *self.shared.footing() = self.relays.footing.clone();
    }

    /// Asks for what reservations are wanted.
    pub(super) fn reserve(&mut self, now: Instant) {
        self.relays.reserve_at = None;
        while self.relays.footing.reach != Reachability::Public {
            let is_linked = |node: &NodeId| self.peers.get(node).is_some_and(|peer| peer.has_direct());
            match self.relays.reservations.next_step(now, is_linked) {
                Step::Rest => break,
                Step::Wait(at) => {
                    self.relays.reserve_at = Some(at);
                    break;
                }
                Step::Reserve(node) => self.ask_relay(node, now),
            }
        }
        self.show_footing();
    }

    fn ask_relay(&mut self, node: NodeId, now: Instant) {
        let direct = |known: &&super::Connection| known.node == node && !known.path.is_relayed();
        let dialled = self.connections.values().find(|known| direct(known) && known.dialer);
        let dialled = dialled.and_then(|known| known.path.address.parse().ok());
        let known = self.peers.get(&node).and_then(|peer| peer.first_direct());
        let asked = dialled.or(known).map(|relay: Multiaddr| {
            let circuit = relay.with(Protocol::P2p(peer::peer_id(node))).with(Protocol::P2pCircuit);
            self.swarm.listen_on(circuit).map_err(|error| error.to_string())
        });
        match asked.unwrap_or_else(|| Err("nobody knows where it is".to_owned())) {
            Ok(listener) => {
                debug!(relay = %node.short(), "asking for a reservation");
                self.relays.reservations.on_asked(node, listener);
            }
            Err(error) => {
                debug!(relay = %node.short(), error, "a relay can not be asked");
                self.relays.reservations.on_refused(node, now);
            }
        }
    }

    /// Takes note of the end of a listener, if it was a reservation.
    pub(super) fn on_reservation_closed(&mut self, listener: libp2p::core::transport::ListenerId) {
        let now = Instant::now();
        if let Some(node) = self.relays.reservations.on_closed(listener, now) {
            info!(relay = %node.short(), "no reservation any more");
            self.reserve(now);
        }
    }

    /// Takes note of what a peer says it offers; a circuit to it offers less.
    pub(super) fn on_identified(&mut self, peer_id: PeerId, connection: ConnectionId, info: &identify::Info) {
        let Some(node) = peer::node_id(&peer_id) else { return };
        if self.connections.get(&connection).is_none_or(|known| known.path.is_relayed()) {
            return;
        }
        let has_join = info.protocols.contains(&Kind::Join.protocol());
        self.relays.reservations.set_offering(node, info.protocols.contains(&relay::HOP_PROTOCOL_NAME));
        self.relays.permits.set_host(peer_id, has_join);
        self.on_hosts_changed();
        self.reserve(Instant::now());
    }

    /// Lets strangers come, or keeps them out, by whether a member that can be relayed to has an invite open.
    fn on_hosts_changed(&mut self) {
        let is_open = self.relays.footing.is_relay && self.relays.permits.has_hosts();
        self.swarm.behaviour_mut().streams.set_hosts_open(is_open);
    }

    /// Forgets what a peer offered that is not connected any more.
    pub(super) fn relays_on_disconnected(&mut self, node: NodeId) {
        if !self.connections.values().any(|known| known.node == node && !known.path.is_relayed()) {
            self.relays.reservations.set_offering(node, false);
            self.relays.permits.set_host(peer::peer_id(node), false);
            self.on_hosts_changed();
        }
    }

    pub(super) fn relays_on_removed(&mut self, node: &NodeId) {
        self.relays.reservations.forget(node);
    }

    /// Takes note of what a peer says of an address of this node that it tried.
    pub(super) fn on_probed(&mut self, event: &client::Event) {
        let client::Event { tested_addr, result, .. } = event;
        debug!(address = %tested_addr, ?result, "an address of this node was tried from outside");
        self.relays.hearsay.on_tried(tested_addr, result.is_ok());
        self.on_addresses_changed();
    }

    /// Takes note of an address at which a peer sees this node.
    pub(super) fn on_seen_at(&mut self, address: &Multiaddr) {
        if self.relays.hearsay.on_seen(address) {
            self.swarm.add_external_address(address.clone());
            self.on_addresses_changed();
        }
    }

    pub(super) fn on_relayed(&mut self, event: &relay::client::Event) {
        if let relay::client::Event::ReservationReqAccepted { relay_peer_id, renewal, .. } = event
            && let Some(node) = peer::node_id(relay_peer_id)
        {
            if !renewal {
                info!(relay = %node.short(), "reserved");
            }
            self.relays.reservations.on_accepted(node);
            self.show_footing();
        }
    }

    pub(super) fn on_relaying(&mut self, event: relay::Event) {
        match event {
            relay::Event::CircuitReqAccepted { src_peer_id, dst_peer_id } => {
                debug!(source = %src_peer_id, target = %dst_peer_id, "a circuit begins");
                self.relays.footing.circuits += 1;
                self.join_on_circuit(&src_peer_id);
            }
            relay::Event::CircuitClosed { src_peer_id, dst_peer_id, error } => {
                debug!(source = %src_peer_id, target = %dst_peer_id, ?error, "a circuit ends");
                self.relays.footing.circuits = self.relays.footing.circuits.saturating_sub(1);
            }
            refused @ (relay::Event::CircuitReqDenied { .. } | relay::Event::ReservationReqDenied { .. }) => {
                debug!(?refused, "not relayed");
            }
            _ => {}
        }
        self.show_footing();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_and_a_stop_are_told_from_a_quiet_time() {
        let seconds = Duration::from_secs;
        assert!(!stood_still(seconds(30), seconds(30), seconds(30)));
        assert!(!stood_still(seconds(1), seconds(4), seconds(4)), "a busy machine");
        assert!(stood_still(seconds(30), seconds(1), seconds(9)), "asleep, by the clock that counts it");
        assert!(stood_still(seconds(5), seconds(60), seconds(60)), "stopped");
    }
}
