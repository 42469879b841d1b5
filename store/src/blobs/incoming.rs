//! A blob that is being taken: a file without its name, which goes unless all of it comes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use beadmesh_protocol::id::BlobHash;
use beadmesh_protocol::limits::ATTACHMENT_BYTES_MAX;

use super::{BlobError, Place, Shared, UNFINISHED, modified, parent};
use crate::directory;

/// Names that are tried for a file: one that a process of the same id has left is passed over.
const NAMES_MAX: usize = 1_024;

/// A blob that is being taken. Dropped before it is finished, nothing is left of it.
#[derive(Debug)]
pub struct Incoming {
    shared: Arc<Shared>,
    place: Place,
    /// What is to come, where that is known.
    expected: Option<(BlobHash, u64)>,
    pub(super) file: File,
    path: PathBuf,
    hasher: blake3::Hasher,
    is_finished: bool,
}

impl Incoming {
    /// Makes the file, in the folder that it will be named in. What was reserved for it is given back if that fails.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        place: Place,
        expected: Option<(BlobHash, u64)>,
    ) -> Result<Self, BlobError> {
        let folder = shared.folder(place, expected.map_or(BlobHash::of(b""), |(hash, _)| hash));
        let made = directory::create(&folder).map_err(BlobError::from).and_then(|()| made_in(&folder, shared));
        match made {
            Ok((file, path)) => {
                let (shared, hasher) = (Arc::clone(shared), blake3::Hasher::new());
                Ok(Self { shared, place, expected, file, path, hasher, is_finished: false })
            }
            Err(error) => {
                give_back(shared, place, expected);
                Err(error)
            }
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When that are more than may come, or they can not be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let bytes_max = self.expected.map_or(ATTACHMENT_BYTES_MAX, |(_, bytes)| bytes);
        let coming = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.hasher.count().saturating_add(coming) > bytes_max {
            return Err(BlobError::TooLong { bytes_max });
        }
        self.file.write_all(bytes).map_err(|error| BlobError::from_io(&self.path, error))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Makes it durable and gives it its name, if it is what was to come; returns name and length.
    ///
    /// # Errors
    /// When it is too short, something else, or can not be made durable.
    pub fn finish(mut self) -> Result<(BlobHash, u64), BlobError> {
        let found = (BlobHash::from_bytes(*self.hasher.finalize().as_bytes()), self.hasher.count());
        if let Some((hash, expected)) = self.expected {
            if found.1 < expected {
                return Err(BlobError::TooShort { bytes: found.1, expected });
            }
            if found.0 != hash {
                return Err(BlobError::Other { hash });
            }
        }
        self.file.sync_all().map_err(|error| BlobError::from_io(&self.path, error))?;
        let path = self.shared.path(self.place, found.0);
        fs::rename(&self.path, &path).map_err(|error| BlobError::from_io(&path, error))?;
        self.is_finished = true;
        directory::sync(parent(&path))?;
        if self.place == Place::Fetched {
            let read = self.file.metadata().map_or(0, |found| modified(&found));
            self.shared.lock().fetched(&self.shared)?.note(found.0, found.1, read);
        }
        Ok(found)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.is_finished {
            // What can not be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
        give_back(&self.shared, self.place, self.expected);
    }
}

/// Makes a file under a name that no other has.
fn made_in(folder: &Path, shared: &Shared) -> Result<(File, PathBuf), BlobError> {
    for _ in 0..NAMES_MAX {
        let begun = shared.begun.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{UNFINISHED}{}-{begun}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(BlobError::from_io(&path, error)),
        }
    }
    Err(BlobError::from_io(folder, io::ErrorKind::AlreadyExists.into()))
}

/// Gives back the room that was set aside for what was to come.
fn give_back(shared: &Shared, place: Place, expected: Option<(BlobHash, u64)>) {
    let mut state = shared.lock();
    match (place, expected) {
        (Place::Uploaded, _) => state.uploads = state.uploads.saturating_sub(1),
        (Place::Fetched, Some((_, bytes))) => {
            if let Some(fetched) = &mut state.fetched {
                fetched.release(bytes);
            }
        }
        (Place::Own | Place::Fetched, _) => {}
    }
}
