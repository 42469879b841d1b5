use super::*;
use crate::lease::span::validity;
use crate::lease::testing::{Cell, epoch, exclusive, holder, node};
use crate::limits::HOLD_DEFAULT;

const HOUR: Duration = Duration::from_secs(3_600);

fn ends(cell: &Cell) -> Vec<(LaneId, &End)> {
    let ends = cell.told.iter().filter_map(|order| match order {
        Order::Ended { lane, end } => Some((*lane, end)),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_claim_is_held_by_a_majority_and_the_rival_is_told_by_whom() {
    let mut cell = Cell::of(4, 3);
    let ada = cell.claim(holder(1, 1), &["src/**"]);
    let token = cell.valid(ada).expect("ada holds");
    let bob = cell.claim(holder(4, 2), &["src/a.rs"]);
    assert_eq!(cell.valid(bob), None);
    let ends = ends(&cell);
    let [(lane, End::Clash { blockers, .. })] = ends.as_slice() else { panic!("{ends:?}") };
    assert_eq!((*lane, blockers.len(), blockers[0].token), (bob, 1, token));
}

#[test]
fn tokens_rise_from_lease_to_lease() {
    let mut cell = Cell::of(3, 3);
    let mut last = None;
    for n in 0..20 {
        let lane = cell.claim(holder(n % 3 + 1, n % 5), &["src/**"]);
        let token = cell.valid(lane);
        assert!(token.is_some() && token > last, "{n}: {token:?} after {last:?}");
        last = token;
        cell.release(lane);
    }
    assert!(cell.voters.values().all(|voter| voter.live(cell.now).count() == 0));
}

#[test]
fn a_lease_is_renewed_until_its_term_is_over() {
    let mut cell = Cell::of(3, 3);
    let lane = cell.claim(holder(1, 1), &["src/**"]);
    let token = cell.valid(lane);
    for _ in 0..59 {
        cell.elapse(Duration::from_secs(60));
        assert_eq!(cell.valid(lane), token);
    }
    cell.elapse(Duration::from_secs(60));
    assert_eq!(cell.valid(lane), None);
    assert_eq!(ends(&cell), [(lane, &End::TermOver(token.unwrap()))]);
    assert!(cell.voters.values().all(|voter| voter.live(cell.now).count() == 0));
}

#[test]
fn a_holder_that_is_cut_off_stops_before_anybody_else_can_hold() {
    let mut cell = Cell::of(4, 3);
    let lane = cell.claim(holder(4, 1), &["src/**"]);
    cell.cut_off.insert(node(4));
    cell.elapse(validity(HOLD_DEFAULT) - Duration::from_millis(1));
    assert!(cell.valid(lane).is_some());
    let early = cell.claim(holder(1, 2), &["src/**"]);
    assert_eq!(cell.valid(early), None);
    cell.elapse(Duration::from_millis(2));
    assert_eq!(cell.valid(lane), None);
    assert!(ends(&cell).iter().any(|(ended, end)| *ended == lane && matches!(end, End::Lapsed(_))));
    cell.elapse(Duration::from_secs(2));
    let late = cell.claim(holder(1, 2), &["src/**"]);
    assert!(cell.valid(late).is_some());
}

#[test]
fn without_a_majority_a_claim_is_told_so_at_once_or_after_its_patience() {
    let mut cell = Cell::of(4, 3);
    cell.cut_off.extend([node(1), node(2)]);
    let claims = cell.claims.get_mut(&node(4)).unwrap();
    claims.on_reach(node(1), false);
    claims.on_reach(node(2), false);
    let lane = cell.claim(holder(4, 1), &["src/**"]);
    let no_majority = End::NoMajority { answered: 1, voters: 3, reason: None };
    assert_eq!(ends(&cell), [(lane, &no_majority)]);

    cell.told.clear();
    let patience = Duration::from_secs(30);
    let wish = Wish { holder: holder(4, 1), terms: exclusive(&["src/**"]), patience, term: HOUR };
    let lane = cell.wish(wish.clone());
    cell.elapse(Duration::from_secs(29));
    assert_eq!(ends(&cell), []);
    cell.elapse(Duration::from_secs(5));
    assert_eq!(ends(&cell), [(lane, &no_majority)]);

    let lane = cell.wish(wish);
    cell.cut_off.clear();
    cell.elapse(Duration::from_secs(10));
    assert!(cell.valid(lane).is_some());
}

#[test]
fn a_patient_claim_gets_its_turn_when_the_holder_releases() {
    let mut cell = Cell::of(4, 3);
    let first = cell.claim(holder(1, 1), &["src/**"]);
    let patience = Duration::from_secs(60);
    let second = cell.wish(Wish { holder: holder(4, 2), terms: exclusive(&["src/**"]), patience, term: HOUR });
    cell.elapse(Duration::from_secs(20));
    assert_eq!(cell.valid(second), None);
    cell.release(first);
    cell.elapse(Duration::from_secs(5));
    assert!(cell.valid(second).is_some());
}

#[test]
fn of_many_that_race_one_holds_and_all_others_are_told_by_whom() {
    for seed in 0..40_u8 {
        let mut cell = Cell::of(3, 3);
        let mut lanes = Vec::new();
        for n in 0..8 {
            let on = (n + seed) % 3 + 1;
            let claims = cell.claims.get_mut(&node(on)).unwrap();
            let wish =
                Wish { holder: holder(on, n), terms: exclusive(&["src/**"]), patience: Duration::ZERO, term: HOUR };
            lanes.push(claims.claim(cell.now, wish));
        }
        // Each voter hears of them in another order.
        let mut sends: Vec<_> = Vec::new();
        for (from, claims) in &mut cell.claims {
            sends.extend(claims.take_orders().into_iter().map(|order| (*from, order)));
        }
        let turn = usize::from(seed) % sends.len();
        sends.rotate_left(turn);
        for (from, order) in sends {
            if let Order::Send(to, ask) = order {
                cell.carry(from, to, &ask);
            }
        }
        cell.settle();
        cell.elapse(Duration::from_secs(6));
        let held: Vec<_> = lanes.iter().filter(|lane| cell.valid(**lane).is_some()).collect();
        assert_eq!(held.len(), 1, "seed {seed}");
        let told = ends(&cell);
        assert_eq!(told.len(), 7, "seed {seed}");
        for (lane, end) in told {
            let End::Clash { blockers, .. } = end else { panic!("seed {seed}: {lane:?} {end:?}") };
            assert_eq!(blockers[0].token.attempt.lane, *held[0], "seed {seed}");
        }
    }
}

#[test]
fn who_holds_is_named_before_an_older_claim_that_has_one_promise() {
    let mut cell = Cell::of(7, 5);
    let wish = |n| Wish { holder: holder(n, n), terms: exclusive(&["src/**"]), patience: HOUR, term: HOUR };
    cell.cut_off.extend((2..=5).map(node));
    let older = cell.wish(wish(6));
    cell.cut_off = [node(6)].into();
    let younger = cell.wish(wish(7));
    assert_eq!((cell.valid(older), cell.valid(younger).is_some()), (None, true));
    let third = cell.claim(holder(2, 2), &["src/**"]);
    cell.elapse(SETTLE_MAX);
    let ends = ends(&cell);
    let [(lane, End::Clash { blockers, .. })] = ends.as_slice() else { panic!("{ends:?}") };
    let named: Vec<LaneId> = blockers.iter().map(|blocker| blocker.token.attempt.lane).collect();
    assert_eq!((*lane, named), (third, vec![younger, older]));
}

#[test]
fn one_voter_that_has_forgotten_a_lease_does_not_end_it() {
    let mut cell = Cell::of(4, 3);
    let lane = cell.claim(holder(4, 1), &["src/**"]);
    let token = cell.valid(lane);
    cell.cut_off.insert(node(1));
    cell.elapse(HOLD_DEFAULT + Duration::from_secs(10));
    assert_eq!(cell.valid(lane), token, "two of three are enough");
    let forgetful = crate::lease::testing::voter(1, 3);
    cell.voters.insert(node(1), forgetful);
    cell.cut_off.clear();
    cell.elapse(HOUR / 2);
    assert_eq!(cell.valid(lane), token);
}

#[test]
fn a_lease_lives_on_in_the_next_epoch_and_an_attempt_begins_anew() {
    let mut cell = Cell::of(4, 3);
    let lane = cell.claim(holder(4, 1), &["src/**"]);
    let token = cell.valid(lane);
    let to = epoch(2, 1);
    let sealed: Vec<_> = cell.voters.values_mut().filter_map(|voter| voter.seal(cell.now, &to)).collect();
    assert_eq!(sealed.len(), 3);
    let certificate = crate::lease::testing::certificate(&sealed);
    let rival = cell.claim(holder(1, 2), &["src/**"]);
    for voter in cell.voters.values_mut() {
        voter.activate(cell.now, &certificate);
    }
    for claims in cell.claims.values_mut() {
        claims.on_epoch(cell.now, &to);
    }
    cell.settle();
    assert_eq!(cell.valid(rival), None);
    cell.elapse(HOUR / 4);
    assert_eq!(cell.valid(lane), token);
    assert!(ends(&cell).iter().any(|(ended, end)| *ended == rival && matches!(end, End::Clash { .. })));
}

#[test]
fn a_node_that_starts_again_takes_over_what_its_agent_held() {
    let mut cell = Cell::of(4, 3);
    cell.claim(holder(4, 1), &["src/**"]);
    let mut claims = Claims::new(node(4), 2);
    (1..=3).for_each(|n| claims.on_reach(node(n), true));
    claims.on_epoch(cell.now, &epoch(1, 3));
    cell.claims.insert(node(4), claims);
    let again = cell.claim(holder(4, 1), &["src/a.rs"]);
    assert!(cell.valid(again).is_some());
    assert!(cell.voters.values().all(|voter| voter.live(cell.now).count() == 1));
}
