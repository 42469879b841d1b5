//! Arguments of the commands about the service of a node.

use std::path::PathBuf;

use beadmesh_node::systemd::Scope;
use clap::{Args, Subcommand};

/// What to do with the service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Have systemd run the node from now on, and start it again whenever it ends.
    Install(ServiceArgs),
    /// Stop the service and take its unit away; the home stays as it is.
    Uninstall(ScopeArgs),
    /// Show how the service stands.
    Status(ScopeArgs),
}

/// Whose service it is.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct ScopeArgs {
    /// This user's service; the one that is meant where nothing is said.
    #[arg(long)]
    user: bool,
    /// The machine's service.
    #[arg(long)]
    system: bool,
}

impl ScopeArgs {
    /// Returns whose service is meant.
    pub(crate) fn scope(self) -> Scope {
        if self.system { Scope::System } else { Scope::User }
    }
}

/// Arguments of `service install`.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// Whose service it is.
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// Run the machine's service as this user, instead of one that systemd makes up for it.
    #[arg(long, value_name = "NAME", requires = "system")]
    pub(crate) run_as: Option<String>,
    /// Have the node read this file instead of config.toml in its home.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Do not start the service now, only when the machine starts.
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Print the unit, and change nothing.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) print: bool,
}
