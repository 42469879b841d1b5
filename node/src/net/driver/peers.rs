//! How the driver keeps members linked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use tracing::{Instrument, debug, info_span};

use super::{Connection, Driver, Ended};
use crate::net::address;
use crate::net::dialer::{Current, Peer, Route, Step};
use crate::net::event::Event;
use crate::net::gate::Grade;
use crate::net::handle::Way;
use crate::net::link::{DownReason, Link, LinkId, Task};
use crate::net::streams::Kind;
use crate::net::{driver, peer};

/// Members that are dialled at one time.
const DIALS_MAX: usize = 32;

/// Wait of a member whose turn to be dialled has not come.
const TURN_WAIT: Duration = Duration::from_millis(250);

impl Driver {
    pub(super) fn on_wishes(&mut self) {
        let now = Instant::now();
        let wishes = self.wishes.borrow_and_update().clone();
        self.swarm.behaviour_mut().streams.set_join_open(wishes.join_open);
        let mut members = wishes.members;
        members.remove(&self.local);
        members.retain(|node, _| !wishes.banned.contains(node));
        let banned = wishes.banned.iter().map(|node| peer::peer_id(*node)).collect();
        self.swarm.behaviour_mut().streams.set_banned(banned);
        let gone: BTreeSet<_> = self.peers.keys().filter(|node| !members.contains_key(node)).copied().collect();
        let parting = self.parting(&gone);
        for node in gone {
            let reason = if wishes.banned.contains(&node) { DownReason::Banned } else { DownReason::Removed };
            self.drop_member(node, &reason);
        }
        let peers: BTreeSet<_> = members.keys().map(|node| peer::peer_id(*node)).collect();
        self.ears.set_members(&members.keys().copied().collect(), now);
        let behaviour = self.swarm.behaviour_mut();
        if let Some(topic) = &wishes.topic {
            behaviour.gossip.set_topic(topic);
        }
        behaviour.gossip.set_members(peers.clone());
        behaviour.streams.set_members(peers, &parting);
        for (node, texts) in &members {
            self.keep_member(*node, texts, now);
        }
        self.reserve(now);
    }

    /// Returns the connections on which the links of those nodes hand over their last frames.
    fn parting(&self, nodes: &BTreeSet<NodeId>) -> BTreeSet<ConnectionId> {
        let links = self.shared.links();
        let parting = links.values().filter(|link| nodes.contains(&link.node) && link.is_parting());
        parting.map(|link| link.connection).collect()
    }

    fn drop_member(&mut self, node: NodeId, reason: &DownReason) {
        debug!(peer = %node.short(), %reason, "no longer linked");
        self.schedule.clear(node);
        self.peers.remove(&node);
        self.shared.ways().remove(&node);
        self.relays_on_removed(&node);
        let links: Vec<_> = self.shared.links().values().filter(|link| link.node == node).cloned().collect();
        for link in links {
            link.end(reason.clone());
        }
    }

    fn keep_member(&mut self, node: NodeId, texts: &[String], now: Instant) {
        let addresses = address::dialable(self.local, node, texts);
        if let Some(peer) = self.peers.get_mut(&node) {
            let news = !addresses.is_subset(&peer.addresses);
            peer.addresses = addresses;
            if news && peer.is_wanting() {
                peer.hurry(now);
                self.consider(node, now);
            }
            return;
        }
        let mut peer = Peer::new(addresses, now);
        if let Some(nearby) = self.nearby.get(&node) {
            peer.set_nearby(nearby.clone(), now);
        }
        for (connection, known) in &self.connections {
            if known.node == node {
                peer.on_connected(*connection, known.route(), now);
            }
        }
        self.peers.insert(node, peer);
        self.consider(node, now);
    }

    /// Looks at once at every member without a link of the best kind: the way to it may be another now.
    pub(super) fn hurry_all(&mut self) {
        let now = Instant::now();
        let wanting: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.is_wanting()).map(|(node, _)| *node).collect();
        for node in wanting {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.hurry(now);
            }
            self.consider(node, now);
        }
    }

    /// Dials every member anew: this node is in another network, or slept, and what stands is likely to be dead.
    pub(super) fn on_moved(&mut self) {
        let now = Instant::now();
        let nodes: Vec<_> = self.peers.keys().copied().collect();
        for node in nodes {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.on_moved(now);
            }
            self.consider(node, now);
        }
    }

    /// Links a member anew that came back from another network: on the connection by which it says so.
    pub(super) fn on_roamed(&mut self, node: NodeId, connection: ConnectionId) {
        let is_member = self.swarm.behaviour().streams.grade(connection) == Some(Grade::Member);
        let Some(peer) = self.peers.get(&node).filter(|_| is_member) else { return };
        debug!(peer = %node.short(), "is in another network now");
        let others: Vec<_> = peer.connections.keys().filter(|other| **other != connection).copied().collect();
        for other in others {
            self.end_connection(other, &DownReason::Lost("the peer is in another network now".to_owned()));
        }
        self.consider(node, Instant::now());
    }

    /// Does what is to be done about a member now.
    pub(super) fn consider(&mut self, node: NodeId, now: Instant) {
        self.schedule.clear(node);
        let lower = self.local < node;
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match peer.next_step(lower, now, &self.timing) {
            Step::Rest => {}
            Step::Wait(at) => self.schedule.set(node, at),
            Step::Open(connection) => {
                peer.opening = Some(connection);
                self.swarm.behaviour_mut().streams.open(peer::peer_id(node), connection, Kind::Sync);
            }
            Step::Close(connection) => self.end_connection(connection, &DownReason::Silent),
            Step::Dial(route) => self.dial(node, route, now),
        }
    }

    fn dial(&mut self, node: NodeId, route: Route, now: Instant) {
        let dials = self.peers.values().filter(|peer| !peer.dialling.is_empty()).count();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if dials >= DIALS_MAX && peer.dialling.is_empty() {
            self.schedule.set(node, now + TURN_WAIT);
            return;
        }
        // A port of its own: from the listening port, two dials that cross would meet as one TCP handshake in which
        // both ends take themselves for the dialer.
        let dial = DialOpts::peer_id(peer::peer_id(node))
            .addresses(peer.targets(route))
            .condition(PeerCondition::Always)
            .allocate_new_port()
            .build();
        let connection = dial.connection_id();
        peer.on_dialled(route, connection, now);
        debug!(peer = %node.short(), ?route, "dialling");
        if let Err(error) = self.swarm.dial(dial) {
            let reason = driver::swarm::reason(&error);
            self.on_dial_failed(node, connection, &reason);
        } else {
            // The next route may be due in a moment.
            self.consider(node, now);
        }
    }

    pub(super) fn on_dial_failed(&mut self, node: NodeId, connection: ConnectionId, reason: &str) {
        let now = Instant::now();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if !peer.dialling.values().any(|dialling| *dialling == connection) {
            return;
        }
        debug!(peer = %node.short(), reason, "a dial failed");
        if peer.on_dial_failed(connection) {
            peer.on_failed(now, &self.timing, &mut self.jitter);
            if peer.connections.is_empty() {
                self.tell(Event::DialFailed { node, reason: reason.to_owned() });
            }
        }
        self.consider(node, now);
    }

    pub(super) fn on_sync_opened(&mut self, node: NodeId, connection: ConnectionId, result: Result<Stream, String>) {
        let now = Instant::now();
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.opening == Some(connection) {
            peer.opening = None;
        }
        match result {
            Ok(stream) => self.begin_link(node, connection, stream),
            Err(reason) => {
                peer.on_failed(now, &self.timing, &mut self.jitter);
                debug!(peer = %node.short(), reason, "no link");
                self.tell(Event::DialFailed { node, reason });
            }
        }
        self.consider(node, now);
    }

    pub(super) fn on_sync_asked(&mut self, node: NodeId, connection: ConnectionId, stream: Stream) {
        let is_member = self.swarm.behaviour().streams.grade(connection) == Some(Grade::Member);
        if !is_member || !self.peers.contains_key(&node) || self.local < node {
            debug!(peer = %node.short(), "dropped a sync stream that was not the peer's to open");
            return;
        }
        self.begin_link(node, connection, stream);
        self.consider(node, Instant::now());
    }

    fn begin_link(&mut self, node: NodeId, connection: ConnectionId, stream: Stream) {
        let Some(Connection { path, dialer, .. }) = self.connections.get(&connection).cloned() else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        self.shared.ways().insert(node, Way { path: path.clone(), round_trip: None });
        self.links_made += 1;
        let id = LinkId::new(self.links_made);
        let link = Arc::new(Link::new(id, node, connection, &self.queue));
        let older = peer.link.replace(Current { id, connection, since: Instant::now() });
        let predecessor = older.and_then(|older| self.shared.links().get(&older.id).cloned());
        if let Some(predecessor) = &predecessor {
            predecessor.end(DownReason::Replaced);
        }
        self.shared.links().insert(id, Arc::clone(&link));
        self.swarm.behaviour_mut().gossip.speak(connection);
        self.begin_leases(&link);
        let task = Task {
            link: Arc::clone(&link),
            stream,
            events: self.events.clone(),
            path,
            dialer,
            timing: self.timing.clone(),
            link_in_bytes: self.queue.link_in_bytes,
            predecessor,
        };
        let shared = Arc::clone(&self.shared);
        let span = info_span!("link", link = %id, peer = %node.short());
        let run = async move {
            let forget = || {
                shared.links().remove(&id);
            };
            let reason = task.run(forget).await;
            Ended::Link(link, reason)
        };
        self.tasks.spawn(run.instrument(span));
    }

    pub(super) fn on_link_ended(&mut self, link: &Link, reason: &DownReason) {
        let now = Instant::now();
        let connection = link.connection;
        self.leases_on_link_ended(link);
        if let Some(peer) = self.peers.get_mut(&link.node) {
            if let Some(current) = peer.link.filter(|current| current.id == link.id) {
                peer.link = None;
                self.shared.ways().remove(&link.node);
                peer.on_link_ended(current, now, &self.timing, &mut self.jitter);
            }
            let reused = peer.link.is_some_and(|current| current.connection == connection);
            if !reused {
                self.end_connection(connection, reason);
            }
        } else {
            self.end_connection(connection, reason);
        }
        self.consider(link.node, now);
    }

    /// Closes a connection and ends what runs on it.
    pub(super) fn end_connection(&mut self, connection: ConnectionId, reason: &DownReason) {
        let links: Vec<_> =
            self.shared.links().values().filter(|link| link.connection == connection).cloned().collect();
        for link in links {
            link.end(reason.clone());
        }
        if let Some(known) = self.connections.get(&connection)
            && let Some(peer) = self.peers.get_mut(&known.node)
        {
            // What is being closed is no place to open the next link on.
            peer.connections.remove(&connection);
        }
        self.swarm.close_connection(connection);
    }
}
