//! Blobs: the contents of attachments, and the messages by which one node gets one from another.
//!
//! Who asks knows the hash and the length from a letter, so nothing that comes has to be believed.

use serde::{Deserialize, Serialize};

use crate::id::BlobHash;

/// Bytes of an encoded answer at most: its number and a length.
pub const ANSWER_BYTES_MAX: usize = 11;

/// Asks for a blob; the first message on its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The blob.
    pub hash: BlobHash,
}

/// What a node says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is here; so many bytes follow, in pieces.
    Here {
        /// Its length.
        bytes: u64,
    },
    /// It is not here, or no letter that is held here carries it.
    Absent,
    /// Others are being served; asking again later may help.
    Busy,
}

/// The bytes are no such message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is malformed")]
pub struct MessageError;

impl BlobHash {
    /// Returns the name of what has these bytes.
    pub fn of(content: &[u8]) -> Self {
        Self::from_bytes(*blake3::hash(content).as_bytes())
    }
}

impl Request {
    /// Encodes the request.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a request.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode(bytes)
    }
}

impl Answer {
    /// Encodes the answer.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes an answer.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        decode(bytes)
    }
}

fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("messages about blobs have a postcard form")
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err(MessageError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_back_and_fit_their_bounds() {
        let request = Request { hash: BlobHash::of(b"content") };
        assert_eq!(request.encode(), request.hash.as_bytes());
        assert_eq!(Request::decode(&request.encode()), Ok(request));
        for answer in [Answer::Here { bytes: u64::MAX }, Answer::Here { bytes: 0 }, Answer::Absent, Answer::Busy] {
            assert!(answer.encode().len() <= ANSWER_BYTES_MAX);
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_of_no_known_kind_is_no_message() {
        let request = Request { hash: BlobHash::of(b"") }.encode();
        for bytes in [&request[..31], &[request.as_slice(), &[0]].concat(), &[]] {
            assert_eq!(Request::decode(bytes), Err(MessageError));
        }
        for bytes in [[].as_slice(), &[0], &[3], &[1, 0]] {
            assert_eq!(Answer::decode(bytes), Err(MessageError));
        }
    }
}
