//! A disk of its own, small and in memory, that can fill up or turn read-only; mounting it needs root on Linux.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system that is unmounted with its handle.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk of so many MiB on a directory, for its owner alone; tells why where that is not possible.
    pub(crate) fn mount(at: &Path, mebibytes: u32) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let options = format!("mode=0700,size={mebibytes}m");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], at)?;
        Ok(Self(at.to_owned()))
    }

    /// Makes the disk read-only, or takes that back.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        run("mount", &["-o", options], &self.0).unwrap();
    }

    /// Fills the disk up to so many bytes.
    pub(crate) fn fill(&self, bytes_left: u64) {
        let mut filler = File::create(self.filler()).unwrap();
        while filler.write_all(&[7; 4_096]).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length - bytes_left).unwrap();
    }

    /// Takes away what `fill` wrote.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A node may still run on it, and ends with the test.
        let _ = run("umount", &["--lazy"], &self.0);
    }
}

/// Runs a command on a directory; returns what it says when it fails.
fn run(program: &str, args: &[&str], at: &Path) -> Result<(), String> {
    let output = Command::new(program).args(args).arg(at).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
