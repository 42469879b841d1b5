//! Letters between two nodes, one of which is not there when it is written to.

use serde_json::json;

use super::support::{Node, settle};

#[test]
fn a_letter_written_while_the_other_node_is_down_arrives_once() {
    let (ada, mut bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let (blue, green) = (ada.register("BlueLake"), bob.register("GreenCastle"));
    settle(&[&ada, &bob]);
    bob.down();
    let send = ["mail", "send", "--to", "GreenCastle@bob", "--subject", "Keys", "--ack", "Rotate them."];
    let letter = ada.json_as(&blue, &send)["letter"].take();
    bob.up();
    settle(&[&ada, &bob]);
    let inbox = bob.json_as(&green, &["mail", "inbox"])["letters"].take();
    assert_eq!(inbox.as_array().unwrap().len(), 1, "{inbox}");
    assert_eq!((&inbox[0]["id"], &inbox[0]["from"]), (&letter["id"], &json!("BlueLake@ada")));
    assert_eq!((&inbox[0]["unread"], &inbox[0]["ack_due"]), (&json!(true), &json!(true)));

    // Receipts go the other way, each as soon as it is given.
    let id = letter["id"].as_str().unwrap();
    let receipts = || ada.json_as(&blue, &["mail", "show", id])["letter"]["receipts"].take();
    assert_eq!(receipts(), json!(null));
    bob.json_as(&green, &["mail", "show", id]);
    settle(&[&ada, &bob]);
    let read = receipts();
    assert_eq!((&read[0]["agent"], &read[0]["acknowledged_at"]), (&json!("GreenCastle@bob"), &json!(null)), "{read}");
    bob.json_as(&green, &["mail", "ack", id]);
    bob.json_as(&green, &["mail", "reply", id, "Done."]);
    settle(&[&ada, &bob]);
    assert!(receipts()[0]["acknowledged_at"].is_string(), "{}", receipts());
    assert_eq!(ada.json_as(&blue, &["status"])["unread"], 1);
    let thread = |node: &Node, agent| {
        let letters = node.json_as(agent, &["mail", "thread", id])["letters"].take();
        letters.as_array().unwrap().iter().map(|letter| letter["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(thread(&ada, &blue), thread(&bob, &green));
    assert_eq!(thread(&ada, &blue).len(), 2);
    // The name alone is the agent of one's own node, or the only one there is.
    assert_eq!(bob.run_as("BlueLake", Some(&blue.token), &["mail", "inbox"]).status.code(), Some(6));
    ada.json_as(&blue, &["mail", "send", "--to", "GreenCastle", "--subject", "Short", "Text."]);
    let ambiguous = bob.run_as("GreenCastle", Some(&green.token), &["mail", "send", "--to", "keeper", "-s", "x", "y"]);
    assert!(ambiguous.status.success(), "one's own node comes first");
}

#[test]
fn a_letter_reaches_who_waits_for_it_on_another_node() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let (blue, green) = (ada.register("BlueLake"), bob.register("GreenCastle"));
    settle(&[&ada, &bob]);
    let mut command = bob.command_as(&green, &["mail", "wait", "--timeout", "80s"]);
    let waiting = std::thread::spawn(move || command.output().unwrap());
    ada.json_as(&blue, &["mail", "send", "--to", "GreenCastle", "--subject", "Now", "Text."]);
    let output = waiting.join().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("Now") && shown.contains("BlueLake@ada"),
        "{shown}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn agents_come_along_into_a_mesh_that_their_node_joins() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    let green = bob.register("GreenCastle");
    bob.json_as(&green, &["mail", "send", "--to", "keeper", "--subject", "Before", "Text."]);
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let agents = ada.json(&["agent", "list"])["agents"].take();
    let addresses: Vec<_> = agents.as_array().unwrap().iter().map(|agent| agent["address"].clone()).collect();
    for address in ["keeper@ada", "keeper@bob", "GreenCastle@bob"] {
        assert!(addresses.contains(&json!(address)), "{address}: {addresses:?}");
    }
    // Tokens stay, and so do letters.
    assert_eq!(bob.json(&["mail", "inbox"])["letters"][0]["subject"], "Before");
    assert_eq!(bob.json_as(&green, &["mail", "inbox"])["letters"], json!([]));
}

#[test]
fn a_node_whose_only_agent_is_its_user_joins_as_an_observer() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    let ticket = ada.json(&["invite", "--role", "observer"])["ticket"].as_str().unwrap().to_owned();
    bob.json(&["join", &ticket]);
    settle(&[&ada, &bob]);
    let agents = bob.json(&["agent", "list"])["agents"].take();
    assert_eq!(agents.as_array().unwrap().len(), 1, "{agents}");
    assert_eq!(agents[0]["address"], "keeper@ada");
    // It sees what there is, and writes nothing.
    assert_eq!(bob.status()["unread"], json!(null));
    assert_eq!(bob.run(&["bead", "create", "Nothing"]).status.code(), Some(6));
    assert_eq!(bob.run(&["mail", "inbox"]).status.code(), Some(6));
}
