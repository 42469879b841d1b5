//! `Kv`: ordered keys, atomic batches and a durable flush; all that the store asks of a disk.
//!
//! Values are sealed with a checksum once, in `Batch::put`, and opened once, in `seal::open`, so that every
//! implementation stores the same bytes and notices the same damage. What keys mean is decided elsewhere.

use std::{collections::BTreeMap, io, ops::ControlFlow, path::PathBuf};

pub(crate) mod seal;

/// Bytes of one key: short enough that sled's index nodes stay far below the size at which it writes blob files.
pub const KEY_BYTES_MAX: usize = 256;

/// Bytes of one value: an entry of 256 KiB with its signature and envelope, and room to spare.
pub const VALUE_BYTES_MAX: usize = 320 * 1024;

/// Bytes of keys and values that one batch should stay under: sled writes a multiple of it at once.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Sees one pair of a scan and says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map from bytes to bytes that outlives the process.
pub trait Kv: Send {
    /// Returns the value under `key`.
    ///
    /// # Errors
    ///
    /// `Corrupt` names the key if the value is not what was stored; `Failed` after a failed write.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;

    /// Visits every pair with `from <= key`, and `key < to` if given, in key order until the visitor breaks.
    ///
    /// # Errors
    ///
    /// As `get`; pairs before the damaged one have been visited.
    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError>;

    /// Visits the pairs that `scan` would, from the last key to the first.
    ///
    /// # Errors
    ///
    /// As `scan`.
    fn scan_back(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError>;

    /// Applies all of `batch` or, if the machine stops before the next flush, perhaps none of it.
    ///
    /// It is visible at once, and durable after the next `flush` only.
    ///
    /// # Errors
    ///
    /// Any error is final: every later call answers `Failed`.
    fn apply(&mut self, batch: Batch) -> Result<(), KvError>;

    /// Makes everything applied so far survive a power cut.
    ///
    /// # Errors
    ///
    /// Any error is final, for a second flush could lie: Linux may have marked the lost pages clean.
    fn flush(&mut self) -> Result<(), KvError>;

    /// Returns the bytes that the data take on disk.
    ///
    /// # Errors
    ///
    /// `Io` if the files can not be examined.
    fn size_on_disk(&self) -> Result<u64, KvError>;
}

/// Puts and deletes that take effect together; the last one for a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Sealed values to store, `None` where the key is deleted.
    ops: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// Stores `value` under `key`.
    ///
    /// # Panics
    ///
    /// Panics if the key or the value is longer than its bound: callers hash long keys and check what they take in.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: &[u8]) {
        let key = key.into();
        assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes is too long", key.len());
        assert!(value.len() <= VALUE_BYTES_MAX, "a value of {} bytes is too long", value.len());
        let sealed = seal::seal(&key, value);
        self.ops.insert(key, Some(sealed));
    }

    /// Removes what stands under `key`, if anything.
    ///
    /// # Panics
    ///
    /// Panics if the key is longer than its bound.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        let key = key.into();
        assert!(key.len() <= KEY_BYTES_MAX, "a key of {} bytes is too long", key.len());
        self.ops.insert(key, None);
    }

    /// Adds every operation of `other`, which wins where both name a key.
    pub fn append(&mut self, mut other: Self) {
        self.ops.append(&mut other.ops);
    }

    /// Returns how many keys the batch touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Tells whether the batch touches no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Hands out keys in order, with the sealed value or `None` for a delete.
    pub(crate) fn into_sealed(self) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
        self.ops.into_iter()
    }
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The operating system refused.
    #[error("can not use {}", path.display())]
    Io {
        /// What was being used.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk, or the quota on it, is full.
    #[error(
        "the disk is full: free space on the file system of {}, or remove older `sled-*` directories kept beside it, \
         then start again",
        path.display()
    )]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The file system can not be written to.
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly {
        /// What was being written.
        path: PathBuf,
    },
    /// Stored bytes are not what was written.
    #[error("stored data are damaged: {what}")]
    Corrupt {
        /// The damaged record or file, keys in hex.
        what: String,
    },
    /// A write or flush failed earlier, so nothing is accepted any more.
    #[error("an earlier write failed, so the store has stopped")]
    Failed,
}

impl KvError {
    /// Sorts an error of the operating system, met at `path`, into those that need different help.
    pub(crate) fn from_io(path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            _ => Self::Io { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_operation_for_a_key_counts() {
        let mut batch = Batch::default();
        batch.put(*b"a", b"1");
        let mut later = Batch::default();
        later.delete(*b"a");
        batch.append(later);
        assert_eq!(batch.into_sealed().collect::<Vec<_>>(), [(b"a".to_vec(), None)]);
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        let full = KvError::from_io("x".as_ref(), io::ErrorKind::StorageFull.into());
        assert!(matches!(&full, KvError::Full { .. }) && full.to_string().contains("free space"));
        let other = KvError::from_io("x".as_ref(), io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, KvError::Io { .. }));
    }
}
