use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::api::extract::Json;
use crate::api::model::Empty;

/// Short, and what it bounds comes to its end by nothing else.
const SHORT: Duration = Duration::from_millis(50);

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A server, and what stops it.
struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(router: Router) -> Self {
        let patience = Patience { head: SHORT, body: SHORT, answer: SHORT };
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), patience).await.unwrap();
        let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve(listener, router, stop.clone()));
        Self { address, stop, task }
    }

    async fn connect(&self, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream
    }
}

/// Reads all that comes until the other end closes.
async fn answered(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset is closed as well.
    let _ = timeout(LONG, stream.read_to_end(&mut answer)).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn who_does_not_finish_the_head_of_a_request_loses_its_place() {
    let server = Server::start(Router::new().route("/", get(|| async { "well" }))).await;
    assert!(!answered(server.connect("").await).await.contains("200"));
    assert!(!answered(server.connect("GET / HTTP/1.1\r\nhost: he").await).await.contains("200"));
    let idle = answered(server.connect("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await).await;
    assert!(idle.starts_with("HTTP/1.1 200 OK\r\n") && idle.ends_with("\r\n\r\nwell"), "{idle}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_a_timeout() {
    let route = post(|Json(Empty {}): Json<Empty>| async { "well" });
    let server = Server::start(Router::new().route("/", route)).await;
    let stalled = server.connect("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\n{").await;
    let answer = answered(stalled).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"timeout\""), "{answer}");
}

#[tokio::test]
async fn who_does_not_read_an_answer_is_cut_off() {
    let (held, released) = oneshot::channel::<()>();
    let held = Arc::new(Mutex::new(Some(held)));
    let route = get(move || {
        let held = held.lock().unwrap().take();
        let endless = stream::repeat(Bytes::from_static(&[0; 64 * 1024]));
        async move { Body::from_stream(endless.map(move |bytes| Ok::<_, io::Error>((bytes, &held).0))) }
    });
    let server = Server::start(Router::new().route("/", route)).await;
    let unread = server.connect("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    let dropped = timeout(LONG, released).await.expect("the answer is given up");
    assert!(dropped.is_err());
    drop(unread);
}

#[tokio::test]
async fn an_answer_may_take_its_time_and_is_finished_when_the_node_stops() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&go));
    let route = get(|| async move {
        tell.notify_one();
        wait.notified().await;
        "well"
    });
    let server = Server::start(Router::new().route("/", route)).await;
    let waiting = server.connect("GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
    asked.notified().await;
    // Another one began later and has lost its place by now.
    answered(server.connect("GET").await).await;
    server.stop.cancel();
    go.notify_one();
    let answer = answered(waiting).await;
    assert!(answer.ends_with("\r\n\r\nwell"), "{answer}");
    timeout(LONG, server.task).await.expect("the server stops").unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
