use proptest::prelude::*;

use super::*;
use crate::clock::Wall;

fn key(number: u32) -> Key {
    let hash = blake3::hash(&number.to_le_bytes());
    Key::new(Timestamp::from_wall(Wall::from_millis(u64::from(number / 3))), EntryId::from_bytes(*hash.as_bytes()))
}

fn snapshot(numbers: impl IntoIterator<Item = u32>) -> Snapshot {
    let mut keys: Vec<Key> = numbers.into_iter().map(key).collect();
    keys.sort_unstable();
    Snapshot::new(keys)
}

/// Returns the ids of numbers in the order of keys.
fn in_order(numbers: impl IntoIterator<Item = u32>) -> Vec<EntryId> {
    snapshot(numbers).0.iter().map(Key::id).collect()
}

fn reconcile(left: Snapshot, right: Snapshot) -> (Difference, usize) {
    let mut responder = Responder::new(right).unwrap();
    let (mut initiator, mut message) = Initiator::begin(left).unwrap();
    let mut bytes = message.len();
    loop {
        let answer = responder.step(&message).unwrap();
        assert!(answer.len() <= FRAME_BYTES_MAX);
        bytes += answer.len();
        match initiator.step(&answer).unwrap() {
            Step::Done(difference) => return (difference, bytes),
            Step::Continue(next) => message = next,
        }
        bytes += message.len();
    }
}

#[test]
fn a_thousand_new_among_a_hundred_thousand_cost_little() {
    let (difference, bytes) = reconcile(snapshot(0..100_000), snapshot(0..101_000));
    assert_eq!(difference.have, []);
    assert_eq!(difference.need.len(), 1_000);
    assert!(bytes < 60_000, "{bytes} bytes");
}

#[test]
fn a_difference_larger_than_a_frame_is_found_whole_and_in_order() {
    let ids: Vec<EntryId> = in_order(0..80_000);
    let (difference, _) = reconcile(snapshot([]), snapshot(0..80_000));
    assert_eq!(difference, Difference { have: vec![], need: ids.clone(), whole: true });
    let (difference, _) = reconcile(snapshot(0..80_000), snapshot([]));
    assert_eq!(difference, Difference { have: ids, need: vec![], whole: true });
}

#[test]
fn two_halves_that_share_nothing_are_found_whole() {
    let (even, odd) = ((0..60_000).map(|at| at * 2), (0..60_000).map(|at| at * 2 + 1));
    let (difference, _) = reconcile(snapshot(even.clone()), snapshot(odd.clone()));
    assert_eq!(difference, Difference { have: in_order(even), need: in_order(odd), whole: true });
}

/// A range of a message: the milliseconds it spans, its mode, and what the mode takes.
fn range(span: u64, mode: u8, body: &[u8]) -> Vec<u8> {
    let mut digits = vec![u8::try_from((span + 1) & 0x7f).unwrap()];
    let mut rest = (span + 1) >> 7;
    while rest > 0 {
        digits.insert(0, 0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    [&digits[..], &[0, mode], body].concat()
}

/// A range of that many milliseconds whose fingerprint is not ours.
fn differs(span: u64) -> Vec<u8> {
    range(span, 1, &[9; 16])
}

/// An answer that lists those ids for all time, and differs at its end so that the comparison goes on.
fn endless(ids: &[[u8; 32]]) -> Vec<u8> {
    let count = u8::try_from(ids.len()).unwrap();
    [vec![0x61], range(1 << 40, 2, &[&[count], ids.as_flattened()].concat()), differs(1)].concat()
}

#[test]
fn a_peer_may_settle_again_what_a_cut_message_did_not_say_was_settled() {
    // An entry a millisecond. The lists that answer the first 1,051 ranges leave no room for one more.
    let (lists, lacking) = (1_051 * 31, 40_000);
    let id = |millis: u64| EntryId::from_bytes(*blake3::hash(&millis.to_le_bytes()).as_bytes());
    let keys = (0..lists + lacking + 62).map(|millis| Key { millis, id: id(millis) }).collect();
    let (mut initiator, _) = Initiator::begin(Snapshot::new(keys)).unwrap();
    let settled = range(lacking, 2, &[0]);
    let answer = [vec![0x61], differs(31).repeat(1_051), settled.clone(), differs(31), differs(31)].concat();
    let Ok(Step::Continue(cut)) = initiator.step(&answer) else { panic!("it goes on") };
    assert!(cut.len() <= FRAME_BYTES_MAX);
    let again = [vec![0x61], range(lists, 0, &[]), settled, differs(31)].concat();
    assert!(matches!(initiator.step(&again), Ok(Step::Continue(_))));
    assert_eq!((initiator.have.len() as u64, initiator.reported as u64), (lacking, 2 * lacking));
    assert_eq!(initiator.step(&endless(&[])), Err(ReconcileError::Repeated));
}

#[test]
fn an_answer_that_settles_everything_again_is_a_violation() {
    let (mut initiator, _) = Initiator::begin(snapshot(0..1_000)).unwrap();
    assert!(matches!(initiator.step(&endless(&[])), Ok(Step::Continue(_))));
    assert_eq!(initiator.have.len(), 1_000);
    assert_eq!(initiator.step(&endless(&[])), Err(ReconcileError::Repeated));
}

#[test]
fn rounds_that_bring_nothing_are_counted_on_both_sides() {
    let idle = [vec![0x61], differs(1 << 40)].concat();
    let (mut initiator, _) = Initiator::begin(snapshot(0..1_000)).unwrap();
    let mut responder = Responder::new(snapshot(0..1_000)).unwrap();
    for _ in 0..ROUNDS_MAX {
        assert!(matches!(initiator.step(&idle), Ok(Step::Continue(_))));
        assert!(responder.step(&idle).is_ok());
    }
    let error = ReconcileError::TooManyRounds(ROUNDS_MAX);
    assert_eq!(initiator.step(&idle), Err(error.clone()));
    assert_eq!(responder.step(&idle), Err(error));
}

#[test]
fn invented_ids_end_the_comparison_once_they_are_too_many() {
    let (mut initiator, _) = Initiator::begin(snapshot([])).unwrap();
    initiator.need_max = 5;
    assert!(matches!(initiator.step(&endless(&[[1; 32], [0; 32], [2; 32]])), Ok(Step::Continue(_))));
    let Ok(Step::Done(difference)) = initiator.step(&endless(&[[1; 32], [3; 32]])) else { panic!("it ends") };
    let ids = [1, 0, 2, 3].map(|byte| EntryId::from_bytes([byte; 32]));
    assert_eq!(difference, Difference { have: vec![], need: ids.to_vec(), whole: false });
}

proptest! {
    #[test]
    fn the_difference_is_the_difference(
        left in proptest::collection::btree_set(0u32..3_000, 0..400),
        right in proptest::collection::btree_set(0u32..3_000, 0..400),
    ) {
        let (difference, _) = reconcile(snapshot(left.iter().copied()), snapshot(right.iter().copied()));
        let need = in_order(right.difference(&left).copied());
        prop_assert_eq!(difference, Difference { have: in_order(left.difference(&right).copied()), need, whole: true });
    }

    #[test]
    fn no_message_makes_either_side_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut message = message;
        message.insert(0, 0x61);
        let _ = Responder::new(snapshot(0..50)).unwrap().step(&message);
        let _ = Initiator::begin(snapshot(0..50)).unwrap().0.step(&message);
    }

    #[test]
    fn equal_sets_have_equal_summaries(numbers in proptest::collection::btree_set(0u32..3_000, 0..50)) {
        let forward = Summary::of(numbers.iter().map(|&number| key(number).id()));
        let backward = Summary::of(numbers.iter().rev().map(|&number| key(number).id()));
        prop_assert_eq!(forward, backward);
        let mut longer = forward;
        longer.add(key(5_000).id());
        prop_assert_ne!(longer, forward);
    }
}
