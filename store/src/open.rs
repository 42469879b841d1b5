//! Opening a store: finds the directory in use, and answers trouble with a fresh one, never with a lost one.
//!
//! A home holds numbered directories `sled-1`, `sled-2`, … and the file `current`, which names the one in use. A new
//! one is made whole and durable before `current` is replaced, so a power cut leaves the old store or the new one.
//! Those before it are kept for people to look at; nothing here deletes them.

use std::{
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use crate::{
    directory,
    kv::{Batch, Kv, KvError},
    sled::SledKv,
};

/// The version of what the records mean; older ones are migrated forward.
pub const SCHEMA: u32 = 2;

/// Turns records of one schema version into those of the next, in one batch.
type Step = fn(&dyn Kv) -> Result<Batch, KvError>;

/// The steps from each older version, beginning with that from version 1.
const STEPS: [Step; (SCHEMA - 1) as usize] = [add_approval];

/// The record with the schema version: 4 bytes, big-endian.
const SCHEMA_KEY: &[u8] = b"\0schema";
/// The record with an origin that has not been settled.
const ORIGIN_KEY: &[u8] = b"\0origin";
/// The first key that belongs to the users of the store.
pub const KEYS_BEGIN: &[u8] = b"\x01";

/// The file that names the directory in use.
const CURRENT: &str = "current";
/// What the names of store directories begin with.
const PREFIX: &str = "sled-";

/// Bytes of one batch while copying a store.
const COPY_BYTES_MAX: usize = 256 * 1024;
/// Bytes that must be writable before a store that did not open is called damaged: what sled writes on opening.
const PROBE_BYTES: usize = 1024 * 1024;

/// A store that was opened, and what had to be done for it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub kv: SledKv,
    /// Where its content comes from.
    pub origin: Origin,
}

/// Where the content of a store comes from.
///
/// All but `Resumed` call for a new instance, and are answered again by every later `open` until a batch with
/// [`settle`] in it is durable; so a crash between the opening and the new instance's first record loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There was nothing.
    Fresh,
    /// It was in use before.
    Resumed,
    /// A write had failed, so its records were copied out of the directory that is kept.
    Copied {
        /// The directory they were copied from.
        kept: PathBuf,
    },
    /// It could not be read, so an empty store was made beside it.
    Replaced {
        /// The damaged directory.
        kept: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

/// Why a store was not opened. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk is full or read-only, or a file could not be used.
    #[error("the store can not be opened")]
    Kv(#[from] KvError),
    /// A newer program has written it.
    #[error("the store has schema {found}, and this program knows {supported}: use the newer program")]
    NewerSchema {
        /// The version found.
        found: u32,
        /// The newest version this program knows.
        supported: u32,
    },
}

/// Opens the store in `dir`, or makes one there. The caller holds the lock of the home.
///
/// # Errors
///
/// Fails if the disk is full, read-only or otherwise refuses, and if a newer program has written the store.
pub fn open(dir: &Path) -> Result<Opened, OpenError> {
    directory::create(dir)?;
    let name = match current(dir) {
        Ok(Some(name)) => name,
        Ok(None) => return Ok(Opened { kv: make(dir, &Origin::Fresh, None)?, origin: Origin::Fresh }),
        Err(KvError::Corrupt { what }) => return replace(dir, dir.join(CURRENT), what),
        Err(error) => return Err(error.into()),
    };
    remove_unfinished(dir, number(&name))?;
    let path = dir.join(&name);
    match SledKv::open(&path).and_then(|kv| schema(&kv).map(|found| (kv, found))) {
        Ok((kv, found)) => resume(dir, path, kv, found),
        Err(KvError::Corrupt { what }) => replace(dir, path, what),
        Err(error) => Err(error.into()),
    }
}

/// Adds to `batch` what makes later openings answer `Resumed`; it goes with the first records of the new instance.
pub fn settle(batch: &mut Batch) {
    batch.delete(ORIGIN_KEY);
}

fn resume(dir: &Path, path: PathBuf, mut kv: SledKv, found: u32) -> Result<Opened, OpenError> {
    if found > SCHEMA {
        return Err(OpenError::NewerSchema { found, supported: SCHEMA });
    }
    let origin = if SledKv::is_poisoned(&path) {
        let origin = Origin::Copied { kept: path.clone() };
        make(dir, &origin, Some((&kv, found))).map(|copy| {
            kv = copy;
            origin
        })
    } else {
        let unsettled = kv.get(ORIGIN_KEY);
        unsettled.map(|text| text.map_or(Origin::Resumed, |text| Origin::parse(&String::from_utf8_lossy(&text))))
    };
    match origin {
        Ok(origin) => {
            migrate(&mut kv, found, &STEPS)?;
            Ok(Opened { kv, origin })
        }
        Err(KvError::Corrupt { what }) => replace(dir, path, what),
        Err(error) => Err(error.into()),
    }
}

/// Makes an empty store because the one in `kept` is damaged, unless it is the disk that is full or read-only.
fn replace(dir: &Path, kept: PathBuf, reason: String) -> Result<Opened, OpenError> {
    directory::probe(dir, PROBE_BYTES)?;
    let origin = Origin::Replaced { kept, reason };
    Ok(Opened { kv: make(dir, &origin, None)?, origin })
}

/// Makes the next store in `dir`, with the records and schema of `source` if given, and then names it as in use.
fn make(dir: &Path, origin: &Origin, source: Option<(&SledKv, u32)>) -> Result<SledKv, KvError> {
    let name = format!("{PREFIX}{}", numbers(dir)?.last().map_or(1, |last| last + 1));
    let path = dir.join(&name);
    directory::create(&path)?;
    let mut kv = SledKv::open(&path)?;
    if let Some((source, _)) = source {
        copy(source, &mut kv)?;
    }
    let schema = source.map_or(SCHEMA, |(_, found)| found);
    let mut batch = Batch::default();
    batch.put(SCHEMA_KEY, &schema.to_be_bytes());
    batch.put(ORIGIN_KEY, origin.text().as_bytes());
    kv.apply(batch)?;
    kv.flush()?;
    directory::replace_file(dir, CURRENT, name.as_bytes())?;
    Ok(kv)
}

/// Copies every record of the users of `source`.
fn copy(source: &dyn Kv, target: &mut dyn Kv) -> Result<(), KvError> {
    let mut next = Some(KEYS_BEGIN.to_vec());
    while let Some(from) = next.take() {
        let mut batch = Batch::default();
        let mut bytes = 0;
        source.scan(&from, None, &mut |key, value| {
            if bytes >= COPY_BYTES_MAX {
                next = Some(key.to_vec());
                return ControlFlow::Break(());
            }
            bytes += key.len() + value.len();
            batch.put(key, value);
            ControlFlow::Continue(())
        })?;
        target.apply(batch)?;
    }
    Ok(())
}

/// Returns the schema version of `kv`; a store that was made whole always has one.
fn schema(kv: &dyn Kv) -> Result<u32, KvError> {
    let bytes = kv.get(SCHEMA_KEY)?.and_then(|value| <[u8; 4]>::try_from(value).ok());
    match bytes.map(u32::from_be_bytes) {
        None | Some(0) => Err(KvError::Corrupt { what: "the record of the schema version".to_owned() }),
        Some(found) => Ok(found),
    }
}

/// Brings records of version `found` to the version that `steps` lead to, one durable batch a step.
fn migrate(kv: &mut dyn Kv, found: u32, steps: &[Step]) -> Result<(), KvError> {
    for (version, step) in (1_u32..).zip(steps).skip_while(|(version, _)| *version < found) {
        let mut batch = step(kv)?;
        batch.put(SCHEMA_KEY, &(version + 1).to_be_bytes());
        kv.apply(batch)?;
        kv.flush()?;
    }
    Ok(())
}

/// From version 1: an invite ends with whether it asks for approval, and who may not come by one has the reason beside it.
fn add_approval(kv: &dyn Kv) -> Result<Batch, KvError> {
    let mut batch = Batch::default();
    // Invites lie under I: none of them asks. Under J lies who was removed, the ninth reason of a refusal.
    kv.scan(b"I", Some(b"K"), &mut |key, value| {
        let value = if key.starts_with(b"I") { [value, &[0]].concat() } else { vec![8] };
        batch.put(key, &value);
        ControlFlow::Continue(())
    })?;
    Ok(batch)
}

/// Returns the name of the directory in use.
fn current(dir: &Path) -> Result<Option<String>, KvError> {
    let path = dir.join(CURRENT);
    match fs::read_to_string(&path) {
        Ok(name) if number(&name).is_some() => Ok(Some(name)),
        Ok(_) => Err(KvError::Corrupt { what: path.display().to_string() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(KvError::from_io(&path, e)),
    }
}

/// Removes stores that were being made after the one with the number `current` when the machine stopped.
fn remove_unfinished(dir: &Path, current: Option<u32>) -> Result<(), KvError> {
    for number in numbers(dir)?.into_iter().filter(|number| Some(*number) > current) {
        let path = dir.join(format!("{PREFIX}{number}"));
        fs::remove_dir_all(&path).map_err(|e| KvError::from_io(&path, e))?;
    }
    Ok(())
}

/// Returns the numbers of the store directories, in order.
fn numbers(dir: &Path) -> Result<Vec<u32>, KvError> {
    let names = directory::entries(dir)?;
    let mut numbers: Vec<_> = names.iter().filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn number(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

impl Origin {
    /// Writes the origin down: its kind, the directory kept and the reason, one a line.
    fn text(&self) -> String {
        match self {
            Self::Fresh => "fresh".to_owned(),
            Self::Resumed => "resumed".to_owned(),
            Self::Copied { kept } => format!("copied\n{}", kept.display()),
            Self::Replaced { kept, reason } => format!("replaced\n{}\n{reason}", kept.display()),
        }
    }

    fn parse(text: &str) -> Self {
        let mut lines = text.splitn(3, '\n');
        let kind = lines.next();
        let kept = PathBuf::from(lines.next().unwrap_or_default());
        match kind {
            Some("resumed") => Self::Resumed,
            Some("copied") => Self::Copied { kept },
            Some("replaced") => Self::Replaced { kept, reason: lines.next().unwrap_or_default().to_owned() },
            _ => Self::Fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryKv;

    fn put(kv: &mut dyn Kv, key: &[u8], value: &[u8]) {
        let mut batch = Batch::default();
        settle(&mut batch);
        batch.put(key, value);
        kv.apply(batch).unwrap();
        kv.flush().unwrap();
    }

    fn origin(dir: &Path) -> Origin {
        open(dir).unwrap().origin
    }

    #[test]
    fn a_new_store_is_fresh_until_settled_and_resumed_after() {
        let temp = tempfile::tempdir().unwrap();
        assert_eq!(origin(temp.path()), Origin::Fresh);
        let mut opened = open(temp.path()).unwrap();
        assert_eq!(opened.origin, Origin::Fresh);
        put(&mut opened.kv, b"k", b"v");
        drop(opened);
        let opened = open(temp.path()).unwrap();
        assert_eq!(opened.origin, Origin::Resumed);
        assert_eq!(opened.kv.get(b"k").unwrap().unwrap(), b"v");
    }

    #[test]
    fn a_store_whose_write_failed_is_copied_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let mut kv = open(temp.path()).unwrap().kv;
        for number in 0..100_u8 {
            put(&mut kv, &[1, number], &vec![number; 20_000]);
        }
        drop(kv);
        let kept = temp.path().join("sled-1");
        fs::write(kept.join("poisoned"), b"").unwrap();
        let opened = open(temp.path()).unwrap();
        assert_eq!(opened.origin, Origin::Copied { kept: kept.clone() });
        for number in 0..100_u8 {
            assert_eq!(opened.kv.get(&[1, number]).unwrap().unwrap(), vec![number; 20_000]);
        }
        drop(opened);
        let mut opened = open(temp.path()).unwrap();
        assert_eq!(opened.origin, Origin::Copied { kept: kept.clone() });
        put(&mut opened.kv, b"k", b"v");
        drop(opened);
        assert_eq!(origin(temp.path()), Origin::Resumed);
        assert!(kept.exists());
    }

    #[test]
    fn a_damaged_store_is_kept_beside_an_empty_one() {
        let temp = tempfile::tempdir().unwrap();
        put(&mut open(temp.path()).unwrap().kv, b"k", b"v");
        let kept = temp.path().join("sled-1");
        for entry in directory::entries(&kept).unwrap().iter().filter(|entry| entry.path().is_file()) {
            fs::write(entry.path(), [0x55; 4_096]).unwrap();
        }
        let opened = open(temp.path()).unwrap();
        assert!(matches!(&opened.origin, Origin::Replaced { kept: path, .. } if *path == kept), "{:?}", opened.origin);
        assert_eq!(opened.kv.get(b"k").unwrap(), None);
        assert_eq!(fs::read(kept.join("db")).unwrap(), [0x55; 4_096]);
    }

    #[test]
    fn a_store_of_a_newer_program_is_refused_untouched() {
        let temp = tempfile::tempdir().unwrap();
        put(&mut open(temp.path()).unwrap().kv, SCHEMA_KEY, &(SCHEMA + 1).to_be_bytes());
        let error = open(temp.path()).unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { found: 3, supported: 2 }));
    }

    #[test]
    fn a_half_made_copy_is_made_again() {
        let temp = tempfile::tempdir().unwrap();
        put(&mut open(temp.path()).unwrap().kv, b"k", b"v");
        fs::create_dir_all(temp.path().join("sled-2/blobs")).unwrap();
        fs::write(temp.path().join("sled-2/db"), b"half").unwrap();
        assert_eq!(origin(temp.path()), Origin::Resumed);
        assert!(!temp.path().join("sled-2").exists());
    }

    #[test]
    fn a_place_that_takes_no_writes_is_an_error_and_not_damage() {
        let error = open(Path::new("/proc/beadmesh")).unwrap_err();
        assert!(matches!(error, OpenError::Kv(KvError::Io { .. } | KvError::ReadOnly { .. })));
    }

    #[test]
    fn records_of_an_older_schema_are_brought_forward_once() {
        let step: Step = |kv| {
            let old = kv.get(b"k")?.unwrap_or_default();
            let mut batch = Batch::default();
            batch.put(*b"k", &[old, b"+".to_vec()].concat());
            Ok(batch)
        };
        let mut kv = MemoryKv::seeded(1);
        put(&mut kv, b"k", b"v");
        migrate(&mut kv, 2, &[step, step, step]).unwrap();
        assert_eq!(kv.get(b"k").unwrap().unwrap(), b"v++");
        let found = schema(&kv).unwrap();
        assert_eq!(found, 4);
        migrate(&mut kv, found, &[step, step, step]).unwrap();
        assert_eq!(kv.get(b"k").unwrap().unwrap(), b"v++");
    }
}
