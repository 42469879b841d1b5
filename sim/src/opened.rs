//! Entries that were opened before: what is sound is sound at every node, and finding out is most of a run's work.
//!
//! Opening is a pure function of mesh, bytes and signature. Each entry goes through the real one the first time that
//! anybody gets it; those that get the same bytes later get what came of it. What is refused is not remembered.

use std::collections::BTreeMap;

use beadmesh_protocol::entry::{Entry, EntryError, Sealed};
use beadmesh_protocol::id::MeshId;

/// Bytes of entries that are remembered; then all are forgotten.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Entries that were opened before, by their signatures.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    entries: BTreeMap<[u8; 64], (MeshId, Entry)>,
    bytes: usize,
}

impl Opened {
    /// Opens an entry, or says what was found when it was.
    ///
    /// # Errors
    /// As `Entry::open`.
    pub(crate) fn open(&mut self, mesh: MeshId, sealed: Sealed) -> Result<Entry, EntryError> {
        if let Some((known, entry)) = self.entries.get(&sealed.signature)
            && *known == mesh
            && entry.seal() == sealed
        {
            return Ok(entry.clone());
        }
        let signature = sealed.signature;
        let entry = Entry::open(mesh, sealed)?;
        self.bytes += entry.bytes_len();
        if self.bytes > BYTES_MAX {
            self.entries.clear();
            self.bytes = entry.bytes_len();
        }
        self.entries.insert(signature, (mesh, entry.clone()));
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::testing::MeshFixture;

    use super::*;

    #[test]
    fn what_was_opened_is_opened_once_and_nothing_else_passes_for_it() {
        let fixture = MeshFixture::founded();
        let (mesh, entry) = (fixture.mesh, &fixture.entries[0]);
        let mut opened = Opened::default();
        assert_eq!(opened.open(mesh, entry.seal()).as_ref(), Ok(entry));
        assert_eq!(opened.open(mesh, entry.seal()).as_ref(), Ok(entry));
        let mut other = entry.seal();
        other.bytes[40] ^= 1;
        assert!(opened.open(mesh, other).is_err());
        assert!(opened.open(MeshId::from_bytes([9; 32]), entry.seal()).is_err());
    }
}
