//! Members and invites as the API shows them, and what may be asked about them.

use beadmesh_protocol::invite::fingerprint;
use beadmesh_protocol::op::Role;
use beadmesh_store::command::{ApplicantAnswer, FormerAnswer, MemberAnswer, OpenInviteAnswer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SecretText;

/// A member of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether it owns the mesh.
    pub owner: bool,
    /// Whether it is this node.
    pub here: bool,
    /// Who let it in.
    pub admitted_by: String,
    /// When it was let in.
    pub admitted_at: String,
    /// Where it says it can be reached.
    pub addresses: Vec<String>,
}

/// A node that was a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormerMember {
    /// Its id.
    pub id: String,
    /// What people called it.
    pub name: String,
    /// Who removed it; itself where it has left.
    pub removed_by: String,
    /// When.
    pub removed_at: String,
}

/// The members of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MembersBody {
    /// The members.
    pub members: Vec<Member>,
    /// Those who were.
    #[serde(default)]
    pub former: Vec<FormerMember>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberBody {
    /// The member.
    pub member: Member,
}

/// A node that is a member no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RemovedBody {
    /// The node.
    pub removed: FormerMember,
}

/// What is to be otherwise about a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    /// What it may do: `observer`, `member` or `admin`.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Who is to own the mesh: one of the two is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerRequest {
    /// The member that this node, which owns the mesh, gives it to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The recovery key, by which this node takes the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub recovery_key: Option<SecretText>,
}

/// An invite of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenInvite {
    /// Its id, which is no secret.
    pub id: String,
    /// What those who come by it may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether an admin has to approve each of those who come.
    #[serde(default)]
    pub approval: bool,
    /// Until when it is good; once its last use is taken, when that was.
    pub expires_at: String,
    /// How many nodes may still come by it.
    pub uses_left: u32,
    /// Who came by it.
    pub used_by: Vec<String>,
}

/// The invites of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvitesBody {
    /// The invites, the first to expire first.
    pub invites: Vec<OpenInvite>,
}

/// A node that waits to be approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applicant {
    /// Its id.
    pub id: String,
    /// What to compare with what that machine shows.
    pub fingerprint: String,
    /// What it wants to be called; whoever asks chooses that.
    pub name: String,
    /// What it may do once it is approved: what its ticket was made for.
    #[schema(value_type = String)]
    pub role: Role,
    /// When it first asked.
    pub since: String,
}

/// The nodes that wait to be approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplicantsBody {
    /// The nodes, those that have waited longest first.
    pub applicants: Vec<Applicant>,
}

impl From<ApplicantAnswer> for Applicant {
    fn from(answer: ApplicantAnswer) -> Self {
        let ApplicantAnswer { node, name, role, since } = answer;
        Self { id: node.to_string(), fingerprint: fingerprint(node), name, role, since: since.to_string() }
    }
}

impl From<MemberAnswer> for Member {
    fn from(answer: MemberAnswer) -> Self {
        let MemberAnswer { node, name, role, owner, here, admitted_by, admitted_at, addresses } = answer;
        let (id, admitted_at) = (node.to_string(), admitted_at.to_string());
        Self { id, name, role, owner, here, admitted_by, admitted_at, addresses }
    }
}

impl From<FormerAnswer> for FormerMember {
    fn from(answer: FormerAnswer) -> Self {
        let FormerAnswer { node, name, removed_by, removed_at } = answer;
        Self { id: node.to_string(), name, removed_by, removed_at: removed_at.to_string() }
    }
}

impl From<OpenInviteAnswer> for OpenInvite {
    fn from(answer: OpenInviteAnswer) -> Self {
        let OpenInviteAnswer { invite, role, approval, expires, uses_left, used_by } = answer;
        Self { id: invite.to_string(), role, approval, expires_at: expires.to_string(), uses_left, used_by }
    }
}
