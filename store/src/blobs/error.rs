//! Why a blob was not taken, kept or opened.

use std::io;
use std::path::{Path, PathBuf};

use beadmesh_protocol::id::BlobHash;

use crate::kv::KvError;

/// Why a blob was not taken, kept or opened. Nothing half is left behind.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It is not here.
    #[error("the content {} is not here", .hash.short())]
    Missing {
        /// The blob.
        hash: BlobHash,
    },
    /// What was here is not what its name says; it was moved away.
    #[error("the content {} was damaged and is now in {}", .hash.short(), kept.display())]
    Damaged {
        /// The blob.
        hash: BlobHash,
        /// Where it lies now.
        kept: PathBuf,
    },
    /// More bytes came than may.
    #[error("it has more than {bytes_max} bytes")]
    TooLong {
        /// How many may come.
        bytes_max: u64,
    },
    /// Fewer bytes came than should have.
    #[error("it ends after {bytes} of {expected} bytes")]
    TooShort {
        /// How many came.
        bytes: u64,
        /// How many should have.
        expected: u64,
    },
    /// Other bytes came than were asked for.
    #[error("it is not the content {}", .hash.short())]
    Other {
        /// What was asked for.
        hash: BlobHash,
    },
    /// Too much was uploaded that no letter carries.
    #[error("uploads that no letter carries yet may have {bytes_max} bytes together")]
    Crowded {
        /// How many bytes may wait.
        bytes_max: u64,
    },
    /// What is fetched from other nodes has no room for it.
    #[error("{bytes} bytes do not fit into the {bytes_max} that fetched attachments may take together")]
    NoRoom {
        /// How many bytes it has.
        bytes: u64,
        /// How many all may have.
        bytes_max: u64,
    },
    /// The disk, or the user's share of it, is full.
    #[error("the disk is full: {} can not be written", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The file system takes no writes.
    #[error("{} is on a read-only file system", path.display())]
    ReadOnly {
        /// What was being written.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("can not use {}", path.display())]
    Io {
        /// What was being used.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BlobError {
    /// Sorts what the system said about a path.
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        KvError::from_io(path, source).into()
    }

    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } => "not_found",
            Self::TooLong { .. } => "too_large",
            Self::TooShort { .. } | Self::Other { .. } => "unreachable",
            Self::Crowded { .. } | Self::NoRoom { .. } => "conflict",
            Self::Full { .. } => "disk_full",
            Self::ReadOnly { .. } => "read_only",
            Self::Io { .. } => "io",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } => "upload it again".to_owned(),
            Self::TooLong { .. } => "split it, pack it, or say in the letter where it can be had".to_owned(),
            Self::TooShort { .. } | Self::Other { .. } => "try again".to_owned(),
            Self::Crowded { .. } => "send them in letters, or wait: what is in none goes after an hour".to_owned(),
            Self::NoRoom { .. } => "wait until others have been fetched, then try again".to_owned(),
            Self::Full { .. } => "free space, then try again; nothing was kept of it".to_owned(),
            Self::ReadOnly { .. } => "the home must be on a disk that can be written".to_owned(),
            Self::Io { .. } => "see to the disk and to who owns the file, then try again".to_owned(),
        }
    }
}

impl From<KvError> for BlobError {
    fn from(error: KvError) -> Self {
        match error {
            KvError::Io { path, source } => Self::Io { path, source },
            KvError::Full { path } => Self::Full { path },
            KvError::ReadOnly { path } => Self::ReadOnly { path },
            // Files and folders are used alone; no record of the store is.
            other => Self::Io { path: PathBuf::new(), source: io::Error::other(other) },
        }
    }
}
