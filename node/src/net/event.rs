//! What the network tells the node: one bounded queue of events, with room counted in bytes for frames, and one of lease
//! messages, which wait behind none of them.

use std::sync::Arc;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Queue;
use super::address::Path;
use super::blob::BlobStream;
use super::join::JoinStream;
use super::lease::{LeaseMessage, LeaseMessages};
use super::link::{DownReason, LinkId};
use super::notice::Judge;

/// Room that the smallest frame takes up, in bytes: it also costs a place in every queue it passes.
pub const FRAME_ROOM_MIN: usize = 16 * 1024;

/// Something happened on the network.
///
/// Of one link, `LinkUp` comes first, `LinkDown` last, and frames in the order they were sent.
#[derive(Debug)]
pub enum Event {
    /// The node listens on this multiaddress.
    Listening(String),
    /// The addresses at which others may reach this node are now these.
    AddressesChanged(Vec<String>),
    /// A link to a member stands.
    LinkUp {
        /// The link.
        link: LinkId,
        /// The member.
        node: NodeId,
        /// The way the link takes.
        path: Path,
        /// Whether this node made the connection.
        dialer: bool,
    },
    /// A frame came, of 1 to [`limits::FRAME_BYTES_MAX`] bytes.
    Frame {
        /// The link it came by.
        link: LinkId,
        /// The frame.
        bytes: Vec<u8>,
        /// What the frame takes up of its link's room; to be kept until the frame is handed on.
        room: Room,
    },
    /// A link whose queue was full has room again.
    Room {
        /// The link.
        link: LinkId,
    },
    /// A link is gone; its id is never used again.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why it is gone.
        reason: DownReason,
    },
    /// A stranger, or a member repeating a join, asks to join.
    JoinAsked {
        /// Who asks; proven by the handshake.
        node: NodeId,
        /// The stream for the exchange.
        stream: JoinStream,
    },
    /// A member asks for a blob.
    BlobAsked {
        /// Who asks; proven by the handshake.
        node: NodeId,
        /// The stream for the exchange.
        stream: BlobStream,
    },
    /// A notice came that a member has signed, of at most [`limits::NOTICE_BYTES_MAX`] bytes.
    Notice {
        /// The member.
        from: NodeId,
        /// The notice.
        bytes: Vec<u8>,
        /// Where to say what becomes of it.
        judge: Judge,
    },
    /// A member could not be reached; it is tried again.
    DialFailed {
        /// The member.
        node: NodeId,
        /// What went wrong, for people.
        reason: String,
    },
}

/// Room that a frame takes up, on its link and in all; given back when it is dropped.
///
/// While it is held, the link reads the less ahead.
#[derive(Debug)]
pub struct Room {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The receiving end of the network's events.
///
/// While nobody receives, links stop reading, and peers feel it.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::Receiver<Event>,
    leases: Option<LeaseMessages>,
}

impl Events {
    /// Takes the receiving end of lease messages out, for a task of its own.
    ///
    /// # Panics
    ///
    /// The second time.
    pub fn take_leases(&mut self) -> LeaseMessages {
        self.leases.take().expect("there is one receiver of lease messages")
    }

    /// Waits for the next event; `None` once the network has shut down.
    pub async fn recv(&mut self) -> Option<Event> {
        self.queue.recv().await
    }

    /// Returns the next event if one waits.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.queue.try_recv().ok()
    }
}

/// The sending end, one for each link and one for the driver.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    queue: mpsc::Sender<Event>,
    leases: mpsc::Sender<LeaseMessage>,
    room: Arc<Semaphore>,
}

/// The receiver of events is gone.
#[derive(Debug)]
pub(super) struct Gone;

pub(super) fn channel(config: &Queue) -> (Sender, Events) {
    let (sender, receiver) = mpsc::channel(config.events.max(1));
    let room = Arc::new(Semaphore::new(config.in_bytes.max(limits::FRAME_BYTES_MAX)));
    let (leases, queue) = mpsc::channel(config.leases.max(1));
    let events = Events { queue: receiver, leases: Some(LeaseMessages { queue }) };
    (Sender { queue: sender, leases, room }, events)
}

impl Sender {
    pub(super) async fn send(&self, event: Event) -> Result<(), Gone> {
        self.queue.send(event).await.map_err(|_| Gone)
    }

    /// Sends a frame once there is room for it, on its link and in all; waiting links take turns.
    pub(super) async fn send_frame(&self, link: LinkId, bytes: Vec<u8>, own: &Arc<Semaphore>) -> Result<(), Gone> {
        let size = u32::try_from(bytes.len().max(FRAME_ROOM_MIN)).expect("a frame is no longer than its limit");
        let own = Arc::clone(own).acquire_many_owned(size).await.map_err(|_| Gone)?;
        let all = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| Gone)?;
        let room = Room { _own: own, _all: all };
        self.queue.send(Event::Frame { link, bytes, room }).await.map_err(|_| Gone)
    }

    /// Sends a lease message once there is a place for it; its room on its link is taken by then.
    pub(super) async fn send_lease(&self, message: LeaseMessage) -> Result<(), Gone> {
        self.leases.send(message).await.map_err(|_| Gone)
    }

    /// Sends an event if there is a place for it now; returns whether there was.
    pub(super) fn offer(&self, event: Event) -> bool {
        self.queue.try_send(event).is_ok()
    }

    /// Waits until nobody receives any more.
    pub(super) async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Waits until there is a place, to be used at once.
    pub(super) async fn place(&self) -> Result<Place<'_>, Gone> {
        self.queue.reserve().await.map(Place).map_err(|_| Gone)
    }
}

/// A place in the queue that is kept for one event.
#[derive(Debug)]
pub(super) struct Place<'a>(mpsc::Permit<'a, Event>);

impl Place<'_> {
    pub(super) fn send(self, event: Event) {
        self.0.send(event);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LINK: LinkId = LinkId::new(1);

    /// Sends frames of that many bytes until there is no room, and returns how many.
    fn fill(sender: &Sender, own: &Arc<Semaphore>, bytes: usize) -> usize {
        (0..1_000).take_while(|_| sender.send_frame(LINK, vec![0; bytes], own).now_or_never().is_some()).count()
    }

    #[test]
    fn a_frame_keeps_its_room_until_it_is_handed_on() {
        let (sender, mut events) = channel(&Queue::default());
        let own = Arc::new(Semaphore::new(2 * limits::FRAME_BYTES_MAX));
        assert_eq!(fill(&sender, &own, limits::FRAME_BYTES_MAX), 2);
        let first = events.try_recv().unwrap();
        assert_eq!(fill(&sender, &own, limits::FRAME_BYTES_MAX), 0);
        drop(first);
        assert_eq!(fill(&sender, &own, limits::FRAME_BYTES_MAX), 1);
    }

    #[test]
    fn frames_of_no_size_are_bounded_in_number() {
        let (sender, _events) = channel(&Queue::default());
        let own = Arc::new(Semaphore::new(100 * FRAME_ROOM_MIN));
        assert_eq!(fill(&sender, &own, 1), 100);
    }
}
