//! Backups by real processes: taken of a node at work, and brought back onto an empty machine or into another node.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::support::{Node, settle};

#[test]
fn a_node_at_work_is_backed_up_and_comes_back_on_an_empty_machine() {
    let (mut ada, bob) = (Node::running("ada"), Node::running("bob"));
    bob.join(&ada);
    let jsonl: String =
        (0..300).map(|number| format!("{{\"id\":\"B-{number}\",\"title\":\"Bead {number}\"}}\n")).collect();
    assert_eq!(ada.import(&jsonl)["created"], 300);
    let sent = ada.json(&["mail", "send", "--to", "keeper@ada", "--subject", "To myself", "Look after the roof."]);
    ada.json(&["mail", "show", sent["letter"]["id"].as_str().unwrap()]);
    // The backup says where bob is to be found.
    settle(&[&ada, &bob]);
    let file = ada.home().with_file_name("ada.backup");
    let path = file.to_str().unwrap();
    let is_over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                ada.create(&[&format!("Meanwhile {count}")]);
                count += 1;
            }
        });
        let told = ada.json(&["backup", path, "--with-key"]);
        is_over.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        told
    });
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.permissions().mode() & 0o777, &told["bytes"]), (0o600, &json!(found.len())));
    assert_eq!((&told["node"], &told["with_key"]), (&ada.status()["node"]["id"], &json!(true)));
    settle(&[&ada, &bob]);
    let (export, before) = (ada.export(), ada.status());

    ada.kill();
    let mut back = Node::new("ada");
    let restored = back.json(&["restore", path]);
    assert_eq!((&restored["entries"], &restored["mesh"]), (&told["entries"], &before["mesh"]["id"]));
    back.up();
    settle(&[&back, &bob]);
    assert_eq!((back.export(), bob.export()), (export.clone(), export));
    let after = back.status();
    assert_eq!((&after["node"], after["instance"] != before["instance"]), (&before["node"], true));
    back.create(&["Well again"]);
    let inbox = back.json(&["mail", "inbox"]);
    assert_eq!((&inbox["letters"][0]["subject"], &inbox["letters"][0]["unread"]), (&json!("To myself"), &json!(false)));
    settle(&[&back, &bob]);
    // A home in use is left alone, of whatever mesh.
    let refused = back.run(&["restore", path, "--json"]);
    assert_eq!((refused.status.code(), code(&refused.stderr)), (Some(4), "conflict".to_owned()));
}

#[test]
fn a_backup_without_the_key_is_handed_to_a_node_of_its_mesh_alone() {
    let mut ada = Node::new("ada");
    ada.create(&["First"]);
    let file = ada.home().with_file_name("ada.backup");
    let path = file.to_str().unwrap();
    ada.json(&["backup", path]);
    let again = ada.run(&["backup", path, "--json"]);
    assert_eq!((again.status.code(), code(&again.stderr)), (Some(4), "exists".to_owned()));
    let backup = fs::read(&file).unwrap();
    ada.create(&["Second"]);
    assert!(ada.run(&["backup", path, "--force"]).status.success());
    assert!(fs::read(&file).unwrap().len() > backup.len());
    let piped = ada.run(&["backup", "-"]);
    assert!(piped.status.success() && piped.stdout.starts_with(b"beadmesh backup\n"));

    let bob = Node::new("bob");
    let refused = bob.run(&["restore", path, "--json"]);
    assert_eq!((refused.status.code(), code(&refused.stderr)), (Some(1), "no_key".to_owned()));
    assert_eq!(bob.run(&["restore", path, "--into"]).status.code(), Some(3), "there is no home yet");
    bob.create(&["Of another mesh"]);
    let refused = bob.run(&["restore", path, "--into", "--json"]);
    assert_eq!((refused.status.code(), code(&refused.stderr)), (Some(6), "refused".to_owned()));
    assert_eq!(bob.export().lines().count(), 1);

    ada.up();
    let mut carol = Node::running("carol");
    carol.join(&ada);
    carol.down();
    let told = carol.json(&["restore", path, "--into"]);
    assert_eq!((&told["unknown"], &told["unsound"]), (&json!(0), &json!(0)), "{told}");
    assert_eq!(carol.export().lines().count(), 2);
    assert_eq!(carol.json(&["restore", path, "--into"])["new"], 0);
    fs::write(&file, &backup[..backup.len() - 40]).unwrap();
    let refused = carol.run(&["restore", path, "--into", "--json"]);
    assert_eq!((refused.status.code(), code(&refused.stderr)), (Some(1), "backup_damaged".to_owned()));
    assert_eq!(carol.doctor(&[])["findings"], json!([]));
}

/// Returns the stable code of an error.
fn code(stderr: &[u8]) -> String {
    let said = String::from_utf8_lossy(stderr);
    let body: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    body["error"]["code"].as_str().unwrap().to_owned()
}
