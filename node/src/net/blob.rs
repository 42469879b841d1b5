//! The stream of one blob: a request, an answer and pieces of content, between two members.
//!
//! It is apart from the link: what is large delays no frame, and ends by itself when the other end falls silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use futures::AsyncWriteExt;
use libp2p::Stream;
use tokio::time::timeout;

use super::frame::{self, ReadError};

/// Streams that one member may have open here: as many as an honest one fetches at one time.
const NODE_STREAMS_MAX: usize = 4;

/// Streams that all members together may have open here.
const STREAMS_MAX: usize = 32;

/// Why there is no stream to a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobStreamError {
    /// The member is not linked.
    #[error("{} is not linked", .node.short())]
    NotLinked {
        /// The member.
        node: NodeId,
    },
    /// The member does not give one, or the connection broke.
    #[error("{} opens no stream: {reason}", .node.short())]
    Refused {
        /// The member.
        node: NodeId,
        /// What became of it.
        reason: String,
    },
    /// It took too long.
    #[error("{} did not answer in time", .node.short())]
    Timeout {
        /// The member.
        node: NodeId,
    },
    /// Too many streams are being opened.
    #[error("too many streams are being opened")]
    Busy,
    /// The network has shut down.
    #[error("the network is shut down")]
    Shutdown,
}

/// Why a message did not pass.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The other end ended the stream.
    #[error("the other end ended the stream")]
    End,
    /// The message is empty or too long.
    #[error("a message of {bytes} bytes, where 1 to {bytes_max} are allowed")]
    Size {
        /// Its length.
        bytes: usize,
        /// The length that it may have.
        bytes_max: usize,
    },
    /// Nothing moved for too long.
    #[error("nothing moved for {} ms", .0.as_millis())]
    Stalled(Duration),
    /// The stream broke.
    #[error("the stream broke")]
    Io(#[source] std::io::Error),
}

/// A stream of whole messages for one blob; dropping it ends the exchange.
#[derive(Debug)]
pub struct BlobStream {
    stream: Stream,
    stall: Duration,
    /// Of a stream that the other end opened.
    _visit: Option<Visit>,
}

impl BlobStream {
    pub(super) fn new(stream: Stream, stall: Duration, visit: Option<Visit>) -> Self {
        Self { stream, stall, _visit: visit }
    }

    /// Reads one message of at most so many bytes.
    ///
    /// # Errors
    /// When none comes in time, the other end stops, or its message is out of bounds.
    pub async fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, TransferError> {
        let read = timeout(self.stall, frame::read(&mut self.stream, bytes_max)).await;
        read.map_err(|_| TransferError::Stalled(self.stall))?.map_err(|error| match error {
            ReadError::End => TransferError::End,
            ReadError::Empty => TransferError::Size { bytes: 0, bytes_max },
            ReadError::Oversize { bytes, bytes_max } => TransferError::Size { bytes, bytes_max },
            ReadError::Io(source) => TransferError::Io(source),
        })
    }

    /// Writes one message that is not empty.
    ///
    /// # Errors
    /// When the other end does not take it in time or is gone.
    pub async fn write(&mut self, message: &[u8]) -> Result<(), TransferError> {
        let mut bytes = Vec::with_capacity(message.len() + 4);
        frame::append(&mut bytes, message);
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        timeout(self.stall, write).await.map_err(|_| TransferError::Stalled(self.stall))?.map_err(TransferError::Io)
    }

    /// Says that nothing more will be written, and hands over what was.
    ///
    /// # Errors
    /// When the other end does not take it in time or is gone.
    pub async fn finish(mut self) -> Result<(), TransferError> {
        let close = timeout(self.stall, self.stream.close()).await;
        close.map_err(|_| TransferError::Stalled(self.stall))?.map_err(TransferError::Io)
    }
}

/// The streams that members have open here.
#[derive(Debug, Clone, Default)]
pub(super) struct Visits {
    open: Arc<Mutex<BTreeMap<NodeId, usize>>>,
}

/// One stream that a member has open here; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    visits: Visits,
    node: NodeId,
}

impl Visits {
    /// Counts one more stream of a member, unless there are enough.
    pub(super) fn enter(&self, node: NodeId) -> Option<Visit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(&node).copied().unwrap_or(0));
        if all >= STREAMS_MAX || own >= NODE_STREAMS_MAX {
            return None;
        }
        open.insert(node, own + 1);
        Some(Visit { visits: self.clone(), node })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.visits.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.node) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_member_and_of_all_are_bounded_and_make_room_when_they_end() {
        let visits = Visits::default();
        let node = |number: usize| NodeId::from_bytes([u8::try_from(number).unwrap(); 32]);
        let mut open: Vec<Visit> = (0..NODE_STREAMS_MAX).filter_map(|_| visits.enter(node(0))).collect();
        assert_eq!(open.len(), NODE_STREAMS_MAX);
        assert!(visits.enter(node(0)).is_none());
        open.extend((NODE_STREAMS_MAX..STREAMS_MAX).filter_map(|number| visits.enter(node(number))));
        assert_eq!(open.len(), STREAMS_MAX);
        assert!(visits.enter(node(100)).is_none());
        open.remove(0);
        assert!(visits.enter(node(0)).is_some());
        drop(open);
        assert!(visits.open.lock().unwrap().is_empty());
    }
}
