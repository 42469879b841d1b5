use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{get, post};
use beadmesh_node::api::model::{Empty, PeersBody};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::net::UnixListener;

use super::{Client, Founding, hung};
use crate::failure::Exit;

/// Serves a router on the socket of a home, as a node does.
pub(crate) fn serve(home: &std::path::Path, router: Router) {
    let listener = UnixListener::bind(home.join("node.sock")).unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router);
        let io = hyper_util::rt::TokioIo::new(stream);
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.unwrap();
    });
}

#[tokio::test]
async fn a_node_is_asked_over_its_socket() {
    let home = tempfile::tempdir().unwrap();
    let refused = (StatusCode::FORBIDDEN, Json(json!({"error": {"code": "refused", "message": "no", "hint": "ask"}})));
    let count = |request: Request| async {
        let bytes = request.into_body().collect().await.unwrap().to_bytes();
        Json(json!({"schema": 1, "peers": [], "bytes": bytes.len()}))
    };
    let router = Router::new()
        .route("/v1/peers", get(|| async { Json(json!({"schema": 1, "peers": []})) }).post(count))
        .route("/v1/shutdown", post(|| async { refused }));
    serve(home.path(), router);
    let mut client = Client::open(home.path(), Founding::Refused, &mut None).await.unwrap();
    assert!(!client.is_local());
    assert_eq!(client.get::<PeersBody>("/v1/peers").await.unwrap().peers, []);
    let failure = client.post::<Empty>("/v1/shutdown", &Empty {}).await.unwrap_err();
    assert_eq!((failure.exit, failure.hint.as_deref()), (Exit::Refused, Some("ask")));
    let body = axum::body::Body::from("x".repeat(100_000));
    assert_eq!(client.upload::<PeersBody>("/v1/peers", "application/x-ndjson", body).await.unwrap().peers, []);
}

#[tokio::test]
async fn where_no_node_runs_commands_that_need_one_say_so() {
    let home = tempfile::tempdir().unwrap();
    let code = || async { Client::open_node(home.path()).await.err().unwrap().code };
    assert_eq!(&*code().await, "no_home");
    let mut held = None;
    Client::open(home.path(), Founding::Allowed, &mut held).await.unwrap();
    held.take().unwrap().close().await.unwrap();
    assert_eq!(&*code().await, "no_node");
    // A socket that a killed node left behind is no node either.
    drop(UnixListener::bind(home.path().join("node.sock")).unwrap());
    assert_eq!(Client::open_node(home.path()).await.err().unwrap().exit, Exit::NoNode);
}

#[tokio::test]
async fn whoever_only_looks_begins_no_home() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let look = || async { Client::open(&home, Founding::Refused, &mut None).await.err() };
    let failure = look().await.unwrap();
    assert_eq!((failure.exit, &*failure.code), (Exit::NoNode, "no_home"));
    assert!(!home.exists());
    let mut held = None;
    assert!(Client::open(&home, Founding::Allowed, &mut held).await.unwrap().is_local());
    held.take().unwrap().close().await.unwrap();
    assert!(look().await.is_none());
}

#[tokio::test]
async fn whoever_waits_for_others_is_not_cut_short() {
    let home = tempfile::tempdir().unwrap();
    let router = Router::new()
        .route("/v1/claims", post(std::future::pending::<()>))
        .route("/v1/voters", post(|| async { Json(json!({"schema": 1})) }));
    serve(home.path(), router);
    let mut client = Client::open(home.path(), Founding::Refused, &mut None).await.unwrap();
    let patience = super::ANSWER_PATIENCE + Duration::from_secs(3_600);
    assert_eq!(client.post_within::<Empty>("/v1/voters", &Empty {}, patience).await, Ok(Empty {}));
    let failure = client.post_within::<Empty>("/v1/claims", &Empty {}, Duration::ZERO).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Timeout);
}

#[tokio::test]
async fn a_node_that_hangs_is_told_from_one_that_works_long() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("lock"), "4242\n").unwrap();
    // It takes connections and answers none, as a process does that is stopped.
    let deaf = UnixListener::bind(home.path().join("node.sock")).unwrap();
    let failure = hung(home.path(), Duration::from_millis(50)).await.unwrap();
    assert_eq!((failure.exit, &*failure.message), (Exit::Timeout, "the node, process 4242, answers nothing"));
    drop(deaf);
    std::fs::remove_file(home.path().join("node.sock")).unwrap();
    serve(home.path(), Router::new());
    assert!(hung(home.path(), Duration::from_secs(60)).await.is_none());
}
