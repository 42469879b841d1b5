//! One writer per home, by an advisory lock of the operating system that ends with its process.
//!
//! The process id in the file is a comment for people; nothing reads it. Nothing here waits: who wants the lock asks
//! again.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::kv::KvError;

/// The right to write in one home, until dropped.
#[derive(Debug)]
pub struct Lock {
    /// Holds the lock while it is open.
    _file: File,
}

impl Lock {
    /// Takes the lock on the file at `path`, made if missing; `None` if another process or holder has it.
    ///
    /// # Errors
    ///
    /// Fails if the file can not be opened, or its file system knows no locks.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, KvError> {
        let error = |source| KvError::from_io(path, source);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = opened.map_err(error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(error(source)),
        }
        // A comment is not worth failing for, say on a full disk.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Some(Self { _file: file }))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let first = Lock::try_acquire(&path).unwrap();
        assert!(first.is_some());
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn the_file_is_private_and_names_its_process() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let _lock = Lock::try_acquire(&path).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }
}
