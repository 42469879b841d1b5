//! Tenures: leases as true time knows them, from when a node showed one until its own clock reached the end.

use std::collections::BTreeMap;

use beadmesh_protocol::id::ClaimId;
use beadmesh_protocol::lease::{Holder, Terms, Token};
use beadmesh_store::replica::Replica;

use crate::clock::Clock;

/// A lease as true time knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
    /// The machine that showed it, by place.
    pub place: u32,
    /// The claim.
    pub claim: ClaimId,
    /// Who had it.
    pub holder: Holder,
    /// What it covered.
    pub terms: Terms,
    /// Its token.
    pub token: Token,
    /// From when, in virtual microseconds.
    pub from_us: u64,
    /// Until when it counted; that moment is not part of it.
    pub until_us: u64,
}

/// All leases that were shown, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Tenures {
    all: Vec<Tenure>,
    /// Which of them go on, by machine.
    open: BTreeMap<u32, BTreeMap<(ClaimId, Token), usize>>,
}

impl Tenures {
    /// Takes what a process shows once its batch is durable; what it shows no more has ended.
    pub(crate) fn note(&mut self, place: u32, (clock, now_us): (&Clock, u64), replica: &Replica) {
        let open = self.open.entry(place).or_default();
        let mut before = std::mem::take(open);
        for held in replica.held() {
            let until_us = clock.when(held.until);
            let key = (held.claim, held.token);
            // One that had lapsed before it was renewed has begun anew.
            let known = before.remove(&key).filter(|at| now_us < self.all[*at].until_us || until_us <= now_us);
            let at = known.unwrap_or_else(|| {
                let (claim, holder, terms, token) = (held.claim, held.holder, held.terms.clone(), held.token);
                self.all.push(Tenure { place, claim, holder, terms, token, from_us: now_us, until_us });
                self.all.len() - 1
            });
            self.all[at].until_us = until_us;
            open.insert(key, at);
        }
        before.into_values().for_each(|at| self.all[at].end(now_us));
    }

    /// Takes that a process shows nothing any more.
    pub(crate) fn end(&mut self, place: u32, now_us: u64) {
        let open = self.open.remove(&place).unwrap_or_default();
        open.into_values().for_each(|at| self.all[at].end(now_us));
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> &[Tenure] {
        &self.all
    }
}

impl Tenure {
    fn end(&mut self, now_us: u64) {
        self.until_us = self.until_us.min(now_us);
    }
}
