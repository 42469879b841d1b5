use axum::Json;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::post;
use beadmesh_node::api::model::{Bead, BeadBody, CreateRequest};
use serde_json::json;
use tempfile::TempDir;

use super::super::found;
use super::{ByRequest, held_on, send};
use crate::client::{Client, Founding};
use crate::failure::{Exit, Failure};

async fn bench(home: &TempDir) -> (Client, Vec<String>) {
    let mut held = None;
    let mut client = Client::open(home.path(), Founding::Allowed, &mut held).await.unwrap();
    let mut aliases = Vec::new();
    for title in ["one", "two"] {
        let wish = CreateRequest { title: title.into(), by: "ada".into(), ..CreateRequest::default() };
        aliases.push(client.post::<BeadBody>("/v1/beads", &wish).await.unwrap().bead.alias);
    }
    // Who answers lives as long as the client's router.
    drop(held);
    (client, aliases)
}

#[tokio::test]
async fn beads_are_found_once_each_and_a_wrong_name_ends_it_before_anything_is_done() {
    let home = tempfile::tempdir().unwrap();
    let (mut client, aliases) = bench(&home).await;
    let twice: Vec<String> = [&aliases[..], &aliases[..]].concat();
    let beads = found(&mut client, &twice).await.unwrap();
    assert_eq!(beads.iter().map(|bead| bead.alias.clone()).collect::<Vec<_>>(), aliases);
    let wrong = [aliases[0].clone(), "bm-none".to_owned(), aliases[1].clone()];
    let failure = found(&mut client, &wrong).await.unwrap_err();
    assert_eq!((failure.exit, &*failure.code), (Exit::NotFound, "not_found"));
    assert!(failure.message.contains("bm-none"), "{}", failure.message);
}

#[tokio::test]
async fn a_bead_that_is_done_and_held_by_another_comes_with_a_warning() {
    let home = tempfile::tempdir().unwrap();
    let (mut client, aliases) = bench(&home).await;
    let bead = found(&mut client, &aliases[..1]).await.unwrap().remove(0);
    let said = |status: &str, holder: Option<&str>| {
        held_on(&Bead { status: status.into(), holder: holder.map(Into::into), alias: "P-1".into(), ..bead.clone() })
    };
    let warning = "Warning: Ann@desk holds P-1; write to it with `beadmesh mail send --to Ann@desk`.";
    assert_eq!(said("closed", Some("Ann@desk")).as_deref(), Some(warning));
    assert_eq!(said("tombstone", Some("Ann@desk")).as_deref(), Some(warning));
    assert_eq!((said("closed", None), said("open", Some("Ann@desk"))), (None, None));
}

#[tokio::test]
async fn what_was_done_before_a_failure_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (mut client, aliases) = bench(&home).await;
    let beads = found(&mut client, &aliases).await.unwrap();
    let [first, second] = &beads[..] else { panic!("{beads:?}") };
    let mut client = Client::within(refusing(second.id.clone(), first.clone()));
    let wish = ByRequest { by: "ada".into() };
    let (done, outcome) = send(&mut client, &beads, "/reopen", &wish, "Reopened").await;
    assert_eq!(done, std::slice::from_ref(first));
    let Failure { exit, message, hint, .. } = outcome.unwrap_err();
    assert_eq!((exit, message), (Exit::Refused, format!("{}: no", second.alias)));
    assert_eq!(hint, Some(format!("reopened before that: {}; ask", first.alias)));
    let (done, outcome) = send(&mut client, &beads[1..], "/reopen", &wish, "Reopened").await;
    assert_eq!((done.len(), outcome.unwrap_err().message.as_str()), (0, "no"));
}

/// Returns a node that does what is wished for every bead but one.
fn refusing(refused: String, answer: Bead) -> Router {
    let reopen = |Path(id): Path<String>| async move {
        if id == refused {
            let body = json!({"schema": 1, "error": {"code": "refused", "message": "no", "hint": "ask"}});
            return (StatusCode::FORBIDDEN, Json(body));
        }
        (StatusCode::OK, Json(json!({"schema": 1, "bead": answer})))
    };
    Router::new().route("/v1/beads/{id}/reopen", post(reopen))
}
