//! Arguments of the commands about agents.

use clap::{Args, Subcommand};

/// What to do with agents.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentCommand {
    /// Make a name known that only its token may use from then on; with the token, change what is told of the agent.
    Register(RegisterArgs),
    /// List the agents of the mesh.
    List(AgentListArgs),
    /// Give an agent a new token; the one before is worth nothing then.
    Rotate(RotateArgs),
    /// Retire an agent: its name acts no more, and is never given again on this node.
    Retire(RetireArgs),
}

/// Arguments of `agent register`.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// The name: ASCII letters, digits, -, _ and ., at most 64 of them.
    #[arg(required_unless_present = "auto", conflicts_with = "auto")]
    pub(crate) name: Option<String>,
    /// Make a name up.
    #[arg(long)]
    pub(crate) auto: bool,
    /// The program that acts under the name, such as claude-code.
    #[arg(long, value_name = "TEXT")]
    pub(crate) program: Option<String>,
    /// The model that the program asks.
    #[arg(long, value_name = "TEXT")]
    pub(crate) model: Option<String>,
    /// What the agent is to do.
    #[arg(long, value_name = "TEXT")]
    pub(crate) task: Option<String>,
}

/// Arguments of `agent list`.
#[derive(Debug, Args)]
pub(crate) struct AgentListArgs {
    /// Also those that are retired.
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `agent rotate`.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The agent, one of this node.
    #[arg(required_unless_present = "human", conflicts_with = "human")]
    pub(crate) name: Option<String>,
    /// The user of this home; the new token goes into the home and is not printed.
    #[arg(long)]
    pub(crate) human: bool,
}

/// Arguments of `agent retire`.
#[derive(Debug, Args)]
pub(crate) struct RetireArgs {
    /// The agent, one of this node.
    pub(crate) name: String,
}
