//! Arguments of the commands about nodes and meshes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use beadmesh_node::api::model::Role;
use beadmesh_node::config::{Flags, GpuBackend};
use beadmesh_node::net::Relaying;
use clap::{Args, Subcommand, ValueEnum};

use super::value;

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// What is set for this run.
    #[command(flatten)]
    pub(crate) set: SetFlags,
}

/// What can be set on the command line; it goes before variables and the file.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetFlags {
    /// Read this file instead of config.toml in the home; BEADMESH_CONFIG does the same.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this multiaddress, such as /ip4/0.0.0.0/udp/4001/quic-v1; can be given several times.
    #[arg(long, value_name = "ADDR", value_parser = value::address)]
    pub(crate) listen: Vec<String>,
    /// Look for members on the local network, whatever is set elsewhere.
    #[arg(long, overrides_with = "no_mdns")]
    pub(crate) mdns: bool,
    /// Do not look for members on the local network.
    #[arg(long, overrides_with = "mdns")]
    pub(crate) no_mdns: bool,
    /// Relay for members that can not reach each other: true, false, or auto, which is while this node can be reached
    /// from anywhere. True also says that it can.
    #[arg(long, value_name = "WHEN")]
    pub(crate) relay: Option<Relaying>,
    /// Others reach this node at this multiaddress, though it does not listen there itself: its provider translates it, or
    /// a router forwards it; can be given several times.
    #[arg(long, value_name = "ADDR", value_parser = value::address)]
    pub(crate) external: Vec<String>,
    /// Join by the ticket in this file, once it is there and while this node is alone in its mesh.
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket_file: Option<PathBuf>,
    /// Answer the API on this address of this machine too, such as 127.0.0.1:7118; who asks there needs the home's token.
    #[arg(long, value_name = "ADDR", value_parser = value::api_address)]
    pub(crate) api_tcp: Option<SocketAddr>,
    /// Where readings of cards come from: auto, which is their driver; demo, which makes cards up and calls them so; or off.
    #[arg(long, value_name = "WHERE")]
    pub(crate) gpu_backend: Option<GpuBackend>,
    /// Tell the mesh of the containers of this machine: asks Docker or Podman, which is as good as being root.
    #[arg(long)]
    pub(crate) containers: bool,
}

impl SetFlags {
    /// Returns what was given.
    pub(crate) fn flags(&self) -> Flags {
        let mdns = if self.no_mdns { Some(false) } else { self.mdns.then_some(true) };
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Flags {
            file: self.config.clone(),
            listen: Some(self.listen.clone()).filter(|addresses| !addresses.is_empty()),
            mdns,
            relaying: self.relay,
            external: Some(self.external.clone()).filter(|addresses| !addresses.is_empty()),
            ticket_file: self.ticket_file.as_ref().map(absolute),
            api_tcp: self.api_tcp,
            gpu_backend: self.gpu_backend,
            containers: self.containers.then_some(true),
        }
    }
}

/// What to do with what is set.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// List every key with its value and unit, as `up` would take it now.
    Show(ConfigArgs),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Also say where each value comes from, and what else sets it.
    #[arg(long)]
    pub(crate) origin: bool,
    /// What is set for this run.
    #[command(flatten)]
    pub(crate) set: SetFlags,
}

/// Arguments of `invite`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct InviteArgs {
    /// What to do with invites that are open.
    #[command(subcommand)]
    pub(crate) command: Option<InviteCommand>,
    /// How long the ticket is good, such as 30m, 1h or 2d; 30d at most.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = value::ttl)]
    pub(crate) ttl: Duration,
    /// How many machines may come by it, 1000 at most.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::uses)]
    pub(crate) uses: u32,
    /// What they may do.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) role: RoleArg,
    /// Let nobody in by it before `members approve` was run for them: what a ticket needs that many may see.
    #[arg(long)]
    pub(crate) approve: bool,
    /// Write the ticket to this file instead, which only you can read; a file that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What to do with invites that are open.
#[derive(Debug, Subcommand)]
pub(crate) enum InviteCommand {
    /// List the invites that were opened here.
    List,
    /// Close an invite: its ticket lets nobody in any more.
    Revoke {
        /// Its id, or the start of it.
        id: String,
    },
}

/// Arguments of `members`.
#[derive(Debug, Args)]
pub(crate) struct MembersArgs {
    /// What to do with them; they are listed where nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<MembersCommand>,
}

/// What to do with members.
#[derive(Debug, Subcommand)]
pub(crate) enum MembersCommand {
    /// List the members of the mesh.
    List,
    /// Remove a machine from the mesh: what it has written stays, and nothing it writes from now on has effect.
    Remove {
        /// The machine: its name, its id, or the start of its id.
        node: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// List the machines that wait to be approved, with their fingerprints.
    Requests,
    /// Let in a machine that waits: compare the fingerprint with what that machine shows.
    Approve {
        /// Its fingerprint, or its id.
        fingerprint: String,
    },
    /// Turn away a machine that waits: it comes in by that ticket no more.
    Deny {
        /// Its fingerprint, or its id.
        fingerprint: String,
    },
    /// Give a machine another role.
    Role {
        /// The machine: its name, its id, or the start of its id.
        node: String,
        /// What it may do.
        #[arg(value_enum)]
        role: RoleArg,
    },
    /// Give the mesh to another machine, which then chooses voters and can not be removed.
    Owner {
        /// The machine: its name, its id, or the start of its id.
        node: String,
        #[command(flatten)]
        sure: Sure,
    },
    /// Give a machine another name.
    Rename {
        /// The machine: its name, its id, or the start of its id.
        node: String,
        /// What people are to call it.
        name: String,
    },
}

/// That something is meant which is not easily undone.
#[derive(Debug, Args)]
pub(crate) struct Sure {
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// What a machine may do in the mesh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Reads; what it writes has no effect.
    Observer,
    /// Reads and writes.
    #[default]
    Member,
    /// Also lets machines in.
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Observer => Self::Observer,
            RoleArg::Member => Self::Member,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// Arguments of `join`.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The ticket that `beadmesh invite` printed, or - to read it from standard input.
    pub(crate) ticket: String,
    /// Go on asking until somebody has approved this machine.
    #[arg(long)]
    pub(crate) request: bool,
}

/// What to do with the recovery key.
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Print the key; this works one time.
    Show(RecoveryArgs),
    /// Make this machine the owner of the mesh, where the owner is lost or in wrong hands.
    Take(KeyArgs),
}

/// Arguments of `recovery take`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// The file that holds the recovery key, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
}

/// Arguments of `recovery show`.
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// Understood: it is shown now and never again.
    #[arg(long, required = true)]
    pub(crate) once: bool,
}

/// What to do about other nodes.
#[derive(Debug, Subcommand)]
pub(crate) enum PeersCommand {
    /// End the links to a node and keep it out of this one; what it wrote still comes by others.
    Ban(BanArgs),
    /// Let a node in again.
    Unban(UnbanArgs),
}

/// Arguments of `peers ban`.
#[derive(Debug, Args)]
pub(crate) struct BanArgs {
    /// A member's name, its id, or the start of its id; or the whole id of any node.
    pub(crate) node: String,
    /// For how long, such as 30m, 1h or 2d; for good unless it is given.
    #[arg(long = "for", value_name = "TIME", value_parser = value::ban)]
    pub(crate) span: Option<Duration>,
}

/// Arguments of `peers unban`.
#[derive(Debug, Args)]
pub(crate) struct UnbanArgs {
    /// The node, as in `peers ban`.
    pub(crate) node: String,
}
