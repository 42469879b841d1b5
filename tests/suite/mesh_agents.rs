//! Agents of one node as another sees them.

use serde_json::{Value, json};

use super::support::{Node, settle, until};

#[test]
fn who_acts_on_one_node_is_seen_on_another() {
    let (mut ada, bob) = (Node::running("ada"), Node::running("bob"));
    let blue = ada.register("BlueLake");
    ada.json_as(&blue, &["mail", "inbox"]);
    bob.join(&ada);
    settle(&[&ada, &bob]);
    let seen = || -> Value {
        let agents = bob.json(&["agent", "list"])["agents"].take();
        let mut agents = agents.as_array().expect("a list").iter();
        agents.find(|agent| agent["address"] == "BlueLake@ada").expect("it is known").clone()
    };
    until("word of an agent of the other node", || seen()["last_used_at"].is_string());
    let agent = seen();
    assert_eq!((&agent["here"], &agent["node_in_reach"]), (&json!(false), &json!(true)), "{agent}");
    let of_ada = ada.json(&["agent", "list"])["agents"].take();
    let own = of_ada.as_array().unwrap().iter().find(|agent| agent["name"] == "BlueLake").unwrap();
    let date = |agent: &Value| agent["last_used_at"].as_str().unwrap()[.."2027-01-31T09:0".len()].to_owned();
    assert_eq!(date(own).len(), date(&agent).len());
    ada.down();
    until("its node to be out of reach", || seen()["node_in_reach"] == json!(false));
}

#[test]
fn a_bead_that_is_closed_on_one_node_is_told_to_who_waits_for_it_on_another() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let blue = ada.register("BlueLake");
    let alias = |value: &Value| value["bead"]["alias"].as_str().unwrap().to_owned();
    let first = alias(&ada.json(&["bead", "create", "The ground"]));
    let second = alias(&ada.json(&["bead", "create", "The walls", "--assignee", "BlueLake"]));
    ada.json(&["bead", "dep", "add", &second, "--on", &first]);
    settle(&[&ada, &bob]);
    bob.json(&["bead", "close", &first]);
    settle(&[&ada, &bob]);
    let letters = ada.json_as(&blue, &["mail", "wait", "--timeout", "80s"])["letters"].take();
    assert_eq!(letters.as_array().unwrap().len(), 1, "{letters}");
    assert_eq!((&letters[0]["system"], &letters[0]["kind"]), (&json!(true), &json!("bead_closed")));
    assert_eq!((&letters[0]["from"], &letters[0]["thread"]), (&json!("system"), &json!(second)));
    assert_eq!(letters[0]["subject"], format!("{first} is closed: {second} is ready"));
    // Nobody else has it, and it stays what it is.
    assert_eq!(bob.json(&["mail", "inbox"])["letters"], json!([]));
    ada.doctor(&["--rebuild"]);
    assert_eq!(ada.json_as(&blue, &["mail", "inbox"])["letters"][0]["id"], letters[0]["id"]);
}
