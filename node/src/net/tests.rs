//! Real sockets on loopback; every wait is for an event, with a timeout that only a hung test meets.

use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use tokio::time::timeout;

use super::*;

mod blobs;
mod joining;
mod leases;
mod linking;
mod notices;
mod relaying;

/// How long a test waits before it calls a node hung.
const PATIENCE: Duration = Duration::from_secs(60);

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A network under test.
struct Node {
    handle: Handle,
    events: Events,
    leases: LeaseMessages,
}

impl Node {
    /// Starts a network with a key made of one byte, listening on loopback.
    async fn start(key: u8, listen: &str) -> Self {
        Self::start_with(key, listen, |_| {}).await
    }

    async fn start_with(key: u8, listen: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new([key; 32]);
        config.mdns = false;
        config.listen = Listen::Explicit(vec![listen.to_owned()]);
        change(&mut config);
        let (handle, mut events) = start(config).unwrap();
        let leases = events.take_leases();
        let mut node = Self { handle, events, leases };
        node.until(|event| matches!(event, Event::AddressesChanged(_)).then_some(())).await;
        node
    }

    fn id(&self) -> NodeId {
        self.handle.local_node_id()
    }

    fn addresses(&self) -> Vec<String> {
        self.handle.listen_addresses()
    }

    /// Makes these nodes members here, with the addresses they listen on.
    fn admit(&self, others: &[&Node]) {
        self.handle.set_members(others.iter().map(|other| (other.id(), other.addresses())).collect());
    }

    /// Makes these nodes members here without telling where they are.
    fn admit_unlocated(&self, others: &[&Node]) {
        self.handle.set_members(others.iter().map(|other| (other.id(), Vec::new())).collect());
    }

    /// Receives events until one is of interest; the others are dropped.
    async fn until<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("the network runs");
                if let Some(picked) = pick(event) {
                    return picked;
                }
            }
        })
        .await
        .expect("the event comes")
    }

    /// Waits for a link to a node, and takes lease messages beside it.
    async fn link_up(&mut self, other: NodeId) -> LinkId {
        let up = self.until(|event| match event {
            Event::LinkUp { link, node, .. } if node == other => Some(link),
            _ => None,
        });
        let link = up.await;
        self.handle.hear_leases(link);
        link
    }

    async fn link_down(&mut self, wanted: LinkId) -> DownReason {
        self.until(|event| match event {
            Event::LinkDown { link, reason } if link == wanted => Some(reason),
            _ => None,
        })
        .await
    }

    async fn frame(&mut self) -> (LinkId, Vec<u8>) {
        self.until(|event| match event {
            Event::Frame { link, bytes, .. } => Some((link, bytes)),
            _ => None,
        })
        .await
    }

    /// Receives the next lease message, once its link's are heard.
    async fn lease(&mut self) -> (LinkId, Vec<u8>) {
        let message =
            timeout(PATIENCE, self.leases.recv()).await.expect("the message comes").expect("the network runs");
        (message.link, message.bytes)
    }

    async fn shutdown(self) {
        timeout(PATIENCE, self.handle.shutdown()).await.expect("the network stops");
    }
}

/// Starts two members that know each other and waits for their link.
async fn linked_pair(listen: &str) -> (Node, Node, LinkId, LinkId) {
    let (mut ada, mut bob) = (Node::start(1, listen).await, Node::start(2, listen).await);
    ada.admit_unlocated(&[&bob]);
    bob.admit(&[&ada]);
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let (from_ada, from_bob) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
    (ada, bob, from_ada, from_bob)
}
