//! Nodes that this one has nothing to do with, by a decision of its user alone: no connection, no notice, no dial.
//!
//! It is nobody else's decision: what a banned node has written and others bring is kept, as the set of entries wants it.
//! Who is to have no say in the mesh is removed from it by an admin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::NodeId;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock;
use crate::home::{Home, HomeError};
use crate::net::Handle;

/// Bans at one time: as many as a mesh has nodes.
pub(crate) const BANS_MAX: usize = beadmesh_protocol::limits::NODES_MAX;

/// The longest sleep: the wall clock may be set meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// Until when each node is kept out; for good where nothing is said.
pub(crate) type Known = BTreeMap<NodeId, Option<Wall>>;

/// Who is kept out, as the home remembers it and the network keeps to it.
#[derive(Debug)]
pub(crate) struct Bans {
    home: Arc<Home>,
    handle: Handle,
    known: Mutex<Known>,
    /// Held from reading what is known until it is kept anew, so that no change undoes another.
    changing: Mutex<()>,
    changed: Notify,
}

/// Why somebody is not kept out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BanError {
    /// As many are kept out as may be.
    #[error("{BANS_MAX} nodes are kept out already")]
    Full,
    /// It can not be remembered.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Bans {
    /// Takes up what the home remembers.
    ///
    /// # Errors
    /// When it can not be read.
    pub(crate) fn open(home: Arc<Home>, handle: Handle) -> Result<Self, HomeError> {
        let known = Mutex::new(home.bans()?);
        let bans = Self { home, handle, known, changing: Mutex::new(()), changed: Notify::new() };
        bans.enforce();
        Ok(bans)
    }

    /// Returns who is kept out now, and until when.
    pub(crate) fn known(&self) -> Known {
        let wall = clock::wall();
        let known = self.lock();
        known
            .iter()
            .filter(|(_, until)| until.is_none_or(|until| until > wall))
            .map(|(node, until)| (*node, *until))
            .collect()
    }

    /// Keeps a node out, for so long or for good; remembered before it is obeyed.
    ///
    /// # Errors
    /// When it can not be remembered, or too many are kept out.
    pub(crate) fn ban(&self, node: NodeId, span: Option<Duration>) -> Result<Option<Wall>, BanError> {
        let until = span.map(|span| clock::wall().after(span));
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.known();
        if known.len() >= BANS_MAX && !known.contains_key(&node) {
            return Err(BanError::Full);
        }
        known.insert(node, until);
        self.keep(known)?;
        info!(%node, "kept out by hand");
        Ok(until)
    }

    /// Lets a node in again; returns whether it was kept out.
    ///
    /// # Errors
    /// When that can not be remembered.
    pub(crate) fn unban(&self, node: NodeId) -> Result<bool, HomeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.known();
        if known.remove(&node).is_none() {
            return Ok(false);
        }
        self.keep(known)?;
        info!(%node, "let in again");
        Ok(true)
    }

    /// Lets in again whose time is over, until the node stops.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            self.enforce();
            let wall = clock::wall();
            let next = self.known().values().flatten().min().map(|until| wall.until(*until));
            let wait = next.map_or(LOOK_INTERVAL, |span| span.min(LOOK_INTERVAL) + Duration::from_millis(1));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn keep(&self, known: Known) -> Result<(), HomeError> {
        self.home.keep_bans(&known)?;
        *self.lock() = known;
        self.enforce();
        self.changed.notify_one();
        Ok(())
    }

    fn enforce(&self) {
        let banned: BTreeSet<NodeId> = self.known().into_keys().collect();
        self.handle.set_banned(banned);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes bans as they are remembered: a line each, the node and until when in milliseconds since 1970, or `-`.
pub(crate) fn write(known: &Known) -> String {
    let line = |(node, until): (&NodeId, &Option<Wall>)| {
        let until = until.map_or_else(|| "-".to_owned(), |until| until.as_millis().to_string());
        format!("{node} {until}\n")
    };
    known.iter().map(line).collect()
}

/// Reads what `write` has written; `None` for anything else.
pub(crate) fn read(text: &str) -> Option<Known> {
    let line = |line: &str| {
        let (node, until) = line.split_once(' ')?;
        let until = if until == "-" { None } else { Some(Wall::from_millis(until.parse().ok()?)) };
        Some((node.parse().ok()?, until))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_read_back_as_they_are_written_and_nothing_else_is_read() {
        let known: Known = [
            (NodeId::from_bytes([1; 32]), None),
            (NodeId::from_bytes([2; 32]), Some(Wall::from_millis(1_700_000_000_000))),
        ]
        .into();
        assert_eq!(read(&write(&known)), Some(known));
        assert_eq!(read(""), Some(Known::new()));
        for text in ["x", "x -", &format!("{} x", NodeId::from_bytes([1; 32]))] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
