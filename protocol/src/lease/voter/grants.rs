//! What a voter has promised, by attempt, and found by what it is for.

use std::collections::{BTreeMap, BTreeSet};

use super::Grant;
use crate::lease::message::Terms;
use crate::lease::{Attempt, Holder};
use crate::scope::Index;

/// The promises of a voter, in force or spent: a claim is compared with those alone that can matter to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants {
    all: BTreeMap<Attempt, Grant>,
    /// The scopes of those that their holders have not ended.
    open: Index<Attempt>,
    /// Those that their holders have ended, by the counters of their tokens.
    ended: BTreeSet<(u64, Attempt)>,
}

impl Grants {
    /// Returns all of them.
    pub(super) fn all(&self) -> &BTreeMap<Attempt, Grant> {
        &self.all
    }

    /// Returns what was promised to an attempt.
    pub(super) fn get(&self, attempt: Attempt) -> Option<&Grant> {
        self.all.get(&attempt)
    }

    /// Returns those that are not ended and whose terms exclude these, in the order of attempts.
    pub(super) fn open_against(&self, terms: &Terms) -> impl Iterator<Item = (Attempt, &Grant)> {
        let clashing = self.open.clashing(&terms.scope, terms.mode);
        clashing.into_iter().map(|attempt| (*attempt, &self.all[attempt]))
    }

    /// Returns those that are ended, have this counter or a higher one, and whose terms exclude these.
    ///
    /// Few have so high a counter, for who asks has mostly learned the highest that voters know.
    pub(super) fn ended_against(&self, terms: &Terms, counter: u64) -> impl Iterator<Item = (Attempt, &Grant)> {
        let above = self.ended.iter().rev().take_while(move |(known, _)| *known >= counter);
        above.map(|(_, attempt)| (*attempt, &self.all[attempt])).filter(|(_, grant)| grant.terms.excludes(terms))
    }

    /// Returns those of a holder.
    pub(super) fn of(&self, holder: Holder) -> impl Iterator<Item = (Attempt, &Grant)> {
        self.all.range(holder.attempts()).map(|(attempt, grant)| (*attempt, grant))
    }

    /// Keeps a promise, in place of the one to the same attempt.
    pub(super) fn insert(&mut self, attempt: Attempt, grant: Grant) {
        let is_alike =
            |before: &Grant| (before.dead, before.counter, &before.terms) == (grant.dead, grant.counter, &grant.terms);
        // A renewal, as most are, changes nothing by which it is found.
        if !self.all.get(&attempt).is_some_and(is_alike) {
            self.remove(attempt);
            if grant.dead {
                self.ended.insert((grant.counter, attempt));
            } else {
                self.open.insert(attempt, &grant.terms.scope, grant.terms.mode);
            }
        }
        self.all.insert(attempt, grant);
    }

    /// Forgets what was promised to an attempt.
    pub(super) fn remove(&mut self, attempt: Attempt) {
        if let Some(grant) = self.all.remove(&attempt) {
            self.ended.remove(&(grant.counter, attempt));
            self.open.remove(&attempt);
        }
    }

    /// Marks a promise as ended by its holder; returns whether that is news.
    pub(super) fn end(&mut self, attempt: Attempt) -> bool {
        let Some(grant) = self.all.get_mut(&attempt).filter(|grant| !grant.dead) else { return false };
        grant.dead = true;
        self.open.remove(&attempt);
        self.ended.insert((grant.counter, attempt));
        true
    }

    /// Changes until when each promise is in force.
    pub(super) fn amend(&mut self, mut amend: impl FnMut(Attempt, &mut Grant)) {
        self.all.iter_mut().for_each(|(attempt, grant)| amend(*attempt, grant));
    }

    /// Takes all of them out.
    pub(super) fn take(&mut self) -> BTreeMap<Attempt, Grant> {
        std::mem::take(self).all
    }
}

impl FromIterator<(Attempt, Grant)> for Grants {
    fn from_iter<I: IntoIterator<Item = (Attempt, Grant)>>(grants: I) -> Self {
        let mut made = Self::default();
        grants.into_iter().for_each(|(attempt, grant)| made.insert(attempt, grant));
        made
    }
}
