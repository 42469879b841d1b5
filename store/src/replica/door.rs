//! The door of a replica: what goes in, and what comes out.

use beadmesh_protocol::id::{MeshId, NodeId};
use beadmesh_protocol::lease::Message;
use beadmesh_protocol::notice::Notice;
use beadmesh_protocol::wire::Frame;

use super::Event;
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
    /// A linked member has said something about leases.
    Lease(NodeId, Message),
    /// A node has published a sound notice.
    Notice(NodeId, Notice),
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
    /// Say something about leases to a linked member, on the stream for that; it may get lost.
    Lease(NodeId, Message),
    /// Publish a notice, encoded, to the whole mesh; it may get lost.
    Notice(Vec<u8>),
    /// Notices are those of this mesh from now on.
    Mesh(MeshId),
    /// Close a link.
    Close {
        /// The link.
        link: LinkId,
        /// Why, in words.
        reason: String,
        /// Whether the peer broke the protocol.
        violation: bool,
    },
    /// These nodes may connect and are to be dialled, each with where it says it can be reached. A link closed before this
    /// has still to hand over its last frames.
    Members(Vec<(NodeId, Vec<String>)>),
    /// Whether strangers may ask to join now.
    JoinOpen(bool),
    /// Something changed that a watcher may want to know.
    Event(Event),
}
