use std::time::Duration;

use beadmesh_protocol::clock::{Instant, Now, Wall};
use beadmesh_protocol::id::{AgentId, EntryId, MeshId};
use beadmesh_protocol::lease::message::Refusal;
use beadmesh_protocol::lease::{Answer as Vote, Ask, Attempt, Holder, LaneId, Message};
use beadmesh_protocol::notice::{News, Notice};
use beadmesh_protocol::sample;
use beadmesh_store::replica::{FlushError, Input};
use tokio::time::timeout;

use super::*;
use crate::attachments::Attachments;
use crate::core::{Machine, Queue};
use crate::net::{Config, DownReason, Listen};

/// Long enough for a busy machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a replica is told of its links, in order.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Up(NodeId),
    Frame(Frame),
    Notice(NodeId, Notice),
    Lease(NodeId, Message),
    Down,
}

/// A machine that passes on what it is told.
struct Witness(mpsc::Sender<Told>);

impl Machine for Witness {
    fn handle(&mut self, _now: Now, input: Input) {
        let told = match input {
            Input::LinkUp(_, node, _) => Told::Up(node),
            Input::Frame(_, frame) => Told::Frame(frame),
            Input::LinkDown(_) => Told::Down,
            Input::Notice(from, notice) => Told::Notice(from, notice),
            Input::Lease(from, message) => Told::Lease(from, message),
            Input::Command(..) | Input::Wakeup => return,
        };
        self.0.try_send(told).expect("the test expects less");
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        Ok(Vec::new())
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }
}

/// What a node says of its machine.
fn sample(node: NodeId) -> sample::Telemetry {
    let stamp = sample::Stamp { started: Wall::from_millis(1), counter: 1 };
    let said = sample::Said::Sample(sample::Sample { interval_ms: 2_000, ..sample::Sample::default() });
    sample::Telemetry { node, stamp, said }
}

fn network(seed: u8) -> (Handle, Events) {
    let mut config = Config::new([seed; 32]);
    config.listen = Listen::Explicit(vec!["/ip4/127.0.0.1/tcp/0".into()]);
    config.mdns = false;
    net::start(config).unwrap()
}

async fn addresses(handle: &Handle) -> Vec<String> {
    while handle.listen_addresses().is_empty() {
        tokio::task::yield_now().await;
    }
    handle.listen_addresses()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_reach_the_replica_in_order_and_a_broken_one_ends_the_link() {
    let temp = tempfile::tempdir().unwrap();
    let (here, events) = network(1);
    let (peer, mut peer_events) = network(2);
    let links = Arc::new(Links::default());
    let (witness, mut told) = mpsc::channel(100);
    let sink = sink(here.clone(), Arc::clone(&links));
    let core = Core::start(Witness(witness), MeshId::from_bytes([7; 32]), &Queue::default(), sink).unwrap();
    let home = Arc::new(Home::open(temp.path()).unwrap());
    let blobs = Attachments::new(&home, core.clone(), None).server();
    let telemetry = Telemetry::new(home.dir(), NodeId::from_bytes([1; 32]));
    let driver = Driver { core, handle: here.clone(), home, links: Arc::clone(&links), blobs, telemetry };
    let run = tokio::spawn(driver.run(events));
    here.set_members([(peer.local_node_id(), addresses(&peer).await)].into());
    peer.set_members([(here.local_node_id(), addresses(&here).await)].into());
    let exchange = async {
        let link = loop {
            if let Some(Event::LinkUp { link, .. }) = peer_events.recv().await {
                break link;
            }
        };
        let frames =
            [Frame::Want(Vec::new()), Frame::Ack(vec![EntryId::from_bytes([3; 32]); 1_000]), Frame::Ack(Vec::new())];
        for frame in &frames {
            peer.send(link, frame.encode()).unwrap();
        }
        peer.send(link, b"\xffno frame".to_vec()).unwrap();
        assert_eq!(told.recv().await, Some(Told::Up(peer.local_node_id())));
        for frame in frames {
            assert_eq!(told.recv().await, Some(Told::Frame(frame)));
        }
        assert_eq!(told.recv().await, Some(Told::Down));
        loop {
            if let Some(Event::LinkDown { reason, .. }) = peer_events.recv().await {
                assert_eq!(reason, DownReason::ClosedByPeer);
                break;
            }
        }
    };
    timeout(PATIENCE, exchange).await.unwrap();
    assert_eq!(links.violations.load(Ordering::Relaxed), 1);
    here.shutdown().await;
    timeout(PATIENCE, run).await.unwrap().unwrap();
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_notice_reaches_the_replica_and_an_unsound_one_costs_no_link() {
    const MESH: MeshId = MeshId::from_bytes([7; 32]);
    let temp = tempfile::tempdir().unwrap();
    let (here, events) = network(1);
    let (peer, mut peer_events) = network(2);
    let links = Arc::new(Links::default());
    let (witness, mut told) = mpsc::channel(100);
    let mut sink = sink(here.clone(), Arc::clone(&links));
    // As the replica says when it is opened.
    sink(Output::Mesh(MESH));
    let core = Core::start(Witness(witness), MESH, &Queue::default(), sink).unwrap();
    let home = Arc::new(Home::open(temp.path()).unwrap());
    let blobs = Attachments::new(&home, core.clone(), None).server();
    let telemetry = Telemetry::new(home.dir(), NodeId::from_bytes([1; 32]));
    let driver =
        Driver { core, handle: here.clone(), home, links: Arc::clone(&links), blobs, telemetry: telemetry.clone() };
    let run = tokio::spawn(driver.run(events));
    peer.set_topic(notice::topic(MESH));
    here.set_members([(peer.local_node_id(), addresses(&peer).await)].into());
    peer.set_members([(here.local_node_id(), addresses(&here).await)].into());
    let from = peer.local_node_id();
    let news = |count: u8| News { entries: Vec::new(), ids: vec![EntryId::from_bytes([count; 32])] };
    let exchange = async {
        while !matches!(peer_events.recv().await, Some(Event::LinkUp { .. })) {}
        assert_eq!(told.recv().await, Some(Told::Up(from)));
        // Nothing tells when a peer is ready to hear.
        let mut count = 0;
        let heard = loop {
            count += 1;
            peer.publish(Notice::News(news(count)).encode()).unwrap();
            if let Ok(told) = timeout(Duration::from_millis(100), told.recv()).await {
                break told;
            }
        };
        assert!(matches!(heard, Some(Told::Notice(by, Notice::News(_))) if by == from), "{heard:?}");
        peer.publish(b"\x01no notice".to_vec()).unwrap();
        while here.notice_counts().violations == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(links.violations.load(Ordering::Relaxed), 1);
        peer.publish(Notice::Telemetry(Box::new(sample(from))).encode()).unwrap();
        peer.publish(Notice::News(news(200)).encode()).unwrap();
        loop {
            match told.recv().await {
                Some(Told::Notice(_, Notice::News(heard))) if heard == news(200) => break,
                // What a machine is and does is not the replica's business.
                Some(Told::Notice(_, Notice::News(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(PATIENCE, exchange).await.unwrap();
    let heard = telemetry.fleet().view(from, crate::clock::mono()).sample.expect("the sample was heard");
    assert_eq!(heard.interval_ms, 2_000);
    here.shutdown().await;
    timeout(PATIENCE, run).await.unwrap().unwrap();
    peer.shutdown().await;
}

/// What a voter says that can not take part in a lease.
const VOTE: Message = {
    let holder = Holder { node: NodeId::from_bytes([1; 32]), agent: AgentId::from_bytes([2; 16]) };
    let attempt = Attempt { lane: LaneId { holder, incarnation: 1, lane: 1 }, seq: 1 };
    Message::Answer(Vote::Refused { attempt, reason: Refusal::VoterFull })
};

/// A machine that asks whoever is linked, answers who asks, and passes on what it is told.
struct Talker {
    witness: Witness,
    outputs: Vec<Output>,
}

impl Machine for Talker {
    fn handle(&mut self, now: Now, input: Input) {
        match &input {
            Input::LinkUp(_, node, _) => self.outputs.push(Output::Lease(*node, Message::Ask(Ask::Probe))),
            Input::Lease(from, Message::Ask(_)) => self.outputs.push(Output::Lease(*from, VOTE)),
            _ => {}
        }
        self.witness.handle(now, input);
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        Ok(std::mem::take(&mut self.outputs))
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }
}

/// A node without a store: network, driver and the replica's thread.
struct Whole {
    handle: Handle,
    told: mpsc::Receiver<Told>,
    links: Arc<Links>,
    run: tokio::task::JoinHandle<()>,
    _home: tempfile::TempDir,
}

impl Whole {
    fn start(seed: u8) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (handle, events) = network(seed);
        let links = Arc::new(Links::default());
        let (witness, told) = mpsc::channel(100);
        let talker = Talker { witness: Witness(witness), outputs: Vec::new() };
        let sink = sink(handle.clone(), Arc::clone(&links));
        let core = Core::start(talker, MeshId::from_bytes([7; 32]), &Queue::default(), sink).unwrap();
        let home = Arc::new(Home::open(temp.path()).unwrap());
        let blobs = Attachments::new(&home, core.clone(), None).server();
        let telemetry = Telemetry::new(home.dir(), NodeId::from_bytes([1; 32]));
        let driver = Driver { core, handle: handle.clone(), home, links: Arc::clone(&links), blobs, telemetry };
        let run = tokio::spawn(driver.run(events));
        Self { handle, told, links, run, _home: temp }
    }

    fn id(&self) -> NodeId {
        self.handle.local_node_id()
    }

    async fn admit(&self, other: &Handle) {
        self.handle.set_members([(other.local_node_id(), addresses(other).await)].into());
    }

    /// Waits for a link to a node, its question, and its answer to ours, in either order.
    async fn meets(&mut self, other: NodeId) {
        assert_eq!(self.told.recv().await, Some(Told::Up(other)));
        let mut heard = [self.told.recv().await.unwrap(), self.told.recv().await.unwrap()];
        heard.sort_by_key(|told| !matches!(told, Told::Lease(_, Message::Ask(_))));
        assert_eq!(heard, [Told::Lease(other, Message::Ask(Ask::Probe)), Told::Lease(other, VOTE)]);
    }

    async fn stop(self) {
        self.handle.shutdown().await;
        self.run.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lease_messages_pass_both_ways_on_each_link_from_its_first_moment() {
    let (mut ada, mut bob) = (Whole::start(1), Whole::start(2));
    ada.admit(&bob.handle).await;
    bob.admit(&ada.handle).await;
    let (ada_id, bob_id) = (ada.id(), bob.id());
    let exchange = async {
        for _ in 0..3 {
            tokio::join!(ada.meets(bob_id), bob.meets(ada_id));
            let (link, _) = ada.links.lock().values().next().copied().unwrap();
            ada.handle.close(link, "enough");
            assert_eq!((ada.told.recv().await, bob.told.recv().await), (Some(Told::Down), Some(Told::Down)));
        }
    };
    timeout(PATIENCE, exchange).await.unwrap();
    timeout(PATIENCE, async { tokio::join!(ada.stop(), bob.stop()) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_message_that_does_not_decode_ends_the_link() {
    let mut here = Whole::start(1);
    let (peer, mut peer_events) = network(2);
    here.admit(&peer).await;
    let (here_id, peer_id) = (here.id(), peer.local_node_id());
    peer.set_members([(here_id, addresses(&here.handle).await)].into());
    let exchange = async {
        while !matches!(peer_events.recv().await, Some(Event::LinkUp { .. })) {}
        peer.send_lease(here_id, VOTE.encode()).unwrap();
        peer.send_lease(here_id, b"\xffno message".to_vec()).unwrap();
        assert_eq!(here.told.recv().await, Some(Told::Up(peer_id)));
        assert_eq!(here.told.recv().await, Some(Told::Lease(peer_id, VOTE)));
        assert_eq!(here.told.recv().await, Some(Told::Down));
        loop {
            if let Some(Event::LinkDown { reason, .. }) = peer_events.recv().await {
                assert_eq!(reason, DownReason::ClosedByPeer);
                break;
            }
        }
    };
    timeout(PATIENCE, exchange).await.unwrap();
    assert_eq!(here.links.violations.load(Ordering::Relaxed), 1);
    here.stop().await;
    peer.shutdown().await;
}
