use proptest::prelude::{Just, Strategy, any, proptest};
use proptest::sample::SizeRange;

use super::*;
use crate::lease::testing::{acquire, epoch, exclusive, holder, node};
use crate::lease::voter::Voter;

/// What can be said of epochs, and by whom.
#[derive(Debug, Clone)]
enum Said {
    Proposal(u8, Proposal),
    Handover(u8, Handover),
    Recovery(Recovery),
}

fn mesh() -> MeshId {
    MeshId::from_bytes([8; 32])
}

fn key(secret: u8) -> SigningKey {
    SigningKey::from_bytes(&[secret; 32])
}

/// Begins with nodes 1 to 3 as voters; node 1 is the owner.
fn succession() -> Succession {
    Succession::beginning(mesh(), node(1), key(1).verifying_key().to_bytes(), epoch(1, 3))
}

/// Returns an epoch of the same voters as `epoch` has, told from others by its hold.
fn successor(number: u64, hold_s: u32) -> Epoch {
    Epoch { hold_ms: hold_s * 1_000, ..epoch(number, 3) }
}

/// Returns the dump that knows of one counter.
fn dump(counter: u64) -> Dump {
    Dump { counter, ..Dump::default() }
}

/// Returns one part of what the voter of a node hands over.
fn part(from: u8, successor: &Epoch, (part, parts): (u32, u32), counter: u64) -> Handover {
    let (voter, epoch) = (VoterId::from_bytes([from; 16]), successor.number - 1);
    Handover { voter, epoch, successor: successor.clone(), part, parts, dump: dump(counter) }
}

fn say(succession: &mut Succession, said: &[Said]) {
    for said in said.iter().cloned() {
        match said {
            Said::Proposal(author, proposal) => succession.on_proposal(node(author), proposal),
            Said::Handover(author, handover) => succession.on_handover(node(author), handover),
            Said::Recovery(recovery) => succession.on_recovery(recovery),
        }
    }
}

#[test]
fn a_majority_that_has_handed_over_starts_the_next_epoch_with_what_it_kept() {
    let mut succession = succession();
    let next = successor(2, 10);
    assert_eq!(succession.current(), (epoch(1, 3), Start::Founded));
    succession.on_proposal(node(2), Proposal { epoch: next.clone() });
    assert_eq!(succession.proposed(&epoch(1, 3)), None, "the owner proposes");
    succession.on_proposal(node(1), Proposal { epoch: next.clone() });
    assert_eq!(succession.proposed(&epoch(1, 3)), Some(&next));

    succession.on_handover(node(1), part(1, &next, (0, 1), 5));
    assert_eq!(succession.current().0.number, 1);
    assert_eq!(succession.sealed(&epoch(1, 3)), [epoch(1, 3).seats[0]]);
    succession.on_handover(node(3), part(3, &next, (0, 1), 7));
    let certificate = Box::new(Certificate { epoch: next.clone(), dump: dump(7) });
    assert_eq!(succession.current(), (next.clone(), Start::Handed(certificate)));
    succession.on_handover(node(2), part(2, &next, (0, 1), 9));
    let Start::Handed(certificate) = succession.current().1 else { panic!("not handed") };
    assert_eq!(certificate.dump, dump(9), "what comes later counts for who starts later");
    assert_eq!(succession.proposed(&next), None);
}

#[test]
fn a_voter_counts_once_all_of_its_parts_are_known() {
    let mut succession = succession();
    let next = successor(2, 10);
    succession.on_handover(node(1), part(1, &next, (0, 1), 5));
    succession.on_handover(node(2), part(2, &next, (0, 3), 1));
    succession.on_handover(node(2), part(2, &next, (2, 3), 2));
    succession.on_handover(node(2), part(2, &next, (0, 3), 3));
    assert_eq!(succession.current().0.number, 1);
    assert!(
        succession.has_handed_over(epoch(1, 3).seats[1], 1) && !succession.has_handed_over(epoch(1, 3).seats[2], 1)
    );
    assert_eq!(succession.sealed(&epoch(1, 3)), [epoch(1, 3).seats[0]]);
    succession.on_handover(node(2), part(2, &next, (3, 3), 4));
    succession.on_handover(node(2), part(2, &next, (1, HANDOVER_PARTS_MAX + 1), 4));
    assert_eq!(succession.current().0.number, 1, "there is no fourth of three");
    succession.on_handover(node(2), part(2, &next, (1, 3), 4));
    let Start::Handed(certificate) = succession.current().1 else { panic!("not handed") };
    assert_eq!(certificate.dump, dump(5));
}

#[test]
fn voters_that_sealed_for_two_successors_make_no_majority() {
    let mut succession = succession();
    let (one, other) = (successor(2, 10), successor(2, 20));
    succession.on_handover(node(1), part(1, &one, (0, 1), 5));
    succession.on_handover(node(2), part(2, &other, (0, 1), 6));
    assert_eq!(succession.current().0.number, 1);
    assert_eq!(succession.sealed(&epoch(1, 3)).len(), 2);
    succession.on_handover(node(3), part(3, &other, (0, 1), 7));
    let Start::Handed(certificate) = succession.current().1 else { panic!("not handed") };
    assert_eq!(*certificate, Certificate { epoch: other, dump: dump(7) }, "what was kept for another does not count");
}

#[test]
fn only_voters_that_the_epoch_names_hand_over() {
    let mut succession = succession();
    let next = successor(2, 10);
    succession.on_handover(node(1), part(1, &next, (0, 1), 5));
    succession.on_handover(node(4), part(4, &next, (0, 1), 6));
    succession.on_handover(node(4), part(2, &next, (0, 1), 6));
    succession.on_handover(node(2), part(4, &next, (0, 1), 6));
    succession.on_handover(node(2), Handover { epoch: 2, ..part(2, &next, (0, 1), 6) });
    assert_eq!(succession.current().0.number, 1);
}

#[test]
fn what_was_handed_over_before_its_epoch_was_known_counts_once_it_is() {
    let mut succession = succession();
    let (second, third) = (successor(2, 10), successor(3, 10));
    for from in 1..=2 {
        succession.on_handover(node(from), part(from, &third, (0, 1), 9));
    }
    assert_eq!(succession.current().0.number, 1);
    for from in 2..=3 {
        succession.on_handover(node(from), part(from, &second, (0, 1), 5));
    }
    assert_eq!(succession.current().0, third);
}

#[test]
fn the_recovery_key_names_an_epoch_far_ahead_which_the_lost_ones_do_not_undo() {
    let mut succession = succession();
    let recovered = epoch(1 + RECOVERY_STEP, 1);
    succession.on_recovery(Recovery::sign(recovered.clone(), mesh(), &key(2)));
    succession.on_recovery(Recovery::sign(recovered.clone(), MeshId::from_bytes([9; 32]), &key(1)));
    let signed = Recovery::sign(recovered.clone(), mesh(), &key(1));
    succession.on_recovery(Recovery { epoch: epoch(1 + RECOVERY_STEP, 3), ..signed.clone() });
    assert_eq!(succession.current().0.number, 1);
    succession.on_recovery(signed);
    assert_eq!(succession.current(), (recovered.clone(), Start::Recovered));

    let next = successor(2, 10);
    for from in 1..=3 {
        succession.on_handover(node(from), part(from, &next, (0, 1), 5));
    }
    assert_eq!(succession.current(), (recovered.clone(), Start::Recovered));
    let after = successor(2 + RECOVERY_STEP, 10);
    succession.on_handover(node(1), part(1, &after, (0, 1), 6));
    assert_eq!(succession.current().0, after, "the recovered epoch goes on like any other");
    let again = epoch(2 + 2 * RECOVERY_STEP, 3);
    succession.on_recovery(Recovery::sign(again.clone(), mesh(), &key(1)));
    assert_eq!(succession.current(), (again, Start::Recovered));
}

#[test]
fn a_mesh_begins_with_its_founder_alone() {
    let succession = Succession::new(mesh(), node(4), [0; 32]);
    let seat = Seat { node: node(4), voter: VoterId::of_founder(mesh()) };
    let (first, start) = succession.current();
    assert_eq!((first.seats, first.number, start), (vec![seat], 1, Start::Founded));
}

#[test]
fn what_a_voter_seals_with_is_handed_over_whole() {
    let mut voter = Voter::founding(node(1), VoterId::from_bytes([1; 16]), [1; 16], epoch(1, 1));
    let now = crate::clock::Instant::from_micros(1);
    for n in 1..=9 {
        let ask = acquire(holder(2, n), u64::from(n), exclusive(&[&format!("src/{n}")]));
        voter.acquire(now, node(2), &ask);
    }
    let sealed = voter.seal(now, &epoch(2, 1)).unwrap();
    let parts = Handover::parts(sealed.clone(), 200);
    assert!(parts.len() > 4, "{}", parts.len());
    let mut succession = Succession::beginning(mesh(), node(1), [0; 32], epoch(1, 1));
    for part in parts.into_iter().rev() {
        assert_eq!(succession.current().0.number, 1);
        succession.on_handover(node(1), part);
    }
    let Start::Handed(certificate) = succession.current().1 else { panic!("not handed") };
    assert_eq!(certificate.dump, sealed.dump);
}

/// Draws what nodes 1 to 4 may say of two epochs after the first, whether it makes sense or not.
fn said() -> impl Strategy<Value = Said> {
    let epochs = (2_u64..4, 0_u32..2).prop_map(|(number, other)| successor(number, 10 + other));
    let proposal = (1_u8..3, epochs.clone()).prop_map(|(author, epoch)| Said::Proposal(author, Proposal { epoch }));
    let handover =
        (1_u8..5, epochs, 1_u32..3, 0_u32..2, 0_u64..4).prop_map(|(author, successor, parts, number, counter)| {
            Said::Handover(author, part(author, &successor, (number, parts), counter))
        });
    let recovery = (1_u64..3, 1_u8..3).prop_map(|(times, voters)| {
        let recovered = epoch(1 + times * RECOVERY_STEP, voters * 2 - 1);
        Said::Recovery(Recovery::sign(recovered, mesh(), &key(1)))
    });
    proptest::prop_oneof![2 => proposal, 20 => handover, 1 => recovery]
}

fn many(size: impl Into<SizeRange>) -> impl Strategy<Value = (Vec<Said>, Vec<Said>)> {
    let said = proptest::collection::vec(said(), size);
    said.prop_flat_map(|said| (Just(said.clone()), Just(said).prop_shuffle()))
}

proptest! {
    #[test]
    fn what_is_known_does_not_rest_on_the_order_in_which_it_was_heard(
        (said, shuffled) in many(1..40), again in any::<bool>(),
    ) {
        let (mut one, mut other) = (succession(), succession());
        say(&mut one, &said);
        say(&mut other, &shuffled);
        if again {
            say(&mut other, &said);
        }
        assert_eq!(one.current(), other.current());
        assert_eq!(one, other);
    }

    #[test]
    fn more_knowledge_never_leads_back((said, _) in many(1..40)) {
        let mut known = succession();
        let mut before = 0;
        for said in &said {
            say(&mut known, std::slice::from_ref(said));
            let number = known.current().0.number;
            assert!(number >= before, "{number} after {before}");
            before = number;
        }
    }
}
