//! Arguments of the commands about nodes and meshes.

use std::time::Duration;

use beadmesh_node::api::model::Role;
use clap::{Args, Subcommand, ValueEnum};

use super::value;

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Listen on this multiaddress, such as /ip4/0.0.0.0/udp/4001/quic-v1; can be given several times.
    #[arg(long, value_name = "ADDR", value_parser = value::address)]
    pub(crate) listen: Vec<String>,
    /// Do not look for members on the local network.
    #[arg(long)]
    pub(crate) no_mdns: bool,
}

/// Arguments of `invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// How long the ticket is good, such as 30m, 1h or 2d; 30d at most.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = value::ttl)]
    pub(crate) ttl: Duration,
    /// How many machines may come by it, 1000 at most.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::uses)]
    pub(crate) uses: u32,
    /// What they may do.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) role: RoleArg,
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
}

/// What to do with the recovery key.
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Print the key; this works one time.
    Show(RecoveryArgs),
}

/// Arguments of `recovery show`.
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    /// Understood: it is shown now and never again.
    #[arg(long, required = true)]
    pub(crate) once: bool,
}
