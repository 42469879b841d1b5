use std::os::unix::fs::MetadataExt;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use beadmesh_store::Lock;
use beadmesh_store::replica::Event;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tower::ServiceExt;

use super::*;

/// Long enough for a busy machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start(temp: &TempDir, name: &str) -> Running {
    let home = Home::open(temp.path()).unwrap();
    let options = Options {
        listen: Some(vec!["/ip4/127.0.0.1/tcp/0".into()]),
        mdns: false,
        ..Options::new(Names { node: name.into(), mesh: "home".into(), human: "tim".into() })
    };
    let running = Service::start(home, options).await.unwrap();
    timeout(PATIENCE, async {
        while running.listen_addresses().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the node listens");
    running
}

async fn ask(node: &Running, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_string())).unwrap();
    let response = node.router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

/// Returns how many letters the user of a home has not read; nothing where the token in it proves nothing.
async fn unread(node: &Running, temp: &TempDir) -> Option<u64> {
    let human = Home::at(temp.path()).human().unwrap().unwrap();
    let bearer = format!("Bearer {}", human.token.unwrap().reveal());
    let request = Request::builder().uri("/v1/status").header("beadmesh-agent", human.name);
    let request = request.header("authorization", bearer).body(Body::empty()).unwrap();
    let response = node.router.clone().oneshot(request).await.unwrap();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["unread"].as_u64()
}

async fn come_to_hold_the_same(ada: &Running, bob: &Running) {
    let mut changes = bob.core.events();
    let equal = async {
        loop {
            let (here, there) =
                (ask(ada, "GET", "/v1/status", Value::Null), ask(bob, "GET", "/v1/status", Value::Null));
            if here.await.1["digest"] == there.await.1["digest"] {
                break;
            }
            // Looks again at each event, or after a while if one came before we listened.
            let _ = timeout(Duration::from_millis(100), changes.recv()).await;
        }
    };
    timeout(PATIENCE, equal).await.expect("both come to hold the same");
}

/// Overwrites the data file of a node that does not run.
fn damage(temp: &TempDir) {
    let path = temp.path().join("store/sled-1/db");
    let bytes = fs::metadata(&path).unwrap().len();
    fs::write(path, vec![0xa5; usize::try_from(bytes).unwrap()]).unwrap();
}

/// Sends a request over the socket; returns all that is answered.
async fn over_socket(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: node\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_on_its_private_socket_until_it_is_told_to_stop() {
    let temp = tempfile::tempdir().unwrap();
    let home = Home::open(temp.path()).unwrap();
    std::fs::write(home.socket(), b"stale").unwrap();
    let node = start(&temp, "ada").await;
    assert_eq!(fs::metadata(home.socket()).unwrap().mode() & 0o777, 0o600);
    let status = over_socket(&home.socket(), "GET /v1/status").await;
    assert!(status.contains("\"running\":true") && status.contains("/ip4/127.0.0.1/tcp/"), "{status}");
    let options = Options {
        listen: Some(vec![]),
        mdns: false,
        ..Options::new(Names { node: "b".into(), mesh: "m".into(), human: "tim".into() })
    };
    let second = Service::start(home.clone(), options).await.unwrap_err();
    assert!(matches!(second, ServiceError::Running { .. }), "{second}");
    let run = tokio::spawn(node.run_until(std::future::pending()));
    let answer = over_socket(&home.socket(), "POST /v1/shutdown").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    timeout(PATIENCE, run).await.unwrap().unwrap().unwrap();
    assert!(!home.socket().exists());
    assert!(Lock::try_acquire(&home.lock()).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_answers_over_tcp_to_who_proves_that_it_may_until_it_stops() {
    let temp = tempfile::tempdir().unwrap();
    let options = Options {
        listen: Some(vec![]),
        mdns: false,
        api_tcp: Some("127.0.0.1:0".parse().unwrap()),
        ..Options::new(Names { node: "ada".into(), mesh: "home".into(), human: "tim".into() })
    };
    let node = Service::start(Home::open(temp.path()).unwrap(), options).await.unwrap();
    let (_, status) = ask(&node, "GET", "/v1/status", Value::Null).await;
    let address = status["api"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let token = fs::metadata(temp.path().join("api.token")).unwrap();
    assert_eq!(token.mode() & 0o777, 0o600);
    let token = fs::read_to_string(temp.path().join("api.token")).unwrap();
    for (proof, begins) in
        [(format!("authorization: Bearer {token}\r\n"), "HTTP/1.1 200"), (String::new(), "HTTP/1.1 401")]
    {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!("GET /v1/status HTTP/1.1\r\nhost: {address}\r\n{proof}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with(begins), "{text}");
    }
    let (_, status) = ask(&node, "GET", "/v1/status", Value::Null).await;
    assert_eq!(status["refused"]["api_proof"], 1);
    node.stop().await.unwrap();
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_with_a_ticket_joins_and_both_nodes_come_to_hold_the_same() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ada, bob) = (start(&one, "ada").await, start(&two, "bob").await);
    let (_, made) = ask(&ada, "POST", "/v1/beads", json!({"title": "of ada", "by": "ada"})).await;
    let (_, own) = ask(&bob, "POST", "/v1/beads", json!({"title": "of bob", "by": "bob"})).await;
    let (status, invite) = ask(&ada, "POST", "/v1/invites", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{invite}");
    let (status, joined) = ask(&bob, "POST", "/v1/join", json!({"ticket": invite["ticket"]})).await;
    assert_eq!(status, StatusCode::OK, "{joined}");
    assert_eq!((&joined["mesh"]["name"], &joined["inviter"]), (&json!("home"), &json!("ada")));
    come_to_hold_the_same(&ada, &bob).await;
    for (node, bead) in [(&bob, &made), (&ada, &own)] {
        let path = format!("/v1/beads/{}", bead["bead"]["id"].as_str().unwrap());
        let (status, seen) = ask(node, "GET", &path, Value::Null).await;
        assert_eq!((status, &seen["bead"]["title"]), (StatusCode::OK, &bead["bead"]["title"]), "{seen}");
    }
    let (_, again) = ask(&bob, "POST", "/v1/join", json!({"ticket": invite["ticket"]})).await;
    assert_eq!(again["error"]["code"], "conflict", "{again}");
    let (_, peers) = ask(&ada, "GET", "/v1/peers", Value::Null).await;
    assert_eq!(peers["peers"][0]["connected"], true, "{peers}");
    let mut gone = ada.core.events();
    bob.stop().await.unwrap();
    timeout(PATIENCE, async { while !matches!(gone.recv().await, Ok(Event::PeerDown(_))) {} }).await.unwrap();
    ada.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_kept_and_given_back_by_peers_and_by_nobody_else() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ada, bob) = (start(&one, "ada").await, start(&two, "bob").await);
    let (_, invite) = ask(&ada, "POST", "/v1/invites", json!({})).await;
    ask(&bob, "POST", "/v1/join", json!({"ticket": invite["ticket"]})).await;
    let (_, made) = ask(&bob, "POST", "/v1/beads", json!({"title": "of bob", "by": "bob"})).await;
    come_to_hold_the_same(&ada, &bob).await;
    bob.stop().await.unwrap();
    damage(&two);
    let home = Home::open(two.path()).unwrap();
    let lock = Lock::try_acquire(&home.lock()).unwrap().unwrap();
    let names = Names { node: "bob".into(), mesh: "home".into(), human: "tim".into() };
    let alone = crate::local::Local::open(home, names, lock).await.unwrap_err();
    assert_eq!(alone.code(), "store_damaged", "{alone}");
    let bob = start(&two, "bob").await;
    come_to_hold_the_same(&ada, &bob).await;
    let path = format!("/v1/beads/{}", made["bead"]["id"].as_str().unwrap());
    assert_eq!(ask(&bob, "GET", &path, Value::Null).await.1["bead"]["title"], "of bob");
    assert!(two.path().join("store/sled-1/db").exists());
    // What proves tokens was lost with the store, so the user has a new one.
    assert_eq!(unread(&bob, &two).await, Some(0));
    bob.stop().await.unwrap();
    ada.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_of_a_node_without_peers_stops_it() {
    let temp = tempfile::tempdir().unwrap();
    start(&temp, "ada").await.stop().await.unwrap();
    damage(&temp);
    for _ in 0..2 {
        let home = Home::open(temp.path()).unwrap();
        let names = Names { node: "ada".into(), mesh: "home".into(), human: "tim".into() };
        let error = Service::start(home, Options { listen: Some(vec![]), mdns: false, ..Options::new(names) })
            .await
            .unwrap_err();
        assert_eq!(error.code(), "store_damaged", "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_ticket_and_an_unreachable_inviter_are_told_apart() {
    let temp = tempfile::tempdir().unwrap();
    let node = start(&temp, "ada").await;
    let (status, error) = ask(&node, "POST", "/v1/join", json!({"ticket": "bm1nonsense"})).await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (422, &json!("ticket_malformed")));
    let ticket = beadmesh_protocol::invite::Ticket {
        mesh: beadmesh_protocol::id::MeshId::from_bytes([9; 32]),
        // A key whose peer id is valid: that of a node that does not run.
        inviter: beadmesh_protocol::id::NodeId::from_bytes(
            ed25519_dalek::SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes(),
        ),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
        secret: beadmesh_protocol::invite::Secret::from_bytes([1; 16]),
        expires: beadmesh_protocol::clock::Wall::from_millis(u64::MAX >> 16),
    };
    let (status, error) = ask(&node, "POST", "/v1/join", json!({"ticket": ticket.to_string()})).await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (504, &json!("unreachable")), "{error}");
    node.stop().await.unwrap();
}
