//! Agents: who acts on a node, under a name and with a token that proves it.
//!
//! An agent's id follows from its node and its name, so that a copy of a node, or a node that enters another mesh, has
//! the same agents. Who an agent says it is stands in control entries; its token never leaves its node.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::entry::Entry;
use crate::id::{AgentId, EntryId, NodeId, ProjectId};
use crate::limits::NAME_BYTES_MAX;
use crate::op::{AgentFacts, Op};

pub mod names;
mod token;

pub use token::{Token, TokenError, TokenHash};

/// The BLAKE3 context under which an agent's id is derived from its node and its name.
const ID_CONTEXT: &str = "beadmesh 2026 agent id v1";

impl AgentId {
    /// Returns the id of the agent of that name on a node, whatever the case of its letters.
    pub fn of(node: NodeId, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(ID_CONTEXT);
        hasher.update(node.as_bytes()).update(name.to_ascii_lowercase().as_bytes());
        Self::from_slice(&hasher.finalize().as_bytes()[..Self::BYTES]).expect("16 of 32 bytes")
    }
}

/// Why a text can not be an agent's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing stands there.
    #[error("an agent's name can not be empty")]
    Empty,
    /// More bytes than allowed.
    #[error("an agent's name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    Bytes(usize),
    /// A character that addresses or shells would not take as it is.
    #[error("an agent's name can not contain {0:?}")]
    Character(char),
}

/// Checks that a text can be an agent's name: 1 to 64 ASCII letters, digits, `-`, `_` or `.`.
///
/// # Errors
/// Names the bound or the character that is not allowed.
pub fn check_name(text: &str) -> Result<(), NameError> {
    let allowed = |char: &char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    if let Some(char) = text.chars().find(|char| !allowed(char)) {
        return Err(NameError::Character(char));
    }
    match text.len() {
        0 => Err(NameError::Empty),
        bytes if bytes > NAME_BYTES_MAX => Err(NameError::Bytes(bytes)),
        _ => Ok(()),
    }
}

/// One agent, as its node says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The node it acts on.
    pub node: NodeId,
    /// What it is called there.
    pub name: String,
    /// The program that acts.
    pub program: String,
    /// The model that the program uses.
    pub model: String,
    /// What it works on.
    pub task: String,
    /// The project that it works in.
    pub project: Option<ProjectId>,
    /// Whether it acts no more; for good.
    pub retired: bool,
    /// When it was first heard of.
    pub registered_at: Timestamp,
}

/// Every agent of the mesh. A pure fold over the control entries that count, in whatever order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    agents: BTreeMap<AgentId, Agent>,
}

impl Directory {
    /// Folds what nodes say of their agents; entries without effect are left out by `counts`.
    pub fn fold<'a>(counts: impl Fn(&Entry) -> bool, control: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut agents: BTreeMap<AgentId, Agent> = BTreeMap::new();
        let mut last: BTreeMap<AgentId, (Timestamp, EntryId)> = BTreeMap::new();
        for entry in control {
            let content = entry.content();
            let place = (content.hlc, entry.id());
            for op in entry.control_ops() {
                let Op::Agent(facts) = op else { continue };
                if !counts(entry) {
                    break;
                }
                let id = AgentId::of(content.author, &facts.name);
                let said = Agent::of(content.author, facts.clone(), content.hlc);
                let Some(known) = agents.get_mut(&id) else {
                    agents.insert(id, said);
                    last.insert(id, place);
                    continue;
                };
                let retired = known.retired || said.retired;
                let registered_at = known.registered_at.min(said.registered_at);
                // Of the words in one entry the last counts, as of those in several.
                if last.get(&id).is_none_or(|last| *last <= place) {
                    *known = said;
                    last.insert(id, place);
                }
                (known.retired, known.registered_at) = (retired, registered_at);
            }
        }
        Self { agents }
    }

    /// Returns an agent.
    pub fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.agents.get(&id)
    }

    /// Returns the agent of that name on a node, whatever the case of its letters.
    pub fn named(&self, node: NodeId, name: &str) -> Option<(AgentId, &Agent)> {
        let id = AgentId::of(node, name);
        Some((id, self.agents.get(&id)?))
    }

    /// Returns every agent, in the order of ids.
    pub fn all(&self) -> impl Iterator<Item = (AgentId, &Agent)> {
        self.agents.iter().map(|(id, agent)| (*id, agent))
    }

    /// Returns the agents that are in one of two directories alone, or registered at another time there.
    pub fn turned<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = AgentId> + 'a {
        let since = |agent: &Agent| agent.registered_at;
        let ours = self.agents.iter().filter(move |(id, agent)| other.agents.get(id).map(since) != Some(since(agent)));
        ours.map(|(id, _)| id).chain(other.agents.keys().filter(|id| !self.agents.contains_key(id))).copied()
    }
}

impl Agent {
    fn of(node: NodeId, facts: AgentFacts, registered_at: Timestamp) -> Self {
        let AgentFacts { name, program, model, task, project, retired } = facts;
        Self { node, name, program, model, task, project, retired, registered_at }
    }

    /// Returns what its node is to write so that the mesh knows it like this.
    pub fn facts(&self) -> AgentFacts {
        AgentFacts {
            name: self.name.clone(),
            program: self.program.clone(),
            model: self.model.clone(),
            task: self.task.clone(),
            project: self.project,
            retired: self.retired,
        }
    }
}

#[cfg(test)]
mod tests;
