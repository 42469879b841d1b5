use std::collections::BTreeSet;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, Stream};
use tokio::sync::mpsc;

use super::*;
use crate::net::behaviour::{self, BehaviourEvent};
use crate::net::gate::Grade;
use crate::net::relay::Permits;
use crate::net::streams::{Kind, Opened, Side};
use crate::net::{frame, peer};

/// A peer without a driver: it opens what it is told to, and leaves the rest to the test.
struct Raw {
    orders: mpsc::Sender<Kind>,
    ours: mpsc::Receiver<Result<Stream, String>>,
    /// Streams for lease messages that the other end opened.
    theirs: mpsc::Receiver<Stream>,
}

impl Raw {
    /// Connects to a node with a key made of one byte, as a member does or as a stranger that wants to join.
    async fn connect(key: u8, node: &Node, way: Grade) -> Self {
        let mut config = Config::new([key; 32]);
        config.mdns = false;
        let mut swarm =
            behaviour::swarm(&config, &Permits::new(Instant::now()), &mut libp2p::metrics::Registry::default())
                .unwrap();
        let target = peer::peer_id(node.id());
        match way {
            Grade::Member => swarm.behaviour_mut().streams.set_members([target].into(), &BTreeSet::new()),
            Grade::Parting | Grade::Inviter | Grade::Relay | Grade::Stranger => {
                swarm.behaviour_mut().streams.expect_inviter(target, &BTreeSet::new());
            }
        }
        let address: Multiaddr = node.addresses()[0].parse().unwrap();
        swarm.dial(DialOpts::peer_id(target).addresses(vec![address]).build()).unwrap();
        let (orders, mut wanted) = mpsc::channel(8);
        let (ours_sender, ours) = mpsc::channel(8);
        let (theirs_sender, theirs) = mpsc::channel(8);
        tokio::spawn(async move {
            let mut connection: Option<ConnectionId> = None;
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { connection_id, .. } => connection = Some(connection_id),
                        SwarmEvent::Behaviour(BehaviourEvent::Streams(opened)) => match opened {
                            Opened { side: Side::Ours, result, .. } => ours_sender.send(result).await.unwrap(),
                            Opened { kind: Kind::Lease, result: Ok(stream), .. } => {
                                // A test that is over takes no more.
                                let _ = theirs_sender.send(stream).await;
                            }
                            Opened { .. } => {}
                        },
                        _ => {}
                    },
                    kind = wanted.recv(), if connection.is_some() => match (kind, connection) {
                        (Some(kind), Some(connection)) => swarm.behaviour_mut().streams.open(target, connection, kind),
                        _ => break,
                    },
                }
            }
        });
        Self { orders, ours, theirs }
    }

    async fn open(&mut self, kind: Kind) -> Result<Stream, String> {
        self.orders.send(kind).await.unwrap();
        timeout(PATIENCE, self.ours.recv()).await.expect("a stream is opened or refused").expect("the peer runs")
    }

    /// Returns the next stream on which the other end speaks of leases.
    async fn theirs(&mut self) -> Stream {
        timeout(PATIENCE, self.theirs.recv()).await.expect("a stream is opened").expect("the peer runs")
    }
}

async fn say(stream: &mut Stream, message: &[u8]) {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, message);
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
}

async fn hear(stream: &mut Stream) -> Vec<u8> {
    timeout(PATIENCE, frame::read(stream, limits::LEASE_MESSAGE_BYTES_MAX)).await.expect("a message").unwrap()
}

/// Waits until the other end has let go of a stream of ours.
async fn let_go(stream: &mut Stream) {
    let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("the end is seen");
    assert!(!read.is_ok_and(|bytes| bytes > 0), "nobody answers on a stream that another opened");
}

/// Starts a node and a raw member with a lower key, which opens the links; returns its streams of the first link.
async fn raw_pair(change: impl FnOnce(&mut Config)) -> (Node, Raw, NodeId, Stream) {
    let ada = Node::start_with(1, TCP, change).await;
    let raw_id = peer::node_id(&peer::keypair(&[2; 32].into()).public().to_peer_id()).unwrap();
    assert!(raw_id < ada.id(), "the lower node opens links");
    ada.handle.set_members([(raw_id, Vec::new())].into());
    let mut raw = Raw::connect(2, &ada, Grade::Member).await;
    let sync = raw.open(Kind::Sync).await.unwrap();
    (ada, raw, raw_id, sync)
}

/// Waits until one node has so many lease messages waiting to be received.
async fn gather(node: &Node, count: usize) {
    let gathered = async {
        while node.leases.queue.len() < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gathered).await.expect("the messages come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_both_ways_while_nobody_takes_frames() {
    for listen in [TCP, QUIC] {
        let narrow = |config: &mut Config| config.queue.events = 4;
        let (mut ada, mut bob) = (Node::start_with(1, listen, narrow).await, Node::start_with(2, listen, narrow).await);
        ada.admit_unlocated(&[&bob]);
        bob.admit(&[&ada]);
        let (ada_id, bob_id) = (ada.id(), bob.id());
        let (from_ada, from_bob) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
        // Nobody receives events from here on: small frames fill their queue, large ones all that is before it.
        for (node, link) in [(&ada, from_ada), (&bob, from_bob)] {
            (0..100).for_each(|_| node.handle.send(link, vec![9]).unwrap());
            while node.handle.send(link, vec![9; limits::FRAME_BYTES_MAX]).is_ok() {}
        }
        for number in 0..200_u8 {
            ada.handle.send_lease(bob_id, vec![number; 50]).unwrap();
            assert_eq!(bob.lease().await, (from_bob, vec![number; 50]));
            bob.handle.send_lease(ada_id, vec![number; limits::LEASE_MESSAGE_BYTES_MAX]).unwrap();
            assert_eq!(ada.lease().await, (from_ada, vec![number; limits::LEASE_MESSAGE_BYTES_MAX]));
        }
        assert_eq!(ada.handle.leases_unsent() + bob.handle.leases_unsent(), 0);
        tokio::join!(ada.shutdown(), bob.shutdown());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_both_ways_on_the_next_link() {
    for listen in [TCP, QUIC] {
        let (mut ada, mut bob, from_ada, from_bob) = linked_pair(listen).await;
        ada.handle.close(from_ada, "enough");
        tokio::join!(ada.link_down(from_ada), bob.link_down(from_bob));
        let (ada_id, bob_id) = (ada.id(), bob.id());
        let (from_ada, from_bob) = tokio::join!(ada.link_up(bob_id), bob.link_up(ada_id));
        ada.handle.send_lease(bob_id, b"ask".to_vec()).unwrap();
        assert_eq!(bob.lease().await, (from_bob, b"ask".to_vec()));
        bob.handle.send_lease(ada_id, b"answer".to_vec()).unwrap();
        assert_eq!(ada.lease().await, (from_ada, b"answer".to_vec()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_replaced_takes_the_streams_along() {
    let (mut ada, mut raw, raw_id, _sync) = raw_pair(|_| {}).await;
    let first = ada.link_up(raw_id).await;
    let (mut asking, mut asked) = (raw.open(Kind::Lease).await.unwrap(), raw.theirs().await);
    say(&mut asking, b"one").await;
    assert_eq!(ada.lease().await, (first, b"one".to_vec()));
    let _sync = raw.open(Kind::Sync).await.unwrap();
    assert_eq!(ada.link_down(first).await, DownReason::Replaced);
    let second = ada.link_up(raw_id).await;
    let_go(&mut asking).await;
    assert_eq!(asked.read(&mut [0]).await.unwrap(), 0, "what speaks beside a link ends with it");
    let (mut asking, mut asked) = (raw.open(Kind::Lease).await.unwrap(), raw.theirs().await);
    say(&mut asking, b"two").await;
    assert_eq!(ada.lease().await, (second, b"two".to_vec()));
    ada.handle.send_lease(raw_id, b"three".to_vec()).unwrap();
    assert_eq!(hear(&mut asked).await, b"three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_peer_lets_go_of_is_opened_again_and_the_link_stands() {
    let quick = |config: &mut Config| config.timing.retry_min = Duration::from_millis(1);
    let (mut ada, mut raw, raw_id, mut sync) = raw_pair(quick).await;
    let link = ada.link_up(raw_id).await;
    for number in 0..3_u8 {
        drop(raw.theirs().await);
        let mut again = raw.theirs().await;
        ada.handle.send_lease(raw_id, vec![number]).unwrap();
        assert_eq!(hear(&mut again).await, [number]);
    }
    say(&mut sync, b"still here").await;
    assert_eq!(ada.frame().await, (link, b"still here".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_no_messages_loses_the_stream_and_not_the_link() {
    let quick = |config: &mut Config| config.timing.write_stall = Duration::from_millis(200);
    let (mut ada, mut raw, raw_id, mut sync) = raw_pair(quick).await;
    let link = ada.link_up(raw_id).await;
    let _unread = raw.theirs().await;
    let message = || vec![9; limits::LEASE_MESSAGE_BYTES_MAX];
    let mut again = tokio::select! {
        again = raw.theirs() => again,
        () = async {
            loop {
                // Refused once the queue is full.
                let _ = ada.handle.send_lease(raw_id, message());
                tokio::task::yield_now().await;
            }
        } => unreachable!("it goes on for ever"),
    };
    assert!(ada.handle.leases_unsent() > 0, "the queue has no bound");
    assert_eq!(hear(&mut again).await, message());
    say(&mut sync, b"still here").await;
    assert_eq!(ada.frame().await, (link, b"still here".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_streams_of_a_member_the_newer_is_read_and_none_before_its_link_is_wanted() {
    let (mut ada, mut raw, raw_id, _sync) = raw_pair(|_| {}).await;
    let mut older = raw.open(Kind::Lease).await.unwrap();
    say(&mut older, b"nobody reads this").await;
    let mut newer = raw.open(Kind::Lease).await.unwrap();
    let_go(&mut older).await;
    say(&mut newer, b"read").await;
    assert!(ada.leases.try_recv().is_none(), "the node has not heard of the link yet");
    let link = ada.link_up(raw_id).await;
    assert_eq!(ada.lease().await, (link, b"read".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_stream_fails_in_negotiation() {
    let ada = Node::start(1, TCP).await;
    ada.handle.set_join_open(true);
    // Nothing tells when the wish to let strangers in is heard: until then they are refused.
    let bob = Node::start(2, TCP).await;
    while bob.handle.join(ada.id(), ada.addresses()).await.is_err() {}
    let mut eve = Raw::connect(3, &ada, Grade::Inviter).await;
    assert_eq!(eve.open(Kind::Lease).await.unwrap_err(), "the peer does not offer /beadmesh/lease/1");
    assert!(eve.open(Kind::Join).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_out_of_bounds_ends_the_link() {
    for (bytes, problem) in [(16_385, "a frame of 16385 bytes where 16384 are allowed"), (0, "a frame of no bytes")] {
        let (mut ada, bob, from_ada, from_bob) = linked_pair(TCP).await;
        let ada_id = ada.id();
        assert_eq!(bob.handle.send_lease(ada_id, vec![0; bytes]), Err(LeaseSendError::Size { bytes }));
        // Past the check that every honest sender passes.
        let link = bob.handle.shared.links().get(&from_bob).cloned().unwrap();
        link.leases.outbox.push(vec![0; bytes]).unwrap();
        let reason = ada.link_down(from_ada).await;
        assert_eq!(reason.to_string(), format!("the peer broke the protocol: {problem}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_floods_waits_and_nobody_else_does() {
    let own = 8;
    let small = |config: &mut Config| config.queue.lease_in_bytes = own * limits::LEASE_MESSAGE_BYTES_MAX;
    let (mut ada, mut bob) = (Node::start(1, TCP).await, Node::start_with(2, TCP, small).await);
    let mut eve = Node::start(3, TCP).await;
    bob.admit_unlocated(&[&ada, &eve]);
    ada.admit(&[&bob]);
    eve.admit(&[&bob]);
    let (ada_id, bob_id, eve_id) = (ada.id(), bob.id(), eve.id());
    for _ in [&ada, &eve] {
        let up = |event| if let Event::LinkUp { link, .. } = event { Some(link) } else { None };
        let link = bob.until(up).await;
        bob.handle.hear_leases(link);
    }
    tokio::join!(ada.link_up(bob_id), eve.link_up(bob_id));
    let mut sent = 0;
    while eve.handle.send_lease(bob_id, vec![9; limits::LEASE_MESSAGE_BYTES_MAX]).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "nothing holds the sender back");
    }
    assert!(sent > own);
    assert_eq!(eve.handle.send_lease(ada_id, vec![1]), Err(LeaseSendError::NotLinked { node: ada_id }));
    assert_eq!(eve.handle.leases_unsent(), 2);
    gather(&bob, own).await;
    ada.handle.send_lease(bob_id, b"vote".to_vec()).unwrap();
    gather(&bob, own + 1).await;
    let waiting: Vec<_> = std::iter::from_fn(|| bob.leases.try_recv()).take(own + 1).collect();
    let senders: Vec<_> = waiting.iter().map(|message| message.from).collect();
    assert_eq!((senders[..own].to_vec(), senders[own]), (vec![eve_id; own], ada_id));
    // None of those that were taken is lost.
    drop(waiting);
    for _ in own..sent {
        assert_eq!(bob.lease().await.1.len(), limits::LEASE_MESSAGE_BYTES_MAX);
    }
}
