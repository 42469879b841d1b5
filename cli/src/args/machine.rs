//! Arguments of `gpu`, `containers` and `history`: machines, their cards and containers, and how they fared.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `gpu`.
#[derive(Debug, Args)]
pub(crate) struct GpuArgs {
    /// Show them again every two seconds, until interrupted; with --json an object a line.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only those of this node, by its name or id.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
}

/// Arguments of `containers`.
#[derive(Debug, Args)]
pub(crate) struct ContainersArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub(crate) command: Option<ContainersCommand>,
    /// Only those of this node, by its name or id.
    #[arg(long, value_name = "NODE", global = true)]
    pub(crate) node: Option<String>,
}

/// What to do with containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainersCommand {
    /// Say how many of those that should run do, and which do not; ends with 1 if any does not.
    Expect {
        /// A container each line: NAME or NAME@NODE, and then running (or nothing), healthy or done.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The node, by its name or id.
    pub(crate) node: String,
    /// What was measured: cpu, load, memory, disk, temperature, battery, or of a card gpu0.busy, gpu0.memory, gpu0.power,
    /// gpu0.temperature, gpu0.clock.
    pub(crate) metric: String,
    /// Draw it into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}
