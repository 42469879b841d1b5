//! A file that a command writes: whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure};

/// Names that are tried for what is written beside its place.
const NAMES_MAX: u32 = 64;

/// A file that is written beside its place and takes it when it is whole.
#[derive(Debug)]
pub(super) struct Target {
    /// The file.
    pub(super) file: File,
    /// Where it is written, and where it goes; absent for devices and pipes, which are written directly.
    places: Option<(PathBuf, PathBuf)>,
    /// Whether a file that is in the place by then is left alone.
    is_new: bool,
}

impl Target {
    /// Opens the place to write; a file that is there is replaced.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A link stays a link: what it points at is replaced.
        Self::at(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), false)
    }

    /// Opens the place to write; a file that is there is replaced only if that was said to be right.
    pub(super) fn open_unless_taken(path: &Path, force: bool) -> io::Result<Self> {
        if force { Self::open(path) } else { Self::at(path, true) }
    }

    fn at(path: &Path, is_new: bool) -> io::Result<Self> {
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Ok(Self { file: OpenOptions::new().write(true).open(path)?, places: None, is_new });
        }
        if path.file_name().is_none() {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let (file, beside) = made_beside(path)?;
        let target = Self { file, places: Some((beside, path.to_owned())), is_new };
        if let Some(found) = found {
            target.file.set_permissions(found.permissions())?;
        }
        Ok(target)
    }

    /// Returns whether it is written beside its place, so that it is ours alone.
    pub(super) fn is_beside(&self) -> bool {
        self.places.is_some()
    }

    /// Makes it durable, and puts it in its place.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        let Some((beside, path)) = &self.places else { return Ok(()) };
        self.file.sync_all()?;
        if self.is_new { moved_unless_taken(beside, path) } else { fs::rename(beside, path) }?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let named = File::open(folder)?.sync_all();
        self.places = None;
        named
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.places {
            // What is left over is a hidden file; there is nobody to tell.
            let _ = fs::remove_file(beside);
        }
    }
}

/// Makes a file in the folder of a path, under a short name that nobody can know before.
fn made_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    for number in 0..NAMES_MAX {
        // The standard library draws what its hashes begin with at random.
        let beside = path.with_file_name(format!(".{:016x}.new", RandomState::new().hash_one(number)));
        match OpenOptions::new().write(true).create_new(true).open(&beside) {
            Ok(file) => return Ok((file, beside)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("no name is free beside it"))
}

/// Gives a file another name unless that is taken.
fn moved_unless_taken(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // Under its other name it is hidden, and as good as gone.
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links.
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Says why a file cannot be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    // A pipe may have a name, as /dev/stdout has.
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::closed_pipe();
    }
    if error.kind() == io::ErrorKind::AlreadyExists {
        let failure = Failure::new(Exit::Conflict, "exists", format!("{} is there already", path.display()));
        return failure.hint("name another file, or replace it with --force");
    }
    Failure::io(format!("{} cannot be written", path.display()), error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Target, unwritable};
    use crate::failure::Exit;

    #[test]
    fn a_named_pipe_that_is_closed_is_no_failure() {
        let failure = |kind: std::io::ErrorKind| unwritable(Path::new("/dev/stdout"), &kind.into());
        assert_eq!(failure(std::io::ErrorKind::BrokenPipe).exit, Exit::Ok);
        assert_eq!(failure(std::io::ErrorKind::StorageFull).exit, Exit::Failed);
    }

    #[test]
    fn a_file_is_replaced_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issues.jsonl");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut target = Target::open(&path).unwrap();
        target.file.write_all(b"half").unwrap();
        drop(target);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let mut target = Target::open(&path).unwrap();
        target.file.write_all(b"new").unwrap();
        target.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_was_made_meanwhile_is_replaced_only_by_force() {
        let folder = tempfile::tempdir().unwrap();
        // The longest name that there can be.
        let path = folder.path().join("n".repeat(255));
        for (force, left) in [(false, "theirs"), (true, "ours")] {
            let mut target = Target::open_unless_taken(&path, force).unwrap();
            target.file.write_all(b"ours").unwrap();
            fs::write(&path, "theirs").unwrap();
            let kept = target.keep();
            let exit = kept.as_ref().err().map(|error| unwritable(&path, error).exit);
            assert_eq!(exit, (!force).then_some(Exit::Conflict));
            assert_eq!(fs::read_to_string(&path).unwrap(), left);
        }
        fs::remove_file(&path).unwrap();
        let mut target = Target::open_unless_taken(&path, false).unwrap();
        target.file.write_all(b"new").unwrap();
        target.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
