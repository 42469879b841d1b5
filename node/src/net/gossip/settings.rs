//! How gossipsub is set up: what it lets in, what it remembers, and when it no longer listens to a peer.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beadmesh_protocol::notice;
use libp2p::gossipsub::{
    ConfigBuilder, DataTransform, IdentTopic, MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId,
    PeerScoreParams, PeerScoreThresholds, RawMessage, TopicHash, TopicScoreParams, TopicSubscriptionFilter,
    ValidationMode, score_parameter_decay,
};
use libp2p::identity::Keypair;

use super::Inner;
use crate::net::peer;

/// Bytes of one transmission, far above a notice: what is a little too long for gossipsub takes all that follows it on a
/// connection along, so what is too long for us must still arrive, to be refused.
const TRANSMIT_BYTES_MAX: usize = 256 * 1024;

/// Notices in one transmission; ours carry one.
const TRANSMIT_NOTICES_MAX: usize = 16;

/// Notices that are offered to a peer, or asked of it, between two looks at it: some seconds of a busy mesh.
const OFFERS_MAX: usize = 500;

/// Times that a peer may offer, and that one notice is sent to it again, between two looks at it.
const OFFER_MESSAGES_MAX: usize = 10;
const SENT_AGAIN_MAX: u32 = 3;

/// How long a notice that was heard is told from a new one.
const DUPLICATE_TIME: Duration = Duration::from_secs(60);

/// How long after its start gossipsub looks at its peers first.
const FIRST_HEARTBEAT: Duration = Duration::from_secs(1);

/// Topics that one peer may be on, and subscriptions in one transmission: one, and another while it enters a mesh.
const TOPICS_MAX: usize = 2;

/// Time in which the count of a peer's violations falls to a tenth; while it is nine or more, nobody listens to the peer.
const VIOLATION_DECAY: Duration = Duration::from_secs(600);

/// Lapses of manners, such as asking for what was just refused, that count for nothing.
const LAPSES_FREE: f64 = 6.0;

/// The one topic that there is: others can not be subscribed to, here or by peers, and what is published on them is thrown
/// away unread.
#[derive(Debug, Clone, Default)]
pub(in crate::net) struct OnlyTopic(Arc<Mutex<Option<TopicHash>>>);

impl OnlyTopic {
    pub(super) fn set(&self, topic: &IdentTopic) {
        // Nothing panics while it is held.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(topic.hash());
    }

    fn is(&self, topic: &TopicHash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(topic)
    }
}

impl TopicSubscriptionFilter for OnlyTopic {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        self.is(topic)
    }
}

impl DataTransform for OnlyTopic {
    // Gossipsub keeps every message for five heartbeats, and its id for longer, also those on topics that nobody here is
    // on; nobody is asked about those. This comes before it keeps anything, whoever speaks as fast as it can.
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, io::Error> {
        let RawMessage { source, data, sequence_number, topic, .. } = raw;
        if !self.is(&topic) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is on another topic"));
        }
        Ok(Message { source, data, sequence_number, topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, io::Error> {
        Ok(data)
    }
}

/// Sets gossipsub up for a node, with places for so many notices on their way to each peer.
pub(super) fn gossipsub(key: &Keypair, only: OnlyTopic, places: usize) -> Inner {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(TRANSMIT_BYTES_MAX)
        .max_publish_messages(TRANSMIT_NOTICES_MAX)
        .max_control_messages_sent(OFFERS_MAX)
        .max_ihave_messages_heartbeat(OFFER_MESSAGES_MAX)
        .gossip_retransimission(SENT_AGAIN_MAX)
        .duplicate_cache_time(DUPLICATE_TIME)
        .heartbeat_initial_delay(FIRST_HEARTBEAT)
        .connection_handler_queue_len(places)
        .flood_publish(false)
        .build()
        .expect("the settings are constant and fit each other");
    let filter = MaxCountSubscriptionFilter {
        filter: only.clone(),
        max_subscribed_topics: TOPICS_MAX,
        max_subscriptions_per_request: TOPICS_MAX,
    };
    let author = MessageAuthenticity::Signed(key.clone());
    let mut inner = Inner::new_with_subscription_filter_and_transform(author, config, filter, only)
        .expect("messages are signed, as strict validation wants it");
    inner.with_peer_score(peer_score(), thresholds()).expect("the parameters are constant and fit each other");
    inner
}

/// Tells a notice from others by who says it and what it says, whatever else stands on the envelope.
fn message_id(message: &Message) -> MessageId {
    let from = message.source.as_ref().and_then(peer::node_id);
    let from = from.unwrap_or(beadmesh_protocol::id::NodeId::from_bytes([0; 32]));
    MessageId::from(notice::id(from, &message.data).to_vec())
}

/// Returns what a peer is judged by: what it breaks, and not how much it brings or where it is.
fn peer_score() -> PeerScoreParams {
    PeerScoreParams {
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_threshold: LAPSES_FREE,
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

/// Returns from which score on a peer is told less, told nothing, and not listened to.
fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -10.0,
        publish_threshold: -50.0,
        graylist_threshold: -80.0,
        ..PeerScoreThresholds::default()
    }
}

/// Returns what a peer is judged by on our topic: the square of its violations counts against it, nothing for it.
pub(super) fn topic_score() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: score_parameter_decay(VIOLATION_DECAY),
        ..TopicScoreParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gossipsub_takes_the_settings() {
        let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let inner = gossipsub(&key, OnlyTopic::default(), 64);
        assert_eq!(inner.topics().count(), 0);
        assert!(topic_score().validate().is_ok());
    }

    #[test]
    fn only_our_topic_can_be_subscribed_to() {
        let mut only = OnlyTopic::default();
        let (ours, other) = (IdentTopic::new("ours"), IdentTopic::new("other"));
        assert!(!only.can_subscribe(&ours.hash()));
        only.set(&ours);
        assert!(only.can_subscribe(&ours.hash()));
        assert!(!only.can_subscribe(&other.hash()));
    }

    #[test]
    fn what_comes_on_another_topic_is_thrown_away_before_anything_keeps_it() {
        let only = OnlyTopic::default();
        let (ours, other) = (IdentTopic::new("ours"), IdentTopic::new("other"));
        let raw = |topic: &IdentTopic| RawMessage {
            source: None,
            data: vec![1, 2, 3],
            sequence_number: Some(7),
            topic: topic.hash(),
            signature: None,
            key: None,
            validated: false,
        };
        assert!(only.inbound_transform(raw(&ours)).is_err());
        only.set(&ours);
        let message = only.inbound_transform(raw(&ours)).unwrap();
        assert_eq!((message.data, message.sequence_number, message.topic), (vec![1, 2, 3], Some(7), ours.hash()));
        assert!(only.inbound_transform(raw(&other)).is_err());
    }
}
