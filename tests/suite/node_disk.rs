//! Disks that can not be written: what fails is said with its remedy, and nothing acknowledged is lost.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::{Disk, Node, granted};

/// Bytes that are left on the disk before creates go on, one round each.
const BYTES_LEFT: [u64; 4] = [0, 20 * 1024, 300 * 1024, 1024 * 1024];

/// Creates after which a disk must have been full.
const CREATES_MAX: usize = 200;

/// Starts a node.
const UP: [&str; 4] = ["up", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];

#[test]
fn a_read_only_home_is_named_and_loses_nothing() {
    let mut node = Node::new("ada");
    let Some(disk) = granted(Disk::mount(&node.home(), 32)) else { return };
    node.up();
    node.create(&["Before"]);
    let (export, digest) = (node.export(), node.status()["digest"].clone());
    node.down();

    disk.set_read_only(true);
    for args in [&["bead", "create", "Never"][..], &UP] {
        let error = failure(&node, args, "read_only");
        assert!(error.to_string().contains("read-only file system"), "{args:?}: {error}");
        assert!(error["hint"].as_str().unwrap().contains("can be written"), "{args:?}: {error}");
    }

    disk.set_read_only(false);
    node.up();
    assert_eq!((node.export(), &node.status()["digest"]), (export, &digest));
    node.create(&["Afterwards"]);
}

#[test]
fn a_full_disk_stops_the_node_and_what_was_acknowledged_is_there_once_space_is_free() {
    let mut node = Node::new("ada");
    let Some(disk) = granted(Disk::mount(&node.home(), 64)) else { return };
    let mut acknowledged = BTreeSet::new();
    let text = "x".repeat(30 * 1024);
    for bytes_left in BYTES_LEFT {
        node.up();
        acknowledged.insert(node.create(&["With space"]));
        let instance = node.status()["instance"].clone();
        disk.fill(bytes_left);
        let refused = (0..CREATES_MAX).find_map(|number| {
            let output = node.run(&["bead", "create", &format!("Bead {number}"), "-d", &text, "--json"]);
            if !output.status.success() {
                return Some(output);
            }
            let body: Value = serde_json::from_slice(&output.stdout).unwrap();
            acknowledged.insert(body["bead"]["alias"].as_str().unwrap().to_owned());
            None
        });
        let refused = refused.expect("the disk is full at last");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("free space"), "{said}");
        assert_eq!(node.ended(), Some(1), "{bytes_left} bytes were left");
        assert!(node.logged().contains("free space"), "{bytes_left} bytes were left");
        if bytes_left == 0 {
            for args in [&["bead", "create", "Never"][..], &UP] {
                let error = failure(&node, args, "disk_full");
                assert!(error["hint"].as_str().unwrap().contains("free space"), "{args:?}: {error}");
            }
        }

        disk.free();
        node.up();
        let list = node.json(&["bead", "list", "--all", "--limit", "0"]);
        let alias = |bead: &Value| bead["alias"].as_str().unwrap().to_owned();
        let held: BTreeSet<String> = list["beads"].as_array().unwrap().iter().map(alias).collect();
        let missing: Vec<_> = acknowledged.difference(&held).collect();
        assert!(missing.is_empty(), "{bytes_left} bytes were left: {missing:?}");
        // After a failed write, Linux may call pages clean that never reached the disk: the store must be another one.
        assert_ne!(node.status()["instance"], instance, "{bytes_left} bytes were left");
        assert_eq!(node.doctor(&[])["findings"], json!([]));
        node.down();
    }
}

/// Runs a command that must fail with a code, and returns the error.
fn failure(node: &Node, args: &[&str], code: &str) -> Value {
    let output = node.run(&[args, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    let mut body: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(body["error"]["code"], code, "{args:?}: {said}");
    body["error"].take()
}
