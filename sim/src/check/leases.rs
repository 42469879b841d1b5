//! Leases by true time, which no node knows: no two holders at once, and tokens that rise.
//!
//! Judged are those that nodes showed, until their own clocks reached the end. Where the machine of a holder or of a voter
//! broke what leases rest on, two holders are what one gets: such leases are excused from that moment on, and only they.

use std::collections::BTreeMap;

use super::Ending;
use super::report::{self, Report};
use crate::outcome::Violation;
use crate::tenure::Tenure;

/// The most that a clock may be off for leases, in parts of a million.
const DRIFT_PPM_MAX: u32 = 10_000;

/// Finds leases of two holders that clash and were valid at once, tokens that do not rise, and tokens given twice.
pub(super) fn check(ending: &Ending<'_>) -> Vec<Violation> {
    let mut report = Report::new("leases", ending);
    let mut tokens = BTreeMap::new();
    for (at, later) in ending.tenures.iter().enumerate() {
        let first = *tokens.entry(later.token).or_insert(later);
        if (first.holder, first.claim) != (later.holder, later.claim) && !is_excused(ending, first, later) {
            let what = format!("{} and {} have one token.", named(ending, first), named(ending, later));
            report.note(Some(later.place), what);
        }
        for before in &ending.tenures[..at] {
            let is_beside = later.from_us < before.until_us.min(later.until_us);
            let is_lower = before.until_us <= later.from_us && later.token < before.token;
            if !(is_beside || is_lower) || before.holder == later.holder {
                continue;
            }
            if !before.terms.excludes(&later.terms) || is_excused(ending, before, later) {
                continue;
            }
            let (one, other) = (named(ending, before), named(ending, later));
            let what = if is_beside {
                format!("{one} and {other} clash, and both were valid at {} us.", later.from_us)
            } else {
                format!("{other} followed {one}, which clashes, and its token is lower.")
            };
            report.note(Some(later.place), what);
        }
    }
    report.finish()
}

fn named(ending: &Ending<'_>, tenure: &Tenure) -> String {
    let Tenure { place, claim, token, from_us, until_us, .. } = tenure;
    let bead = tenure.terms.scope.beads().first().map(|bead| report::bead(ending, *bead)).unwrap_or_default();
    let patterns: Vec<&str> = tenure.terms.scope.patterns().iter().map(|pattern| pattern.as_str()).collect();
    let what = [bead, patterns.join(" ")].join(" ");
    format!(
        "the lease of node {place} on {} (claim {claim}, token {}, {from_us} to {until_us} us)",
        what.trim(),
        token.counter
    )
}

/// Returns whether a machine that one of two leases rests on broke the rules before the later one ended.
fn is_excused(ending: &Ending<'_>, before: &Tenure, later: &Tenure) -> bool {
    let drifts = |node| {
        let plan = ending.place(node).and_then(|place| ending.node(place));
        plan.is_none_or(|plan| plan.drift_ppm.unsigned_abs() > DRIFT_PPM_MAX)
    };
    let is_unsound = |node| ending.unsound.get(&node).is_some_and(|since| *since < later.until_us) || drifts(node);
    is_unsound(before.holder.node)
        || is_unsound(later.holder.node)
        || ending.said.voters.iter().copied().any(is_unsound)
}

#[cfg(test)]
mod tests {
    use beadmesh_protocol::id::{AgentId, ClaimId, ProjectId};
    use beadmesh_protocol::lease::{Attempt, Holder, LaneId, Terms, Token};
    use beadmesh_protocol::scope::{Mode, Scope};

    use super::*;
    use crate::check::tests::{Scene, key, told};

    fn tenure(node: u8, counter: u64, (from_us, until_us): (u64, u64)) -> Tenure {
        let holder = Holder { node: key(node), agent: AgentId::from_bytes([node; 16]) };
        let attempt = Attempt { lane: LaneId { holder, incarnation: 1, lane: 1 }, seq: counter };
        let project = Some(ProjectId::from_bytes([1; 16]));
        let scope = Scope::parse(project, [], &["src/".to_owned()]).expect("a pattern");
        Tenure {
            place: node.into(),
            claim: ClaimId::from_bytes([node; 16]),
            holder,
            terms: Terms { scope, mode: Mode::Exclusive },
            token: Token { counter, attempt },
            from_us,
            until_us,
        }
    }

    fn scene(tenures: Vec<Tenure>) -> Scene {
        let mut scene = Scene::sound();
        scene.said.voters = [key(0)].into();
        scene.tenures = tenures;
        scene
    }

    #[test]
    fn leases_that_follow_each_other_are_in_order() {
        let all = vec![tenure(1, 1, (0, 10)), tenure(2, 2, (10, 30)), tenure(1, 3, (30, 40))];
        assert_eq!(told(check, &scene(all)), [""; 0]);
        let mut shared = vec![tenure(1, 1, (0, 10)), tenure(2, 2, (5, 30))];
        shared.iter_mut().for_each(|tenure| tenure.terms.mode = Mode::Shared);
        assert_eq!(told(check, &scene(shared)), [""; 0]);
    }

    #[test]
    fn two_holders_at_once_are_told_but_where_a_machine_broke_the_rules_before() {
        let mut both = scene(vec![tenure(1, 1, (0, 10)), tenure(2, 2, (9, 30))]);
        let found = told(check, &both);
        assert!(found.len() == 1 && found[0].ends_with("both were valid at 9 us."), "{found:?}");
        for (node, since, count) in [(0, 30, 1), (0, 29, 0), (1, 5, 0), (2, 29, 0), (7, 0, 1)] {
            both.unsound = [(key(node), since)].into();
            assert_eq!(told(check, &both).len(), count, "node {node} from {since}");
        }
        both.unsound.clear();
        both.plan.nodes[2].drift_ppm = -10_001;
        assert_eq!(told(check, &both).len(), 0);
    }

    #[test]
    fn a_token_that_is_lower_or_given_twice_is_told() {
        let lower = told(check, &scene(vec![tenure(1, 5, (0, 10)), tenure(2, 4, (10, 30))]));
        assert!(lower.len() == 1 && lower[0].ends_with("its token is lower."), "{lower:?}");
        let mut twice = vec![tenure(1, 5, (0, 10)), tenure(1, 5, (20, 30))];
        assert_eq!(told(check, &scene(twice.clone())), [""; 0], "a lease that lapsed and was renewed");
        twice[1].claim = ClaimId::from_bytes([9; 16]);
        let twice = told(check, &scene(twice));
        assert!(twice.len() == 1 && twice[0].ends_with("have one token."), "{twice:?}");
    }
}
