//! Machines are removed from a mesh, and let in again: everybody sees the same of it, whoever heard of it when.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Node, settle, until};

/// How long a removal may take to be seen at a third node: a second on a machine with nothing else to do.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// How long a removed node is watched trying to get in: several tries of its dialer.
const KNOCKS_FOR: Duration = Duration::from_secs(4);

fn names(node: &Node) -> Vec<String> {
    let body = node.json(&["members"]);
    let members = body["members"].as_array().unwrap().iter();
    let mut names: Vec<String> = members.map(|member| member["name"].as_str().unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}

fn connected(node: &Node) -> Vec<bool> {
    let status = node.status();
    status["peers"].as_array().unwrap().iter().map(|peer| peer["connected"] == true).collect()
}

/// Runs a command that must be refused, and returns the error.
fn refused(node: &Node, args: &[&str]) -> Value {
    let output = node.run(&[args, &["--json"]].concat());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{error}");
    error["error"].clone()
}

#[test]
fn a_removal_is_seen_at_once_everywhere_and_the_removed_node_says_so() {
    let [ada, bob, cid] = ["ada", "bob", "cid"].map(Node::running);
    bob.join(&ada);
    cid.join(&ada);
    let kept = cid.create(&["Written before"]);
    settle(&[&ada, &bob, &cid]);
    let begin = Instant::now();
    let removed = ada.json(&["members", "remove", "cid", "--yes"]);
    assert_eq!((&removed["removed"]["name"], &removed["removed"]["removed_by"]), (&json!("cid"), &json!("ada")));
    until("bob to hear of it", || names(&bob) == ["ada", "bob"]);
    until("nobody to be linked with cid", || connected(&cid).iter().all(|is_up| !is_up));
    let took = begin.elapsed();
    assert!(took < SEEN_WITHIN, "it took {took:?}");
    until("cid to know", || cid.status()["removed"]["removed_by"] == "ada");
    assert_eq!(refused(&cid, &["bead", "create", "Written after"])["code"], "refused");
    let told = cid.run(&["status"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("removed from the mesh by ada"));
    // It goes on knocking, and nobody opens.
    let begin = Instant::now();
    while begin.elapsed() < KNOCKS_FOR {
        assert!(connected(&cid).iter().all(|is_up| !is_up));
        assert_eq!(connected(&ada), [true]);
    }
    assert_eq!(bob.show(&kept)["title"], "Written before");
}

#[test]
fn what_a_removed_node_wrote_meanwhile_has_no_effect_though_another_relays_it() {
    let [mut ada, mut bob, mut cid] = ["ada", "bob", "cid"].map(Node::running);
    bob.join(&ada);
    cid.join(&ada);
    let bead = cid.create(&["Written before"]);
    settle(&[&ada, &bob, &cid]);
    let old = ada.ticket();
    ada.down();
    let late = cid.create(&["Written meanwhile"]);
    cid.json(&["bead", "update", &bead, "--title", "Overwritten"]);
    until("bob to hold it", || bob.show(&bead)["title"] == "Overwritten");
    cid.down();
    bob.down();
    ada.up();
    ada.json(&["members", "remove", "cid", "--yes"]);
    bob.up();
    settle(&[&ada, &bob]);
    for node in [&ada, &bob] {
        assert_eq!(node.show(&bead)["title"], "Written before", "{}", node.name());
        let shown = node.run(&["bead", "show", &late, "--json"]);
        assert_eq!(shown.status.code(), Some(5), "{}", node.name());
        let findings = node.doctor(&[]);
        assert_eq!(findings["findings"], json!([]), "{}", node.name());
    }
    // It has not heard, and is let in by nobody; its old ticket is worth nothing.
    cid.up();
    let error = refused(&cid, &["join", &old]);
    assert_eq!(error["code"], "removed", "{error}");
    assert!(connected(&cid).iter().all(|is_up| !is_up));
    cid.json(&["join", &ada.ticket()]);
    let again = cid.create(&["Written again"]);
    settle(&[&ada, &bob, &cid]);
    for node in [&ada, &bob, &cid] {
        assert_eq!(node.show(&again)["title"], "Written again", "{}", node.name());
        assert_eq!(node.show(&bead)["title"], "Written before", "{}", node.name());
    }
    assert_eq!(names(&bob), ["ada", "bob", "cid"]);
}

#[test]
fn roles_names_and_invites_are_changed_by_those_who_may() {
    let [ada, bob] = ["ada", "bob"].map(Node::running);
    bob.join(&ada);
    let bead = bob.create(&["Written as a member"]);
    settle(&[&ada, &bob]);
    assert_eq!(refused(&bob, &["members", "role", "ada", "observer"])["code"], "refused");
    ada.json(&["members", "role", "bob", "observer"]);
    until("bob to be an observer", || bob.status()["role"] == "observer");
    refused(&bob, &["bead", "create", "Written as an observer"]);
    assert_eq!(ada.show(&bead)["title"], "Written as a member");
    ada.json(&["members", "role", "bob", "admin"]);
    ada.json(&["members", "rename", "bob", "attic"]);
    until("bob to be an admin", || bob.status()["role"] == "admin");
    until("bob to be called attic", || names(&bob) == ["ada", "attic"]);
    bob.create(&["Written as an admin"]);
    settle(&[&ada, &bob]);
    let invite = bob.json(&["invite"]);
    let id = invite["id"].as_str().unwrap();
    let listed = bob.json(&["invite", "list"]);
    assert_eq!((&listed["invites"][0]["id"], &listed["invites"][0]["uses_left"]), (&json!(id), &json!(1)));
    bob.json(&["invite", "revoke", &id[..8]]);
    let late = Node::running("late");
    let output = late.run(&["join", invite["ticket"].as_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    bob.json(&["leave", "--yes"]);
    until("ada to be alone", || names(&ada) == ["ada"]);
    until("bob to know", || bob.status()["removed"]["name"] == "attic");
    assert_eq!(ada.json(&["bead", "list"])["beads"].as_array().unwrap().len(), 2);
}

#[test]
fn a_machine_that_asks_for_approval_is_let_in_by_its_fingerprint() {
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(Node::running);
    let ticket = ada.json(&["invite", "--approve", "--uses", "2"]);
    assert_eq!(ticket["approval"], true);
    let ticket = ticket["ticket"].as_str().unwrap();
    for (node, waiting) in [(&eve, 1), (&bob, 2)] {
        assert_eq!(refused(node, &["join", ticket])["code"], "approval_pending");
        assert_eq!(ada.json(&["members", "requests"])["applicants"].as_array().unwrap().len(), waiting);
    }
    let mine = |node: &Node| {
        let id = node.status()["node"]["id"].as_str().unwrap().to_owned();
        let applicants = ada.json(&["members", "requests"])["applicants"].take();
        let mine = applicants.as_array().unwrap().iter().find(|applicant| applicant["id"] == id).unwrap();
        mine["fingerprint"].as_str().unwrap().to_owned()
    };
    // One asks on while the other is turned away.
    let asking = bob
        .command(&["join", "--request", ticket, "--json"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    ada.json(&["members", "deny", &mine(&eve)]);
    assert_eq!(refused(&eve, &["join", ticket])["code"], "denied");
    let fingerprint = mine(&bob);
    assert_eq!(ada.json(&["members", "approve", &fingerprint])["member"]["name"], "bob");
    let joined = asking.wait_with_output().unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    assert_eq!(names(&ada), ["ada", "bob"]);
    let bead = bob.create(&["Written as a member"]);
    settle(&[&ada, &bob]);
    assert_eq!(ada.show(&bead)["title"], "Written as a member");
}

#[test]
fn the_mesh_is_given_to_another_and_taken_back_with_the_recovery_key() {
    let [ada, bob] = ["ada", "bob"].map(Node::running);
    let key = ada.json(&["recovery", "show", "--once"]);
    let key = key["recovery_key"].as_str().unwrap();
    bob.join(&ada);
    settle(&[&ada, &bob]);
    assert_eq!(refused(&bob, &["members", "owner", "bob", "--yes"])["code"], "refused");
    assert_eq!(ada.json(&["members", "owner", "bob", "--yes"])["member"]["owner"], true);
    settle(&[&ada, &bob]);
    // The voter is on the machine that founded the mesh, and its new owner chooses another.
    assert_eq!(refused(&ada, &["voters", "set", "ada"])["code"], "refused");
    assert_eq!(bob.json(&["voters", "set", "bob"])["voters"][0]["name"], "bob");
    let wrong = ada.run_with(&["recovery", "take", "--key-file", "-", "--json"], &format!("{key}x"));
    assert_eq!(wrong.status.code(), Some(2), "{}", String::from_utf8_lossy(&wrong.stderr));
    let taken = ada.run_with(&["recovery", "take", "--key-file", "-"], key);
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    settle(&[&ada, &bob]);
    let owner = |node: &Node| {
        let members = node.json(&["members"])["members"].take();
        let owner = members.as_array().unwrap().iter().find(|member| member["owner"] == true).unwrap();
        owner["name"].as_str().unwrap().to_owned()
    };
    assert_eq!([&ada, &bob].map(owner), ["ada", "ada"]);
}
