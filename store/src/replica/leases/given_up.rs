//! Claims of this node that gave way: who is in the way is known from voters before its node has shown it here.

use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::{AgentId, ClaimId};
use beadmesh_protocol::lease::message::Blocker;
use beadmesh_protocol::scope::Scope;

use super::Leases;

/// A claim that gave way, for as long as the promise that is in its way was said to last.
///
/// Until then its agent is not to take its paths for free only because the other's entries have not come yet.
#[derive(Debug)]
pub(in super::super) struct GivenUp {
    pub(in super::super) agent: AgentId,
    pub(in super::super) scope: Scope,
    until: Instant,
}

impl Leases {
    /// Takes note that a claim of this node gives way to what voters have promised to others.
    pub(super) fn give_up(&mut self, now: Instant, id: ClaimId, blockers: &[Blocker]) {
        self.given_up.retain(|_, given_up| now < given_up.until);
        // An older claim that only waits holds nothing yet.
        let left = blockers.iter().filter_map(Blocker::left).max();
        if let (Some(own), Some(left)) = (self.own.get(&id), left) {
            let scope = own.claim.terms.scope.clone();
            self.given_up.insert(id, GivenUp { agent: own.claim.agent, scope, until: now.after(left) });
        }
    }

    /// Returns the claims of an agent that gave way a short while ago.
    pub(in super::super) fn given_up_by(
        &self,
        agent: Option<AgentId>,
        now: Instant,
    ) -> impl Iterator<Item = (ClaimId, &GivenUp)> {
        let is_its = move |given_up: &GivenUp| Some(given_up.agent) == agent && now < given_up.until;
        self.given_up.iter().filter(move |(_, given_up)| is_its(given_up)).map(|(id, given_up)| (*id, given_up))
    }
}
