//! How much room the blobs take that other nodes gave, and which of them goes first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use beadmesh_protocol::id::BlobHash;

use super::{BlobError, files, halves, modified, named, removed_at};

/// Bytes that a file counts for at least: it also takes a name and a block.
const FILE_BYTES_MIN: u64 = 4 * 1024;

/// What other nodes gave.
#[derive(Debug)]
pub(super) struct Fetched {
    dir: PathBuf,
    held: BTreeMap<BlobHash, Held>,
    /// Bytes of all that is held.
    bytes: u64,
    /// Bytes that are set aside for what is on its way.
    reserved: u64,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    bytes: u64,
    /// When it was last read, in milliseconds since 1970.
    read: u64,
}

impl Fetched {
    /// Reads what is there.
    pub(super) fn read(dir: &Path) -> Result<Self, BlobError> {
        let mut fetched = Self { dir: dir.to_owned(), held: BTreeMap::new(), bytes: 0, reserved: 0 };
        for half in halves(dir)? {
            for path in files(&half)? {
                let (Some(hash), Ok(found)) = (named(&path), fs::metadata(&path)) else { continue };
                fetched.note(hash, found.len(), modified(&found));
            }
        }
        Ok(fetched)
    }

    /// Sets room aside, for which those go that were not read for longest.
    pub(super) fn reserve(&mut self, bytes: u64, bytes_max: u64) -> Result<(), BlobError> {
        let wanted = charge(bytes);
        while self.free_of(bytes_max) < wanted {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.read).map(|(hash, _)| *hash);
            let Some(oldest) = oldest else { return Err(BlobError::NoRoom { bytes, bytes_max }) };
            let name = oldest.to_string();
            removed_at(&self.dir.join(&name[..2]).join(&name))?;
            self.forget(oldest);
        }
        self.reserved += wanted;
        Ok(())
    }

    /// Returns how many of so many bytes are neither taken nor set aside.
    pub(super) fn free_of(&self, bytes_max: u64) -> u64 {
        bytes_max.saturating_sub(self.bytes).saturating_sub(self.reserved)
    }

    /// Gives back what was set aside.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(charge(bytes));
    }

    /// Notes that a blob is here, and when it was read.
    pub(super) fn note(&mut self, hash: BlobHash, bytes: u64, read: u64) {
        self.forget(hash);
        self.bytes += charge(bytes);
        self.held.insert(hash, Held { bytes, read });
    }

    /// Notes that a blob is here no more.
    pub(super) fn forget(&mut self, hash: BlobHash) {
        if let Some(held) = self.held.remove(&hash) {
            self.bytes -= charge(held.bytes);
        }
    }
}

fn charge(bytes: u64) -> u64 {
    bytes.max(FILE_BYTES_MIN)
}
