//! Arguments of `gpu`, `containers` and `history`: machines, their cards and containers, and how they fared.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::value;

/// Arguments of `gpu`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GpuArgs {
    /// What to do with them; they are shown where nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<GpuCommand>,
    /// Show them again every two seconds, until interrupted; with --json an object a line.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only those of this node: its name, its id, or the start of its id.
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
}

/// Arguments of `containers`.
#[derive(Debug, Args)]
pub(crate) struct ContainersArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub(crate) command: Option<ContainersCommand>,
    /// Only those of this node: its name, its id, or the start of its id.
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

/// What to do with cards.
#[derive(Debug, Subcommand)]
pub(crate) enum GpuCommand {
    /// Name a card that is free, on whichever machine: the least busy of those with room. Nothing is reserved.
    Pick(PickArgs),
}

/// Arguments of `gpu pick`.
#[derive(Debug, Args)]
pub(crate) struct PickArgs {
    /// Memory that must be free on it, such as 20GiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) vram: Option<String>,
    /// How busy it may be, in percent.
    #[arg(long, alias = "max-util", value_name = "PERCENT", default_value = "100", value_parser = value::percent)]
    pub(crate) max_busy: u8,
    /// A label that its machine must bear.
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The node: its name, its id, or the start of its id.
    pub(crate) node: String,
    /// What was measured: cpu, load, memory, disk, temperature, battery, or of a card gpu0.busy, gpu0.memory, gpu0.power,
    /// gpu0.temperature, gpu0.clock.
    pub(crate) metric: String,
    /// Draw it into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}
