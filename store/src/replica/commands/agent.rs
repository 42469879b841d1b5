//! Agents: registering them, and seeing to it that nobody acts under the name of another.

use beadmesh_protocol::agent::{Agent, Token, check_name, names};
use beadmesh_protocol::id::AgentId;
use beadmesh_protocol::limits::{AGENT_TASK_BYTES_MAX, AGENT_WORD_BYTES_MAX};
use beadmesh_protocol::op::{AgentFacts, Op};
use rand::Rng;

use super::super::agents::Proof;
use super::super::random;
use super::value::{check_line, invalid};
use super::{Failure, Replica};
use crate::command::{AgentAnswer, Answer, CommandError, Credential, NewAgent};

/// Names that are tried before a number is added to one.
const PICKS_MAX: usize = 32;

impl Replica {
    /// Returns the agent of this node that a credential proves to be acting.
    pub(super) fn authenticate(&mut self, credential: Option<&Credential>) -> Result<AgentId, Failure> {
        let Some(credential) = credential else {
            let problem = "mail is between agents, and no agent is named".to_owned();
            return Err(refused(problem, "set BEADMESH_AGENT and BEADMESH_TOKEN").into());
        };
        let name = self.local_name(&credential.name).to_owned();
        let shown: String = name.chars().take(80).collect();
        let Some((id, agent)) = self.mesh.directory().named(self.entries.node(), &name) else {
            let problem = format!("no agent {shown:?} is registered on this node");
            return Err(refused(problem, &format!("run `beadmesh agent register {shown}`")).into());
        };
        if agent.retired {
            let problem = format!("the agent {shown} is retired");
            return Err(refused(problem, "act as another, or register one").into());
        }
        let rotation = format!("`beadmesh agent rotate {shown}` makes a new token, should it be lost");
        let Some(token) = &credential.token else {
            let problem = format!("the agent {shown} is registered on this node, and no token came with its name");
            return Err(refused(problem, &format!("set BEADMESH_TOKEN; {rotation}")).into());
        };
        match self.agents.prove(&mut self.stage, id, token, self.now.wall)? {
            Proof::Right => Ok(id),
            Proof::Wrong => {
                let problem = format!("the token is not that of the agent {shown} on this node");
                Err(refused(problem, &format!("check BEADMESH_TOKEN; {rotation}")).into())
            }
            Proof::NoneKept => {
                let problem =
                    format!("this node keeps no token of the agent {shown}: its store was copied or replaced");
                Err(refused(problem, &rotation).into())
            }
        }
    }

    /// Refuses a command by the name of an agent of this node, unless that agent has proved itself.
    pub(super) fn check_by(&mut self, by: &str, credential: Option<&Credential>) -> Result<(), Failure> {
        if by.chars().any(is_unseen) {
            let hint = "leave out characters that can not be seen: one name could pass for another";
            return Err(invalid("by", "holds a character that can not be seen", hint).into());
        }
        let node = self.entries.node();
        let name = self.local_name(by).to_owned();
        let Some((id, agent)) = self.mesh.directory().named(node, &name) else { return Ok(()) };
        let same = credential.filter(|given| AgentId::of(node, self.local_name(&given.name)) == id);
        let nobody = Credential { name: agent.name.clone(), token: None };
        self.authenticate(Some(same.unwrap_or(&nobody))).map(|_| ())
    }

    /// Registers an agent of this node, or changes the profile of the one that asks for it.
    pub(super) fn register(&mut self, credential: Option<&Credential>, new: &NewAgent) -> Result<Answer, Failure> {
        let name = match &new.name {
            Some(name) => name.clone(),
            None => self.picked_name(),
        };
        check_profile(&name, new)?;
        let node = self.entries.node();
        let project = new.project.as_ref().map(|context| self.mesh.project(context)).transpose()?;
        let facts = AgentFacts {
            name: name.clone(),
            program: new.program.clone(),
            model: new.model.clone(),
            task: new.task.clone(),
            project: project.as_ref().map(|project| project.id),
            retired: false,
        };
        let id = AgentId::of(node, &name);
        let known = self.mesh.directory().agent(id).cloned();
        let mut token = None;
        if let Some(known) = &known {
            let same = credential.filter(|given| AgentId::of(node, self.local_name(&given.name)) == id);
            if known.retired || same.is_none_or(|given| given.token.is_none()) {
                return Err(taken(known).into());
            }
            self.authenticate(same)?;
        } else {
            token = Some(self.new_token(id));
        }
        if known.is_none_or(|known| known.facts() != facts) {
            let project = project.and_then(|project| project.op);
            self.author(project.into_iter().chain([Op::Agent(facts).encode()]).collect())?;
        }
        Ok(Answer::Registered { agent: Box::new(self.agent_answer(id)?), token })
    }

    /// Lists the agents of the mesh, by address.
    pub(super) fn agents_answer(&self, all: bool) -> Result<Answer, Failure> {
        let members = &self.mesh.roster().members;
        let acts = |agent: &Agent| !agent.retired && members.contains_key(&agent.node);
        let wanted = self.mesh.directory().all().filter(|(_, agent)| all || acts(agent));
        let mut agents = wanted.map(|(id, _)| self.agent_answer(id)).collect::<Result<Vec<_>, _>>()?;
        agents.sort_by_cached_key(|agent| (!agent.here, agent.address.to_ascii_lowercase(), agent.id));
        Ok(Answer::Agents(agents))
    }

    /// Gives an agent of this node a new token. Who may run commands here is trusted with that, so it takes no other.
    pub(super) fn rotate(&mut self, name: &str) -> Result<Answer, Failure> {
        let (id, agent) = self.agent_here(name)?;
        if agent.retired {
            let problem = format!("the agent {} is retired", agent.name);
            return Err(refused(problem, "register another: a name that was retired stays so").into());
        }
        let token = Some(self.new_token(id));
        Ok(Answer::Registered { agent: Box::new(self.agent_answer(id)?), token })
    }

    /// Tells an agent of this node of an alarm.
    pub(super) fn alarm(&mut self, name: &str, told: &str) -> Result<Answer, Failure> {
        let (id, _) = self.agent_here(name)?;
        self.tell_alarm(id, told)?;
        Ok(Answer::Done)
    }

    /// Retires an agent of this node, for good.
    pub(super) fn retire(&mut self, name: &str) -> Result<Answer, Failure> {
        let (id, agent) = self.agent_here(name)?;
        if !agent.retired {
            self.end_claims_of(id)?;
            self.author(vec![Op::Agent(AgentFacts { retired: true, ..agent.facts() }).encode()])?;
            self.agents.forget(&mut self.stage, id);
        }
        Ok(Answer::Agent(Box::new(self.agent_answer(id)?)))
    }

    fn agent_here(&self, name: &str) -> Result<(AgentId, Agent), CommandError> {
        let found = self.mesh.directory().named(self.entries.node(), self.local_name(name));
        let missing = || CommandError::NotFound { what: "agent", name: name.chars().take(80).collect() };
        found.map(|(id, agent)| (id, agent.clone())).ok_or_else(missing)
    }

    fn new_token(&mut self, id: AgentId) -> Token {
        let token = Token::from_bytes(random(&mut self.rng));
        self.agents.put(&mut self.stage, id, &token, self.now.wall);
        token
    }

    /// Picks a name that no agent of the mesh has, so that it alone is an address everywhere.
    fn picked_name(&mut self) -> String {
        let directory = self.mesh.directory();
        let is_free = |name: &str| !directory.all().any(|(_, agent)| agent.name.eq_ignore_ascii_case(name));
        let mut name = names::pick(self.rng.next_u32());
        for _ in 1..PICKS_MAX {
            if is_free(&name) {
                return name;
            }
            name = names::pick(self.rng.next_u32());
        }
        // There is one number more than there are agents, so one is free.
        let numbered = (2..=directory.all().count() + 2).map(|number| format!("{name}{number}"));
        numbered.into_iter().find(|name| is_free(name)).unwrap_or(name)
    }

    /// Returns a name without the address of this node behind it.
    fn local_name<'a>(&self, name: &'a str) -> &'a str {
        let name = name.trim();
        match name.split_once('@') {
            Some((local, node)) if self.mesh.is_called(self.entries.node(), node.trim()) => local.trim_end(),
            _ => name,
        }
    }

    pub(super) fn agent_answer(&self, id: AgentId) -> Result<AgentAnswer, Failure> {
        let missing = || CommandError::NotFound { what: "agent", name: id.short() };
        let agent = self.mesh.directory().agent(id).ok_or_else(missing)?;
        let here = agent.node == self.entries.node();
        let last_used =
            if here { self.agents.last_used(&self.stage, id)? } else { self.notices.last_acted(agent.node, id) };
        Ok(AgentAnswer {
            id,
            name: agent.name.clone(),
            node: agent.node,
            node_name: self.mesh.roster().display_name(agent.node),
            address: self.mesh.address(id),
            here,
            program: agent.program.clone(),
            model: agent.model.clone(),
            task: agent.task.clone(),
            project: agent.project.map(|project| self.mesh.canonical(project)),
            project_key: agent.project.and_then(|project| self.mesh.project_key(project)),
            retired: agent.retired,
            registered_at: agent.registered_at.wall(),
            last_used,
            in_reach: here || self.is_in_reach(agent.node),
        })
    }
}

/// Returns whether a character of a name is not seen where it is shown: a control, or a mark of format or width zero.
fn is_unseen(char: char) -> bool {
    let formats = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'];
    char.is_control()
        || formats.contains(&char)
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(char, '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Refuses a profile that breaks a bound.
fn check_profile(name: &str, new: &NewAgent) -> Result<(), CommandError> {
    check_name(name)
        .map_err(|error| invalid("name", &error.to_string(), "use ASCII letters and digits, such as BlueLake"))?;
    let words = [("program", &new.program, AGENT_WORD_BYTES_MAX), ("model", &new.model, AGENT_WORD_BYTES_MAX)];
    for (field, text, bound) in words.into_iter().chain([("task", &new.task, AGENT_TASK_BYTES_MAX)]) {
        check_line(field, text)?;
        if text.len() > bound {
            let problem = format!("it has {} bytes, at most {bound} are allowed", text.len());
            return Err(invalid(field, &problem, "say it in fewer words"));
        }
    }
    Ok(())
}

fn taken(known: &Agent) -> CommandError {
    let name = &known.name;
    let (problem, hint) = if known.retired {
        (format!("the agent {name} was retired on this node"), "choose another name: this one stays retired".to_owned())
    } else {
        let hint = format!("choose another name; if {name} is you, `beadmesh agent rotate {name}` makes a new token");
        (format!("an agent {name} is registered on this node"), hint)
    };
    CommandError::Conflict { problem, hint }
}

pub(super) fn refused(problem: String, hint: &str) -> CommandError {
    CommandError::Refused { problem, hint: hint.to_owned() }
}

#[cfg(test)]
mod tests;
