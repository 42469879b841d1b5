use std::fs;
use std::os::unix::fs::PermissionsExt;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use beadmesh_node::api::model::Answer;
use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::run as obey;
use super::*;
use crate::args::Cli;
use crate::client::tests::serve;
use crate::failure::Exit;
use crate::output::lease::tests::claim as sample;

/// Returns a home whose user can prove to be one, with a node that answers one path with a status and a body.
fn node(path: &str, status: StatusCode, body: Value) -> (TempDir, mpsc::Receiver<Value>) {
    let home = tempfile::tempdir().unwrap();
    for (file, text) in [("human", "tim"), ("human.token", "bma1secret")] {
        let file = home.path().join(file);
        fs::write(&file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (tell, told) = mpsc::channel(1);
    let answer = post(move |Json(wish): Json<Value>| async move {
        tell.send(wish).await.unwrap();
        (status, Json(Answer::new(body)))
    });
    serve(home.path(), Router::new().route(path, answer));
    (home, told)
}

/// Carries out a command line about a project; returns what came of it and what the node was asked.
async fn carried_out(line: &str, path: &str, status: StatusCode, body: Value) -> (Result<(), Failure>, Option<Value>) {
    let (home, mut told) = node(path, status, body);
    let words = ["beadmesh", "--project", "tool", "--home", home.path().to_str().unwrap()];
    let cli = Cli::try_parse_from(words.into_iter().chain(line.split(' '))).unwrap();
    let outcome = obey(cli.command, &mut Context::new(cli.global)).await;
    (outcome, told.try_recv().ok())
}

fn answer() -> Value {
    serde_json::to_value(ClaimBody { claim: sample("asking"), title: None }).unwrap()
}

#[tokio::test]
async fn what_is_wished_reaches_the_node_whole() {
    let rows = [
        (
            "lease take src/** x --shared --term 2m --wait 30s",
            "/v1/claims",
            json!({"project": {"keys": ["name:tool"]}, "scopes": ["src/**", "x"], "shared": true,
                "term_s": 120, "wait_s": 30, "offline": false, "anywhere": false}),
        ),
        (
            "bead claim VED-1 --scope x --offline --anywhere",
            "/v1/claims",
            json!({"bead": "VED-1", "project": {"keys": ["name:tool"]}, "scopes": ["x"],
                "shared": false, "offline": true, "anywhere": true}),
        ),
        (
            "bead ready --claim --term 1h -l a,b -p 0 -t bug --parent e",
            "/v1/ready/claim",
            json!({"project": {"keys": ["name:tool"]}, "labels": ["a", "b"], "priorities": [0],
                "types": ["bug"], "parent": "e", "term_s": 3_600, "anywhere": false}),
        ),
        ("lease renew a --term 5m", "/v1/claims/a/renew", json!({"term_s": 300})),
        ("lease release a", "/v1/claims/a/release", json!({})),
        ("bead release a", "/v1/claims/a/release", json!({})),
    ];
    for (line, path, wish) in rows {
        let (outcome, told) = carried_out(line, path, StatusCode::OK, answer()).await;
        assert_eq!(outcome, Ok(()), "{line}");
        assert_eq!(told, Some(wish), "{line}");
    }
}

#[tokio::test]
async fn what_another_holds_is_refused_with_an_exit_of_its_own() {
    let message = "held by GreenCastle@gpu-box for 71 s more: both cover src/ba.rs";
    let error = json!({"error": {"code": "held", "message": message, "hint": "wait"}});
    let (outcome, _) = carried_out("bead claim a", "/v1/claims", StatusCode::CONFLICT, error).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.exit, &*failure.code, failure.message.as_str()), (Exit::Conflict, "held", message));
}

#[tokio::test]
async fn what_must_be_held_fails_where_it_is_only_said() {
    for (line, state, exit) in [
        ("bead claim a --require-held", "held", None),
        ("bead claim a --require-held", "tentative", Some(Exit::Conflict)),
        ("--json bead claim a --require-held", "tentative", Some(Exit::Conflict)),
        ("lease take x --require-held", "asking", Some(Exit::Conflict)),
        ("lease take x --require-held", "lapsed", Some(Exit::Conflict)),
        ("bead claim a", "tentative", None),
    ] {
        let body = serde_json::to_value(ClaimBody { claim: sample(state), title: None }).unwrap();
        let (outcome, told) = carried_out(line, "/v1/claims", StatusCode::OK, body).await;
        assert_eq!(outcome.err().map(|failure| failure.exit), exit, "{line}: {state}");
        assert!(told.is_some(), "{line}");
    }
    let failure = not_held(&sample("tentative"));
    assert_eq!((&*failure.code, failure.message.as_str()), ("not_held", "VED-D01 is not held: the claim is tentative"));
    assert!(failure.hint.unwrap().starts_with("the claim stays"));
}

#[tokio::test]
async fn paths_in_the_way_end_with_an_exit_of_their_own() {
    let problem = json!({"path": "a", "claim": "c", "agent": "Ada@box", "own": false, "state": "held"});
    let taken = json!({"problems": [problem], "held": 0});
    let (outcome, told) = carried_out("lease check a b", "/v1/claims/check", StatusCode::OK, taken).await;
    assert_eq!(outcome.unwrap_err().exit, Exit::Conflict);
    assert_eq!(told.unwrap()["paths"], json!(["a", "b"]));
    let free = json!({"problems": [], "held": 1});
    assert_eq!(carried_out("lease check a b", "/v1/claims/check", StatusCode::OK, free).await.0, Ok(()));
}

#[test]
fn a_folder_stands_for_what_lies_below_it() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("src/store")).unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    for (pattern, is) in [
        ("src", true),
        ("src/store", true),
        ("src/", false),
        ("file", false),
        ("s*c", false),
        ("", false),
        ("/", false),
    ] {
        assert_eq!(is_folder(root.path(), pattern), is, "{pattern}");
    }
}

#[test]
fn a_claim_is_named_in_one_segment_of_a_path() {
    assert_eq!(path("VED-D01~k7", "/renew").unwrap(), "/v1/claims/VED-D01~k7/renew");
    assert_eq!(path("a/b", "").unwrap(), "/v1/claims/a%2Fb");
    for wrong in ["", ".", ".."] {
        assert_eq!(path(wrong, "").unwrap_err().exit, Exit::Usage, "{wrong:?}");
    }
}
