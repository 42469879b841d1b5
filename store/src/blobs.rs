//! Blobs: the contents of attachments, each in a file that is named by its hash. It knows nothing of letters.
//!
//! In the folder of blobs, `hh` being the first two characters of a hash, a blob lies
//!
//! - in `hh/` if a letter of this node carries it: it is never removed;
//! - in `uploaded/` while no letter carries it yet;
//! - in `fetched/hh/` if another node gave it: it can be had again, so what was not read for longest goes when room is
//!   needed;
//! - in `damaged/` if it was not as its name says: for people to look at. What another node gave is in
//!   `damaged/fetched/`, and only there the oldest go.
//!
//! Where it lies says what may become of it, so that this is known even when the store is lost. A file takes its name
//! once all of it is durable, and what it holds is compared with its name whenever it is opened.

use std::fs::{self, File, FileTimes};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::BlobHash;
use beadmesh_protocol::limits::ATTACHMENT_BYTES_MAX;

use crate::directory;

mod error;
mod fetched;
mod incoming;

pub use error::BlobError;
use fetched::Fetched;
pub use incoming::Incoming;

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// Damaged files that are kept of what other nodes gave, the oldest go; and of one blob that nobody else may have.
const DAMAGED_MAX: usize = 64;

/// What the name of a file begins with while it is being written.
const UNFINISHED: &str = "new-";

/// How much room blobs may take.
#[derive(Debug, Clone)]
pub struct Config {
    /// Bytes of what other nodes gave; each file counts for 4 KiB at least.
    pub fetched_bytes_max: u64,
    /// Bytes of what no letter carries yet, what is being uploaded included.
    pub uploaded_bytes_max: u64,
    /// How long something may be in no letter before it is removed.
    pub uploaded_time_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fetched_bytes_max: 1024 * 1024 * 1024,
            uploaded_bytes_max: 256 * 1024 * 1024,
            uploaded_time_max: Duration::from_secs(60 * 60),
        }
    }
}

/// The blobs of a home; cheap to clone. The process that holds the home's lock has one.
#[derive(Debug, Clone)]
pub struct Blobs {
    shared: Arc<Shared>,
}

/// A blob that is open and as its name says.
#[derive(Debug)]
pub struct Content {
    /// The file, at its beginning.
    pub file: File,
    /// Its length.
    pub bytes: u64,
    place: Place,
}

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among what letters of this node carry.
    Own,
    /// Among what no letter carries yet.
    Uploaded,
    /// Among what other nodes gave.
    Fetched,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    config: Config,
    /// How many files have been begun: each has another name.
    begun: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What other nodes gave, read from the disk when first asked for.
    fetched: Option<Fetched>,
    /// Uploads under way.
    uploads: u64,
}

impl Blobs {
    /// Returns the blobs in a folder, which is made when something is put there.
    pub fn at(dir: &Path, config: Config) -> Self {
        let (begun, state) = (AtomicU64::new(0), Mutex::default());
        Self { shared: Arc::new(Shared { dir: dir.to_owned(), config, begun, state }) }
    }

    /// Removes what was being written when the process ended; nothing may be under way.
    ///
    /// # Errors
    /// When the folders can not be read.
    pub fn sweep_unfinished(&self) -> Result<u64, BlobError> {
        let shared = &self.shared;
        let mut folders = vec![shared.dir.join("uploaded")];
        folders.extend(halves(&shared.dir)?);
        folders.extend(halves(&shared.dir.join("fetched"))?);
        let mut removed = 0;
        for path in folders.iter().map(|folder| files(folder)).collect::<Result<Vec<_>, _>>()?.concat() {
            let is_unfinished = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
            if is_unfinished && removed_at(&path)? {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Begins to take a blob of which only the bytes to come will tell the name.
    ///
    /// # Errors
    /// When too much waits for a letter already, or the file can not be made.
    pub fn upload(&self) -> Result<Incoming, BlobError> {
        let shared = &self.shared;
        let bytes_max = shared.config.uploaded_bytes_max;
        let waiting: u64 = self.waiting()?.iter().map(|(_, bytes)| bytes).sum();
        let mut state = shared.lock();
        let coming = (state.uploads + 1).saturating_mul(ATTACHMENT_BYTES_MAX);
        if waiting.saturating_add(coming) > bytes_max {
            return Err(BlobError::Crowded { bytes_max });
        }
        state.uploads += 1;
        drop(state);
        Incoming::begin(shared, Place::Uploaded, None)
    }

    /// Begins to take a blob whose name and length are known, from another node or a backup; `Fetched` or `Own`.
    ///
    /// # Errors
    /// When it is longer than any may be, there is no room, or the file can not be made.
    pub fn receive(&self, hash: BlobHash, bytes: u64, place: Place) -> Result<Incoming, BlobError> {
        if bytes > ATTACHMENT_BYTES_MAX {
            return Err(BlobError::TooLong { bytes_max: ATTACHMENT_BYTES_MAX });
        }
        if place == Place::Fetched {
            self.shared.lock().fetched(&self.shared)?.reserve(bytes, self.shared.config.fetched_bytes_max)?;
        }
        Incoming::begin(&self.shared, place, Some((hash, bytes)))
    }

    /// Opens a blob wherever it lies, and notes that it was read.
    ///
    /// # Errors
    /// `Damaged` when what was found is not as its name says; it is out of the way then, and opening again may find
    /// another one. `Missing` when there is none.
    pub fn open(&self, hash: BlobHash, now: Wall) -> Result<Content, BlobError> {
        for place in [Place::Own, Place::Uploaded, Place::Fetched] {
            let path = self.shared.path(place, hash);
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(BlobError::from_io(&path, error)),
            };
            let checked = checked_length(&mut file, hash).map_err(|error| BlobError::from_io(&path, error))?;
            let Some(bytes) = checked else { return Err(self.set_aside(place, hash, &file)?) };
            if place == Place::Fetched {
                touch(&file, now).map_err(|error| BlobError::from_io(&path, error))?;
                let mut state = self.shared.lock();
                // It may have made room for another meanwhile; what is open can be read all the same.
                if path.exists() {
                    state.fetched(&self.shared)?.note(hash, bytes, now.as_millis());
                }
            }
            return Ok(Content { file, bytes, place });
        }
        Err(BlobError::Missing { hash })
    }

    /// Makes sure that a blob is whole and durable here and will not be removed before a letter can carry it; returns
    /// its length.
    ///
    /// # Errors
    /// As `open` does; `Missing` also when it made room for another meanwhile.
    pub fn claim(&self, hash: BlobHash, now: Wall) -> Result<u64, BlobError> {
        let Content { file, bytes, place } = self.open(hash, now)?;
        let mut state = self.shared.lock();
        let uploaded = self.shared.path(Place::Uploaded, hash);
        match place {
            Place::Own => {}
            Place::Uploaded => {
                if !uploaded.exists() && !self.shared.path(Place::Own, hash).exists() {
                    return Err(BlobError::Missing { hash });
                }
                touch(&file, now).map_err(|error| BlobError::from_io(&uploaded, error))?;
            }
            Place::Fetched => {
                self.shared.rename((Place::Fetched, Place::Uploaded), hash)?;
                state.fetched(&self.shared)?.forget(hash);
            }
        }
        Ok(bytes)
    }

    /// Keeps a blob that a letter of this node carries for good.
    ///
    /// # Errors
    /// `Missing` when it was not uploaded and is not kept yet.
    pub fn keep(&self, hash: BlobHash) -> Result<(), BlobError> {
        let _alone = self.shared.lock();
        if self.shared.path(Place::Uploaded, hash).exists() {
            return self.shared.rename((Place::Uploaded, Place::Own), hash);
        }
        if self.shared.path(Place::Own, hash).exists() { Ok(()) } else { Err(BlobError::Missing { hash }) }
    }

    /// Returns what was uploaded and is kept for no letter yet.
    ///
    /// # Errors
    /// When the folder can not be read.
    pub fn uploaded(&self) -> Result<Vec<BlobHash>, BlobError> {
        Ok(self.waiting()?.into_iter().map(|(hash, _)| hash).collect())
    }

    /// Removes what was uploaded longer ago than it may wait; returns whether it did.
    ///
    /// # Errors
    /// When it can not be removed.
    pub fn drop_stale(&self, hash: BlobHash, now: Wall) -> Result<bool, BlobError> {
        // Nobody claims it meanwhile.
        let _alone = self.shared.lock();
        let path = self.shared.path(Place::Uploaded, hash);
        let Ok(found) = fs::metadata(&path) else { return Ok(false) };
        // A clock that was set back by years would otherwise keep it for as long.
        let age = Duration::from_millis(now.as_millis().abs_diff(modified(&found)));
        if age <= self.shared.config.uploaded_time_max { Ok(false) } else { removed_at(&path) }
    }

    /// Returns what letters of this node carry, as far as it is here.
    ///
    /// # Errors
    /// When the folders can not be read.
    pub fn own(&self) -> Result<Vec<BlobHash>, BlobError> {
        let mut own = Vec::new();
        for folder in halves(&self.shared.dir)? {
            own.extend(files(&folder)?.iter().filter_map(|path| named(path)));
        }
        own.sort_unstable();
        Ok(own)
    }

    /// Returns what waits for a letter, with its length.
    fn waiting(&self) -> Result<Vec<(BlobHash, u64)>, BlobError> {
        let found = files(&self.shared.dir.join("uploaded"))?;
        Ok(found.iter().filter_map(|path| Some((named(path)?, fs::metadata(path).ok()?.len()))).collect())
    }

    /// Puts a file that is not as its name says where nobody takes it for that; returns what to say about it.
    fn set_aside(&self, place: Place, hash: BlobHash, file: &File) -> Result<BlobError, BlobError> {
        let mut state = self.shared.lock();
        let path = self.shared.path(place, hash);
        let mut folder = self.shared.dir.join("damaged");
        if place == Place::Fetched {
            folder.push("fetched");
        }
        let kept = if place == Place::Fetched { folder.join(hash.to_string()) } else { unused(&folder, hash) };
        let of = |found: &fs::Metadata| (found.dev(), found.ino());
        let ours = file.metadata().map(|found| of(&found)).ok();
        // A sound one may have taken its place meanwhile.
        if fs::metadata(&path).ok().map(|found| of(&found)) == ours {
            directory::create(&folder)?;
            fs::rename(&path, &kept).map_err(|error| BlobError::from_io(&path, error))?;
            directory::sync(&folder)?;
            directory::sync(parent(&path))?;
            if place == Place::Fetched {
                prune(&folder)?;
            }
        }
        if place == Place::Fetched {
            state.fetched(&self.shared)?.forget(hash);
        }
        Ok(BlobError::Damaged { hash, kept })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is guarded stays true if a holder panics: it is counted anew at the next start.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, place: Place, hash: BlobHash) -> PathBuf {
        let half = &hash.to_string()[..2];
        match place {
            Place::Own => self.dir.join(half),
            Place::Uploaded => self.dir.join("uploaded"),
            Place::Fetched => self.dir.join("fetched").join(half),
        }
    }

    fn path(&self, place: Place, hash: BlobHash) -> PathBuf {
        self.folder(place, hash).join(hash.to_string())
    }

    /// Moves a blob from one place to another, durably; `Missing` when it is not there.
    fn rename(&self, (source, target): (Place, Place), hash: BlobHash) -> Result<(), BlobError> {
        let (from, to) = (self.path(source, hash), self.path(target, hash));
        directory::create(parent(&to))?;
        fs::rename(&from, &to).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BlobError::Missing { hash },
            _ => BlobError::from_io(&from, error),
        })?;
        directory::sync(parent(&to))?;
        directory::sync(parent(&from))?;
        Ok(())
    }
}

impl State {
    /// Returns what other nodes gave.
    fn fetched(&mut self, shared: &Shared) -> Result<&mut Fetched, BlobError> {
        let fetched = match self.fetched.take() {
            Some(fetched) => fetched,
            None => Fetched::read(&shared.dir.join("fetched"))?,
        };
        Ok(self.fetched.insert(fetched))
    }
}

/// Reads a file to its end; returns its length if it has that hash, and leaves it at its beginning.
///
/// A disk that can not be read says nothing about what is on it.
fn checked_length(file: &mut File, hash: BlobHash) -> io::Result<Option<u64>> {
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; READ_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(bytes) => hasher.update(&piece[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
    }
    file.rewind()?;
    Ok((hasher.finalize() == *hash.as_bytes()).then(|| hasher.count()))
}

/// Returns where a damaged file goes without taking the place of one that was damaged before.
fn unused(folder: &Path, hash: BlobHash) -> PathBuf {
    let numbered = (1..DAMAGED_MAX).map(|number| folder.join(format!("{hash}-{number}")));
    let mut places = [folder.join(hash.to_string())].into_iter().chain(numbered);
    // So many of one blob tell no more than the first of them: the last is given up.
    places.find(|place| !place.exists()).unwrap_or_else(|| folder.join(format!("{hash}-{}", DAMAGED_MAX - 1)))
}

/// Removes the oldest of what was set aside and can be had again.
fn prune(folder: &Path) -> Result<(), BlobError> {
    let mut aside = files(folder)?;
    aside.sort_by_key(|path| fs::metadata(path).map(|found| modified(&found)).unwrap_or(0));
    for oldest in aside.iter().take(aside.len().saturating_sub(DAMAGED_MAX)) {
        removed_at(oldest)?;
    }
    Ok(())
}

/// Dates a file; what was not read for longest is known by that.
fn touch(file: &File, now: Wall) -> io::Result<()> {
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_millis(now.as_millis())))
}

/// Returns the date of a file, in milliseconds since 1970.
fn modified(found: &fs::Metadata) -> u64 {
    let millis = found.mtime().saturating_mul(1_000).saturating_add(found.mtime_nsec() / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// Lists the folders in `dir` that blobs are spread over; none where it is not there.
fn halves(dir: &Path) -> Result<Vec<PathBuf>, BlobError> {
    let is_half = |name: &str| name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut halves = listed(dir)?;
    halves.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_half));
    Ok(halves)
}

/// Lists the files in a folder; none where it is not there.
fn files(folder: &Path) -> Result<Vec<PathBuf>, BlobError> {
    let mut files = listed(folder)?;
    files.retain(|path| path.is_file());
    Ok(files)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, BlobError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    Ok(directory::entries(folder)?.iter().map(fs::DirEntry::path).collect())
}

/// Returns the blob that a file is named by.
fn named(path: &Path) -> Option<BlobHash> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Removes a file; returns whether it was there.
fn removed_at(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BlobError::from_io(path, error)),
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

#[cfg(test)]
mod tests;
