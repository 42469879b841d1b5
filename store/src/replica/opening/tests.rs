//! Stores of released schemas, as records in `store/fixtures`: each must open and show what it did.
//!
//! A fixture is written once, by the program that has its schema as the newest, and never changed:
//! `BEADMESH_WRITE_FIXTURE=1 cargo test -p beadmesh-store --lib a_store_of_every_schema`.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use beadmesh_protocol::bead::Field;
use beadmesh_protocol::clock::{Now, Wall};
use beadmesh_protocol::op::Role;
use beadmesh_protocol::testing::Author;

use super::super::{Input, Output, Replica, RequestId};
use super::*;
use crate::command::{Action, Answer, Command};
use crate::keys;
use crate::kv::{Batch, Kv};
use crate::open::{Origin, SCHEMA, settle};
use crate::testing::{Net, bead, create, edit};

/// The record with the schema version, as `open` keeps it.
const SCHEMA_KEY: &[u8] = b"\0schema";

fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Writes what the records of the newest schema are: those of an admin with a peer, an open invite and some beads.
fn write(schema: u32) {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.create(0, "epic");
    let child = crate::command::NewBead { parent: Some("epic".to_owned()), ..bead("child") };
    net.ask(0, Command::Create(Box::new(child))).unwrap();
    net.settle();
    net.set(1, "epic", Field::Notes, "by the peer");
    net.ask(1, edit("child", Action::Comment("a comment".to_owned()))).unwrap();
    net.ask(1, edit("child", Action::Labels { add: vec!["label".to_owned()], remove: vec![] })).unwrap();
    net.set(0, "epic", Field::Notes, "at the same time");
    net.ask(0, edit("child", Action::Close(Some("done".to_owned())))).unwrap();
    net.invite(Role::Member, 0, Author::seeded(9).node()).unwrap();
    net.settle();
    net.elapse(Duration::from_secs(60));
    net.handle(0, Input::Wakeup);
    net.flush(0);
    let mut lines = String::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        lines.push_str(&format!("{} {}\n", hex(key), hex(value)));
        ControlFlow::Continue(())
    };
    net.peers[0].disk.lock().scan(crate::open::KEYS_BEGIN, None, visit).unwrap();
    fs::create_dir_all(place("")).unwrap();
    fs::write(place(&format!("schema-{schema}.txt")), lines).unwrap();
    fs::write(place(&format!("schema-{schema}.jsonl")), net.export(0).join("\n") + "\n").unwrap();
}

/// Makes a store of the records of a schema.
fn store(dir: &Path, schema: u32) {
    let mut kv = crate::open(dir).unwrap().kv;
    let mut batch = Batch::default();
    for line in fs::read_to_string(place(&format!("schema-{schema}.txt"))).unwrap().lines() {
        let (key, value) = line.split_once(' ').unwrap();
        batch.put(bytes(key), &bytes(value));
    }
    batch.put(SCHEMA_KEY, &schema.to_be_bytes());
    settle(&mut batch);
    kv.apply(batch).unwrap();
    kv.flush().unwrap();
}

/// Opens a store of the fixture's node.
fn opened(dir: &Path) -> Replica {
    let store = crate::open(dir).unwrap();
    assert_eq!(store.origin, Origin::Resumed);
    let config = Config {
        key: Author::seeded(1).key,
        seed: [7; 32],
        machine: "machine".to_owned(),
        node_name: "node".to_owned(),
        mesh_name: "mesh".to_owned(),
        boot: [0; 16],
        votes: true,
        renew_instance: false,
        documents_max: 16,
        window_bytes: beadmesh_protocol::sync::WINDOW_BYTES,
        folds: None,
        membership: None,
    };
    Replica::open(Box::new(store.kv), config, now()).unwrap().replica
}

fn now() -> Now {
    Now { wall: Wall::from_millis(1_700_000_100_000), ..Now::default() }
}

fn ask(replica: &mut Replica, command: Command) -> Answer {
    replica.handle(now(), Input::Command(RequestId(1), command));
    let reply = replica.flush().unwrap().into_iter().find_map(|output| match output {
        Output::Reply(_, answer) => Some(*answer),
        _ => None,
    });
    reply.unwrap().unwrap()
}

/// Asserts that a store shows what the fixture's did, finds nothing wrong, and goes on.
fn assert_well(dir: &Path, schema: u32) {
    let mut replica = opened(dir);
    let Answer::ExportIndex(ids) = ask(&mut replica, Command::ExportIndex(None)) else { panic!("ids") };
    let Answer::Lines(lines) = ask(&mut replica, Command::ExportLines(ids)) else { panic!("lines") };
    let expected = fs::read_to_string(place(&format!("schema-{schema}.jsonl"))).unwrap();
    assert_eq!(lines.join("\n") + "\n", expected);
    let Answer::Checked(findings) = ask(&mut replica, Command::Check) else { panic!("findings") };
    assert_eq!(findings, []);
    let Answer::Status(status) = ask(&mut replica, Command::Status) else { panic!("a status") };
    assert_eq!((status.peers.len(), status.peers[0].last_seen.is_some()), (1, true));
    assert!(replica.join_open, "the invite is open still");
    ask(&mut replica, create("next"));
}

#[test]
fn a_store_of_every_schema_opens_and_shows_what_it_did() {
    if std::env::var_os("BEADMESH_WRITE_FIXTURE").is_some() {
        write(SCHEMA);
    }
    for schema in 1..=SCHEMA {
        let temp = tempfile::tempdir().unwrap();
        store(temp.path(), schema);
        assert_well(temp.path(), schema);
    }
}

#[test]
fn views_of_another_layout_are_derived_anew() {
    let temp = tempfile::tempdir().unwrap();
    store(temp.path(), SCHEMA);
    let mut kv = crate::open(temp.path()).unwrap().kv;
    let mut batch = Batch::default();
    for prefix in [keys::AUTHORS, keys::BEADS, keys::CHANGES] {
        let end = [prefix[0] + 1];
        let visit = &mut |key: &[u8], _: &[u8]| {
            // What another layout wrote need not even decode.
            batch.put(key, b"\xff\xff");
            ControlFlow::Continue(())
        };
        kv.scan(prefix, Some(&end), visit).unwrap();
    }
    batch.put(keys::VIEWS_LAYOUT, &[0]);
    kv.apply(batch).unwrap();
    kv.flush().unwrap();
    drop(kv);
    assert_well(temp.path(), SCHEMA);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}
