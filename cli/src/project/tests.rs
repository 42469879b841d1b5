use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Project, give_name, key, remotes};

fn repository(folder: &Path, config: &str) {
    fs::create_dir_all(folder.join(".git")).unwrap();
    fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(folder.join(".git/config"), config).unwrap();
}

fn keys(directory: &Path) -> Project {
    Project::find(None, false, directory).unwrap()
}

fn known(key: &str) -> Project {
    Project::Known(vec![key.to_owned()])
}

#[test]
fn the_remote_is_found_from_a_folder_deep_inside() {
    let home = tempfile::tempdir().unwrap();
    let deep = home.path().join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    repository(home.path(), "[remote \"origin\"]\n\turl = git@GitHub.com:ada/tool.git\n");
    assert_eq!(keys(&deep), known("github.com/ada/tool"));
}

#[test]
fn a_worktree_is_the_project_of_its_repository() {
    let home = tempfile::tempdir().unwrap();
    let (main, tree) = (home.path().join("main"), home.path().join("tree"));
    repository(&main, "[remote \"origin\"]\n\turl = https://example.org/ada/tool\n");
    let private = main.join(".git/worktrees/tree");
    fs::create_dir_all(&private).unwrap();
    fs::write(private.join("HEAD"), "ref: refs/heads/tree\n").unwrap();
    fs::write(private.join("commondir"), "../..\n").unwrap();
    fs::create_dir_all(tree.join("src")).unwrap();
    fs::write(tree.join(".git"), format!("gitdir: {}\n", private.display())).unwrap();
    assert_eq!(keys(&tree.join("src")), known("example.org/ada/tool"));
}

#[test]
fn a_folder_named_git_that_is_none_is_passed_over() {
    let home = tempfile::tempdir().unwrap();
    repository(home.path(), "[remote \"origin\"]\n\turl = https://example.org/ada/tool\n");
    let inner = home.path().join("inner");
    fs::create_dir_all(inner.join(".git")).unwrap();
    assert_eq!(keys(&inner), known("example.org/ada/tool"));
}

/// Runs git in a folder, and returns what it prints.
fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(args);
    String::from_utf8(command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap().stdout).unwrap()
}

#[test]
fn a_repository_is_named_by_its_first_commit_and_its_remote_before_that() {
    let home = tempfile::tempdir().unwrap();
    git(home.path(), &["init", "-q"]);
    let Project::Known(names) = keys(home.path()) else { panic!("a name") };
    assert!(matches!(&names[..], [name] if name.starts_with("name:")), "{names:?}");
    assert_eq!(keys(home.path()), Project::Known(names.clone()));
    git(home.path(), &["commit", "-q", "--allow-empty", "-m", "first"]);
    let root = format!("root:{}", git(home.path(), &["rev-parse", "HEAD"]).trim());
    git(home.path(), &["commit", "-q", "--allow-empty", "-m", "second"]);
    // What was begun before the first commit goes on.
    assert_eq!(keys(home.path()), Project::Known(vec![root.clone(), names[0].clone()]));
    fs::remove_file(home.path().join(".git/beadmesh-name")).unwrap();
    assert_eq!(keys(home.path()), known(&root));
    git(home.path(), &["remote", "add", "origin", "git@example.org:ada/tool.git"]);
    let both = Project::Known(vec!["example.org/ada/tool".to_owned(), root]);
    let note = home.path().join(".git/beadmesh-root");
    assert!(!note.exists());
    assert_eq!(keys(home.path()), both);
    // From then on git is not asked: without its objects nobody could tell.
    fs::remove_dir_all(home.path().join(".git/objects")).unwrap();
    assert_eq!(keys(home.path()), both);
    fs::write(note, "torn").unwrap();
    assert_eq!(keys(home.path()), known("example.org/ada/tool"));
}

#[test]
fn outside_of_a_repository_lists_show_all_and_beads_go_to_the_default() {
    let project = Project::Nowhere;
    assert!(project.for_reading().is_empty());
    assert_eq!(project.for_writing().unwrap().keys, ["name:default"]);
    assert!(Project::All.for_writing().is_err());
}

#[test]
fn repositories_without_a_commit_have_names_of_their_own_until_a_person_gives_them_one() {
    let home = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| home.path().join(name));
    repository(&one, "");
    repository(&other, "");
    assert_ne!(keys(&one), keys(&other));
    give_name(&one, "name:tool").unwrap();
    give_name(&other, "name:tool").unwrap();
    assert_eq!((keys(&one), keys(&other)), (known("name:tool"), known("name:tool")));
    fs::write(other.join(".git/beadmesh-name"), "torn").unwrap();
    assert_eq!(keys(&other), Project::Nameless(other), "what is there is not written over");
    give_name(home.path(), "name:tool").unwrap();
}

#[test]
fn a_project_that_is_named_wins() {
    let home = tempfile::tempdir().unwrap();
    repository(home.path(), "[remote \"origin\"]\n\turl = https://example.org/ada/tool\n");
    assert_eq!(Project::find(Some("web"), false, home.path()).unwrap(), known("name:web"));
    assert_eq!(Project::find(Some("web"), true, home.path()).unwrap(), Project::All);
    assert_eq!(Project::find(Some(""), false, home.path()).unwrap(), known("example.org/ada/tool"));
}

#[test]
fn a_key_is_read_as_it_is_shown_or_as_a_remote_or_as_a_name() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for (text, expected) in [
        ("web", "name:web"),
        ("name:web", "name:web"),
        ("github.com/ada/tool", "github.com/ada/tool"),
        ("git@github.com:ada/tool.git", "github.com/ada/tool"),
        ("ssh://git@github.com:22/ada/tool", "github.com/ada/tool"),
        ("root:0123456789abcdef0123456789abcdef01234567", &format!("root:{commit}")),
    ] {
        assert_eq!(key(text).unwrap(), expected, "{text}");
    }
    assert!(key("root:xyz").is_err());
}

#[test]
fn remotes_are_read_from_a_config_in_any_order() {
    let config = "[core]\n\tbare = false\n[remote \"fork\"]\n\tfetch = +refs/heads/*\n\tURL = \"a\"\n\turl = b\n\
                  [branch \"main\"]\n\turl = c\n[remote \"origin\"]\n\turl=d\n";
    assert_eq!(remotes(config), [("fork".to_owned(), "a".to_owned()), ("origin".to_owned(), "d".to_owned())]);
}
