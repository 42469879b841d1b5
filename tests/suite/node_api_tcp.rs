//! The API on a port of this machine: who may not ask there, and what lies in the home for who may.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use serde_json::Value;

use super::support::Node;

/// Long enough for a busy machine to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a request with these headers and an empty body; returns all that is answered.
fn ask(address: SocketAddr, request: &str, headers: &[(&str, &str)]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = format!("{request} HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_answers(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    assert!(answer.contains(code), "{code}: {answer}");
    assert!(!answer.to_ascii_lowercase().contains("access-control-allow"), "no page may read it: {answer}");
}

#[test]
fn the_api_on_tcp_answers_this_machine_alone_and_who_proves_that_it_may() {
    let mut node = Node::new("ada");
    node.up_with(&["--api-tcp", "127.0.0.1:0"]);
    let url = node.status()["api"].as_str().unwrap().to_owned();
    let host = url.strip_prefix("http://").unwrap().to_owned();
    let address: SocketAddr = host.parse().unwrap();
    let token = fs::read_to_string(node.home().join("api.token")).unwrap();
    let bearer = format!("Bearer {token}");
    let (host, proof) = (("host", host.as_str()), ("authorization", bearer.as_str()));

    assert_answers(&ask(address, "GET /v1/status", &[host, proof]), 200, "\"running\":true");
    assert_answers(&ask(address, "GET /v1/status", &[host]), 401, "unproven");
    assert_answers(&ask(address, "GET /v1/status", &[host, ("authorization", "Bearer bmt1x")]), 401, "unproven");
    // A name that was made to point here: DNS rebinding.
    let rebound = format!("evil.example:{}", address.port());
    assert_answers(&ask(address, "GET /v1/status", &[("host", &rebound), proof]), 421, "wrong_host");
    for origin in ["http://evil.example", "http://127.0.0.1:1", "null"] {
        let answer = ask(address, "POST /v1/shutdown", &[host, proof, ("origin", origin)]);
        assert_answers(&answer, 403, "wrong_origin");
    }
    let refused = node.status()["refused"].clone();
    assert_eq!(
        (&refused["api_host"], &refused["api_origin"], &refused["api_proof"]),
        (&1.into(), &3.into(), &2.into())
    );

    // From the network nobody reaches it: only this machine is listened to.
    let elsewhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), address.port());
    assert!(TcpStream::connect_timeout(&elsewhere, Duration::from_secs(5)).is_err());
    for name in ["api.token", "node.key", "node.sock"] {
        let mode = fs::metadata(node.home().join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    assert_eq!(fs::metadata(node.home()).unwrap().mode() & 0o777, 0o700);
    node.down();
    node.up_with(&["--api-tcp", &address.to_string()]);
    assert_eq!(fs::read_to_string(node.home().join("api.token")).unwrap(), token, "a token lasts");
}

#[test]
fn a_browser_logs_in_once_by_a_code() {
    let mut node = Node::new("ada");
    let without = node.run(&["login", "--json"]);
    assert_eq!(without.status.code(), Some(3), "no node runs");
    node.up_with(&["--api-tcp", "localhost:0"]);
    let body = node.json(&["login"]);
    let url = body["url"].as_str().unwrap();
    let (host, code) = url.strip_prefix("http://").unwrap().split_once("/login#").unwrap();
    let (address, here): (SocketAddr, _) = (host.parse().unwrap(), ("host", host));
    let page = ask(address, "GET /login", &[here]);
    assert_answers(&page, 200, "<script src=\"/login.js\">");
    assert!(page.contains("default-src 'none'"), "{page}");
    assert_answers(&ask(address, "GET /login.js", &[here]), 200, "sessionStorage");

    let bearer = format!("Bearer {code}");
    let answer = ask(address, "POST /login", &[here, ("authorization", &bearer)]);
    assert_answers(&answer, 200, "\"session\":\"bms1");
    assert!(!answer.to_ascii_lowercase().contains("set-cookie"), "every port of this host would get it: {answer}");
    assert_answers(&ask(address, "POST /login", &[here, ("authorization", &bearer)]), 401, "bad_code");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let session: Value = serde_json::from_str(body).unwrap();
    let session = session["session"].as_str().unwrap();
    let proof = ("authorization", &*format!("Bearer {session}"));
    assert_answers(&ask(address, "GET /v1/status", &[here, proof]), 200, "\"schema\":1");
    let cookie = format!("beadmesh_{}={session}", address.port());
    assert_answers(&ask(address, "POST /v1/shutdown", &[here, ("cookie", &cookie)]), 401, "unproven");
    assert_eq!(node.status()["running"], true);
}

#[test]
fn an_address_that_others_could_reach_is_refused() {
    let node = Node::new("ada");
    for address in ["0.0.0.0:7118", "[::]:7118", "192.168.1.2:7118", "example.com:80", "7118"] {
        let output = node.run(&["up", "--json", "--api-tcp", address]);
        assert_eq!(output.status.code(), Some(2), "{address}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let error: Value = serde_json::from_str(stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{address}: {stderr}");
    }
}
