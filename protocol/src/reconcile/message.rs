//! The lists of ids in a message of negentropy protocol version 1.
//!
//! The crate hands ids out by way of a hash set. The message has them in the order of keys, each list with the bound
//! its range begins at, so that it says what is older although it names no key.

use super::Key;
use crate::id::EntryId;

/// Bytes of a fingerprint.
const FINGERPRINT_BYTES: usize = 16;

/// Returns every list of ids in a message, with the key that its range begins at.
///
/// The crate has judged the message before: what does not decode just ends the reading.
pub(super) fn id_lists(message: &[u8]) -> Vec<(Key, Vec<EntryId>)> {
    let mut lists = Vec::new();
    let mut reader = Reader { rest: message.get(1..).unwrap_or_default(), millis: 0 };
    let mut from = Key::FIRST;
    while !reader.rest.is_empty() {
        let Some((to, ids)) = reader.range() else { break };
        if !ids.is_empty() {
            lists.push((from, ids));
        }
        from = to;
    }
    lists
}

/// What of a message is still to be read.
struct Reader<'a> {
    rest: &'a [u8],
    /// The time of the bound before, to which the next one is an addition.
    millis: u64,
}

impl Reader<'_> {
    /// Reads a range: the key it ends before, and the ids it lists.
    fn range(&mut self) -> Option<(Key, Vec<EntryId>)> {
        let to = self.bound()?;
        let ids = match self.number()? {
            0 => Vec::new(),
            1 => {
                self.bytes(FINGERPRINT_BYTES)?;
                Vec::new()
            }
            2 => {
                let count = usize::try_from(self.number()?).ok()?;
                let bytes = self.bytes(count.checked_mul(32)?)?;
                bytes.chunks_exact(32).filter_map(EntryId::from_slice).collect()
            }
            _ => return None,
        };
        Some((to, ids))
    }

    /// Reads a bound: milliseconds since the last one, 0 for the end of time, and the first bytes of an id.
    fn bound(&mut self) -> Option<Key> {
        let since = self.number()?.checked_sub(1).unwrap_or(u64::MAX);
        self.millis = self.millis.saturating_add(since);
        let length = usize::try_from(self.number()?).ok()?;
        let prefix = self.bytes(length)?;
        let mut id = [0; 32];
        id.get_mut(..length)?.copy_from_slice(prefix);
        Some(Key { millis: self.millis, id: EntryId::from_bytes(id) })
    }

    /// Reads a number: seven bits a byte, the highest first.
    fn number(&mut self) -> Option<u64> {
        let length = 1 + self.rest.iter().position(|byte| byte & 0x80 == 0)?;
        let bytes = self.bytes(length)?;
        Some(bytes.iter().fold(0, |number: u64, byte| (number << 7) | u64::from(byte & 0x7f)))
    }

    fn bytes(&mut self, length: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }
}
