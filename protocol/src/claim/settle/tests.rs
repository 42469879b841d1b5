use proptest::prelude::{Just, Strategy, proptest};

use super::*;
use crate::clock::Wall;
use crate::id::{AgentId, NodeId};
use crate::lease::Terms;
use crate::lease::testing::{acquire, exclusive};
use crate::scope::{Mode, Scope};

/// A claim with all that [`Open`] needs.
#[derive(Debug, Clone)]
struct Made {
    holder: Holder,
    claim: Claim,
    token: Option<Token>,
}

/// What a claim is drawn from: holder, patterns, mode, priority, the claims before it that it has seen, and the counter of
/// its token, 0 for none.
type Drawn = (u8, usize, bool, u8, u64, u64);

const PATTERNS: &[&[&str]] =
    &[&["src/**"], &["src/a.rs"], &["**/a.rs"], &["docs/*.md"], &["docs/b.md", "src/b.rs"], &["x"]];

fn holder(agent: u8) -> Holder {
    Holder { node: NodeId::from_bytes([agent % 3; 32]), agent: AgentId::from_bytes([agent; 16]) }
}

fn made(drawn: &[Drawn]) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (nonce, (agent, patterns, is_shared, priority, seen, counter)) in (0..).zip(drawn) {
        let ids = made.iter().map(id).enumerate();
        let seen = ids.filter(|(at, _)| seen >> (at % 64) & 1 == 1).map(|(_, id)| id).collect();
        let holder = holder(*agent);
        let mode = if *is_shared { Mode::Shared } else { Mode::Exclusive };
        let scope = Scope::parse(None, [], PATTERNS[*patterns]).unwrap();
        let claim = Claim {
            agent: holder.agent,
            terms: Terms { scope, mode },
            priority: *priority,
            until: Wall::from_millis(1),
            nonce,
            seen,
        };
        let token = (*counter > 0).then(|| acquire(holder, counter * 100 + nonce, exclusive(&["a"])).token);
        made.push(Made { holder, claim, token });
    }
    made
}

fn id(made: &Made) -> ClaimId {
    made.claim.id(made.holder.node)
}

fn opened(made: &[Made]) -> Vec<Open<'_>> {
    made.iter().map(|made| Open { id: id(made), holder: made.holder, claim: &made.claim, token: made.token }).collect()
}

/// Returns the claims of [`made`], and what they come to.
fn settled(drawn: &[Drawn]) -> (Vec<ClaimId>, Settlement) {
    let made = made(drawn);
    (made.iter().map(id).collect(), settle(&opened(&made)))
}

#[test]
fn of_two_that_clash_the_more_pressing_stands_and_both_are_told() {
    let (ids, settlement) = settled(&[(1, 0, false, 2, 0, 0), (2, 1, false, 1, 0, 0), (3, 3, false, 4, 0, 0)]);
    assert_eq!(settlement.winners, BTreeSet::from([ids[1], ids[2]]));
    let contest = Contest { ahead: ids[1], behind: ids[0], witness: Witness::Path("src/a.rs".into()), knowing: false };
    assert_eq!(settlement.contests, std::slice::from_ref(&contest));
    let turned = Contest { ahead: ids[0], behind: ids[1], ..contest.clone() };
    assert_eq!(turned.id(), contest.id());
    assert_ne!(Contest { ahead: ids[2], ..contest.clone() }.id(), contest.id());
}

#[test]
fn who_claims_over_what_it_has_seen_goes_behind_it_though_more_pressing() {
    let (ids, settlement) = settled(&[(1, 0, false, 4, 0, 0), (2, 0, false, 0, 1, 0)]);
    assert_eq!(settlement.winners, BTreeSet::from([ids[0]]));
    assert!(settlement.contests[0].knowing);
    let (ids, settlement) = settled(&[(1, 0, false, 4, 0, 0), (2, 0, false, 0, 1, 7)]);
    assert_eq!(settlement.winners, BTreeSet::from([ids[1]]), "a lease decides");
    assert!(!settlement.contests[0].knowing);
}

#[test]
fn of_two_leases_the_higher_token_stands() {
    let (ids, settlement) = settled(&[(1, 0, false, 0, 0, 5), (2, 0, false, 4, 0, 6), (3, 0, false, 0, 0, 0)]);
    assert_eq!(settlement.winners, BTreeSet::from([ids[1]]));
    assert_eq!(settlement.contests.len(), 3);
}

#[test]
fn shared_claims_and_those_of_one_holder_do_not_clash() {
    let (ids, settlement) = settled(&[(1, 0, true, 0, 0, 0), (2, 1, true, 0, 0, 0), (1, 1, false, 0, 2, 0)]);
    assert_eq!(settlement.contests.len(), 1);
    assert_eq!(settlement.winners, BTreeSet::from([ids[0], ids[1]]));
}

#[test]
fn claims_that_have_seen_each_other_are_settled_by_rank() {
    let mut made = made(&[(1, 0, false, 1, 0, 0), (2, 0, false, 0, 0, 0)]);
    let [one, other] = [ClaimId::from_bytes([1; 16]), ClaimId::from_bytes([2; 16])];
    (made[0].claim.seen, made[1].claim.seen) = (vec![other], vec![one]);
    let mut open = opened(&made);
    (open[0].id, open[1].id) = (one, other);
    assert_eq!(settle(&open).winners, BTreeSet::from([other]));
}

#[test]
fn ten_thousand_claims_apart_all_stand() {
    let claim = |n: u32| Made {
        holder: holder((n % 100) as u8),
        claim: Claim {
            terms: exclusive(&[&format!("src/{n}/**")]),
            nonce: u64::from(n),
            ..made(&[(1, 0, false, 0, 0, 0)])[0].claim.clone()
        },
        token: None,
    };
    let made: Vec<Made> = (0..10_000).map(claim).collect();
    let settlement = settle(&opened(&made));
    assert_eq!((settlement.winners.len(), settlement.contests.len()), (10_000, 0));
}

fn drawn() -> impl Strategy<Value = (Vec<Made>, Vec<Made>)> {
    let counter = proptest::prop_oneof![2 => Just(0), 1 => 1_u64..4];
    let seen = proptest::prop_oneof![Just(0), proptest::num::u64::ANY];
    let one = (0_u8..6, 0..PATTERNS.len(), proptest::bool::weighted(0.3), 0_u8..3, seen, counter);
    let many = proptest::collection::vec(one, 0..24).prop_map(|drawn| made(&drawn));
    many.prop_flat_map(|made| (Just(made.clone()), Just(made).prop_shuffle()))
}

proptest! {
    #[test]
    fn claims_settle_the_same_in_any_order((made, shuffled) in drawn()) {
        let settlement = settle(&opened(&made));
        assert_eq!(settle(&opened(&shuffled)), settlement);
        let twice: Vec<Made> = made.iter().chain(&shuffled).cloned().collect();
        assert_eq!(settle(&opened(&twice)), settlement);
    }

    #[test]
    fn every_two_that_clash_have_one_contest_and_no_others_do((made, _) in drawn()) {
        let mut expected = BTreeSet::new();
        for (at, one) in made.iter().enumerate() {
            let others = made[at + 1..].iter().filter(|other| {
                other.holder != one.holder && one.claim.terms.excludes(&other.claim.terms)
            });
            expected.extend(others.map(|other| (id(one).min(id(other)), id(one).max(id(other)))));
        }
        let contests = settle(&opened(&made)).contests;
        let pairs: BTreeSet<_> = contests.iter().map(|it| (it.ahead.min(it.behind), it.ahead.max(it.behind))).collect();
        assert_eq!((pairs.len(), pairs), (contests.len(), expected));
    }

    #[test]
    fn those_that_stand_do_not_clash_and_every_other_is_behind_one((made, _) in drawn()) {
        let Settlement { winners, contests } = settle(&opened(&made));
        for contest in &contests {
            assert!(!(winners.contains(&contest.ahead) && winners.contains(&contest.behind)));
        }
        for loser in made.iter().map(id).filter(|id| !winners.contains(id)) {
            assert!(contests.iter().any(|contest| contest.behind == loser && winners.contains(&contest.ahead)));
        }
    }

    #[test]
    fn a_lease_gives_way_to_a_higher_token_only((made, _) in drawn()) {
        let tokens: BTreeMap<ClaimId, Option<Token>> = made.iter().map(|made| (id(made), made.token)).collect();
        for contest in settle(&opened(&made)).contests {
            let (ahead, behind) = (tokens[&contest.ahead], tokens[&contest.behind]);
            assert!(behind.is_none() || ahead > behind);
        }
    }

    #[test]
    fn no_claim_goes_before_one_that_it_was_knowingly_made_over((made, _) in drawn()) {
        let claims: BTreeMap<ClaimId, &Made> = made.iter().map(|made| (id(made), made)).collect();
        for contest in settle(&opened(&made)).contests {
            let (ahead, behind) = (claims[&contest.ahead], claims[&contest.behind]);
            assert_eq!(contest.knowing, behind.claim.seen.contains(&contest.ahead));
            let has_lease = ahead.token.is_some();
            assert!(has_lease || !ahead.claim.seen.contains(&contest.behind));
        }
    }
}
