//! Agents and letters on one machine: who may act under which name, and what letters look like.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Output, thread};

use serde_json::{Value, json};

use super::support::{Agent, Node};

/// Bytes of a letter's body at most.
const BODY_BYTES_MAX: usize = 64 * 1024;

#[test]
fn nobody_acts_under_a_name_without_its_token() {
    let (node, elsewhere) = (Node::running("ada"), Node::running("bob"));
    let [blue, green, gone] = ["BlueLake", "GreenCastle", "Gone"].map(|name| node.register(name));
    node.json(&["agent", "retire", "Gone"]);
    let stranger = elsewhere.register("BlueLake");
    let rows = [
        ("no token", "BlueLake", None),
        ("another agent's token", "BlueLake", Some(&green.token)),
        ("the name of the user", "keeper", Some(&blue.token)),
        ("letters of the other case", "bluelake", Some(&green.token)),
        ("a retired agent", "Gone", Some(&gone.token)),
        ("a token of another mesh", "BlueLake", Some(&stranger.token)),
    ];
    let before = node.status();
    for (what, name, token) in rows {
        for wish in [
            &["mail", "send", "--to", "GreenCastle", "--subject", "Keys", "Rotate them."][..],
            &["mail", "inbox"],
            &["bead", "create", "Rotate the keys"],
        ] {
            let output = node.run_as(name, token.map(String::as_str), &[wish, &["--json"]].concat());
            let error = error(&output);
            assert_eq!(output.status.code(), Some(6), "{what}: {wish:?}: {error}");
            assert_eq!(error["code"], "refused", "{what}: {wish:?}: {error}");
            assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{what}: {wish:?}: {error}");
            for secret in [&blue, &green, &gone, &stranger] {
                assert!(!error.to_string().contains(&secret.token), "{what}: a token is told");
            }
        }
        let after = node.status();
        assert_eq!((&after["digest"], &after["entries"]), (&before["digest"], &before["entries"]), "{what}");
    }
    let bead = json!({"by": "BlueLake"});
    let made = node.json_as(&blue, &["bead", "create", "Rotate the keys"]);
    assert_eq!(made["bead"]["created_by"], bead["by"]);
    assert!(!node.logged().contains("bma1"), "a token is in the log");
}

#[test]
fn a_token_that_is_none_is_refused_without_being_told() {
    let node = Node::new("ada");
    node.register("BlueLake");
    for wrong in ["hunter2-secret", "bma1secret", "bma1\u{e9}secret"] {
        let output = node.run_as("BlueLake", Some(wrong), &["mail", "inbox", "--json"]);
        let error = error(&output);
        assert!(matches!(output.status.code(), Some(2 | 6)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn the_user_is_an_agent_whose_token_the_home_keeps() {
    let node = Node::new("ada");
    node.create(&["Anything"]);
    let token = node.home().join("human.token");
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o7777, 0o600);
    let agents = node.json(&["agent", "list"]);
    assert_eq!(agents["agents"][0]["address"], "keeper@ada", "{agents}");
    node.json(&["mail", "send", "--to", "keeper", "--subject", "To myself", "Buy milk."]);
    assert_eq!(node.status()["unread"], 1);
    // The token alone proves who it is.
    fs::remove_file(&token).unwrap();
    for wish in [&["mail", "inbox", "--json"][..], &["bead", "create", "More", "--json"]] {
        let output = node.run(wish);
        let error = error(&output);
        assert_eq!(output.status.code(), Some(6), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("beadmesh agent rotate --human"), "{error}");
    }
    node.json(&["agent", "rotate", "--human"]);
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(node.json(&["mail", "inbox"])["letters"][0]["subject"], "To myself");
    // Neither can be done to the user by way of the name.
    for wish in [["agent", "retire", "keeper", "--json"], ["agent", "rotate", "Keeper", "--json"]] {
        assert_eq!(node.run(&wish).status.code(), Some(6), "{wish:?}");
    }
    let output = node.run_with_env(&["mail", "inbox", "--json"], &[("BEADMESH_TOKEN", "bma1x")]);
    assert_eq!(output.status.code(), Some(2), "a token without a name is nobody's");
}

#[test]
fn a_new_token_makes_the_old_one_worthless() {
    let node = Node::running("ada");
    let blue = node.register("BlueLake");
    let told = node.json(&["agent", "rotate", "BlueLake"]);
    let renewed = Agent { name: blue.name.clone(), token: told["token"].as_str().unwrap().to_owned() };
    assert_eq!(node.run_as("BlueLake", Some(&blue.token), &["mail", "inbox"]).status.code(), Some(6));
    assert_eq!(node.json_as(&renewed, &["mail", "inbox"])["letters"], json!([]));
    let taken = node.run(&["agent", "register", "bluelake", "--json"]);
    assert_eq!((taken.status.code(), &error(&taken)["code"]), (Some(4), &json!("conflict")));
    let told = node.json_as(&renewed, &["agent", "register", "BlueLake", "--task", "Rotate the keys"]);
    assert_eq!((&told["agent"]["task"], told.get("token")), (&json!("Rotate the keys"), None));
    let made_up = node.json(&["agent", "register", "--auto"]);
    assert!(made_up["agent"]["name"].as_str().is_some_and(|name| name != "BlueLake"), "{made_up}");
}

#[test]
fn letters_read_well() {
    let node = Node::running("ada");
    let [blue, green] = ["BlueLake", "GreenCastle"].map(|name| node.register(name));
    let send = ["mail", "send", "--to", "GreenCastle", "--cc", "keeper", "--subject", "The keys lapse on Monday"];
    let more = [
        "--thread",
        "keys",
        "--importance",
        "urgent",
        "--ack",
        "Please rotate them:\n\n- \u{1b}[31mred\u{1b}[0m\n- blue",
    ];
    let sent = text(&node.run_as("BlueLake", Some(&blue.token), &[&send[..], &more].concat()));
    let first = node.json_as(&green, &["mail", "inbox"])["letters"][0].take();
    let short = |letter: &Value| letter["short"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(told(&sent, &[&first]), @"Wrote LETTER to 2 agents. Stored here.");
    let inbox = text(&node.run_as("GreenCastle", Some(&green.token), &["mail", "inbox"]));
    insta::assert_snapshot!(told(&inbox, &[&first]), @r"
    ID      STATE         LEVEL   FROM          SUBJECT                   THREAD  WHEN
    LETTER  new, ack due  urgent  BlueLake@ada  The keys lapse on Monday  keys    just now
    ");
    let shown = text(&node.run_as("GreenCastle", Some(&green.token), &["mail", "show", &short(&first)]));
    insta::assert_snapshot!(told(&shown, &[&first]), @r"
    LETTER  The keys lapse on Monday
    urgent · ack due
    From     BlueLake@ada
    To       GreenCastle@ada
    Copy     keeper@ada
    Sent     DATE (just now)
    Thread   keys
    Read     GreenCastle@ada, just now

    Please rotate them:

    - �[31mred�[0m
    - blue
    ");
    let reply = node.json_as(&green, &["mail", "reply", &short(&first), "--all", "Done."])["letter"].take();
    assert_eq!(reply["subject"], "Re: The keys lapse on Monday");
    assert_eq!((&reply["thread"], &reply["in_reply_to"]), (&json!("keys"), &first["id"]));
    node.json_as(&green, &["mail", "ack", &short(&first)]);
    let thread = text(&node.run_as("BlueLake", Some(&blue.token), &["mail", "thread", "keys"]));
    insta::assert_snapshot!(told(&thread, &[&first, &reply]), @r"
    LETTER  The keys lapse on Monday
    urgent
    From     BlueLake@ada
    To       GreenCastle@ada
    Copy     keeper@ada
    Sent     DATE (just now)
    Thread   keys
    Read     GreenCastle@ada, acknowledged just now

    Please rotate them:

    - �[31mred�[0m
    - blue

    ────────────────────────────────────────────────────────────────────────────────

    ANSWER  Re: The keys lapse on Monday
    new
    From     GreenCastle@ada
    To       BlueLake@ada
    Copy     keeper@ada
    Sent     DATE (just now)
    Thread   keys
    Answers  LETTER-ID

    Done.
    ");
    let of_letter = text(&node.run_as("BlueLake", Some(&blue.token), &["mail", "thread", &short(&reply)]));
    assert_eq!(of_letter, thread);
    let found = node.json_as(&blue, &["mail", "search", "KEYS", "rotate"]);
    assert_eq!(found["letters"][0]["id"], first["id"], "{found}");
    let nothing = node.run_as("BlueLake", Some(&blue.token), &["mail", "search", "lorem"]);
    assert_eq!(String::from_utf8_lossy(&nothing.stderr), "No letter holds all of that.\n");
}

#[test]
fn looking_at_a_letter_reads_it_unless_one_only_peeks() {
    let node = Node::new("ada");
    let (blue, green) = (node.register("BlueLake"), node.register("GreenCastle"));
    for (subject, importance) in [("First", "normal"), ("Second", "urgent")] {
        let send = ["mail", "send", "--to", "GreenCastle", "-s", subject, "--importance", importance, "Text."];
        node.json_as(&blue, &send);
    }
    let subjects = |args: &[&str]| -> Vec<String> {
        let body = node.json_as(&green, &[&["mail", "inbox"], args].concat());
        body["letters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|letter| letter["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(subjects(&[]), ["Second", "First"]);
    assert_eq!(subjects(&["--urgent"]), ["Second"]);
    assert_eq!(subjects(&["--since", "1h"]).len(), 2);
    assert_eq!(subjects(&["--since", "9999-01-01"]).len(), 0);
    let page = node.json_as(&green, &["mail", "inbox", "--limit", "1"]);
    let second = page["letters"][0]["short"].as_str().unwrap();
    assert_eq!(page["next"], page["letters"][0]["id"]);
    assert_eq!(subjects(&["--limit", "1", "--after", second]), ["First"]);
    node.json_as(&green, &["mail", "show", second, "--peek"]);
    assert_eq!(subjects(&["--unread"]).len(), 2);
    node.json_as(&green, &["mail", "show", second]);
    assert_eq!(subjects(&["--unread"]), ["First"]);
    let unknown = node.run_as("GreenCastle", Some(&green.token), &["mail", "show", "zzzzzz", "--json"]);
    assert_eq!((unknown.status.code(), &error(&unknown)["code"]), (Some(5), &json!("not_found")));
}

#[test]
fn a_letter_that_can_not_be_written_is_named_and_changes_nothing() {
    let node = Node::running("ada");
    let blue = node.register("BlueLake");
    let long = "x".repeat(BODY_BYTES_MAX + 1);
    let key = "AWS key AKIAIOSFODNN7EXAMPLE";
    let before = node.status();
    let rows = [
        ("an unknown recipient", "BlueLak", "Text.", 5, "BlueLake"),
        ("a body that is too long", "BlueLake", long.as_str(), 2, "65536"),
        ("a body that is a little too long, of many lines", "BlueLake", &"x\n".repeat(BODY_BYTES_MAX), 2, "65536"),
        ("a key", "BlueLake", key, 6, "aws-access-key"),
    ];
    for (what, to, body, exit, says) in rows {
        let send = ["mail", "send", "--to", to, "--subject", "Keys", "-", "--json"];
        let output = node.run_with_as(&blue, &send, body);
        let error = error(&output);
        assert_eq!(output.status.code(), Some(exit), "{what}: {error}");
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert_eq!(node.status()["digest"], before["digest"], "{what}");
    }
    let send = ["mail", "send", "--to", "BlueLake", "--subject", "Keys", "-", "--json"];
    let output = node.run_with_as(&blue, &send, &format!("{}\n", &long[1..]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = node.run_with_as(&blue, &[&send[..], &["--allow-credentials"]].concat(), key);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(node.logged().contains("without looking for credentials"), "the override is logged");
    assert!(!node.logged().contains("AKIA"), "what it let through is not");
}

#[test]
fn waiting_ends_with_a_letter_or_with_the_time() {
    let mut node = Node::running("ada");
    let (blue, green) = (node.register("BlueLake"), node.register("GreenCastle"));
    let output = node.run_as("GreenCastle", Some(&green.token), &["mail", "wait", "--timeout", "1s", "--json"]);
    assert_eq!((output.status.code(), &error(&output)["code"]), (Some(7), &json!("timeout")));
    let mut command = node.command_as(&green, &["mail", "wait", "--timeout", "80s", "--json"]);
    let waiting = thread::spawn(move || command.output().unwrap());
    node.down();
    node.up();
    node.json_as(&blue, &["mail", "send", "--to", "GreenCastle", "--subject", "Now", "Text."]);
    let output = waiting.join().unwrap();
    let body: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error(&output)));
    assert_eq!(body["letters"][0]["subject"], "Now", "{body}");
    assert_eq!(body["letters"][0]["unread"], true, "{body}");
    // Without a node, what lies in the store is found as well.
    node.down();
    let found = node.json_as(&green, &["mail", "wait", "--timeout", "80s"]);
    assert_eq!(found["letters"][0]["subject"], "Now");
}

/// Returns what was printed, which was a success.
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Returns a text without what differs from run to run: ids and dates of letters.
fn told(text: &str, letters: &[&Value]) -> String {
    let mut text = text.to_owned();
    for (letter, name) in letters.iter().zip(["LETTER", "ANSWER"]) {
        let date = letter["sent_at"].as_str().unwrap();
        let minute = format!("{} {} UTC", &date[..10], &date[11..16]);
        text = text.replace(letter["id"].as_str().unwrap(), &format!("{name}-ID"));
        text = text.replace(letter["short"].as_str().unwrap(), name).replace(&minute, "DATE");
    }
    text
}

fn error(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_else(|| panic!("nothing on stderr"));
    let mut body: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    body["error"].take()
}
