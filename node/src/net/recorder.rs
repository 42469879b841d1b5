//! What libp2p counts of itself, but for what strangers could fill with words of theirs.

use libp2p::metrics::{Metrics, Recorder as _, Registry};
use libp2p::swarm::SwarmEvent;

use super::behaviour::BehaviourEvent;

/// Counts events of the swarm.
pub(super) struct Recorder(Metrics);

impl Recorder {
    /// Makes a recorder whose families are shown by a registry.
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self(Metrics::new(registry))
    }

    pub(super) fn record(&self, event: &SwarmEvent<BehaviourEvent>) {
        match event {
            // Its label is the form of an address at which a peer says that it sees us, and it may say anything; so may
            // what identify brings, which is not counted either.
            SwarmEvent::NewExternalAddrCandidate { .. } => {}
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => self.0.record(ping),
            SwarmEvent::Behaviour(BehaviourEvent::Relay(relay)) => self.0.record(relay),
            SwarmEvent::Behaviour(BehaviourEvent::Punch(punch)) => self.0.record(punch),
            event => self.0.record(event),
        }
    }
}
