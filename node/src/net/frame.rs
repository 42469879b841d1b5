//! Frames on a stream: a length of four bytes, big-endian, and that many bytes.

use std::io;

use futures::{AsyncRead, AsyncReadExt};

/// Bytes that are set aside before the first of them came: more is set aside only as more comes.
const TRUSTED_BYTES: usize = 64 * 1024;

/// Why no further frame could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The other end finished between two frames.
    #[error("the stream ended")]
    End,
    /// The other end announced a frame of no bytes.
    #[error("a frame of no bytes")]
    Empty,
    /// The other end announced a frame that is too large.
    #[error("a frame of {bytes} bytes where {bytes_max} are allowed")]
    Oversize { bytes: usize, bytes_max: usize },
    /// The stream broke.
    #[error("the stream broke")]
    Io(#[source] io::Error),
}

/// Reads one frame of at most `bytes_max` bytes, growing the buffer only as bytes come.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> Result<Vec<u8>, ReadError> {
    let mut length = [0; 4];
    let first = stream.read(&mut length).await.map_err(ReadError::Io)?;
    if first == 0 {
        return Err(ReadError::End);
    }
    stream.read_exact(&mut length[first..]).await.map_err(ReadError::Io)?;
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes == 0 {
        return Err(ReadError::Empty);
    }
    if bytes > bytes_max {
        return Err(ReadError::Oversize { bytes, bytes_max });
    }
    let mut frame = Vec::with_capacity(bytes.min(TRUSTED_BYTES));
    let read = stream.take(bytes as u64).read_to_end(&mut frame).await.map_err(ReadError::Io)?;
    if read < bytes {
        return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(frame)
}

/// Appends a frame with its length to a buffer.
///
/// # Panics
///
/// When the frame is longer than a length can say; the limits are far below.
pub(super) fn append(buffer: &mut Vec<u8>, frame: &[u8]) {
    let length = u32::try_from(frame.len()).expect("frames are checked against their limit before");
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(frame);
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn frames_come_back_in_order_and_end_cleanly() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"one");
        append(&mut bytes, &[7; 100_000]);
        let mut stream = bytes.as_slice();
        assert_eq!(block_on(read(&mut stream, 100_000)).unwrap(), b"one");
        assert_eq!(block_on(read(&mut stream, 100_000)).unwrap(), vec![7; 100_000]);
        assert!(matches!(block_on(read(&mut stream, 100_000)), Err(ReadError::End)));
    }

    #[test]
    fn a_length_out_of_bounds_is_refused_before_its_bytes() {
        let zero = block_on(read(&mut [0, 0, 0, 0].as_slice(), 8));
        assert!(matches!(zero, Err(ReadError::Empty)));
        let large = block_on(read(&mut [0, 0, 0, 9].as_slice(), 8));
        assert!(matches!(large, Err(ReadError::Oversize { bytes: 9, bytes_max: 8 })));
    }

    #[test]
    fn a_stream_that_ends_inside_a_frame_is_broken() {
        let cut = block_on(read(&mut [0, 0, 0, 9, 1].as_slice(), 9));
        assert!(matches!(cut, Err(ReadError::Io(_))));
        let cut = block_on(read(&mut [0, 0].as_slice(), 9));
        assert!(matches!(cut, Err(ReadError::Io(_))));
    }
}
