//! Agents as the API shows them, and what it is told of them.

use beadmesh_store::command::AgentAnswer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Node, ProjectRequest, SecretText};

/// An agent: who acts, and writes letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: String,
    /// Its name, unique on its node.
    pub name: String,
    /// What letters to it are addressed to: `name@node`.
    pub address: String,
    /// The node that it is registered on.
    pub node: Node,
    /// Whether that is this node.
    pub here: bool,
    /// The program that acts under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The model that the program asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The id of the project it works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The key that the project has gone by the longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_key: Option<String>,
    /// Whether it is retired: it acts no more.
    pub retired: bool,
    /// When it was registered, by the clock of its node.
    pub registered_at: String,
    /// When it last acted, absent where that is not known: of an agent of this node when it last proved itself, to within
    /// a quarter of an hour; of another what its node has said of it within a day, to within a minute, by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// Whether its node can be reached, as far as is known: this node, one that is linked, or one that was heard within two
    /// minutes.
    #[serde(default)]
    pub node_in_reach: bool,
}

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentBody {
    /// The agent.
    pub agent: Agent,
}

/// Agents of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentsBody {
    /// The agents.
    pub agents: Vec<Agent>,
}

/// An agent with its token, which is shown here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisteredBody {
    /// The agent.
    pub agent: Agent,
    /// What proves to its node that it is this agent; absent where the one it has stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token: Option<SecretText>,
}

/// An agent to register.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Its name; one is made up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The program that acts under the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The model that the program asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it is to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The project it works in.
    #[serde(default)]
    pub project: ProjectRequest,
}

impl From<AgentAnswer> for Agent {
    fn from(agent: AgentAnswer) -> Self {
        let told = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: agent.id.to_string(),
            name: agent.name,
            address: agent.address,
            node: Node { id: agent.node.to_string(), name: agent.node_name },
            here: agent.here,
            program: told(agent.program),
            model: told(agent.model),
            task: told(agent.task),
            project: agent.project.map(|project| project.to_string()),
            project_key: agent.project_key,
            retired: agent.retired,
            registered_at: agent.registered_at.to_string(),
            last_used_at: agent.last_used.map(|wall| wall.to_string()),
            node_in_reach: agent.in_reach,
        }
    }
}
