//! What nodes say to each other about leases: each message goes by itself, beside the frames of a link, and may get lost,
//! come late, twice, or after those that were sent later.

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::lease::Message;
use beadmesh_store::replica::Input;

use super::{Event, Mesh, SECOND, at};
use crate::random::Stream;
use crate::sometimes;

/// Of a thousand messages that arrive, how many come once more.
const DOUBLES: u32 = 20;

/// How much later a doubled message comes on average: often after the lease that it was about is over.
const DOUBLE_MEAN_US: u64 = 20 * SECOND;

impl Mesh<'_> {
    /// Sends what a node says about leases to the machine that it is linked to under that key.
    pub(super) fn say(&mut self, node: u32, to: NodeId, message: &Message) {
        let mut peers = self.network.links.values().filter_map(|link| {
            let end = link.ends.iter().position(|end| *end == node).filter(|end| link.up[*end])?;
            Some(link.ends[1 - end]).filter(|peer| self.nodes[at(*peer)].id == to)
        });
        let Some(peer) = peers.next() else { return };
        self.said += 1;
        let mut stream = Stream::keyed(self.plan.seed, "lease message", self.said, 0);
        let is_lost = stream.chance(self.network.loss([node, peer]));
        sometimes!(self.coverage, "lease-message-lost", is_lost);
        if is_lost {
            return;
        }
        let bytes = message.encode();
        let arrives = self.now_us + self.network.latency([node, peer], &mut stream);
        if stream.chance(DOUBLES) {
            let again = arrives + stream.exponential_us(DOUBLE_MEAN_US);
            self.schedule(again, Event::Lease { from: node, to: peer, bytes: bytes.clone() });
        }
        self.schedule(arrives, Event::Lease { from: node, to: peer, bytes });
    }

    /// Hands a message to the process it has come to, through the real decoder; a cut or a sleeper lets none pass.
    pub(super) fn on_lease(&mut self, from: u32, to: u32, bytes: &[u8]) {
        if !self.network.passes(from, to) || !self.nodes[at(to)].is_awake() {
            return;
        }
        self.figures.lease_messages += 1;
        self.trace.fold_bytes(13, self.now_us, u64::from(from) << 32 | u64::from(to), bytes);
        let source = self.nodes[at(from)].id;
        match Message::decode(bytes) {
            Ok(message) => self.hand_in(to, Input::Lease(source, message), bytes.len()),
            Err(error) => {
                self.violate("manners", Some(to), format!("what node {from} said of leases was refused: {error}"));
            }
        }
    }
}
