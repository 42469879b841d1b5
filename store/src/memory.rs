//! `MemoryKv`: a `Kv` on no disk at all, which crashes as faithfully as sled does; for tests and the simulator.
//!
//! It is plain data and deterministic: one seed, one behaviour. What it forgets in a crash is what sled may forget:
//! batches since the last flush, the latest first, and each of them whole.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use crate::{
    kv::{Batch, Kv, KvError, Visit, seal},
    open::Origin,
};

/// A store in memory, with a disk's ways of failing.
#[derive(Clone, Debug)]
pub struct MemoryKv {
    /// Sealed values as they are visible now.
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What undoes each batch since the last flush, oldest first.
    undo: Vec<Undo>,
    /// The refusal to come and the writes until then.
    refusal: Option<(u64, Refusal)>,
    /// Set by a failed write, until the next crash.
    failed: Option<Refusal>,
    rng: ChaCha8Rng,
}

/// The sealed values that one batch replaced, `None` where there was none.
type Undo = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// How a write is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The disk is full.
    Full,
    /// The write or the sync fails.
    Io,
}

/// What a crash does to batches that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// None of them had reached the disk.
    LoseAll,
    /// The first few had, each whole: how many, the seed decides.
    KeepSome,
}

impl MemoryKv {
    /// Returns an empty store whose accidents follow from `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            records: BTreeMap::new(),
            undo: Vec::new(),
            refusal: None,
            failed: None,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Lets `writes` more batches and flushes succeed and refuses the one after them.
    pub fn refuse_after(&mut self, writes: u64, refusal: Refusal) {
        self.refusal = Some((writes, refusal));
    }

    /// Cuts the power, starts again, and says what opening the store would.
    ///
    /// After a failed write that is `Copied`, for the real store leaves a mark that makes the next start copy it.
    pub fn crash(&mut self, crash: Crash) -> Origin {
        let kept = match crash {
            Crash::LoseAll => 0,
            Crash::KeepSome => below(&mut self.rng, self.undo.len() + 1),
        };
        self.undo_after(kept);
        self.refusal = None;
        match self.failed.take() {
            None => Origin::Resumed,
            Some(_) => Origin::Copied { kept: place() },
        }
    }

    /// Returns the store that would open if the power went now and nothing unflushed had reached the disk.
    ///
    /// It is a copy with no failed write and no refusal to come, and meets the same accidents unless it is reseeded.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let mut copy = self.clone();
        copy.crash(Crash::LoseAll);
        copy
    }

    /// Lets later accidents follow from `seed`.
    pub fn reseed(&mut self, seed: u64) {
        self.rng = ChaCha8Rng::seed_from_u64(seed);
    }

    /// Flips one bit of one stored value, so that reading it answers `Corrupt`; returns its key, if there is any.
    pub fn corrupt(&mut self) -> Option<Vec<u8>> {
        if self.records.is_empty() {
            return None;
        }
        let victim = below(&mut self.rng, self.records.len());
        let (key, sealed) = self.records.iter_mut().nth(victim)?;
        let bit = below(&mut self.rng, sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        Some(key.clone())
    }

    /// Takes back every batch since the last flush but the first few.
    fn undo_after(&mut self, kept: usize) {
        for batch in self.undo.drain(kept..).rev() {
            for (key, old) in batch {
                match old {
                    Some(sealed) => self.records.insert(key, sealed),
                    None => self.records.remove(&key),
                };
            }
        }
        self.undo.clear();
    }

    fn check(&self) -> Result<(), KvError> {
        if self.failed.is_some() { Err(KvError::Failed) } else { Ok(()) }
    }

    /// Counts one write and refuses it if its turn has come.
    fn count(&mut self) -> Result<(), KvError> {
        self.check()?;
        match &mut self.refusal {
            Some((0, refusal)) => {
                let refusal = *refusal;
                self.failed = Some(refusal);
                Err(refusal.error())
            }
            Some((writes, _)) => {
                *writes -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>) -> impl DoubleEndedIterator<Item = (&Vec<u8>, &Vec<u8>)> {
        // A range that ends before it begins is empty here, where the map would panic.
        let to = to.map_or(Bound::Unbounded, |to| Bound::Excluded(to.max(from)));
        self.records.range::<[u8], _>((Bound::Included(from), to))
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.check()?;
        self.records.get(key).map(|sealed| Ok(seal::open(key, sealed)?.to_vec())).transpose()
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.check()?;
        walk(self.range(from, to), visit)
    }

    fn scan_back(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.check()?;
        walk(self.range(from, to).rev(), visit)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), KvError> {
        self.count()?;
        let mut undo = Vec::with_capacity(batch.len());
        for (key, sealed) in batch.into_sealed() {
            let old = match sealed {
                Some(sealed) => self.records.insert(key.clone(), sealed),
                None => self.records.remove(&key),
            };
            undo.push((key, old));
        }
        self.undo.push(undo);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), KvError> {
        self.count()?;
        self.undo.clear();
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, KvError> {
        self.check()?;
        let bytes: usize = self.records.iter().map(|(key, sealed)| key.len() + sealed.len()).sum();
        Ok(bytes as u64)
    }
}

/// A memory store that stays when the replica over it is gone.
#[derive(Clone, Debug)]
pub struct SharedKv(Arc<Mutex<MemoryKv>>);

impl SharedKv {
    /// Shares a store; clones of this are the same store.
    #[must_use]
    pub fn new(kv: MemoryKv) -> Self {
        Self(Arc::new(Mutex::new(kv)))
    }

    /// Returns the store itself, until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, MemoryKv> {
        // Whoever panicked has not left it half changed: a call either refuses or does its whole work.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kv for SharedKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.lock().get(key)
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.lock().scan(from, to, visit)
    }

    fn scan_back(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.lock().scan_back(from, to, visit)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), KvError> {
        self.lock().apply(batch)
    }

    fn flush(&mut self) -> Result<(), KvError> {
        self.lock().flush()
    }

    fn size_on_disk(&self) -> Result<u64, KvError> {
        self.lock().size_on_disk()
    }
}

impl Refusal {
    fn error(self) -> KvError {
        match self {
            Self::Full => KvError::Full { path: place() },
            Self::Io => KvError::from_io(&place(), std::io::ErrorKind::Other.into()),
        }
    }
}

fn walk<'a>(pairs: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>, visit: &mut Visit<'_>) -> Result<(), KvError> {
    for (key, sealed) in pairs {
        if visit(key, seal::open(key, sealed)?).is_break() {
            break;
        }
    }
    Ok(())
}

/// Returns a number below `bound`; its slight bias is of no matter to accidents.
fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u64() % bound as u64).expect("it is below a usize")
}

/// Names what errors are about.
fn place() -> PathBuf {
    PathBuf::from("(memory)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kv: &mut MemoryKv, key: u8) -> Result<(), KvError> {
        let mut batch = Batch::default();
        batch.put([key, 0], &[key]);
        batch.put([key, 1], &[key]);
        kv.apply(batch)
    }

    fn keys(kv: &MemoryKv) -> Vec<u8> {
        let mut keys = Vec::new();
        kv.scan(b"", None, &mut |key, _| {
            keys.push(key[0]);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        keys
    }

    #[test]
    fn a_crash_loses_what_was_not_flushed_and_nothing_else() {
        let mut kv = MemoryKv::seeded(7);
        put(&mut kv, 1).unwrap();
        kv.flush().unwrap();
        let mut batch = Batch::default();
        batch.delete([1, 0]);
        batch.put([1, 1], b"other");
        kv.apply(batch).unwrap();
        put(&mut kv, 2).unwrap();
        assert_eq!(kv.crash(Crash::LoseAll), Origin::Resumed);
        assert_eq!(keys(&kv), [1, 1]);
        assert_eq!(kv.get(&[1, 1]).unwrap().unwrap(), [1]);
    }

    #[test]
    fn a_snapshot_is_what_a_crash_would_leave_and_goes_its_own_way() {
        let shared = SharedKv::new(MemoryKv::seeded(7));
        put(&mut shared.lock(), 1).unwrap();
        shared.lock().flush().unwrap();
        put(&mut shared.lock(), 2).unwrap();
        shared.lock().refuse_after(0, Refusal::Io);
        let mut snapshot = shared.lock().snapshot();
        assert_eq!((keys(&snapshot), keys(&shared.lock())), (vec![1, 1], vec![1, 1, 2, 2]));
        put(&mut snapshot, 3).unwrap();
        snapshot.flush().unwrap();
        shared.lock().crash(Crash::LoseAll);
        assert_eq!((keys(&snapshot), keys(&shared.lock())), (vec![1, 1, 3, 3], vec![1, 1]));
    }

    #[test]
    fn accidents_follow_from_the_last_seed() {
        let survivors = |reseeded: u64| {
            let mut kv = MemoryKv::seeded(reseeded + 1);
            kv.reseed(7);
            (1..=20).for_each(|key| put(&mut kv, key).unwrap());
            kv.crash(Crash::KeepSome);
            keys(&kv)
        };
        assert_eq!(survivors(0), survivors(1));
    }

    #[test]
    fn batches_that_survive_unflushed_are_whole_and_the_oldest() {
        let mut survivors = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let mut kv = MemoryKv::seeded(seed);
            (1..=3).for_each(|key| put(&mut kv, key).unwrap());
            kv.crash(Crash::KeepSome);
            survivors.insert(keys(&kv));
        }
        let whole = [vec![], vec![1, 1], vec![1, 1, 2, 2], vec![1, 1, 2, 2, 3, 3]];
        assert_eq!(survivors, whole.into());
    }

    #[test]
    fn a_refused_write_fails_for_good_and_costs_the_instance() {
        for (writes, refusal) in [(1, Refusal::Full), (2, Refusal::Io)] {
            let mut kv = MemoryKv::seeded(7);
            kv.refuse_after(writes, refusal);
            put(&mut kv, 1).unwrap();
            if writes == 2 {
                put(&mut kv, 2).unwrap();
            }
            let error = kv.flush().unwrap_err();
            assert_eq!(matches!(error, KvError::Full { .. }), refusal == Refusal::Full);
            assert!(matches!(kv.get(&[1, 0]), Err(KvError::Failed)));
            assert!(matches!(kv.crash(Crash::LoseAll), Origin::Copied { .. }));
            assert!(keys(&kv).is_empty());
            put(&mut kv, 3).unwrap();
        }
    }

    #[test]
    fn damage_is_noticed_on_reading() {
        let mut kv = MemoryKv::seeded(7);
        assert_eq!(kv.corrupt(), None);
        put(&mut kv, 1).unwrap();
        let key = kv.corrupt().unwrap();
        assert!(matches!(kv.get(&key), Err(KvError::Corrupt { .. })));
    }
}
