use super::*;
use crate::lease::succession::RECOVERY_STEP;
use crate::lease::testing::{acquire, certificate, epoch, exclusive, holder, node, voter};
use crate::limits::{COUNTER_START_JUMP, HOLD_DEFAULT, HOLD_MAX};
use crate::scope::{Mode, Witness};

const START: Instant = Instant::from_micros(1_000_000);

fn granted(answer: Option<Answer>) -> SignedPromise {
    match answer {
        Some(Answer::Granted { promise, .. }) => promise,
        other => panic!("not granted: {other:?}"),
    }
}

fn blockers(answer: Option<Answer>) -> Vec<Blocker> {
    match answer {
        Some(Answer::Busy { blockers, .. }) => blockers,
        other => panic!("not busy: {other:?}"),
    }
}

/// Stops the voter and opens it again from its records.
fn reopened(voter: &mut Voter, boot: Boot, now: Instant) -> Voter {
    let mut kept = vec![Record::State(Box::new(voter.state.clone()))];
    kept.extend(
        voter.grants.all().iter().map(|(attempt, grant)| Record::Grant(*attempt, Some(Box::new(grant.clone())))),
    );
    kept.extend(voter.lanes.iter().map(|(holder, lanes)| Record::Lanes(*holder, Some(lanes.clone()))));
    Voter::open(voter.node, voter.state.clone(), kept, boot, now)
}

#[test]
fn a_promise_keeps_clashing_claims_away_until_it_lapses() {
    let mut voter = voter(1, 1);
    let ada = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    granted(voter.acquire(START, node(2), &ada));
    let bob = acquire(holder(3, 2), 2, exclusive(&["**/ba.rs"]));
    let named = blockers(voter.acquire(START, node(3), &bob));
    assert_eq!(named.len(), 1);
    assert_eq!((named[0].token, named[0].left()), (ada.token, Some(HOLD_DEFAULT)));
    assert_eq!(named[0].witness, Witness::Path("src/ba.rs".into()));
    let elsewhere = acquire(holder(3, 3), 3, exclusive(&["docs/*.md"]));
    granted(voter.acquire(START, node(3), &elsewhere));
    granted(voter.acquire(START.after(HOLD_DEFAULT), node(3), &bob));
}

#[test]
fn shared_leases_stand_beside_each_other_and_not_beside_an_exclusive_one() {
    let mut voter = voter(1, 1);
    let shared = Terms { mode: Mode::Shared, ..exclusive(&["src/**"]) };
    granted(voter.acquire(START, node(2), &acquire(holder(2, 1), 1, shared.clone())));
    granted(voter.acquire(START, node(2), &acquire(holder(2, 2), 2, shared)));
    let alone = acquire(holder(3, 3), 3, exclusive(&["src/a.rs"]));
    assert_eq!(blockers(voter.acquire(START, node(3), &alone)).len(), 2);
}

#[test]
fn a_node_speaks_for_its_own_agents_only() {
    let mut voter = voter(1, 1);
    let ada = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    let answer = voter.acquire(START, node(3), &ada);
    assert!(matches!(answer, Some(Answer::Refused { reason: Refusal::Malformed, .. })), "{answer:?}");
    granted(voter.acquire(START, node(2), &ada));
    voter.release(node(3), &Release { token: ada.token, lanes_from: 2, close: None });
    assert_eq!(voter.live(START).count(), 1);
}

#[test]
fn the_older_of_two_lanes_of_one_agent_is_renewed_beside_the_younger() {
    let mut voter = voter(1, 1);
    let first = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    let promise = granted(voter.acquire(START, node(2), &first));
    let mut second = acquire(holder(2, 1), 2, exclusive(&["src/a.rs"]));
    second.token.attempt.lane.lane = 2;
    granted(voter.acquire(START, node(2), &second));
    let renewal = Acquire { round: 2, held_by: vec![promise], ..first };
    granted(voter.acquire(START, node(2), &renewal));
    voter.release(node(2), &Release { token: second.token, lanes_from: 1, close: None });
    let live: Vec<Token> = voter.live(START).map(|(token, _)| token).collect();
    assert_eq!(live, [renewal.token]);
}

#[test]
fn a_late_copy_of_what_an_ended_attempt_asked_counts_for_nothing() {
    let mut voter = voter(1, 1);
    let ask = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    voter.release(node(2), &Release { token: ask.token, lanes_from: 1, close: None });
    let ended = |ask: &Acquire, incarnation| Some(Answer::Ended { attempt: ask.token.attempt, incarnation });
    assert_eq!(voter.acquire(START, node(2), &ask), ended(&ask, 1));
    let mut later = acquire(holder(2, 1), 2, exclusive(&["src/**"]));
    later.token.attempt.seq = 2;
    granted(voter.acquire(START, node(2), &later));
    let mut restarted = acquire(holder(2, 1), 3, exclusive(&["docs/**"]));
    restarted.token.attempt.lane.incarnation = 2;
    granted(voter.acquire(START, node(2), &restarted));
    assert_eq!(voter.live(START).count(), 1, "what the node held before it started again is over");
    assert_eq!(voter.acquire(START, node(2), &later), ended(&later, 2));
    let reused = acquire(holder(2, 9), 4, exclusive(&["docs/a"]));
    granted(voter.acquire(START, node(2), &Acquire { terms: exclusive(&["x"]), ..reused.clone() }));
    assert_eq!(voter.acquire(START, node(2), &reused), ended(&reused, 1), "one attempt is for one thing");
}

#[test]
fn a_later_lease_has_a_higher_token_also_when_the_record_is_gone() {
    let mut voter = voter(1, 1);
    let ask = acquire(holder(2, 1), 7, exclusive(&["src/**"]));
    granted(voter.acquire(START, node(2), &ask));
    voter.release(node(2), &Release { token: ask.token, lanes_from: 2, close: None });
    let low = acquire(holder(3, 2), 6, exclusive(&["src/a.rs"]));
    let stale = Some(Answer::Stale { attempt: low.token.attempt, counter: 7 });
    assert_eq!(voter.acquire(START, node(3), &low), stale);
    voter.drop_spent(START, 0);
    assert!(voter.grants.all().is_empty());
    assert_eq!(voter.acquire(START, node(3), &low), stale);
    granted(voter.acquire(START, node(3), &acquire(holder(3, 2), 8, exclusive(&["src/a.rs"]))));
}

#[test]
fn an_older_claim_that_waits_keeps_younger_ones_away_for_a_while() {
    let mut voter = voter(1, 1);
    let first = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    granted(voter.acquire(START, node(2), &first));
    let old = acquire(holder(3, 2), 2, exclusive(&["src/**"]));
    blockers(voter.acquire(START, node(3), &old));
    voter.release(node(2), &Release { token: first.token, lanes_from: 2, close: None });
    let young = acquire(holder(4, 3), 3, exclusive(&["src/**"]));
    let named = blockers(voter.acquire(START, node(4), &young));
    assert_eq!((named[0].token, named[0].left()), (old.token, None));
    granted(voter.acquire(START.after(WAIT_KEPT), node(4), &young));
}

#[test]
fn a_process_that_starts_again_resumes_and_a_machine_waits() {
    let mut voter = voter(1, 1);
    let ask = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    granted(voter.acquire(START, node(2), &ask));
    let later = START.after(Duration::from_secs(60));
    let rival = acquire(holder(3, 2), 2, exclusive(&["src/**"]));

    let mut same = reopened(&mut voter, [1; 16], later);
    assert_eq!(blockers(same.acquire(later, node(3), &rival))[0].left(), Some(HOLD_DEFAULT - Duration::from_secs(60)));

    let mut other = reopened(&mut voter, [2; 16], later);
    let answer = other.acquire(later, node(3), &rival);
    assert!(matches!(answer, Some(Answer::Refused { reason: Refusal::Starting { .. }, .. })), "{answer:?}");
    assert_eq!(other.seal(later, &epoch(2, 1)), None);
    let kept: Vec<_> = other.live(later).map(|(_, grant)| grant.until_us).collect();
    assert_eq!(kept, [later.after(HOLD_DEFAULT).as_micros()]);
    let open = later.after(start_wait());
    assert!(start_wait() > HOLD_MAX);
    let stale = other.acquire(open, node(3), &rival);
    let Some(Answer::Stale { counter, .. }) = stale else { panic!("{stale:?}") };
    assert!(counter > COUNTER_START_JUMP, "it may have forgotten tokens");
    granted(other.acquire(open, node(3), &acquire(holder(3, 2), counter + 1, exclusive(&["src/**"]))));
}

#[test]
fn proof_of_a_promise_it_does_not_know_of_ends_a_voter() {
    let mut voter = voter(1, 1);
    let mut before = reopened(&mut voter, [1; 16], START);
    let ask = acquire(holder(2, 1), 1, exclusive(&["src/**"]));
    let promise = granted(voter.acquire(START, node(2), &ask));
    voter.heed(&promise);
    assert!(!voter.is_dead());
    before.heed(&promise);
    assert!(before.is_dead());
    assert_eq!(before.acquire(START, node(2), &ask), None);
}

#[test]
fn a_sealed_voter_grants_nothing_and_the_next_epoch_keeps_what_it_promised() {
    let mut old = voter(1, 1);
    let ask = acquire(holder(2, 1), 5, exclusive(&["src/**"]));
    granted(old.acquire(START, node(2), &ask));
    let next = epoch(2, 3);
    let sealed = old.seal(START, &next).expect("it votes");
    let rival = acquire(holder(3, 2), 6, exclusive(&["docs/**"]));
    let answer = old.acquire(START, node(3), &rival);
    assert!(matches!(answer, Some(Answer::Refused { reason: Refusal::Sealed, .. })), "{answer:?}");
    let other = Epoch { hold_ms: 30_000, ..next.clone() };
    let again = old.seal(START, &other).expect("it has sealed");
    assert_eq!(again.successor, next, "a voter signs for one successor");

    let certificate = certificate(&[sealed]);
    let mut new = Voter::new(node(3), VoterId::from_bytes([3; 16]), [9; 16]);
    let early = acquire(holder(3, 2), 6, exclusive(&["src/a.rs"]));
    assert!(matches!(new.acquire(START, node(3), &early), Some(Answer::Wrong { epoch: 0, .. })));
    assert!(new.activate(START, &certificate) && !new.activate(START, &certificate));
    let asked = Acquire { epoch: 2, ..early };
    assert_eq!(blockers(new.acquire(START, node(3), &asked))[0].token, ask.token);
    let renewal = Acquire { epoch: 2, round: 2, ..ask };
    granted(new.acquire(START, node(2), &renewal));
}

#[test]
fn a_lease_released_at_one_voter_is_over_in_the_union() {
    let (mut first, mut second) = (voter(1, 3), voter(2, 3));
    let ask = acquire(holder(4, 1), 5, exclusive(&["src/**"]));
    granted(first.acquire(START, node(4), &ask));
    granted(second.acquire(START, node(4), &ask));
    second.release(node(4), &Release { token: ask.token, lanes_from: 1, close: None });
    let sealed = [&mut first, &mut second].map(|voter| voter.seal(START, &epoch(2, 3)).expect("it votes"));
    let certificate = certificate(&sealed);
    assert!(first.activate(START, &certificate));
    assert_eq!(first.live(START).count(), 0);
}

#[test]
fn a_recovered_epoch_waits_and_begins_above_all_tokens() {
    let mut voter = voter(1, 3);
    let ask = acquire(holder(2, 1), 5, exclusive(&["src/**"]));
    granted(voter.acquire(START, node(2), &ask));
    let recovered = epoch(1 + RECOVERY_STEP, 1);
    assert!(voter.recover(START, &recovered) && !voter.recover(START, &recovered));
    assert_eq!((voter.epoch(), voter.live(START).count()), ((Some(&recovered), true), 0));
    let rival = Acquire { epoch: recovered.number, ..acquire(holder(3, 2), 6, exclusive(&["src/**"])) };
    let early = voter.acquire(START.after(HOLD_MAX), node(3), &rival);
    assert!(matches!(early, Some(Answer::Refused { reason: Refusal::Starting { .. }, .. })), "{early:?}");
    assert_eq!(voter.seal(START.after(HOLD_MAX), &epoch(2 + RECOVERY_STEP, 1)), None);
    let open = START.after(start_wait());
    let Some(Answer::Stale { counter, .. }) = voter.acquire(open, node(3), &rival) else { panic!("not stale") };
    assert!(counter > COUNTER_START_JUMP << 8, "the lost voters may have known tokens of many starts");

    let mut other = Voter::new(node(5), VoterId::from_bytes([5; 16]), [1; 16]);
    assert!(other.recover(START, &recovered));
    assert_eq!(other.epoch(), (Some(&recovered), false), "it is not named");
}

#[test]
fn a_voter_that_does_not_know_that_it_handed_over_is_dead() {
    let mut voter = voter(1, 3);
    let mut before = reopened(&mut voter, [1; 16], START);
    let sealed = voter.seal(START, &epoch(2, 3)).expect("it votes");
    voter.note_handover(1);
    assert!(!voter.is_dead());
    let mut later = reopened(&mut before, [1; 16], START);
    before.note_handover(1);
    assert!(before.is_dead());
    assert_eq!(before.seal(START, &epoch(2, 3)), None);

    assert!(later.activate(START, &certificate(&[sealed])));
    later.note_handover(1);
    assert!(!later.is_dead(), "what it forgot is in the union");
    later.note_handover(2);
    assert!(later.is_dead());
}

#[test]
fn one_holder_can_not_take_all_room() {
    let mut voter = voter(1, 1);
    let mut answers = Vec::new();
    for lane in 1..=65 {
        let mut ask = acquire(holder(2, 1), lane, exclusive(&[&format!("src/{lane}.rs")]));
        ask.token.attempt.lane.lane = lane;
        answers.push(voter.acquire(START, node(2), &ask));
    }
    let last = answers.pop().flatten();
    assert!(matches!(last, Some(Answer::Refused { reason: Refusal::HolderFull, .. })), "{last:?}");
    for answer in answers {
        granted(answer);
    }
    let far = acquire(holder(3, 2), 65 + COUNTER_JUMP_MAX, exclusive(&["docs"]));
    let answer = voter.acquire(START, node(3), &far);
    assert!(matches!(answer, Some(Answer::Refused { reason: Refusal::CounterJump, .. })), "{answer:?}");
}

#[test]
fn who_holds_a_bead_next_is_told_in_which_entry_it_was_closed() {
    let mut voter = voter(1, 1);
    let bead = BeadId::from_bytes([5; 16]);
    let terms = Terms { scope: crate::scope::Scope::new(None, [bead], []).unwrap(), mode: Mode::Exclusive };
    let ask = acquire(holder(2, 1), 1, terms.clone());
    granted(voter.acquire(START, node(2), &ask));
    let entry = EntryId::from_bytes([7; 32]);
    voter.release(node(2), &Release { token: ask.token, lanes_from: 2, close: Some((bead, entry)) });
    let Some(Answer::Granted { closes, .. }) = voter.acquire(START, node(3), &acquire(holder(3, 2), 2, terms)) else {
        panic!("not granted")
    };
    assert_eq!(closes, [entry]);
}

#[test]
fn records_say_all_that_a_voter_knows() {
    let mut voter = voter(1, 1);
    let mut disk: BTreeMap<String, Record> = BTreeMap::new();
    let mut keep = |voter: &mut Voter| {
        for record in voter.take_records() {
            let key = match &record {
                Record::State(_) => "state".to_owned(),
                Record::Grant(attempt, _) => format!("grant {attempt:?}"),
                Record::Lanes(holder, _) => format!("lanes {holder:?}"),
                Record::Close(bead, _) => format!("close {bead:?}"),
            };
            disk.insert(key, record);
        }
        disk.clone()
    };
    for n in 1..=40_u8 {
        let ask = acquire(holder(2, n), u64::from(n), exclusive(&[&format!("{n}")]));
        granted(voter.acquire(START, node(2), &ask));
        if n % 3 == 0 {
            let close = Some((BeadId::from_bytes([n; 16]), EntryId::from_bytes([n; 32])));
            voter.release(node(2), &Release { token: ask.token, lanes_from: 2, close });
        }
        let kept = keep(&mut voter);
        let again = Voter::open(node(1), voter.state.clone(), kept.into_values(), [1; 16], START);
        assert_eq!(
            (&again.state, again.grants.all(), &again.lanes, &again.closes),
            (&voter.state, voter.grants.all(), &voter.lanes, &voter.closes)
        );
    }
}
