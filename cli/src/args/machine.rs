//! Arguments of `gpu` and `history`: machines, their cards, and how they fared.

use std::path::PathBuf;

use clap::Args;

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
