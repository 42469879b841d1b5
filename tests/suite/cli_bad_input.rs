//! Wrong input, as one table: what the program answers, and that nothing it holds has changed.

use std::process::Output;

use beadmesh_protocol::{
    clock::Wall,
    invite::{Secret, Ticket},
    testing::Author,
};
use serde_json::Value;

use super::support::{Node, Rogue, until};

/// One wrong command.
struct Row {
    what: &'static str,
    args: Vec<String>,
    input: String,
    exit: i32,
    code: &'static str,
    /// The field that is named, where the answer names one.
    field: Option<&'static str>,
    /// What stands in the answer or the error, such as a bound.
    says: &'static str,
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let node = Node::running("ada");
    let [first, second] = ["First", "Second"].map(|title| node.create(&[title]));
    node.json(&["bead", "dep", "add", &second, "--on", &first, "--type", "blocks"]);
    let inviter = Node::running("bob");
    let before = node.status();
    for row in rows(&first, &second).into_iter().chain(tickets(&inviter)) {
        let args: Vec<&str> = row.args.iter().map(String::as_str).collect();
        let output = node.run_with(&args, &row.input);
        let what = row.what;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(row.exit), "{what}: {stderr}");
        let error = error(what, &output);
        assert_eq!(error["code"], row.code, "{what}: {error}");
        assert_eq!(error["field"].as_str(), row.field, "{what}: {error}");
        let told = format!("{error} {}", String::from_utf8_lossy(&output.stdout));
        assert!(told.contains(row.says), "{what}: {told}");
        assert!(told.len() < 4_096, "{what}: the answer has {} bytes", told.len());
        let after = node.status();
        assert_eq!((&after["digest"], &after["entries"]), (&before["digest"], &before["entries"]), "{what}");
    }
}

fn row(
    what: &'static str,
    line: &str,
    exit: i32,
    code: &'static str,
    field: Option<&'static str>,
    says: &'static str,
) -> Row {
    let args = line.split(' ').chain(["--json"]).map(str::to_owned).collect();
    Row { what, args, input: String::new(), exit, code, field, says }
}

fn rows(first: &str, second: &str) -> Vec<Row> {
    let import = |what, input: String, says| Row { input, ..row(what, "bead import -", 1, "rejected", None, says) };
    // One argument of a process holds at most 128 KiB on Linux, so the greatest title comes by a file.
    let long = "x".repeat(100 * 1024);
    let longest = format!("{{\"id\":\"bd-1\",\"title\":\"{}\"}}\n", "x".repeat(1024 * 1024));
    vec![
        import("a line that is no JSON", "{\"id\":\"bd-1\",\n".to_owned(), "\"line\":1"),
        import("a title of 1 MiB", longest, "title"),
        row("a title of 100 KiB", &format!("bead create {long}"), 2, "invalid", Some("title"), "bytes"),
        row("an unknown alias", "bead show bm-none", 5, "not_found", None, "bm-none"),
        row("an unknown alias among others", &format!("bead close {first} bm-none"), 5, "not_found", None, "bm-none"),
        row("an unknown place to go on", "bead list --after bm-none", 5, "not_found", Some("after"), "bm-none"),
        row("an invite for years", "invite --ttl 9999d", 2, "usage", None, "30d"),
        row("an invite for millions", "invite --uses 99999999", 2, "usage", None, "1000"),
        row("an address of nobody", "up --listen garbage", 2, "usage", None, "/ip4/"),
        row("a negative priority", "bead list -p -1", 2, "usage", None, "P4"),
        row("a cycle", &format!("bead dep add {first} --on {second} --type blocks"), 4, "cycle", None, "cycle"),
        row("a garbage ticket", "join bm1garbage", 2, "ticket_malformed", Some("ticket"), "ticket"),
        row("a second node", "up --no-mdns --listen /ip4/127.0.0.1/tcp/0", 4, "conflict", None, "running"),
        row("a wrong flag", "bead list --colour", 2, "usage", None, "--colour"),
        row("a wrong priority", "bead create Title -p P9", 2, "usage", None, "P9"),
    ]
}

/// Returns a row for every kind of ticket that lets nobody in.
fn tickets(inviter: &Node) -> Vec<Row> {
    let used = inviter.ticket();
    drop(Rogue::joined(7, &used));
    let open: Ticket = inviter.ticket().parse().unwrap();
    let wrong = Ticket { secret: Secret::from_bytes([7; 16]), ..open.clone() };
    let misled = Ticket { inviter: Author::seeded(9).node(), ..open };
    let expired = inviter.json(&["invite", "--ttl", "1s"])["ticket"].as_str().unwrap().to_owned();
    let over = expired.parse::<Ticket>().unwrap().expires;
    // The inviter's clock counts, so it is the one to be asked.
    let bead = inviter.create(&["A clock"]);
    until("the end of the invite", || {
        inviter.json(&["bead", "comment", &bead, "Tick"]);
        Wall::parse(inviter.show(&bead)["updated_at"].as_str().unwrap()).unwrap() > over
    });
    let join = |what, ticket: &str, exit, code, says| row(what, &format!("join {ticket}"), exit, code, None, says);
    vec![
        join("a used ticket", &used, 6, "ticket_used", "used"),
        join("a ticket with another secret", &wrong.to_string(), 6, "ticket_unknown", "not valid"),
        join("an expired ticket", &expired, 6, "ticket_expired", "expired"),
        join("a ticket whose address is another node's", &misled.to_string(), 7, "unreachable", "can not be reached"),
    ]
}

fn error(what: &str, output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_else(|| panic!("{what}: nothing on stderr"));
    let mut body: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{what}: {error}: {stderr}"));
    assert_eq!(body["schema"], 1, "{what}");
    body["error"].take()
}
