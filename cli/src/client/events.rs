//! The stream of events, as a running node tells them.

use axum::body::Body;
use beadmesh_node::api::model::{Answer, Event};
use http_body_util::BodyExt;

use super::cut_short;
use crate::failure::Failure;

/// Bytes of one event at most; the longest names a bead and its alias, or a letter and its recipients.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// What changes at the node, from the moment the stream was opened.
pub(crate) struct Events {
    body: Body,
    pending: Vec<u8>,
}

impl Events {
    /// Returns the events of a stream.
    pub(crate) fn new(body: Body) -> Self {
        Self { body, pending: Vec::new() }
    }

    /// Waits for the next event; `None` when the node ended the stream. What this program does not know is passed over.
    ///
    /// # Errors
    ///
    /// Fails when the stream broke off, or holds what no node writes.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                if let Some(event) = read(&line) {
                    return Ok(Some(event));
                }
            }
            if self.pending.len() > EVENT_BYTES_MAX {
                return Err(cut_short(&std::io::Error::other("an event has no end")));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(|error| cut_short(&error))?;
                    self.pending.extend(frame.into_data().unwrap_or_default());
                }
            }
        }
    }
}

/// Reads the line that holds an event; the others name it, keep the line alive, or part it from the next.
fn read(line: &[u8]) -> Option<Event> {
    let data = line.strip_prefix(b"data:")?;
    serde_json::from_slice::<Answer<Event>>(data.trim_ascii()).ok().map(|answer| answer.body)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_util::io::ReaderStream;

    use super::*;

    #[tokio::test]
    async fn events_are_read_in_whatever_pieces_they_come() {
        let text = ": keep\n\nevent: roster\ndata: {\"schema\":1,\"event\":\"roster\"}\n\n\
                    event: comet\ndata: {\"schema\":1,\"event\":\"comet\"}\n\n\
                    event: peer_up\ndata: {\"schema\":1,\"event\":\"peer_up\",\"node\":\"n\"}\n\n";
        let pieces = ReaderStream::with_capacity(Cursor::new(text.as_bytes().to_vec()), 7);
        let mut events = Events::new(Body::from_stream(pieces));
        assert_eq!(events.next().await.unwrap(), Some(Event::Roster));
        assert_eq!(events.next().await.unwrap(), Some(Event::PeerUp { node: "n".into() }));
        assert_eq!(events.next().await.unwrap(), None);
    }
}
