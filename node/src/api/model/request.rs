//! What the API is told. A key that is not listed here is refused.

use std::collections::BTreeMap;

use beadmesh_protocol::op::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Scalar, SecretText};

/// The project meant: keys of the repository, strongest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectRequest {
    /// Git remote, root commit, given name: as many as are known.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What minted aliases begin with; kept from the first time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A bead to create. References are aliases or ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// The project.
    #[serde(default)]
    pub project: ProjectRequest,
    /// One line that says what is to be done.
    pub title: String,
    /// What kind of work it is; `task` when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Urgency, 0 (first) to 4; 2 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// What is to be done, at length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How it is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub design: Option<String>,
    /// When it counts as done, as one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<String>,
    /// Notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Minutes the work is thought to take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_minutes: Option<i64>,
    /// When the work is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// Until when the work is put off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defer_until: Option<String>,
    /// The same task in another tracker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_ref: Option<String>,
    /// A name of its own; minted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Path patterns the work touches.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Single acceptance criteria, in order.
    #[serde(default)]
    pub criteria: Vec<String>,
    /// What it needs of a machine, such as `gpu:1,vram:40GiB,label:a100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
    /// What it depends on.
    #[serde(default)]
    pub deps: Vec<NewDep>,
    /// Beads that it blocks.
    #[serde(default)]
    pub blocks: Vec<String>,
    /// The bead it is a child of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Who creates it.
    pub by: String,
}

/// A dependency of a new bead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDep {
    /// The type: `blocks`, `parent-child` or any other word.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it depends on.
    pub on: String,
}

/// A change of scalar fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// Who changes it.
    pub by: String,
    /// The fields to set, by name; null clears one.
    #[serde(default)]
    pub set: BTreeMap<String, Scalar>,
    /// What it needs of a machine, in place of what it needed; an empty text clears that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
}

/// A wish that needs no more than a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ByRequest {
    /// Who wishes it.
    pub by: String,
}

/// Closes or deletes a bead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// Who closes or deletes it.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Settles a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveRequest {
    /// Who settles it.
    pub by: String,
    /// The field.
    pub field: String,
    /// The value that is to count; null clears the field; the value shown is kept when the key is absent.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
}

/// Adds and removes labels or scope patterns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WordsRequest {
    /// Who changes them.
    pub by: String,
    /// What to add.
    #[serde(default)]
    pub add: Vec<String>,
    /// What to remove.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A comment to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommentRequest {
    /// Who says it.
    pub by: String,
    /// What is said.
    pub text: String,
}

/// A dependency to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DepRequest {
    /// Who adds it.
    pub by: String,
    /// What the bead depends on.
    pub on: String,
    /// The type: `blocks`, `parent-child` or any other word.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A dependency to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndepRequest {
    /// Who removes it.
    pub by: String,
    /// What the bead depends on.
    pub on: String,
    /// The type; any when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// Seconds an invite may be open at most: 30 days.
pub const INVITE_TTL_S_MAX: u64 = 30 * 24 * 60 * 60;

/// Nodes that may come by one invite at most.
pub const INVITE_USES_MAX: u32 = 1_000;

/// An invite to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// Seconds it is open, 1 to 2592000 (30 days).
    #[serde(default = "ttl_default")]
    pub ttl_s: u64,
    /// How many nodes may come by it, 1 to 1000.
    #[serde(default = "uses_default")]
    pub uses: u32,
    /// What they may do.
    #[serde(default = "role_default")]
    #[schema(value_type = String)]
    pub role: Role,
    /// Whether an admin has to approve each of them.
    #[serde(default)]
    pub approval: bool,
}

impl Default for InviteRequest {
    fn default() -> Self {
        Self { ttl_s: ttl_default(), uses: uses_default(), role: role_default(), approval: false }
    }
}

/// A mesh to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The ticket as the inviter gave it.
    #[schema(value_type = String)]
    pub ticket: SecretText,
}

/// A check to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoctorRequest {
    /// Whether to derive every view anew before.
    #[serde(default)]
    pub rebuild: bool,
    /// Whether to take note of what was found of copies of stores, so that only what comes later is told.
    #[serde(default)]
    pub accept: bool,
    /// Whether to answer with the last lines of log and a list of the home's files too, as whoever helps needs them.
    #[serde(default)]
    pub logs: bool,
}

/// A backup to write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// Whether the node's secret key goes into it: whoever has it can be this node.
    #[serde(default)]
    pub with_key: bool,
}

fn ttl_default() -> u64 {
    3_600
}

fn uses_default() -> u32 {
    1
}

fn role_default() -> Role {
    Role::Member
}

/// Reads a key that is there, null included; without the key, serde takes the default instead.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Scalar>, D::Error> {
    Scalar::deserialize(deserializer).map(Some)
}
