//! Directories and files of a home: private to their user, and durable down to their names.
//!
//! A file's name is durable only once its directory has been synced, whatever was done for its contents.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use crate::kv::KvError;

/// Makes `dir` and what is missing above it, private to the user, and makes the names durable.
pub(crate) fn create(dir: &Path) -> Result<(), KvError> {
    if dir.is_dir() {
        let private = fs::Permissions::from_mode(0o700);
        return fs::set_permissions(dir, private).map_err(|e| KvError::from_io(dir, e));
    }
    let parent = parent(dir);
    if !parent.is_dir() {
        create(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(KvError::from_io(dir, e)),
        _ => {}
    }
    sync(parent)
}

/// Makes the names in `dir` durable.
pub(crate) fn sync(dir: &Path) -> Result<(), KvError> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(|e| KvError::from_io(dir, e))
}

/// Makes the names and contents of all that lies under `dir` durable.
pub(crate) fn sync_all(dir: &Path) -> Result<(), KvError> {
    for entry in entries(dir)? {
        let path = entry.path();
        if path.is_dir() {
            sync_all(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(|e| KvError::from_io(&path, e))?;
        }
    }
    sync(dir)
}

/// Puts `contents` into a file called `name` in `dir`: after a power cut there is the old file or the new one.
pub(crate) fn replace_file(dir: &Path, name: &str, contents: &[u8]) -> Result<(), KvError> {
    let path = dir.join(name);
    let made = dir.join(format!("{name}.new"));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&made)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&made, &path)
    };
    write().map_err(|e| KvError::from_io(&path, e))?;
    sync(dir)
}

/// Lists `dir` in the order of names.
pub(crate) fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>, KvError> {
    let listed = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = listed.map_err(|e| KvError::from_io(dir, e))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

/// Finds out whether `dir` takes writes of `bytes`, so that a full or read-only disk is not taken for a damaged one.
pub(crate) fn probe(dir: &Path, bytes: usize) -> Result<(), KvError> {
    let path = dir.join("probe");
    let written = fs::write(&path, vec![0; bytes]).and_then(|()| File::open(&path)?.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(|e| KvError::from_io(&path, e))
}

fn parent(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_private_and_made_once() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/b");
        create(&dir).unwrap();
        create(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_replaced_file_leaves_nothing_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        replace_file(temp.path(), "current", b"1").unwrap();
        replace_file(temp.path(), "current", b"2").unwrap();
        assert_eq!(fs::read(temp.path().join("current")).unwrap(), b"2");
        assert_eq!(entries(temp.path()).unwrap().len(), 1);
    }
}
