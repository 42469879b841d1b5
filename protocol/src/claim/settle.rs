//! Which of several claims on one thing goes first, as everybody with the same claims tells it.
//!
//! It advises: that a claim goes first is no promise, and a claim that arrives late can change it. Only a lease decides,
//! so a claim with one goes before all without.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Claim;
use crate::id::ClaimId;
use crate::lease::{Holder, Token};
use crate::scope::{Index, Witness};

/// The BLAKE3 context under which contests are named.
const ID_CONTEXT: &str = "beadmesh 2026 contest id v1";

/// A claim that has not ended.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// Its name.
    pub id: ClaimId,
    /// Who claims.
    pub holder: Holder,
    /// What it says.
    pub claim: &'a Claim,
    /// The token of its lease, if it has one.
    pub token: Option<Token>,
}

/// Two claims of different holders that clash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// The claim that goes first of the two.
    pub ahead: ClaimId,
    /// The other.
    pub behind: ClaimId,
    /// What both cover.
    pub witness: Witness,
    /// Whether the one behind was made by who knew of the other.
    pub knowing: bool,
}

/// What a set of claims comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The claims that stand for now; no two of them clash.
    pub winners: BTreeSet<ClaimId>,
    /// Every two claims that clash, once, in the order of the claims ahead and then of those behind.
    pub contests: Vec<Contest>,
}

/// In which order claims go by themselves: with a lease before those without, the higher token first, then the more
/// pressing, then by name. No clocks: one that is wrong must not win.
type Rank = (bool, Reverse<Option<Token>>, u8, ClaimId);

/// Two claims that clash, the one with the lower name first, and what both cover.
type Clash = (ClaimId, ClaimId, Witness);

impl Contest {
    /// Returns the name of the contest, the same for the two claims whichever is ahead.
    pub fn id(&self) -> [u8; 16] {
        let pair = (self.ahead.min(self.behind), self.ahead.max(self.behind));
        let bytes = postcard::to_stdvec(&pair).expect("names of claims have a postcard form");
        let hash = blake3::derive_key(ID_CONTEXT, &bytes);
        hash[..16].try_into().expect("16 of 32 bytes")
    }
}

/// Settles all open claims, whatever the order in which they are given.
///
/// They go one by one, each after those that it was knowingly made over, else by rank; one that clashes with none that
/// stands already stands too. Who knew counts between claims without leases only.
pub fn settle(open: &[Open<'_>]) -> Settlement {
    let mut claims: BTreeMap<ClaimId, &Open<'_>> = BTreeMap::new();
    for one in open {
        let known = claims.entry(one.id).or_insert(one);
        if known.token < one.token {
            *known = one;
        }
    }
    let clashes = clashes(&claims);
    let places = places(&claims, &clashes);
    let mut contests: Vec<Contest> = clashes.into_iter().map(|clash| contest(clash, &claims, &places)).collect();
    contests.sort_unstable_by_key(|contest| (places[&contest.ahead], places[&contest.behind]));
    let mut beaten: BTreeSet<ClaimId> = BTreeSet::new();
    for contest in &contests {
        // All that could beat the one ahead have been looked at: they go before it.
        if !beaten.contains(&contest.ahead) {
            beaten.insert(contest.behind);
        }
    }
    let winners = claims.into_keys().filter(|id| !beaten.contains(id)).collect();
    Settlement { winners, contests }
}

/// Returns every two claims of different holders that clash.
fn clashes(claims: &BTreeMap<ClaimId, &Open<'_>>) -> Vec<Clash> {
    let mut clashes = Vec::new();
    let mut index: Index<ClaimId> = Index::default();
    for (id, one) in claims {
        let terms = &one.claim.terms;
        let found = index.clashes(&terms.scope, terms.mode);
        let others = found.filter(|(other, _)| claims[*other].holder != one.holder);
        clashes.extend(others.map(|(other, witness)| (*other, *id, witness)));
        index.insert(*id, &terms.scope, terms.mode);
    }
    clashes
}

/// Returns in which place each claim goes.
fn places(claims: &BTreeMap<ClaimId, &Open<'_>>, clashes: &[Clash]) -> BTreeMap<ClaimId, usize> {
    let mut waits_for: BTreeMap<ClaimId, usize> = BTreeMap::new();
    let mut awaited_by: BTreeMap<ClaimId, Vec<ClaimId>> = BTreeMap::new();
    for (one, other, _) in clashes {
        for (seen, knowing) in [(one, other), (other, one)] {
            if is_knowing(claims[seen], claims[knowing]) {
                *waits_for.entry(*knowing).or_default() += 1;
                awaited_by.entry(*seen).or_default().push(*knowing);
            }
        }
    }
    let rank = |id: &ClaimId| rank(claims[id]);
    let mut waiting: BTreeSet<Rank> = waits_for.keys().map(rank).collect();
    let mut free: BTreeSet<Rank> = claims.keys().map(rank).filter(|rank| !waiting.contains(rank)).collect();
    let mut places = BTreeMap::new();
    // Names are hashes of what was seen, so claims can not wait for each other in a ring; were one there, rank breaks it.
    while let Some((.., id)) = free.pop_first().or_else(|| waiting.pop_first()) {
        places.insert(id, places.len());
        for knowing in awaited_by.remove(&id).unwrap_or_default() {
            let left = waits_for.get_mut(&knowing).expect("who is awaited by it waits");
            *left -= 1;
            if *left == 0 && waiting.remove(&rank(&knowing)) {
                free.insert(rank(&knowing));
            }
        }
    }
    places
}

fn contest(
    (one, other, witness): Clash,
    claims: &BTreeMap<ClaimId, &Open<'_>>,
    places: &BTreeMap<ClaimId, usize>,
) -> Contest {
    let (ahead, behind) = if places[&one] < places[&other] { (one, other) } else { (other, one) };
    Contest { ahead, behind, witness, knowing: claims[&behind].claim.seen.contains(&ahead) }
}

/// Returns whether one claim was made by who knew of the other, and neither has a lease.
fn is_knowing(seen: &Open<'_>, knowing: &Open<'_>) -> bool {
    seen.token.is_none() && knowing.token.is_none() && knowing.claim.seen.contains(&seen.id)
}

fn rank(open: &Open<'_>) -> Rank {
    (open.token.is_none(), Reverse(open.token), open.claim.priority, open.id)
}

#[cfg(test)]
mod tests;
