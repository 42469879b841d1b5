//! One link: a task that moves frames between a stream and the queues of the node.
//!
//! The task alone speaks for its link, so its events come in order: up, frames, down.

mod outbox;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite};
use libp2p::Stream;
use libp2p::swarm::ConnectionId;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::address::Path;
use super::event::{self, Event};
use super::frame::{self, ReadError};
use super::lease::Traffic;
use super::{Queue, Timing};
pub(super) use outbox::{Outbox, Writer};

/// Names one link of this run of the node; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    pub(super) const fn new(count: u64) -> Self {
        Self(count)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a link is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DownReason {
    /// This node closed it.
    #[error("closed here: {0}")]
    ClosedHere(String),
    /// The peer closed it.
    #[error("closed by the peer")]
    ClosedByPeer,
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(String),
    /// The peer no longer answers pings.
    #[error("the peer does not answer")]
    Silent,
    /// The peer takes no more bytes.
    #[error("the peer takes no bytes for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The peer sent what no honest peer sends.
    #[error("the peer broke the protocol: {0}")]
    Violation(String),
    /// A newer link to the same peer took its place.
    #[error("replaced by a newer link")]
    Replaced,
    /// The peer is no longer a member.
    #[error("the peer is no longer a member")]
    Removed,
    /// The peer is kept out by hand.
    #[error("the peer is kept out by hand")]
    Banned,
    /// The network is shutting down.
    #[error("this node is shutting down")]
    Shutdown,
}

impl DownReason {
    /// Whether what is queued is still worth handing over.
    const fn is_polite(&self) -> bool {
        matches!(self, Self::ClosedHere(_) | Self::Replaced | Self::Shutdown)
    }
}

/// What the rest of the network holds of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) node: NodeId,
    pub(super) connection: ConnectionId,
    pub(super) outbox: Outbox,
    pub(super) leases: Traffic,
    end: CancellationToken,
    reason: OnceLock<DownReason>,
    /// Cancelled once the link's last event is in the queue.
    pub(super) gone: CancellationToken,
}

impl Link {
    pub(super) fn new(id: LinkId, node: NodeId, connection: ConnectionId, queue: &Queue) -> Self {
        let (end, gone) = (CancellationToken::new(), CancellationToken::new());
        let (outbox, leases) = (Outbox::new(queue.out_frames, queue.out_bytes), Traffic::new(queue));
        Self { id, node, connection, outbox, leases, end, reason: OnceLock::new(), gone }
    }

    /// Ends the link; of several reasons the first counts.
    pub(super) fn end(&self, reason: DownReason) {
        let _ = self.reason.set(reason);
        self.end.cancel();
    }

    /// Whether it is ended but hands over first what is queued, for at most the time a link lingers.
    pub(super) fn is_parting(&self) -> bool {
        self.reason.get().is_some_and(DownReason::is_polite)
    }

    /// Waits until the link is ended, and returns why.
    pub(super) async fn ended(&self) -> DownReason {
        self.end.cancelled().await;
        self.reason.get().cloned().expect("the reason is set before the token is cancelled")
    }
}

/// What a link's task is given.
pub(super) struct Task {
    pub(super) link: Arc<Link>,
    pub(super) stream: Stream,
    pub(super) events: event::Sender,
    pub(super) path: Path,
    pub(super) dialer: bool,
    pub(super) timing: Timing,
    pub(super) link_in_bytes: usize,
    /// The link this one replaces: its last event goes first.
    pub(super) predecessor: Option<Arc<Link>>,
}

impl Task {
    /// Runs the link up to its end; `forget` makes it unknown to senders before `LinkDown` is told.
    pub(super) async fn run(self, forget: impl FnOnce()) -> DownReason {
        let Self { link, stream, events, path, dialer, timing, link_in_bytes, predecessor } = self;
        if let Some(predecessor) = predecessor {
            predecessor.gone.cancelled().await;
        }
        debug!(%path, dialer, "link up");
        let up = Event::LinkUp { link: link.id, node: link.node, path, dialer };
        let mut reason = DownReason::Shutdown;
        if events.send(up).await.is_ok() {
            let own = Arc::new(Semaphore::new(link_in_bytes.max(limits::FRAME_BYTES_MAX)));
            reason = carry(&link, stream, &events, &own, &timing).await;
        }
        link.end(reason.clone());
        forget();
        debug!(%reason, "link down");
        let down = events.send(Event::LinkDown { link: link.id, reason: reason.clone() });
        if reason == DownReason::Shutdown {
            // Nobody may be receiving any more.
            let _ = timeout(timing.linger, down).await;
        } else {
            let _ = down.await;
        }
        link.gone.cancel();
        reason
    }
}

/// Moves frames both ways until either way ends or the link is ended from outside.
async fn carry(
    link: &Link,
    stream: Stream,
    events: &event::Sender,
    own: &Arc<Semaphore>,
    timing: &Timing,
) -> DownReason {
    let (mut read_half, write_half) = stream.split();
    let mut writer = Writer::new(write_half);
    let reason = {
        let mut reading = pin!(read_frames(link.id, &mut read_half, events, own));
        tokio::select! {
            biased;
            reason = link.ended() => reason,
            reason = &mut reading => reason,
            reason = write_frames(&mut writer, &link.outbox, timing.write_stall) => {
                // What the peer said before it stopped listening is still of interest.
                timeout(timing.linger, reading).await.unwrap_or(reason)
            }
            never = tell_room(link, events) => match never {},
        }
    };
    if reason.is_polite() {
        let _ = timeout(timing.linger, part(&mut writer, &mut read_half, &link.outbox)).await;
    }
    reason
}

async fn read_frames(
    link: LinkId,
    stream: &mut (impl AsyncRead + Unpin),
    events: &event::Sender,
    own: &Arc<Semaphore>,
) -> DownReason {
    loop {
        match frame::read(stream, limits::FRAME_BYTES_MAX).await {
            Ok(bytes) => {
                if events.send_frame(link, bytes, own).await.is_err() {
                    return DownReason::Shutdown;
                }
            }
            Err(ReadError::End) => return DownReason::ClosedByPeer,
            Err(ReadError::Io(error)) => return DownReason::Lost(error.to_string()),
            Err(error @ (ReadError::Empty | ReadError::Oversize { .. })) => {
                return DownReason::Violation(error.to_string());
            }
        }
    }
}

async fn write_frames<W: AsyncWrite + Unpin>(writer: &mut Writer<W>, outbox: &Outbox, stall: Duration) -> DownReason {
    loop {
        outbox.filled().await;
        while writer.load(outbox) {
            match timeout(stall, writer.write_out()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return DownReason::Lost(error.to_string()),
                Err(_) => return DownReason::Stalled(stall),
            }
        }
    }
}

async fn tell_room(link: &Link, events: &event::Sender) -> std::convert::Infallible {
    loop {
        link.outbox.emptied().await;
        // Without a receiver the link ends by its next frame or from outside.
        let _ = events.send(Event::Room { link: link.id }).await;
    }
}

/// Hands over what is queued, says that this was all, and waits for the peer to see it.
async fn part<W: AsyncWrite + Unpin>(
    writer: &mut Writer<W>,
    stream: &mut (impl AsyncRead + Unpin),
    outbox: &Outbox,
) -> std::io::Result<()> {
    writer.write_out().await?;
    while writer.load(outbox) {
        writer.write_out().await?;
    }
    writer.finish().await?;
    // QUIC drops what is under way when its connection closes, so the peer goes first.
    let mut scratch = vec![0; 16 * 1024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}
