//! Why a command was not carried out: a stable code, what is wrong, and what to do about it.

use std::time::Duration;

/// Why a command was not carried out; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no such thing.
    #[error("no {what} {name:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// As it was named.
        name: String,
    },
    /// There is no such thing, though others are called nearly that.
    #[error("no {what} {name:?}")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// As it was named.
        name: String,
        /// What may have been meant, at most five.
        near: Vec<String>,
    },
    /// Several things go by that name.
    #[error("{name:?} is ambiguous: {}", candidates.join(", "))]
    Ambiguous {
        /// As it was named.
        name: String,
        /// What it may mean, at most ten.
        candidates: Vec<String>,
    },
    /// A field has a value it cannot have.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it, with the bound where there is one.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// The dependency would close a cycle.
    #[error("the dependency would close a cycle: {}", path.join(" → "))]
    Cycle {
        /// Aliases along the cycle.
        path: Vec<String>,
    },
    /// Something is in the way that another command may settle.
    #[error("{problem}")]
    Conflict {
        /// What is in the way.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// Another agent holds what clashes, or was there before.
    #[error("held by {by}{}: both cover {witness}", .left.map_or_else(String::new, |left| format!(" for {} s more", left.as_secs())))]
    Held {
        /// Who holds it: `Name@node`.
        by: String,
        /// How long at least, unless it is let go before; `None` for an older claim that waits for it too.
        left: Option<Duration>,
        /// What both would touch: a path, or a bead by its alias.
        witness: String,
    },
    /// This node may not do that.
    #[error("{problem}")]
    Refused {
        /// Why not.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// The store failed; nothing more is accepted until the node is started again.
    #[error("the store failed: {0}")]
    Store(String),
}

impl CommandError {
    /// Returns the stable code that scripts may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Unknown { .. } => "not_found",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Invalid { .. } => "invalid",
            Self::Cycle { .. } => "cycle",
            Self::Conflict { .. } => "conflict",
            Self::Held { .. } => "held",
            Self::Refused { .. } => "refused",
            Self::Store(_) => "store_failed",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { what: "dependency", .. } => "`beadmesh bead show` lists what a bead depends on".to_owned(),
            Self::NotFound { what: "letter", .. } => "`beadmesh mail inbox` lists what has come".to_owned(),
            Self::NotFound { what: "thread", .. } => {
                "name it as the letters in it do, or by the id of one of them".to_owned()
            }
            Self::NotFound { what: "agent", .. } => "`beadmesh agent list --all` shows who there is".to_owned(),
            Self::NotFound { what: "claim", .. } => {
                "`beadmesh lease list --all` shows what is claimed, or was".to_owned()
            }
            Self::NotFound { what: "node that waits to be approved", .. } => {
                "`beadmesh members requests` lists those that wait".to_owned()
            }
            Self::NotFound { what: "node", .. } => "`beadmesh members` lists the nodes".to_owned(),
            Self::NotFound { what: "invite", .. } => "`beadmesh invite list` shows which are open here".to_owned(),
            Self::Unknown { near, .. } => format!("did you mean {}?", near.join(" or ")),
            Self::NotFound { .. } => "`beadmesh bead list --all` shows what there is".to_owned(),
            Self::Ambiguous { .. } => "write more of the name, or the id".to_owned(),
            Self::Invalid { hint, .. } | Self::Conflict { hint, .. } | Self::Refused { hint, .. } => hint.clone(),
            Self::Held { by, .. } => {
                format!(
                    "wait for it with `--wait`, take other work with `beadmesh bead ready --claim`, or write to {by}"
                )
            }
            Self::Cycle { .. } => "remove one of these dependencies first".to_owned(),
            Self::Store(_) => {
                "free space or mend the disk, then start the node again; nothing acknowledged is lost".to_owned()
            }
        }
    }
}
