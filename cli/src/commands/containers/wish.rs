//! What a container is to be, as a line of a file says.

use std::collections::BTreeSet;

use beadmesh_node::api::model::Container;

use super::Met;

/// What is expected of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wish {
    name: String,
    /// Its node; any, where none is said.
    node: Option<String>,
    state: State,
}

/// What a container is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Its process runs, and its check, if it has one, does not complain.
    Running,
    /// Its process runs, and its check is content.
    Healthy,
    /// Its process has ended, and ended well.
    Done,
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) problem: String,
}

/// Reads what is expected: a container each line.
pub(super) fn parse(text: &str) -> Result<Vec<Wish>, Wrong> {
    let mut wishes = Vec::new();
    let mut named = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let wrong = |problem: String| Wrong { line: at + 1, problem };
        let state = match (words.next(), words.next()) {
            (None | Some("running"), None) => State::Running,
            (Some("healthy"), None) => State::Healthy,
            (Some("done"), None) => State::Done,
            (Some(word), None) => return Err(wrong(format!("{word:?} is none of running, healthy and done"))),
            (_, Some(more)) => return Err(wrong(format!("{more:?} is one word too many"))),
        };
        let (name, node) = match name.split_once('@') {
            Some((name, node)) => (name, Some(node.to_owned())),
            None => (name, None),
        };
        if name.is_empty() || node.as_ref().is_some_and(String::is_empty) {
            return Err(wrong("a name is missing beside the @".to_owned()));
        }
        if !named.insert((name.to_owned(), node.clone())) {
            return Err(wrong(format!("{name} stands here twice")));
        }
        wishes.push(Wish { name: name.to_owned(), node, state });
    }
    if wishes.is_empty() {
        return Err(Wrong { line: 1, problem: "no container is named".to_owned() });
    }
    Ok(wishes)
}

impl Wish {
    /// Returns whether this is about a container.
    pub(super) fn is_of(&self, container: &Container) -> bool {
        container.name == self.name && self.node.as_ref().is_none_or(|node| *node == container.node)
    }

    /// Says what is found of what is expected: of several containers of one name, one that fits is enough.
    pub(super) fn judge(&self, containers: &[Container]) -> Met {
        let meant: Vec<&Container> = containers.iter().filter(|container| self.is_of(container)).collect();
        let met = meant.iter().any(|container| self.state.is_met(container));
        let found: Vec<String> = meant.iter().map(|container| standing(container)).collect();
        Met {
            container: match &self.node {
                Some(node) => format!("{}@{node}", self.name),
                None => self.name.clone(),
            },
            wanted: self.state.as_str().to_owned(),
            found: if found.is_empty() { "missing".to_owned() } else { found.join("; ") },
            met,
        }
    }
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Done => "done",
        }
    }

    fn is_met(self, container: &Container) -> bool {
        let (is_running, health) = (container.status == "running", container.health.as_deref());
        // What was so when its machine was last heard may be otherwise now.
        !container.stale
            && match self {
                Self::Running => is_running && health != Some("unhealthy"),
                Self::Healthy => is_running && health == Some("healthy"),
                Self::Done => container.status == "exited" && container.exit_code == Some(0),
            }
    }
}

/// Says in a few words how a container stands.
pub(crate) fn standing(container: &Container) -> String {
    let mut words = container.status.clone();
    if let Some(code) = container.exit_code {
        words.push_str(&format!(" {code}"));
    }
    if container.oom_killed {
        words.push_str(", out of memory");
    }
    if let Some(health) = container.health.as_ref().filter(|_| container.status == "running") {
        words.push_str(&format!(", {health}"));
    }
    if container.stale {
        words.push_str(", not heard");
    }
    words
}
