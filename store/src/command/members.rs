//! What the API asks about members and invites, and what it is told.

use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{InviteId, NodeId};
use beadmesh_protocol::op::Role;
use ed25519_dalek::SigningKey;

/// A wish about a member, which a person names: by its name, or by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberWish {
    /// Removes it from the mesh.
    Remove(String),
    /// Gives it another role.
    Role(String, Role),
    /// Gives it a name.
    Rename(String, String),
    /// Leaves the mesh, as this node.
    Leave,
    /// Makes it the owner of the mesh, which this node is.
    Give(String),
    /// Makes this node the owner of the mesh, by the secret half of the recovery key.
    Take(SigningKey),
}

/// A member of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAnswer {
    /// The node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it owns the mesh.
    pub owner: bool,
    /// Whether it is this node.
    pub here: bool,
    /// Who let it in.
    pub admitted_by: String,
    /// When it was let in.
    pub admitted_at: Wall,
    /// Where it says it can be reached.
    pub addresses: Vec<String>,
}

/// A node that was a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormerAnswer {
    /// The node.
    pub node: NodeId,
    /// What people called it.
    pub name: String,
    /// Who removed it; itself where it has left.
    pub removed_by: String,
    /// When.
    pub removed_at: Wall,
}

/// An invite that this node has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenInviteAnswer {
    /// Its name, which is no secret.
    pub invite: InviteId,
    /// What those who come by it may do.
    pub role: Role,
    /// Whether an admin has to approve each of those who come.
    pub approval: bool,
    /// Until when it is open; once its last use is taken, when that was.
    pub expires: Wall,
    /// How many nodes may still come by it.
    pub uses_left: u32,
    /// Who came by it.
    pub used_by: Vec<String>,
}

/// A node that waits to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicantAnswer {
    /// The node.
    pub node: NodeId,
    /// What it wants to be called.
    pub name: String,
    /// What it may do once it is approved.
    pub role: Role,
    /// When it first asked.
    pub since: Wall,
}

/// An invite to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite {
    /// How long it is open.
    pub ttl: Duration,
    /// How many nodes may come by it.
    pub uses: u32,
    /// What they may do.
    pub role: Role,
    /// Whether an admin has to approve each of them.
    pub approval: bool,
    /// Where this node can be reached, as multiaddresses.
    pub addresses: Vec<String>,
}
