//! What becomes of claims: held, refused, tentative, lapsed; said to the mesh, to the agent and to who asked.

use beadmesh_protocol::claim::{Fence, Why};
use beadmesh_protocol::clock::Instant;
use beadmesh_protocol::id::ClaimId;
use beadmesh_protocol::lease::holder::{End, Held};
use beadmesh_protocol::lease::message::{Blocker, Refusal};
use beadmesh_protocol::lease::{Epoch, LaneId};
use beadmesh_protocol::limits::FENCE_CLOSES_MAX;

use super::super::Replica;
use super::{Own, RETRY_INTERVAL, State};
use crate::command::CommandError;
use crate::stage::StoreError;

impl Replica {
    /// A claim has got its lease: the mesh is told before its agent is.
    pub(super) fn on_held(&mut self, held: Held) -> Result<(), StoreError> {
        let Held { lane, token, until, proof, closes } = held;
        let Some(&id) = self.leases.lanes.get(&lane) else { return Ok(()) };
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        let had = std::mem::replace(&mut own.state, State::Held { token, until });
        own.retry_at = None;
        let (until, beads) = (own.until, own.claim.terms.scope.beads().clone());
        let mut closes = closes;
        for bead in beads {
            closes.extend(self.closes_before(bead, token)?);
        }
        let closes = closes.into_iter().take(FENCE_CLOSES_MAX).collect();
        let fence = Fence { claim: id, token, until, closes, proof };
        self.publish(id, Some(fence))?;
        if had != State::Asking {
            self.tell(id, "held", None)?;
        } else {
            self.tell_watchers(id, "held", None)?;
        }
        self.answer_claim(id)
    }

    pub(super) fn on_renewed(&mut self, lane: LaneId, renewed: Instant) {
        let own = self.leases.lanes.get(&lane).and_then(|id| self.leases.own.get_mut(id));
        if let Some(Own { state: State::Held { until, .. }, .. }) = own {
            *until = renewed;
        }
    }

    /// A lane has ended without a lease, or with its lease lapsed.
    pub(super) fn on_lane_ended(&mut self, lane: LaneId, end: End) -> Result<(), StoreError> {
        let Some(id) = self.leases.lanes.remove(&lane) else { return Ok(()) };
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        own.lane = None;
        match end {
            End::Clash { voters, .. } if own.published && !is_majority_against(self.mesh.epoch().0, voters) => {
                let seats = self.mesh.epoch().0.seats.len();
                self.make_tentative(id, (self.voters_in_reach(), seats), None)
            }
            End::Clash { blockers, .. } => self.on_clash(id, &blockers),
            End::NoMajority { answered, voters, reason } => self.make_tentative(id, (answered, voters), reason),
            End::Refused(reason) if !own.published => {
                let request = own.asked_by.take();
                self.leases.own.remove(&id);
                let hint = "release what is not needed, see `beadmesh lease list`".to_owned();
                self.refuse_claim(request, CommandError::Refused { problem: reason.to_string(), hint });
                Ok(())
            }
            End::Refused(reason) => {
                let voters = self.mesh.epoch().0.seats.len();
                self.make_tentative(id, (voters, voters), Some(reason))
            }
            End::Lapsed(_) => {
                own.state = State::Lapsed { since: wall, told: true };
                own.retry_at = Some(now);
                self.leases.keep(&mut self.stage, id);
                self.tell(id, "lapsed", None)
            }
            End::TermOver(_) => self.end_claim(id, Why::Expired),
        }
    }

    /// Others hold what clashes: a claim that the mesh knows of yields, another was never made.
    fn on_clash(&mut self, id: ClaimId, blockers: &[Blocker]) -> Result<(), StoreError> {
        let Some(first) = blockers.first() else { return Ok(()) };
        let by = self.mesh.address(first.token.attempt.lane.holder.agent);
        let witness = self.witness_text(&first.witness)?;
        let left = blockers.iter().filter_map(Blocker::left).max();
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        let request = own.asked_by.take();
        if own.published {
            self.leases.give_up(self.now.mono, id, blockers);
            self.tell(id, "yielded", Some((by.clone(), witness.clone())))?;
            self.end_claim(id, Why::Yielded)?;
        } else {
            self.leases.own.remove(&id);
        }
        self.refuse_claim(request, CommandError::Held { by, left, witness });
        Ok(())
    }

    /// Says that a claim stands though nobody promises it, and tries again later.
    pub(super) fn make_tentative(
        &mut self,
        id: ClaimId,
        (reached, voters): (usize, usize),
        reason: Option<Refusal>,
    ) -> Result<(), StoreError> {
        let now = self.now.mono;
        let Some(own) = self.leases.own.get_mut(&id) else { return Ok(()) };
        own.retry_at = Some(now.after(RETRY_INTERVAL));
        let is_news = match &mut own.state {
            // It goes on to be lost until it is got back.
            State::Lapsed { told, .. } if !*told => {
                *told = true;
                Some("lapsed")
            }
            State::Lapsed { .. } => None,
            state => {
                let was = std::mem::replace(state, State::Tentative { reached, voters, reason });
                (was == State::Asking).then_some("tentative")
            }
        };
        match is_news {
            Some("lapsed") => self.tell(id, "lapsed", None)?,
            Some(word) => {
                self.publish(id, None)?;
                self.tell_watchers(id, word, None)?;
            }
            None => {}
        }
        self.answer_claim(id)
    }
}

/// Returns whether so many voters against a claim leave it no majority.
fn is_majority_against(epoch: &Epoch, voters: usize) -> bool {
    voters > epoch.seats.len() - epoch.quorum()
}
