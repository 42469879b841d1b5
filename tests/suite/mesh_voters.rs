//! Voters that are killed and exchanged while agents claim: at no time do two of them hold one bead.

use std::{
    fs::File,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use super::support::{Agent, Node, Tenure, crew, settle, until};

/// Times that a lease is got between two things that happen to the voters.
const STEP: usize = 2;

/// What all agents have had so far.
#[derive(Debug, Default)]
struct Book {
    tenures: Mutex<Vec<Tenure>>,
    is_over: AtomicBool,
}

impl Book {
    fn note(&self, tenure: Tenure) {
        self.tenures.lock().unwrap().push(tenure);
    }

    fn count(&self) -> usize {
        self.tenures.lock().unwrap().len()
    }

    /// Waits until some more leases were got and let go.
    fn await_more(&self, what: &str) {
        let least = self.count() + STEP;
        until(&format!("more leases {what}"), || self.count() >= least);
    }
}

#[test]
fn no_two_agents_hold_a_bead_at_one_time_while_voters_are_killed_and_exchanged() {
    let mut nodes = ["ada", "bob", "cyd", "dan", "eve"].map(Node::new);
    crew(&mut nodes, 3);
    let bead = nodes[0].create(&["Wanted by all"]);
    let [ada, bob, cyd, dan, eve] = &mut nodes;
    let agents = [(&*ada, "Ant"), (&*dan, "Bee"), (&*eve, "Cat")].map(|(node, name)| (node, node.register(name)));
    let crashing = bob.register("Dog");
    settle(&[ada, bob, cyd, dan, eve]);
    let book = Book::default();
    thread::scope(|scope| {
        let (wanted, noted) = (&bead, &book);
        let workers = agents.map(|(node, agent)| scope.spawn(move || work(node, &agent, wanted, noted)));
        // Whatever goes wrong here, the workers are to come to an end.
        let over = Over(&book);
        book.await_more("at first");
        killed([&mut *bob, &mut *cyd], &book, "of three voters");
        crashed(bob, &crashing, &bead, &book);
        choose(ada, &["ada", "bob", "cyd", "dan", "eve"]);
        book.await_more("from five voters");
        killed([&mut *bob, &mut *cyd], &book, "of five voters");
        choose(ada, &["ada", "bob", "dan"]);
        book.await_more("from other three voters");
        killed([&mut *bob, &mut *cyd], &book, "of other three voters");
        drop(over);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    let tenures = book.tenures.into_inner().unwrap();
    assert!(tenures.iter().any(|tenure| tenure.holder == "Dog@bob"), "{tenures:?}");
    Tenure::assert_apart(tenures);
    settle(&nodes.each_ref());
    for node in &nodes {
        assert_eq!(node.export(), nodes[0].export());
        assert_eq!(node.doctor(&[])["findings"], json!([]), "{}", node.name());
    }
}

#[test]
fn a_voter_that_lost_its_disk_never_votes_again_and_the_others_go_on() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    let bead = nodes[0].create(&["Wanted"]);
    let agent = nodes[1].register("Ant");
    settle(&nodes.each_ref());
    nodes[2].kill();
    std::fs::remove_dir_all(nodes[2].home().join("store")).unwrap();
    nodes[2].up();
    nodes[2].join(&nodes[0]);
    settle(&nodes.each_ref());
    let [ada, bob, cyd] = &mut nodes;
    let note = || {
        let voters = cyd.json(&["voters", "list"])["voters"].take();
        voters.as_array().unwrap().iter().find(|seat| seat["here"] == true).unwrap()["note"].clone()
    };
    until("cyd to tell of its loss", || note().as_str().is_some_and(|note| note.contains("disk was lost")));
    let held = bob.json_as(&agent, &["bead", "claim", &bead]);
    assert_eq!(held["claim"]["state"], "held", "{held}");
    // The one that is left can not make a majority with the one that may have forgotten.
    ada.kill();
    until("the lease to lapse", || bob.json(&["lease", "show", &bead])["claim"]["state"] == "lapsed");
    ada.up();
    until("the lease to be got back", || bob.json(&["lease", "show", &bead])["claim"]["state"] == "held");
    choose(ada, &["ada", "bob", "cyd"]);
    assert_eq!(note(), Value::Null);
}

#[test]
fn a_voter_that_is_killed_between_its_promise_and_its_answer_stands_by_the_promise() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    let bead = nodes[0].create(&["Wanted by two"]);
    let [ant, bee] = [nodes[0].register("Ant"), nodes[1].register("Bee")];
    settle(&nodes.each_ref());
    let [ada, bob, cyd] = &mut nodes;
    cyd.kill();
    let last = bob.work().join("last");
    // Whatever else bob keeps may be what it dies with: then it is tried again.
    until("bob to die with its promise", || {
        bob.kill();
        bob.up_until(&last);
        until("ada to reach bob", || ada.json(&["voters", "list"])["reached"] == 2);
        File::create(&last).unwrap();
        // Nobody is left to make a majority with.
        let answer = ada.json_as(&ant, &["bead", "claim", &bead]);
        assert_ne!(answer["claim"]["state"], "held", "{answer}");
        assert_eq!(bob.ended(), None, "bob was not killed");
        // Nobody asks it again before it says what it has promised.
        ada.freeze();
        bob.up();
        let has_promised = bob.json(&["voters", "list"])["leases"] == 1;
        ada.thaw();
        if !has_promised {
            ada.json_as(&ant, &["bead", "release", &bead]);
        }
        has_promised
    });
    until("the lease to be got", || ada.json(&["lease", "show", &bead])["claim"]["state"] == "held");
    let refused = bob.try_as(&bee, &["bead", "claim", &bead]).unwrap_err();
    assert_eq!((&refused["code"], &refused["exit"]), (&json!("held"), &json!(4)), "{refused}");
    cyd.up();
    settle(&[ada, bob, cyd]);
    for node in [&*ada, bob, cyd] {
        assert_eq!(node.export(), ada.export());
    }
}

#[test]
fn a_voter_whose_store_was_put_back_never_votes_by_it() {
    let mut nodes = ["ada", "bob", "cyd"].map(Node::new);
    crew(&mut nodes, 3);
    let bead = nodes[0].create(&["Wanted by two"]);
    let [ant, bee] = [nodes[0].register("Ant"), nodes[2].register("Bee")];
    settle(&nodes.each_ref());
    let [ada, bob, cyd] = &mut nodes;
    let (store, kept) = (bob.home().join("store"), bob.work().join("kept"));
    bob.down();
    copy(&store, &kept);
    bob.up();
    cyd.kill();
    until("ada to reach bob", || ada.json(&["voters", "list"])["reached"] == 2);
    let held = ada.json_as(&ant, &["bead", "claim", &bead]);
    assert_eq!(held["claim"]["state"], "held", "{held}");
    ada.freeze();
    bob.kill();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&kept, &store);
    bob.up();
    cyd.up();
    // With what bob has forgotten, it and cyd would be a majority.
    until("cyd to reach bob", || {
        let peers = cyd.status()["peers"].take();
        peers.as_array().unwrap().iter().any(|peer| peer["name"] == "bob" && peer["connected"] == true)
    });
    let answer = cyd.json_as(&bee, &["bead", "claim", &bead]);
    assert_eq!(answer["claim"]["state"], "tentative", "{answer}");
    ada.thaw();
    settle(&[ada, bob, cyd]);
    choose(ada, &["ada", "bob", "cyd"]);
    let states = || [&*ada, &*cyd].map(|node| node.json(&["lease", "show", &bead])["claim"]["state"].clone());
    until("one of both to hold the bead", || states().contains(&json!("held")));
}

/// Copies a folder with all that lies in it.
fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    assert!(command.arg("-a").args([from, to]).status().unwrap().success());
}

/// Ends the work when it is dropped.
struct Over<'a>(&'a Book);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// Claims a bead, looks at it and lets it go, again and again.
fn work(node: &Node, agent: &Agent, bead: &str, book: &Book) {
    while !book.is_over.load(Ordering::Relaxed) {
        let answer = match node.try_as(agent, &["bead", "claim", bead, "--wait", "5s"]) {
            Ok(answer) => answer,
            Err(error) => {
                assert_eq!(error["code"], "held", "{error}");
                continue;
            }
        };
        // The answer may have come late: what counts is what is so now.
        let asked_at = Instant::now();
        let claim = answer["claim"]["id"].as_str().unwrap();
        if let Some(mut tenure) = Tenure::read(&node.json(&["lease", "show", claim]), asked_at) {
            node.json_as(agent, &["bead", "show", bead]);
            tenure.end();
            book.note(tenure);
        }
        if let Err(error) = node.try_as(agent, &["lease", "release", claim]) {
            // One that was tentative may have been given up meanwhile.
            assert_eq!(error["code"], "conflict", "{error}");
        }
    }
}

/// Kills one node after another, and starts each again once others have gone on without it.
fn killed<'a>(nodes: impl IntoIterator<Item = &'a mut Node>, book: &Book, what: &str) {
    for node in nodes {
        node.kill();
        book.await_more(&format!("without {} {what}", node.name()));
        node.up();
        book.await_more(&format!("with {} again, {what}", node.name()));
    }
}

/// Kills a node whose agent holds the bead: others get it once what it was told is over.
fn crashed(node: &mut Node, agent: &Agent, bead: &str, book: &Book) {
    let claim = ["bead", "claim", bead, "--wait", "60s", "--term", "1m"];
    let mut tenure = None;
    until("the agent that crashes to get the bead", || {
        let asked_at = Instant::now();
        tenure =
            node.try_as(agent, &claim).ok().and_then(|_| Tenure::read(&node.json(&["lease", "show", bead]), asked_at));
        tenure.is_some()
    });
    book.note(tenure.unwrap());
    node.kill();
    book.await_more("after a holder has crashed");
    node.up();
    // The node may have taken the claim up again, for an agent that has gone.
    let _ = node.try_as(agent, &["bead", "release", bead]);
}

/// Chooses voters, once those before them have answered.
fn choose(owner: &Node, names: &[&str]) {
    let args = [&["voters", "set"], names].concat();
    until(&format!("{names:?} to vote"), || {
        owner.run(&args);
        let voters = owner.json(&["voters", "list"]);
        let seats = voters["voters"].as_array().unwrap();
        let is_settled = voters["next"].is_null() && seats.iter().all(|seat| seat["note"].is_null());
        is_settled
            && seats.len() == names.len()
            && seats.iter().all(|seat| names.contains(&seat["name"].as_str().unwrap()))
    });
}
