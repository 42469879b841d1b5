//! Writes staged over a `Kv` until the next commit, and readable meanwhile; records in place of bytes.
//!
//! Everything handled since the last flush lies in one batch: it becomes durable together or not at all.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use beadmesh_protocol::id::base32;
use beadmesh_protocol::planted::{self, Bug};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kv::{Batch, Kv, KvError};
use crate::open::settle;

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The key-value store failed.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// A record's bytes are sound but do not decode: another version wrote them, or a program error.
    #[error("record {key} does not decode; `beadmesh doctor --rebuild` derives views anew")]
    Undecodable {
        /// The record's key in base32.
        key: String,
    },
}

/// A key-value store with staged writes.
pub(crate) struct Stage {
    kv: Box<dyn Kv>,
    staged: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Whether a commit has settled where the store came from; see `open::settle`.
    settled: bool,
}

impl Stage {
    /// Stages writes over `kv`.
    pub(crate) fn new(kv: Box<dyn Kv>) -> Self {
        Self { kv, staged: BTreeMap::new(), settled: false }
    }

    /// Returns the value under a key, staged or stored.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.staged.get(key) {
            Some(staged) => Ok(staged.clone()),
            None => Ok(self.kv.get(key)?),
        }
    }

    /// Returns the record under a key.
    ///
    /// # Errors
    /// When the store fails or the record does not decode.
    pub(crate) fn record<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.get(key)?.map(|value| decode(key, &value)).transpose()
    }

    /// Stages a value.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.staged.insert(key, Some(value));
    }

    /// Stages a record.
    pub(crate) fn put_record<T: Serialize>(&mut self, key: Vec<u8>, record: &T) {
        let value = postcard::to_stdvec(record).expect("records have a postcard form");
        self.put(key, value);
    }

    /// Stages a deletion.
    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.staged.insert(key, None);
    }

    /// Visits every pair whose key begins with `prefix`, in key order, until the visitor breaks.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan_from(prefix, prefix, visit)
    }

    /// Visits the pairs that `scan` would, from the key `from` on, which begins with `prefix`.
    fn scan_from(
        &self,
        prefix: &[u8],
        from: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let end = successor(prefix);
        let upper = end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut staged = self.staged.range((Bound::Included(from.to_vec()), upper)).peekable();
        let mut broke = false;
        self.kv.scan(from, end.as_deref(), &mut |key, value| {
            while let Some((staged_key, staged_value)) = staged.next_if(|(staged_key, _)| staged_key.as_slice() < key) {
                if let Some(value) = staged_value
                    && visit(staged_key, value).is_break()
                {
                    broke = true;
                    return ControlFlow::Break(());
                }
            }
            let seen = match staged.next_if(|(staged_key, _)| staged_key.as_slice() == key) {
                Some((_, Some(value))) => visit(key, value),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            broke = seen.is_break();
            seen
        })?;
        if !broke {
            for (key, value) in staged {
                if let Some(value) = value
                    && visit(key, value).is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Counts the keys that begin with `prefix`.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn count(&self, prefix: &[u8]) -> Result<u64, StoreError> {
        let mut count = 0;
        self.scan(prefix, |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Collects the keys that begin with `prefix`.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        self.scan(prefix, |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(keys)
    }

    /// Collects at most `limit` keys that begin with `prefix`, from `from` on.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn keys_from(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        if limit > 0 {
            self.scan_from(prefix, from, |key, _| {
                keys.push(key.to_vec());
                if keys.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(keys)
    }

    /// Collects the records whose keys begin with `prefix`, with their keys.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub(crate) fn records<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut records = Vec::new();
        let mut failed = None;
        self.scan(prefix, |key, value| match decode(key, value) {
            Ok(record) => {
                records.push((key.to_vec(), record));
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(records), Err)
    }

    /// Returns the first record that is as it is to be, of those whose keys begin with `prefix`.
    ///
    /// # Errors
    /// When the store fails, or a record before it is of another form.
    pub(crate) fn first<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        is_meant: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, StoreError> {
        let mut found = Ok(None);
        self.scan(prefix, |key, value| match decode(key, value) {
            Ok(record) if !is_meant(&record) => ControlFlow::Continue(()),
            decoded => {
                found = decoded.map(Some);
                ControlFlow::Break(())
            }
        })?;
        found
    }

    /// Makes everything staged durable, all of it or none.
    ///
    /// # Errors
    /// When the store fails; it then accepts nothing more.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for (key, value) in std::mem::take(&mut self.staged) {
            match value {
                Some(value) => batch.put(key, &value),
                None => batch.delete(key),
            }
        }
        if !std::mem::replace(&mut self.settled, true) {
            settle(&mut batch);
        }
        if planted::is(Bug::LateFlush) {
            return Ok(self.kv.flush().and_then(|()| self.kv.apply(batch))?);
        }
        self.kv.apply(batch)?;
        Ok(self.kv.flush()?)
    }
}

fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(value).map_err(|_| StoreError::Undecodable { key: base32(key) })
}

/// Returns the first key after all that begin with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
