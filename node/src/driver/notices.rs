//! What members publish: decoded beside the replica, judged, and handed in if there is room. What they say of their machines
//! goes to what this node knows of machines instead.

use std::sync::Arc;

use beadmesh_protocol::id::NodeId;
use beadmesh_protocol::notice::{Notice, NoticeError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::Links;
use crate::core::Core;
use crate::net::{Judge, Verdict};
use crate::telemetry::Telemetry;

/// Bytes from which decoding, with a signature an entry, would hold up the other tasks of its thread.
const INLINE_BYTES_MAX: usize = 4 * 1024;

/// A notice that came, with where to say what becomes of it.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) from: NodeId,
    pub(super) bytes: Vec<u8>,
    pub(super) judge: Judge,
}

/// Judges notices, and hands them to whom they concern.
pub(super) struct Hearer {
    pub(super) core: Core,
    pub(super) links: Arc<Links>,
    pub(super) telemetry: Telemetry,
}

impl Hearer {
    /// Judges notices one after another until nobody hands any in.
    pub(super) async fn run(self, mut arrivals: mpsc::Receiver<Arrival>) {
        while let Some(Arrival { from, bytes, judge }) = arrivals.recv().await {
            let length = bytes.len();
            let verdict = match decode(&self.core, from, bytes).await {
                Ok(notice) => {
                    let taken = self.take(from, notice, length);
                    if taken { Verdict::PassOn } else { Verdict::Drop }
                }
                Err(error) if error.is_violation() => {
                    let violations = self.links.count_violation();
                    warn!(node = %from, %error, violations, "a member published what no honest node does");
                    Verdict::Blame
                }
                Err(error) => {
                    debug!(node = %from, %error, "a notice is not understood");
                    Verdict::Drop
                }
            };
            judge.answer(verdict);
        }
    }

    /// Hands a notice on; returns whether it was taken.
    fn take(&self, from: NodeId, notice: Notice, length: usize) -> bool {
        match notice {
            Notice::Telemetry(told) => self.telemetry.hear(*told),
            notice => self.core.notice(from, notice, length),
        }
    }
}

async fn decode(core: &Core, from: NodeId, bytes: Vec<u8>) -> Result<Notice, NoticeError> {
    let mesh = core.mesh();
    if bytes.len() <= INLINE_BYTES_MAX {
        return Notice::decode(mesh, from, &bytes);
    }
    match spawn_blocking(move || Notice::decode(mesh, from, &bytes)).await {
        Ok(decoded) => decoded,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime shuts down.
        Err(_) => Err(NoticeError::Malformed),
    }
}
