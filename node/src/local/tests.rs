use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

mod attachments;
mod leases;
mod mail;
mod metrics;

struct Bench {
    local: Local,
    home: TempDir,
}

async fn open(temp: &TempDir) -> Local {
    let home = Home::open(temp.path()).unwrap();
    let lock = Lock::try_acquire(&home.lock()).unwrap().expect("nobody else holds the lock");
    let names = Names { node: "box".into(), mesh: "home".into(), human: "tim".into() };
    Local::open(home, names, lock).await.unwrap()
}

async fn bench() -> Bench {
    let home = tempfile::tempdir().unwrap();
    Bench { local: open(&home).await, home }
}

impl Bench {
    async fn text(&self, method: Method, path: &str, body: impl Into<Body>) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        let response = self.local.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let (status, text) = self.text(method, path, body.to_string()).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text:?}"));
        assert_eq!(answer["schema"], 1, "{answer}");
        (status, answer)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(Method::POST, path, body).await;
        assert!(status.is_success(), "{answer}");
        answer
    }

    async fn create(&self, title: &str) -> Value {
        self.post("/v1/beads", json!({"title": title, "by": "ada"})).await["bead"].clone()
    }

    /// Asks for what is refused; returns the status and the error.
    async fn refused(&self, method: Method, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let (status, text) = self.text(method, path, body).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text:?}"));
        assert_eq!(answer["schema"], 1);
        assert!(answer["error"]["hint"].is_string(), "{answer}");
        (status.as_u16(), answer["error"].clone())
    }
}

#[tokio::test]
async fn needs_are_set_in_one_spelling_and_said_anew_as_a_whole() {
    let bench = bench().await;
    let wish = json!({"title": "train", "by": "ada", "needs": "VRAM:40960MiB, gpu:2"});
    let bead = bench.post("/v1/beads", wish).await["bead"].clone();
    assert_eq!(bead["needs"], json!({"gpu": "2", "vram": "40GiB"}));
    let path = format!("/v1/beads/{}", bead["alias"].as_str().unwrap());
    let wish = json!({"by": "ada", "set": {"priority": 0}, "needs": "gpu:1,label:a100"});
    let (_, changed) = bench.ask(Method::PATCH, &path, wish).await;
    assert_eq!(changed["bead"]["needs"], json!({"gpu": "1", "label:a100": ""}));
    assert_eq!(changed["bead"]["priority"], 0);
    let (_, cleared) = bench.ask(Method::PATCH, &path, json!({"by": "ada", "needs": ""})).await;
    assert_eq!(cleared["bead"]["needs"], json!({}));
    let (status, refused) = bench.ask(Method::PATCH, &path, json!({"by": "ada", "needs": "gpu:many"})).await;
    assert_eq!((status.as_u16(), &refused["error"]["field"]), (422, &json!("needs")));
}

#[tokio::test]
async fn what_is_answered_is_there_after_the_home_is_opened_again() {
    let mut bench = bench().await;
    assert!(bench.local.recovery.is_some(), "a mesh was founded");
    let made = bench.create("survive").await;
    bench.local.close().await.unwrap();
    bench.local = open(&bench.home).await;
    assert!(bench.local.recovery.is_none());
    let alias = made["alias"].as_str().unwrap();
    assert_eq!(bench.get(&format!("/v1/beads/{alias}")).await["bead"], made);
}

#[tokio::test]
async fn a_bead_goes_its_way_from_creation_to_its_end() {
    let bench = bench().await;
    let request = json!({
        "project": {"keys": ["github.com/a/b"], "prefix": "ab"}, "title": "first", "type": "bug", "priority": 1,
        "description": "long", "labels": ["x"], "scopes": ["src/"], "criteria": ["it holds"], "by": "ada",
    });
    let (status, answer) = bench.ask(Method::POST, "/v1/beads", request).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let alias = answer["bead"]["alias"].as_str().unwrap().to_owned();
    assert!(alias.starts_with("ab-"), "{alias}");
    assert_eq!(answer["bead"]["criteria"], json!(["it holds"]));
    let path = format!("/v1/beads/{alias}");
    let set = json!({"by": "bob", "set": {"assignee": "bob", "description": null, "status": "in_progress"}});
    let (_, answer) = bench.ask(Method::PATCH, &path, set).await;
    assert_eq!(answer["bead"]["assignee"], "bob", "{answer}");
    assert_eq!(answer["bead"]["description"], Value::Null);
    bench.post(&format!("{path}/labels"), json!({"by": "bob", "add": ["y"], "remove": ["x"]})).await;
    let answer = bench.post(&format!("{path}/comments"), json!({"by": "bob", "text": "done soon"})).await;
    assert_eq!(answer["bead"]["labels"], json!(["y"]));
    assert_eq!(answer["bead"]["comments"][0]["text"], "done soon");
    let answer = bench.post(&format!("{path}/close"), json!({"by": "bob", "reason": "done"})).await;
    assert_eq!(answer["bead"]["status"], "closed");
    let answer = bench.post(&format!("{path}/reopen"), json!({"by": "bob"})).await;
    assert_eq!(answer["bead"]["status"], "open");
    let answer = bench.post(&format!("{path}/delete"), json!({"by": "bob"})).await;
    assert_eq!(answer["bead"]["status"], "tombstone");
}

#[tokio::test]
async fn dependencies_decide_what_is_ready_and_cycles_are_refused() {
    let bench = bench().await;
    let (first, second) = (bench.create("first").await, bench.create("second").await);
    let (first, second) = (first["alias"].as_str().unwrap(), second["alias"].as_str().unwrap());
    let dep = json!({"by": "ada", "on": first, "type": "blocks"});
    let answer = bench.post(&format!("/v1/beads/{second}/deps"), dep).await;
    assert_eq!(answer["bead"]["blocked_by"], json!([first]));
    assert_eq!(answer["bead"]["statuses"], json!({first: "open"}));
    assert_eq!(bench.get(&format!("/v1/beads/{first}")).await["bead"]["statuses"], json!({second: "open"}));
    let ready = bench.get("/v1/ready").await;
    assert_eq!(ready["beads"].as_array().unwrap().len(), 1);
    assert_eq!(bench.get("/v1/blocked").await["beads"][0]["alias"], second);
    let cycle = json!({"by": "ada", "on": second, "type": "blocks"}).to_string();
    let (status, error) = bench.refused(Method::POST, &format!("/v1/beads/{first}/deps"), cycle).await;
    assert_eq!((status, error["code"].as_str()), (409, Some("cycle")));
    let gone = json!({"by": "ada", "on": first});
    let (status, _) = bench.ask(Method::DELETE, &format!("/v1/beads/{second}/deps"), gone).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(bench.get("/v1/ready").await["beads"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let bench = bench().await;
    for title in ["one", "two", "three"] {
        bench.create(title).await;
    }
    let first = bench.get("/v1/beads?limit=2").await;
    assert_eq!((first["beads"].as_array().unwrap().len(), &first["total"]), (2, &json!(3)));
    let next = first["next"].as_str().unwrap();
    let second = bench.get(&format!("/v1/beads?limit=2&after={next}")).await;
    assert_eq!(second["beads"].as_array().unwrap().len(), 1);
    assert!(second.get("next").is_none());
    let last = first["beads"][1]["alias"].as_str().unwrap();
    assert_eq!(bench.get(&format!("/v1/beads?limit=2&after={last}")).await, second);
    let (status, error) = bench.refused(Method::GET, "/v1/beads?after=none-such", "").await;
    assert_eq!((status, &error["code"], &error["field"]), (404, &json!("not_found"), &json!("after")));
    assert_eq!(bench.get("/v1/beads?limit=0").await["beads"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn an_import_notes_bad_lines_takes_the_rest_and_comes_back_by_an_export() {
    let bench = bench().await;
    let lines = [
        r#"{"id":"a-1","title":"one","created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}"#,
        "",
        "{broken",
        r#"{"id":"a-2","title":"two","created_at":"2026-01-02T00:00:00Z","updated_at":"2026-01-02T00:00:00Z"}"#,
    ];
    let (status, text) = bench.text(Method::POST, "/v1/import?project=name:p", lines.join("\n")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["created"]), (StatusCode::OK, &json!(2)), "{answer}");
    assert_eq!(answer["rejected"].as_array().unwrap().len(), 1);
    assert_eq!(answer["rejected"][0]["line"], 3);
    let (_, text) = bench.text(Method::POST, "/v1/import?project=name:p", lines.join("\n")).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["unchanged"], 2, "{text}");
    let (_, exported) = bench.text(Method::GET, "/v1/export?project=name:p", "").await;
    let titles: Vec<String> = exported
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["title"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(titles, ["one", "two"]);
}

#[tokio::test]
async fn an_import_of_many_batches_keeps_its_line_numbers() {
    let bench = bench().await;
    let line = |number: u32| match number {
        300 => "[]".to_owned(),
        _ => json!({"id": format!("a-{number}"), "title": "t", "created_at": "2026-01-01T00:00:00Z"}).to_string(),
    };
    let body: Vec<String> = (1..=400).map(line).collect();
    let (_, text) = bench.text(Method::POST, "/v1/import", body.join("\n")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&answer["created"], &answer["rejected"][0]["line"]), (&json!(399), &json!(300)), "{answer}");
    let (_, exported) = bench.text(Method::GET, "/v1/export", "").await;
    assert_eq!(exported.lines().count(), 399);
}

#[tokio::test]
async fn refusals_are_json_with_a_code_and_the_field() {
    let bench = bench().await;
    let post = |body: &'static str| bench.refused(Method::POST, "/v1/beads", body);
    let (status, error) = post(r#"{"title":"t","by":"ada","colour":"red"}"#).await;
    assert_eq!((status, &error["code"], &error["field"]), (422, &json!("invalid"), &json!("colour")));
    let (status, error) = post(r#"{"title":"t"}"#).await;
    assert_eq!((status, &error["field"]), (422, &json!("by")));
    let (status, error) = post("{").await;
    assert_eq!((status, &error["code"]), (400, &json!("bad_json")));
    let (status, error) = bench.refused(Method::POST, "/v1/beads", vec![b' '; 1024 * 1024 + 1]).await;
    assert_eq!((status, &error["code"]), (413, &json!("too_large")));
    assert!(error["message"].as_str().unwrap().contains("1048576"));
    let (status, error) = bench.refused(Method::GET, "/v1/beads?colour=red", "").await;
    assert_eq!((status, &error["code"], &error["field"]), (400, &json!("usage"), &json!("colour")));
    let (status, error) = bench.refused(Method::GET, "/v1/beads/none-such", "").await;
    assert_eq!((status, &error["code"]), (404, &json!("not_found")));
    let (status, error) = bench.refused(Method::GET, "/v1/beads/%ff", "").await;
    assert_eq!((status, &error["code"]), (400, &json!("usage")));
    let (status, _) = bench.refused(Method::GET, "/v2", "").await;
    assert_eq!(status, 404);
    let (status, _) = bench.refused(Method::DELETE, "/v1/status", "").await;
    assert_eq!(status, 405);
    let made = bench.create("t").await;
    let path = format!("/v1/beads/{}", made["id"].as_str().unwrap());
    let (status, error) = bench.refused(Method::PATCH, &path, r#"{"by":"a","set":{"project":"x"}}"#).await;
    assert_eq!((status, &error["field"]), (422, &json!("project")));
    let (status, error) = bench.refused(Method::PATCH, &path, r#"{"by":"a","set":{"priority":9}}"#).await;
    assert_eq!((status, &error["field"]), (422, &json!("priority")));
}

#[tokio::test]
async fn without_a_network_status_says_so_and_the_rest_asks_for_a_node() {
    let bench = bench().await;
    let status = bench.get("/v1/status").await;
    assert_eq!((&status["running"], &status["node"]["name"]), (&json!(false), &json!("box")), "{status}");
    assert_eq!(status["mesh"]["name"], "home");
    assert_eq!(bench.get("/v1/members").await["members"][0]["here"], true);
    for (method, path) in [(Method::GET, "/v1/peers"), (Method::POST, "/v1/invites"), (Method::POST, "/v1/shutdown")] {
        let (status, error) = bench.refused(method, path, "").await;
        assert_eq!((status, &error["code"]), (503, &json!("no_node")), "{path}");
    }
    for (wish, field) in [
        (r#"{"ttl_s":0}"#, "ttl_s"),
        (r#"{"ttl_s":2592001}"#, "ttl_s"),
        (r#"{"uses":0}"#, "uses"),
        (r#"{"uses":1001}"#, "uses"),
    ] {
        let (status, error) = bench.refused(Method::POST, "/v1/invites", wish).await;
        assert_eq!((status, &error["code"], &error["field"]), (422, &json!("invalid"), &json!(field)), "{wish}");
    }
    let (_, error) = bench.refused(Method::POST, "/v1/join", r#"{"ticket":"bm1x"}"#).await;
    assert_eq!(error["code"], "no_node");
}

#[tokio::test]
async fn the_recovery_key_is_shown_until_it_is_forgotten_and_the_doctor_finds_nothing() {
    let bench = bench().await;
    for _ in 0..2 {
        let shown = bench.post("/v1/recovery", json!({})).await;
        assert_eq!(shown["recovery_key"], bench.local.recovery.as_ref().unwrap().reveal());
    }
    let (status, _) = bench.refused(Method::DELETE, "/v1/recovery", r#"{"recovery_key":"bmr1other"}"#).await;
    assert_eq!(status, 409);
    let shown = bench.post("/v1/recovery", json!({})).await;
    let (status, _) = bench.ask(Method::DELETE, "/v1/recovery", json!({"recovery_key": shown["recovery_key"]})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, error) = bench.refused(Method::POST, "/v1/recovery", "{}").await;
    assert_eq!((status, &error["code"]), (409, &json!("conflict")));
    bench.create("t").await;
    let answer = bench.post("/v1/doctor", json!({"rebuild": true})).await;
    assert_eq!((&answer["findings"], &answer["rebuilt"]["beads"]), (&json!([]), &json!(1)), "{answer}");
}

#[tokio::test]
async fn the_description_names_every_route_of_the_contract() {
    let bench = bench().await;
    let (_, text) = bench.text(Method::GET, "/openapi.json", "").await;
    let described: Value = serde_json::from_str(&text).unwrap();
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: Vec<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in [
        "/v1/status",
        "/v1/members",
        "/v1/peers",
        "/v1/projects",
        "/v1/beads",
        "/v1/ready",
        "/v1/blocked",
        "/v1/beads/{ref}",
        "/v1/beads/{ref}/close",
        "/v1/beads/{ref}/reopen",
        "/v1/beads/{ref}/delete",
        "/v1/beads/{ref}/resolve",
        "/v1/beads/{ref}/labels",
        "/v1/beads/{ref}/scopes",
        "/v1/beads/{ref}/comments",
        "/v1/beads/{ref}/deps",
        "/v1/agents",
        "/v1/agents/{name}/rotate",
        "/v1/agents/{name}/retire",
        "/v1/human/rotate",
        "/v1/letters",
        "/v1/letters/{id}",
        "/v1/letters/{id}/ack",
        "/v1/inbox",
        "/v1/threads/{thread}",
        "/v1/blobs",
        "/v1/letters/{id}/attachments/{index}",
        "/v1/import",
        "/v1/export",
        "/v1/invites",
        "/v1/join",
        "/v1/doctor",
        "/v1/events",
        "/v1/recovery",
        "/v1/shutdown",
        "/v1/backup",
        "/v1/restore",
    ] {
        assert!(paths.contains(&path), "{path} is missing in {paths:?}");
    }
}

#[tokio::test]
async fn events_tell_of_changes_and_end_with_the_store() {
    let bench = bench().await;
    let request = Request::builder().uri("/v1/events").body(Body::empty()).unwrap();
    let response = bench.local.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let made = bench.create("t").await;
    bench.local.core.stop().await;
    let text = to_bytes(response.into_body(), 1024 * 1024).await.unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("event: bead") && text.contains(made["id"].as_str().unwrap()), "{text}");
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_with_what_to_do_and_kept() {
    let Bench { local, home } = bench().await;
    local.close().await.unwrap();
    let store = home.path().join("store");
    let mut batch = beadmesh_store::Batch::default();
    batch.put(*b"\0schema", &(beadmesh_store::open::SCHEMA + 1).to_be_bytes());
    let mut kv = beadmesh_store::open(&store).unwrap().kv;
    beadmesh_store::Kv::apply(&mut kv, batch).unwrap();
    beadmesh_store::Kv::flush(&mut kv).unwrap();
    drop(kv);
    for _ in 0..2 {
        let opened = Home::open(home.path()).unwrap();
        let lock = Lock::try_acquire(&opened.lock()).unwrap().unwrap();
        let error = Local::open(opened, Names { node: "box".into(), mesh: "home".into(), human: "tim".into() }, lock)
            .await
            .unwrap_err();
        assert_eq!((error.code(), error.hint().as_str()), ("newer_schema", "use the newer beadmesh"), "{error}");
    }
    assert!(store.join("sled-1").exists() && !store.join("sled-2").exists());
}
