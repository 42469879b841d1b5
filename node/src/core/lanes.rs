//! Inputs that wait for the replica, in six bounded lanes: lease messages, links, commands, small frames, large frames,
//! notices.
//!
//! A batch takes from the first lane first, yet every lane that waits gets at least one input into each batch, so none
//! starves. Frames of one link never overtake each other, nor do lease messages of one member, and none overtakes the
//! news that its member is linked. Whoever waits for an answer waits for one transfer at most, not for a batch of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::entry::Entry;
use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits::{FRAME_BYTES_MAX, LEASE_MESSAGE_BYTES_MAX, NOTICE_BYTES_MAX};
use beadmesh_protocol::wire::Frame;
use beadmesh_store::command::Command;
use beadmesh_store::replica::{Input, LinkId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Queue, Stopped};

/// Inputs of one batch: what one flush is shared by.
pub(super) const BATCH_INPUTS_MAX: usize = 256;

/// Bytes of frames and imports in one batch, so that it delays what comes next by a few milliseconds only.
pub(super) const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Bytes from which a frame of entries or a command is part of a bulk transfer rather than news.
const BULK_BYTES_MIN: usize = 16 * 1024;

/// Room that the smallest frame takes up in a lane: about what its place costs in memory.
const FRAME_ROOM_MIN: usize = 512;

/// What a record of an import weighs in a batch; a guess at its changes' size.
const RECORD_BYTES: usize = 1_024;

/// How many lanes there are.
pub(super) const LANES: usize = 6;

/// Which lane an input waits in; the first is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// What holders and voters say to each other: a claim waits for two of them.
    Lease = 0,
    /// Links coming up and going down.
    Link = 1,
    /// Commands.
    Command = 2,
    /// Frames that are small: control, and news.
    Live = 3,
    /// Frames and commands that are large: a sync or an import under way.
    Bulk = 4,
    /// What was published to all: it may be late, or not come at all.
    Notice = 5,
}

/// One input with its place in a lane.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) lane: Lane,
    pub(super) input: Input,
    pub(super) bytes: usize,
    pub(super) permit: OwnedSemaphorePermit,
    /// What a lease message takes up of the room of who sent it.
    pub(super) share: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Takes the input out, and gives back the room that it took up.
    fn into_input(self) -> Input {
        drop((self.permit, self.share));
        self.input
    }
}

/// The lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    inner: Mutex<Inner>,
    filled: Condvar,
    rooms: [Arc<Semaphore>; LANES],
}

#[derive(Debug, Default)]
struct Inner {
    queues: [VecDeque<Place>; LANES],
    /// Bulk inputs that wait, by link: what follows them on that link waits behind them.
    bulk: BTreeMap<LinkId, usize>,
    /// Members whose links wait to come up, and how much of them waits in that lane: their lease messages line up there.
    rising: BTreeMap<NodeId, usize>,
    closed: bool,
}

/// What the thread is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Handle these.
    Batch(Batch),
    /// Nothing came in time.
    Timeout,
    /// Nothing waits, and nothing will come.
    Closed,
}

/// Inputs that one flush is to be shared by.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What is short work, in order.
    pub(super) prompt: Vec<Input>,
    /// Transfers, in order: between two of these it is looked whether somebody waits for an answer.
    pub(super) bulk: Vec<Input>,
    /// What nobody waits for, in order.
    pub(super) notices: Vec<Input>,
    /// Whether somebody waits for an answer to what is short.
    pub(super) is_urgent: bool,
}

impl Batch {
    /// Returns how many inputs there are.
    pub(super) fn len(&self) -> usize {
        self.prompt.len() + self.bulk.len() + self.notices.len()
    }

    fn push(&mut self, place: Place) {
        self.is_urgent |= matches!(place.lane, Lane::Lease | Lane::Command);
        let inputs = match place.lane {
            Lane::Lease | Lane::Link | Lane::Command | Lane::Live => &mut self.prompt,
            Lane::Bulk => &mut self.bulk,
            Lane::Notice => &mut self.notices,
        };
        inputs.push(place.into_input());
    }
}

impl Lanes {
    pub(super) fn new(queue: &Queue) -> Self {
        let sizes = [
            queue.lease_bytes.max(LEASE_MESSAGE_BYTES_MAX),
            queue.links.max(1),
            queue.commands.max(1),
            queue.live_bytes.max(FRAME_BYTES_MAX),
            queue.bulk_bytes.max(FRAME_BYTES_MAX),
            queue.notice_bytes.max(NOTICE_BYTES_MAX),
        ];
        Self {
            inner: Mutex::default(),
            filled: Condvar::new(),
            rooms: sizes.map(|size| Arc::new(Semaphore::new(size))),
        }
    }

    /// Waits for room in a lane: inputs, or bytes where the lane holds frames.
    pub(super) async fn room(&self, lane: Lane, size: usize) -> Result<OwnedSemaphorePermit, Stopped> {
        let size = u32::try_from(size.min(FRAME_BYTES_MAX)).expect("a frame is far below 4 GiB");
        Arc::clone(&self.rooms[lane as usize]).acquire_many_owned(size).await.map_err(|_| Stopped)
    }

    /// Waits for room for a frame of that many bytes.
    pub(super) async fn frame_room(&self, lane: Lane, bytes: usize) -> Result<OwnedSemaphorePermit, Stopped> {
        self.room(lane, bytes.max(FRAME_ROOM_MIN)).await
    }

    /// Waits for room for a lease message of that many bytes.
    pub(super) async fn lease_room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Stopped> {
        self.room(Lane::Lease, bytes.clamp(FRAME_ROOM_MIN, LEASE_MESSAGE_BYTES_MAX)).await
    }

    /// Takes room for a notice of that many bytes, if there is some now.
    pub(super) fn notice_room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let size = u32::try_from(bytes.clamp(FRAME_ROOM_MIN, NOTICE_BYTES_MAX)).expect("a notice is far below 4 GiB");
        Arc::clone(&self.rooms[Lane::Notice as usize]).try_acquire_many_owned(size).ok()
    }

    /// Returns the lane a frame of that many bytes belongs in.
    pub(super) fn lane_of(&self, link: LinkId, frame: &Frame, bytes: usize) -> Lane {
        let large = matches!(frame, Frame::Entries(_)) && bytes >= BULK_BYTES_MIN;
        if large || self.lock().bulk.contains_key(&link) { Lane::Bulk } else { Lane::Live }
    }

    /// Returns the lane a command of that many bytes belongs in.
    pub(super) fn lane_of_command(bytes: usize) -> Lane {
        if bytes >= BULK_BYTES_MIN { Lane::Bulk } else { Lane::Command }
    }

    /// Lines an input up; there must be room for it, as its permit shows.
    pub(super) fn push(&self, mut place: Place) -> Result<(), Stopped> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(Stopped);
        }
        match place.input {
            Input::LinkUp(_, node, _) => *inner.rising.entry(node).or_insert(0) += 1,
            Input::Lease(node, _) => {
                if let Some(count) = inner.rising.get_mut(&node) {
                    *count += 1;
                    place.lane = Lane::Link;
                }
            }
            _ => {}
        }
        // The end of a link comes after everything the link brought.
        let end = matches!(place.input, Input::LinkDown(_));
        if let Some(link) = link_of(&place.input) {
            let behind = inner.bulk.contains_key(&link);
            match (end, behind) {
                (_, true) => place.lane = Lane::Bulk,
                (true, false) => place.lane = Lane::Live,
                (false, false) => {}
            }
            if place.lane == Lane::Bulk {
                *inner.bulk.entry(link).or_insert(0) += 1;
            }
        }
        inner.queues[place.lane as usize].push_back(place);
        drop(inner);
        self.filled.notify_one();
        Ok(())
    }

    /// Returns how many inputs wait in each lane, by its name.
    pub(super) fn lengths(&self) -> [(&'static str, usize); LANES] {
        let inner = self.lock();
        let names = ["lease", "link", "command", "live", "bulk", "notice"];
        std::array::from_fn(|lane| (names[lane], inner.queues[lane].len()))
    }

    /// Takes no more inputs; those that wait are still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.rooms.iter().for_each(|room| room.close());
        self.filled.notify_one();
    }

    /// Waits for inputs, at most for `wait`, and returns the next batch.
    pub(super) fn next(&self, wait: Option<Duration>) -> Next {
        let mut inner = self.lock();
        let idle = |inner: &mut Inner| !inner.closed && inner.queues.iter().all(VecDeque::is_empty);
        inner = match wait {
            Some(wait) => {
                let waited = self.filled.wait_timeout_while(inner, wait, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.filled.wait_while(inner, idle).unwrap_or_else(PoisonError::into_inner),
        };
        let batch = inner.batch();
        match (batch.len(), inner.closed) {
            (1.., _) => Next::Batch(batch),
            (0, true) => Next::Closed,
            (0, false) => Next::Timeout,
        }
    }

    /// Takes what somebody waits for an answer to, at most so many inputs; the rest waits for its turn.
    pub(super) fn urgent(&self, room: usize) -> Vec<Input> {
        let mut inner = self.lock();
        let mut urgent = Vec::new();
        for lane in [Lane::Lease, Lane::Command] {
            while urgent.len() < room
                && let Some(place) = inner.queues[lane as usize].pop_front()
            {
                urgent.push(place.into_input());
            }
        }
        urgent
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes the next batch: first lanes first, at least one of each lane, within the bounds of a batch.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        for lane in 0..LANES {
            let behind = self.queues[lane + 1..].iter().filter(|queue| !queue.is_empty()).count();
            let mut first = true;
            while first || (batch.len() + behind < BATCH_INPUTS_MAX && bytes < BATCH_BYTES_MAX) {
                let fits = |place: &Place| first || bytes + place.bytes <= BATCH_BYTES_MAX;
                let Some(place) = self.queues[lane].pop_front_if(|place| fits(place)) else { break };
                bytes += place.bytes;
                first = false;
                self.left(&place);
                batch.push(place);
            }
        }
        batch
    }

    fn left(&mut self, place: &Place) {
        match (place.lane, &place.input) {
            (Lane::Link, Input::LinkUp(_, node, _) | Input::Lease(node, _)) => count_down(&mut self.rising, node),
            (Lane::Bulk, Input::Frame(link, _) | Input::LinkDown(link)) => count_down(&mut self.bulk, link),
            _ => {}
        }
    }
}

/// Counts one less of what waits under a key, and forgets it with the last.
fn count_down<K: Ord>(waiting: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = waiting.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            waiting.remove(key);
        }
    }
}

/// Returns what a command weighs in a batch.
pub(super) fn command_bytes(command: &Command) -> usize {
    match command {
        Command::Import(records) => records.len() * RECORD_BYTES,
        Command::As(_, command) => command_bytes(command),
        Command::TakeBack(_, entries) => entries.iter().map(Entry::bytes_len).sum(),
        _ => 0,
    }
}

/// Returns the link whose order an input must keep.
fn link_of(input: &Input) -> Option<LinkId> {
    match input {
        Input::Frame(link, _) | Input::LinkDown(link) => Some(*link),
        Input::LinkUp(..) | Input::Notice(..) | Input::Lease(..) | Input::Command(..) | Input::Wakeup => None,
    }
}
