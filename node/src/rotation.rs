//! Replacing the key of this node while it runs: the new key is kept before anything is signed by it, and the old one goes
//! once a member is known to have heard of the new.
//!
//! A crash in between leaves the node of before, or one whose store goes on by the new key while its links are still those
//! of the old: that is how the others hear of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use beadmesh_protocol::id::NodeId;
use beadmesh_store::command::{Answer, Command, CommandError, MemberAnswer, MemberWish};
use beadmesh_store::replica::Event;
use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::Problem;
use crate::core::Core;
use crate::home::Home;

/// How long whoever asks waits for members to say that they know the new key.
const KNOWN_PATIENCE: Duration = Duration::from_secs(5);

/// Replaces the key of a running node.
#[derive(Debug)]
pub(crate) struct Rotation {
    core: Core,
    home: Arc<Home>,
    /// Cancelled when the node is to start again, by its new key.
    restart: CancellationToken,
    /// Held while a key is made or put in its place.
    turn: Mutex<()>,
}

/// What came of replacing the key.
pub(crate) struct Rotated {
    /// This node, by its new key.
    pub(crate) member: MemberAnswer,
    /// The members that know it.
    pub(crate) known_to: BTreeSet<NodeId>,
}

impl Rotation {
    pub(crate) fn new(core: Core, home: Arc<Home>, restart: CancellationToken) -> Self {
        Self { core, home, restart, turn: Mutex::default() }
    }

    /// Replaces the key, and has the node start again by the new one once a member knows it.
    ///
    /// # Errors
    /// When a new key waits already, the replica refuses, or the home can not be written.
    pub(crate) async fn rotate(self: Arc<Self>) -> Result<Rotated, Problem> {
        let _turn = self.turn.lock().await;
        if self.home.next_key()?.is_some() {
            let problem = "a new key waits already until a member has heard of it".to_owned();
            let hint = "see to the links of this node; `beadmesh members rotate --finish` does not wait".to_owned();
            return Err(CommandError::Conflict { problem, hint }.into());
        }
        let linked = match self.core.call(Command::Status).await? {
            Answer::Status(status) => status.peers.into_iter().filter(|peer| peer.connected).map(|peer| peer.node),
            other => return Err(crate::api::unexpected(&other)),
        };
        let linked: BTreeSet<NodeId> = linked.collect();
        let mut events = self.core.events();
        let key = self.home.make_next_key()?;
        let member = match self.core.call(Command::Member(MemberWish::Rotate(key))).await {
            Ok(Answer::Member(member)) => *member,
            Ok(other) => return Err(crate::api::unexpected(&other)),
            Err(refused @ (CommandError::Refused { .. } | CommandError::Conflict { .. })) => {
                self.home.drop_next_key()?;
                return Err(refused.into());
            }
            // Whether it is on disk is found when the store is opened the next time.
            Err(failed) => return Err(failed.into()),
        };
        info!(node = %member.node, "the key of this node is replaced");
        let mut known_to = BTreeSet::new();
        let all = async {
            while !linked.is_subset(&known_to) {
                let Some(node) = heard(&mut events).await else { break };
                known_to.insert(node);
            }
        };
        // Who has not said so by then hears of it from the others.
        let _ = timeout(KNOWN_PATIENCE, all).await;
        if known_to.is_empty() {
            warn!("no member is known to have heard of the new key: the old one links this node until one has");
            tokio::spawn(Arc::clone(&self).wait(events));
        } else {
            self.finish()?;
        }
        Ok(Rotated { member, known_to })
    }

    /// Has the node start again by a new key that waits, whoever has heard of it.
    ///
    /// # Errors
    /// When none waits, or the home can not be written.
    pub(crate) async fn finish_now(&self) -> Result<Rotated, Problem> {
        let _turn = self.turn.lock().await;
        let Some(next) = self.home.next_key()? else {
            let problem = "no new key waits".to_owned();
            return Err(CommandError::Conflict { problem, hint: "run `beadmesh members rotate`".to_owned() }.into());
        };
        let node = NodeId::from_bytes(next.verifying_key().to_bytes());
        let member = match self.core.call(Command::Members).await? {
            Answer::Members(members, _) => members.into_iter().find(|member| member.node == node),
            other => return Err(crate::api::unexpected(&other)),
        };
        let Some(member) = member else {
            let problem = "the new key is no member's: something has spoken against it".to_owned();
            let hint = "ask an admin for a new ticket, and join with an empty BEADMESH_HOME".to_owned();
            return Err(CommandError::Refused { problem, hint }.into());
        };
        self.finish()?;
        Ok(Rotated { member, known_to: BTreeSet::new() })
    }

    /// Waits until a member knows a new key that was made before, then has the node start again by it.
    pub(crate) async fn wait(self: Arc<Self>, mut events: Receiver<Event>) {
        let known = tokio::select! {
            () = self.restart.cancelled() => None,
            _ = self.core.ended() => None,
            known = heard(&mut events) => known,
        };
        let Some(node) = known else { return };
        info!(%node, "a member knows the new key");
        let _turn = self.turn.lock().await;
        if let Err(error) = self.finish() {
            error!(problem = error.info.message, "the new key is not put in its place");
        }
    }

    fn finish(&self) -> Result<(), Problem> {
        self.home.place_next_key()?;
        self.restart.cancel();
        Ok(())
    }
}

/// Waits until a member is known to have heard of the new key; `None` once nobody can say so any more.
async fn heard(events: &mut Receiver<Event>) -> Option<NodeId> {
    loop {
        match events.recv().await {
            Ok(Event::RotationKnown(node)) => return Some(node),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}
