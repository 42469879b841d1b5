//! A machine gets another key: everybody takes it for the same machine, and the old key for nobody.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Node, settle, until};

/// How long the old key is watched trying to get in: several tries of its dialer.
const KNOCKS_FOR: Duration = Duration::from_secs(4);

/// Returns whether a node is linked with another, by the id of that.
fn linked(node: &Node, id: &Value) -> bool {
    let peers = node.status()["peers"].take();
    peers.as_array().unwrap().iter().any(|peer| peer["id"] == *id && peer["connected"] == true)
}

fn refused(node: &Node, args: &[&str]) -> Value {
    let output = node.run(&[args, &["--json"]].concat());
    assert!(!output.status.success());
    serde_json::from_slice::<Value>(&output.stderr).unwrap()["error"].take()
}

#[test]
fn a_machine_goes_on_by_another_key_and_the_old_one_opens_nothing() {
    let [ada, bob, cid] = ["ada", "bob", "cid"].map(Node::running);
    bob.join(&ada);
    cid.join(&ada);
    let (blue, green) = (ada.register("BlueLake"), cid.register("GreenCastle"));
    let kept = cid.create(&["Written before"]);
    settle(&[&ada, &bob, &cid]);
    cid.json_as(&green, &["mail", "send", "--to", "BlueLake@ada", "--subject", "Before", "Text."]);
    settle(&[&ada, &bob, &cid]);
    let (old, key) = (cid.status()["node"]["id"].take(), fs::read(cid.home().join("node.key")).unwrap());
    let backup = cid.home().with_file_name("old.backup");
    cid.json(&["backup", backup.to_str().unwrap(), "--with-key"]);

    assert_eq!(refused(&cid, &["members", "rotate"])["code"], "usage", "it has to be meant");
    assert_eq!(refused(&ada, &["members", "rotate", "--yes"])["code"], "refused", "the owner keeps its key");
    assert_eq!(refused(&cid, &["members", "rotate", "--finish", "--yes"])["code"], "conflict", "none waits");
    let told = cid.json(&["members", "rotate", "--yes"]);
    let new = told["member"]["id"].clone();
    assert_eq!((&told["member"]["rotated_from"], &told["waiting"]), (&old, &json!(false)), "{told}");
    assert_ne!(new, old);
    assert!(!told["known_to"].as_array().unwrap().is_empty(), "{told}");
    until("ada to be linked with the new key", || linked(&ada, &new));
    until("bob to be linked with the new key", || linked(&bob, &new));
    settle(&[&ada, &bob, &cid]);
    assert_eq!((cid.status()["node"]["id"].clone(), cid.status()["node"]["name"].clone()), (new.clone(), json!("cid")));
    assert_ne!(fs::read(cid.home().join("node.key")).unwrap(), key);
    assert!(!cid.home().join("node.key.next").exists());
    for node in [&ada, &bob, &cid] {
        let body = node.json(&["members"]);
        let ids: Vec<&Value> = body["members"].as_array().unwrap().iter().map(|member| &member["id"]).collect();
        assert!(ids.contains(&&new) && !ids.contains(&&old) && ids.len() == 3, "{}: {body}", node.name());
        assert_eq!((&body["former"][0]["id"], &body["former"][0]["rotated_to"]), (&old, &new));
    }

    // Its agents are who they were, with the tokens they had, and so are its beads.
    cid.json_as(&green, &["mail", "send", "--to", "BlueLake@ada", "--subject", "After", "Text."]);
    ada.json_as(&blue, &["mail", "send", "--to", "GreenCastle@cid", "--subject", "Answer", "Text."]);
    cid.json(&["bead", "update", &kept, "--title", "Written after"]);
    settle(&[&ada, &bob, &cid]);
    let subjects = |node: &Node, agent| {
        let letters = node.json_as(agent, &["mail", "inbox"])["letters"].take();
        letters.as_array().unwrap().iter().map(|letter| letter["subject"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(subjects(&ada, &blue), ["After", "Before"]);
    assert_eq!(subjects(&cid, &green), ["Answer"]);
    assert_eq!(bob.show(&kept)["title"], "Written after");

    // Whoever has the old key, and the store of then, is linked by nobody, and what it signs is shown to nobody.
    let mut thief = Node::new("cid");
    thief.json(&["restore", backup.to_str().unwrap()]);
    thief.up();
    let forged = thief.create(&["Forged"]);
    let begin = Instant::now();
    while begin.elapsed() < KNOCKS_FOR {
        assert!([&ada, &bob].iter().all(|node| !linked(node, &old)));
    }
    let carried = thief.home().with_file_name("forged.backup");
    thief.json(&["backup", carried.to_str().unwrap()]);
    bob.json(&["restore", carried.to_str().unwrap(), "--into"]);
    settle(&[&ada, &bob, &cid]);
    for node in [&ada, &bob, &cid] {
        assert_eq!(node.run(&["bead", "show", &forged]).status.code(), Some(5), "{}", node.name());
        assert_eq!(node.doctor(&[])["findings"], json!([]), "{}", node.name());
    }
}

#[test]
fn a_key_is_replaced_once_more_and_again_after_a_restart() {
    let (ada, mut bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let green = bob.register("GreenCastle");
    settle(&[&ada, &bob]);
    for round in 0..2 {
        let new = bob.json(&["members", "rotate", "--yes"])["member"]["id"].take();
        until("ada to be linked with the new key", || linked(&ada, &new));
        settle(&[&ada, &bob]);
        bob.down();
        bob.up();
        until("ada to be linked with it again", || linked(&ada, &new));
        assert_eq!(bob.status()["node"]["id"], new, "{round}");
        bob.json_as(&green, &["mail", "send", "--to", "keeper@ada", "--subject", "Still here", "Text."]);
    }
    settle(&[&ada, &bob]);
    assert_eq!(ada.json(&["mail", "inbox"])["letters"].as_array().unwrap().len(), 2);
    assert_eq!(ada.export(), bob.export());
}

#[test]
fn a_new_key_that_nobody_has_heard_of_waits_for_a_member() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let green = bob.register("GreenCastle");
    settle(&[&ada, &bob]);
    let old = bob.status()["node"]["id"].take();
    ada.freeze();
    let told = bob.json(&["members", "rotate", "--yes"]);
    assert_eq!((&told["waiting"], &told["known_to"]), (&json!(true), &json!([])), "{told}");
    assert_eq!(refused(&bob, &["members", "rotate", "--yes"])["code"], "conflict", "one waits already");
    assert!(bob.home().join("node.key.next").exists());
    ada.thaw();
    let new = told["member"]["id"].clone();
    until("ada to be linked with the new key", || linked(&ada, &new));
    settle(&[&ada, &bob]);
    assert!(!bob.home().join("node.key.next").exists());
    assert!(!linked(&ada, &old));
    bob.json_as(&green, &["mail", "send", "--to", "keeper@ada", "--subject", "Since then", "Text."]);
    settle(&[&ada, &bob]);
    assert_eq!(ada.json(&["mail", "inbox"])["letters"][0]["subject"], "Since then");
}
