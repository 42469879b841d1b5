//! What many seeds came to together. The order in which they are added makes no difference.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::coverage::SOMETIMES;
use crate::outcome::{Outcome, Violation};
use crate::scenario::Scenario;

/// Every how many seeds one is run a second time; it has no divisor in common with the number of scenarios, so that
/// each has its turn.
pub const TWICE_EVERY: u64 = 19;

/// Seeds of a sweep over all scenarios from which on everything that should happen sometimes must have happened.
pub const COVERAGE_SEEDS_MIN: u64 = 500;

/// Failing seeds that are kept; those with the lowest numbers are.
const FAILED_MAX: usize = 1_000;

/// Violations of one seed that are kept.
const VIOLATIONS_MAX: usize = 20;

/// What one seed came to.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: &'static str,
    /// The digest of the run.
    pub digest: u64,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Events handled.
    pub events: u64,
    /// Virtual microseconds.
    pub virtual_us: u64,
    /// How often each thing happened that should happen sometimes.
    pub seen: BTreeMap<&'static str, u64>,
    /// The command that runs it again.
    pub replay: String,
    /// Where its plan was put.
    pub plan: Option<String>,
}

impl Trial {
    /// Returns what a run of a seed came to.
    pub fn new(seed: u64, scenario: Scenario, outcome: Outcome, replay: String) -> Self {
        let Outcome { digest, mut violations, events, virtual_us, seen, .. } = outcome;
        violations.truncate(VIOLATIONS_MAX);
        Self { seed, scenario: scenario.name(), digest, violations, events, virtual_us, seen, replay, plan: None }
    }
}

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// What the seeds of each scenario came to.
    pub scenarios: BTreeMap<&'static str, Row>,
    /// What was seen, by name; whatever should be seen stands here.
    pub seen: BTreeMap<&'static str, Sight>,
    /// The failing seeds with the lowest numbers.
    pub failed: BTreeMap<u64, Failed>,
    digests: BTreeMap<u64, u64>,
}

/// What the seeds of one scenario came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// How many ran.
    pub seeds: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Events handled.
    pub events: u64,
    /// Virtual microseconds.
    pub virtual_us: u64,
}

/// How often something was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sight {
    /// How often altogether.
    pub times: u64,
    /// In how many seeds.
    pub seeds: u64,
}

/// A seed that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// The seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: &'static str,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// The command that runs it again.
    pub replay: String,
    /// Where its plan was put.
    pub plan: Option<String>,
}

impl Sweep {
    /// Returns a sweep that has not begun.
    pub fn new() -> Self {
        let seen = SOMETIMES.iter().map(|(name, _)| (*name, Sight::default())).collect();
        Self { seen, ..Self::default() }
    }

    /// Adds what a seed came to.
    pub fn add(&mut self, trial: Trial) {
        let Trial { seed, scenario, digest, violations, events, virtual_us, seen, replay, plan } = trial;
        self.digests.insert(seed, digest);
        let row = self.scenarios.entry(scenario).or_default();
        row.seeds += 1;
        row.events += events;
        row.virtual_us += virtual_us;
        for (name, times) in seen.into_iter().filter(|(_, times)| *times > 0) {
            let sight = self.seen.entry(name).or_default();
            sight.times += times;
            sight.seeds += 1;
        }
        if !violations.is_empty() {
            row.failed += 1;
            self.failed.insert(seed, Failed { seed, scenario, violations, replay, plan });
            if self.failed.len() > FAILED_MAX {
                self.failed.pop_last();
            }
        }
    }

    /// Returns what all scenarios came to.
    pub fn total(&self) -> Row {
        let mut total = Row::default();
        for row in self.scenarios.values() {
            total.seeds += row.seeds;
            total.failed += row.failed;
            total.events += row.events;
            total.virtual_us += row.virtual_us;
        }
        total
    }

    /// Returns the digest of the digests of all seeds, in the order of the seeds.
    pub fn digest(&self) -> u64 {
        digest_of(&self.digests)
    }

    /// Returns what should have been seen, and was not.
    pub fn never_seen(&self) -> Vec<&'static str> {
        self.seen.iter().filter(|(_, sight)| sight.times == 0).map(|(name, _)| *name).collect()
    }
}

/// Returns the scenario of a seed in a sweep over all of them: they take turns.
pub fn turn(seed: u64) -> Scenario {
    let count = u64::try_from(Scenario::ALL.len()).expect("there are few scenarios");
    Scenario::ALL[usize::try_from(seed % count).expect("a scenario's place is small")]
}

/// Returns the digest of the digests of seeds, in the order of the seeds.
pub(crate) fn digest_of(digests: &BTreeMap<u64, u64>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for (seed, digest) in digests {
        hasher.update(&seed.to_le_bytes());
        hasher.update(&digest.to_le_bytes());
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Returns whether a sweep runs the seed a second time.
pub fn is_run_twice(seed: u64) -> bool {
    seed.is_multiple_of(TWICE_EVERY)
}

/// Returns that two runs of one plan were not the same, and from where on.
pub fn parting(first: &Outcome, second: &Outcome) -> Option<Violation> {
    if first.digest == second.digest && first.trace == second.trace {
        return None;
    }
    let same = first.trace.iter().zip(&second.trace).take_while(|(first, second)| first == second).count();
    let what = format!(
        "two runs of this plan part after point {same} of their traces, which have {} and {}",
        first.trace.len(),
        second.trace.len()
    );
    Some(Violation { check: "determinism", at_ms: 0, node: None, what })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Row, SOMETIMES, Sight, Sweep, Trial, is_run_twice, turn};
    use crate::outcome::Violation;

    fn trial(seed: u64) -> Trial {
        let violation = Violation { check: "loss", at_ms: 9, node: None, what: "an entry is gone".into() };
        let violations = if seed.is_multiple_of(5) { vec![violation] } else { vec![] };
        let seen = BTreeMap::from([(SOMETIMES[0].0, seed % 3)]);
        let (scenario, replay) = (turn(seed).name(), format!("run {seed}"));
        Trial { seed, scenario, digest: seed * 7, violations, events: 2, virtual_us: 3, seen, replay, plan: None }
    }

    #[test]
    fn the_order_of_the_seeds_makes_no_difference() {
        let (mut up, mut down) = (Sweep::new(), Sweep::new());
        (0..30).for_each(|seed| up.add(trial(seed)));
        (0..30).rev().for_each(|seed| down.add(trial(seed)));
        assert_eq!((up.digest(), &up.failed, &up.seen), (down.digest(), &down.failed, &down.seen));
        assert_eq!(up.total(), Row { seeds: 30, failed: 6, events: 60, virtual_us: 90 });
        down.add(trial(30));
        assert_ne!(up.digest(), down.digest());
    }

    #[test]
    fn what_was_never_seen_is_named() {
        let mut sweep = Sweep::new();
        assert_eq!(sweep.never_seen().len(), SOMETIMES.len());
        (0..6).for_each(|seed| sweep.add(trial(seed)));
        assert_eq!(sweep.seen[SOMETIMES[0].0], Sight { times: 6, seeds: 4 });
        assert!(!sweep.never_seen().contains(&SOMETIMES[0].0));
        assert_eq!(sweep.never_seen().len(), SOMETIMES.len() - 1);
    }

    #[test]
    fn no_more_failures_are_kept_than_a_person_reads() {
        let mut sweep = Sweep::new();
        (0..6_000).rev().for_each(|seed| sweep.add(trial(seed)));
        assert_eq!((sweep.failed.len(), sweep.total().failed), (super::FAILED_MAX, 1_200));
        assert!(sweep.failed.contains_key(&0) && !sweep.failed.contains_key(&5_995));
    }

    #[test]
    fn every_scenario_is_run_twice_in_its_turn() {
        let twice: BTreeSet<&str> =
            (0..1_000).filter(|seed| is_run_twice(*seed)).map(|seed| turn(seed).name()).collect();
        assert_eq!(twice.len(), super::Scenario::ALL.len());
    }
}
