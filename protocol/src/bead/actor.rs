//! Who made a change, as automerge orders it.
//!
//! It names neither a node nor an agent: those stand in the entry that carries the change.

use std::fmt;

/// Who made a change: 1 to 32 bytes, random for edits, derived for imports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl Actor {
    /// Bytes of the longest actor.
    pub const BYTES_MAX: usize = 32;

    /// Wraps 1 to 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let length = u8::try_from(bytes.len()).ok().filter(|length| (1..=32).contains(length))?;
        let mut padded = [0; Self::BYTES_MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Self { bytes: padded, length })
    }

    /// Wraps one byte.
    pub(super) const fn single(byte: u8) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[0] = byte;
        Self { bytes, length: 1 }
    }

    /// Returns the bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl From<[u8; 8]> for Actor {
    fn from(bytes: [u8; 8]) -> Self {
        Self::from_slice(&bytes).expect("8 bytes are between 1 and 32")
    }
}

impl Ord for Actor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl PartialOrd for Actor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(self.as_slice()))
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actor({self})")
    }
}
