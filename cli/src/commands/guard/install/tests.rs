use std::process::Command;

use super::super::testing::{Repository, program};
use super::*;

fn states(hooks: Result<Vec<Hook>, Failure>) -> [&'static str; 4] {
    hooks.unwrap().into_iter().map(|hook| hook.state).collect::<Vec<_>>().try_into().unwrap()
}

/// Installs hooks that call a program.
fn install_for(repository: &Repository, program: &Path, taken: Taken) -> Result<Vec<Hook>, Failure> {
    install(&repository.git, &|hook| script(hook, program, None), taken)
}

#[test]
fn the_hooks_call_this_program_with_what_git_gave() {
    let Some(repository) = Repository::new() else { return };
    let told = repository.folder().join("told");
    let script = format!("{{ printf '<%s>' \"$@\"; echo; cat; }} >> '{}'\nexit 1", told.display());
    let guard = program(&repository.folder().join("it's $HOME \"here\"/beadmesh"), &script);
    assert_eq!(states(install_for(&repository, &guard, Taken::Refuse)), ["installed"; 4]);
    assert_eq!(states(install_for(&repository, &guard, Taken::Refuse)), ["unchanged"; 4]);
    repository.write("a", "1");
    repository.run(&["add", "a"]);
    assert!(!repository.try_run(&["commit", "-q", "-m", "1"]).status.success(), "the guard refused");
    assert_eq!(fs::read_to_string(&told).unwrap(), "<guard><hook><pre-commit><--><.git/hooks/pre-commit>\n");
    repository.run(&["commit", "-q", "--no-verify", "-m", "1"]);
    fs::remove_file(&told).unwrap();
    let remote = repository.folder().join("remote.git");
    repository.run(&["init", "-q", "--bare", remote.to_str().unwrap()]);
    assert!(!repository.try_run(&["push", "-q", remote.to_str().unwrap(), "main"]).status.success());
    let told = fs::read_to_string(&told).unwrap();
    let (first, rest) = told.split_once('\n').unwrap();
    assert!(first.starts_with("<guard><hook><pre-push><--><.git/hooks/pre-push></"), "{first}");
    assert!(rest.starts_with("refs/heads/main ") && rest.contains(" refs/heads/main 0000"), "{rest}");
}

#[test]
fn merges_and_patches_are_guarded_too() {
    let Some(repository) = Repository::new() else { return };
    repository.write("a", "1");
    repository.commit("1");
    repository.run(&["checkout", "-q", "-b", "other"]);
    repository.write("b", "2");
    repository.commit("2");
    let patch = repository.folder().join(".git/patch");
    repository.run(&["format-patch", "-q", "-1", "-o", patch.to_str().unwrap()]);
    let patch = patch.join("0001-2.patch");
    repository.run(&["checkout", "-q", "main"]);
    repository.write("c", "3");
    repository.commit("3");
    let told = repository.folder().join(".git/told");
    let guard =
        program(&repository.folder().join(".git/beadmesh"), &format!("echo \"$3\" >> '{}'; exit 1", told.display()));
    install_for(&repository, &guard, Taken::Refuse).unwrap();
    let head = repository.commit_of("HEAD");
    assert!(!repository.try_run(&["merge", "-q", "--no-edit", "other"]).status.success());
    repository.run(&["merge", "--abort"]);
    assert!(!repository.try_run(&["am", "-q", patch.to_str().unwrap()]).status.success());
    assert_eq!(fs::read_to_string(&told).unwrap(), "pre-merge-commit\npre-applypatch\n");
    assert_eq!(repository.commit_of("HEAD"), head);
}

#[test]
fn without_the_program_nothing_passes_and_it_is_said_how_to_go_on() {
    let Some(repository) = Repository::new() else { return };
    let gone = repository.folder().join("gone");
    install_for(&repository, &gone, Taken::Refuse).unwrap();
    let hook = repository.folder().join(".git/hooks/pre-commit");
    // An empty PATH: a shell finds its own commands all the same.
    let output = Command::new("/bin/sh").arg(&hook).env("PATH", "").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("beadmesh is gone") && stderr.contains("before-beadmesh"), "{stderr}");
    // One in PATH stands in.
    program(&repository.folder().join("bin/beadmesh"), "exit 9");
    let output = Command::new("/bin/sh").arg(&hook).env("PATH", repository.folder().join("bin")).output().unwrap();
    assert_eq!(output.status.code(), Some(9));
}

#[test]
fn a_hook_that_is_there_is_put_aside_and_comes_back() {
    let Some(repository) = Repository::new() else { return };
    let hooks = repository.folder().join(".git/hooks");
    let theirs = program(&hooks.join("pre-commit"), "exit 0");
    let content = fs::read(&theirs).unwrap();
    let first = install_for(&repository, Path::new("/one/beadmesh"), Taken::Refuse).unwrap();
    assert_eq!(first[0].before, Some(hooks.join("pre-commit.before-beadmesh")));
    assert_eq!(fs::read(hooks.join("pre-commit.before-beadmesh")).unwrap(), content);
    // The program has moved: the hook follows, and what was put aside stays.
    let moved = install_for(&repository, Path::new("/two/beadmesh"), Taken::Refuse);
    assert_eq!(states(moved), ["installed"; 4]);
    assert!(fs::read_to_string(&theirs).unwrap().contains("'/two/beadmesh'"));
    assert_eq!(fs::read(hooks.join("pre-commit.before-beadmesh")).unwrap(), content);
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o644)).unwrap();
    let mended = install_for(&repository, Path::new("/two/beadmesh"), Taken::Refuse);
    assert_eq!((states(mended), is_executable(&theirs)), (["installed", "unchanged", "unchanged", "unchanged"], true));
    assert_eq!(states(uninstall(&repository.git)), ["removed"; 4]);
    assert_eq!(fs::read(&theirs).unwrap(), content);
    assert!(is_executable(&theirs) && !hooks.join("pre-push").exists());
    assert!(!hooks.join("pre-commit.before-beadmesh").exists());
    assert_eq!(states(uninstall(&repository.git)), ["theirs", "absent", "absent", "absent"]);
}

#[test]
fn hooks_go_where_git_looks_for_them() {
    let Some(repository) = Repository::new() else { return };
    repository.write("a", "1");
    repository.commit("1");
    repository.run(&["worktree", "add", "-q", "tree"]);
    let tree = repository.below("tree");
    let program = Path::new("/bin/beadmesh");
    let made = install(&tree, &|hook| script(hook, program, None), Taken::Refuse).unwrap();
    assert_eq!(
        fs::canonicalize(&made[0].path).unwrap(),
        repository.folder().canonicalize().unwrap().join(".git/hooks/pre-commit")
    );
    repository.run(&["config", "core.hooksPath", "my hooks"]);
    install_for(&repository, program, Taken::Refuse).unwrap();
    assert!(repository.folder().join("my hooks/pre-push").exists());
}

#[test]
fn hooks_that_can_not_be_moved_are_left_with_a_reason() {
    let Some(repository) = Repository::new() else { return };
    repository.run(&["config", "core.hooksPath", ".hooks"]);
    let theirs = program(&repository.folder().join(".hooks/pre-push"), "exit 0");
    let refused = |taken| install_for(&repository, Path::new("/b"), taken).unwrap_err();
    let rows = [("basename \"$0\"", "hook manager"), ("# husky", "hook manager")];
    for (script, says) in rows {
        program(&theirs, script);
        let failure = refused(Taken::Refuse);
        assert!(failure.exit == Exit::Conflict && failure.message.contains(says), "{failure:?}");
    }
    program(&theirs, "exit 0");
    repository.commit("hooks");
    assert!(refused(Taken::Refuse).message.contains("part of the repository"));
    repository.run(&["rm", "-q", "--cached", ".hooks/pre-push"]);
    fs::write(chain::before(&theirs), "older").unwrap();
    assert!(refused(Taken::Refuse).message.contains("before"));
    assert!(!repository.folder().join(".hooks/pre-commit").exists(), "nothing was done by halves");
    assert_eq!(states(install_for(&repository, Path::new("/b"), Taken::Replace)), ["installed"; 4]);
    assert!(fs::read_to_string(chain::before(&theirs)).unwrap().contains("exit 0"));
}

#[test]
fn a_chosen_home_is_written_into_the_hook_and_a_variable_goes_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let guard = program(&folder.path().join("beadmesh"), "printf '%s' \"$BEADMESH_HOME\"");
    let hook = folder.path().join("pre-commit");
    fs::write(&hook, script(HookArg::Commit, &guard, Some(Path::new("/it's home")))).unwrap();
    let home = |variable: Option<&str>| {
        let mut shell = Command::new("/bin/sh");
        shell.arg(&hook).env_remove(HOME_VARIABLE);
        shell.envs(variable.map(|value| (HOME_VARIABLE, value)));
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    };
    assert_eq!(home(None), "/it's home");
    assert_eq!(home(Some("/mine")), "/mine");
}
