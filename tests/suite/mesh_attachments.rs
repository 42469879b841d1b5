//! Files that go with letters, between real nodes: fetched when somebody wants them, and from whoever has them.

use std::{fs, path::PathBuf, process::Output};

use beadmesh_protocol::blob::Answer;
use beadmesh_protocol::id::BlobHash;
use serde_json::{Value, json};

use super::support::{Agent, Disk, Node, Rogue, granted, settle, until};

/// Bytes with all that a terminal or a pipe might change on the way.
fn content(bytes: u32) -> Vec<u8> {
    (0..bytes / 4).flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_be_bytes()).collect()
}

/// Puts a file beside the home of a node.
fn put(node: &Node, name: &str, content: &[u8]) -> String {
    let path = node.home().with_file_name(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Sends a letter with files; returns its id.
fn send(node: &Node, by: &Agent, to: &str, files: &[&str]) -> String {
    let mut args = vec!["mail", "send", "--to", to, "--subject", "Logs", "See there."];
    args.extend(files.iter().flat_map(|file| ["--attach", file]));
    node.json_as(by, &args)["letter"]["id"].as_str().unwrap().to_owned()
}

fn save(node: &Node, by: &Agent, args: &[&str]) -> Output {
    node.command_as(by, &[&["mail", "attachment"], args, &["--json"]].concat()).output().unwrap()
}

fn error(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    let mut body: Value = serde_json::from_str(said.lines().last().expect("an error is told")).unwrap();
    body["error"].take()
}

/// Every file among the blobs of a node, below that folder.
fn blobs(node: &Node) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![node.home().join("blobs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            let list = if path.is_dir() { &mut folders } else { &mut found };
            list.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_is_fetched_by_who_wants_it_once_its_author_can_be_reached() {
    let (mut ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let (blue, green) = (ada.register("BlueLake"), bob.register("GreenCastle"));
    settle(&[&ada, &bob]);
    let (large, small) = (content(3_000_000), b"\x1b[31mred\x1b[0m\r\n".to_vec());
    let files = [put(&ada, "core.dump", &large), put(&ada, "notes.txt", &small)];
    let id = send(&ada, &blue, "GreenCastle@bob", &[&files[0], &files[1]]);
    settle(&[&ada, &bob]);
    assert_eq!((blobs(&ada).len(), blobs(&bob).len()), (2, 0), "nothing travels before it is wanted");
    let shown = bob.json_as(&green, &["mail", "show", &id])["letter"]["attachments"].take();
    assert_eq!((&shown[0]["name"], &shown[0]["bytes"]), (&json!("core.dump"), &json!(large.len())));
    assert_eq!((&shown[1]["index"], &shown[1]["hash"]), (&json!(2), &json!(BlobHash::of(&small).to_string())));

    ada.down();
    until("the link to go", || bob.status()["peers"][0]["connected"] == false);
    let output = save(&bob, &green, &[&id, "1"]);
    let told = error(&output);
    assert_eq!((output.status.code(), &told["code"]), (Some(7), &json!("unreachable")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("on node ada, which is not linked"), "{told}");
    assert!(told["hint"].as_str().unwrap().contains("start node ada"), "{told}");
    assert_eq!(blobs(&bob).len(), 0);

    ada.up();
    settle(&[&ada, &bob]);
    let place = bob.home().with_file_name("saved");
    let place_text = place.to_str().unwrap();
    let output = save(&bob, &green, &[&id, "core.dump", "--output", place_text]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(&place).unwrap() == large);
    assert_eq!(save(&bob, &green, &[&id, "1", "--output", place_text]).status.code(), Some(4), "it is there already");
    let piped = bob.command_as(&green, &["mail", "attachment", &id, "notes.txt", "--output", "-"]).output().unwrap();
    assert_eq!((piped.status.code(), piped.stdout), (Some(0), small));

    // Under its own name it comes into the folder where one is; and from now on without its author.
    ada.down();
    let output = save(&bob, &green, &[&id, "1"]);
    assert!(output.status.success(), "{}", error(&output));
    assert!(fs::read(bob.home().with_file_name("work").join("core.dump")).unwrap() == large);
    // One that is damaged on the disk is not given out, and is fetched anew.
    let kept = blobs(&bob).into_iter().find(|path| path.ends_with(BlobHash::of(&large).to_string())).unwrap();
    fs::write(&kept, b"damage").unwrap();
    assert_eq!(save(&bob, &green, &[&id, "1", "--force"]).status.code(), Some(7));
    ada.up();
    settle(&[&ada, &bob]);
    assert!(save(&bob, &green, &[&id, "1", "--force"]).status.success());
    assert!(fs::read(&kept).unwrap() == large);
    assert!(bob.logged().contains("damaged"));
}

#[test]
fn a_file_is_had_from_another_reader_and_said_to_be_lost_where_nobody_has_it() {
    let (ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let (blue, green) = (ada.register("BlueLake"), bob.register("GreenCastle"));
    let file = put(&ada, "plan.md", b"The plan.");
    let id = send(&ada, &blue, "BlueLake", &[&file]);
    let other = send(&ada, &blue, "BlueLake", &[&put(&ada, "lost.md", b"Nobody read it.")]);
    settle(&[&ada, &bob]);
    assert!(save(&bob, &green, &[&id]).status.success());
    // The author loses all it has, and gets back what was read elsewhere.
    fs::remove_dir_all(ada.home().join("blobs")).unwrap();
    let output = save(&ada, &blue, &[&id]);
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(fs::read(ada.home().with_file_name("work").join("plan.md")).unwrap(), b"The plan.");
    let hash = BlobHash::of(b"The plan.").to_string();
    assert_eq!(blobs(&ada), [ada.home().join("blobs").join(&hash[..2]).join(&hash)], "it is kept as its own");
    for (node, by, says) in [(&ada, &blue, "was written on this node"), (&bob, &green, "has lost it")] {
        let output = save(node, by, &[&other]);
        let told = error(&output);
        assert_eq!((output.status.code(), &told["code"]), (Some(5), &json!("not_found")), "{told}");
        assert!(told["message"].as_str().unwrap().contains(says), "{told}");
    }
}

#[test]
fn what_no_letter_carries_is_given_to_no_member() {
    let mut node = Node::keyed("ada", 1);
    node.up();
    let blue = node.register("BlueLake");
    let rogue = Rogue::joined(2, &node.ticket());
    until("the rogue's link", || node.status()["peers"][0]["connected"] == true);
    send(&node, &blue, "BlueLake", &[&put(&node, "carried", b"carried")]);
    // As after an upload whose letter was never sent.
    let secret = BlobHash::of(b"in no letter");
    let uploaded = node.home().join("blobs/uploaded");
    fs::create_dir_all(&uploaded).unwrap();
    fs::write(uploaded.join(secret.to_string()), b"in no letter").unwrap();
    assert_eq!(rogue.blob(secret), (Answer::Absent, vec![]));
    assert_eq!(rogue.blob(BlobHash::of(b"carried")), (Answer::Here { bytes: 7 }, b"carried".to_vec()));
}

#[test]
fn files_are_attached_and_saved_without_a_node_and_what_can_not_be_had_needs_one() {
    let node = Node::new("ada");
    let blue = node.register("BlueLake");
    let content = content(200_000);
    let id = send(&node, &blue, "BlueLake", &[&put(&node, "data.bin", &content)]);
    assert!(save(&node, &blue, &[&id]).status.success());
    let work = node.home().with_file_name("work");
    assert!(fs::read(work.join("data.bin")).unwrap() == content);
    let kept = blobs(&node);
    assert_eq!(kept.len(), 1, "{kept:?}");
    fs::remove_file(&kept[0]).unwrap();
    assert_eq!(save(&node, &blue, &[&id, "--force"]).status.code(), Some(3));
    assert_eq!(save(&node, &blue, &[&id, "2"]).status.code(), Some(5));
    // What can not be attached sends no letter.
    let args = ["mail", "send", "--to", "BlueLake", "-s", "x", "y", "--attach", "none"];
    assert_eq!(node.command_as(&blue, &args).output().unwrap().status.code(), Some(1));
    assert_eq!(node.json_as(&blue, &["mail", "inbox"])["letters"].as_array().unwrap().len(), 1);
}

#[test]
fn a_disk_without_room_for_a_file_sends_no_letter_and_keeps_nothing_half() {
    let mut node = Node::new("ada");
    let Some(disk) = granted(Disk::mount(&node.home(), 64)) else { return };
    node.up();
    let blue = node.register("BlueLake");
    // Outside of the small disk.
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("large.bin");
    fs::write(&file, content(8_000_000)).unwrap();
    disk.fill(4 * 1024 * 1024);
    let args =
        ["mail", "send", "--to", "BlueLake", "--subject", "x", "y", "--json", "--attach", file.to_str().unwrap()];
    let output = node.command_as(&blue, &args).output().unwrap();
    let told = error(&output);
    assert_eq!((output.status.code(), &told["code"]), (Some(1), &json!("disk_full")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("the letter is not sent"), "{told}");
    assert_eq!(blobs(&node), Vec::<PathBuf>::new());
    assert_eq!(node.json_as(&blue, &["mail", "inbox"])["letters"], json!([]));
    disk.free();
    let output = node.command_as(&blue, &args).output().unwrap();
    assert!(output.status.success(), "{}", error(&output));
    assert_eq!(blobs(&node).len(), 1);
}
