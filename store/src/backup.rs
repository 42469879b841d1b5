//! The backup file: every entry of a node as it travels, with a checksum over the whole; read and written in pieces.
//!
//! It begins with a mark and a version. Records follow, each a kind, a length and a body: the header first, then the
//! keys where they were asked for, then the entries, those of the control set before the others. An empty record ends
//! them, and BLAKE3 over all bytes before it ends the file. All numbers are big-endian. Entries are signed, so nothing
//! in it has to be believed.

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::entry::Sealed;
use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::limits::ENTRY_BYTES_MAX;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The version of the file that this program writes, and the newest it reads.
pub const VERSION: u16 = 1;

/// What a backup file begins with.
const MARK: &[u8; 16] = b"beadmesh backup\n";

/// Bytes of the mark and the version.
const PREFACE_BYTES: usize = MARK.len() + 2;
/// Bytes before the body of a record: its kind and its length.
const RECORD_HEAD_BYTES: usize = 5;
/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 32;
/// Bytes of a node's secret key.
const KEY_BYTES: usize = 32;
/// Bytes of a header or of a recovery key at most; ours are far shorter.
const SMALL_BYTES_MAX: usize = 1_024;
/// Bytes of a sealed entry at most: the entry, its signature and their lengths.
const SEALED_BYTES_MAX: usize = ENTRY_BYTES_MAX + 128;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    End = 0,
    Header = 1,
    Key = 2,
    Recovery = 3,
    Entry = 4,
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The mesh.
    pub mesh: MeshId,
    /// The node that wrote it.
    pub node: NodeId,
    /// When it was begun, by the clock of that node.
    pub wall: Wall,
    /// How many entries are in it.
    pub entries: u64,
    /// Whether the node's secret key is in it.
    pub has_key: bool,
}

/// One piece of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// What it says of itself; the first piece.
    Header(Header),
    /// The node's secret key.
    Key(Zeroizing<[u8; KEY_BYTES]>),
    /// The recovery key, where it had not been shown yet.
    Recovery(Zeroizing<Vec<u8>>),
    /// An entry; neither its form nor its signature has been checked.
    Entry(Sealed),
    /// Nothing is missing and nothing was altered; the last piece.
    End,
}

/// Why a file is not a backup that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// It begins otherwise.
    #[error("this is no backup of beadmesh")]
    Foreign,
    /// A newer program wrote it.
    #[error("the backup has version {found}, and this program reads versions up to {VERSION}")]
    Newer {
        /// The version found.
        found: u16,
    },
    /// It ends too early.
    #[error("the backup ends after {bytes} bytes, and more should follow")]
    Truncated {
        /// Its length.
        bytes: u64,
    },
    /// Something in it is not as it was written.
    #[error("the backup is damaged: {what}, at byte {at}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// Where that is, from 0.
        at: u64,
    },
}

/// Writes a backup, piece by piece.
#[derive(Debug)]
pub struct Writer {
    checksum: blake3::Hasher,
}

impl Writer {
    /// Begins a backup; returns its first bytes.
    pub fn begin(header: &Header) -> (Self, Vec<u8>) {
        let mut bytes = MARK.to_vec();
        bytes.extend(VERSION.to_be_bytes());
        put(&mut bytes, Kind::Header, &postcard::to_stdvec(header).expect("a header has a postcard form"));
        let mut writer = Self { checksum: blake3::Hasher::new() };
        writer.checksum.update(&bytes);
        (writer, bytes)
    }

    /// Returns the bytes of the node's keys.
    ///
    /// # Panics
    /// When the recovery key is longer than any is.
    pub fn keys(&mut self, key: &[u8; KEY_BYTES], recovery: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
        // As long as it can become: nothing secret is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * RECORD_HEAD_BYTES + KEY_BYTES + SMALL_BYTES_MAX));
        put(&mut bytes, Kind::Key, key);
        if let Some(recovery) = recovery {
            assert!(recovery.len() <= SMALL_BYTES_MAX, "a recovery key is short");
            put(&mut bytes, Kind::Recovery, recovery);
        }
        self.checksum.update(&bytes);
        bytes
    }

    /// Returns the bytes of some entries.
    pub fn entries(&mut self, entries: &[Sealed]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            put(&mut bytes, Kind::Entry, &postcard::to_stdvec(entry).expect("an entry has a postcard form"));
        }
        self.checksum.update(&bytes);
        bytes
    }

    /// Returns the last bytes.
    pub fn end(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, Kind::End, &[]);
        self.checksum.update(&bytes);
        bytes.extend(self.checksum.finalize().as_bytes());
        bytes
    }
}

/// Reads a backup from bytes that come in any pieces; holds no more than one record of them.
#[derive(Debug, Default)]
pub struct Reader {
    waiting: Zeroizing<Vec<u8>>,
    /// How many bytes have been read and are gone.
    at: u64,
    checksum: blake3::Hasher,
    header: Option<Header>,
    entries: u64,
    is_key_read: bool,
    is_ended: bool,
    is_whole: bool,
}

impl Reader {
    /// Takes the next bytes of the file; all pieces in them must be read before more are taken.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Returns the next piece; `None` until more bytes come.
    ///
    /// # Errors
    /// When the bytes are no backup, or not as they were written.
    pub fn read(&mut self) -> Result<Option<Piece>, BackupError> {
        if self.at == 0 && !self.read_preface()? {
            return Ok(None);
        }
        if self.is_whole {
            return if self.waiting.is_empty() { Ok(None) } else { Err(self.damaged("bytes follow its end")) };
        }
        if self.is_ended {
            return self.read_checksum();
        }
        let Some(head) = self.waiting.first_chunk::<RECORD_HEAD_BYTES>() else { return Ok(None) };
        let (kind, [a, b, c, d]) = (head[0], [head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let kind = Kind::parse(kind).ok_or_else(|| self.damaged("a record of no known kind"))?;
        if length > kind.bytes_max() {
            return Err(self.damaged("a record longer than any is"));
        }
        let end = RECORD_HEAD_BYTES + length;
        if self.waiting.len() < end {
            return Ok(None);
        }
        let body = Zeroizing::new(self.waiting[RECORD_HEAD_BYTES..end].to_vec());
        let piece = self.piece(kind, &body)?;
        self.consume(end);
        if self.is_ended { self.read_checksum() } else { Ok(piece) }
    }

    /// Returns what the backup said of itself, once that has been read.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Says that no more bytes come.
    ///
    /// # Errors
    /// When the last piece has not been read.
    pub fn finish(&self) -> Result<(), BackupError> {
        if self.is_whole {
            return Ok(());
        }
        let bytes = self.at + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let is_foreign = self.at == 0 && !MARK.starts_with(&self.waiting[..self.waiting.len().min(MARK.len())]);
        Err(if is_foreign { BackupError::Foreign } else { BackupError::Truncated { bytes } })
    }

    /// Reads the mark and the version; returns whether they are there.
    fn read_preface(&mut self) -> Result<bool, BackupError> {
        let Some(preface) = self.waiting.first_chunk::<PREFACE_BYTES>() else { return Ok(false) };
        let (mark, version) = preface.split_at(MARK.len());
        if mark != MARK {
            return Err(BackupError::Foreign);
        }
        let found = u16::from_be_bytes([version[0], version[1]]);
        if found == 0 {
            return Err(self.damaged("it has no version"));
        }
        if found > VERSION {
            return Err(BackupError::Newer { found });
        }
        self.consume(PREFACE_BYTES);
        Ok(true)
    }

    fn read_checksum(&mut self) -> Result<Option<Piece>, BackupError> {
        let Some(found) = self.waiting.first_chunk::<CHECKSUM_BYTES>() else { return Ok(None) };
        if self.checksum.finalize() != *found {
            return Err(self.damaged("its checksum is another"));
        }
        self.waiting.drain(..CHECKSUM_BYTES);
        self.at += u64::try_from(CHECKSUM_BYTES).expect("32 fits");
        self.is_whole = true;
        Ok(Some(Piece::End))
    }

    /// Reads the body of a record, which must be in its place.
    fn piece(&mut self, kind: Kind, body: &[u8]) -> Result<Option<Piece>, BackupError> {
        let Some(header) = &self.header else {
            if kind != Kind::Header {
                return Err(self.damaged("it does not begin with its header"));
            }
            let header: Header = self.decoded(body)?;
            self.header = Some(header.clone());
            return Ok(Some(Piece::Header(header)));
        };
        match kind {
            Kind::Header => Err(self.damaged("it has a second header")),
            Kind::Key | Kind::Recovery if !header.has_key || self.entries > 0 => {
                Err(self.damaged("a key is not in its place"))
            }
            Kind::Key => {
                let key = <[u8; KEY_BYTES]>::try_from(body);
                let key = key.map_err(|_| self.damaged("a key of another length"))?;
                self.is_key_read = true;
                Ok(Some(Piece::Key(Zeroizing::new(key))))
            }
            Kind::Recovery => Ok(Some(Piece::Recovery(Zeroizing::new(body.to_vec())))),
            Kind::Entry => {
                let entry = self.decoded(body)?;
                self.entries += 1;
                Ok(Some(Piece::Entry(entry)))
            }
            Kind::End if self.entries != header.entries => Err(self.damaged("entries are missing or too many")),
            Kind::End if header.has_key != self.is_key_read => Err(self.damaged("its key is missing")),
            Kind::End => {
                self.is_ended = true;
                // The checksum follows, and counts all up to here.
                Ok(None)
            }
        }
    }

    fn decoded<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, BackupError> {
        postcard::from_bytes(body).map_err(|_| self.damaged("a record does not decode"))
    }

    fn consume(&mut self, bytes: usize) {
        self.checksum.update(&self.waiting[..bytes]);
        self.waiting.drain(..bytes);
        self.at += u64::try_from(bytes).expect("lengths fit");
    }

    fn damaged(&self, what: &'static str) -> BackupError {
        BackupError::Damaged { what, at: self.at }
    }
}

impl Kind {
    fn parse(byte: u8) -> Option<Self> {
        [Self::End, Self::Header, Self::Key, Self::Recovery, Self::Entry].into_iter().find(|kind| *kind as u8 == byte)
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::End => 0,
            Self::Key => KEY_BYTES,
            Self::Header | Self::Recovery => SMALL_BYTES_MAX,
            Self::Entry => SEALED_BYTES_MAX,
        }
    }
}

fn put(bytes: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    bytes.push(kind as u8);
    bytes.extend(u32::try_from(body.len()).expect("records are bounded").to_be_bytes());
    bytes.extend(body);
}

#[cfg(test)]
mod tests;
