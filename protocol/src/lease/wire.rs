//! What nodes say to each other about leases, as canonical postcard: one message, one ask or one answer.

use serde::{Deserialize, Serialize};

use super::message::{Answer, Ask};
use crate::limits::LEASE_MESSAGE_BYTES_MAX;

/// One message; the connection it comes by says who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// To a voter.
    Ask(Ask),
    /// From a voter.
    Answer(Answer),
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message is longer than any may be.
    #[error("lease message of {0} bytes exceeds the limit of {LEASE_MESSAGE_BYTES_MAX}")]
    TooLong(usize),
    /// The bytes do not decode, or something follows what they decode to.
    #[error("lease message does not decode")]
    Malformed,
}

impl Message {
    /// Encodes the message.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("lease messages have a postcard form")
    }

    /// Decodes a message.
    ///
    /// # Errors
    /// When the peer has broken the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > LEASE_MESSAGE_BYTES_MAX {
            return Err(MessageError::TooLong(bytes.len()));
        }
        let (message, rest): (Self, _) = postcard::take_from_bytes(bytes).map_err(|_| MessageError::Malformed)?;
        if rest.is_empty() { Ok(message) } else { Err(MessageError::Malformed) }
    }
}
