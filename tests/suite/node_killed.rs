//! A node killed in the middle of its work has lost nothing that it said was done.

use std::{
    collections::BTreeSet,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use serde_json::{Value, json};

use super::support::{Node, settle, until};

/// Times the node is killed.
const ROUNDS: usize = 20;

/// Creates under way at one time.
const WRITERS: usize = 2;

#[test]
fn acknowledged_beads_survive_sigkill() {
    let mut node = Node::running("ada");
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        acknowledged.extend(killed_under_creates(&mut node, 2 + round % 5));
        // Whatever the writers did last, they did without the node.
        node.up();
        let held = node.json(&["bead", "list", "--all", "--limit", "0"]);
        let held: BTreeSet<String> =
            held["beads"].as_array().unwrap().iter().map(|bead| bead["id"].as_str().unwrap().to_owned()).collect();
        let missing: Vec<_> = acknowledged.difference(&held).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
    }
    assert!(acknowledged.len() >= ROUNDS * 2);
    let findings = node.doctor(&[]);
    assert_eq!(findings["findings"], json!([]));
}

#[test]
fn a_peer_killed_and_started_elsewhere_catches_up() {
    let (ada, mut bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    ada.create(&["Before"]);
    settle(&[&ada, &bob]);
    bob.kill();
    for number in 0..10 {
        ada.create(&[&format!("Meanwhile {number}")]);
    }
    until("the lag of bob", || {
        let peer = ada.status()["peers"][0].take();
        peer["connected"] == false && peer["lag_entries"].as_u64().unwrap() >= 10
    });
    bob.up_elsewhere();
    settle(&[&ada, &bob]);
    assert_eq!(ada.export(), bob.export());
    assert_eq!(bob.export().lines().count(), 11);
}

/// Kills the node once `count` creates were acknowledged, and returns the ids of all that were.
fn killed_under_creates(node: &mut Node, count: usize) -> Vec<String> {
    let is_over = AtomicBool::new(false);
    let (sender, ids) = mpsc::channel();
    let process = node.process();
    let node = &*node;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (sender, is_over) = (sender.clone(), &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let output = node.run(&["bead", "create", &format!("By writer {writer}"), "--json"]);
                    if output.status.success() {
                        let body: Value = serde_json::from_slice(&output.stdout).unwrap();
                        let _ = sender.send(body["bead"]["id"].as_str().unwrap().to_owned());
                    }
                }
            });
        }
        drop(sender);
        let mut said: Vec<String> = ids.iter().take(count).collect();
        drop(process);
        is_over.store(true, Ordering::Relaxed);
        // What was under way counts too.
        said.extend(ids.iter());
        said
    })
}
