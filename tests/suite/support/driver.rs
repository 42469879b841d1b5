//! The driver of a machine's cards: a library that answers as NVML does (`tests/nvml-double`), under its true name.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::Node;

/// A machine's driver: a folder with the library in it, and a file that says how the machine fares.
pub(crate) struct Driver(TempDir);

impl Driver {
    pub(crate) fn new(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = std::env::current_exe().unwrap().with_file_name("libnvml_double.so");
        assert!(double.exists(), "there is no {}", double.display());
        symlink(double, folder.path().join("libnvidia-ml.so.1")).unwrap();
        let driver = Self(folder);
        driver.turns(scenario);
        driver
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Lets the machine fare otherwise from now on.
    pub(crate) fn turns(&self, scenario: &str) {
        fs::write(self.at("new"), scenario).unwrap();
        fs::rename(self.at("new"), self.at("scenario")).unwrap();
    }

    /// Makes a pipe that whoever reads waits at.
    pub(crate) fn gate(&self) -> PathBuf {
        let gate = self.at("gate");
        mknodat(CWD, &gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        gate
    }

    /// Starts a node on the machine.
    pub(crate) fn up(&self, node: &mut Node) {
        let library: OsString = self.0.path().into();
        let (library, scenario) = (library.into_string().unwrap(), self.at("scenario").display().to_string());
        node.up_in(&[("LD_LIBRARY_PATH", &library), ("BEADMESH_NVML_SCENARIO", &scenario)]);
    }

    /// Starts a node on a machine of its own.
    pub(crate) fn running(name: &'static str, scenario: &str) -> (Self, Node) {
        let (driver, mut node) = (Self::new(scenario), Node::new(name));
        driver.up(&mut node);
        (driver, node)
    }
}
