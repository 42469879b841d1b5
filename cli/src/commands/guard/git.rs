//! What git knows: where a repository keeps its hooks, and which paths a commit or a push touches.
//!
//! Both sides of a rename are touched, so renames are not looked for: each is a path that goes and a path that comes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::{Exit, Failure};
use crate::output::text;
use crate::project::Project;

/// How names of paths are asked for, whatever a repository is configured to show.
const NAMES: [&str; 6] =
    ["--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-color", "--ignore-submodules=none"];

/// What a repository may be configured to, and would hide paths or add what is none.
const PLAIN: [&str; 6] = ["-c", "diff.relative=false", "-c", "log.showRoot=true", "-c", "log.showSignature=false"];

/// How the variables begin by whose names `git merge` tells what it merges.
const MERGED_HEAD: &str = "GITHEAD_";

/// Git, asked from a directory.
#[derive(Debug, Clone)]
pub(super) struct Git {
    /// The directory.
    directory: PathBuf,
    /// Variables that it is given beside those of this process.
    variables: Vec<(OsString, OsString)>,
}

/// Paths that are touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Those that a lease can cover, relative to the repository.
    pub(super) paths: Vec<String>,
    /// How many are not UTF-8, which no lease covers.
    pub(super) unreadable: usize,
}

impl Git {
    /// Returns git in a directory.
    pub(super) fn at(directory: PathBuf) -> Self {
        Self { directory, variables: Vec::new() }
    }

    /// Gives git a variable of its own.
    #[cfg(test)]
    pub(super) fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Returns where hooks are kept: for this worktree, or wherever `core.hooksPath` says.
    pub(super) fn hooks(&self) -> Result<PathBuf, Failure> {
        self.path(&["rev-parse", "--git-path", "hooks"])
    }

    /// Returns the project of the repository that git works in, which need not be one around the directory.
    pub(super) fn project(&self) -> Result<Project, Failure> {
        let private = self.path(&["rev-parse", "--absolute-git-dir"])?;
        Ok(Project::of_git(self.directory.clone(), private, self.common()?))
    }

    /// Returns where git keeps what all worktrees share.
    pub(super) fn common(&self) -> Result<PathBuf, Failure> {
        self.path(&["rev-parse", "--git-common-dir"])
    }

    /// Returns whether a file is part of the work tree that is committed.
    pub(super) fn is_tracked(&self, file: &Path) -> bool {
        let args = [OsStr::new("ls-files"), OsStr::new("--error-unmatch"), OsStr::new("--"), file.as_os_str()];
        self.output(&args).is_ok_and(|output| output.status.success())
    }

    /// Returns the paths that the next commit touches.
    ///
    /// One that ends a merge touches those that are as in no parent: what others did is theirs.
    pub(super) fn staged(&self) -> Result<Touched, Failure> {
        self.staged_beside(&self.merged()?)
    }

    /// Returns the paths that the merge touches which git has made and is about to commit: those that are as in no parent.
    pub(super) fn merging(&self) -> Result<Touched, Failure> {
        let mut parents = self.merged()?;
        if parents.is_empty() {
            // Git notes them for the commit only after the hook, and tells the hook by the names of variables.
            let names = std::env::vars_os().map(|(name, _)| name);
            let names = names.chain(self.variables.iter().map(|(name, _)| OsString::from(name)));
            let ids = names.filter_map(|name| name.to_str()?.strip_prefix(MERGED_HEAD).map(str::to_owned));
            parents = ids.filter(|id| is_id(id)).collect();
        }
        self.staged_beside(&parents)
    }

    /// Returns the paths that the commits touch which no remote is known to have, given what git tells a hook of a push.
    ///
    /// A merge touches what somebody changed in it by hand, beyond what git makes of its parents.
    pub(super) fn pushed(&self, input: &[u8]) -> Result<Touched, Failure> {
        let mut touched = BTreeSet::new();
        for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some((local, remote)) = ends(line) else {
                return Err(Failure::new(Exit::Failed, "git", "what git says of the push is not understood"));
            };
            // A branch that is deleted changes no path.
            if is_nothing(local) || self.is_content(local)? {
                continue;
            }
            let known = (!is_nothing(remote) && self.is_commit(remote)).then_some(remote);
            for merges in [["--remerge-diff", "--max-parents=2"], ["-m", "--min-parents=3"]] {
                let mut args = PLAIN.to_vec();
                args.extend(["log", "--format="]);
                args.extend(NAMES);
                args.extend(merges);
                args.extend([local, "--not"]);
                args.extend(known);
                args.push("--remotes");
                touched.extend(split(&self.told(&args)?));
            }
        }
        Ok(Touched::new(touched))
    }

    fn staged_beside(&self, parents: &[String]) -> Result<Touched, Failure> {
        let mut touched = self.staged_since(None)?;
        for parent in parents {
            let since = self.staged_since(Some(parent))?;
            touched.retain(|path| since.contains(path));
        }
        Ok(Touched::new(touched))
    }

    fn staged_since(&self, commit: Option<&str>) -> Result<BTreeSet<Vec<u8>>, Failure> {
        let mut args = PLAIN.to_vec();
        args.extend(["diff", "--cached"]);
        args.extend(NAMES);
        args.extend(commit);
        args.push("--");
        Ok(split(&self.told(&args)?))
    }

    /// Returns the commits that are being merged into this branch.
    fn merged(&self) -> Result<Vec<String>, Failure> {
        let file = self.path(&["rev-parse", "--git-path", "MERGE_HEAD"])?;
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::io(format!("{} cannot be read", file.display()), &error)),
        }
    }

    /// Returns whether an id stands for a file or a folder, which a tag may, and not for a commit.
    ///
    /// # Errors
    ///
    /// Fails where git can not tell, or says something else.
    fn is_content(&self, id: &str) -> Result<bool, Failure> {
        let kind = self.told(&["cat-file", "-t", &format!("{id}^{{}}")])?;
        match kind.trim_ascii() {
            b"blob" | b"tree" => Ok(true),
            b"commit" => Ok(false),
            other => {
                let other = text::clean_line(&String::from_utf8_lossy(other));
                Err(Failure::new(Exit::Failed, "git", format!("git says that {id} is a {other}")))
            }
        }
    }

    fn is_commit(&self, name: &str) -> bool {
        let commit = format!("{name}^{{commit}}");
        self.output(&["cat-file", "-e", &commit]).is_ok_and(|output| output.status.success())
    }

    fn path(&self, args: &[&str]) -> Result<PathBuf, Failure> {
        let mut bytes = self.told(args)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(self.directory.join(OsString::from_vec(bytes)))
    }

    /// Returns what git answers.
    fn told(&self, args: &[&str]) -> Result<Vec<u8>, Failure> {
        let output = self.output(args).map_err(|error| {
            Failure::io("git cannot be run", &error).hint("the guard needs git, as the repository does")
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let mut failure = Failure::new(Exit::Failed, "git", format!("git {} failed", args.join(" ")));
        failure.causes.push(text::clean_line(String::from_utf8_lossy(&output.stderr).trim()));
        Err(failure.hint("run this within a repository, with git 2.35 or later"))
    }

    fn output<T: AsRef<OsStr>>(&self, args: &[T]) -> std::io::Result<Output> {
        let mut git = Command::new("git");
        git.current_dir(&self.directory).args(args).stdin(Stdio::null());
        git.envs(self.variables.iter().map(|(name, value)| (name, value))).output()
    }
}

impl Touched {
    fn new(paths: BTreeSet<Vec<u8>>) -> Self {
        let all = paths.len();
        let paths: Vec<String> = paths.into_iter().filter_map(|path| String::from_utf8(path).ok()).collect();
        let unreadable = all - paths.len();
        Self { paths, unreadable }
    }
}

/// Returns the paths of an answer in which NUL ends each.
fn split(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    bytes.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Returns the ids at both ends of a line of a push: of what is sent, and of what the remote has.
///
/// What is sent stands first, as it was typed, and may hold spaces: the words behind it are counted from the end.
fn ends(line: &[u8]) -> Option<(&str, &str)> {
    let mut words = line.rsplitn(4, |byte| *byte == b' ').map(|word| std::str::from_utf8(word).unwrap_or_default());
    let (remote, _, local) = (words.next()?, words.next()?, words.next()?);
    words.next()?;
    (is_id(local) && is_id(remote)).then_some((local, remote))
}

/// Returns whether a word is a whole id, of either kind that git has.
fn is_id(word: &str) -> bool {
    matches!(word.len(), 40 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns whether a commit is named that stands for none.
fn is_nothing(name: &str) -> bool {
    name.bytes().all(|byte| byte == b'0')
}

/// Returns a path with something behind its last name.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    bytes.extend_from_slice(ending.as_bytes());
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Repository, program};
    use super::*;

    fn staged(repository: &Repository) -> Vec<String> {
        repository.git.staged().unwrap().paths
    }

    /// Returns what a push of a branch touches, of which the remote has a commit, or nothing.
    fn pushed(repository: &Repository, local: &str, remote: &str) -> Vec<String> {
        let line = format!("refs/heads/x {} refs/heads/x {remote}\n", repository.commit_of(local));
        repository.git.pushed(line.as_bytes()).unwrap().paths
    }

    #[test]
    fn what_is_pushed_may_be_typed_with_spaces_and_is_looked_at_all_the_same() {
        let Some(repository) = Repository::new() else { return };
        repository.write("a", "1");
        repository.commit("fix bug");
        let seen = repository.folder().join(".git/seen");
        program(&repository.folder().join(".git/hooks/pre-push"), &format!("cat > '{}'", seen.display()));
        let remote = repository.folder().join(".git/remote.git");
        repository.run(&["init", "-q", "--bare", remote.to_str().unwrap()]);
        let told = |typed: &str, to: &str| {
            repository.run(&["push", "-q", remote.to_str().unwrap(), &format!("{typed}:refs/heads/{to}")]);
            std::fs::read(&seen).unwrap()
        };
        let spaced = told("HEAD^{/fix bug}", "x");
        assert!(spaced.starts_with(b"HEAD^{/fix bug} "), "git passes it on as it was typed");
        assert_eq!(repository.git.pushed(&spaced).unwrap().paths, ["a"]);
        assert!(repository.git.pushed(&told("HEAD^{/bug\n}", "y")).is_err(), "a line of it is no line of git's");
    }

    #[test]
    fn a_push_that_is_not_understood_is_no_push_of_nothing() {
        let Some(repository) = Repository::new() else { return };
        repository.write("a", "1");
        repository.commit("1");
        let head = repository.commit_of("HEAD");
        let missing = "1234567890123456789012345678901234567890";
        for line in [
            format!("x  x {NOTHING}"),
            format!("x {head} x "),
            format!("x {} x {NOTHING}", &head[..39]),
            format!("x HEAD x {NOTHING}"),
            format!("x 0 x {NOTHING}"),
            format!("{head} x {NOTHING}"),
            format!("x {missing} x {NOTHING}"),
        ] {
            assert!(repository.git.pushed(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_tag_is_looked_at_if_it_stands_for_a_commit() {
        let Some(repository) = Repository::new() else { return };
        repository.write("a", "1");
        repository.commit("1");
        for (name, of) in [("commit", "HEAD"), ("file", "HEAD:a"), ("folder", "HEAD^{tree}")] {
            repository.run(&["tag", "-a", "-m", name, name, of]);
        }
        assert_eq!(pushed(&repository, "commit", NOTHING), ["a"]);
        assert_eq!(pushed(&repository, "file", NOTHING), [""; 0]);
        assert_eq!(pushed(&repository, "folder", NOTHING), [""; 0]);
    }

    #[test]
    fn a_merge_that_git_makes_by_itself_touches_what_is_as_in_no_parent() {
        let Some(repository) = Repository::new() else { return };
        let lines = |first, last| format!("{first}\n\n\n\n\n\n\n\n{last}\n");
        repository.write("both", &lines("1", "1"));
        repository.commit("1");
        repository.run(&["checkout", "-q", "-b", "other"]);
        repository.write("both", &lines("2", "1"));
        repository.write("theirs", "2");
        repository.commit("2");
        repository.run(&["checkout", "-q", "main"]);
        repository.write("both", &lines("1", "3"));
        repository.commit("3");
        let told = repository.folder().join(".git/told");
        let script = format!("ls .git > '{0}'; env | grep '^GITHEAD_' >> '{0}'; exit 1", told.display());
        program(&repository.folder().join(".git/hooks/pre-merge-commit"), &script);
        assert!(!repository.try_run(&["merge", "-q", "--no-edit", "other"]).status.success());
        // What the hook is told, and no more, as it was while the hook ran.
        let told = std::fs::read_to_string(told).unwrap();
        assert!(!told.contains("MERGE_HEAD"), "{told}");
        std::fs::remove_file(repository.folder().join(".git/MERGE_HEAD")).unwrap();
        let name = format!("GITHEAD_{}", repository.commit_of("other"));
        assert!(told.contains(&name), "{told}");
        assert_eq!(repository.git.clone().with(&name, "other").merging().unwrap().paths, ["both"]);
        assert_eq!(repository.git.merging().unwrap().paths, ["both", "theirs"], "what is merged is not known");
    }

    #[test]
    fn the_project_is_that_of_the_repository_that_git_works_in() {
        let Some(repository) = Repository::new() else { return };
        std::fs::write(repository.folder().join(".git/beadmesh-name"), "name:tool\n").unwrap();
        let name = "name:tool".to_owned();
        assert_eq!(repository.git.project(), Ok(Project::Known(vec![name.clone()])));
        repository.write("a", "1");
        repository.commit("1");
        let root = format!("root:{}", repository.commit_of("HEAD"));
        let tree = tempfile::tempdir().unwrap();
        let elsewhere = repository.with_work_tree(tree.path());
        assert_eq!(elsewhere.project(), Ok(Project::Known(vec![root.clone(), name.clone()])));
        repository.run(&["remote", "add", "origin", "https://example.org/ada/tool"]);
        let both = Project::Known(vec!["example.org/ada/tool".to_owned(), root, name]);
        assert_eq!(elsewhere.project(), Ok(both.clone()));
        assert_eq!(repository.git.project(), Ok(both.clone()));
        repository.run(&["worktree", "add", "-q", "tree"]);
        assert_eq!(repository.below("tree").project(), Ok(both));
        assert!(Git::at(tree.path().to_owned()).project().is_err(), "there is no repository");
    }

    const NOTHING: &str = "0000000000000000000000000000000000000000";

    #[test]
    fn a_commit_touches_what_comes_goes_changes_and_moves() {
        let Some(repository) = Repository::new() else { return };
        repository.write("first", "1");
        repository.run(&["add", "."]);
        assert_eq!(staged(&repository), ["first"], "there is no commit yet");
        for (path, content) in [("old", "a long text that is found again\n"), ("gone", "x"), ("kept", "x")] {
            repository.write(path, content);
        }
        repository.commit("1");
        repository.run(&["mv", "old", "new"]);
        repository.run(&["rm", "-q", "gone"]);
        repository.write("first", "2");
        repository.write("not added", "x");
        repository.run(&["add", "first"]);
        assert_eq!(staged(&repository), ["first", "gone", "new", "old"]);
    }

    #[test]
    fn odd_names_are_taken_as_they_are_and_those_no_lease_can_cover_counted() {
        let Some(repository) = Repository::new() else { return };
        for name in ["a \"quoted\" b", "two\nlines", "tab\there", "ü/é"] {
            repository.write(name, "x");
        }
        repository.write(OsStr::from_bytes(b"not\xff utf-8"), "x");
        repository.run(&["add", "."]);
        let touched = repository.git.staged().unwrap();
        assert_eq!(touched.paths, ["a \"quoted\" b", "tab\there", "two\nlines", "ü/é"]);
        assert_eq!(touched.unreadable, 1);
    }

    #[test]
    fn neither_a_folder_nor_a_configuration_hides_a_path() {
        let Some(repository) = Repository::new() else { return };
        repository.write("sub/a", "x");
        repository.write("b", "x");
        repository.run(&["add", "."]);
        repository.run(&["config", "diff.relative", "true"]);
        assert_eq!(repository.below("sub").staged().unwrap().paths, ["b", "sub/a"]);
        repository.run(&["config", "log.showRoot", "false"]);
        repository.run(&["config", "color.ui", "always"]);
        repository.run(&["commit", "-q", "-m", "1"]);
        let line = format!("refs/heads/x {} refs/heads/x {NOTHING}\n", repository.commit_of("HEAD"));
        assert_eq!(repository.below("sub").pushed(line.as_bytes()).unwrap().paths, ["b", "sub/a"]);
    }

    #[test]
    fn a_push_touches_what_no_remote_has() {
        let Some(repository) = Repository::new() else { return };
        repository.write("old", "1");
        repository.commit("1");
        let first = repository.commit_of("HEAD");
        repository.run(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        repository.write("a", "1");
        repository.commit("2");
        repository.write("b", "1");
        repository.run(&["rm", "-q", "a"]);
        repository.commit("3");
        assert_eq!(pushed(&repository, "HEAD", &first), ["a", "b"], "what was undone counts");
        assert_eq!(pushed(&repository, "HEAD", NOTHING), ["a", "b"], "a new branch");
        let unknown = "1234567890123456789012345678901234567890";
        assert_eq!(pushed(&repository, "HEAD", unknown), ["a", "b"], "a remote that has moved on");
        assert_eq!(pushed(&repository, &first, NOTHING), [""; 0]);
        let deleted = format!("(delete) {NOTHING} refs/heads/x {first}\n");
        assert_eq!(repository.git.pushed(deleted.as_bytes()), Ok(Touched::default()));
        assert_eq!(repository.git.pushed(b""), Ok(Touched::default()));
        assert!(repository.git.pushed(b"garbage\n").is_err());
    }

    #[test]
    fn a_merge_touches_what_was_settled_by_hand_alone() {
        let Some(repository) = Repository::new() else { return };
        for path in ["both", "mine", "theirs"] {
            repository.write(path, "1\n");
        }
        repository.commit("1");
        repository.run(&["checkout", "-q", "-b", "other"]);
        repository.write("both", "2\n");
        repository.write("theirs", "2\n");
        repository.commit("2");
        repository.run(&["update-ref", "refs/remotes/origin/other", "HEAD"]);
        repository.run(&["checkout", "-q", "main"]);
        repository.write("both", "3\n");
        repository.write("mine", "3\n");
        repository.commit("3");
        repository.run(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
        repository.try_run(&["merge", "-q", "other"]);
        repository.write("both", "4\n");
        repository.run(&["add", "both"]);
        assert_eq!(staged(&repository), ["both"]);
        repository.run(&["commit", "-q", "-m", "4"]);
        assert_eq!(pushed(&repository, "HEAD", NOTHING), ["both"]);
        repository.run(&["reset", "-q", "--hard", "HEAD~1"]);
        repository.run(&["merge", "-q", "-s", "ours", "-m", "5", "other"]);
        assert_eq!(pushed(&repository, "HEAD", NOTHING), ["both", "theirs"], "what was thrown away is touched");
    }
}
