//! The hook that was there before the guard: it runs first, with what git gave, and its exit code wins.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::git::beside;
use crate::failure::Failure;

/// What a hook that was there before is called, behind its own name.
const ENDING: &str = ".before-beadmesh";

/// Returns where the hook that was there before is kept.
pub(super) fn before(hook: &Path) -> PathBuf {
    beside(hook, ENDING)
}

/// Runs the hook that was there before, if there is one, and returns its exit code: 0 where all is well.
pub(super) fn run(hook: &Path, args: &[OsString], input: Option<&[u8]>) -> Result<i32, Failure> {
    let before = before(hook);
    // As git does, one that can not be executed is passed over.
    let found = std::fs::metadata(&before).ok();
    if !found.is_some_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0) {
        return Ok(0);
    }
    let failed = |error: &std::io::Error| Failure::io(format!("{} cannot be run", before.display()), error);
    let mut command = Command::new(&before);
    command.args(args);
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        match pipe.write_all(input) {
            // It need not read what it is told.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(failed(&error)),
            _ => {}
        }
    }
    let ended = child.wait().map_err(|error| failed(&error))?;
    // One that was killed has no code, and did not succeed.
    Ok(ended.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::testing::program;
    use super::*;

    #[test]
    fn the_hook_before_gets_what_git_gave_and_decides() {
        let folder = tempfile::tempdir().unwrap();
        let hook = folder.path().join("pre-push");
        let args = ["origin".into(), "a b".into()];
        assert_eq!(run(&hook, &args, Some(b"x")), Ok(0), "there is none");
        let told = folder.path().join("told");
        let script = format!("{{ printf '<%s>' \"$@\"; cat; }} > '{}'\nexit 7", told.display());
        program(&before(&hook), &script);
        assert_eq!(run(&hook, &args, Some(b"one\ntwo\n")), Ok(7));
        assert_eq!(fs::read_to_string(&told).unwrap(), "<origin><a b>one\ntwo\n");
    }

    #[test]
    fn a_hook_that_reads_nothing_or_can_not_run_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let hook = folder.path().join("pre-push");
        let before = program(&before(&hook), "exit 0");
        // More than a pipe holds.
        assert_eq!(run(&hook, &[], Some(&vec![b'x'; 1024 * 1024])), Ok(0));
        program(&before, "kill -9 $$");
        assert_eq!(run(&hook, &[], None), Ok(1));
        fs::set_permissions(&before, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(run(&hook, &[], None), Ok(0));
    }
}
