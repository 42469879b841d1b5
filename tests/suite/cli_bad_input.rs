//! Wrong input, as one table: what the program answers, and that nothing it holds has changed.

use std::process::Output;

use beadmesh_protocol::{
    clock::Wall,
    invite::{Secret, Ticket},
    testing::Author,
};
use serde_json::Value;

use super::support::{Agent, Node, Rogue, until};

/// One wrong command.
struct Row {
    what: &'static str,
    /// Who asks, where it is not whoever runs the program.
    agent: Option<Agent>,
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
    let claims = claims(&node);
    let before = node.status();
    for row in rows(&first, &second).into_iter().chain(claims).chain(tickets(&inviter)) {
        let args: Vec<&str> = row.args.iter().map(String::as_str).collect();
        let output = match &row.agent {
            Some(agent) => node.run_with_as(agent, &args, &row.input),
            None => node.run_with(&args, &row.input),
        };
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
    Row { what, agent: None, args, input: String::new(), exit, code, field, says }
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
        row("a need without a unit", "bead create x --needs vram:40", 2, "invalid", Some("needs"), "40GiB"),
        row(
            "a need of nothing known",
            &format!("bead update {first} --needs tpu:1"),
            2,
            "invalid",
            Some("needs"),
            "tpu",
        ),
        row(
            "a fingerprint of nobody",
            "members approve AAAA-BBBB-CCCC",
            5,
            "not_found",
            None,
            "beadmesh members requests",
        ),
        row("an owner of no mesh", "members owner nobody --yes", 5, "not_found", None, "nobody"),
        row("an unknown alias", "bead show bm-none", 5, "not_found", None, "bm-none"),
        row("an unknown alias among others", &format!("bead close {first} bm-none"), 5, "not_found", None, "bm-none"),
        row("an unknown place to go on", "bead list --after bm-none", 5, "not_found", Some("after"), "bm-none"),
        row("an invite for years", "invite --ttl 9999d", 2, "usage", None, "30d"),
        row("an invite for millions", "invite --uses 99999999", 2, "usage", None, "1000"),
        row("an invite that is none", "invite revoke zzzz", 5, "not_found", None, "invite list"),
        row("a member that is none", "members remove nobody --yes", 5, "not_found", None, "beadmesh members"),
        row("a removal that is not meant", "members remove ada", 2, "usage", None, "nothing was done"),
        row("a removal of oneself", "members remove ada --yes", 6, "refused", None, "beadmesh leave"),
        row("a role that is none", "members role ada king", 2, "usage", None, "observer"),
        row("a role of a stranger", "members role nobody admin", 5, "not_found", None, "beadmesh members"),
        row("a role of the owner", "members role ada observer", 6, "refused", None, "owns the mesh"),
        row("a name of nothing", "members rename ada \t", 2, "invalid", Some("name"), "1 to 64 bytes"),
        row("a name that is an address", "members rename ada a@b", 2, "invalid", Some("name"), "@"),
        row("a leave of a mesh of one", "leave --yes", 6, "refused", None, "alone"),
        row("a leave that is not meant", "leave", 2, "usage", None, "--yes"),
        row("an address of nobody", "up --listen garbage", 2, "usage", None, "/ip4/"),
        row("a negative priority", "bead list -p -1", 2, "usage", None, "P4"),
        row("a cycle", &format!("bead dep add {first} --on {second} --type blocks"), 4, "cycle", None, "cycle"),
        row("a garbage ticket", "join bm1garbage", 2, "ticket_malformed", Some("ticket"), "ticket"),
        row("a second node", "up --no-mdns --listen /ip4/127.0.0.1/tcp/0", 4, "conflict", None, "running"),
        row("a term of nothing", &format!("bead claim {first} --term 0"), 2, "usage", None, "such as 30s"),
        row("a negative term", "lease take src/ --term -5", 2, "usage", None, "such as 30s"),
        row("a term of weeks", "lease take src/ --term 2w", 2, "usage", None, "7d"),
        row("a wait of hours", &format!("bead claim {first} --wait 2h"), 2, "usage", None, "1h"),
        row("a term without a claim", "bead ready --term 1h", 2, "usage", None, "--claim"),
        row("two voters", "voters set a b", 2, "invalid", Some("nodes"), "1, 3, 5 or 7"),
        row("a voter that is none", "voters set nobody", 5, "not_found", None, "beadmesh members"),
        row("a hold of a second", "voters set a --hold 1s", 2, "usage", None, "5s to 120s"),
        Row {
            input: "bmr1garbage\n".to_owned(),
            ..row("a garbage recovery key", "voters recover a --key-file -", 2, "invalid", Some("recovery_key"), "key")
        },
        row("a wrong flag", "bead list --colour", 2, "usage", None, "--colour"),
        row("a wrong priority", "bead create Title -p P9", 2, "usage", None, "P9"),
    ]
}

/// Returns a row for every claim that can not be, of agents that are made for them.
fn claims(node: &Node) -> Vec<Row> {
    let [ant, bee] = ["Ant", "Bee"].map(|name| node.register(name));
    let [closed, held, free] = ["Closed", "Held", "Free"].map(|title| node.create(&[title]));
    node.json(&["bead", "close", &closed]);
    node.json_as(&ant, &["bead", "claim", &held, "--scope", "src/"]);
    let many: Vec<String> = (0..17).map(|number| format!("docs/{number}.md")).collect();
    let of_bee = |what, line: &str, exit, code, field, says| Row {
        agent: Some(bee.clone()),
        ..row(what, line, exit, code, field, says)
    };
    let pattern =
        |what, pattern: &str, says| of_bee(what, &format!("lease take {pattern}"), 2, "invalid", Some("scope"), says);
    let scoped = format!("bead claim {free} --scope {}", many.join(" --scope "));
    vec![
        pattern("a pattern that leaves the repository", "../src/a.rs", "`..` are not allowed"),
        pattern("an absolute pattern", "/etc/passwd", "relative to the repository"),
        pattern("a pattern of another system", "src\\a.rs", "separate segments with `/`"),
        pattern("a pattern with two stars in a word", "src/a**b", "whole segment"),
        pattern("an open bracket", "src/[a.rs", "not closed"),
        pattern("an open brace", "src/{a,b.rs", "not closed"),
        pattern("a pattern that takes something out", "!src/a.rs", "can not leave paths out"),
        pattern("17 patterns", &many.join(" "), "at most 16"),
        of_bee("17 patterns with a bead", &scoped, 2, "invalid", Some("scope"), "at most 16"),
        of_bee(
            "a pattern that is none among others",
            &format!("bead claim {free} --scope docs/a.md --scope docs//x"),
            2,
            "invalid",
            Some("scope"),
            "pattern 2",
        ),
        of_bee(
            "a project that can be none",
            "lease take docs/ --project ://",
            2,
            "usage",
            Some("project"),
            "names no project",
        ),
        of_bee("a claim of a closed bead", &format!("bead claim {closed}"), 4, "conflict", None, "is closed"),
        of_bee("a claim of a bead that is none", "bead claim bm-none", 5, "not_found", None, "bm-none"),
        of_bee("a claim of a bead that is held", &format!("bead claim {held}"), 4, "held", None, "bead ready --claim"),
        of_bee(
            "a claim of a path that is held",
            &format!("bead claim {free} --scope src/a.rs"),
            4,
            "held",
            None,
            "src/a.rs",
        ),
        of_bee("a release of another's claim", &format!("bead release {held}"), 6, "refused", None, "Ant@ada"),
        of_bee("a renewal of another's claim", &format!("lease renew {held}"), 6, "refused", None, "Ant@ada"),
        of_bee("a release of what is not claimed", &format!("bead release {free}"), 5, "not_found", None, "lease list"),
        of_bee("a check of a path that is held", "lease check src/a.rs", 4, "held", None, "Ant@ada"),
        Row {
            agent: Some(Agent { name: "Bee".to_owned(), token: ant.token.clone() }),
            ..row("a claim with another's token", &format!("bead claim {free}"), 6, "refused", None, "Bee")
        },
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
