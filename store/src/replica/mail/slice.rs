//! How much is done at a time where much has to be gone through, so that nothing else waits for long.

/// Rows that are read or written in one slice: a few milliseconds.
const ROWS: usize = 256;

/// Bytes of an entry that take as long to read as one row.
const ROW_BYTES: usize = 2_048;

/// What one slice may still do.
#[derive(Debug)]
pub(super) struct Slice {
    left: usize,
}

impl Slice {
    /// Begins a slice.
    pub(super) fn new() -> Self {
        Self { left: ROWS }
    }

    /// Returns whether the rest has to wait for the next slice.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Counts rows that were read or written.
    pub(super) fn spend(&mut self, rows: usize) {
        self.left = self.left.saturating_sub(rows);
    }

    /// Counts an entry of that many bytes that was read.
    pub(super) fn spend_bytes(&mut self, bytes: usize) {
        self.spend(1 + bytes / ROW_BYTES);
    }
}
