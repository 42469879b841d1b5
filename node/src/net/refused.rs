//! Which count a connection that was refused belongs to.

use libp2p::swarm::ListenError;
use libp2p::{connection_limits, memory_connection_limits};

use super::gate;
use crate::refusals::{Refusal, Refusals};

impl Refusals {
    /// Counts a connection to us that did not come about, if somebody refused it.
    pub(super) fn count_connection(&self, error: &ListenError) {
        let ListenError::Denied { cause } = error else { return };
        let refusal = match cause.downcast_ref::<gate::Refusal>() {
            Some(gate::Refusal::Banned) => Refusal::ConnectionBanned,
            Some(gate::Refusal::NotMember) => Refusal::ConnectionStranger,
            Some(gate::Refusal::Crowded | gate::Refusal::Hurried) => Refusal::ConnectionCrowded,
            Some(gate::Refusal::Handshakes) => Refusal::ConnectionLimit,
            None if cause.downcast_ref::<connection_limits::Exceeded>().is_some() => Refusal::ConnectionLimit,
            None if cause.downcast_ref::<memory_connection_limits::MemoryUsageLimitExceeded>().is_some() => {
                Refusal::ConnectionMemory
            }
            None => return,
        };
        self.count(refusal);
    }
}
