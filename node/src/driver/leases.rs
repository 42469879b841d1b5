//! What members say about leases: decoded and handed in by a task of its own, so that it waits for nothing else.

use std::sync::Arc;

use beadmesh_protocol::lease::wire::Message;
use tracing::warn;

use super::Links;
use crate::core::Core;
use crate::net::{Handle, LeaseMessage, LeaseMessages};
use crate::refusals::Refusal;

/// Hands lease messages in, in order, until the network has shut down or the replica has stopped.
pub(super) async fn run(core: Core, handle: Handle, links: Arc<Links>, mut messages: LeaseMessages) {
    while let Some(LeaseMessage { from, link, bytes, share }) = messages.recv().await {
        match Message::decode(&bytes) {
            Ok(message) => {
                if core.lease(from, message, bytes.len(), share).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                let violations = links.count_violation();
                links.refusals.count(Refusal::Lease);
                warn!(node = %from, %error, violations, "a peer broke the protocol");
                handle.close(link, &error.to_string());
            }
        }
    }
}
