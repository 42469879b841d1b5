//! What the API says of claims, leases and voters, and what it is told.

use beadmesh_protocol::limits::{HOLD_MAX, HOLD_MIN};
use beadmesh_store::command::{
    self, ClaimAnswer, ClaimState, ContestAnswer, PathProblem, PathsAnswer, SeatAnswer, VotersAnswer,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ProjectRequest, SecretText};

/// How long a claim is held unless it says otherwise, in seconds.
pub const TERM_S_DEFAULT: u64 = 60 * 60;

/// The longest that a claim may be held without being renewed by its agent, in seconds: a week.
pub const TERM_S_MAX: u64 = 7 * 24 * 60 * 60;

/// The longest that a claim may wait for others, in seconds.
pub const WAIT_S_MAX: u64 = 60 * 60;

/// The shortest that voters may keep a promise, in seconds.
pub const HOLD_S_MIN: u64 = HOLD_MIN.as_secs();

/// The longest that voters may keep a promise, in seconds.
pub const HOLD_S_MAX: u64 = HOLD_MAX.as_secs();

/// Paths that are checked at one time.
pub const CHECK_PATHS_MAX: usize = 10_000;

/// Asks for a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The bead: its alias, its id, or the start of one that no other has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bead: Option<String>,
    /// The project of the patterns, where no bead says it.
    #[serde(default)]
    pub project: ProjectRequest,
    /// Patterns of paths, beside those of the bead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Whether others may hold it beside this one.
    #[serde(default)]
    pub shared: bool,
    /// How long to hold it, in seconds: 1 to a week; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_s: Option<u64>,
    /// How long to wait while others hold what clashes, in seconds, an hour at most; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u64>,
    /// Whether not to ask the voters: the claim is tentative.
    #[serde(default)]
    pub offline: bool,
    /// Whether the bead may need what this machine lacks.
    #[serde(default)]
    pub anywhere: bool,
}

/// Asks for a claim on the first ready bead that nobody holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadyClaimRequest {
    /// The project; all when it has no keys.
    #[serde(default)]
    pub project: ProjectRequest,
    /// Labels, all of which the bead must carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Priorities, one of which the bead must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priorities: Vec<u8>,
    /// Types, one of which the bead must be of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
    /// The bead whose children are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How long to hold it, in seconds; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_s: Option<u64>,
    /// Whether the bead may need what this machine lacks.
    #[serde(default)]
    pub anywhere: bool,
}

/// Lets a claim run on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// For how long from now, in seconds; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term_s: Option<u64>,
}

/// Asks what stands in the way of writing paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PathsRequest {
    /// The project.
    #[serde(default)]
    pub project: ProjectRequest,
    /// The paths, relative to the repository; 10,000 at most.
    pub paths: Vec<String>,
}

/// Chooses voters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VotersRequest {
    /// 1, 3, 5 or 7 nodes, each by its name, its id, or the start of its id.
    pub nodes: Vec<String>,
    /// How long they keep a promise, in seconds; as before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u64>,
    /// The recovery key, where a majority of the voters is lost for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub recovery_key: Option<SecretText>,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Claim {
    /// Its id.
    pub id: String,
    /// Whose it is: `Name@node`.
    pub agent: String,
    /// Whether the agent is one of this node.
    pub here: bool,
    /// The bead it is for, by its alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bead: Option<String>,
    /// The id of that bead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bead_id: Option<String>,
    /// The project of the patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The patterns, as they are compared.
    pub scopes: Vec<String>,
    /// Whether others may hold it beside this one.
    pub shared: bool,
    /// `held`, `shown` (held by an agent of another node, as that node has shown), `tentative`, `lapsed`, `asking` or
    /// `ended`.
    pub state: String,
    /// What fences the work, while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// Until when it is held unless it is renewed, or since when it is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How long it is held from now unless it is renewed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// Why it is tentative or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Voters that answered or can be reached, of a tentative claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters_reached: Option<usize>,
    /// Voters there are, of a tentative claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voters: Option<usize>,
    /// Until when its agent means to hold it.
    pub term_until: String,
    /// Open claims of others that clash with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contests: Vec<Contest>,
}

/// A claim that clashes with another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Contest {
    /// The other claim.
    pub claim: String,
    /// Whose it is: `Name@node`.
    pub agent: String,
    /// What both would touch: a path, or a bead by its alias.
    pub witness: String,
    /// Whether this claim goes before the other, as far as is known here; only a majority of voters decides.
    pub ahead: bool,
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClaimBody {
    /// The claim.
    pub claim: Claim,
    /// The title of its bead, where the node chose that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClaimsBody {
    /// The claims, by project and scope.
    pub claims: Vec<Claim>,
}

/// What stands in the way of writing paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathsBody {
    /// The agent that was asked for: `Name@node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Paths that had better not be written.
    pub problems: Vec<PathInTheWay>,
    /// How many paths are under a lease of the agent that is valid now.
    pub held: usize,
}

/// Why a path had better not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PathInTheWay {
    /// The path as asked.
    pub path: String,
    /// The claim in the way.
    pub claim: String,
    /// Whose it is: `Name@node`.
    pub agent: String,
    /// Whether it is the agent's own, which is not held now.
    pub own: bool,
    /// How it stands, as in a claim.
    pub state: String,
    /// Until when it is held, or since when it is not any more, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The voters of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VotersBody {
    /// Counts changes of the voters, from 1.
    pub epoch: u64,
    /// How long they keep a promise, in milliseconds.
    pub hold_ms: u64,
    /// The voters.
    pub voters: Vec<Seat>,
    /// How many of them can be asked now.
    pub reached: usize,
    /// How many make a majority.
    pub quorum: usize,
    /// The nodes that are to vote next, where others were chosen and do not vote yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Vec<String>>,
    /// Leases in force, where this node is a voter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leases: Option<usize>,
}

/// One voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seat {
    /// The id of its node.
    pub node: String,
    /// What people call its node.
    pub name: String,
    /// Whether it is this node.
    pub here: bool,
    /// Whether it can be asked now.
    pub reached: bool,
    /// What is to be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a state is called, and the rest of what it says.
struct Told {
    word: &'static str,
    token: Option<u64>,
    until: Option<String>,
    left_ms: Option<u64>,
    reason: Option<String>,
    reached: Option<(usize, usize)>,
}

impl From<ClaimState> for Told {
    fn from(state: ClaimState) -> Self {
        let told = Self { word: "", token: None, until: None, left_ms: None, reason: None, reached: None };
        match state {
            ClaimState::Held { until, left, token } => Self {
                word: "held",
                token: Some(token),
                until: Some(until.to_string()),
                left_ms: Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
                ..told
            },
            ClaimState::Shown { token } => Self { word: "shown", token: Some(token), ..told },
            ClaimState::Tentative { reached, voters, reason } => {
                Self { word: "tentative", reached: Some((reached, voters)), reason, ..told }
            }
            ClaimState::Lapsed { since } => Self { word: "lapsed", until: Some(since.to_string()), ..told },
            ClaimState::Asking => Self { word: "asking", ..told },
            ClaimState::Ended { why } => Self { word: "ended", reason: Some(why.to_owned()), ..told },
        }
    }
}

impl From<ClaimAnswer> for Claim {
    fn from(answer: ClaimAnswer) -> Self {
        let Told { word, token, until, left_ms, reason, reached } = answer.state.into();
        let (bead_id, bead) = answer.bead.map(|(id, alias)| (id.to_string(), alias)).unzip();
        Self {
            id: answer.id.to_string(),
            agent: answer.address,
            here: answer.here,
            bead,
            bead_id,
            project: answer.project_key,
            scopes: answer.patterns,
            shared: answer.mode == beadmesh_protocol::scope::Mode::Shared,
            state: word.to_owned(),
            token,
            until,
            left_ms,
            reason,
            voters_reached: reached.map(|(reached, _)| reached),
            voters: reached.map(|(_, voters)| voters),
            term_until: answer.term_until.to_string(),
            contests: answer.contests.into_iter().map(Contest::from).collect(),
        }
    }
}

impl From<ContestAnswer> for Contest {
    fn from(answer: ContestAnswer) -> Self {
        let ContestAnswer { with, address, witness, ahead } = answer;
        Self { claim: with.to_string(), agent: address, witness, ahead }
    }
}

impl From<PathsAnswer> for PathsBody {
    fn from(answer: PathsAnswer) -> Self {
        let problems = answer.problems.into_iter().map(PathInTheWay::from).collect();
        Self { agent: answer.agent, problems, held: answer.held }
    }
}

impl From<PathProblem> for PathInTheWay {
    fn from(problem: PathProblem) -> Self {
        let PathProblem { path, claim, address, own, state } = problem;
        let Told { word, until, .. } = state.into();
        Self { path, claim: claim.to_string(), agent: address, own, state: word.to_owned(), until }
    }
}

impl From<VotersAnswer> for VotersBody {
    fn from(answer: VotersAnswer) -> Self {
        let command::VotersAnswer { epoch, hold, seats, reached, quorum, next, leases } = answer;
        let voters = seats.into_iter().map(Seat::from).collect();
        let hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
        Self { epoch, hold_ms, voters, reached, quorum, next, leases }
    }
}

impl From<SeatAnswer> for Seat {
    fn from(answer: SeatAnswer) -> Self {
        let SeatAnswer { node, node_name, here, reached, note, .. } = answer;
        Self { node: node.to_string(), name: node_name, here, reached, note }
    }
}
