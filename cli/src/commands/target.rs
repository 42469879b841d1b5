//! A file that a command writes: whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A file that is written beside its place and takes it when it is whole.
#[derive(Debug)]
pub(super) struct Target {
    /// The file.
    pub(super) file: File,
    /// Where it is written, and where it goes; absent for devices and pipes, which are written directly.
    places: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Opens the place to write.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A link stays a link: what it points at is replaced.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Ok(Self { file: OpenOptions::new().write(true).open(path)?, places: None });
        }
        let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let beside = path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
        if let Some(found) = found {
            file.set_permissions(found.permissions())?;
        }
        Ok(Self { file, places: Some((beside, path.clone())) })
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
        fs::rename(beside, path)?;
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

/// Says why a file cannot be written.
pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    // A pipe may have a name, as /dev/stdout has.
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::closed_pipe();
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
}
