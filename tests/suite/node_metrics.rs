//! What a node measures: over TCP for who may watch, as Prometheus reads it, and as our dashboard and alerts ask for it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::support::{Node, settle, until};

/// Long enough for a busy machine to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Series that Prometheus makes of a scrape itself.
const OWN_SERIES: [&str; 1] = ["up"];

/// Series that come some seconds after the start: the round trip of a link, the second sample of the machine, cards, and
/// containers.
const LATE: [&str; 4] = [
    "libp2p_ping_rtt_seconds_bucket",
    "beadmesh_host_cpu_busy_ratio",
    "beadmesh_gpu_busy_ratio",
    "beadmesh_containers",
];

/// Words of a query that look like series, and are labels or functions of its language.
const PREFIXES: [&str; 2] = ["beadmesh_", "libp2p_"];

/// Where the files that we ship for Prometheus and Grafana lie.
fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node/deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deployed(name)).unwrap()
}

/// Asks over TCP and returns head and body.
fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (String, String) {
    get_as(address, path, token, "")
}

/// Does the same, and says what kind of answer is wanted.
fn get_as(address: SocketAddr, path: &str, token: Option<&str>, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let proof = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: {accept}\r\n");
    let request = format!("{head}{proof}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Two linked nodes of which the first answers over TCP, and has done a bit of everything.
fn watched() -> (Node, Node, SocketAddr) {
    let (mut ada, bob) = (Node::new("ada"), Node::running("bob"));
    // Its cards are made up; whether an engine of containers answers makes no difference.
    ada.up_with(&["--api-tcp", "127.0.0.1:0", "--gpu-backend", "demo", "--containers"]);
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let lea = ada.register("Lea");
    let bead = ada.create(&["One bead"]);
    ada.json_as(&lea, &["bead", "claim", &bead]);
    let address = ada.status()["api"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    (ada, bob, address)
}

fn watcher(node: &Node) -> String {
    fs::read_to_string(node.home().join("metrics.token")).unwrap()
}

/// Returns the names of the series of a scrape.
fn series(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// Returns the series that a query asks for.
fn asked(query: &str) -> BTreeSet<&str> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)) || OWN_SERIES.contains(word)).collect()
}

/// Collects the queries of a dashboard, wherever they stand.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| queries(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// Returns what stands behind a key on each line of an alert file that has it.
fn values<'a>(alerts: &'a str, key: &str) -> Vec<&'a str> {
    alerts.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)).map(str::trim).collect()
}

/// Returns a program of Prometheus, or why the part of a test that needs it is left out.
fn program(name: &str) -> Result<PathBuf, String> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| format!("{name} is not installed"))
}

#[test]
fn who_may_watch_gets_the_measures_and_nothing_else() {
    let (ada, _bob, address) = watched();
    let token = watcher(&ada);
    let (head, text) = get(address, "/metrics", Some(&token));
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    for line in [
        "beadmesh_peers 1.0",
        "beadmesh_peers_connected 1.0",
        "beadmesh_peer_connected{peer=\"bob\"} 1.0",
        "beadmesh_peer_lag_entries{peer=\"bob\"} 0.0",
        "beadmesh_claims{state=\"held\"} 1.0",
        "beadmesh_claims_answered_total{outcome=\"held\"} 1",
        "beadmesh_claim_seconds_count 1",
        "beadmesh_voters_reached 1.0",
        "beadmesh_core_answers 1.0",
    ] {
        // What was claimed a moment ago may still be on its way to the other.
        until(line, || get(address, "/metrics", Some(&token)).1.lines().any(|found| found == line));
    }
    let bytes = text.lines().filter(|line| line.starts_with("libp2p_bandwidth_bytes_total{")).count();
    assert!(bytes >= 2, "both directions of one transport at least:\n{text}");
    assert!(get(address, "/-/healthy", Some(&token)).0.starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/-/ready", Some(&token)).0.starts_with("HTTP/1.1 200 "));
    for (path, token) in [("/v1/status", Some(token.as_str())), ("/metrics", None), ("/-/ready", Some("bmm1x"))] {
        assert!(get(address, path, token).0.starts_with("HTTP/1.1 401 "), "{path}");
    }
}

#[test]
fn measures_are_written_as_who_asks_can_read_them() {
    let (ada, _bob, address) = watched();
    let token = watcher(&ada);
    let get = |accept: &str| get_as(address, "/metrics", Some(&token), accept);
    let (head, open) = get("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    assert!(open.ends_with("# EOF\n") && open.contains("\n# TYPE beadmesh_build info\n"), "{open}");
    assert!(open.contains("\n# TYPE beadmesh_refusals counter\n"), "{open}");
    let (head, text) = get("*/*");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    assert!(text.contains("\n# TYPE beadmesh_build_info gauge\n"), "{text}");
    // What is measured only after a while may have come between the two.
    assert!(series(&open).is_subset(&series(&text)), "{open}{text}");
    // What is shown is announced right before, under its own name.
    let mut announced = "";
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            announced = family.split(' ').next().unwrap();
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let ending = name.strip_prefix(announced).unwrap_or_else(|| panic!("{line} below {announced}"));
            assert!(["", "_bucket", "_sum", "_count"].contains(&ending), "{line} below {announced}");
        }
    }
}

#[test]
fn every_query_of_dashboard_and_alerts_asks_for_what_is_there() {
    let (ada, _bob, address) = watched();
    let token = watcher(&ada);
    until("all to be measured once", || {
        let text = get(address, "/metrics", Some(&token)).1;
        let there = series(&text);
        LATE.iter().all(|name| there.contains(name))
    });
    let (_, text) = get(address, "/metrics", Some(&token));
    let there: BTreeSet<&str> = series(&text).into_iter().chain(OWN_SERIES).collect();
    let mut all = Vec::new();
    queries(&serde_json::from_str(&read("grafana-dashboard.json")).unwrap(), &mut all);
    let (panels, alerts) = (all.len(), read("prometheus-alerts.yaml"));
    all.extend(values(&alerts, "expr: ").into_iter().map(str::to_owned));
    assert!(panels > 20 && all.len() - panels > 10, "{} queries", all.len());
    for query in &all {
        let asked = asked(query);
        assert!(!asked.is_empty(), "{query} asks for nothing of ours");
        assert!(asked.is_subset(&there), "{query} asks for {:?}", asked.difference(&there).collect::<Vec<_>>());
    }
}

#[test]
fn every_alert_says_where_it_is_written_what_to_do() {
    let (alerts, guide) = (read("prometheus-alerts.yaml"), include_str!("../../docs/OPERATING.md"));
    let names = values(&alerts, "alert: ");
    let books = values(&alerts, "runbook_url: ");
    assert_eq!((names.len(), values(&alerts, "expr: ").len()), (books.len(), books.len()));
    for (name, book) in names.iter().zip(books) {
        assert!(book.ends_with(&format!("docs/OPERATING.md#{}", name.to_lowercase())), "{name}: {book}");
        assert!(guide.lines().any(|line| line == format!("### {name}")), "{name} has no heading of its own");
    }
    let headings = guide.lines().filter_map(|line| line.strip_prefix("### Beadmesh"));
    assert_eq!(headings.count(), names.len(), "every heading is of an alert");
}

/// Left out where Prometheus is not installed, in CI too: with what it needs it takes more than 100 MB.
#[test]
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
fn prometheus_takes_the_rules_and_the_measures_and_scrapes_a_node() {
    let (promtool, prometheus) = match (program("promtool"), program("prometheus")) {
        (Ok(promtool), Ok(prometheus)) => (promtool, prometheus),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("This test is left out: {error}.");
            return;
        }
    };
    let checked = Command::new(&promtool).args(["check", "rules"]).arg(deployed("prometheus-alerts.yaml")).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let (ada, _bob, address) = watched();
    let page = tempfile::tempfile().unwrap();
    (&page).write_all(get(address, "/metrics", Some(&watcher(&ada))).1.as_bytes()).unwrap();
    (&page).rewind().unwrap();
    let checked = Command::new(&promtool).args(["check", "metrics"]).stdin(page).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let folder = tempfile::tempdir().unwrap();
    // The file that we ship, but for where the node is, where its token lies, and how long nobody wants to wait.
    let shipped = read("prometheus.yaml");
    let config = shipped
        .replace("127.0.0.1:7118\"]", &format!("{address}\"]"))
        .replace("/etc/prometheus/beadmesh.token", ada.home().join("metrics.token").to_str().unwrap())
        .replace("- prometheus-alerts.yaml", &format!("- {}", deployed("prometheus-alerts.yaml").display()))
        .replace("15s", "1s");
    let file = folder.path().join("prometheus.yaml");
    fs::write(&file, config).unwrap();
    let ours = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(prometheus);
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg(format!("--web.listen-address={ours}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _running = Running(command.spawn().unwrap());
    until("Prometheus", || TcpStream::connect(ours).is_ok());
    let ask = |query: &str| {
        let (_, body) = get(ours, &format!("/api/v1/query?query={query}"), None);
        // Prometheus answers in chunks; what is looked for stands in one of them.
        body.find('{').map(|begin| body[begin..].to_owned()).unwrap_or_default()
    };
    until("a scrape", || ask("beadmesh_peers_connected").contains("\"1\"]"));
    assert!(ask("up").contains("\"1\"]"), "{}", ask("up"));
    assert!(ask("beadmesh_store_flush_seconds_count").contains("\"instance\""));
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
