//! Bringing a node back from a backup that holds its key: into an empty home, whole or not at all.
//!
//! The store is built beside its place and moved there last. The node goes on as a new instance: what was counted or
//! drawn after the backup is never counted or drawn again.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use beadmesh_protocol::entry::{Entry, Sealed, Set};
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::sync::WINDOW_BYTES;
use beadmesh_store::backup::BackupError;
use beadmesh_store::command::{Answer, Command};
use beadmesh_store::replica::{Config, FlushError, Input, Opened, Output, Replica, RequestId};
use beadmesh_store::{KvError, Membership, OpenError, StoreError};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::clock;
use crate::home::{Home, HomeError, Names};
use crate::opening::kv_code;
use crate::turn::{self, Turn, TurnError};

pub use beadmesh_store::backup::{Header, Piece, Reader};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Entries that share one flush.
const BATCH_ENTRIES: usize = 512;

/// Bytes of entries after which a batch is full even with fewer.
const BATCH_BYTES: usize = 512 * 1024;

/// Documents kept in memory meanwhile.
const DOCUMENTS_MAX: usize = 64;

/// Hears how many more bytes of the backup are done.
pub type Progress<'a> = dyn FnMut(usize) + 'a;

/// What came of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub header: Header,
    /// Entries that were not taken because the mesh in the backup does not know their authors.
    pub unknown: u64,
}

/// Why a node was not brought back. The home is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file can not be read.
    #[error("{} can not be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no backup that can be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// An entry in it is not what its author signed.
    #[error("the backup holds an unsound entry: {0}")]
    Unsound(String),
    /// The backup has no key in it.
    #[error("the backup of node {node} holds no key, so no node can be brought back from it", node = .0.short())]
    NoKey(NodeId),
    /// There is a node in the home.
    #[error("there is a node in {} already", path.display())]
    Begun {
        /// The home.
        path: PathBuf,
        /// Whether that node is known to be in the mesh of the backup.
        is_of_mesh: Option<bool>,
    },
    /// The home has the key of another node.
    #[error("{} has the key of another node than the backup", path.display())]
    OtherKey {
        /// The home.
        path: PathBuf,
    },
    /// The home can not be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another process is at work in the home.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The store can not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store can not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed while it was filled.
    #[error(transparent)]
    Flush(#[from] FlushError),
}

impl RestoreError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "io",
            Self::Backup(error) => code(error),
            Self::Unsound(_) => "backup_damaged",
            Self::NoKey(_) => "no_key",
            Self::Begun { .. } | Self::OtherKey { .. } => "conflict",
            Self::Home(error) => error.code(),
            Self::Turn(error) => error.code(),
            Self::Open(OpenError::NewerSchema { .. }) => "newer_schema",
            Self::Open(OpenError::Kv(error)) | Self::Store(StoreError::Kv(error)) => kv_code(error),
            Self::Store(_) | Self::Flush(_) => "store_failed",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::File { .. } => "name a file that `beadmesh backup` wrote".to_owned(),
            Self::Backup(error) => hint(error).to_owned(),
            Self::Unsound(_) => "use another backup".to_owned(),
            Self::NoKey(_) => {
                "join the mesh with a ticket, then hand the entries in with `beadmesh restore FILE --into`".to_owned()
            }
            Self::Begun { is_of_mesh: Some(true), .. } => {
                "hand the entries in with --into, or set BEADMESH_HOME to an empty directory".to_owned()
            }
            Self::Begun { .. } | Self::OtherKey { .. } => "set BEADMESH_HOME to an empty directory".to_owned(),
            Self::Home(error) => error.hint(),
            Self::Turn(error) => error.hint(),
            Self::Open(OpenError::Kv(KvError::Full { .. })) | Self::Store(StoreError::Kv(KvError::Full { .. })) => {
                "free space, then try again".to_owned()
            }
            Self::Open(_) | Self::Store(_) | Self::Flush(_) => "see to the disk, then try again".to_owned(),
        }
    }
}

/// Returns the stable code of what is wrong with a backup.
pub(crate) fn code(error: &BackupError) -> &'static str {
    match error {
        BackupError::Foreign => "no_backup",
        BackupError::Newer { .. } => "newer_backup",
        BackupError::Truncated { .. } | BackupError::Damaged { .. } => "backup_damaged",
    }
}

/// Returns what to do about a backup with which something is wrong.
pub(crate) fn hint(error: &BackupError) -> &'static str {
    match error {
        BackupError::Foreign => "name a file that `beadmesh backup` wrote; JSONL is for `beadmesh bead import`",
        BackupError::Newer { .. } => "use the newer beadmesh",
        BackupError::Truncated { .. } | BackupError::Damaged { .. } => "copy the file again, or use another backup",
    }
}

/// Reads a backup to its end, and returns what it says of itself; signatures are not checked yet.
///
/// # Errors
/// When the file can not be read, or is not as it was written.
pub fn inspect(file: &Path, progress: &mut Progress<'_>) -> Result<Header, RestoreError> {
    let mut header = None;
    read(file, progress, &mut |piece| {
        if let Piece::Header(found) = piece {
            header = Some(found);
        }
        Ok(())
    })?;
    header.ok_or(RestoreError::Backup(BackupError::Foreign))
}

/// Brings a node back into the home at `dir`, which is made if missing; the backup is read twice.
///
/// # Errors
/// When the backup is not whole or has no key, or there is a node in the home. The home is then as it was.
pub async fn restore(
    dir: &Path,
    file: &Path,
    names: Names,
    progress: &mut Progress<'_>,
) -> Result<Restored, RestoreError> {
    let header = inspect(file, progress)?;
    if !header.has_key {
        return Err(RestoreError::NoKey(header.node));
    }
    let home = Home::open(dir)?;
    let begun = |home: &Home| {
        let known = home.membership().ok().flatten();
        let is_of_mesh = known.map(|known| known.mesh == header.mesh);
        RestoreError::Begun { path: dir.to_owned(), is_of_mesh }
    };
    let _lock = match turn::take(&home, turn::PATIENCE).await? {
        Turn::Ours(lock) => lock,
        Turn::Node(_) => return Err(begun(&home)),
    };
    if Home::is_begun(dir) {
        return Err(begun(&home));
    }
    let filled = fill(&home, file, names, &header, progress);
    match filled {
        Ok(unknown) => Ok(Restored { header, unknown }),
        Err(error) => {
            // What was built is of no use; should it stay, the next restore removes it.
            let _ = fs::remove_dir_all(home.restoring());
            Err(error)
        }
    }
}

/// Builds the store beside its place, and then puts keys and store where they belong.
fn fill(
    home: &Home,
    file: &Path,
    names: Names,
    header: &Header,
    progress: &mut Progress<'_>,
) -> Result<u64, RestoreError> {
    home.clear_restoring()?;
    let mut restore = Restore {
        home,
        names,
        mesh: header.mesh,
        key: None,
        recovery: None,
        control: Vec::new(),
        replica: None,
        batch: Vec::new(),
        bytes: 0,
        unknown: 0,
    };
    read(file, progress, &mut |piece| restore.take(piece, header.node))?;
    let Restore { key, recovery, control, replica, unknown, .. } = restore;
    // The store is closed before it is moved.
    drop(replica);
    let key = key.ok_or(RestoreError::NoKey(header.node))?;
    let membership = Membership { mesh: header.mesh, control: control.iter().map(Entry::seal).collect() };
    home.place_restored(&key, recovery.as_deref().map(Vec::as_slice), &membership)?;
    Ok(unknown)
}

/// A node that is being brought back.
struct Restore<'a> {
    home: &'a Home,
    names: Names,
    mesh: MeshId,
    key: Option<SigningKey>,
    recovery: Option<Zeroizing<Vec<u8>>>,
    /// The control entries, by which the replica is opened once all are there.
    control: Vec<Entry>,
    replica: Option<Replica>,
    batch: Vec<Entry>,
    bytes: usize,
    unknown: u64,
}

impl Restore<'_> {
    fn take(&mut self, piece: Piece, node: NodeId) -> Result<(), RestoreError> {
        match piece {
            Piece::Header(_) => Ok(()),
            Piece::Key(bytes) => {
                let key = SigningKey::from_bytes(&bytes);
                if NodeId::from_bytes(key.verifying_key().to_bytes()) != node {
                    return Err(RestoreError::Unsound("its key is of another node".to_owned()));
                }
                if self.home.existing_key()?.is_some_and(|existing| existing != key) {
                    return Err(RestoreError::OtherKey { path: self.home.dir().to_owned() });
                }
                self.key = Some(key);
                Ok(())
            }
            Piece::Recovery(text) => {
                self.recovery = Some(text);
                Ok(())
            }
            Piece::Entry(sealed) => self.entry(sealed),
            Piece::End => {
                self.open()?;
                self.hand_in()
            }
        }
    }

    fn entry(&mut self, sealed: Sealed) -> Result<(), RestoreError> {
        let entry = Entry::open(self.mesh, sealed).map_err(|error| RestoreError::Unsound(error.to_string()))?;
        if entry.set() == Set::Control && self.replica.is_none() {
            self.control.push(entry);
            return Ok(());
        }
        self.open()?;
        self.bytes += entry.bytes_len();
        self.batch.push(entry);
        if self.batch.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES { self.hand_in() } else { Ok(()) }
    }

    /// Opens the replica by the control entries, as a new instance; nothing if it is open.
    fn open(&mut self) -> Result<(), RestoreError> {
        if self.replica.is_some() {
            return Ok(());
        }
        let Some(key) = self.key.clone() else { return Err(RestoreError::Unsound("its key is missing".to_owned())) };
        if !self.control.iter().any(Entry::is_founding) {
            return Err(RestoreError::Unsound("its founding entry is missing".to_owned()));
        }
        self.control.sort_by_key(|entry| !entry.is_founding());
        let store = self.home.restoring();
        let kv = beadmesh_store::open(&store)?.kv;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|_| HomeError::Random)?;
        let config = Config {
            key,
            seed,
            machine: Home::machine_at(&store)?,
            node_name: self.names.node.clone(),
            mesh_name: self.names.mesh.clone(),
            boot: [0; 16],
            votes: false,
            renew_instance: true,
            documents_max: DOCUMENTS_MAX,
            window_bytes: WINDOW_BYTES,
            membership: Some(Membership { mesh: self.mesh, control: self.control.iter().map(Entry::seal).collect() }),
            folds: None,
        };
        let Opened { mut replica, .. } = Replica::open(Box::new(kv), config, clock::now())?;
        replica.flush()?;
        self.replica = Some(replica);
        Ok(())
    }

    fn hand_in(&mut self) -> Result<(), RestoreError> {
        self.bytes = 0;
        let (Some(replica), false) = (&mut self.replica, self.batch.is_empty()) else { return Ok(()) };
        let command = Command::TakeBack(self.mesh, std::mem::take(&mut self.batch));
        replica.handle(clock::now(), Input::Command(RequestId(1), command));
        for output in replica.flush()? {
            if let Output::Reply(_, answer) = output {
                match *answer {
                    Ok(Answer::TakenBack(taken)) => self.unknown += taken.unknown,
                    Ok(_) => {}
                    Err(error) => return Err(RestoreError::Unsound(error.to_string())),
                }
            }
        }
        Ok(())
    }
}

/// Reads a backup, and hands out its pieces.
fn read(
    path: &Path,
    progress: &mut Progress<'_>,
    take: &mut dyn FnMut(Piece) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut reader = Reader::default();
    let mut chunk = Zeroizing::new(vec![0; CHUNK_BYTES]);
    loop {
        let bytes = file.read(&mut chunk).map_err(failed)?;
        if bytes == 0 {
            return Ok(reader.finish()?);
        }
        reader.push(&chunk[..bytes]);
        while let Some(piece) = reader.read()? {
            take(piece)?;
        }
        progress(bytes);
    }
}

#[cfg(test)]
mod tests;
