//! Every bug that can be planted in leases, with a seed of the cell at which a check finds it.

use beadmesh_protocol::planted::Bug;

use super::plan::Plan;
use super::run;

/// The bug, the seed of a cell in which it shows, and the check that finds it.
pub(crate) const CAUGHT: &[(Bug, u64, &str)] = &[
    (Bug::AnswersBeforeFlush, 1, "flush"),
    (Bug::ForgottenPromises, 28, "exclusion"),
    (Bug::LostVoterReturns, 753, "exclusion"),
    (Bug::NoStartWait, 720, "exclusion"),
    (Bug::PromiseShortened, 481, "exclusion"),
    (Bug::TokensUnchecked, 2, "token"),
    (Bug::ReleaseByHolder, 1, "exclusion"),
    (Bug::ImportsNothing, 2, "exclusion"),
    (Bug::SealedByFew, 4, "exclusion"),
    (Bug::NoRecoveryWait, 939, "exclusion"),
    (Bug::GrantsSealed, 4, "epoch"),
    (Bug::HalfIsEnough, 2, "exclusion"),
    (Bug::RoundsAdded, 282, "exclusion"),
    (Bug::FromTheReply, 9, "token"),
    (Bug::NoDriftGuard, 401, "exclusion"),
    (Bug::AttemptSurvives, 516, "token"),
    (Bug::SplitsStay, 647, "turn"),
    (Bug::StartsForgotten, 4_684, "exclusion"),
];

#[test]
fn a_planted_bug_is_found_in_a_cell_and_nothing_is_without_it() {
    for (bug, seed, check) in CAUGHT {
        let replay = format!("beadmesh sim leases --seeds 1 --seed {seed}");
        let mut plan = Plan::draw(*seed);
        assert_eq!(run(&plan).violations, [], "{replay}");
        plan.planted = Some(bug.name().to_owned());
        let found = run(&plan).violations;
        let is_found = found.iter().any(|violation| violation.check == *check);
        assert!(is_found, "{check} does not find it: {replay} --planted {}: {found:?}", bug.name());
    }
}
