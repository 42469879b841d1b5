//! Why a home can not be used, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::{HOME_VARIABLE, SOCKET_PATH_BYTES_MAX};

/// Why a home can not be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The environment names no home.
    #[error("neither {HOME_VARIABLE} nor HOME says where beadmesh lives")]
    Nowhere,
    /// A file or directory can not be used.
    #[error("{} can not be used", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system takes no writes.
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
    },
    /// The disk, or the user's share of it, is full.
    #[error("{} can not be written: the disk is full", path.display())]
    Full {
        /// The file or directory.
        path: PathBuf,
    },
    /// The file belongs to another user.
    #[error("{} belongs to user {owner}, this is user {user}", path.display())]
    NotOurs {
        /// The file or directory.
        path: PathBuf,
        /// Who it belongs to.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Others can read or write what must be private.
    #[error("{} has mode {mode:04o}, so others can get at it; {wanted:04o} is needed", path.display())]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// A restore was interrupted.
    #[error("a restore was interrupted: {} is not whole", path.display())]
    HalfRestored {
        /// What it left.
        path: PathBuf,
    },
    /// The key file holds something else.
    #[error("{} has {bytes} bytes, a node's key has 32", path.display())]
    KeyBytes {
        /// The key file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// The file of the API's token holds something else.
    #[error("{} holds no token of the API", path.display())]
    ApiToken {
        /// The file.
        path: PathBuf,
    },
    /// The file of who is kept out holds something else.
    #[error("{} does not say who is kept out", path.display())]
    Bans {
        /// The file.
        path: PathBuf,
    },
    /// The file of what was spent holds something else.
    #[error("{} does not say what was spent", path.display())]
    Spent {
        /// The file.
        path: PathBuf,
    },
    /// The path of the socket is longer than the kernel takes.
    #[error("the socket's path has {bytes} bytes, at most {SOCKET_PATH_BYTES_MAX} are possible: {}", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// The system gave no random numbers.
    #[error("the system has no random numbers for a key")]
    Random,
}

impl HomeError {
    /// Sorts what the system said.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Io { path, source },
        }
    }

    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ReadOnly { .. } => "read_only",
            Self::Full { .. } => "disk_full",
            Self::NotOurs { .. } | Self::TooOpen { .. } => "refused",
            Self::HalfRestored { .. } => "conflict",
            Self::Nowhere | Self::SocketPath { .. } => "usage",
            Self::Io { .. }
            | Self::KeyBytes { .. }
            | Self::ApiToken { .. }
            | Self::Bans { .. }
            | Self::Spent { .. }
            | Self::Random => "internal",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Nowhere | Self::SocketPath { .. } => format!("set {HOME_VARIABLE} to a directory with a short path"),
            Self::Io { path, .. } => format!("see to {}, or set {HOME_VARIABLE} to another directory", path.display()),
            Self::ReadOnly { .. } => format!("set {HOME_VARIABLE} to a directory that can be written"),
            Self::Full { .. } => "free space, then try again; nothing acknowledged is lost".to_owned(),
            Self::NotOurs { .. } => format!("run as its owner, or set {HOME_VARIABLE} to a directory of your own"),
            Self::TooOpen { path, wanted, .. } => format!("chmod {wanted:o} '{}'", path.display()),
            Self::KeyBytes { path, .. } => {
                format!("put the node's key back from a backup; without one, move {} away", path.display())
            }
            Self::ApiToken { path } => format!("remove {}: the next start makes another", path.display()),
            Self::Bans { path } => format!("mend or remove {}: without it nobody is kept out", path.display()),
            Self::Spent { path } => format!("mend or remove {}: without it the budget begins anew", path.display()),
            Self::HalfRestored { path } => {
                format!("run `beadmesh restore` again, or remove {} to begin a new node", path.display())
            }
            Self::Random => "try again".to_owned(),
        }
    }
}
