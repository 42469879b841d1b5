use super::*;
use crate::lease::message::Release;
use crate::lease::testing::{acquire, exclusive, holder, node, voter};

fn instant() -> crate::clock::Instant {
    crate::clock::Instant::from_micros(1_000_000)
}

/// Returns what a voter keeps that has promised a lot, of which some has ended.
fn full() -> Dump {
    let mut voter = voter(1, 1);
    for n in 1..=50_u8 {
        let ask = acquire(holder(2, n), u64::from(n), exclusive(&[&format!("src/{n}/**"), "docs/**"][..1]));
        voter.acquire(instant(), node(2), &ask);
        if n % 4 == 0 {
            voter.release(node(2), &Release { token: ask.token, lanes_from: 1, close: None });
        }
    }
    let mut dump = voter.seal(instant(), &crate::lease::testing::epoch(2, 1)).expect("it votes").dump;
    let (attempt, grant) = dump.grants.first_key_value().expect("there are some");
    let token = grant.token(*attempt);
    for n in 0..10 {
        dump.closes.insert(BeadId::from_bytes([n; 16]), (token, EntryId::from_bytes([n; 32])));
    }
    dump
}

#[test]
fn the_union_of_the_parts_is_what_was_cut() {
    let dump = full();
    assert!(dump.grants.len() > 30 && dump.lanes.len() == 50, "{} {}", dump.grants.len(), dump.lanes.len());
    for (bytes_max, parts_min, parts_max) in [(1, 90, 100), (500, 10, 60), (1 << 20, 1, 1)] {
        let parts = dump.clone().split(bytes_max);
        assert!((parts_min..=parts_max).contains(&parts.len()), "{}", parts.len());
        for order in [parts.clone(), parts.iter().rev().cloned().collect()] {
            let mut union = Dump::default();
            order.iter().for_each(|part: &Dump| union.unite(part));
            assert_eq!(union, dump, "{bytes_max}");
        }
    }
}

#[test]
fn no_part_is_longer_than_it_may_be_unless_one_record_is() {
    let dump = full();
    let head = encoded_bytes(&Dump { counter: dump.counter, floor: dump.floor, ..Dump::default() });
    for part in dump.split(500) {
        // Three maps say how many they hold.
        assert!(encoded_bytes(&part) <= head + 500 + 6, "{}", encoded_bytes(&part));
    }
}

#[test]
fn nothing_makes_one_part() {
    let parts = Dump { counter: 7, ..Dump::default() }.split(100);
    assert_eq!(parts, [Dump { counter: 7, ..Dump::default() }]);
}
