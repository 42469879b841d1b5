//! What can be set, from the command line down to the default, in the program as people run it.

use std::fs;

use beadmesh_node::config::KEYS;
use serde_json::{Value, json};

use super::support::{Node, until};

/// Returns a key as `config show` lists it.
fn key(told: &Value, name: &str) -> Value {
    told["keys"].as_array().unwrap().iter().find(|key| key["key"] == name).unwrap().clone()
}

#[test]
fn every_key_is_listed_with_its_unit_and_where_it_comes_from() {
    let node = Node::new("ada");
    node.json(&["init", "--name", "demo"]);
    let file = node.home().join("config.toml");
    fs::write(&file, "[net]\nmdns = false\nretry_max = \"5m\"\n\n[attachments]\nfetched_max = \"2GiB\"\n").unwrap();
    let told = node.json(&["config", "show"]);
    assert_eq!((&told["file_read"], told["keys"].as_array().unwrap().len()), (&json!(true), KEYS.len()));
    let retry = key(&told, "net.retry_max");
    assert_eq!((&retry["value"], &retry["unit"], &retry["text"]), (&json!(300.0), &json!("s"), &json!("300s")));
    assert_eq!(retry["origin"], json!({"kind": "file", "path": file.display().to_string(), "line": 3}));
    assert_eq!(key(&told, "attachments.fetched_max")["value"], json!(2_u64 << 30));
    // The suite names every node by a variable.
    let name = key(&told, "node.name");
    assert_eq!((&name["value"], &name["origin"]["name"]), (&json!("ada"), &json!("BEADMESH_NODE_NAME")));
    assert_eq!(key(&told, "log.format")["origin"], json!({"kind": "default"}));
    let told = node.json(&["config", "show", "--mdns", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    assert_eq!(
        (&key(&told, "net.mdns")["value"], &key(&told, "net.listen")["origin"]["kind"]),
        (&json!(true), &json!("flag"))
    );
    let shown = node.run(&["config", "show", "--origin"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let row = shown.lines().find(|line| line.starts_with("net.mdns")).unwrap();
    assert!(row.contains("false") && row.contains("config.toml:2") && row.contains("BEADMESH_MDNS"), "{shown}");
}

#[test]
fn a_mistake_stops_the_node_before_it_begins_and_names_what_may_be_meant() {
    let node = Node::new("ada");
    let other = node.work().join("other.toml");
    fs::write(&other, "[net]\nmdsn = true\n").unwrap();
    let other = other.to_str().unwrap();
    for args in [&["up", "--config", other][..], &["config", "show", "--config", other]] {
        let output = node.run(&[args, &["--json"]].concat());
        let error: Value = serde_json::from_slice(output.stderr.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
        let error = &error["error"];
        assert_eq!((output.status.code(), &error["code"]), (Some(2), &json!("config")), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.ends_with("other.toml:2: there is no key net.mdsn; did you mean net.mdns?"), "{message}");
    }
    assert!(!node.home().exists());
    let output = node.run_with_env(&["up"], &[("BEADMESH_LISTEN", "garbage")]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("BEADMESH_LISTEN: net.listen \"garbage\"") && told.contains("Hint: write TCP or QUIC"),
        "{told}"
    );
}

#[test]
fn a_node_is_named_by_its_file_and_joins_by_the_ticket_in_a_file() {
    let (ada, mut bob) = (Node::running("ada"), Node::keyed("bob", 3));
    let ticket = ada.work().join("ticket");
    let file = format!("[node]\nname = \"by-file\"\n\n[mesh]\nticket_file = {ticket:?}\n");
    fs::write(bob.home().join("config.toml"), file).unwrap();
    bob.forget_name();
    bob.up();
    until("a word on the missing ticket", || bob.logged().contains("no ticket to join by yet"));
    assert_eq!(bob.status()["peers"], json!([]));
    let told = ada.json(&["invite", "--output", ticket.to_str().unwrap()]);
    assert_eq!((told.get("ticket"), &told["uses"]), (None, &json!(1)));
    until("bob to be in the mesh", || ada.json(&["members"])["members"].as_array().unwrap().len() == 2);
    super::support::settle(&[&ada, &bob]);
    assert_eq!(bob.status()["node"]["name"], "by-file");
    // The file stays, and does nothing any more.
    bob.down();
    bob.up();
    super::support::settle(&[&ada, &bob]);
    assert!(!bob.logged().contains("not joined by the ticket"), "{}", bob.logged());
}

#[test]
fn a_ticket_that_lets_nobody_in_is_told_once_and_another_one_is_taken() {
    let (ada, mut bob) = (Node::running("ada"), Node::new("bob"));
    let ticket = bob.work().join("ticket");
    let used = ada.ticket();
    Node::running("cleo").json(&["join", &used]);
    write_private(&ticket, &used);
    bob.up_with(&["--ticket-file", ticket.to_str().unwrap()]);
    until("the refusal", || bob.logged().contains("not joined by the ticket in a file"));
    write_private(&ticket, &ada.ticket());
    until("bob to be in the mesh", || bob.logged().contains("joined by the ticket in a file\""));
    assert_eq!(bob.logged().matches("not joined by the ticket in a file").count(), 1, "{}", bob.logged());
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let made = path.with_extension("new");
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&made).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    fs::rename(made, path).unwrap();
}
