//! What the rest of the node does with the network; nothing here blocks a thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use libp2p::metrics::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::Path;
use super::blob::{BlobStream, BlobStreamError};
use super::footing::Footing;
use super::join::{JoinError, JoinStream};
use super::lease::LeaseSendError;
use super::link::{DownReason, Link, LinkId};
use super::notice::{Counters, NoticeCounts};
use crate::refusals::Refusals;

/// Time that reaching an inviter may take, all its addresses together.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Joins that may wait for the driver.
const JOINS_MAX: usize = 8;

/// Time that opening a stream for a blob may take: longer than agreeing on its protocol may.
const BLOB_TIMEOUT: Duration = Duration::from_secs(15);

/// Wishes for streams of blobs that may wait for the driver.
const BLOBS_MAX: usize = 8;

/// Why a frame was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The link's queue is full; `Event::Room` says when it is worth trying again.
    #[error("the queue of link {link} is full")]
    Full {
        /// The link.
        link: LinkId,
        /// The frame, handed back.
        frame: Vec<u8>,
    },
    /// The link is gone.
    #[error("link {link} is gone")]
    Gone {
        /// The link.
        link: LinkId,
    },
    /// The frame is empty or longer than [`limits::FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes, where 1 to {} are allowed", limits::FRAME_BYTES_MAX)]
    Size {
        /// The frame's size.
        bytes: usize,
    },
}

/// Why a notice was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Too many wait; it is dropped and counted.
    #[error("too many notices wait to be published")]
    Full,
    /// The notice is empty or longer than [`limits::NOTICE_BYTES_MAX`].
    #[error("a notice of {bytes} bytes, where 1 to {} are allowed", limits::NOTICE_BYTES_MAX)]
    Size {
        /// The notice's size.
        bytes: usize,
    },
}

/// The network of a running node; cheap to clone. The network ends with the last handle.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    joins: mpsc::Sender<Request>,
    blobs: mpsc::Sender<BlobRequest>,
    pub(super) publishing: mpsc::Sender<Vec<u8>>,
}

/// The way to a linked member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The way the link takes.
    pub path: Path,
    /// Time from a ping to its answer, the last time; not known right after the link came up.
    pub round_trip: Option<Duration>,
}

/// What handles, links and the driver share.
#[derive(Debug)]
pub(super) struct Shared {
    local: NodeId,
    links: Mutex<BTreeMap<LinkId, Arc<Link>>>,
    wishes: watch::Sender<Wishes>,
    pub(super) addresses: watch::Sender<Vec<String>>,
    ways: Mutex<BTreeMap<NodeId, Way>>,
    footing: Mutex<Footing>,
    pub(super) notices: Counters,
    /// What was refused.
    pub(super) refusals: Arc<Refusals>,
    /// What libp2p counts.
    registry: Registry,
    /// Lease messages that were not taken.
    leases_unsent: AtomicU64,
    /// Cancelled when the network is to stop.
    pub(super) stop: CancellationToken,
    /// Cancelled when the network has stopped.
    pub(super) stopped: CancellationToken,
}

/// What the node wants of the network, as a whole: only the latest counts, so it needs no queue.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pub(super) members: BTreeMap<NodeId, Vec<String>>,
    pub(super) join_open: bool,
    /// Who is kept out, members too.
    pub(super) banned: BTreeSet<NodeId>,
    /// The name of the topic that notices are on; none yet.
    pub(super) topic: Option<String>,
}

/// A wish to join through an inviter.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) inviter: NodeId,
    pub(super) addresses: Vec<String>,
    pub(super) reply: oneshot::Sender<Result<JoinStream, JoinError>>,
}

/// A wish for a stream to a linked member, for one blob.
#[derive(Debug)]
pub(super) struct BlobRequest {
    pub(super) node: NodeId,
    pub(super) reply: oneshot::Sender<Result<BlobStream, BlobStreamError>>,
}

/// The driver's ends of a handle.
pub(super) struct Ends {
    pub(super) shared: Arc<Shared>,
    pub(super) wishes: watch::Receiver<Wishes>,
    pub(super) joins: mpsc::Receiver<Request>,
    pub(super) blobs: mpsc::Receiver<BlobRequest>,
    pub(super) publishing: mpsc::Receiver<Vec<u8>>,
}

impl Handle {
    /// Makes a handle that lets so many notices wait, and the driver's ends of it.
    pub(super) fn new(local: NodeId, notices_out: usize, refusals: Arc<Refusals>, registry: Registry) -> (Self, Ends) {
        let (wishes, wishes_seen) = watch::channel(Wishes::default());
        let (joins, joins_asked) = mpsc::channel(JOINS_MAX);
        let (blobs, blobs_asked) = mpsc::channel(BLOBS_MAX);
        let (publishing, published) = mpsc::channel(notices_out.max(1));
        let shared = Arc::new(Shared {
            local,
            links: Mutex::default(),
            wishes,
            addresses: watch::channel(Vec::new()).0,
            ways: Mutex::default(),
            footing: Mutex::default(),
            notices: Counters::default(),
            refusals,
            registry,
            leases_unsent: AtomicU64::new(0),
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
        });
        let ends = Ends {
            shared: Arc::clone(&shared),
            wishes: wishes_seen,
            joins: joins_asked,
            blobs: blobs_asked,
            publishing: published,
        };
        (Self { shared, joins, blobs, publishing }, ends)
    }

    /// Returns the id of this node.
    pub fn local_node_id(&self) -> NodeId {
        self.shared.local
    }

    /// Returns the multiaddresses at which others may reach this node, without its peer id.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.shared.addresses.borrow().clone()
    }

    /// Waits until this node can be reached somewhere, or for `patience`.
    pub async fn listening(&self, patience: Duration) {
        let mut addresses = self.shared.addresses.subscribe();
        // The sender lives as long as this handle, so that only time can run out.
        let _ = timeout(patience, addresses.wait_for(|addresses| !addresses.is_empty())).await;
    }

    /// Sets the members and their known multiaddresses: they may connect, and are dialled and kept linked.
    ///
    /// The links of who is left out end. This node itself may be among them.
    pub fn set_members(&self, members: BTreeMap<NodeId, Vec<String>>) {
        self.shared.wishes.send_modify(|wishes| wishes.members = members);
    }

    /// Sets whether strangers may come to join: true while an invite is open.
    pub fn set_join_open(&self, open: bool) {
        self.shared.wishes.send_modify(|wishes| wishes.join_open = open);
    }

    /// Sets who is kept out: links to them end, their connections and notices are refused, and they are not dialled.
    pub fn set_banned(&self, banned: BTreeSet<NodeId>) {
        self.shared.wishes.send_modify(|wishes| wishes.banned = banned);
    }

    /// Sets the name of the topic that members publish on: the mesh's, known to who knows the mesh.
    pub fn set_topic(&self, topic: String) {
        self.shared.wishes.send_modify(|wishes| wishes.topic = Some(topic));
    }

    /// Publishes a notice to the members in reach, without waiting and without promise.
    ///
    /// # Errors
    ///
    /// Fails when too many notices wait, or the notice is out of bounds.
    pub fn publish(&self, notice: Vec<u8>) -> Result<(), PublishError> {
        if notice.is_empty() || notice.len() > limits::NOTICE_BYTES_MAX {
            return Err(PublishError::Size { bytes: notice.len() });
        }
        // A driver that has stopped publishes nothing either.
        self.publishing.try_send(notice).map_err(|_| {
            self.shared.notices.unsent.fetch_add(1, Ordering::Relaxed);
            PublishError::Full
        })
    }

    /// Returns how notices fared since the start.
    pub fn notice_counts(&self) -> NoticeCounts {
        self.shared.notices.read()
    }

    /// Queues a frame on a link, in order and without waiting.
    ///
    /// # Errors
    ///
    /// Fails when the queue is full (then `Event::Room` follows), the link is gone, or the frame is out of bounds.
    pub fn send(&self, link: LinkId, frame: Vec<u8>) -> Result<(), SendError> {
        if frame.is_empty() || frame.len() > limits::FRAME_BYTES_MAX {
            return Err(SendError::Size { bytes: frame.len() });
        }
        let found = self.shared.links().get(&link).cloned().ok_or(SendError::Gone { link })?;
        found.outbox.push(frame).map_err(|frame| SendError::Full { link, frame })
    }

    /// Queues a lease message for a linked member, without waiting and without promise.
    ///
    /// # Errors
    ///
    /// Fails when too many wait for the member, it is not linked, or the message is out of bounds.
    pub fn send_lease(&self, node: NodeId, message: Vec<u8>) -> Result<(), LeaseSendError> {
        let bytes = message.len();
        let sent = if bytes == 0 || bytes > limits::LEASE_MESSAGE_BYTES_MAX {
            Err(LeaseSendError::Size { bytes })
        } else {
            // The newest, where one takes the place of another.
            let found = self.shared.links().values().rev().find(|link| link.node == node).cloned();
            let link = found.ok_or(LeaseSendError::NotLinked { node });
            link.and_then(|link| link.leases.outbox.push(message).map_err(|_| LeaseSendError::Full { node }))
        };
        sent.inspect_err(|_| {
            self.shared.leases_unsent.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Returns how many lease messages were not taken since the start.
    pub fn leases_unsent(&self) -> u64 {
        self.shared.leases_unsent.load(Ordering::Relaxed)
    }

    /// Lets lease messages come that a member sends beside this link; until then they wait at the member.
    pub fn hear_leases(&self, link: LinkId) {
        if let Some(found) = self.shared.links().get(&link) {
            found.leases.want();
        }
    }

    /// Closes a link once what is queued on it is handed over, or a second later; the member is dialled again after a
    /// while.
    pub fn close(&self, link: LinkId, reason: &str) {
        let found = self.shared.links().get(&link).cloned();
        if let Some(found) = found {
            found.end(DownReason::ClosedHere(reason.to_owned()));
        }
    }

    /// Reaches an inviter as a stranger and opens the stream for a join.
    ///
    /// # Errors
    ///
    /// Fails when the inviter can not be reached, does not prove to be `inviter`, or accepts no joins now.
    pub async fn join(&self, inviter: NodeId, addresses: Vec<String>) -> Result<JoinStream, JoinError> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            let request = Request { inviter, addresses, reply };
            self.joins.send(request).await.map_err(|_| JoinError::Shutdown)?;
            answer.await.map_err(|_| JoinError::Shutdown)?
        };
        timeout(JOIN_TIMEOUT, exchange).await.map_err(|_| JoinError::Timeout { inviter })?
    }

    /// Returns the members that are linked now, each once.
    pub fn linked(&self) -> BTreeSet<NodeId> {
        self.shared.links().values().map(|link| link.node).collect()
    }

    /// Returns the ways to the members that are linked now.
    pub fn ways(&self) -> BTreeMap<NodeId, Way> {
        self.shared.ways().clone()
    }

    /// Returns what libp2p counts of itself.
    pub(crate) fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// Returns whether the network runs.
    pub fn is_running(&self) -> bool {
        !self.shared.stopped.is_cancelled()
    }

    /// Returns whether others can reach this node, and the relays in use.
    pub fn footing(&self) -> Footing {
        self.shared.footing().clone()
    }

    /// Opens a stream to a linked member, for one blob.
    ///
    /// # Errors
    ///
    /// Fails when the member is not linked, or gives no stream in time.
    pub async fn blob(&self, node: NodeId) -> Result<BlobStream, BlobStreamError> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.blobs.send(BlobRequest { node, reply }).await.map_err(|_| BlobStreamError::Shutdown)?;
            answer.await.map_err(|_| BlobStreamError::Shutdown)?
        };
        timeout(BLOB_TIMEOUT, exchange).await.map_err(|_| BlobStreamError::Timeout { node })?
    }

    /// Stops the network: links hand over what is queued, peers are told, sockets close.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.stopped.cancelled().await;
    }
}

impl Shared {
    /// Returns the links that take frames.
    pub(super) fn links(&self) -> MutexGuard<'_, BTreeMap<LinkId, Arc<Link>>> {
        // Nothing panics while it is held.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ways(&self) -> MutexGuard<'_, BTreeMap<NodeId, Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn footing(&self) -> MutexGuard<'_, Footing> {
        self.footing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
