//! The command line as a tree of types; what each command does lives in `commands`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod agent;
mod backup;
mod bead;
mod demo;
mod guard;
mod lease;
mod machine;
mod mail;
mod mesh;
mod service;
mod sim;
mod top;
mod value;

pub(crate) use agent::{AgentCommand, AgentListArgs, RegisterArgs, RetireArgs, RotateArgs};
pub(crate) use backup::{BackupArgs, RestoreArgs};
pub(crate) use bead::{
    BeadCommand, CloseArgs, CommentArgs, CreateArgs, DepCommand, IdArgs, ListArgs, ReadyArgs, ResolveArgs, UpdateArgs,
    WordsArgs, WordsCommand,
};
pub(crate) use demo::DemoArgs;
pub(crate) use guard::{GuardCommand, HookArg, HookArgs, InstallArgs};
pub(crate) use lease::{
    CheckArgs, ClaimArgs, HowArgs, LeaseCommand, LeaseListArgs, RecoverArgs, RenewArgs, SetArgs, TakeArgs,
    VotersCommand,
};
pub(crate) use machine::{ContainersArgs, ContainersCommand, GpuArgs, GpuCommand, HistoryArgs, PickArgs};
pub(crate) use mail::{
    AckArgs, AttachmentArgs, InboxArgs, LetterArgs, MailCommand, PageArgs, ReplyArgs, SearchArgs, SendArgs, ShowArgs,
    ThreadArgs, WaitArgs,
};
pub(crate) use mesh::{
    BanArgs, ConfigArgs, ConfigCommand, InviteArgs, InviteCommand, JoinArgs, KeyArgs, MembersArgs, MembersCommand,
    PeersCommand, RecoveryCommand, Sure, UnbanArgs, UpArgs,
};
pub(crate) use service::{ServiceArgs, ServiceCommand};
pub(crate) use sim::{LeasesArgs, PlannedArgs, ReplayArgs, RunArgs, ShownArgs, ShrinkArgs, SimCommand, SweepArgs};
pub(crate) use top::TopArgs;
pub(crate) use value::{minutes_field, priority_field, text_field};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "beadmesh",
    version,
    about = "A task graph that several machines share without a server.",
    after_help = "See it at work with `beadmesh demo`. Start with `beadmesh up`, then `beadmesh bead create \"What to do\"` in a repository.",
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Answer with one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the node keeps its keys and its store; BEADMESH_HOME does the same.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// The project, by its key, instead of the repository around the current directory; BEADMESH_PROJECT does the same.
    #[arg(long, global = true, value_name = "KEY")]
    pub(crate) project: Option<String>,
    /// Look at all projects.
    #[arg(long, global = true)]
    pub(crate) all_projects: bool,
    /// Who acts, instead of the user of this machine; BEADMESH_AGENT does the same, BEADMESH_TOKEN proves it.
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Say only what was asked for.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colour.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the node of this machine until it is stopped.
    Up(UpArgs),
    /// Stop the node of this machine.
    Down,
    /// Make the repository around the current directory a project.
    Init(InitArgs),
    /// Show how this node and its mesh stand.
    Status,
    /// List the members of the mesh, remove one, approve those that wait, give one another role or name, or the mesh.
    Members(MembersArgs),
    /// List the other nodes, and how far each is behind; or have nothing to do with one.
    Peers {
        /// What else to do.
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// Open an invite, and print the ticket another machine joins with.
    Invite(InviteArgs),
    /// Join the mesh a ticket comes from.
    Join(JoinArgs),
    /// Take this machine out of its mesh; what it has written stays there.
    Leave(Sure),
    /// Print what lets a browser of this machine in to the node's API, one time.
    Login,
    /// Create, find and change beads: the tasks of the graph.
    #[command(visible_alias = "b", subcommand_required = true)]
    Bead {
        /// What to do with them.
        #[command(subcommand)]
        command: BeadCommand,
    },
    /// Write and read letters between agents.
    #[command(visible_alias = "m", subcommand_required = true)]
    Mail {
        /// What to do with them.
        #[command(subcommand)]
        command: MailCommand,
    },
    /// The agents that act and write letters: their names, and the tokens that prove them.
    #[command(subcommand_required = true)]
    Agent {
        /// What to do with them.
        #[command(subcommand)]
        command: AgentCommand,
    },
    /// Claims on paths and beads: who holds what, and until when.
    #[command(subcommand_required = true)]
    Lease {
        /// What to do with them.
        #[command(subcommand)]
        command: LeaseCommand,
    },
    /// The nodes whose majority decides who holds a lease.
    #[command(subcommand_required = true)]
    Voters {
        /// What to do with them.
        #[command(subcommand)]
        command: VotersCommand,
    },
    /// Git hooks that refuse paths which another agent holds.
    #[command(subcommand_required = true)]
    Guard {
        /// What to do with them.
        #[command(subcommand)]
        command: GuardCommand,
    },
    /// List the machines of the mesh, and how each fares.
    Nodes,
    /// List the cards of all machines.
    Gpu(GpuArgs),
    /// List the containers of all machines that tell of theirs.
    Containers(ContainersArgs),
    /// Show how a number fared on a machine: the last quarter of an hour, and the last week.
    History(HistoryArgs),
    /// Watch the mesh on one screen: machines, cards, beads, leases, letters and links, as they change.
    Top(TopArgs),
    /// The key that can take the mesh over when its owner is lost.
    Recovery {
        /// What to do with it.
        #[command(subcommand)]
        command: RecoveryCommand,
    },
    /// Write everything this node holds to one file, while the node goes on.
    Backup(BackupArgs),
    /// Bring a node back from a backup, or hand its entries to a node of the same mesh.
    Restore(RestoreArgs),
    /// The node as a service of systemd, which starts it with the machine and whenever it ends.
    #[command(subcommand_required = true)]
    Service {
        /// What to do with it.
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// What can be set, and what is.
    #[command(subcommand_required = true)]
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Check home, records and mesh, and say what to do: ends with 0 if all is well, 1 for warnings, 2 for failures.
    Doctor(DoctorArgs),
    /// Run whole meshes on a false clock, network and disk; this needs no node and touches none.
    Sim {
        /// What to do with them.
        #[command(subcommand)]
        command: SimCommand,
    },
    /// Play a mesh of three nodes in this process, and tell what happens; no home of yours is touched.
    Demo(DemoArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// What names minted in this project begin with, such as `api` for `api-k7f3`.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// A name of the project, for a folder that is no repository or has no remote yet.
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Derive everything shown anew from what was stored, before checking.
    #[arg(long)]
    pub(crate) rebuild: bool,
    /// Take note of what was found of copied and restored stores: only what comes later is told again.
    #[arg(long)]
    pub(crate) accept: bool,
    /// Also write what whoever helps needs to this file: versions, what is set, checks, status, last lines of log. Keys,
    /// tokens, tickets, letters and texts of beads are not in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// What an error needs to know of a command line that could not be read.
///
/// The parser gives no result then, so this looks for the two flags by itself.
pub(crate) fn glance(args: &[OsString]) -> (bool, Color) {
    let flags = || args.iter().skip(1).take_while(|arg| *arg != "--").filter_map(|arg| arg.to_str());
    let json = flags().any(|arg| arg == "--json");
    let mut color = Color::Auto;
    let mut words = flags().peekable();
    while let Some(word) = words.next() {
        let value = word.strip_prefix("--color=").or_else(|| words.peek().copied().filter(|_| word == "--color"));
        if let Some(choice) = value.and_then(|value| Color::from_str(value, false).ok()) {
            color = choice;
        }
    }
    (json, color)
}

#[cfg(test)]
mod tests;
