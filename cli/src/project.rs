//! The project around the current directory: found by walking up to the repository, and named as every clone names it.
//!
//! Git itself is asked for the first commit alone, and once where there is a remote: it walks the whole history for it. A
//! repository without either gets a name of its own, which it keeps: what is held there is held once it has a commit, too.

use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use beadmesh_node::api::model::{ProjectKey, ProjectRequest};

use crate::failure::Failure;

/// The project of beads made outside of any repository.
pub(crate) const DEFAULT_NAME: &str = "default";

/// Where the first commit of a repository with a remote is noted, among what git keeps for all worktrees.
const ROOT_NOTE: &str = "beadmesh-root";

/// Where the name of a repository is noted that was given one, there as well.
const NAME_NOTE: &str = "beadmesh-name";

/// Which project a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Project {
    /// The one with these keys, strongest first.
    Known(Vec<String>),
    /// A repository that has no remote and no commit yet, and where no name can be noted.
    Nameless(PathBuf),
    /// There is no repository here.
    Nowhere,
    /// All of them, as was asked for.
    All,
}

impl Project {
    /// Returns the project that was named, or the one around `directory`.
    ///
    /// # Errors
    ///
    /// Fails when the name given cannot be the key of a project.
    pub(crate) fn find(given: Option<&str>, all: bool, directory: &Path) -> Result<Self, Failure> {
        if all {
            return Ok(Self::All);
        }
        match given.filter(|name| !name.is_empty()) {
            Some(name) => Ok(Self::Known(vec![key(name)?])),
            None => Ok(Self::around(directory)),
        }
    }

    /// Returns the project of the repository around `directory`.
    fn around(directory: &Path) -> Self {
        Repository::around(directory).map_or(Self::Nowhere, Self::of)
    }

    /// Returns the project of the repository that git works in at `directory`, wherever its work tree is: git said where it
    /// keeps what is this worktree's alone, and what all of them share.
    pub(crate) fn of_git(directory: PathBuf, private: PathBuf, common: PathBuf) -> Self {
        Self::of(Repository { folder: directory, private: Some(private), common })
    }

    /// Returns the project of a repository.
    fn of(repository: Repository) -> Self {
        let remote = repository.remote().and_then(|remote| ProjectKey::from_remote(&remote).ok());
        // Beads that were made before there was a remote are known by the first commit.
        let root = if remote.is_some() { repository.noted_root() } else { repository.root() };
        // Beads that were made before either are known by a name.
        let is_named = remote.is_some() || root.is_some();
        let name = if is_named { repository.noted_name() } else { repository.name() };
        let keys = remote.into_iter().chain(root).chain(name);
        let keys: Vec<String> = keys.map(|key| key.as_str().to_owned()).collect();
        if keys.is_empty() { Self::Nameless(repository.folder) } else { Self::Known(keys) }
    }

    /// Returns the project to put new beads into.
    ///
    /// # Errors
    ///
    /// Fails when all projects were asked for.
    pub(crate) fn for_writing(&self) -> Result<ProjectRequest, Failure> {
        let keys = match self {
            Self::Known(keys) => keys.clone(),
            Self::Nameless(_) | Self::Nowhere => vec![default_key()],
            Self::All => {
                let failure = Failure::usage("--all-projects does not say where new beads go");
                return Err(failure.hint("name one with --project, or leave the flag out"));
            }
        };
        Ok(ProjectRequest { keys, prefix: None })
    }

    /// Returns the project that something is about; none where nothing names it for good.
    pub(crate) fn known(&self) -> ProjectRequest {
        match self {
            Self::Known(keys) => ProjectRequest { keys: keys.clone(), prefix: None },
            Self::Nameless(_) | Self::Nowhere | Self::All => ProjectRequest::default(),
        }
    }

    /// Returns the keys of the project to look at; none for all of them.
    pub(crate) fn for_reading(&self) -> Vec<String> {
        match self {
            Self::Known(keys) => keys.clone(),
            Self::Nameless(_) => vec![default_key()],
            Self::Nowhere | Self::All => Vec::new(),
        }
    }
}

/// Gives the repository around a directory, if there is one, a name that it keeps.
///
/// # Errors
///
/// Fails when it can not be noted.
pub(crate) fn give_name(directory: &Path, key: &str) -> Result<(), Failure> {
    let Some(repository) = Repository::around(directory) else { return Ok(()) };
    let note = repository.common.join(NAME_NOTE);
    fs::write(&note, format!("{key}\n")).map_err(|error| {
        let failure = Failure::io(format!("{} cannot be written", note.display()), &error);
        failure.hint("the name of a repository is noted there; or give the name to each command with --project")
    })
}

/// Returns the folder of the repository around a directory, which patterns of paths are relative to.
pub(crate) fn root(directory: &Path) -> Option<PathBuf> {
    Repository::around(directory).map(|repository| repository.folder)
}

/// Reads a key as a person writes it: a key as it is shown, a git remote, or a name.
///
/// # Errors
///
/// Fails when it can be none of these.
pub(crate) fn key(text: &str) -> Result<String, Failure> {
    let host = text.split('/').next().unwrap_or_default();
    let is_remote = text.contains("://") || text.contains(':') || host.contains('.') && text.contains('/');
    let key = match text.split_once(':') {
        Some(("root", commit)) => ProjectKey::from_root_commit(commit),
        Some(("name", name)) => ProjectKey::from_name(name),
        _ if text.contains("://") || text.contains(':') => ProjectKey::from_remote(text),
        _ if is_remote => ProjectKey::from_remote(&format!("https://{text}")),
        _ => ProjectKey::from_name(text),
    };
    key.map(|key| key.as_str().to_owned()).map_err(|error| {
        let hint = "write a git remote such as github.com/you/tool, or a plain name";
        Failure::usage(format!("{text:?} names no project")).caused_by(&error).hint(hint).field("project")
    })
}

/// Returns the key of the project of beads made outside of any repository.
fn default_key() -> String {
    format!("name:{DEFAULT_NAME}")
}

/// A git repository, or a worktree of one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repository {
    /// The folder that is worked in.
    folder: PathBuf,
    /// Where git keeps what is this worktree's alone, as git itself said; none where the folder was walked up to.
    private: Option<PathBuf>,
    /// Where git keeps what all worktrees share.
    common: PathBuf,
}

impl Repository {
    /// Returns the nearest repository above `directory`.
    fn around(directory: &Path) -> Option<Self> {
        directory.ancestors().find_map(|folder| {
            let common = common_of(&folder.join(".git"))?;
            Some(Self { folder: folder.to_owned(), private: None, common })
        })
    }

    /// Returns the URL of the remote `origin`, or of the only remote there is.
    fn remote(&self) -> Option<String> {
        let config = fs::read(self.common.join("config")).ok()?;
        // A name that is not UTF-8, somewhere in it, hides no remote.
        let mut remotes = remotes(&String::from_utf8_lossy(&config));
        let origin = remotes.iter().position(|(name, _)| name == "origin");
        match origin {
            Some(at) => Some(remotes.swap_remove(at).1),
            None if remotes.len() == 1 => remotes.pop().map(|(_, url)| url),
            None => None,
        }
    }

    /// Returns the key made from the first commit, as it was noted when git was first asked for it.
    ///
    /// Beside a remote it is a second name only, so it may stay as it was when history is written anew.
    fn noted_root(&self) -> Option<ProjectKey> {
        let note = self.common.join(ROOT_NOTE);
        let noted = fs::read_to_string(&note).ok().and_then(|text| ProjectKey::from_root_commit(text.trim()).ok());
        noted.or_else(|| {
            let root = self.root()?;
            let commit = root.as_str().strip_prefix("root:").unwrap_or_default();
            // Where it can not be noted, git is asked again the next time.
            let _ = fs::write(note, format!("{commit}\n"));
            Some(root)
        })
    }

    /// Returns the key made from the name that was noted.
    fn noted_name(&self) -> Option<ProjectKey> {
        let note = fs::read_to_string(self.common.join(NAME_NOTE)).ok()?;
        ProjectKey::from_name(note.trim().strip_prefix("name:")?).ok()
    }

    /// Returns the key made from the name that was noted, or from one that is made up now: no other repository has it.
    fn name(&self) -> Option<ProjectKey> {
        if let Some(noted) = self.noted_name() {
            return Some(noted);
        }
        let number = RandomState::new().hash_one(&self.folder);
        let name = format!("{}-{number:016x}", folder_name(&self.folder));
        let key = ProjectKey::from_name(&name).or_else(|_| ProjectKey::from_name(&format!("{number:016x}"))).ok()?;
        let note = fs::OpenOptions::new().write(true).create_new(true).open(self.common.join(NAME_NOTE));
        match note.and_then(|mut file| file.write_all(format!("{}\n", key.as_str()).as_bytes())) {
            Ok(()) => Some(key),
            // Another command has just done so.
            Err(_) => self.noted_name(),
        }
    }

    /// Returns the key made from the first commit.
    fn root(&self) -> Option<ProjectKey> {
        self.root_commit().and_then(|commit| ProjectKey::from_root_commit(&commit).ok())
    }

    /// Asks git for the first commit; a shallow clone does not know it.
    fn root_commit(&self) -> Option<String> {
        if self.common.join("shallow").exists() {
            return None;
        }
        let mut git = Command::new("git");
        match &self.private {
            Some(private) => git.arg("--git-dir").arg(private),
            // The repository that was walked up to is meant, and no other.
            None => git.env_remove("GIT_DIR").arg("-C").arg(&self.folder),
        };
        git.args(["rev-list", "--max-parents=0", "HEAD"]);
        let output = git.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        // With several roots, the oldest stands last.
        text.lines().last().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
    }
}

/// Returns where git keeps what all worktrees share, given a `.git` that is a folder or a file that names one.
fn common_of(dot_git: &Path) -> Option<PathBuf> {
    let folder = if dot_git.is_dir() {
        dot_git.to_owned()
    } else {
        let text = fs::read_to_string(dot_git).ok()?;
        let named = text.lines().find_map(|line| line.strip_prefix("gitdir:"))?;
        dot_git.parent()?.join(named.trim())
    };
    if !folder.join("HEAD").exists() {
        return None;
    }
    match fs::read_to_string(folder.join("commondir")) {
        Ok(common) => Some(folder.join(common.trim())),
        Err(_) => Some(folder),
    }
}

/// Returns the remotes of a git config: names and first URLs.
fn remotes(config: &str) -> Vec<(String, String)> {
    let mut remotes: Vec<(String, String)> = Vec::new();
    let mut section: Option<String> = None;
    for line in config.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[') {
            let name = head.strip_prefix("remote \"").and_then(|rest| rest.split_once("\"]"));
            section = name.map(|(name, _)| name.to_owned());
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let Some(name) = section.as_ref().filter(|_| key.trim().eq_ignore_ascii_case("url")) else { continue };
        let value = value.trim().trim_matches('"');
        if !value.is_empty() && !remotes.iter().any(|(known, _)| known == name) {
            remotes.push((name.clone(), value.to_owned()));
        }
    }
    remotes
}

/// Returns the directory that the command was started in.
///
/// # Errors
///
/// Fails when it is gone.
pub(crate) fn current_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::io("the current directory cannot be read", &error).hint("change to a directory that exists")
    })
}

/// Returns the last part of a folder's path, to speak of it.
pub(crate) fn folder_name(folder: &Path) -> String {
    folder.file_name().unwrap_or_else(|| OsStr::new("/")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
