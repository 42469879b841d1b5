//! What many seeds of the lease cell came to together. The order in which they are added makes no difference.

use std::collections::BTreeMap;

use super::{Outcome, SOMETIMES};
use crate::outcome::Violation;
use crate::sweep::digest_of;

/// Failing seeds that are kept; those with the lowest numbers are.
const FAILED_MAX: usize = 1_000;

/// What many seeds came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Events handled.
    pub events: u64,
    /// Virtual microseconds.
    pub virtual_us: u64,
    /// Leases that were got.
    pub leases: u64,
    /// How many seeds failed.
    pub failures: u64,
    /// The failing seeds with the lowest numbers, and what was wrong.
    pub failed: BTreeMap<u64, Vec<Violation>>,
    /// How often things happened that many seeds should see sometimes, and in how many seeds.
    pub seen: BTreeMap<&'static str, (u64, u64)>,
    digests: BTreeMap<u64, u64>,
}

impl Tally {
    /// Adds what a seed came to.
    pub fn add(&mut self, seed: u64, outcome: Outcome) {
        let Outcome { digest, violations, events, virtual_us, leases, seen } = outcome;
        self.digests.insert(seed, digest);
        self.events += events;
        self.virtual_us += virtual_us;
        self.leases += leases;
        for (name, times) in seen {
            let sight = self.seen.entry(name).or_default();
            *sight = (sight.0 + times, sight.1 + 1);
        }
        if !violations.is_empty() {
            self.failures += 1;
            self.failed.insert(seed, violations);
            if self.failed.len() > FAILED_MAX {
                self.failed.pop_last();
            }
        }
    }

    /// Returns how many seeds were added.
    pub fn seeds(&self) -> usize {
        self.digests.len()
    }

    /// Returns the digest of the digests of all seeds, in the order of the seeds.
    pub fn digest(&self) -> u64 {
        digest_of(&self.digests)
    }

    /// Returns what should have been seen, and was not.
    pub fn never_seen(&self) -> Vec<&'static str> {
        SOMETIMES.iter().copied().filter(|name| !self.seen.contains_key(name)).collect()
    }
}
