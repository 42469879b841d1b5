//! One key in two places: an old copy of a store put back, and a copy that runs beside its original. Nothing is lost,
//! peers stay well, and the doctor names it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    thread,
};

use beadmesh_protocol::id::NodeId;
use serde_json::json;

use super::support::{Node, settle, until};

/// Writes that an old copy has not seen.
const WRITES: usize = 1_000;

/// Connections that write at one time.
const WRITERS: usize = 8;

/// Links that a peer may count while two nodes with one key fight for it, in some ten seconds.
const LINKS_MAX: usize = 60;

#[test]
fn a_store_put_back_a_thousand_writes_old_gets_them_back_and_says_so() {
    let (mut ada, bob) = (Node::running("ada"), Node::running("bob"));
    let before = bob.home();
    ada.join(&bob);
    ada.create(&["First"]);
    settle(&[&ada, &bob]);
    ada.down();
    let old = before.with_file_name("old");
    copy(&ada.home().join("store"), &old);

    ada.up();
    write(&ada.home(), WRITES);
    settle(&[&ada, &bob]);
    let instance = ada.status()["instance"].clone();
    ada.down();
    put_back(&old, &ada.home().join("store"));
    ada.up();
    settle(&[&ada, &bob]);
    assert_eq!((ada.export(), &ada.status()["instance"]), (bob.export(), &instance));
    assert_eq!(ada.export().lines().count(), 1 + WRITES);
    assert_eq!((checks(&ada), checks(&bob)), (vec!["store.restored".to_owned()], vec![]));
    assert_eq!(ada.status()["findings"], json!(["store.restored"]));
    assert_eq!(ada.doctor(&["--accept"])["findings"], json!([]));

    // Once more, and now it goes on before it hears of what it wrote.
    ada.down();
    put_back(&old, &ada.home().join("store"));
    for title in ["Again one", "Again two"] {
        ada.create(&[title]);
    }
    ada.up();
    settle(&[&ada, &bob]);
    assert_eq!(ada.export(), bob.export());
    assert_eq!(ada.export().lines().count(), 3 + WRITES);
    assert_eq!(checks(&ada), ["store.cloned", "store.restored"]);
    assert_eq!(checks(&bob), ["store.cloned"]);
    ada.create(&["Well again"]);
    settle(&[&ada, &bob]);
}

#[test]
fn a_copy_that_runs_beside_its_original_costs_nothing_but_links_and_is_named() {
    for seeds in [(1, 2), (2, 1)] {
        let (mut ada, mut bob) = (Node::keyed("ada", seeds.0), Node::keyed("bob", seeds.1));
        ada.up();
        bob.up();
        bob.join(&ada);
        bob.create(&["First"]);
        settle(&[&ada, &bob]);
        bob.down();
        let mut twin = Node::new("twin");
        copy(&bob.home(), &twin.home());

        bob.up();
        twin.up();
        for number in 0..10 {
            bob.create(&[&format!("By bob {number}")]);
            twin.create(&[&format!("By his twin {number}")]);
            ada.create(&[&format!("By ada {number}")]);
        }
        let is_ada_lower = id(&ada) < id(&bob);
        // The lower node of two keeps the link it has; to the higher one, each new link replaces the one before.
        until("links to both", || is_ada_lower || links(&ada) >= 4);
        assert!(links(&ada) <= LINKS_MAX, "{} links", links(&ada));
        assert_eq!(id(&bob), id(&twin));

        bob.down();
        settle(&[&ada, &twin]);
        twin.down();
        bob.up();
        settle(&[&ada, &bob]);
        assert_eq!(ada.export(), bob.export());
        assert_eq!(ada.export().lines().count(), 31);
        assert_eq!(checks(&ada), [""; 0]);
        assert_eq!(checks(&bob), ["store.cloned"]);
        assert_eq!(bob.doctor(&["--accept"])["findings"], json!([]));
        twin.up();
        settle_unlinked(&twin, &bob);
        assert_eq!(checks(&twin), ["store.cloned"]);
    }
}

/// Waits until a node holds what another does, whoever of the two is linked just now.
fn settle_unlinked(node: &Node, other: &Node) {
    until("equal sets", || node.status()["entries"].as_u64() >= other.status()["entries"].as_u64());
}

/// Returns the id of a node.
fn id(node: &Node) -> NodeId {
    node.status()["node"]["id"].as_str().unwrap().parse().unwrap()
}

/// Returns how many links a node has told of in its log.
fn links(node: &Node) -> usize {
    node.logged().matches("peer linked").count()
}

/// Returns the stable ids of what the doctor finds.
fn checks(node: &Node) -> Vec<String> {
    let body = node.doctor(&[]);
    let findings = body["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

/// Has the node that runs in a home create so many beads, each with an entry of its own.
fn write(home: &Path, count: usize) {
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let socket = UnixStream::connect(home.join("node.sock")).unwrap();
                let mut replies = BufReader::new(&socket);
                for number in (writer..count).step_by(WRITERS) {
                    create(&socket, &mut replies, &format!("Bead {number}"));
                }
            });
        }
    });
}

fn create(mut socket: &UnixStream, replies: &mut BufReader<&UnixStream>, title: &str) {
    let body = json!({ "title": title, "by": "ada" }).to_string();
    let head = "POST /v1/beads HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length";
    socket.write_all(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(replies.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 2"), "{head}");
    let bytes = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    replies.read_exact(&mut vec![0; bytes.parse().unwrap()]).unwrap();
}

/// Copies a directory as a backup program does.
fn copy(source: &Path, target: &Path) {
    assert!(Command::new("cp").arg("-a").args([source, target]).status().unwrap().success());
}

/// Makes a directory hold what an older copy of it holds; it stays the same directory, as after a snapshot.
fn put_back(old: &Path, store: &Path) {
    for entry in fs::read_dir(store).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in fs::read_dir(old).unwrap().map(Result::unwrap) {
        copy(&entry.path(), &store.join(entry.file_name()));
    }
}
