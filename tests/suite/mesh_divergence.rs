//! Two nodes of one mesh change the same graph while neither runs; when they meet, nothing is lost.

use serde_json::{Value, json};

use super::support::{Node, settle};

#[test]
fn what_two_nodes_did_apart_is_there_on_both() {
    let (mut ada, mut bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let parent = ada.create(&["Parent", "-t", "epic"]);
    let shared = ada.create(&["Shared", "-p", "P2", "--assignee", "nobody"]);
    settle(&[&ada, &bob]);
    ada.down();
    bob.down();

    let first = ada.create(&["First child", "--parent", &parent]);
    ada.json(&["bead", "update", &shared, "--title", "Renamed", "--assignee", "ada"]);
    ada.json(&["bead", "label", "add", &shared, "la"]);
    ada.json(&["bead", "comment", &shared, "From ada"]);
    let second = bob.create(&["Second child", "--parent", &parent]);
    bob.json(&["bead", "update", &shared, "--priority", "P0", "--assignee", "bob"]);
    bob.json(&["bead", "label", "add", &shared, "lb"]);
    bob.json(&["bead", "comment", &shared, "From bob"]);
    let ids = [ada.show(&first)["id"].clone(), bob.show(&second)["id"].clone()];

    ada.up();
    bob.up();
    settle(&[&ada, &bob]);
    assert_eq!(ada.export(), bob.export());
    for node in [&ada, &bob] {
        let children = ids.each_ref().map(|id| node.show(id.as_str().unwrap()));
        assert_eq!(children.each_ref().map(|child| &child["title"]), ["First child", "Second child"]);
        assert_ne!(children[0]["id"], children[1]["id"]);
        assert_ne!(children[0]["alias"], children[1]["alias"]);
        assert_eq!(texts(&node.show(&parent)["children"]).len(), 2);

        let bead = node.show(&shared);
        assert_eq!((&bead["title"], &bead["priority"]), (&json!("Renamed"), &json!(0)));
        assert_eq!(bead["labels"], json!(["la", "lb"]));
        let mut said: Vec<&str> = bead["comments"].as_array().unwrap().iter().map(|one| text(&one["text"])).collect();
        said.sort_unstable();
        assert_eq!(said, ["From ada", "From bob"]);

        let conflict = &bead["conflicts"][0];
        assert_eq!((bead["conflicts"].as_array().unwrap().len(), &conflict["field"]), (1, &json!("assignee")));
        let mut values = texts(&conflict["others"]);
        values.push(text(&conflict["shown"]));
        values.sort_unstable();
        assert_eq!(values, ["ada", "bob"]);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(text).collect()
}
