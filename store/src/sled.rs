//! `SledKv`: `Kv` on sled 0.34.7. This is the only file that names sled, and it knows the traps of that version.
//!
//! - sled's `flush` is `sync_file_range`, which neither waits for the drive's cache nor records a grown file's length:
//!   `flush` here adds `fdatasync` on the data file.
//! - A log message over 128 KiB less 52 bytes goes to a file of its own under `blobs/` that sled never syncs, and one
//!   message can hold a whole leaf. Values are therefore stored in pieces of `PIECE_BYTES_MAX`; the blob files that an
//!   unlucky row of merges still makes are synced here, before the log that names them.
//! - sled reuses a segment once what replaced its pages is written two segments further on; written, not durable.
//!   `apply` therefore syncs by itself before that much log has gathered.
//! - To grow its file sled may wait, holding a lock, for one of its 7 threads to finish shrinking it, and never wakes
//!   if all of them are writing and want the lock. `apply` therefore ends with sled's `flush`, so that few writes are
//!   ever on their way; a batch under `BATCH_BYTES_MAX` adds few enough.
//! - `snap.*` is only an accelerator, written when opening, but one torn by a kill fails the open if it still has the
//!   name it is generated under. Opening removes those.
//! - Errors of sled's own threads surface in a later call, and sled keeps answering from memory after one.

use std::{
    any::Any,
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use crate::{
    directory,
    kv::{Batch, KEY_BYTES_MAX, Kv, KvError, Visit, seal},
};

/// Bytes of pages that sled keeps in memory.
const CACHE_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// Bytes of a stored piece: a leaf splits above 16 items and merges add 3 at a time, so four merges in a row stay
/// below the size of a blob even if all items are this long.
const PIECE_BYTES_MAX: usize = 4 * 1024;

/// Bytes of log between two syncs: half a segment, where sled needs two to reuse one.
const UNSYNCED_LOG_BYTES_MAX: i64 = 256 * 1024;

/// Bytes of the largest log message that stays in the log: a quarter of a segment less its header, less its own.
const MESSAGE_BYTES_MAX: usize = 512 * 1024 / 4 - 20 - 32;
const _: () = assert!(28 * (PIECE_BYTES_MAX + KEY_BYTES_MAX + 32) < MESSAGE_BYTES_MAX);
const _: () = assert!(320 * (KEY_BYTES_MAX + 32) < MESSAGE_BYTES_MAX);

/// Turns given to sled's threads to let go of the data file: some tenths of a second on an idle machine.
const CLOSE_YIELDS_MAX: u32 = 200_000;

/// First byte of the keys that `Kv` users see.
const HEAD: u8 = b'd';
/// First byte of the keys of pieces.
const PIECE: u8 = b'c';
/// First byte of a head whose sealed value follows.
const WHOLE: u8 = 0;
/// First byte of a head whose sealed value lies in as many pieces as the following 4 bytes say.
const SPREAD: u8 = 1;

/// The file that marks a directory whose writes have failed.
const POISONED: &str = "poisoned";

/// A store in one directory.
#[derive(Debug)]
pub struct SledKv {
    /// Gone after a failed write: then nothing may be believed, and nothing more may be written on closing.
    db: Option<sled::Db>,
    /// sled's data file, opened again to sync it.
    data: File,
    /// Names of the blob files known to be durable.
    blobs: BTreeSet<OsString>,
    /// How far the log was durable at the last sync.
    synced: i64,
    path: PathBuf,
}

impl SledKv {
    /// Opens the store in `path`, which exists, or makes it there; all its files are durable afterwards.
    ///
    /// # Errors
    ///
    /// `Corrupt` if sled can not read what it wrote; then nothing but sled's own repairs has been changed.
    pub(crate) fn open(path: &Path) -> Result<Self, KvError> {
        remove_torn_snapshots(path)?;
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES_MAX)
            .mode(sled::Mode::LowSpace)
            .use_compression(false)
            .flush_every_ms(None);
        let db = guarded(path, || config.open())?;
        let data_path = path.join("db");
        let data = File::open(&data_path).map_err(|e| KvError::from_io(&data_path, e))?;
        let mut kv = Self { db: Some(db), data, blobs: BTreeSet::new(), synced: 0, path: path.to_path_buf() };
        kv.sync()?;
        directory::sync_all(path)?;
        Ok(kv)
    }

    /// Tells whether a write to the store in `path` has failed, so that what it holds must be copied before use.
    pub(crate) fn is_poisoned(path: &Path) -> bool {
        path.join(POISONED).exists()
    }

    fn db(&self) -> Result<&sled::Db, KvError> {
        self.db.as_ref().ok_or(KvError::Failed)
    }

    /// Does `write`, and stops for good if it fails.
    fn finally<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, KvError>) -> Result<T, KvError> {
        let result = write(self);
        if result.is_err()
            && let Some(db) = self.db.take()
        {
            // Closing would write, and could block on a thread that has died.
            std::mem::forget(db);
            // It is empty, because the disk may be full. If not even a name can be written, nothing is left to try.
            let _ = directory::replace_file(&self.path, POISONED, b"");
        }
        result
    }

    fn sync(&mut self) -> Result<(), KvError> {
        let db = self.db()?;
        guarded(&self.path, || db.flush())?;
        let synced = log_bytes(db);
        self.sync_blobs()?;
        self.data.sync_data().map_err(|e| KvError::from_io(&self.path.join("db"), e))?;
        self.synced = synced;
        Ok(())
    }

    fn sync_blobs(&mut self) -> Result<(), KvError> {
        let dir = self.path.join("blobs");
        let names: BTreeSet<_> = directory::entries(&dir)?.iter().map(fs::DirEntry::file_name).collect();
        if names.is_subset(&self.blobs) {
            return Ok(());
        }
        for name in names.difference(&self.blobs) {
            let path = dir.join(name);
            match File::open(&path).and_then(|file| file.sync_all()) {
                // sled removes a blob once nothing refers to it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                synced => synced.map_err(|e| KvError::from_io(&path, e))?,
            }
        }
        self.blobs = names;
        directory::sync(&dir)
    }

    fn apply_now(&mut self, batch: Batch) -> Result<(), KvError> {
        let db = self.db()?;
        let mut writes = sled::Batch::default();
        for (key, sealed) in batch.into_sealed() {
            let old = guarded(&self.path, || db.get(head_key(&key)))?;
            let old_pieces = old.as_deref().and_then(spread).unwrap_or(0);
            let mut new_pieces = 0;
            match sealed {
                None => writes.remove(head_key(&key)),
                Some(sealed) => new_pieces = write_value(&mut writes, &key, &sealed),
            }
            (new_pieces..old_pieces).for_each(|number| writes.remove(piece_key(&key, number)));
        }
        guarded(&self.path, || db.apply_batch(writes))?;
        guarded(&self.path, || db.flush())?;
        if log_bytes(db) - self.synced > UNSYNCED_LOG_BYTES_MAX {
            self.sync()?;
        }
        Ok(())
    }

    /// Returns the value whose head is `head`.
    fn value(&self, key: &[u8], head: &[u8]) -> Result<Vec<u8>, KvError> {
        if let Some((&WHOLE, sealed)) = head.split_first() {
            return Ok(seal::open(key, sealed)?.to_vec());
        }
        let pieces = spread(head).ok_or_else(|| seal::damaged(key))?;
        let db = self.db()?;
        let mut sealed = Vec::new();
        for number in 0..pieces {
            let piece = guarded(&self.path, || db.get(piece_key(key, number)))?;
            sealed.extend_from_slice(&piece.ok_or_else(|| seal::damaged(key))?);
        }
        seal::open(key, &sealed)?;
        sealed.truncate(sealed.len() - seal::SUM_BYTES);
        Ok(sealed)
    }

    fn walk(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>, end: End) -> Result<(), KvError> {
        let db = self.db()?;
        let to = to.map_or_else(|| vec![HEAD + 1], head_key);
        let from = head_key(from);
        if from >= to {
            return Ok(());
        }
        let mut range = db.range(from..to);
        loop {
            let pair = guarded(&self.path, || match end {
                End::First => range.next().transpose(),
                End::Last => range.next_back().transpose(),
            })?;
            let Some((head_key, head)) = pair else { return Ok(()) };
            let key = &head_key[1..];
            if visit(key, &self.value(key, &head)?).is_break() {
                return Ok(());
            }
        }
    }
}

impl Kv for SledKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let db = self.db()?;
        let head = guarded(&self.path, || db.get(head_key(key)))?;
        head.map(|head| self.value(key, &head)).transpose()
    }

    fn scan(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.walk(from, to, visit, End::First)
    }

    fn scan_back(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.walk(from, to, visit, End::Last)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), KvError> {
        self.finally(|kv| kv.apply_now(batch))
    }

    fn flush(&mut self) -> Result<(), KvError> {
        self.finally(Self::sync)
    }

    fn size_on_disk(&self) -> Result<u64, KvError> {
        let db = self.db()?;
        guarded(&self.path, || db.size_on_disk())
    }
}

impl Drop for SledKv {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            // sled syncs on closing and panics if it can not; whoever needed that has called `flush`.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
            // A thread of sled's may hold the file, and with it sled's lock, a moment longer; who opens again needs it.
            for _ in 0..CLOSE_YIELDS_MAX {
                if self.data.try_lock().is_ok() {
                    // Closing the file lets go of it in any case.
                    let _ = self.data.unlock();
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}

/// The end of a range where a walk begins.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

/// Adds the head and the pieces of a sealed value to `writes`, and returns how many pieces there are.
fn write_value(writes: &mut sled::Batch, key: &[u8], sealed: &[u8]) -> u32 {
    if sealed.len() < PIECE_BYTES_MAX {
        let mut head = Vec::with_capacity(sealed.len() + 1);
        head.push(WHOLE);
        head.extend_from_slice(sealed);
        writes.insert(head_key(key), head);
        return 0;
    }
    let mut pieces = 0;
    for piece in sealed.chunks(PIECE_BYTES_MAX) {
        writes.insert(piece_key(key, pieces), piece);
        pieces += 1;
    }
    let mut head = vec![SPREAD];
    head.extend_from_slice(&pieces.to_be_bytes());
    writes.insert(head_key(key), head);
    pieces
}

/// Returns the number of pieces that `head` speaks of, if it is such a head.
fn spread(head: &[u8]) -> Option<u32> {
    let number = head.strip_prefix(&[SPREAD])?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

fn head_key(key: &[u8]) -> Vec<u8> {
    let mut head_key = Vec::with_capacity(key.len() + 1);
    head_key.push(HEAD);
    head_key.extend_from_slice(key);
    head_key
}

/// Returns the key of a piece: the key's length comes first, so that no piece falls among those of another key.
fn piece_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut piece_key = Vec::with_capacity(key.len() + 9);
    piece_key.push(PIECE);
    piece_key.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
    piece_key.extend_from_slice(key);
    piece_key.extend_from_slice(&number.to_be_bytes());
    piece_key
}

/// Returns how many bytes of log sled has handed to the operating system since the store was made.
fn log_bytes(db: &sled::Db) -> i64 {
    db.context.pagecache.log.stable_offset()
}

fn remove_torn_snapshots(path: &Path) -> Result<(), KvError> {
    for entry in directory::entries(path)? {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path()).map_err(|e| KvError::from_io(&entry.path(), e))?;
        }
    }
    Ok(())
}

/// Calls into sled, and turns what goes wrong there, a panic too, into an error of ours.
fn guarded<T>(path: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, KvError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(sorted(path, error)),
        Err(panic) => Err(corrupt(path, &panic_text(panic.as_ref()))),
    }
}

fn sorted(path: &Path, error: sled::Error) -> KvError {
    match error {
        sled::Error::Io(e) if matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
            corrupt(path, &e.to_string())
        }
        sled::Error::Io(e) => KvError::from_io(path, e),
        other => corrupt(path, &other.to_string()),
    }
}

fn corrupt(path: &Path, what: &str) -> KvError {
    KvError::Corrupt { what: format!("{} ({what})", path.display()) }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("sled panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::memory::MemoryKv;

    /// A change to one key: the length of its new value, or none to delete it.
    type Change = (u8, Option<usize>);

    fn open(dir: &Path) -> SledKv {
        SledKv::open(dir).unwrap()
    }

    fn batch(changes: &[Change]) -> Batch {
        let mut batch = Batch::default();
        for (key, len) in changes {
            match len {
                Some(len) => batch.put(vec![*key], &vec![*key; *len]),
                None => batch.delete(vec![*key]),
            }
        }
        batch
    }

    fn pairs(kv: &dyn Kv) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            pairs.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        };
        kv.scan(b"", None, &mut visit).unwrap();
        let mut back = Vec::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            back.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        };
        kv.scan_back(b"", None, &mut visit).unwrap();
        back.reverse();
        assert_eq!(pairs, back);
        pairs
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let len = prop_oneof![3 => 0..100_usize, 1 => 4_080..4_110_usize, 1 => 8_000..20_000_usize];
        prop::collection::vec((0..8_u8, prop::option::weighted(0.8, len)), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn sled_and_memory_agree(batches in prop::collection::vec(changes(), 0..12), from in 0..8_u8, to in 0..8_u8) {
            let temp = tempfile::tempdir().unwrap();
            let (mut sled, mut memory) = (open(temp.path()), MemoryKv::seeded(1));
            for changes in &batches {
                sled.apply(batch(changes)).unwrap();
                memory.apply(batch(changes)).unwrap();
            }
            prop_assert_eq!(pairs(&sled), pairs(&memory));
            for key in 0..8_u8 {
                prop_assert_eq!(sled.get(&[key]).unwrap(), memory.get(&[key]).unwrap());
            }
            for kv in [&sled as &dyn Kv, &memory] {
                let mut keys = Vec::new();
                kv.scan(&[from], Some(&[to]), &mut |key, _| {
                    keys.push(key[0]);
                    std::ops::ControlFlow::Continue(())
                }).unwrap();
                let model: BTreeMap<_, _> = batches.concat().into_iter().collect();
                let expected: Vec<_> = (from..to).filter(|key| matches!(model.get(key), Some(Some(_)))).collect();
                prop_assert_eq!(keys, expected);
            }
        }
    }

    #[test]
    fn large_values_survive_and_make_no_blob_files() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        for round in 0..6_u8 {
            for key in 0..16_u8 {
                let len = if key % 5 == round % 5 { 300 * 1024 } else { 3_000 + usize::from(key) * 500 };
                kv.apply(batch(&[(key, Some(len)), ((key + 7) % 16, None)])).unwrap();
                kv.flush().unwrap();
            }
        }
        assert_eq!(directory::entries(&temp.path().join("blobs")).unwrap().len(), 0);
        kv.apply(batch(&[(1, Some(300 * 1024))])).unwrap();
        let before = pairs(&kv);
        drop(kv);
        assert_eq!(pairs(&open(temp.path())), before);
    }

    #[test]
    fn large_and_small_batches_without_a_flush_do_not_stall_sled() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        for round in 0..60_u8 {
            let large = [0, 1, 2].map(|key| (key, (round % 4 != key).then_some(320 * 1024)));
            kv.apply(batch(&large)).unwrap();
            for small in 0..10 {
                kv.apply(batch(&[(8 + small, Some(usize::from(round) * 40))])).unwrap();
            }
        }
        assert_eq!(pairs(&kv).len(), 13);
    }

    #[test]
    fn no_piece_outlives_its_value() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        kv.apply(batch(&[(1, Some(50_000)), (2, Some(50_000))])).unwrap();
        kv.apply(batch(&[(1, Some(9_000)), (2, None)])).unwrap();
        // The head of the first key, and the three pieces of its 9,004 sealed bytes.
        assert_eq!(kv.db().unwrap().len(), 4);
    }

    #[test]
    fn a_scan_stops_when_its_visitor_breaks() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        kv.apply(batch(&[(1, Some(1)), (2, Some(1)), (3, Some(1))])).unwrap();
        let mut last = None;
        kv.scan_back(&[0], Some(&[3]), &mut |key, _| {
            last = Some(key[0]);
            std::ops::ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(last, Some(2));
    }

    #[test]
    fn damage_is_noticed_on_reading() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        kv.apply(batch(&[(1, Some(9_000)), (2, Some(9))])).unwrap();
        let db = kv.db().unwrap();
        db.remove(piece_key(&[1], 1)).unwrap();
        db.insert(head_key(&[2]), [[WHOLE].as_slice(), &seal::seal(&[3], b"x")].concat()).unwrap();
        assert!(matches!(kv.get(&[1]), Err(KvError::Corrupt { what }) if what.ends_with("01")));
        assert!(matches!(kv.get(&[2]), Err(KvError::Corrupt { what }) if what.ends_with("02")));
    }

    #[test]
    fn after_a_failed_write_every_call_fails_and_the_directory_is_marked() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        // Where sled's blobs were there is nothing to list now, so the next flush fails.
        fs::remove_dir(temp.path().join("blobs")).unwrap();
        assert!(matches!(kv.flush(), Err(KvError::Io { .. })));
        assert!(matches!(kv.flush(), Err(KvError::Failed)));
        assert!(matches!(kv.apply(Batch::default()), Err(KvError::Failed)));
        assert!(matches!(kv.get(b"x"), Err(KvError::Failed)));
        assert!(SledKv::is_poisoned(temp.path()));
    }

    #[test]
    fn a_snapshot_torn_by_a_kill_does_not_stop_the_opening() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path());
        kv.apply(batch(&[(1, Some(9))])).unwrap();
        drop(kv);
        fs::write(temp.path().join("snap.FFFFFFFFFFFFFFFF.generating"), b"torn").unwrap();
        assert_eq!(pairs(&open(temp.path())).len(), 1);
    }
}
