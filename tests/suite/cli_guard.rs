//! The guard from end to end: real commits in a real repository, refused or let through by hooks that ask a real node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::support::{Agent, Node, granted};

/// A repository on the machine of a node, with the hooks in it.
struct Repository<'a> {
    node: &'a Node,
    folder: PathBuf,
}

impl<'a> Repository<'a> {
    /// Makes the folder in which the node's commands run a repository of a project; `None` where there is no git.
    fn new(node: &'a Node, remote: &str) -> Option<Self> {
        let version = Command::new("git").arg("--version").output();
        granted(version.map_err(|error| format!("git cannot be run: {error}")))?;
        let repository = Self { node, folder: node.home().with_file_name("work") };
        repository.done(None, &["init", "--quiet"]);
        repository.done(None, &["remote", "add", "origin", remote]);
        Some(repository)
    }

    /// Returns git as somebody would run it, without what the machine's users have configured.
    fn git(&self, agent: Option<&Agent>, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.folder).env("HOME", &self.folder);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("NO_COLOR", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.org");
        }
        for variable in ["BEADMESH_PROJECT", "BEADMESH_AGENT", "BEADMESH_TOKEN", "BEADMESH_GUARD", "GIT_DIR"] {
            command.env_remove(variable);
        }
        command.env("BEADMESH_HOME", self.node.home());
        if let Some(agent) = agent {
            command.env("BEADMESH_AGENT", &agent.name).env("BEADMESH_TOKEN", &agent.token);
        }
        command
    }

    fn done(&self, agent: Option<&Agent>, args: &[&str]) {
        let output = self.git(agent, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }

    /// Changes a file, and stages it.
    fn stage(&self, path: &str, text: &str) {
        let file = self.folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self.done(None, &["add", "--", path]);
    }

    /// Commits what is staged, by an agent.
    fn commit(&self, agent: &Agent) -> Output {
        self.git(Some(agent), &["commit", "--quiet", "-m", "change"]).output().unwrap()
    }

    fn commits(&self) -> usize {
        let output = self.git(None, &["rev-list", "--count", "--all"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
    }

    /// Returns what the guard has let pass, a line each.
    fn noted(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.folder.join(".git/beadmesh-guard.log")).unwrap_or_default();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_hook(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains("guard hook"))
}

#[test]
fn a_commit_under_anothers_lease_is_refused_and_the_holders_passes() {
    let mut node = Node::running("desk");
    let (ann, bob) = (node.register("Ann"), node.register("Bob"));
    {
        let Some(repository) = Repository::new(&node, "https://example.org/ada/tool.git") else { return };
        node.json(&["init"]);
        node.json(&["guard", "install"]);
        assert!(is_hook(&repository.folder.join(".git/hooks/pre-commit")));
        let claim = node.json_as(&ann, &["lease", "take", "src/**"]);
        assert_eq!(claim["claim"]["state"], "held", "{claim}");

        repository.stage("src/lib.rs", "1");
        let refused = repository.commit(&bob);
        let why = said(&refused);
        assert!(!refused.status.success(), "{why}");
        assert!(why.contains("src/lib.rs") && why.contains("held by Ann@desk until"), "{why}");
        assert_eq!((repository.commits(), repository.noted().len()), (0, 0));

        let mut warned = repository.git(Some(&bob), &["commit", "--quiet", "-m", "all the same"]);
        let warned = warned.env("BEADMESH_GUARD", "warn").output().unwrap();
        let why = said(&warned);
        assert!(warned.status.success() && why.contains("Ann@desk"), "{why}");
        let noted = repository.noted();
        assert_eq!(noted.len(), 1, "{noted:?}");
        assert_eq!((&noted[0]["user"], &noted[0]["paths"]), (&"Bob".into(), &serde_json::json!(["src/lib.rs"])));

        repository.stage("src/lib.rs", "2");
        let own = repository.commit(&ann);
        assert!(own.status.success(), "{}", said(&own));
        // A path that nobody has claimed is free to everybody.
        repository.stage("README.md", "1");
        let free = repository.commit(&bob);
        assert!(free.status.success(), "{}", said(&free));
        assert_eq!((repository.commits(), repository.noted().len()), (3, 1));
    }
    node.down();
    let repository = Repository { folder: node.home().with_file_name("work"), node: &node };
    repository.stage("README.md", "2");
    let refused = repository.commit(&bob);
    let why = said(&refused);
    assert!(!refused.status.success() && why.contains("the guard can not tell who holds a path"), "{why}");
    assert_eq!(repository.commits(), 3);
}

#[test]
fn a_commit_to_a_project_that_the_mesh_does_not_know_passes() {
    let node = Node::running("desk");
    let (ann, bob) = (node.register("Ann"), node.register("Bob"));
    let Some(repository) = Repository::new(&node, "https://example.org/ada/unknown.git") else { return };
    // Somebody holds the same paths of another project.
    let claim = node.json_as(&ann, &["--project", "name:tool", "lease", "take", "src/**"]);
    assert_eq!(claim["claim"]["state"], "held", "{claim}");
    node.json(&["guard", "install"]);
    repository.stage("src/lib.rs", "1");
    let passed = repository.commit(&bob);
    assert!(passed.status.success(), "{}", said(&passed));
    assert_eq!((repository.commits(), repository.noted().len()), (1, 0));
}
