use std::path::Path;

use axum::Router;
use axum::routing::post;
use beadmesh_node::api::model::{Answer, PathInTheWay, PathsRequest};
use tempfile::TempDir;

use super::testing::Repository;
use super::*;
use crate::args::{Color, Global};
use crate::client::tests::serve;

/// Returns the context of a command by an agent that nothing proves, with a project that was named.
fn context(home: &Path, project: &str) -> Context {
    Context::new(Global {
        json: false,
        home: Some(home.to_owned()),
        project: Some(project.to_owned()),
        all_projects: false,
        agent: Some("BlueLake".to_owned()),
        quiet: true,
        color: Color::Never,
    })
}

/// Serves a node in whose mesh another agent holds `src/ba.rs` of a project.
fn node_of(project: &'static str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let check = move |axum::Json(request): axum::Json<PathsRequest>| async move {
        let is_meant = request.project.keys.iter().any(|key| key == project);
        let taken = request.paths.into_iter().filter(|path| is_meant && path == "src/ba.rs");
        let problem = |path| PathInTheWay {
            path,
            claim: "c1".into(),
            agent: "GreenCastle@gpu-box".into(),
            own: false,
            state: "held".into(),
            until: Some("2026-03-01T14:03:10Z".into()),
        };
        axum::Json(Answer::new(PathsBody { agent: None, problems: taken.map(problem).collect(), held: 0 }))
    };
    serve(home.path(), Router::new().route("/v1/claims/check", post(check)));
    home
}

fn node() -> TempDir {
    node_of("name:tool")
}

/// Returns a repository in which a path is staged.
fn staged(path: &str) -> Option<Repository> {
    let repository = Repository::new()?;
    repository.write(path, "1");
    repository.run(&["add", "."]);
    Some(repository)
}

async fn settled(repository: &Repository, home: &Path, strictness: Strictness) -> Result<(), Failure> {
    let mut context = context(home, "name:tool");
    let judged = judge(&mut context, &repository.git, repository.git.staged()).await;
    settle(&mut context, &repository.git, "pre-commit", judged, strictness)
}

fn log(repository: &Repository) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(repository.folder().join(".git").join(LOG)).ok()?;
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn the_guard_can_be_made_to_warn_and_not_be_turned_off() {
    assert_eq!(strictness(None), Ok(Strictness::Refuse));
    assert_eq!(strictness(Some("warn")), Ok(Strictness::Warn));
    for wrong in ["off", "0", "no", "WARN"] {
        assert_eq!(strictness(Some(wrong)).unwrap_err().exit, Exit::Usage, "{wrong}");
    }
}

#[tokio::test]
async fn a_path_that_another_agent_holds_is_refused_and_others_pass() {
    let (Some(taken), Some(free)) = (staged("src/ba.rs"), staged("src/bb.rs")) else { return };
    assert_eq!(settled(&free, node().path(), Strictness::Refuse).await, Ok(()));
    let failure = settled(&taken, node().path(), Strictness::Refuse).await.unwrap_err();
    assert_eq!((failure.exit, &*failure.code), (Exit::Conflict, "held"));
    assert_eq!(failure.message, "src/ba.rs is not free to be written: GreenCastle@gpu-box");
    assert!(failure.hint.unwrap().contains("BEADMESH_GUARD=warn"));
    assert_eq!((log(&taken), log(&free)), (None, None), "nothing passed that should not");
}

#[tokio::test]
async fn a_project_that_is_named_hides_neither_the_repositorys_own_nor_itself() {
    let Some(taken) = staged("src/ba.rs") else { return };
    // It has neither a remote nor a commit, so it goes by the name that is noted, as `lease take` has it.
    std::fs::write(taken.folder().join(".git/beadmesh-name"), "name:own\n").unwrap();
    for (holding, is_free) in [("name:own", false), ("name:tool", false), ("name:default", true)] {
        let settled = settled(&taken, node_of(holding).path(), Strictness::Refuse).await;
        assert_eq!(settled.is_ok(), is_free, "{holding}");
    }
    taken.run(&["remote", "add", "origin", "git@example.org:ada/tool.git"]);
    let own = node_of("example.org/ada/tool");
    assert_eq!(settled(&taken, own.path(), Strictness::Refuse).await.unwrap_err().exit, Exit::Conflict);
    let known = context(own.path(), "example.org/ada/tool");
    assert_eq!(projects(&known, &taken.git).unwrap().len(), 1, "one project is asked about once");
    assert!(projects(&context(own.path(), "root:x"), &taken.git).is_err(), "it names no project");
}

#[tokio::test]
async fn a_work_tree_without_a_repository_of_its_own_is_guarded() {
    let Some(repository) = Repository::new() else { return };
    repository.run(&["remote", "add", "origin", "git@example.org:ada/tool.git"]);
    let tree = tempfile::tempdir().unwrap();
    std::fs::create_dir(tree.path().join("src")).unwrap();
    std::fs::write(tree.path().join("src/ba.rs"), "1").unwrap();
    let git = repository.with_work_tree(tree.path());
    let folder = tree.path().to_str().unwrap();
    repository.run(&["--git-dir", ".git", "--work-tree", folder, "add", "--all", folder]);
    let home = node_of("example.org/ada/tool");
    let judged = judge(&mut context(home.path(), ""), &git, git.staged()).await;
    assert!(matches!(judged, Judged::Taken(..)));
}

#[tokio::test]
async fn where_git_names_no_repository_nothing_passes() {
    let folder = tempfile::tempdir().unwrap();
    let (git, home) = (Git::at(folder.path().to_owned()), node());
    let touched = Touched { paths: vec!["src/bb.rs".to_owned()], unreadable: 0 };
    let mut context = context(home.path(), "name:tool");
    let Judged::Unknown(_, failure) = judge(&mut context, &git, Ok(touched)).await else { panic!("it passed") };
    assert!(failure.hint.unwrap().contains("BEADMESH_GUARD=warn"));
}

#[tokio::test]
async fn what_passes_with_a_warning_is_noted() {
    let Some(taken) = staged("src/ba.rs") else { return };
    assert_eq!(settled(&taken, node().path(), Strictness::Warn).await, Ok(()));
    let noted = log(&taken).unwrap();
    assert_eq!((&noted["user"], &noted["hook"]), (&json!("BlueLake"), &json!("pre-commit")));
    assert_eq!(noted["paths"], json!(["src/ba.rs"]));
    assert!(noted["at"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{noted}");
}

#[tokio::test]
async fn what_can_not_be_told_is_refused() {
    let Some(repository) = staged("src/bb.rs") else { return };
    let home = tempfile::tempdir().unwrap();
    let nobody = home.path();
    let failure = settled(&repository, nobody, Strictness::Refuse).await.unwrap_err();
    assert_eq!((failure.exit, failure.causes.len()), (Exit::NoNode, 1));
    let hint = failure.hint.unwrap();
    assert!(hint.contains("beadmesh up") && hint.contains("BEADMESH_GUARD=warn"), "{hint}");
    assert_eq!(settled(&repository, nobody, Strictness::Warn).await, Ok(()));
    assert_eq!(log(&repository).unwrap()["paths"], json!(["src/bb.rs"]));
    // A node of an older version knows no such route.
    let older = tempfile::tempdir().unwrap();
    serve(older.path(), Router::new());
    assert!(settled(&repository, older.path(), Strictness::Refuse).await.is_err());
    // Git itself may fail, too.
    let gone = Git::at(home.path().join("gone"));
    let mut context = context(nobody, "name:tool");
    let judged = judge(&mut context, &gone, gone.staged()).await;
    assert!(settle(&mut context, &gone, "pre-commit", judged, Strictness::Refuse).is_err());
}

#[tokio::test]
async fn a_commit_that_touches_nothing_asks_nobody() {
    let Some(repository) = Repository::new() else { return };
    let home = tempfile::tempdir().unwrap();
    assert_eq!(settled(&repository, home.path(), Strictness::Refuse).await, Ok(()));
}
