//! What one link brings: decoded beside the replica, and handed in, in order.

use std::sync::Arc;
use std::time::Instant;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::wire::{Frame, FrameError};
use beadmesh_store::replica::{Input, LinkId};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::Links;
use crate::core::{Core, Stopped};
use crate::net::{self, Handle, Room};
use crate::refusals::Refusal;

/// Frames of one link that may wait to be decoded: as many as there is room for on the link.
pub(super) const LINK_FRAMES_MAX: usize = net::LINK_IN_BYTES / net::FRAME_ROOM_MIN;

/// Bytes from which decoding, with a signature an entry, would hold up the other tasks of its thread.
const INLINE_BYTES_MAX: usize = 4 * 1024;

/// A frame that came, with the room it takes up on its link.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) bytes: Vec<u8>,
    pub(super) room: Room,
}

/// The task of one link.
pub(super) struct Inbound {
    pub(super) core: Core,
    pub(super) handle: Handle,
    pub(super) links: Arc<Links>,
    pub(super) link: net::LinkId,
    pub(super) id: LinkId,
    pub(super) node: NodeId,
    /// The end of the member's link before this one.
    pub(super) earlier: Option<CancellationToken>,
    /// Tells of the end of this one.
    pub(super) end: DropGuard,
}

impl Inbound {
    /// Runs until the link is gone and what it brought is handed in; the replica is told of its end last.
    pub(super) async fn run(self, path: String, mut arrivals: mpsc::Receiver<Arrival>) {
        if let Some(earlier) = &self.earlier {
            // Of links that follow each other within a moment, an earlier one would take the place of a later.
            earlier.cancelled().await;
        }
        let up = self.core.link_input(Input::LinkUp(self.id, self.node, path)).await;
        let mut open = up.is_ok();
        // Not before: of who is not linked the replica takes none.
        self.handle.hear_leases(self.link);
        while let Some(Arrival { bytes, room }) = arrivals.recv().await {
            // What follows a broken frame is of no interest.
            open = open && self.on_frame(bytes).await.is_ok();
            drop(room);
        }
        self.links.remove(self.id);
        // A replica that is stopped knows of no links anyway.
        let _ = self.core.link_input(Input::LinkDown(self.id)).await;
        drop(self.end);
    }

    async fn on_frame(&self, bytes: Vec<u8>) -> Result<(), Stopped> {
        let length = bytes.len();
        match self.decode(bytes).await {
            Ok(frame) => {
                let wait = self.links.unasked.take(self.node, &frame, Instant::now());
                self.core.frame(self.id, frame, length).await?;
                if let Some(wait) = wait {
                    self.links.refusals.count_many(Refusal::EntryPace, wait.entries.max(1));
                    // The room of the frame is held meanwhile, so that the peer feels it.
                    sleep(wait.span).await;
                }
                Ok(())
            }
            Err(error) => {
                let violations = self.links.count_violation();
                self.links.refusals.count(Refusal::Frame);
                warn!(node = %self.node, %error, violations, "a peer broke the protocol");
                self.handle.close(self.link, &error.to_string());
                Err(Stopped)
            }
        }
    }

    async fn decode(&self, bytes: Vec<u8>) -> Result<Frame, FrameError> {
        let mesh = self.core.mesh();
        if bytes.len() <= INLINE_BYTES_MAX {
            return Frame::decode(mesh, &bytes);
        }
        match spawn_blocking(move || Frame::decode(mesh, &bytes)).await {
            Ok(decoded) => decoded,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime shuts down.
            Err(_) => Err(FrameError::Malformed),
        }
    }
}
