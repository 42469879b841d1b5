//! Giving contents to other members: only what a letter that is held here carries, and only some at one time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use beadmesh_protocol::blob::{Answer as Reply, Request};
use beadmesh_protocol::id::{BlobHash, NodeId};
use beadmesh_store::blobs::{BlobError, Blobs};
use beadmesh_store::command::{Answer, BlobUse, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::{next_piece, off_thread, past_damaged};
use crate::clock;
use crate::core::Core;
use crate::net::{BlobStream, TransferError};

/// Contents that are given at one time.
const SERVED_MAX: usize = 4;

/// Contents that are given to one node at one time: it leaves turns for others.
const NODE_SERVED_MAX: usize = 2;

/// How long somebody waits for a turn before it is told that others are served.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// How long giving one content may take: one of the largest passes at 28 KB/s.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Bytes of a request.
const REQUEST_BYTES: usize = BlobHash::BYTES;

/// Answers members that ask for contents; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    blobs: Blobs,
    core: Core,
    turns: Turns,
}

impl Server {
    pub(super) fn new(blobs: Blobs, core: Core) -> Self {
        Self { blobs, core, turns: Turns::default() }
    }

    /// Answers one member on its stream.
    pub(crate) async fn serve(self, node: NodeId, stream: BlobStream) {
        let peer = node.short();
        match timeout(TIME_MAX, self.answer(node, stream)).await {
            Ok(Ok(Some((hash, bytes)))) => info!(peer, blob = %hash.short(), bytes, "an attachment was given"),
            Ok(Ok(None)) => debug!(peer, "asked for an attachment that is not given"),
            Ok(Err(error)) => debug!(peer, %error, "giving an attachment broke off"),
            Err(_) => debug!(peer, "giving an attachment took too long"),
        }
    }

    async fn answer(&self, node: NodeId, mut stream: BlobStream) -> Result<Option<(BlobHash, u64)>, TransferError> {
        let request = stream.read(REQUEST_BYTES).await?;
        let carried = match Request::decode(&request) {
            Ok(Request { hash }) => self.is_carried(hash).await.then_some(hash),
            Err(_) => None,
        };
        let Some(hash) = carried else { return refuse(stream, Reply::Absent).await };
        let Ok(Some(_turn)) = timeout(TURN_PATIENCE, self.turns.take(node)).await else {
            return refuse(stream, Reply::Busy).await;
        };
        let blobs = self.blobs.clone();
        let opened = off_thread(move || past_damaged(|| blobs.open(hash, clock::wall()))).await;
        let mut content = match opened {
            Ok(content) => content,
            Err(error) => {
                if !matches!(error, BlobError::Missing { .. }) {
                    warn!(%error, "an attachment can not be read");
                }
                return refuse(stream, Reply::Absent).await;
            }
        };
        let bytes = content.bytes;
        stream.write(&Reply::Here { bytes }.encode()).await?;
        loop {
            let piece;
            (piece, content) = next_piece(content).await.map_err(TransferError::Io)?;
            if piece.is_empty() {
                break;
            }
            stream.write(&piece).await?;
        }
        stream.finish().await?;
        Ok(Some((hash, bytes)))
    }

    /// Returns whether a letter that is held here carries a blob.
    async fn is_carried(&self, hash: BlobHash) -> bool {
        match self.core.call(Command::BlobUses(vec![hash])).await {
            Ok(Answer::BlobUses(uses)) => uses.iter().any(|carried| *carried != BlobUse::Nobodys),
            Ok(_) | Err(_) => false,
        }
    }
}

/// Who is being given something; cheap to clone.
#[derive(Debug, Clone)]
struct Turns {
    all: Arc<Semaphore>,
    /// Those of each node that has one or waits for one.
    of_nodes: Arc<Mutex<BTreeMap<NodeId, Weak<Semaphore>>>>,
}

/// One turn of a node; it ends when it is dropped.
#[derive(Debug)]
struct Turn {
    _one: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Turns {
    /// Waits for a turn.
    async fn take(&self, node: NodeId) -> Option<Turn> {
        // Who waits for an own one keeps nobody else waiting.
        let own = self.of(node).acquire_owned().await.ok()?;
        let one = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { _one: one, _own: own })
    }

    fn of(&self, node: NodeId) -> Arc<Semaphore> {
        let mut of_nodes = self.of_nodes.lock().unwrap_or_else(PoisonError::into_inner);
        of_nodes.retain(|_, turns| turns.strong_count() > 0);
        if let Some(turns) = of_nodes.get(&node).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(NODE_SERVED_MAX));
        of_nodes.insert(node, Arc::downgrade(&turns));
        turns
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(SERVED_MAX)), of_nodes: Arc::default() }
    }
}

async fn refuse(mut stream: BlobStream, reply: Reply) -> Result<Option<(BlobHash, u64)>, TransferError> {
    stream.write(&reply.encode()).await?;
    stream.finish().await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_node_has_some_turns_and_all_have_a_few_more() {
        let turns = Turns::default();
        let take = |number: u8| turns.take(NodeId::from_bytes([number; 32])).now_or_never().flatten();
        let held = [take(1), take(1)];
        assert!(held.iter().all(Option::is_some) && take(1).is_none());
        let others = [take(2), take(3)];
        assert!(others.iter().all(Option::is_some) && take(4).is_none());
        drop(held);
        assert!(take(4).is_some() && take(1).is_some());
        drop(others);
        // Nothing is remembered of who has none.
        assert!(take(5).is_some());
        assert_eq!(turns.of_nodes.lock().unwrap().len(), 1);
    }
}
