use std::convert::Infallible;
use std::os::unix::net::UnixListener as Bound;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path as Segment, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use beadmesh_protocol::limits::CONTAINERS_MAX;
use beadmesh_protocol::sample::container::{Container, Health, Status};
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What a stand-in for an engine knows.
#[derive(Default)]
struct Known {
    listed: Vec<Value>,
    inspected: Vec<(&'static str, Value)>,
    /// Whether it answers with errors.
    is_broken: bool,
    /// Looks so far; the processor time that is told grows with them.
    looks: u64,
    events: Option<mpsc::UnboundedReceiver<Bytes>>,
}

type Shared = Arc<Mutex<Known>>;

/// A stand-in for an engine, on a socket as Docker's.
struct Stand {
    known: Shared,
    task: JoinHandle<()>,
}

impl Stand {
    fn start(socket: &Path, known: Known) -> Self {
        let known: Shared = Arc::new(Mutex::new(known));
        let router = Router::new().route("/{*path}", get(answer)).with_state(Arc::clone(&known));
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { known, task }
    }
}

/// Answers as the engine does, whatever version of its API is asked for.
async fn answer(State(known): State<Shared>, Segment(path): Segment<String>) -> Response {
    if path.contains("/stuck/") {
        std::future::pending::<()>().await;
    }
    let mut known = known.lock().unwrap();
    if known.is_broken {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"message": "broken"}))).into_response();
    }
    let parts: Vec<&str> = path.split('/').skip_while(|part| part.starts_with('v')).collect();
    match parts[..] {
        ["containers", "json"] => {
            known.looks += 1;
            Json(known.listed.clone()).into_response()
        }
        ["containers", id, "json"] => match known.inspected.iter().find(|(known, _)| *known == id) {
            Some((_, inspected)) => Json(inspected.clone()).into_response(),
            None => (StatusCode::NOT_FOUND, Json(json!({"message": "no such container"}))).into_response(),
        },
        ["containers", _, "stats"] => Json(json!({
            "memory_stats": {"usage": 100 * 1024 * 1024 + 1, "stats": {"inactive_file": 50 * 1024 * 1024}},
            // A year of time for each look: however long that took, it is all that may be told.
            "cpu_stats": {"cpu_usage": {"total_usage": known.looks * 31_000_000_000_000_000_u64}},
        }))
        .into_response(),
        ["events"] => {
            let events = known.events.take();
            let told = stream::unfold(events, |events| async {
                let mut events = events?;
                let line = events.recv().await?;
                Some((Ok::<_, Infallible>(line), Some(events)))
            });
            Body::from_stream(told).into_response()
        }
        _ => (StatusCode::NOT_FOUND, Json(json!({"message": "no such page"}))).into_response(),
    }
}

fn listed(id: &str, name: &str) -> Value {
    json!({"Id": id, "Names": [format!("/{name}")], "Image": "shop:1", "State": "running"})
}

struct Bench {
    folder: TempDir,
    last: watch::Receiver<Option<Containers>>,
    stop: CancellationToken,
}

impl Bench {
    /// Has the engine watched that is, or will be, at a socket of its own.
    fn start(timing: Timing) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = format!("unix://{}", folder.path().join("engine.sock").display());
        let (watcher, last) = Watcher::new(|name| (name == "DOCKER_HOST").then(|| host.clone().into()), timing);
        let stop = CancellationToken::new();
        tokio::spawn(watcher.run(stop.clone()));
        Self { folder, last, stop }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// Waits until something is seen.
    async fn until(&mut self, is_so: impl Fn(&Containers) -> bool) -> Containers {
        let seen = self.last.wait_for(|seen| seen.as_ref().is_some_and(&is_so));
        timeout(LONG, seen).await.expect("it is seen").unwrap().clone().unwrap()
    }

    async fn until_engine(&mut self, engine: container::Engine) -> Containers {
        self.until(|seen| seen.engine == engine).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const HURRIED: Timing =
    Timing { interval: Duration::from_millis(20), settle: Duration::from_millis(1), answer: LONG, patience: LONG };

#[tokio::test]
async fn what_the_engine_tells_is_told_and_no_more_than_may_be() {
    let mut bench = Bench::start(HURRIED);
    let labels = json!({"com.docker.compose.project": "shop", "com.docker.compose.service": "web"});
    let mut web = listed("1", "shop-web-1");
    web["Labels"] = labels;
    let known = Known {
        listed: vec![web, listed("2", "broken"), listed("3", "gone"), listed("4", "batch"), listed("5", "eater")],
        inspected: vec![
            (
                "1",
                json!({"RestartCount": 3, "HostConfig": {"Memory": 256 * 1024 * 1024},
                "State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}}}),
            ),
            ("2", json!({"State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "unhealthy"}}})),
            ("4", json!({"HostConfig": {"Memory": 0}, "State": {"Status": "exited", "ExitCode": 7}})),
            ("5", json!({"State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true}})),
        ],
        ..Known::default()
    };
    let _stand = Stand::start(&bench.socket(), known);
    let seen = bench.until(|seen| seen.listed.iter().any(|container| container.cpu_percent.is_some())).await;
    let plain = |name: &str| Container { name: name.to_owned(), image: "shop:1".to_owned(), ..Container::default() };
    let running = Container {
        status: Status::Running,
        cpu_percent: Some(beadmesh_protocol::limits::CONTAINER_CPU_MAX),
        memory_mib: Some(51),
        ..Container::default()
    };
    let expected = [
        Container { status: Status::Exited, exit_code: Some(7), ..plain("batch") },
        Container { health: Some(Health::Unhealthy), name: "broken".into(), image: "shop:1".into(), ..running.clone() },
        Container { status: Status::Exited, exit_code: Some(137), oom_killed: true, ..plain("eater") },
        Container {
            name: "shop-web-1".into(),
            image: "shop:1".into(),
            compose: Some(("shop".into(), "web".into())),
            health: Some(Health::Healthy),
            restarts: 3,
            memory_max_mib: Some(256),
            ..running
        },
    ];
    assert_eq!(seen, Containers { engine: container::Engine::Ok, listed: expected.into(), more: 0 });
}

#[tokio::test]
async fn of_very_many_the_first_are_told_and_the_others_counted() {
    let mut bench = Bench::start(HURRIED);
    let all = (0..CONTAINERS_MAX + 6).map(|at| listed("1", &format!("c{at:03}"))).collect();
    let inspected = vec![("1", json!({"State": {"Status": "created"}}))];
    let _stand = Stand::start(&bench.socket(), Known { listed: all, inspected, ..Known::default() });
    let seen = bench.until_engine(container::Engine::Ok).await;
    assert_eq!((seen.listed.len(), seen.more, seen.listed[0].name.as_str()), (CONTAINERS_MAX, 6, "c000"));
}

#[tokio::test]
async fn an_engine_that_goes_and_comes_back_is_seen_to() {
    let mut bench = Bench::start(HURRIED);
    bench.until_engine(container::Engine::Absent).await;
    // A socket that nobody listens on is what an engine leaves behind.
    drop(Bound::bind(bench.socket()).unwrap());
    bench.until_engine(container::Engine::Stopped).await;
    let stand = Stand::start(&bench.socket(), Known { listed: vec![], ..Known::default() });
    bench.until_engine(container::Engine::Ok).await;
    stand.known.lock().unwrap().is_broken = true;
    bench.until_engine(container::Engine::Failed).await;
    stand.known.lock().unwrap().is_broken = false;
    bench.until_engine(container::Engine::Ok).await;
    stand.task.abort();
    bench.until_engine(container::Engine::Stopped).await;
}

#[tokio::test]
async fn an_engine_that_hangs_is_stalled() {
    let timing = Timing { patience: Duration::from_millis(50), ..HURRIED };
    let mut bench = Bench::start(timing);
    // It takes connections and answers none.
    let _deaf = UnixListener::bind(bench.socket()).unwrap();
    bench.until_engine(container::Engine::Stalled).await;
}

#[tokio::test]
async fn a_container_that_does_not_answer_hides_no_other() {
    let mut bench = Bench::start(Timing { answer: Duration::from_millis(500), ..HURRIED });
    let mut stuck = listed("stuck", "b");
    stuck["Health"] = json!({"Status": "unhealthy"});
    let state = || json!({"State": {"Status": "exited", "ExitCode": 0}});
    let known = Known {
        listed: vec![listed("3", "c"), stuck, listed("1", "a")],
        inspected: vec![("1", state()), ("3", state())],
        ..Known::default()
    };
    let _stand = Stand::start(&bench.socket(), known);
    let seen = bench.until_engine(container::Engine::Ok).await;
    let names: Vec<&str> = seen.listed.iter().map(|container| &*container.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let told = (seen.listed[1].status, seen.listed[1].health, seen.listed[1].memory_mib);
    assert_eq!(told, (Status::Running, Some(Health::Unhealthy), None));
}

#[tokio::test]
async fn what_happens_is_seen_at_once() {
    let (tell, events) = mpsc::unbounded_channel();
    let mut bench = Bench::start(Timing { interval: LONG * 60, ..HURRIED });
    // Before the first look, which would find nothing for an hour.
    let _stand = Stand::start(&bench.socket(), Known { events: Some(events), ..Known::default() });
    bench.until_engine(container::Engine::Ok).await;
    {
        let mut known = _stand.known.lock().unwrap();
        known.listed.push(listed("1", "new"));
        known.inspected.push(("1", json!({"State": {"Status": "exited", "ExitCode": 0}})));
    }
    tell.send(Bytes::from_static(b"{\"Type\":\"container\",\"Action\":\"die\"}\n")).unwrap();
    assert_eq!(bench.until(|seen| !seen.listed.is_empty()).await.listed[0].name, "new");
}
