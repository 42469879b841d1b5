use std::sync::mpsc;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::{NodeId, VoterId};
use beadmesh_protocol::lease::Answer as Vote;
use beadmesh_protocol::lease::message::Here;
use beadmesh_protocol::notice::News;
use futures::FutureExt;
use tokio::sync::Semaphore;

use super::*;

const MESH: MeshId = MeshId::from_bytes([1; 32]);
const ADA: NodeId = NodeId::from_bytes([2; 32]);
const BOB: NodeId = NodeId::from_bytes([3; 32]);

/// What a fake machine did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    Link(u64),
    Command,
    Frame(u64),
    Notice,
    Lease(u64),
    Flush,
}

/// A machine that tells what it does, and flushes only when it is let.
struct Fake {
    did: mpsc::Sender<Did>,
    gate: mpsc::Receiver<Result<(), FlushError>>,
    outputs: Vec<Output>,
}

impl Machine for Fake {
    fn handle(&mut self, _now: Now, input: Input) {
        let did = match input {
            Input::Command(request, _) => {
                self.outputs.push(Output::Reply(request, Box::new(Ok(Answer::Done))));
                Did::Command
            }
            Input::LinkUp(link, ..) | Input::LinkDown(link) => Did::Link(link.0),
            Input::Frame(link, _) => Did::Frame(link.0),
            Input::Notice(..) => Did::Notice,
            Input::Lease(_, Message::Answer(Vote::Here(here))) => Did::Lease(here.counter),
            Input::Lease(..) => Did::Lease(0),
            Input::Wakeup => return,
        };
        let _ = self.did.send(did);
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        let _ = self.did.send(Did::Flush);
        self.gate.recv().unwrap_or(Ok(()))?;
        Ok(std::mem::take(&mut self.outputs))
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }
}

struct Bench {
    core: Core,
    did: mpsc::Receiver<Did>,
    gate: mpsc::Sender<Result<(), FlushError>>,
}

/// Starts a core whose thread stands in its first flush, so that inputs gather.
fn bench() -> Bench {
    let (did, did_seen) = mpsc::channel();
    let (gate, gate_seen) = mpsc::channel();
    let fake = Fake { did, gate: gate_seen, outputs: Vec::new() };
    let core = Core::start(fake, MESH, &Queue::default(), Box::new(|_| {})).unwrap();
    Bench { core, did: did_seen, gate }
}

impl Bench {
    fn open(&self) {
        self.gate.send(Ok(())).unwrap();
    }

    /// Waits until the thread stands in a flush; returns what it did before.
    fn batch(&self) -> Vec<Did> {
        self.did.iter().take_while(|did| *did != Did::Flush).collect()
    }

    async fn entries(&self, link: u64, bytes: usize) {
        self.core.frame(LinkId(link), Frame::Entries(Vec::<Entry>::new()), bytes).await.unwrap();
    }

    /// Hands a notice in; returns whether there was room.
    fn notice(&self, bytes: usize) -> bool {
        self.core.notice(ADA, Notice::News(News::default()), bytes)
    }

    /// Hands a lease message in that is known by a number, with so much of a member's room.
    async fn lease(&self, from: NodeId, number: u64, room: &Arc<Semaphore>) {
        let share = Arc::clone(room).acquire_owned().await.unwrap();
        let voter = VoterId::from_bytes([0; 16]);
        let here = Here { voter, epoch: 1, active: true, counter: number, floor: None, sealed_for: None };
        self.core.lease(from, Message::Answer(Vote::Here(here)), 50, share).await.unwrap();
    }

    async fn ack(&self, link: u64) {
        self.core.frame(LinkId(link), Frame::Ack(Vec::new()), 100).await.unwrap();
    }
}

/// Returns room of a member for so many lease messages.
fn room(messages: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(messages))
}

/// Sends a command and returns once it waits.
async fn ask(core: &Core) -> tokio::task::JoinHandle<Result<Answer, CommandError>> {
    let before = core.shared.waiting().replies.len();
    let asked = core.clone();
    let task = tokio::spawn(async move { asked.call(Command::Status).await });
    while core.shared.waiting().replies.len() == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn lanes_are_served_in_order_and_frames_of_a_link_keep_theirs() {
    let bench = bench();
    bench.batch();
    bench.entries(1, 64 * 1024).await;
    bench.ack(1).await;
    bench.ack(2).await;
    bench.core.link_input(Input::LinkDown(LinkId(1))).await.unwrap();
    bench.core.link_input(Input::LinkUp(LinkId(3), ADA, "path".into())).await.unwrap();
    let asked = ask(&bench.core).await;
    bench.lease(BOB, 7, &room(1)).await;
    bench.open();
    assert_eq!(bench.batch(), [Did::Lease(7), Did::Link(3), Did::Command, Did::Frame(2)]);
    bench.open();
    assert!(asked.await.unwrap().is_ok());
    assert_eq!(bench.batch(), [Did::Frame(1), Did::Frame(1), Did::Link(1)]);
}

#[tokio::test]
async fn who_waits_for_an_answer_waits_for_one_transfer_at_most() {
    let bench = bench();
    bench.batch();
    let first = ask(&bench.core).await;
    for _ in 0..3 {
        bench.entries(1, 64 * 1024).await;
    }
    bench.open();
    assert_eq!(bench.batch(), [Did::Command]);
    let second = ask(&bench.core).await;
    bench.lease(ADA, 7, &room(1)).await;
    bench.open();
    assert!(first.await.unwrap().is_ok());
    assert_eq!(bench.batch(), [Did::Frame(1), Did::Lease(7), Did::Command]);
    bench.open();
    assert!(second.await.unwrap().is_ok());
    assert_eq!(bench.batch(), [Did::Frame(1), Did::Frame(1)]);
}

#[tokio::test]
async fn lease_messages_of_a_member_follow_the_news_that_it_is_linked_and_others_do_not() {
    let bench = bench();
    bench.batch();
    let room = room(10);
    bench.core.link_input(Input::LinkUp(LinkId(1), ADA, "path".into())).await.unwrap();
    bench.core.link_input(Input::LinkUp(LinkId(2), ADA, "path".into())).await.unwrap();
    bench.lease(ADA, 3, &room).await;
    bench.lease(BOB, 4, &room).await;
    bench.lease(ADA, 5, &room).await;
    bench.open();
    assert_eq!(bench.batch(), [Did::Lease(4), Did::Link(1), Did::Link(2), Did::Lease(3), Did::Lease(5)]);
    // Once none of it waits any more, they come first again.
    bench.core.link_input(Input::LinkUp(LinkId(6), BOB, "path".into())).await.unwrap();
    bench.lease(ADA, 7, &room).await;
    bench.open();
    assert_eq!(bench.batch(), [Did::Lease(7), Did::Link(6)]);
}

#[tokio::test]
async fn a_flood_of_lease_messages_leaves_every_lane_its_turn_and_gives_its_room_back() {
    let bench = bench();
    bench.batch();
    let room = room(300);
    for number in 0..300 {
        bench.lease(ADA, number, &room).await;
    }
    assert_eq!(room.available_permits(), 0);
    bench.core.link_input(Input::LinkUp(LinkId(1), BOB, "path".into())).await.unwrap();
    let asked = ask(&bench.core).await;
    bench.ack(2).await;
    bench.entries(3, 64 * 1024).await;
    assert!(bench.notice(1));
    bench.open();
    let batch = bench.batch();
    assert_eq!(batch[..251], (0..251).map(Did::Lease).collect::<Vec<_>>());
    assert_eq!(batch[251..254], [Did::Link(1), Did::Command, Did::Frame(2)]);
    assert_eq!(batch[254..], (251..300).map(Did::Lease).collect::<Vec<_>>());
    assert_eq!(room.available_permits(), 300);
    bench.open();
    assert_eq!(bench.batch(), [Did::Frame(3), Did::Notice]);
    bench.open();
    assert!(asked.await.unwrap().is_ok());
}

#[tokio::test]
async fn lease_messages_of_no_size_wait_within_bounds() {
    let bench = bench();
    bench.batch();
    let room = room(1_000_000);
    let lease = || tokio::task::unconstrained(bench.lease(ADA, 1, &room));
    let waiting = (0..1_000_000).take_while(|_| lease().now_or_never().is_some()).count();
    assert_eq!(waiting, Queue::default().lease_bytes / 512);
}

#[tokio::test]
async fn a_batch_ends_at_256_inputs_and_every_lane_gets_a_turn() {
    let bench = bench();
    bench.batch();
    bench.entries(1, 64 * 1024).await;
    for _ in 0..300 {
        bench.ack(2).await;
    }
    bench.open();
    let batch = bench.batch();
    assert_eq!(batch.len(), 256);
    assert_eq!(batch[255], Did::Frame(1));
    bench.open();
    assert_eq!(bench.batch().len(), 45);
}

#[tokio::test]
async fn a_batch_ends_at_256_kib_of_frames() {
    let bench = bench();
    bench.batch();
    for _ in 0..6 {
        bench.entries(1, 64 * 1024).await;
    }
    bench.open();
    assert_eq!(bench.batch().len(), 4);
    bench.open();
    assert_eq!(bench.batch().len(), 2);
}

#[tokio::test]
async fn frames_of_no_size_wait_within_bounds() {
    let bench = bench();
    bench.batch();
    let frame = || tokio::task::unconstrained(bench.core.frame(LinkId(1), Frame::Ack(Vec::new()), 2));
    let waiting = (0..1_000_000).take_while(|_| frame().now_or_never().is_some()).count();
    assert_eq!(waiting, Queue::default().live_bytes / 512);
}

#[tokio::test]
async fn notices_come_last_in_a_batch_and_make_nobody_wait() {
    let bench = bench();
    bench.batch();
    let waiting = (0..1_000_000).take_while(|_| bench.notice(1)).count();
    assert_eq!(waiting, Queue::default().notice_bytes / 512);
    for _ in 0..300 {
        bench.ack(1).await;
    }
    bench.entries(2, 64 * 1024).await;
    bench.open();
    let batch = bench.batch();
    assert!(batch[..254].iter().all(|did| *did == Did::Frame(1)), "{batch:?}");
    assert_eq!(batch[254..], [Did::Frame(2), Did::Notice]);
    assert!(bench.notice(1), "each gives its room back");
}

#[tokio::test]
async fn a_reply_waits_for_the_flush() {
    let bench = bench();
    bench.batch();
    let asked = ask(&bench.core).await;
    bench.open();
    assert_eq!(bench.batch(), [Did::Command]);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!asked.is_finished());
    bench.open();
    assert!(matches!(asked.await.unwrap(), Ok(Answer::Done)));
}

#[tokio::test]
async fn a_failed_flush_releases_nothing_and_ends_the_node() {
    let bench = bench();
    bench.batch();
    let first = ask(&bench.core).await;
    bench.open();
    bench.batch();
    let second = ask(&bench.core).await;
    bench.gate.send(Err(FlushError("disk full".into()))).unwrap();
    let failed = CommandError::Store("disk full".into());
    assert_eq!(first.await.unwrap().unwrap_err(), failed);
    assert_eq!(second.await.unwrap().unwrap_err(), failed);
    assert_eq!(bench.core.ended().await, State::Failed("disk full".into()));
    assert_eq!(bench.core.call(Command::Status).await.unwrap_err(), failed);
    let frame = bench.core.frame(LinkId(1), Frame::Ack(Vec::new()), 1).await;
    assert_eq!(frame, Err(Stopped));
}

#[tokio::test]
async fn stopping_handles_what_waits_and_refuses_what_comes_later() {
    let bench = bench();
    bench.batch();
    let asked = ask(&bench.core).await;
    let stopping = tokio::spawn({
        let core = bench.core.clone();
        async move { core.stop().await }
    });
    drop(bench.gate);
    assert!(asked.await.unwrap().is_ok());
    assert_eq!(stopping.await.unwrap(), State::Stopped);
    let late = bench.core.call(Command::Status).await.unwrap_err();
    assert_eq!(late.code(), "refused");
}

/// A machine that breaks.
struct Broken;

impl Machine for Broken {
    fn handle(&mut self, now: Now, _input: Input) {
        assert!(now.wall == Wall::default(), "broken on purpose");
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        Ok(Vec::new())
    }

    fn next_wakeup(&self) -> Option<Instant> {
        None
    }
}

#[tokio::test]
async fn a_panic_leaves_nobody_waiting() {
    let core = Core::start(Broken, MESH, &Queue::default(), Box::new(|_| {})).unwrap();
    assert_eq!(core.call(Command::Status).await.unwrap_err().code(), "store_failed");
    assert!(matches!(core.ended().await, State::Failed(_)));
}
