//! The stream of one join: messages between a stranger and the node that invited it.

use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::limits::JOIN_MESSAGE_BYTES_MAX;
use futures::AsyncWriteExt;
use libp2p::Stream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::frame::{self, ReadError};

/// Bytes of one message of a join.
pub const MESSAGE_BYTES_MAX: usize = JOIN_MESSAGE_BYTES_MAX;

/// Time that reading or writing one message may take.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a join did not get as far as a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// None of the inviter's addresses is usable.
    #[error("the invite has no usable address of {inviter}")]
    Addresses {
        /// The inviting node.
        inviter: NodeId,
    },
    /// Another join through the same inviter is under way.
    #[error("a join through {inviter} is under way")]
    Busy {
        /// The inviting node.
        inviter: NodeId,
    },
    /// The inviter could not be reached.
    #[error("{inviter} can not be reached: {reason}")]
    Unreachable {
        /// The inviting node.
        inviter: NodeId,
        /// What was tried and what came of it.
        reason: String,
    },
    /// The inviter was reached and did not let us in.
    #[error("{inviter} accepts no joins now: {reason}")]
    Refused {
        /// The inviting node.
        inviter: NodeId,
        /// What it did.
        reason: String,
    },
    /// The inviter did not answer in time.
    #[error("{inviter} did not answer in time")]
    Timeout {
        /// The inviting node.
        inviter: NodeId,
    },
    /// The network has shut down.
    #[error("the network is shut down")]
    Shutdown,
}

/// Why a message did not pass.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The other end ended the exchange.
    #[error("the other end ended the exchange")]
    End,
    /// The message is empty or longer than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {bytes} bytes, where 1 to {MESSAGE_BYTES_MAX} are allowed")]
    Size {
        /// The message's size.
        bytes: usize,
    },
    /// It took too long.
    #[error("no progress within 10 seconds")]
    Timeout,
    /// The stream broke.
    #[error("the stream broke")]
    Io(#[source] std::io::Error),
}

/// A stream of whole messages; dropping it ends the exchange.
#[derive(Debug)]
pub struct JoinStream {
    stream: Stream,
    _alive: oneshot::Sender<()>,
}

impl JoinStream {
    /// Wraps a stream; the receiver learns when the stream is dropped.
    pub(super) fn new(stream: Stream) -> (Self, oneshot::Receiver<()>) {
        let (alive, dropped) = oneshot::channel();
        (Self { stream, _alive: alive }, dropped)
    }

    /// Reads one message.
    ///
    /// # Errors
    ///
    /// Fails when none comes in time, the other end stops, or its message is out of bounds.
    pub async fn read_message(&mut self) -> Result<Vec<u8>, MessageError> {
        let read = frame::read(&mut self.stream, MESSAGE_BYTES_MAX);
        timeout(MESSAGE_TIMEOUT, read).await.map_err(|_| MessageError::Timeout)?.map_err(|error| match error {
            ReadError::End => MessageError::End,
            ReadError::Empty => MessageError::Size { bytes: 0 },
            ReadError::Oversize { bytes, .. } => MessageError::Size { bytes },
            ReadError::Io(source) => MessageError::Io(source),
        })
    }

    /// Writes one message of 1 to [`MESSAGE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// Fails when the other end does not take it in time or is gone, or the message is out of bounds.
    pub async fn write_message(&mut self, message: &[u8]) -> Result<(), MessageError> {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            return Err(MessageError::Size { bytes: message.len() });
        }
        let mut bytes = Vec::with_capacity(message.len() + 4);
        frame::append(&mut bytes, message);
        let write = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        timeout(MESSAGE_TIMEOUT, write).await.map_err(|_| MessageError::Timeout)?.map_err(MessageError::Io)
    }
}
