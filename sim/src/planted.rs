//! Every bug that can be planted, with a seed at which a checker finds it: a checker that finds nothing is none.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use beadmesh_protocol::planted::Bug;

use crate::outcome::Violation;
use crate::planner::{self, Wanted};
use crate::scenario::Scenario;

/// The bug, the scenario and the seed of a plan in which it shows, and the checker that finds it.
const CAUGHT: &[(Bug, Scenario, u64, &str)] = &[
    (Bug::LateFlush, Scenario::PowerCut, 21, "ids"),
    (Bug::RepliesDespiteFailure, Scenario::PowerCut, 201, "durable"),
    (Bug::CounterNotKept, Scenario::Laptop, 2, "ids"),
    (Bug::InstanceKept, Scenario::Clone, 42, "ids"),
    (Bug::ForgetsFuture, Scenario::VpsRestart, 3, "converge"),
    (Bug::EqualCounts, Scenario::Laptop, 3, "converge"),
    (Bug::ControlQueueCleared, Scenario::Clone, 19, "converge"),
    (Bug::NotPassedOn, Scenario::VpsRestart, 3, "converge"),
    (Bug::OwnEntriesRefused, Scenario::Rollback, 8, "converge"),
    (Bug::HelloEcho, Scenario::Partition, 4, "resources"),
    (Bug::TimersForgotten, Scenario::VpsRestart, 3, "converge"),
    (Bug::WindowIgnored, Scenario::Swarm, 306, "resources"),
    (Bug::FirstChangeAlone, Scenario::Byzantine, 34, "converge"),
    (Bug::WaitingForgotten, Scenario::Calm, 12, "converge"),
    (Bug::StaleView, Scenario::Partition, 1, "converge"),
    (Bug::SameLabelLost, Scenario::Rollback, 68, "durable"),
    (Bug::ActorReused, Scenario::Clone, 25, "durable"),
    (Bug::LastEdgeIgnored, Scenario::Partition, 44, "converge"),
    (Bug::CycleScar, Scenario::Swarm, 453, "converge"),
    (Bug::FirstHeardAlias, Scenario::Partition, 1, "converge"),
    (Bug::ShortIds, Scenario::Calm, 60, "durable"),
    (Bug::StrangersStored, Scenario::Byzantine, 10, "roster"),
    (Bug::ObserversWrite, Scenario::Byzantine, 22, "roster"),
    (Bug::AnyoneAdmits, Scenario::Byzantine, 10, "roster"),
    (Bug::CutForgotten, Scenario::Byzantine, 13, "roster"),
    (Bug::Resurrected, Scenario::Byzantine, 18, "roster"),
    (Bug::AnyoneOwns, Scenario::Byzantine, 18, "roster"),
    (Bug::ImpostorLetter, Scenario::Byzantine, 10, "mail"),
    (Bug::ImpostorReceipt, Scenario::Byzantine, 46, "mail"),
    (Bug::EarlyLetterLost, Scenario::Byzantine, 6, "converge"),
    (Bug::LetterTwice, Scenario::Byzantine, 22, "mail"),
    (Bug::ThreadByClock, Scenario::Swarm, 113, "mail"),
    (Bug::ContestsUntold, Scenario::Partition, 37, "claims"),
    (Bug::EndForgotten, Scenario::Laptop, 1, "claims"),
    (Bug::ForgottenPromises, Scenario::VpsRestart, 10, "leases"),
];

/// Runs what a seed draws, with a bug or without.
fn violations(scenario: Scenario, seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    let mut plan = planner::plan(seed, scenario, &Wanted::default()).unwrap();
    plan.planted = bug.map(|bug| bug.name().to_owned());
    plan.check().unwrap();
    crate::run(&plan, &mut |_| ControlFlow::Continue(())).violations
}

#[test]
fn every_bug_that_can_be_planted_has_its_seed() {
    let in_cells = crate::cell::caught::CAUGHT.iter().map(|(bug, ..)| *bug);
    let caught: BTreeSet<Bug> = CAUGHT.iter().map(|(bug, ..)| *bug).chain(in_cells).collect();
    let missing: Vec<&str> = Bug::ALL.iter().filter(|bug| !caught.contains(bug)).map(|bug| bug.name()).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn a_planted_bug_is_found_and_nothing_is_without_it() {
    for (bug, scenario, seed, check) in CAUGHT {
        let replay = format!("beadmesh sim run --seed {seed} --scenario {scenario}");
        let found = violations(*scenario, *seed, Some(*bug));
        let is_found = found.iter().any(|violation| violation.check == *check);
        assert!(is_found, "{check} does not find it: {replay} --planted {}: {found:?}", bug.name());
        assert_eq!(violations(*scenario, *seed, None), [], "{replay}");
    }
}
