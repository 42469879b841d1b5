//! A folder for the time of one command, in the system's place for what is temporary.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Names that are tried: earlier processes of the same number may have left theirs.
const NAMES_MAX: u32 = 100;

/// A private folder, removed with all that is in it unless it is kept.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_left: bool,
}

impl Folder {
    /// Makes a folder of a new name below `parent`.
    ///
    /// # Errors
    ///
    /// Fails when nothing can be made there.
    pub(super) fn make(parent: &Path) -> Result<Self, Failure> {
        let process = std::process::id();
        let names = (0..NAMES_MAX).map(|number| match number {
            0 => format!("beadmesh-demo-{process}"),
            number => format!("beadmesh-demo-{process}-{number}"),
        });
        for name in names {
            let path = parent.join(name);
            // What is there already, a link included, is not taken for ours.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, is_left: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unmade(parent, &error)),
            }
        }
        Err(unmade(parent, &io::ErrorKind::AlreadyExists.into()))
    }

    /// Returns where the folder is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder for good; returns where it is.
    pub(super) fn keep(mut self) -> PathBuf {
        self.is_left = true;
        self.path.clone()
    }

    /// Removes the folder.
    ///
    /// # Errors
    ///
    /// Names the folder if something of it is left.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        self.is_left = true;
        fs::remove_dir_all(&self.path).map_err(|error| {
            let failure = Failure::io(format!("{} cannot be removed", self.path.display()), &error);
            failure.hint("remove it by hand: it holds nothing but what was shown")
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_left {
            // Nobody is left to be told.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn unmade(parent: &Path, error: &io::Error) -> Failure {
    let failure = Failure::io(format!("no folder can be made in {}", parent.display()), error);
    failure.hint("set TMPDIR to a directory of yours that can be written")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_goes_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let (one, two) = (Folder::make(parent.path()).unwrap(), Folder::make(parent.path()).unwrap());
        assert_ne!(one.path(), two.path());
        assert_eq!(fs::metadata(one.path()).unwrap().mode() & 0o777, 0o700);
        for folder in [&one, &two] {
            fs::write(folder.path().join("file"), b"x").unwrap();
        }
        one.remove().unwrap();
        drop(two);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_kept_stays() {
        let parent = tempfile::tempdir().unwrap();
        let path = Folder::make(parent.path()).unwrap().keep();
        assert!(path.is_dir());
    }

    #[test]
    fn where_nothing_can_be_made_the_place_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let failure = Folder::make(&parent.path().join("none")).unwrap_err();
        assert!(failure.message.contains("none"), "{failure:?}");
        assert!(failure.hint.unwrap().contains("TMPDIR"));
    }
}
