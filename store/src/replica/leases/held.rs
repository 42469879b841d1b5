//! The leases that this node takes for valid, for whoever has to know more than an answer tells.

use beadmesh_protocol::claim::Why;
use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::ClaimId;
use beadmesh_protocol::lease::{Holder, Terms, Token};

use super::super::Replica;
use super::{Own, State, word_of};
use crate::stage::StoreError;

/// A lease of an agent of this node.
#[derive(Debug, Clone, Copy)]
pub struct HeldLease<'a> {
    /// The claim that it is for.
    pub claim: ClaimId,
    /// Who holds it.
    pub holder: Holder,
    /// What it covers.
    pub terms: &'a Terms,
    /// What fences the work under it.
    pub token: Token,
    /// When it lapses unless it is renewed, by this node's clock.
    pub until: Instant,
}

impl Replica {
    /// Returns the leases of this node's agents; one counts until its time by the node's clock, and no longer.
    pub fn held(&self) -> impl Iterator<Item = HeldLease<'_>> {
        self.leases.all().filter_map(|(claim, own)| match own.state {
            State::Held { token, until } => {
                Some(HeldLease { claim, holder: own.holder, terms: &own.claim.terms, token, until })
            }
            State::Asking | State::Tentative { .. } | State::Lapsed { .. } => None,
        })
    }

    /// Forgets a claim that an entry of this node ends, unless it did so itself just now: a copy of its store has ended
    /// it, or this one before it was put back.
    pub(super) fn on_ended_elsewhere(&mut self, id: ClaimId, why: Why) -> Result<(), StoreError> {
        if self.leases.own(id).is_none() {
            return Ok(());
        }
        self.tell_watchers(id, word_of(why), None)?;
        self.drop_claim(id, why, None)
    }
}

impl Own {
    /// Returns whether somebody waits for an answer about it.
    pub(in super::super) fn is_awaited(&self) -> bool {
        self.asked_by.is_some()
    }
}
