//! What agents asked for, what they were told, and what must therefore hold in the end.

use beadmesh_protocol::id::{AgentId, BeadId, LetterId};
use beadmesh_protocol::mail::ReceiptKind;

/// One thing that an agent asked for.
#[derive(Debug, Clone)]
pub struct Deed {
    /// The wish in the plan.
    pub wish: usize,
    /// The node that was asked, by place.
    pub node: u32,
    /// When it was asked, in virtual microseconds.
    pub asked_us: u64,
    /// What it comes to if it is done. Beads that the node names itself are known from its answer only.
    pub effects: Vec<Effect>,
    /// What it comes to in mail, if it is done. Agents and letters that the node names are known from its answer only.
    pub mail: Vec<MailEffect>,
    /// The agent of the node that it was asked as, or was about, by name.
    pub agent: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// Whether a fault took the only disk it lay on: then it may be lost, and need not be.
    pub excused: bool,
}

/// What became of a deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// No answer came: it may have been done or not.
    Unknown,
    /// It was done, and acknowledged at that virtual microsecond.
    Done(u64),
    /// It was refused, with the error's code; nothing was changed.
    Refused(&'static str),
}

/// What is so once a deed is done, until another deed undoes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The bead exists.
    Created {
        /// The bead.
        bead: BeadId,
        /// The alias that was given or minted.
        alias: String,
    },
    /// A record was imported: the bead exists.
    Imported {
        /// The bead.
        bead: BeadId,
    },
    /// A scalar field has that value, or keeps it as a conflict, or somebody who could know of it set another.
    Field {
        /// The bead.
        bead: BeadId,
        /// The field as in JSON.
        field: &'static str,
        /// The value as text; `None` clears it.
        value: Option<String>,
    },
    /// A label is there, or is not.
    Label {
        /// The bead.
        bead: BeadId,
        /// The label.
        label: String,
        /// Whether it is there.
        present: bool,
    },
    /// A scope pattern is there, or is not.
    Scope {
        /// The bead.
        bead: BeadId,
        /// The pattern in canonical form.
        pattern: String,
        /// Whether it is there.
        present: bool,
    },
    /// A comment is there.
    Comment {
        /// The bead.
        bead: BeadId,
        /// Its text.
        text: String,
    },
    /// A dependency is there, or is not.
    Dep {
        /// The bead.
        bead: BeadId,
        /// Its type; `None` stands for all types, where dependencies are removed.
        kind: Option<String>,
        /// What it depends on.
        target: BeadId,
        /// Whether it is there.
        present: bool,
    },
    /// An agent has claimed the bead, has let it go or has closed it under a claim: from then on its node says by itself
    /// who works on it, so nothing else is known of its status and assignee.
    Worked {
        /// The bead.
        bead: BeadId,
    },
}

impl Effect {
    /// Returns what tells whether an effect says that a bead has that status.
    pub(crate) fn status(word: &str) -> impl Fn(&Self) -> bool {
        move |effect| matches!(effect, Self::Field { field: "status", value: Some(value), .. } if value.as_str() == word)
    }

    /// Returns the bead it is about.
    pub fn bead(&self) -> BeadId {
        match self {
            Self::Created { bead, .. }
            | Self::Imported { bead }
            | Self::Field { bead, .. }
            | Self::Label { bead, .. }
            | Self::Scope { bead, .. }
            | Self::Comment { bead, .. }
            | Self::Dep { bead, .. }
            | Self::Worked { bead } => *bead,
        }
    }
}

/// What is so in mail once a deed is done, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailEffect {
    /// The agent is known.
    Registered {
        /// The agent.
        agent: AgentId,
    },
    /// The agent acts no more.
    Retired {
        /// The agent.
        agent: AgentId,
    },
    /// A letter has come to each of its recipients, once.
    Sent {
        /// The letter.
        letter: LetterId,
        /// Who wrote it.
        from: AgentId,
        /// Whom it goes to.
        to: Vec<AgentId>,
    },
    /// A recipient has read or acknowledged a letter.
    Received {
        /// The letter.
        letter: LetterId,
        /// The recipient.
        agent: AgentId,
        /// What it did.
        kind: ReceiptKind,
    },
}

impl MailEffect {
    /// Returns the agent without which there is nothing of it.
    pub fn agent(&self) -> AgentId {
        match self {
            Self::Registered { agent } | Self::Retired { agent } | Self::Received { agent, .. } => *agent,
            Self::Sent { from, .. } => *from,
        }
    }

    /// Returns the letter it is about.
    pub fn letter(&self) -> Option<LetterId> {
        match self {
            Self::Registered { .. } | Self::Retired { .. } => None,
            Self::Sent { letter, .. } | Self::Received { letter, .. } => Some(*letter),
        }
    }
}

/// Everything that was asked for, in order.
#[derive(Debug, Default)]
pub struct Journal {
    /// The deeds.
    pub deeds: Vec<Deed>,
}
