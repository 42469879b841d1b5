//! What commands on claims, leases and voters ask and answer.

use std::time::Duration;

use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, BeadId, ClaimId, NodeId, VoterId};
use beadmesh_protocol::scope::Mode;
use ed25519_dalek::SigningKey;

use super::ProjectContext;

/// What an agent wants to work on, alone or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClaim {
    /// The bead, as a person writes it; none for a lease on paths alone.
    pub bead: Option<String>,
    /// The project of the patterns, where no bead says it.
    pub project: ProjectContext,
    /// Patterns as written, beside those of the bead.
    pub scopes: Vec<String>,
    /// Whether others may hold it beside this one.
    pub mode: Mode,
    /// How long to hold it.
    pub term: Duration,
    /// How long to wait while others hold what clashes.
    pub wait: Duration,
    /// Whether not to ask the voters: tentative, whoever can be reached.
    pub offline: bool,
}

/// How a claim stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimState {
    /// A majority of voters keeps everybody else away.
    Held {
        /// Until when, unless it is renewed, by this node's clock.
        until: Wall,
        /// How long that is from now.
        left: Duration,
        /// What fences the work: a later lease has a higher one.
        token: u64,
    },
    /// A lease shown by another node, which renews it there.
    Shown {
        /// What fences the work.
        token: u64,
    },
    /// Said, and promised by nobody.
    Tentative {
        /// Voters that answered, or can be reached.
        reached: usize,
        /// Voters there are.
        voters: usize,
        /// Why those that answered did not promise, if they said so.
        reason: Option<String>,
    },
    /// It was held, and is so no longer; the node tries to get it back.
    Lapsed {
        /// Since when.
        since: Wall,
    },
    /// Asking the voters, or waiting for others.
    Asking,
    /// Over.
    Ended {
        /// Why, in a word: `done`, `yielded`, `expired`; `silent` where its node has not ended it in time, and `overtaken`
        /// where a later lease clashes with the one it had.
        why: &'static str,
    },
}

/// A claim of anybody, as known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimAnswer {
    /// The claim.
    pub id: ClaimId,
    /// Whose it is.
    pub agent: AgentId,
    /// The agent's address: `Name@node`.
    pub address: String,
    /// Whether the agent is one of this node.
    pub here: bool,
    /// The bead it is for, with its alias.
    pub bead: Option<(BeadId, String)>,
    /// The key that the project of the patterns has gone by the longest.
    pub project_key: Option<String>,
    /// The patterns, canonical.
    pub patterns: Vec<String>,
    /// Whether others may hold it beside this one.
    pub mode: Mode,
    /// How it stands.
    pub state: ClaimState,
    /// Until when its agent means to hold it.
    pub term_until: Wall,
    /// Claims of others that clash with it and are open.
    pub contests: Vec<ContestAnswer>,
}

/// A claim that clashes with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContestAnswer {
    /// The other claim.
    pub with: ClaimId,
    /// Whose it is: `Name@node`.
    pub address: String,
    /// What both would touch: a path, or a bead by its alias.
    pub witness: String,
    /// Whether this claim goes before the other, as far as is known here; only a majority decides.
    pub ahead: bool,
}

/// Which claims to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimFilter {
    /// The project; all when absent.
    pub project: Option<ProjectContext>,
    /// The agent, by name or address; all when absent.
    pub agent: Option<String>,
    /// Also those that are over, as far as they are remembered.
    pub all: bool,
}

/// What stands in the way of writing paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathsAnswer {
    /// The agent that was asked for: `Name@node`; none where nobody was named.
    pub agent: Option<String>,
    /// One for each path that is in the way of something, in the order asked.
    pub problems: Vec<PathProblem>,
    /// How many paths are under a lease of the agent that is valid now.
    pub held: usize,
}

/// Why a path had better not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathProblem {
    /// The path as asked.
    pub path: String,
    /// The claim in the way.
    pub claim: ClaimId,
    /// Whose it is: `Name@node`.
    pub address: String,
    /// Whether it is the agent's own, which has lapsed or was never more than tentative.
    pub own: bool,
    /// How it stands.
    pub state: ClaimState,
}

/// A close of a bead that came too late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleCloseAnswer {
    /// Who closed it: `Name@node`.
    pub by: String,
    /// The token under which.
    pub token: u64,
    /// Who had the lease by then: `Name@node`.
    pub holder: String,
    /// The token of that lease.
    pub holder_token: u64,
}

/// The voters of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VotersAnswer {
    /// Counts epochs.
    pub epoch: u64,
    /// How long voters keep a promise.
    pub hold: Duration,
    /// The voters.
    pub seats: Vec<SeatAnswer>,
    /// How many of them can be asked now.
    pub reached: usize,
    /// How many make a majority.
    pub quorum: usize,
    /// The nodes of the next epoch, where one is proposed and not yet in force.
    pub next: Option<Vec<String>>,
    /// Leases in force, where this node is a voter.
    pub leases: Option<usize>,
}

/// One voter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatAnswer {
    /// Its node.
    pub node: NodeId,
    /// What people call its node.
    pub node_name: String,
    /// The voter.
    pub voter: VoterId,
    /// Whether it is this node.
    pub here: bool,
    /// Whether its node can be asked now.
    pub reached: bool,
    /// What is to be known of it, such as that it has just started, where this node knows.
    pub note: Option<String>,
}

/// Voters to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVoters {
    /// Their nodes, each by its name, its id, or the start of its id.
    pub nodes: Vec<String>,
    /// How long they are to keep a promise; as before when absent.
    pub hold: Option<Duration>,
    /// The secret half of the recovery key, where a majority of the voters is lost for good.
    pub recovery: Option<SigningKey>,
}
