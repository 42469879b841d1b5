//! Whom a letter goes to: recipients as people write them.

use std::collections::BTreeSet;

use beadmesh_protocol::agent::Agent;
use beadmesh_protocol::id::{AgentId, ProjectId};
use beadmesh_protocol::near::is_near;

use super::super::super::mail::THREAD_WHOLE_MAX;
use super::super::agent::refused;
use super::super::value::invalid;
use super::super::{Failure, Replica};
use crate::command::CommandError;

/// Agents that are named when several, or near ones, may be meant.
const CANDIDATES_MAX: usize = 10;
const NEAR_MAX: usize = 5;

/// What a letter is about, for recipients that are named by it.
pub(super) struct About<'a> {
    pub(super) sender: AgentId,
    pub(super) thread: &'a str,
    pub(super) project: Option<ProjectId>,
}

impl Replica {
    /// Returns the agents that names mean, each once; groups leave out the sender and who is retired.
    pub(super) fn recipients(&self, names: &[String], about: &About<'_>) -> Result<Vec<AgentId>, Failure> {
        let mut recipients = Vec::new();
        for name in names {
            let meant = match name.trim() {
                "@thread" => self.of_thread(about)?,
                "@project" => self.of_project(about)?,
                group if group.starts_with('@') => {
                    let problem = format!("{:?} is no group", shown(group));
                    return Err(invalid("to", &problem, "the groups are @thread and @project").into());
                }
                name => vec![self.active_agent(name)?],
            };
            for agent in meant {
                if !recipients.contains(&agent) {
                    recipients.push(agent);
                }
            }
        }
        Ok(recipients)
    }

    /// Returns those of some agents that are known, not retired, and of members.
    pub(super) fn active(&self, agents: impl IntoIterator<Item = AgentId>) -> Vec<AgentId> {
        let members = &self.mesh.roster().members;
        let acts = |agent: &Agent| !agent.retired && members.contains_key(&agent.node);
        let is_active = |agent: &AgentId| self.mesh.directory().agent(*agent).is_some_and(acts);
        agents.into_iter().filter(is_active).collect()
    }

    /// Returns all who have written or got a letter of the thread.
    fn of_thread(&self, about: &About<'_>) -> Result<Vec<AgentId>, Failure> {
        let mut all = BTreeSet::new();
        let Some(letters) = self.mail.whole_thread(&self.stage, about.thread)? else {
            let problem = format!("@thread stands for nobody in a thread of more than {THREAD_WHOLE_MAX} letters");
            return Err(invalid("to", &problem, "name the agents").into());
        };
        for letter in letters {
            let Some(record) = self.mail.record(&self.stage, letter)? else { continue };
            all.insert(record.letter.from);
            all.extend(record.letter.recipients());
        }
        all.remove(&about.sender);
        group("@thread", "nobody else has written or got a letter of the thread", self.active(all))
    }

    /// Returns all who work in the project.
    fn of_project(&self, about: &About<'_>) -> Result<Vec<AgentId>, Failure> {
        let Some(project) = about.project else {
            let problem = "@project stands for the agents of a project, and the letter is about none";
            return Err(invalid("to", problem, "name the project, or the agents").into());
        };
        let works_there = |agent: &Agent| {
            agent.project.is_some_and(|theirs| self.mesh.canonical(theirs) == self.mesh.canonical(project))
        };
        let all = self.mesh.directory().all().filter(|(id, agent)| *id != about.sender && works_there(agent));
        group("@project", "no other agent works in the project", self.active(all.map(|(id, _)| id)))
    }

    /// Finds the agent that a person means, who must not be retired.
    fn active_agent(&self, name: &str) -> Result<AgentId, CommandError> {
        let id = self.find_agent(name)?;
        if self.mesh.directory().agent(id).is_some_and(|agent| agent.retired) {
            let problem = format!("the agent {} is retired", self.mesh.address(id));
            return Err(refused(problem, "`beadmesh agent list` shows who reads mail"));
        }
        let away =
            self.mesh.directory().agent(id).filter(|agent| !self.mesh.roster().members.contains_key(&agent.node));
        if let Some(agent) = away {
            let node = self.mesh.roster().display_name(agent.node);
            let problem = format!("the agent {} is of {node}, which is in the mesh no more", agent.name);
            return Err(refused(problem, "`beadmesh agent list` shows who reads mail"));
        }
        Ok(id)
    }

    /// Finds the agent that a person means: `Name@node`, or `Name` of this node or of one node alone.
    fn find_agent(&self, name: &str) -> Result<AgentId, CommandError> {
        let directory = self.mesh.directory();
        let named: Vec<AgentId> = match name.split_once('@') {
            Some((local, node)) => {
                let nodes = self.mesh.roster().members.keys().filter(|id| self.mesh.is_called(**id, node));
                nodes.filter_map(|node| directory.named(*node, local)).map(|(id, _)| id).collect()
            }
            None => {
                if let Some((id, _)) = directory.named(self.entries.node(), name) {
                    return Ok(id);
                }
                let all = directory.all().filter(|(_, agent)| agent.name.eq_ignore_ascii_case(name));
                all.map(|(id, _)| id).collect()
            }
        };
        let active = self.active(named.iter().copied());
        match (named.as_slice(), active.as_slice()) {
            ([id], _) | (_, [id]) => Ok(*id),
            ([], _) => Err(self.unknown(name)),
            (all, _) => {
                let candidates = self.addresses(all.iter().copied(), CANDIDATES_MAX);
                Err(CommandError::Ambiguous { name: shown(name), candidates })
            }
        }
    }

    /// Returns the first of the addresses of agents.
    fn addresses(&self, agents: impl Iterator<Item = AgentId>, max: usize) -> Vec<String> {
        let mut addresses: Vec<String> = agents.map(|id| self.mesh.address(id)).collect();
        addresses.sort_unstable();
        addresses.truncate(max);
        addresses
    }

    /// Says that there is no such agent, and who may have been meant.
    fn unknown(&self, name: &str) -> CommandError {
        let local = shown(name.split_once('@').map_or(name, |(local, _)| local));
        let all = self.mesh.directory().all().filter(|(_, agent)| !agent.retired && is_near(&local, &agent.name));
        let near = self.addresses(all.map(|(id, _)| id), NEAR_MAX);
        let (what, name) = ("agent", shown(name));
        if near.is_empty() { CommandError::NotFound { what, name } } else { CommandError::Unknown { what, name, near } }
    }
}

fn group(name: &str, nobody: &str, agents: Vec<AgentId>) -> Result<Vec<AgentId>, Failure> {
    if agents.is_empty() {
        return Err(invalid("to", &format!("{name} stands for nobody: {nobody}"), "name the agents").into());
    }
    Ok(agents)
}

fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}
