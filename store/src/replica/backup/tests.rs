use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::op::{BeadChange, Op};
use beadmesh_protocol::testing::Author;

use super::*;
use crate::command::Command;
use crate::membership::Membership;
use crate::testing::Net;

/// Returns every entry of a replica, as many at a time as one answer takes.
fn backed_up(net: &mut Net, at: usize) -> (MeshId, Vec<Entry>) {
    let Ok(Answer::BackupIndex(BackupIndex { mesh, ids, .. })) = net.ask(at, Command::BackupIndex) else {
        panic!("an index")
    };
    let mut entries = Vec::new();
    while entries.len() < ids.len() {
        let Ok(Answer::Sealed(sealed)) = net.ask(at, Command::BackupEntries(ids[entries.len()..].to_vec())) else {
            panic!("entries")
        };
        assert!(!sealed.is_empty());
        entries.extend(sealed.into_iter().map(|sealed| Entry::open(mesh, sealed).unwrap()));
    }
    assert!(entries.iter().map(Entry::id).eq(ids));
    (mesh, entries)
}

fn taken_back(net: &mut Net, at: usize, mesh: MeshId, entries: Vec<Entry>) -> TakenBack {
    match net.ask(at, Command::TakeBack(mesh, entries)) {
        Ok(Answer::TakenBack(taken)) => taken,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_backup_taken_back_twice_changes_a_node_once_and_its_peers_hear_of_it() {
    let mut net = Net::joined(3);
    // They have to know each other.
    let link = net.link(0, 1);
    net.settle();
    net.cut(link);
    (0..40).for_each(|number| net.create(0, &format!("bead-{number}")));
    let (mesh, entries) = backed_up(&mut net, 0);
    assert!(entries.is_sorted_by_key(Entry::set) && entries.iter().any(Entry::is_founding));
    net.link(1, 2);
    net.settle();
    let first = taken_back(&mut net, 1, mesh, entries.clone());
    assert_eq!((first.new + first.known, first.unknown), (u64::try_from(entries.len()).unwrap(), 0));
    assert!(first.new >= 40);
    let again = taken_back(&mut net, 1, mesh, entries);
    assert_eq!((again.new, again.known), (0, first.new + first.known));
    net.settle();
    for at in [1, 2] {
        assert_eq!((net.export(at), net.findings(at)), (net.export(0), vec![]));
    }
}

#[test]
fn long_entries_are_read_in_several_answers() {
    let mut net = Net::alone(1);
    net.create(0, "bead");
    for letter in "abcdefghij".chars() {
        let text = letter.to_string().repeat(40 * 1024);
        net.set(0, "bead", beadmesh_protocol::bead::Field::Notes, &text);
    }
    let Ok(Answer::BackupIndex(index)) = net.ask(0, Command::BackupIndex) else { panic!("an index") };
    let Ok(Answer::Sealed(sealed)) = net.ask(0, Command::BackupEntries(index.ids.clone())) else { panic!("entries") };
    assert!(sealed.len() < index.ids.len());
    assert_eq!(backed_up(&mut net, 0).1.len(), index.ids.len());
}

#[test]
fn entries_of_another_mesh_are_refused_and_those_of_strangers_counted() {
    let mut net = Net::alone(2);
    net.create(0, "bead");
    let (mesh, entries) = backed_up(&mut net, 0);
    let before = net.status(1).digest;
    let error = net.ask(1, Command::TakeBack(mesh, entries)).unwrap_err();
    assert_eq!((error.code(), net.status(1).digest), ("refused", before));
    let change = BeadChange { bead: beadmesh_protocol::id::BeadId::from_bytes([1; 16]), change: vec![1, 2, 3] };
    let stranger = Author::seeded(77).entry(mesh, 1, Wall::from_millis(1), &[Op::Bead(change)]);
    let taken = taken_back(&mut net, 0, mesh, vec![stranger]);
    assert_eq!(taken, TakenBack { unknown: 1, ..TakenBack::default() });
}

#[test]
fn a_node_begun_anew_with_its_key_and_a_backup_holds_all_and_finds_nothing() {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.create(1, "bead");
    net.settle();
    let (export, instance) = (net.export(1), net.status(1).instance);
    let (mesh, entries) = backed_up(&mut net, 1);
    net.lose_disk(1);
    taken_back(&mut net, 1, mesh, entries);
    assert_eq!((net.export(1), net.findings(1)), (export, vec![]));
    assert_ne!(net.status(1).instance, instance);
}

#[test]
fn an_entry_that_is_not_there_fails_the_backup_and_not_the_node() {
    let mut net = Net::alone(1);
    let error = net.ask(0, Command::BackupEntries(vec![EntryId::from_bytes([9; 32])])).unwrap_err();
    assert_eq!(error.code(), "conflict");
    net.create(0, "afterwards");
    let Ok(Answer::Membership(Membership { control, .. })) = net.ask(0, Command::Membership) else { panic!("control") };
    assert_eq!(backed_up(&mut net, 0).1.len(), control.len() + 1);
}
