//! What commands on agents ask and answer.

use beadmesh_protocol::agent::Token;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::{AgentId, NodeId, ProjectId};

use super::ProjectContext;

/// Who gives a command, and what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name of an agent of this node; its address will do.
    pub name: String,
    /// The token that the agent got when it was registered.
    pub token: Option<Token>,
}

/// An agent to register, or the new profile of one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewAgent {
    /// What it is to be called; picked when absent.
    pub name: Option<String>,
    /// The program that acts, such as a coding agent.
    pub program: String,
    /// The model that the program uses.
    pub model: String,
    /// What it works on.
    pub task: String,
    /// The project that it works in.
    pub project: Option<ProjectContext>,
}

/// An agent of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAnswer {
    /// Its id.
    pub id: AgentId,
    /// What it is called on its node.
    pub name: String,
    /// Its node.
    pub node: NodeId,
    /// What people call its node.
    pub node_name: String,
    /// Where letters reach it: `Name@node`.
    pub address: String,
    /// Whether it is an agent of this node.
    pub here: bool,
    /// The program that acts; empty where it is not said.
    pub program: String,
    /// The model that the program uses; empty where it is not said.
    pub model: String,
    /// What it works on; empty where it is not said.
    pub task: String,
    /// The project that it works in.
    pub project: Option<ProjectId>,
    /// The key that the project has gone by the longest.
    pub project_key: Option<String>,
    /// Whether it acts no more.
    pub retired: bool,
    /// When it was registered, by the clock of its node.
    pub registered_at: Wall,
    /// When it last acted: of an agent of this node when it last proved itself, to within a quarter of an hour; of another
    /// what its node has said of it lately. `None` where that is not known.
    pub last_used: Option<Wall>,
    /// Whether its node can be reached, as far as is known: linked, or heard a short while ago. Always so of this node.
    pub in_reach: bool,
}
