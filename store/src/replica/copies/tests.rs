use std::path::PathBuf;

use beadmesh_protocol::bead::Field;
use proptest::prelude::{Strategy, proptest};

use super::*;
use crate::command::Command;
use crate::kv::{Batch, Kv};
use crate::open::Origin;
use crate::testing::Net;

/// Two that are linked, the second of which has written so many beads since its disk was copied.
fn aged(beads: usize) -> (Net, crate::memory::SharedKv) {
    let mut net = Net::joined(2);
    net.link(0, 1);
    net.create(1, "first");
    net.settle();
    let old = net.saved(1);
    (0..beads).for_each(|number| net.create(1, &format!("later-{number}")));
    net.settle();
    (net, old)
}

fn moved() -> Origin {
    Origin::Copied { kept: PathBuf::from("sled-1") }
}

#[test]
fn a_store_put_back_gets_its_later_entries_from_a_peer_and_says_so_until_somebody_took_note() {
    for origin in [Origin::Resumed, moved()] {
        let (mut net, old) = aged(5);
        net.put_back(1, old, &origin);
        assert_eq!((net.findings(1), net.status(1).copies), (vec![], vec![]));
        net.link(0, 1);
        net.settle();
        let told = [("store.restored", "5 entries of this node came back from peers: the store is older.".to_owned())];
        assert_eq!((net.export(0), net.findings(1)), (net.export(1), told.to_vec()), "{origin:?}");
        assert_eq!((net.status(1).copies, net.findings(0)), (vec!["store.restored"], vec![]));
        net.create(1, "next");
        net.settle();
        net.crash(1);
        net.ask(1, Command::Rebuild).unwrap();
        assert_eq!(net.findings(1), told);
        net.ask(1, Command::AcceptCopies).unwrap();
        net.crash(1);
        assert_eq!((net.findings(0), net.findings(1)), (vec![], vec![]));
    }
}

#[test]
fn a_store_put_back_that_goes_on_before_it_hears_of_its_entries_uses_numbers_twice_and_loses_nothing() {
    let (mut net, old) = aged(3);
    net.put_back(1, old, &Origin::Resumed);
    net.create(1, "again-0");
    net.create(1, "again-1");
    net.link(0, 1);
    net.settle();
    assert_eq!((net.export(0).len(), net.export(1)), (6, net.export(0)));
    let own = "Of the entries of this node, 2 are numbered like another.".to_owned();
    let back = "3 entries of this node came back from peers: the store is older.";
    // Those with a number of their own were lost here; the others tell of two stores at work.
    let back = back.replace("3 entries", "1 entry");
    assert_eq!(net.findings(1), [("store.cloned", own), ("store.restored", back)]);
    let name = net.seen(0, 1).name;
    let others = ("store.cloned", format!("Of the entries of {name}, 2 are numbered like another."));
    assert_eq!(net.findings(0), std::slice::from_ref(&others));
    // An older layout knows no numbers: they are derived from the entries.
    let mut batch = Batch::default();
    for key in [keys::VIEWS_LAYOUT.to_vec()].into_iter().chain(authors(&net, 0)) {
        batch.delete(key);
    }
    net.peers[0].disk.lock().apply(batch).unwrap();
    net.peers[0].disk.lock().flush().unwrap();
    net.crash(0);
    assert_eq!(net.findings(0), std::slice::from_ref(&others));
    net.ask(0, Command::AcceptCopies).unwrap();
    net.ask(0, Command::Rebuild).unwrap();
    assert_eq!(net.findings(0), []);
}

#[test]
fn a_copy_on_other_hardware_beside_its_original_is_told_by_both_and_both_keep_all() {
    let (mut net, _) = aged(1);
    let copy = net.copy(1, &moved());
    net.elapse(std::time::Duration::from_secs(1));
    net.create(1, "original");
    net.create(copy, "copy");
    net.set(copy, "later-0", Field::Notes, "copied");
    net.settle();
    for at in [copy, 1, copy] {
        net.link(0, at);
        net.settle();
    }
    assert_eq!(net.export(0).len(), 4);
    assert_eq!((net.export(1), net.export(copy)), (net.export(0), net.export(0)));
    let told =
        |count: &str| vec![("store.cloned", format!("{count} came that another store wrote with this node's key."))];
    assert_eq!((net.findings(1), net.findings(copy)), (told("2 entries"), told("1 entry")));
    assert_eq!((net.findings(0), net.status(1).copies), (vec![], vec!["store.cloned"]));
}

#[test]
fn a_node_that_lost_its_disk_tells_what_came_back() {
    let (mut net, _) = aged(2);
    net.lose_disk(1);
    net.link(0, 1);
    net.settle();
    let told = "3 entries of this node came back from peers: the store is older.".to_owned();
    assert_eq!(net.findings(1), [("store.restored", told)]);
}

/// Returns the keys of the numbers that a replica holds.
fn authors(net: &Net, at: usize) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let disk = net.peers[at].disk.lock();
    let scanned = disk.scan(keys::AUTHORS, Some(b"B"), &mut |key, _| {
        keys.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    });
    scanned.unwrap();
    keys
}

#[test]
fn numbers_in_order_are_one_run_and_one_used_twice_is_told() {
    let mut numbers = Numbers::default();
    assert!((1..=1_000).all(|n| !numbers.note(n)));
    assert_eq!(numbers.runs, [(1, 1_000)]);
    assert!(numbers.note(700) && numbers.note(1) && !numbers.note(u64::MAX) && numbers.note(u64::MAX));
    assert_eq!((numbers.doubled, numbers.runs.len()), (3, 2));
}

#[test]
fn an_author_who_leaves_gaps_costs_a_bounded_record() {
    let mut numbers = Numbers::default();
    assert!((0..10_000).all(|n| !numbers.note(2 * n)));
    assert_eq!(numbers.runs.len(), RUNS_MAX);
    assert!(numbers.note(19_998));
}

proptest! {
    #[test]
    fn in_any_order_as_many_are_doubled_as_there_are_too_many(
        all in proptest::collection::vec(0_u64..60, 0..120).prop_shuffle()
    ) {
        let mut numbers = Numbers::default();
        all.iter().for_each(|n| {
            numbers.note(*n);
        });
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(numbers.doubled, u64::try_from(all.len() - distinct.len()).unwrap());
        let held: u64 = numbers.runs.iter().map(|(first, last)| last - first + 1).sum();
        assert_eq!(held, u64::try_from(distinct.len()).unwrap());
        assert!(numbers.runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
    }
}
