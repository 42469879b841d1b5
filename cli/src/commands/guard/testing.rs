//! Repositories for tests, which no configuration of the machine reaches.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::git::Git;

/// A repository that goes with the test.
pub(super) struct Repository {
    folder: TempDir,
    /// Git in its folder.
    pub(super) git: Git,
}

impl Repository {
    /// Makes one; none, with the reason printed, where there is no git.
    ///
    /// # Panics
    ///
    /// Where there is no git and `CI` is set: there it must not be missing.
    #[expect(clippy::print_stderr, reason = "a test that is passed over says why")]
    pub(super) fn new() -> Option<Self> {
        if let Err(error) = Command::new("git").arg("--version").output() {
            assert!(std::env::var_os("CI").is_none(), "git cannot be run: {error}");
            eprintln!("passed over: git cannot be run: {error}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let repository = Self { git: isolated(folder.path()), folder };
        repository.run(&["init", "-q", "-b", "main"]);
        Some(repository)
    }

    /// Returns its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns git in a folder within it.
    pub(super) fn below(&self, folder: &str) -> Git {
        isolated(&self.folder().join(folder))
    }

    /// Returns git told to work in this repository on a folder elsewhere.
    pub(super) fn with_work_tree(&self, folder: &Path) -> Git {
        isolated(folder).with("GIT_DIR", self.folder().join(".git")).with("GIT_WORK_TREE", folder)
    }

    /// Writes a file, with the folders that it is in.
    pub(super) fn write(&self, path: impl AsRef<OsStr>, content: &str) {
        let path = self.folder().join(Path::new(path.as_ref()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits everything that is there.
    pub(super) fn commit(&self, message: &str) {
        self.run(&["add", "--all"]);
        self.run(&["commit", "-q", "-m", message]);
    }

    /// Returns the id of a commit.
    pub(super) fn commit_of(&self, name: &str) -> String {
        String::from_utf8(self.run(&["rev-parse", name]).stdout).unwrap().trim().to_owned()
    }

    /// Runs git, which must succeed.
    pub(super) fn run(&self, args: &[&str]) -> Output {
        let output = self.try_run(args);
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs git.
    pub(super) fn try_run(&self, args: &[&str]) -> Output {
        let mut git = Command::new("git");
        git.current_dir(self.folder()).args(args).envs(variables());
        git.output().unwrap()
    }
}

fn isolated(folder: &Path) -> Git {
    variables().into_iter().fold(Git::at(folder.to_owned()), |git, (name, value)| git.with(name, value))
}

fn variables() -> [(&'static str, &'static str); 6] {
    [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ada"),
        ("GIT_AUTHOR_EMAIL", "ada@example.org"),
        ("GIT_COMMITTER_NAME", "Ada"),
        ("GIT_COMMITTER_EMAIL", "ada@example.org"),
    ]
}

/// Writes a program that a shell runs.
///
/// A shell writes it: a file that this process has open for writing could be so in a child of another test, too, and then it
/// can not be run.
pub(super) fn program(path: &Path, script: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"printf '#!/bin/sh\n%s\n' "$2" > "$1" && chmod 755 "$1""#, "sh"]).arg(path).arg(script);
    assert!(shell.status().unwrap().success());
    path.to_owned()
}
