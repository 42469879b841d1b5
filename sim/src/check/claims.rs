//! Claims as everybody shows them in the end: the same at all nodes, as their own nodes said, none left without an answer,
//! and each two that clash contested on both sides.

use std::collections::{BTreeMap, BTreeSet};

use beadmesh_protocol::id::ClaimId;
use beadmesh_protocol::mail::system::Cause;
use beadmesh_store::command::{ClaimAnswer, ClaimState};

use super::Ending;
use super::report::{self, Report};
use crate::outcome::Violation;
use crate::plan::Trouble;
use crate::view::View;

/// Finds claims that are shown otherwise than was said, that wait for ever, or whose contests are not told.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("claims", ending);
    if !ending.converged {
        return report.finish();
    }
    let contests = contests(ending);
    for view in ending.shown() {
        let who = report::viewer(view);
        let mut note = |id: &ClaimId, what: String| report.note(view.place, format!("{who}, claim {id}: {what}."));
        for (id, claim) in &view.claims {
            if claim.state == ClaimState::Asking {
                note(id, "nobody asks for it, and it waits for an answer".to_owned());
            } else if !ending.said.claims.contains_key(id) {
                note(id, "no entry says it".to_owned());
            }
        }
        for id in ending.said.claims.keys() {
            let Some(claim) = view.claims.get(id) else {
                note(id, "it is not shown".to_owned());
                continue;
            };
            let is_sound = is_sound(ending, view, claim);
            if is_ended(claim) != ending.said.ended.contains(id) {
                note(id, format!("its node has {}ended it, and it is shown as {:?}", not(ending, id), claim.state));
            }
            if let Some(expected) = ending.reference.claims.get(id) {
                compare(claim, expected, &mut |what| note(id, what));
                let (shown, wanted) = (token(claim), token(expected));
                if is_sound && shown.is_some() && wanted.is_some() && shown != wanted {
                    note(id, format!("its token is {shown:?}, and the reference shows {wanted:?}"));
                }
            }
            let expected = contests.get(id).cloned().unwrap_or_default();
            let mut shown: Vec<ClaimId> = claim.contests.iter().map(|contest| contest.with).collect();
            shown.sort_unstable();
            if shown != expected {
                note(id, format!("it clashes with {expected:?}, and {shown:?} are shown"));
            }
        }
        letters(ending, view, &contests, &mut note);
    }
    report.finish()
}

fn not(ending: &Ending<'_>, id: &ClaimId) -> &'static str {
    if ending.said.ended.contains(id) { "" } else { "not " }
}

/// Returns whether a claim is shown as ended by its node.
fn is_ended(claim: &ClaimAnswer) -> bool {
    matches!(claim.state, ClaimState::Ended { why } if is_said(why))
}

/// Returns whether a claim is over because its node said so, and not because of others or of a clock.
fn is_said(why: &str) -> bool {
    !matches!(why, "silent" | "overtaken")
}

/// Compares what does not depend on who is asked.
fn compare(claim: &ClaimAnswer, expected: &ClaimAnswer, note: &mut dyn FnMut(String)) {
    let common = |claim: &ClaimAnswer| {
        let contests: Vec<(ClaimId, bool)> = claim.contests.iter().map(|other| (other.with, other.ahead)).collect();
        let why = if let ClaimState::Ended { why } = claim.state { Some(why).filter(|why| is_said(why)) } else { None };
        (claim.address.clone(), claim.bead.clone(), claim.project_key.clone(), claim.patterns.clone(), why, contests)
    };
    let (shown, wanted) = (common(claim), common(expected));
    if shown != wanted {
        let (shown, wanted) = report::apart(&format!("{shown:?}"), &format!("{wanted:?}"));
        note(format!("it shows {shown} where the reference shows {wanted}"));
    }
}

/// Returns the token of the lease that a claim is shown with.
fn token(claim: &ClaimAnswer) -> Option<u64> {
    match claim.state {
        ClaimState::Held { token, .. } | ClaimState::Shown { token } => Some(token),
        _ => None,
    }
}

/// Returns whether a node knows by which lease it has a claim: of its own not where its store ran twice or was put back.
fn is_sound(ending: &Ending<'_>, view: &View, claim: &ClaimAnswer) -> bool {
    let key = |place: u32| ending.keys.get(&ending.copies.get(&place).copied().unwrap_or(place));
    let key = view.place.and_then(key);
    !claim.here || key.is_none_or(|key| !ending.unsound.contains_key(key))
}

/// Returns for each claim in force the others that clash with it, by a plain look at every two.
fn contests(ending: &Ending<'_>) -> BTreeMap<ClaimId, Vec<ClaimId>> {
    let reference = ending.reference;
    let acting: BTreeSet<_> = reference.agents.iter().filter(|agent| !agent.retired).map(|agent| agent.id).collect();
    let in_force = |id: &ClaimId| {
        let shown = reference.claims.get(id);
        let is_over = |claim: &ClaimAnswer| matches!(claim.state, ClaimState::Ended { why } if why != "overtaken");
        shown.is_some_and(|claim| !is_over(claim) && acting.contains(&claim.agent))
    };
    let claims: Vec<_> = ending.said.claims.iter().filter(|(id, _)| in_force(id)).collect();
    let mut contests: BTreeMap<ClaimId, Vec<ClaimId>> = BTreeMap::new();
    for (id, (node, claim)) in &claims {
        for (other, (others_node, others)) in &claims {
            let same = (node, claim.agent) == (others_node, others.agent);
            if !same && claim.terms.excludes(&others.terms) {
                contests.entry(**id).or_default().push(**other);
            }
        }
    }
    contests
}

/// Looks that the agent of each claim that never had a lease was told once of each other such that clashes with it.
fn letters(
    ending: &Ending<'_>,
    view: &View,
    contests: &BTreeMap<ClaimId, Vec<ClaimId>>,
    note: &mut dyn FnMut(&ClaimId, String),
) {
    // Who lost its store, or had it twice, does not know what it told; and by a wrong clock a claim may seem over.
    let Some(place) = view.place.filter(|place| ending.is_steady(*place) && is_clock_right(ending)) else { return };
    let node = ending.keys.get(&place);
    let is_bare = |id: &ClaimId| !ending.said.fenced.contains(id);
    let own = contests.iter().filter(|(id, _)| is_bare(id) && ending.said.claims.get(id).map(|(node, _)| node) == node);
    for (id, others) in own {
        for other in others.iter().filter(|other| is_bare(other)) {
            let cause = Cause::ClaimContested { claim: *id, with: *other };
            let told = view.system.values().filter(|letter| letter.cause == cause).count();
            if told != 1 {
                note(id, format!("its agent was told {told} times that it clashes with {other}"));
            }
        }
    }
}

fn is_clock_right(ending: &Ending<'_>) -> bool {
    let stepped = ending.plan.faults.iter().any(|fault| matches!(fault.trouble, Trouble::WallStep { .. }));
    !stepped && ending.plan.nodes.iter().all(|node| node.wall_ahead_ms == 0)
}

#[cfg(test)]
mod tests;
