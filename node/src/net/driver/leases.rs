//! How the driver keeps a stream for lease messages beside each link, and takes the member's.

use std::collections::BTreeMap;
use std::sync::Arc;

use beadmesh_protocol::id::NodeId;
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span};

use super::{Driver, Ended};
use crate::net::gate::Grade;
use crate::net::lease::{self, Speech};
use crate::net::link::{Link, LinkId};
use crate::net::peer;
use crate::net::streams::Kind;

/// The streams of lease messages, as far as the driver has to do with them.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// What is being opened, by connection: of two links that follow each other on one, the later gets it.
    opening: BTreeMap<ConnectionId, Speech>,
    /// Streams of members that came before the link on the same connection did, the newest of each.
    early: BTreeMap<NodeId, (ConnectionId, Stream)>,
    /// What stops the reading of a link's stream when the member opens a newer one.
    heard: BTreeMap<LinkId, CancellationToken>,
}

impl Driver {
    /// Opens a stream of our own beside a link that has begun, and takes the member's if it was faster.
    pub(super) fn begin_leases(&mut self, link: &Arc<Link>) {
        self.open_lease(Speech::new(Arc::clone(link), &self.timing));
        let early = self.leases.early.remove(&link.node);
        if let Some((_, stream)) = early.filter(|(connection, _)| *connection == link.connection) {
            self.hear(Arc::clone(link), stream);
        }
    }

    pub(super) fn open_lease(&mut self, speech: Speech) {
        let (node, connection) = (speech.link.node, speech.link.connection);
        if !self.connections.contains_key(&connection) {
            return;
        }
        if self.leases.opening.insert(connection, speech).is_none() {
            self.swarm.behaviour_mut().streams.open(peer::peer_id(node), connection, Kind::Lease);
        }
    }

    pub(super) fn on_lease_opened(&mut self, connection: ConnectionId, result: Result<Stream, String>) {
        let Some(speech) = self.leases.opening.remove(&connection) else { return };
        let span = info_span!("leases", link = %speech.link.id, peer = %speech.link.node.short());
        let timing = self.timing.clone();
        let run = async move { Ended::Speech(speech.run(result, timing).await) };
        self.tasks.spawn(run.instrument(span));
    }

    pub(super) fn on_lease_asked(&mut self, node: NodeId, connection: ConnectionId, stream: Stream) {
        let is_member = self.swarm.behaviour().streams.grade(connection) == Some(Grade::Member);
        let Some(peer) = self.peers.get(&node).filter(|_| is_member) else {
            debug!(peer = %node.short(), "dropped a stream for leases of who is no member");
            return;
        };
        match peer.link.filter(|current| current.connection == connection) {
            Some(current) => {
                let link = self.shared.links().get(&current.id).cloned();
                // One that ends meanwhile needs no stream.
                if let Some(link) = link {
                    self.hear(link, stream);
                }
            }
            None => drop(self.leases.early.insert(node, (connection, stream))),
        }
    }

    /// Reads a member's stream, in place of the one before.
    fn hear(&mut self, link: Arc<Link>, stream: Stream) {
        let newer = CancellationToken::new();
        if let Some(older) = self.leases.heard.insert(link.id, newer.clone()) {
            older.cancel();
        }
        let listen = lease::listen(link, stream, newer, self.events.clone());
        self.tasks.spawn(async move {
            listen.await;
            Ended::Hearing
        });
    }

    pub(super) fn leases_on_link_ended(&mut self, link: &Link) {
        self.leases.heard.remove(&link.id);
    }

    pub(super) fn leases_on_disconnected(&mut self, connection: ConnectionId) {
        self.leases.opening.remove(&connection);
        self.leases.early.retain(|_, (early, _)| *early != connection);
    }
}
