//! What waits to be written to a link, bounded in frames and bytes, and the writer that empties it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::net::frame;

/// Bytes that are handed to the stream at one time; a larger frame goes alone.
const BATCH_BYTES: usize = 64 * 1024;

/// The outbound queue of a link.
#[derive(Debug)]
pub(in crate::net) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    emptied: Notify,
    frames_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    refused: bool,
}

impl Outbox {
    pub(in crate::net) fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            frames_max: frames_max.max(1),
            bytes_max,
        }
    }

    /// Takes a frame, or hands it back and remembers to tell of room.
    pub(in crate::net) fn push(&self, frame: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut waiting = self.lock();
        let fits = waiting.frames.len() < self.frames_max && waiting.bytes + frame.len() <= self.bytes_max;
        if !fits && !waiting.frames.is_empty() {
            waiting.refused = true;
            return Err(frame);
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until something was pushed since the last wait.
    pub(in crate::net) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until a queue that refused a frame is half empty.
    pub(super) async fn emptied(&self) {
        self.emptied.notified().await;
    }

    fn pop(&self) -> Option<Vec<u8>> {
        let mut waiting = self.lock();
        let frame = waiting.frames.pop_front()?;
        waiting.bytes -= frame.len();
        let half = waiting.frames.len() <= self.frames_max / 2 && waiting.bytes <= self.bytes_max / 2;
        if waiting.refused && half {
            waiting.refused = false;
            self.emptied.notify_one();
        }
        Some(frame)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes frames to a stream, and can be interrupted between any two bytes without tearing a frame.
#[derive(Debug)]
pub(in crate::net) struct Writer<W> {
    stream: W,
    batch: Vec<u8>,
    written: usize,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(in crate::net) fn new(stream: W) -> Self {
        Self { stream, batch: Vec::new(), written: 0 }
    }

    /// Takes the next frames of the queue as one batch, once the last is written; false when nothing waits.
    pub(in crate::net) fn load(&mut self, outbox: &Outbox) -> bool {
        if self.written < self.batch.len() {
            return true;
        }
        self.written = 0;
        self.batch.clear();
        self.batch.shrink_to(2 * BATCH_BYTES);
        while self.batch.len() < BATCH_BYTES {
            let Some(frame) = outbox.pop() else { break };
            frame::append(&mut self.batch, &frame);
        }
        !self.batch.is_empty()
    }

    /// Writes the rest of the batch and flushes it.
    pub(in crate::net) async fn write_out(&mut self) -> io::Result<()> {
        while self.written < self.batch.len() {
            let written = self.stream.write(&self.batch[self.written..]).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.written += written;
        }
        self.stream.flush().await
    }

    /// Ends the stream.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.stream.close().await
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(2, 10)
    }

    #[test]
    fn a_full_queue_refuses_and_tells_of_room_once_half_empty() {
        let outbox = outbox();
        assert_eq!(outbox.push(vec![1; 4]), Ok(()));
        assert_eq!(outbox.push(vec![2; 4]), Ok(()));
        assert_eq!(outbox.push(vec![3; 4]), Err(vec![3; 4]));
        assert_eq!(outbox.pop(), Some(vec![1; 4]));
        block_on(outbox.emptied());
        assert_eq!(outbox.push(vec![3; 4]), Ok(()));
    }

    #[test]
    fn a_frame_larger_than_the_queue_fits_when_it_is_empty() {
        let outbox = outbox();
        assert_eq!(outbox.push(vec![1; 100]), Ok(()));
        assert_eq!(outbox.push(vec![1; 1]), Err(vec![1; 1]));
    }

    #[test]
    fn frames_are_written_as_one_batch() {
        let outbox = outbox();
        outbox.push(b"a".to_vec()).unwrap();
        outbox.push(b"bc".to_vec()).unwrap();
        let mut writer = Writer::new(Vec::new());
        assert!(writer.load(&outbox));
        block_on(writer.write_out()).unwrap();
        assert!(!writer.load(&outbox));
        assert_eq!(writer.stream, [0, 0, 0, 1, b'a', 0, 0, 0, 2, b'b', b'c']);
    }
}
