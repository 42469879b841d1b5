//! The replica's own thread, and the handle by which the rest of the node speaks to it.
//!
//! One thread owns the replica: it drains inputs in lanes, handles each, flushes once and releases the outputs in
//! order. So one disk flush serves a whole batch, nothing leaves before it is durable, and nothing async touches the
//! store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::lease::wire::Message;
use beadmesh_protocol::notice::Notice;
use beadmesh_protocol::wire::Frame;
use beadmesh_store::command::{Answer, Command, CommandError};
use beadmesh_store::replica::{Event, FlushError, Input, LinkId, Output, Replica, RequestId};
use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot, watch};

mod lanes;
mod meter;
mod thread;

use lanes::{LANES, Lane, Lanes, Place};

pub(crate) use meter::Meter;

/// Events that a slow watcher may lag behind.
const EVENTS_MAX: usize = 1_024;

/// What the thread drives: the replica, or a stand-in for it in tests.
pub trait Machine: Send + 'static {
    /// Takes one input.
    fn handle(&mut self, now: Now, input: Input);

    /// Makes what was handled durable, then returns what may leave.
    ///
    /// # Errors
    /// When the store failed; nothing leaves any more.
    fn flush(&mut self) -> Result<Vec<Output>, FlushError>;

    /// Says when `Input::Wakeup` is due.
    fn next_wakeup(&self) -> Option<Instant>;
}

impl Machine for Replica {
    fn handle(&mut self, now: Now, input: Input) {
        Self::handle(self, now, input);
    }

    fn flush(&mut self) -> Result<Vec<Output>, FlushError> {
        Self::flush(self)
    }

    fn next_wakeup(&self) -> Option<Instant> {
        Self::next_wakeup(self)
    }
}

/// Takes the outputs meant for the network, on the replica's thread: it must not block.
pub type Sink = Box<dyn FnMut(Output) + Send>;

/// How much may wait for the replica.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Bytes of lease messages that may wait, at least one of the largest size.
    pub lease_bytes: usize,
    /// Link events that may wait.
    pub links: usize,
    /// Commands that may wait.
    pub commands: usize,
    /// Bytes of small frames that may wait, at least one frame of the largest size.
    pub live_bytes: usize,
    /// Bytes of large frames that may wait, at least one frame of the largest size.
    pub bulk_bytes: usize,
    /// Bytes of notices that may wait, at least one of the largest size; what comes beyond is dropped.
    pub notice_bytes: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            lease_bytes: 4 * 1024 * 1024,
            links: 1_024,
            commands: 1_024,
            live_bytes: 4 * 1024 * 1024,
            bulk_bytes: 8 * 1024 * 1024,
            notice_bytes: 1024 * 1024,
        }
    }
}

/// The replica is gone: it was stopped, or its store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the replica is stopped")]
pub struct Stopped;

/// How the thread stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It takes inputs.
    Running,
    /// It was asked to stop, and has.
    Stopped,
    /// The store failed, for this reason; nothing more is accepted.
    Failed(String),
}

/// A handle on the replica's thread; cheap to clone. The thread ends with the last handle.
#[derive(Debug, Clone)]
pub struct Core {
    shared: Arc<Shared>,
    _last: Arc<Last>,
}

/// What handles and the thread share.
#[derive(Debug)]
struct Shared {
    lanes: Lanes,
    meter: Meter,
    waiting: Mutex<Waiting>,
    requests: AtomicU64,
    mesh: Mutex<MeshId>,
    events: broadcast::Sender<Event>,
    state: watch::Sender<State>,
}

/// Who waits for replies, unless nobody can get one any more.
#[derive(Debug, Default)]
struct Waiting {
    replies: BTreeMap<RequestId, oneshot::Sender<Result<Answer, CommandError>>>,
    over: Option<CommandError>,
}

/// Stops the thread when the last handle is dropped.
#[derive(Debug)]
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.lanes.close();
    }
}

impl Core {
    /// Starts the thread on a machine that is in `mesh`.
    ///
    /// What the machine has to release at its start goes to `sink` first.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(machine: impl Machine, mesh: MeshId, queue: &Queue, sink: Sink) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            lanes: Lanes::new(queue),
            meter: Meter::new(),
            waiting: Mutex::default(),
            requests: AtomicU64::new(1),
            mesh: Mutex::new(mesh),
            events: broadcast::channel(EVENTS_MAX).0,
            state: watch::channel(State::Running).0,
        });
        let driven = Arc::clone(&shared);
        std::thread::Builder::new().name("replica".to_owned()).spawn(move || thread::run(machine, &driven, sink))?;
        Ok(Self { _last: Arc::new(Last(Arc::clone(&shared))), shared })
    }

    /// Carries out a command, and answers once everything that the answer rests on is durable.
    ///
    /// A caller that stops waiting does not take the command back.
    ///
    /// # Errors
    /// When the command is not carried out, or the store failed.
    pub async fn call(&self, command: Command) -> Result<Answer, CommandError> {
        let bytes = lanes::command_bytes(&command);
        let Ok(permit) = self.shared.lanes.room(Lane::Command, 1).await else { return Err(self.over()) };
        let request = RequestId(self.shared.requests.fetch_add(1, Ordering::Relaxed));
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
            if let Some(over) = &waiting.over {
                return Err(over.clone());
            }
            waiting.replies.insert(request, reply);
        }
        let (lane, input) = (Lanes::lane_of_command(bytes), Input::Command(request, command));
        if self.shared.lanes.push(Place { lane, input, bytes, permit, share: None }).is_err() {
            self.shared.waiting().replies.remove(&request);
            return Err(self.over());
        }
        answer.await.unwrap_or_else(|_| Err(self.over()))
    }

    /// Hands in that a link is up or down, once there is room.
    ///
    /// # Errors
    /// When the replica is stopped.
    ///
    /// # Panics
    /// When the input is a frame or a command: those have doors of their own.
    pub async fn link_input(&self, input: Input) -> Result<(), Stopped> {
        assert!(matches!(input, Input::LinkUp(..) | Input::LinkDown(_)), "only links come in here");
        let permit = self.shared.lanes.room(Lane::Link, 1).await?;
        self.shared.lanes.push(Place { lane: Lane::Link, input, bytes: 0, permit, share: None })
    }

    /// Hands in a frame of that many bytes, once there is room; frames of one link keep their order.
    ///
    /// # Errors
    /// When the replica is stopped.
    pub async fn frame(&self, link: LinkId, frame: Frame, bytes: usize) -> Result<(), Stopped> {
        let lane = self.shared.lanes.lane_of(link, &frame, bytes);
        let permit = self.shared.lanes.frame_room(lane, bytes).await?;
        self.shared.lanes.push(Place { lane, input: Input::Frame(link, frame), bytes, permit, share: None })
    }

    /// Hands in a lease message of that many bytes, once there is room; messages of one member keep their order.
    ///
    /// Its share of the room that its member has is given back when the message is taken into a batch.
    ///
    /// # Errors
    /// When the replica is stopped.
    pub async fn lease(
        &self,
        from: NodeId,
        message: Message,
        bytes: usize,
        share: OwnedSemaphorePermit,
    ) -> Result<(), Stopped> {
        let permit = self.shared.lanes.lease_room(bytes).await?;
        let input = Input::Lease(from, message);
        self.shared.lanes.push(Place { lane: Lane::Lease, input, bytes, permit, share: Some(share) })
    }

    /// Hands in a notice of that many bytes if there is room now; returns whether there was. Nothing waits for one.
    pub fn notice(&self, from: NodeId, notice: Notice, bytes: usize) -> bool {
        let Some(permit) = self.shared.lanes.notice_room(bytes) else { return false };
        let input = Input::Notice(from, notice);
        self.shared.lanes.push(Place { lane: Lane::Notice, input, bytes, permit, share: None }).is_ok()
    }

    /// Returns the mesh that frames are checked against.
    pub fn mesh(&self) -> MeshId {
        *self.shared.mesh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what changes from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Returns what counts what the thread does.
    pub(crate) fn meter(&self) -> &Meter {
        &self.shared.meter
    }

    /// Returns how many inputs wait in each lane.
    pub(crate) fn lane_lengths(&self) -> [(&'static str, usize); LANES] {
        self.shared.lanes.lengths()
    }

    /// Returns how the thread stands.
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// Waits until the thread has ended, and returns how.
    pub async fn ended(&self) -> State {
        let mut state = self.shared.state.subscribe();
        match state.wait_for(|state| *state != State::Running).await {
            Ok(state) => state.clone(),
            // The sender lives as long as this handle.
            Err(_) => State::Stopped,
        }
    }

    /// Stops the thread once everything handed in is handled and durable, and waits for it.
    pub async fn stop(&self) -> State {
        self.shared.lanes.close();
        self.ended().await
    }

    /// Returns why there is no reply any more.
    fn over(&self) -> CommandError {
        self.shared.waiting().over.clone().unwrap_or_else(stopped)
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_mesh(&self, mesh: MeshId) {
        *self.mesh.lock().unwrap_or_else(PoisonError::into_inner) = mesh;
    }

    /// Answers everybody who waits, now and later.
    fn finish(&self, state: State) {
        let error = match &state {
            State::Failed(reason) => CommandError::Store(reason.clone()),
            State::Running | State::Stopped => stopped(),
        };
        self.lanes.close();
        let replies = {
            let mut waiting = self.waiting();
            waiting.over = Some(error.clone());
            std::mem::take(&mut waiting.replies)
        };
        for reply in replies.into_values() {
            // Who gave up waiting needs no answer.
            let _ = reply.send(Err(error.clone()));
        }
        self.state.send_replace(state);
    }
}

fn stopped() -> CommandError {
    CommandError::Refused {
        problem: "the node is stopping".to_owned(),
        hint: "try again once it has stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests;
