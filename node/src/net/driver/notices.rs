//! What the driver does with notices, in both directions.

use std::sync::atomic::Ordering;
use std::time::Instant;

use libp2p::PeerId;
use libp2p::gossipsub::{Event as Gossip, Message, MessageId, PublishError};
use tracing::debug;

use super::Driver;
use crate::net::event::Event;
use crate::net::notice::{Judged, Verdict};
use crate::net::peer;
use crate::refusals::Refusal;

impl Driver {
    pub(super) fn on_gossip(&mut self, event: Gossip) {
        match event {
            Gossip::Message { propagation_source, message_id, message } => {
                self.on_heard(propagation_source, &message_id, message);
            }
            Gossip::GossipsubNotSupported { peer_id } => debug!(peer = %peer_id, "speaks no notices"),
            _ => {}
        }
    }

    /// Hands a notice in to be judged, unless its envelope is enough to judge by, or too many wait.
    fn on_heard(&mut self, bearer: PeerId, id: &MessageId, message: Message) {
        let counters = &self.shared.notices;
        let nodes = (message.source.as_ref().and_then(peer::node_id), peer::node_id(&bearer));
        let (Some(from), Some(by)) = nodes else { return self.decide(id, &bearer, Verdict::Drop) };
        let verdict = self.ears.judge(from, by, message.data.len(), Instant::now());
        if let Some(verdict) = verdict {
            counters.unheard.fetch_add(1, Ordering::Relaxed);
            self.shared.refusals.count(Refusal::NoticePace);
            return self.decide(id, &bearer, verdict);
        }
        let sent = self.ears.place(id.clone(), bearer).is_some_and(|judge| {
            let event = Event::Notice { from, bytes: message.data, judge };
            // Links wait for room in there; a notice never does.
            self.events.offer(event)
        });
        if !sent {
            counters.unheard.fetch_add(1, Ordering::Relaxed);
            self.shared.refusals.count(Refusal::NoticePace);
            self.decide(id, &bearer, Verdict::Drop);
        }
    }

    pub(super) fn on_judged(&mut self, judged: &Judged) {
        self.decide(&judged.id, &judged.bearer, judged.verdict);
    }

    fn decide(&mut self, id: &MessageId, bearer: &PeerId, verdict: Verdict) {
        if verdict == Verdict::Blame {
            self.shared.notices.violations.fetch_add(1, Ordering::Relaxed);
            self.shared.refusals.count(Refusal::Notice);
            debug!(peer = %bearer, "brought a notice that no honest node passes on");
        }
        self.swarm.behaviour_mut().gossip.judge(id, bearer, verdict.into());
    }

    pub(super) fn on_publish(&mut self, notice: Vec<u8>) {
        match self.swarm.behaviour_mut().gossip.publish(notice) {
            Ok(()) | Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
            Err(error) => {
                self.shared.notices.unsent.fetch_add(1, Ordering::Relaxed);
                debug!(%error, "a notice is not published");
            }
        }
    }
}
