//! How the driver opens streams for blobs to linked members, and takes theirs.

use std::collections::{BTreeMap, VecDeque};

use beadmesh_protocol::id::NodeId;
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;
use tracing::debug;

use super::Driver;
use crate::net::blob::{BlobStream, BlobStreamError, Visits};
use crate::net::event::Event;
use crate::net::gate::Grade;
use crate::net::handle::BlobRequest;
use crate::net::peer;
use crate::net::streams::Kind;

/// Streams that may be in the making.
const OPENING_MAX: usize = 32;

/// Who waits for a stream.
type Reply = oneshot::Sender<Result<BlobStream, BlobStreamError>>;

/// The streams for blobs in both directions, as far as the driver has to do with them.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    /// Who waits for a stream on a connection, the first first; any stream on it will do for any of them.
    opening: BTreeMap<ConnectionId, VecDeque<Reply>>,
    visits: Visits,
}

impl Driver {
    pub(super) fn on_blob_request(&mut self, request: BlobRequest) {
        let BlobRequest { node, reply } = request;
        // Whoever gave up waiting keeps no place.
        self.blobs.opening.retain(|_, waiting| {
            waiting.retain(|reply| !reply.is_closed());
            !waiting.is_empty()
        });
        let opening: usize = self.blobs.opening.values().map(VecDeque::len).sum();
        if opening >= OPENING_MAX {
            // Who gave up waiting needs no answer, here and below.
            let _ = reply.send(Err(BlobStreamError::Busy));
            return;
        }
        let Some(link) = self.peers.get(&node).and_then(|peer| peer.link) else {
            let _ = reply.send(Err(BlobStreamError::NotLinked { node }));
            return;
        };
        self.blobs.opening.entry(link.connection).or_default().push_back(reply);
        self.swarm.behaviour_mut().streams.open(peer::peer_id(node), link.connection, Kind::Blob);
    }

    pub(super) fn on_blob_opened(&mut self, node: NodeId, connection: ConnectionId, result: Result<Stream, String>) {
        let Some(waiting) = self.blobs.opening.get_mut(&connection) else { return };
        let reply = waiting.pop_front();
        if waiting.is_empty() {
            self.blobs.opening.remove(&connection);
        }
        let Some(reply) = reply else { return };
        let stall = self.timing.blob_stall;
        let result = result.map(|stream| BlobStream::new(stream, stall, None));
        let _ = reply.send(result.map_err(|reason| BlobStreamError::Refused { node, reason }));
    }

    pub(super) fn on_blob_asked(&mut self, node: NodeId, connection: ConnectionId, stream: Stream) {
        let is_member = self.swarm.behaviour().streams.grade(connection) == Some(Grade::Member);
        if !is_member || !self.peers.contains_key(&node) {
            debug!(peer = %node.short(), "dropped a stream for a blob of who is no member");
            return;
        }
        let Some(visit) = self.blobs.visits.enter(node) else {
            debug!(peer = %node.short(), "dropped a stream for a blob that is one too many");
            return;
        };
        let stream = BlobStream::new(stream, self.timing.blob_stall, Some(visit));
        self.tell(Event::BlobAsked { node, stream });
    }

    pub(super) fn blobs_on_disconnected(&mut self, node: NodeId, connection: ConnectionId, cause: &str) {
        for reply in self.blobs.opening.remove(&connection).into_iter().flatten() {
            let _ = reply.send(Err(BlobStreamError::Refused { node, reason: format!("it hung up ({cause})") }));
        }
    }
}
