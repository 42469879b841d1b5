//! What a voter has promised, by attempt, and found by what it is for.

use std::collections::BTreeMap;

use super::Grant;
use crate::lease::message::Terms;
use crate::lease::{Attempt, Holder};
use crate::scope::Index;

/// The promises of a voter, in force or spent, with an index of their scopes: a claim is compared with those alone that
/// it can clash with.
#[derive(Debug, Clone, Default)]
pub(super) struct Grants {
    all: BTreeMap<Attempt, Grant>,
    scopes: Index<Attempt>,
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

    /// Returns those whose terms exclude these, in the order of attempts.
    pub(super) fn excluding(&self, terms: &Terms) -> impl Iterator<Item = (Attempt, &Grant)> {
        let clashing = self.scopes.clashing(&terms.scope, terms.mode);
        clashing.into_iter().map(|attempt| (*attempt, &self.all[attempt]))
    }

    /// Returns those of a holder.
    pub(super) fn of(&self, holder: Holder) -> impl Iterator<Item = (Attempt, &Grant)> {
        self.all.range(holder.attempts()).map(|(attempt, grant)| (*attempt, grant))
    }

    /// Keeps a promise, in place of the one to the same attempt.
    pub(super) fn insert(&mut self, attempt: Attempt, grant: Grant) {
        if self.all.get(&attempt).is_none_or(|before| before.terms != grant.terms) {
            self.scopes.insert(attempt, &grant.terms.scope, grant.terms.mode);
        }
        self.all.insert(attempt, grant);
    }

    /// Forgets what was promised to an attempt.
    pub(super) fn remove(&mut self, attempt: Attempt) {
        self.all.remove(&attempt);
        self.scopes.remove(&attempt);
    }

    /// Marks a promise as ended by its holder; returns whether that is news.
    pub(super) fn end(&mut self, attempt: Attempt) -> bool {
        let live = self.all.get_mut(&attempt).filter(|grant| !grant.dead);
        live.map(|grant| grant.dead = true).is_some()
    }

    /// Changes each promise in place; terms stay as they are.
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
