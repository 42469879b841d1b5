//! What the driver does with each event of the swarm.

use std::time::Instant;

use beadmesh_protocol::limits;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, PeerId, dcutr, identify, mdns, ping};
use tracing::{debug, info};

use super::{Connection, Driver};
use crate::net::address::{self, Path};
use crate::net::behaviour::BehaviourEvent;
use crate::net::event::Event;
use crate::net::link::DownReason;
use crate::net::peer;
use crate::net::streams::{Kind, Opened, Side};

impl Driver {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.recorder.record(&event);
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(opened)) => self.on_opened(opened),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossip)) => self.on_gossip(gossip),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => self.on_ping(ping),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => self.on_discovered(found),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Expired(gone))) => self.on_expired(gone),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            })) => {
                self.on_identified(peer_id, connection_id, &info);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Probe(probed)) => self.on_probed(&probed),
            SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => self.on_relaying(event),
            SwarmEvent::Behaviour(BehaviourEvent::Relayed(event)) => self.on_relayed(&event),
            SwarmEvent::Behaviour(BehaviourEvent::Punch(dcutr::Event { remote_peer_id, result })) => {
                debug!(peer = %remote_peer_id, ?result, "tried to meet without a relay");
            }
            SwarmEvent::NewExternalAddrCandidate { address } => self.on_seen_at(&address),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                let cause = cause.map_or_else(|| "closed".to_owned(), |cause| cause.to_string());
                self.on_disconnected(connection_id, &cause);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), connection_id, error } => {
                self.on_dial_error(&peer, connection_id, &reason(&error));
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                self.shared.refusals.count_connection(&error);
                debug!(from = %send_back_addr, %error, "refused a connection");
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                if address::is_circuit(&address) {
                    info!(%address, "listening through a relay");
                } else {
                    self.tell(Event::Listening(address.to_string()));
                }
                self.listened.insert(address::bare(&address));
                self.on_listening_changed(&address, true);
                self.on_addresses_changed();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.listened.remove(&address::bare(&address));
                self.on_listening_changed(&address, false);
                self.on_addresses_changed();
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                if let Err(error) = reason {
                    info!(%error, ?addresses, "no longer listening");
                }
                for address in &addresses {
                    self.listened.remove(&address::bare(address));
                }
                self.on_reservation_closed(listener_id);
                self.on_addresses_changed();
            }
            _ => {}
        }
    }

    pub(super) fn on_addresses_changed(&mut self) {
        let reached = self.listened.iter().chain(self.relays.outside()).cloned().collect();
        let addresses = address::announced(&reached, &self.explicit);
        self.on_reach_changed(&addresses);
        let changed = self.shared.addresses.send_if_modified(|known| {
            let changed = *known != addresses;
            known.clone_from(&addresses);
            changed
        });
        if changed {
            self.tell(Event::AddressesChanged(addresses));
            self.hurry_all();
        }
    }

    fn on_connected(&mut self, peer_id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        let Some(node) = peer::node_id(&peer_id) else {
            // No member has such a key; a stranger with it could not be admitted.
            self.swarm.close_connection(connection);
            return;
        };
        let known = Connection { node, path: self.path(endpoint), dialer: endpoint.is_dialer() };
        debug!(peer = %node.short(), path = %known.path, "connected");
        let route = known.route();
        self.connections.insert(connection, known);
        if let Some(peer) = self.peers.get_mut(&node) {
            let replaced = peer.on_connected(connection, route, now);
            if replaced.is_some() && node < self.local {
                // The peer opens the link, and may not know yet that it has to.
                self.swarm.behaviour_mut().streams.open(peer_id, connection, Kind::Roam);
            }
            for older in replaced.into_iter().flatten() {
                self.end_connection(older, &DownReason::Lost("this node is in another network now".to_owned()));
            }
            self.consider(node, now);
        }
        self.join_on_connected(node, connection, now);
    }

    /// Describes the way of a connection. Where a circuit came by a connection that its relay made, only that
    /// connection says which relay it is.
    fn path(&self, endpoint: &ConnectedPoint) -> Path {
        let mut path = Path::of(endpoint);
        if path.is_relayed() && path.relay.is_none() {
            let is_its = |known: &&Connection| !known.path.is_relayed() && known.path.address == path.address;
            let own = self.connections.values().find(is_its);
            path.relay = own.map(|known| known.node);
        }
        path
    }

    fn on_disconnected(&mut self, connection: ConnectionId, cause: &str) {
        let now = Instant::now();
        let Some(Connection { node, .. }) = self.connections.remove(&connection) else { return };
        debug!(peer = %node.short(), cause, "disconnected");
        self.join_on_disconnected(node, connection, cause);
        self.blobs_on_disconnected(node, connection, cause);
        self.leases_on_disconnected(connection);
        self.relays_on_disconnected(node);
        let links: Vec<_> = self.shared.links().values().cloned().collect();
        for link in links.iter().filter(|link| link.connection == connection) {
            link.end(DownReason::Lost(cause.to_owned()));
        }
        let Some(peer) = self.peers.get_mut(&node) else { return };
        // A link on it would have been the one to wait after.
        let never_linked = peer.connections.remove(&connection).is_some()
            && peer.connections.is_empty()
            && peer.link.is_none()
            && !links.iter().any(|link| link.connection == connection);
        if peer.opening == Some(connection) {
            peer.opening = None;
        }
        if never_linked {
            peer.on_failed(now, &self.timing, &mut self.jitter);
            self.tell(Event::DialFailed { node, reason: format!("the peer let go before a link stood ({cause})") });
        }
        self.consider(node, now);
    }

    fn on_dial_error(&mut self, peer_id: &PeerId, connection: ConnectionId, reason: &str) {
        let Some(node) = peer::node_id(peer_id) else { return };
        self.join_on_dial_error(node, connection, reason);
        self.on_dial_failed(node, connection, reason);
    }

    fn on_ping(&mut self, event: ping::Event) {
        let now = Instant::now();
        let Some(Connection { node, .. }) = self.connections.get(&event.connection).cloned() else { return };
        match event.result {
            Ok(round_trip) => {
                let Some(peer) = self.peers.get_mut(&node) else { return };
                if let Some(standing) = peer.connections.get_mut(&event.connection) {
                    standing.answered = Some(now);
                }
                if peer.link.is_some_and(|link| link.connection == event.connection)
                    && let Some(way) = self.shared.ways().get_mut(&node)
                {
                    way.round_trip = Some(round_trip);
                }
                if peer.connections.len() > 1 {
                    self.consider(node, now);
                }
            }
            Err(failure) => {
                debug!(peer = %node.short(), %failure, "no answer to pings");
                self.end_connection(event.connection, &DownReason::Silent);
            }
        }
    }

    /// Remembers what was found on the local network, of strangers too: they may become members.
    fn on_discovered(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        let now = Instant::now();
        for (peer_id, found) in found {
            let Some(node) = peer::node_id(&peer_id) else { continue };
            if !address::is_of_known_form(&found) {
                continue;
            }
            if self.nearby.len() >= limits::NODES_MAX && !self.nearby.contains_key(&node) {
                continue;
            }
            let known = self.nearby.entry(node).or_default();
            if known.len() >= limits::ADDRESSES_MAX || !known.insert(address::bare(&found)) {
                continue;
            }
            let known = known.clone();
            if let Some(peer) = self.peers.get_mut(&node) {
                debug!(peer = %node.short(), address = %found, "found on the local network");
                peer.set_nearby(known, now);
                self.consider(node, now);
            }
        }
    }

    fn on_expired(&mut self, expired: Vec<(PeerId, Multiaddr)>) {
        let now = Instant::now();
        for (peer_id, expired) in expired {
            let Some(node) = peer::node_id(&peer_id) else { continue };
            let Some(known) = self.nearby.get_mut(&node) else { continue };
            known.remove(&address::bare(&expired));
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.set_nearby(known.clone(), now);
            }
            if known.is_empty() {
                self.nearby.remove(&node);
            }
        }
    }

    fn on_opened(&mut self, opened: Opened) {
        let Opened { peer, connection, kind, side, result } = opened;
        let Some(node) = peer::node_id(&peer) else { return };
        if !self.connections.contains_key(&connection) {
            return;
        }
        match (kind, side, result) {
            (Kind::Sync, Side::Ours, result) => self.on_sync_opened(node, connection, result),
            (Kind::Sync, Side::Theirs, Ok(stream)) => self.on_sync_asked(node, connection, stream),
            (Kind::Join, Side::Ours, result) => self.on_join_opened(node, connection, result),
            (Kind::Join, Side::Theirs, Ok(stream)) => self.on_join_asked(node, connection, stream),
            (Kind::Blob, Side::Ours, result) => self.on_blob_opened(node, connection, result),
            (Kind::Blob, Side::Theirs, Ok(stream)) => self.on_blob_asked(node, connection, stream),
            (Kind::Lease, Side::Ours, result) => self.on_lease_opened(connection, result),
            (Kind::Lease, Side::Theirs, Ok(stream)) => self.on_lease_asked(node, connection, stream),
            (Kind::Roam, Side::Ours, _) => {}
            (Kind::Roam, Side::Theirs, Ok(_)) => self.on_roamed(node, connection),
            (_, Side::Theirs, Err(_)) => {}
        }
    }
}

/// Says in one line what came of a dial.
pub(super) fn reason(error: &DialError) -> String {
    match error {
        DialError::Transport(tried) => {
            let shown = tried.iter().take(3).map(|(address, error)| {
                let mut innermost: &dyn std::error::Error = error;
                while let Some(source) = innermost.source() {
                    innermost = source;
                }
                format!("{}: {innermost}", address::bare(address))
            });
            shown.collect::<Vec<_>>().join("; ")
        }
        DialError::WrongPeerId { obtained, address } => {
            let other = peer::node_id(obtained).map_or_else(|| obtained.to_string(), |node| node.to_string());
            let place: Multiaddr = address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect();
            format!("{place} is another node, {other}")
        }
        other => other.to_string(),
    }
}
