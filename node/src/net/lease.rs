//! The streams of lease messages: one each way between two linked members, opened by who speaks on it.
//!
//! Votes wait for nothing else, so they have streams, queues and room of their own. They may get lost, as when a stream
//! breaks or a queue is full: whoever misses an answer asks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite};
use libp2p::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::event;
use super::frame::{self, ReadError};
use super::link::{DownReason, Link, LinkId, Outbox, Writer};
use super::{Queue, Timing};

/// Room that the smallest message takes up, in bytes: it also costs a place in every queue it passes.
pub const LEASE_ROOM_MIN: usize = 1024;

/// The longest wait before a stream that broke is opened again, while its link stands.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A lease message that came, of 1 to [`limits::LEASE_MESSAGE_BYTES_MAX`] bytes.
#[derive(Debug)]
pub struct LeaseMessage {
    /// The member that said it.
    pub from: NodeId,
    /// The link beside which it came.
    pub link: LinkId,
    /// The message.
    pub bytes: Vec<u8>,
    /// What the message takes up of the room of its link; to be kept until the message is about to be handled.
    pub share: OwnedSemaphorePermit,
}

/// The receiving end of lease messages; while nobody receives, the members' streams are not read.
#[derive(Debug)]
pub struct LeaseMessages {
    pub(super) queue: mpsc::Receiver<LeaseMessage>,
}

impl LeaseMessages {
    /// Waits for the next message; `None` once the network has shut down.
    pub async fn recv(&mut self) -> Option<LeaseMessage> {
        self.queue.recv().await
    }

    /// Returns the next message if one waits.
    pub fn try_recv(&mut self) -> Option<LeaseMessage> {
        self.queue.try_recv().ok()
    }
}

/// Why a lease message was not taken; it is counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseSendError {
    /// Too many wait.
    #[error("too many lease messages wait for {}", .node.short())]
    Full {
        /// The member.
        node: NodeId,
    },
    /// The member is not linked.
    #[error("{} is not linked", .node.short())]
    NotLinked {
        /// The member.
        node: NodeId,
    },
    /// The message is empty or longer than [`limits::LEASE_MESSAGE_BYTES_MAX`].
    #[error("a lease message of {bytes} bytes, where 1 to {} are allowed", limits::LEASE_MESSAGE_BYTES_MAX)]
    Size {
        /// The message's size.
        bytes: usize,
    },
}

/// What a link has for lease messages.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) outbox: Outbox,
    room: Arc<Semaphore>,
    /// Cancelled once the node takes messages of this link.
    wanted: CancellationToken,
}

impl Traffic {
    pub(super) fn new(queue: &Queue) -> Self {
        let room = queue.lease_in_bytes.max(limits::LEASE_MESSAGE_BYTES_MAX);
        Self {
            outbox: Outbox::new(queue.lease_out, queue.lease_out_bytes),
            room: Arc::new(Semaphore::new(room)),
            wanted: CancellationToken::new(),
        }
    }

    /// Lets messages of this link be read from now on.
    pub(super) fn want(&self) {
        self.wanted.cancel();
    }

    async fn share(&self, bytes: usize) -> OwnedSemaphorePermit {
        let size = u32::try_from(bytes.max(LEASE_ROOM_MIN)).expect("a message is no longer than its limit");
        Arc::clone(&self.room).acquire_many_owned(size).await.expect("nobody closes the room of a link")
    }
}

/// What keeps a stream of our own beside a link, with the wait before it is opened again.
#[derive(Debug)]
pub(super) struct Speech {
    pub(super) link: Arc<Link>,
    wait: Duration,
}

impl Speech {
    pub(super) fn new(link: Arc<Link>, timing: &Timing) -> Self {
        Self { link, wait: timing.retry_min }
    }

    /// Speaks on a stream that was opened until it breaks, and waits; `None` once the link has ended.
    pub(super) async fn run(self, opened: Result<Stream, String>, timing: Timing) -> Option<Self> {
        let Self { link, mut wait } = self;
        let try_again = async {
            let began = Instant::now();
            let reason = match opened {
                Ok(stream) => speak(stream, &link.leases.outbox, timing.write_stall).await,
                Err(reason) => reason,
            };
            if began.elapsed() >= timing.settle_time {
                wait = timing.retry_min;
            }
            debug!(reason, "lease messages wait");
            sleep(wait).await;
        };
        tokio::select! {
            biased;
            _ = link.ended() => return None,
            () = try_again => {}
        }
        let wait = (2 * wait).min(RETRY_MAX);
        Some(Self { link, wait })
    }
}

/// Writes what waits until the stream breaks, stalls, or the peer lets go of it; returns what became of it.
async fn speak(stream: impl AsyncRead + AsyncWrite, outbox: &Outbox, stall: Duration) -> String {
    let (mut read_half, write_half) = stream.split();
    let mut writer = Writer::new(write_half);
    // Nobody answers on a stream of ours: whatever can be read is its end.
    let mut end = [0];
    tokio::select! {
        biased;
        reason = write(&mut writer, outbox, stall) => reason,
        _ = read_half.read(&mut end) => "the peer let go of the stream".to_owned(),
    }
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut Writer<W>, outbox: &Outbox, stall: Duration) -> String {
    loop {
        // Some may have waited since before the stream.
        while writer.load(outbox) {
            match timeout(stall, writer.write_out()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return format!("the peer takes no bytes for {} s", stall.as_secs()),
            }
        }
        outbox.filled().await;
    }
}

/// Hands on what the member says until its stream or the link ends, or the member has opened a newer stream.
///
/// A message out of bounds ends the link.
pub(super) async fn listen(link: Arc<Link>, stream: Stream, newer: CancellationToken, events: event::Sender) {
    tokio::select! {
        biased;
        _ = link.ended() => {}
        () = newer.cancelled() => {}
        () = read(&link, stream, &events) => {}
    }
}

async fn read(link: &Link, mut stream: impl AsyncRead + Unpin, events: &event::Sender) {
    link.leases.wanted.cancelled().await;
    loop {
        match frame::read(&mut stream, limits::LEASE_MESSAGE_BYTES_MAX).await {
            Ok(bytes) => {
                let share = link.leases.share(bytes.len()).await;
                let message = LeaseMessage { from: link.node, link: link.id, bytes, share };
                if events.send_lease(message).await.is_err() {
                    return;
                }
            }
            // The member opens another.
            Err(ReadError::End | ReadError::Io(_)) => return,
            Err(error @ (ReadError::Empty | ReadError::Oversize { .. })) => {
                return link.end(DownReason::Violation(error.to_string()));
            }
        }
    }
}
