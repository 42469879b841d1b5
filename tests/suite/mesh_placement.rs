//! Work goes to the machine that has what it needs, and whoever asks elsewhere hears where that is.

use serde_json::{Value, json};

use super::support::{Driver, Node, settle, until};

fn ready(node: &Node) -> Value {
    node.json(&["bead", "ready"])
}

/// Returns the titles of beads that a node lists as ready.
fn titles(node: &Node) -> Vec<String> {
    let beads = ready(node)["beads"].take();
    beads.as_array().unwrap().iter().map(|bead| bead["title"].as_str().unwrap().to_owned()).collect()
}

/// Waits until a node has heard how much memory is free on the cards of others.
fn knows(node: &Node, cards: usize) {
    until(&format!("{} to know of {cards} cards", node.name()), || {
        let told = node.json(&["gpu"])["gpus"].take();
        let gpus = told.as_array().unwrap();
        gpus.len() == cards && gpus.iter().all(|gpu| gpu["memory_free_bytes"].is_u64())
    });
}

#[test]
fn of_three_machines_only_the_one_with_room_takes_what_needs_it() {
    let (_roomy, ada) = Driver::running("ada", "healthy");
    let (full, bob) = Driver::running("bob", "full");
    let cid = Node::running("cid");
    bob.join(&ada);
    cid.join(&ada);
    let bead = cid.create(&["Train it", "--needs", "gpu:1,vram:40GiB"]);
    let writing = cid.create(&["Write about it"]);
    settle(&[&ada, &bob, &cid]);
    for node in [&ada, &bob, &cid] {
        knows(node, 4);
    }
    until("ada to take it", || titles(&ada) == ["Train it", "Write about it"]);
    for node in [&bob, &cid] {
        until("the others to leave it out", || titles(node) == ["Write about it"]);
        until("them to know who has room", || {
            let unfit = ready(node)["unfit"].take();
            unfit[0]["alias"] == json!(bead) && unfit[0]["fits"] == json!(["ada"])
        });
        let anywhere = node.json(&["bead", "ready", "--anywhere"])["beads"].take();
        assert_eq!(anywhere.as_array().unwrap().len(), 2);
    }
    until("bob to know that cid has no cards", || {
        let unfit = ready(&bob)["unfit"].take();
        unfit[0]["others"] == json!([{"node": "cid", "lacks": ["it has no cards"]}])
    });
    let why = String::from_utf8(bob.run(&["bead", "ready", "--why"]).stdout).unwrap();
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in ["it has 0 of 1 cards with 40GiB free", "cid: it has no cards", "ada: has all of it"] {
        assert!(why.contains(told), "{why}");
    }
    // Nobody claims what its machine lacks, unless it says so.
    let agent = bob.register("BlueLake");
    let refused = bob.try_as(&agent, &["bead", "claim", &bead]).unwrap_err();
    assert_eq!((&refused["code"], &refused["exit"]), (&json!("needs_unmet"), &json!(4)), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("claim it on ada"), "{refused}");
    let other = bob.json_as(&agent, &["bead", "ready", "--claim"]);
    assert_eq!((&other["claim"]["bead"], &other["title"]), (&json!(writing), &json!("Write about it")), "{other}");
    // A card that is free is named, wherever it is; once its memory is taken there is none.
    let picked = cid.json(&["gpu", "pick", "--vram", "40GiB", "--max-busy", "99"]);
    assert_eq!((&picked["gpu"]["node"], &picked["gpu"]["health"]), (&json!("ada"), &json!("ok")), "{picked}");
    for none in [["--vram", "79GiB"], ["--max-busy", "30"]] {
        let output = cid.run(&[&["gpu", "pick"], &none[..]].concat());
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    }
    full.turns("healthy");
    until("bob to have room, too", || titles(&bob).contains(&"Train it".to_owned()));
    bob.json_as(&agent, &["bead", "claim", &bead]);
}
