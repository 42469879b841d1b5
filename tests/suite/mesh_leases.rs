//! Claims when machines are apart: who is cut off or asleep loses its lease and knows it, who is offline is told so.

use std::{
    fs,
    process::{Command, Output},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use super::support::{Agent, Cable, Node, Tenure, Watch, crew, granted, settle, until};

/// The repository that the agents work on, as git names it.
const REMOTE: &str = "git@example.org:mesh/tool.git";

#[test]
fn a_holder_that_is_cut_off_has_lost_its_lease_before_the_majority_grants_it_anew() {
    let Some(cable) = granted(Cable::lay()) else { return };
    let [office, away] = cable.ends();
    let mut nodes = [Node::placed("ada", office.clone()), Node::placed("bob", office), Node::placed("cyd", away)];
    crew(&mut nodes, 3);
    let (late, next, bead) = made(&nodes);
    let [_, bob, cyd] = &nodes;
    let watch = Watch::of(cyd);
    let first = held(&cyd.json_as(&late, &["bead", "claim", &bead, "--scope", "src/"]));
    assert_eq!(commit(cyd, &late, "src/a.rs"), (Some(0), String::new()));
    settle(&nodes.each_ref());
    let (code, told) = commit(bob, &next, "src/b.rs");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("src/b.rs: held by Late@cyd"), "{told}");

    cable.pull();
    let (second, granted_at, held_until) = thread::scope(|scope| {
        let claim = ["bead", "claim", &bead, "--scope", "src/", "--wait", "80s"];
        let granted = scope.spawn(move || (bob.json_as(&next, &claim), Instant::now()));
        let held_until = lapse(cyd, &bead);
        let (answer, granted_at) = granted.join().unwrap();
        (held(&answer), granted_at, held_until)
    });
    assert!(held_until <= granted_at, "both had it for {:?}", held_until - granted_at);
    assert!(second > first);
    assert_lost(cyd, &late, &watch);

    // It does not know, and closes the bead.
    cyd.json_as(&late, &["bead", "close", &bead]);
    assert_eq!(cyd.show(&bead)["status"], "closed");
    cable.plug();
    settle(&nodes.each_ref());
    assert_stale(&nodes, &bead, (first, second));
}

#[test]
fn a_holder_that_slept_past_its_lease_has_lost_it_and_closes_too_late() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    let (late, next, bead) = made(&nodes);
    let [_, bob, cyd] = &nodes;
    let other = cyd.create(&["Another part"]);
    settle(&nodes.each_ref());
    let watch = Watch::of(cyd);
    let first = held(&cyd.json_as(&late, &["bead", "claim", &bead, "--scope", "src/"]));
    let first_other = held(&cyd.json_as(&late, &["bead", "claim", &other]));
    settle(&nodes.each_ref());

    cyd.freeze();
    let claim = |bead: &str| held(&bob.json_as(&next, &["bead", "claim", bead, "--wait", "80s"]));
    let (second, second_other) = (claim(&bead), claim(&other));
    // This close is on its way before the node can have noticed anything.
    let mut close = cyd.command_as(&late, &["bead", "close", &other]).spawn().unwrap();
    cyd.thaw();
    assert_lost(cyd, &late, &watch);
    assert!(close.wait().unwrap().success());
    cyd.json_as(&late, &["bead", "close", &bead]);
    settle(&nodes.each_ref());
    assert!(second > first && second_other > first_other);
    assert_stale(&nodes, &bead, (first, second));
    assert_stale(&nodes, &other, (first_other, second_other));
}

#[test]
fn of_two_laptops_that_claim_one_bead_offline_one_gets_it_and_the_other_hears_once() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    let bead = nodes[0].create(&["Claimed twice"]);
    let agents = [nodes[1].register("Blue"), nodes[2].register("Red")];
    settle(&nodes.each_ref());
    nodes.iter_mut().for_each(Node::down);
    let [ada, laptops @ ..] = &mut nodes;
    // Each is where the other does not look for it, until both meet the one that stayed where it was.
    laptops.iter_mut().for_each(Node::up_elsewhere);
    for (laptop, agent) in laptops.iter().zip(&agents) {
        let claim = laptop.json_as(agent, &["bead", "claim", &bead])["claim"].take();
        let reached = (&claim["state"], &claim["voters_reached"], &claim["voters"]);
        assert_eq!(reached, (&json!("tentative"), &json!(1), &json!(3)), "{claim}");
        let again = laptop.command_as(agent, &["bead", "claim", &bead]).output().unwrap();
        assert!(String::from_utf8_lossy(&again.stdout).starts_with("Tentative: "), "{again:?}");
        assert!(String::from_utf8_lossy(&again.stderr).contains("is not held"), "{again:?}");
        laptop.json_as(agent, &["bead", "comment", &bead, &format!("Done by {}", agent.name)]);
    }

    ada.up();
    settle(&nodes.each_ref());
    let state =
        |at: usize| nodes[1 + at].json(&["lease", "list", "--all", "--agent", &agents[at].name])["claims"][0].take();
    until("one claim to be held and the other to be given up", || {
        let mut states = [0, 1].map(|at| state(at)["state"].as_str().unwrap().to_owned());
        states.sort_unstable();
        states == ["ended", "held"]
    });
    let winner = usize::from(state(1)["state"] == "held");
    let loser = 1 - winner;
    assert_eq!(state(loser)["reason"], "yielded");
    settle(&nodes.each_ref());
    let letters = nodes[1 + loser].json_as(&agents[loser], &["mail", "inbox"])["letters"].take();
    let [letter] = letters.as_array().unwrap().as_slice() else { panic!("{letters}") };
    let full = nodes[1 + loser].json_as(&agents[loser], &["mail", "show", letter["id"].as_str().unwrap()]);
    let told = full.to_string();
    let by = format!("{}@{}", agents[winner].name, nodes[1 + winner].name());
    assert!(told.contains(&by) && told.contains(&bead), "{told}");
    for node in &nodes {
        let comments = node.show(&bead)["comments"].to_string();
        assert!(agents.iter().all(|agent| comments.contains(&format!("Done by {}", agent.name))), "{comments}");
        assert_eq!(node.export(), nodes[0].export());
    }
}

/// Makes the repositories, one agent that will be late and one that comes after it, and a bead for both.
fn made(nodes: &[Node; 3]) -> (Agent, Agent, String) {
    for node in nodes {
        for args in [&["init", "--quiet"][..], &["remote", "add", "origin", REMOTE]] {
            let output = git(node).args(args).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        node.json(&["guard", "install"]);
    }
    let (late, next) = (nodes[2].register("Late"), nodes[1].register("Next"));
    let bead = nodes[0].create(&["A part"]);
    settle(&nodes.each_ref());
    (late, next, bead)
}

/// Returns git in a node's repository, free of what the machine has configured.
fn git(node: &Node) -> Command {
    let mut command = Command::new("git");
    command.current_dir(node.work()).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    command.env_remove("BEADMESH_GUARD").env("NO_COLOR", "1").env("BEADMESH_HOME", node.home());
    command
}

/// Commits a new file as an agent; returns git's exit code, and what was said.
fn commit(node: &Node, agent: &Agent, path: &str) -> (Option<i32>, String) {
    let file = node.work().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, "// New.\n").unwrap();
    assert!(git(node).args(["add", path]).output().unwrap().status.success());
    let mut commit = git(node);
    commit.args(["commit", "--quiet", "-m", "Add a file"]);
    let commit = commit.env("BEADMESH_AGENT", &agent.name).env("BEADMESH_TOKEN", &agent.token);
    let Output { status, stdout, stderr } = commit.output().unwrap();
    (status.code(), [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat())
}

/// Returns the token of a claim that is held.
fn held(answer: &Value) -> u64 {
    assert_eq!(answer["claim"]["state"], "held", "{answer}");
    answer["claim"]["token"].as_u64().unwrap()
}

/// Waits until a node says that a claim is not held any more; returns until when it said that it was.
fn lapse(node: &Node, bead: &str) -> Instant {
    let mut held_until = Instant::now();
    until("the lease to lapse", || {
        let asked_at = Instant::now();
        let answer = node.json(&["lease", "show", bead]);
        match Tenure::read(&answer, asked_at) {
            Some(tenure) => held_until = held_until.max(tenure.until),
            None => assert_eq!(answer["claim"]["state"], "lapsed", "{answer}"),
        }
        answer["claim"]["state"] == "lapsed"
    });
    held_until
}

/// Checks that an agent has heard of the loss of its lease in every way there is, and may not commit under it.
fn assert_lost(node: &Node, agent: &Agent, watch: &Watch) {
    let address = format!("{}@{}", agent.name, node.name());
    watch.await_event("the lapse", |event| event["state"] == "lapsed" && event["agent"] == address);
    let letters = node.json_as(agent, &["mail", "wait", "--timeout", "60s"])["letters"].take();
    assert!(letters.as_array().unwrap().iter().any(|letter| letter["kind"] == "lease_lapsed"), "{letters}");
    let (code, told) = commit(node, agent, "src/late.rs");
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("src/late.rs: "), "{told}");
    let error = node.try_as(agent, &["lease", "check", "src/late.rs"]).unwrap_err();
    assert_eq!((&error["code"], &error["exit"]), (&json!("held"), &json!(4)), "{error}");
}

/// Checks that every node shows a close as one that came too late, and the bead as if it had not been.
fn assert_stale(nodes: &[Node; 3], bead: &str, (token, holder_token): (u64, u64)) {
    let stale = json!({ "by": "Late@cyd", "token": token, "holder": "Next@bob", "holder_token": holder_token });
    for node in nodes {
        let is_stale = || node.show(bead)["stale_close"].is_object();
        until("the close to be known as late", is_stale);
        let bead = node.show(bead);
        assert_eq!((&bead["stale_close"], &bead["status"]), (&stale, &json!("in_progress")), "{}", node.name());
        assert_eq!(node.export(), nodes[0].export());
    }
}
