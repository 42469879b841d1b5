//! What the HTTP API says and is told: the published contract, in types that server and clients share.
//!
//! Every answer is one JSON object with `"schema": 1`. Ids, dates and roles are texts. Rules live elsewhere.

use beadmesh_protocol::clock::Wall;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod agent;
mod bead;
mod container;
mod doctor;
mod lease;
mod mail;
mod member;
mod mesh;
mod query;
mod request;
mod telemetry;

pub use beadmesh_protocol::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, LETTER_BODY_BYTES_MAX};
pub use beadmesh_protocol::mail::Importance;
pub use beadmesh_protocol::op::Role;
pub use beadmesh_protocol::project::ProjectKey;

pub use agent::{Agent, AgentBody, AgentsBody, RegisterRequest, RegisteredBody};
pub use bead::{
    Bead, BeadBody, BeadPage, Comment, Conflict, Dep, ImportBody, LineNote, MachineLacks, Project, ProjectBody, Scalar,
    StaleClose, Unfit, own_status,
};
pub use container::{Container, ContainerNode, ContainersBody};
pub use doctor::{Check, DoctorBody, Finding, Grade};
pub use lease::{
    CHECK_PATHS_MAX, Claim, ClaimBody, ClaimRequest, ClaimsBody, Contest, HOLD_S_MAX, HOLD_S_MIN, PathInTheWay,
    PathsBody, PathsRequest, ReadyClaimRequest, RenewRequest, Seat, TERM_S_DEFAULT, TERM_S_MAX, VotersBody,
    VotersRequest, WAIT_S_MAX,
};
pub use mail::{
    Attachment, AttachmentRequest, BlobBody, Letter, LetterBody, LetterRequest, LettersBody, Receipt, ThreadBody,
};
pub use member::{
    Applicant, ApplicantsBody, FormerMember, InvitesBody, Member, MemberBody, MemberRequest, MembersBody, OpenInvite,
    OwnerRequest, RemovedBody,
};
pub use mesh::{
    BAN_S_MAX, Ban, BanRequest, BansBody, Event, InviteBody, JoinBody, LoginBody, Mesh, Node, Peer, PeersBody,
    Progress, Reach, Rebuilt, RecoveryBody, RestoreBody, SecretText, SessionBody, StatusBody, UnbanRequest,
};
pub use query::{
    AgentsQuery, ClaimsQuery, InboxQuery, LettersQuery, ListQuery, MachinesQuery, PickQuery, ProjectQuery, QueryError,
    ShowQuery, ThreadQuery, encode_segment,
};
pub use request::{
    BackupRequest, ByRequest, CloseRequest, CommentRequest, CreateRequest, DepRequest, DoctorRequest, EditRequest,
    INVITE_TTL_S_MAX, INVITE_USES_MAX, InviteRequest, JoinRequest, NewDep, ProjectRequest, ResolveRequest,
    UndepRequest, WordsRequest,
};

pub use telemetry::{
    Battery, Gpu, GpuNode, GpuProcess, GpuSlice, GpusBody, HistoryBody, Host, Machine, NodesBody, Pcie, PickBody,
    Point, Remapped, Xid,
};

/// The version of the JSON that answers carry; it changes only when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The header that names the agent who asks; `authorization: Bearer` and its token prove it.
pub const AGENT_HEADER: &str = "beadmesh-agent";

/// The header that brings an agent's token over TCP, where `authorization` proves that one may ask at all.
pub const AGENT_TOKEN_HEADER: &str = "beadmesh-token";

/// Reads a day, a time or an RFC 3339 instant as people write them, and returns it as RFC 3339 in UTC.
pub fn instant(text: &str) -> Option<String> {
    Wall::parse_lenient(text).map(|wall| wall.to_string())
}

/// One answer: its body with `"schema": 1` beside the body's own keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Answer<T> {
    /// The version of this JSON.
    pub schema: u32,
    /// What is answered.
    #[serde(flatten)]
    pub body: T,
}

impl<T> Answer<T> {
    /// Wraps a body.
    pub fn new(body: T) -> Self {
        Self { schema: SCHEMA, body }
    }
}

/// A body without keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Empty {}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorInfo,
}

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorInfo {
    /// A stable word that scripts may rely on, such as `not_found`.
    pub code: String,
    /// A sentence for people, without a period.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The field or query key that is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

#[cfg(test)]
mod tests;
