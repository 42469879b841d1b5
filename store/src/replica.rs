//! The replica: the state machines of the protocol joined to storage. One door for the node and for the simulator.
//!
//! It only routes. Each part below owns its state and its rules: `entries` the replicated sets, `mesh` the roster and
//! invites, `beads` documents and views, `links` the conversations with peers.

use beadmesh_protocol::clock::{Instant, Now};
use beadmesh_protocol::id::{BeadId, NodeId};
use beadmesh_protocol::wire::Frame;

use crate::command::{Answer, Command, CommandError};

/// Names a command until its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names one link while it is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Somebody wishes something.
    Command(RequestId, Command),
    /// A link to a member is up, over that address.
    LinkUp(LinkId, NodeId, String),
    /// A link brought a sound frame.
    Frame(LinkId, Frame),
    /// A link is down.
    LinkDown(LinkId),
    /// The time that `next_wakeup` named has come.
    Wakeup,
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Answer a command.
    Reply(RequestId, Box<Result<Answer, CommandError>>),
    /// Send a frame.
    Frame(LinkId, Frame),
    /// Close a link, for that reason.
    Close(LinkId, String),
    /// These nodes may connect and are to be dialled, each with where it says it can be reached.
    Members(Vec<(NodeId, Vec<String>)>),
    /// Whether strangers may ask to join now.
    JoinOpen(bool),
    /// Something changed that a watcher may want to know.
    Event(Event),
}

/// A change that is durable here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A bead was created or changed, here or elsewhere.
    Bead {
        /// The bead.
        bead: BeadId,
        /// Its alias as shown.
        alias: String,
        /// The node that wrote the change.
        author: NodeId,
    },
    /// The roster changed.
    Roster,
    /// A link came up.
    PeerUp(NodeId),
    /// A link went down.
    PeerDown(NodeId),
    /// A peer and this node have come to hold the same.
    PeerSettled(NodeId),
}
