//! Arguments of the commands that simulate meshes.

use std::path::PathBuf;
use std::time::Duration;

use beadmesh_sim::scenario::Scenario;
use clap::{Args, Subcommand};

use super::value;

/// What to do with simulated meshes.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Run one mesh from a seed, and tell what became of it.
    Run(RunArgs),
    /// Run many seeds, and tell which of them failed.
    Sweep(SweepArgs),
    /// Run a plan from its file.
    Replay(ReplayArgs),
    /// Cut a failing plan down to the little that makes it fail.
    Shrink(ShrinkArgs),
    /// Run many lease cells: a few voters and claimants under every fault, without the rest of a node.
    Leases(LeasesArgs),
    /// List the scenarios.
    List,
}

/// Arguments of `sim leases`.
#[derive(Debug, Args)]
pub(crate) struct LeasesArgs {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = value::some::<u64>)]
    pub(crate) seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "FIRST", default_value = "1", value_parser = value::number::<u64>)]
    pub(crate) seed: u64,
    /// How many run at a time, instead of as many as there are cores; the result is the same.
    #[arg(long, value_name = "N", value_parser = value::some::<u16>)]
    pub(crate) threads: Option<u16>,
    /// Run with this bug planted in the core, in a build that has it.
    #[arg(long, value_name = "BUG", hide = true)]
    pub(crate) planted: Option<String>,
}

/// Arguments of `sim run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// What everything is drawn from: the same seed does the same.
    #[arg(long, value_name = "N", default_value = "1", value_parser = value::number::<u64>)]
    pub(crate) seed: u64,
    /// What happens to the mesh; `beadmesh sim list` tells of each.
    #[arg(long, value_name = "NAME", default_value = "swarm", value_parser = value::scenario())]
    pub(crate) scenario: Scenario,
    /// What is planned.
    #[command(flatten)]
    pub(crate) planned: PlannedArgs,
    /// Write the plan to this file, for `beadmesh sim replay` and `beadmesh sim shrink`.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// What is shown.
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
}

/// What is planned otherwise than the scenario says.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlannedArgs {
    /// How many nodes there are, instead of as many as the scenario says.
    #[arg(long, value_name = "N", value_parser = value::nodes)]
    pub(crate) nodes: Option<usize>,
    /// How long the mesh lives before everything is healed, such as 90s, 10m or 2d.
    #[arg(long, value_name = "TIME", value_parser = value::simulated)]
    pub(crate) span: Option<Duration>,
    /// How many edits agents make in a second, all together.
    #[arg(long, value_name = "N", value_parser = value::number::<u32>)]
    pub(crate) edits_per_second: Option<u32>,
    /// How many nodes of a thousand are killed and started again in a minute.
    #[arg(long, value_name = "N", value_parser = value::number::<u32>)]
    pub(crate) churn_per_minute: Option<u32>,
    /// Run with this bug planted in the core, in a build that has it.
    #[arg(long, value_name = "BUG", hide = true)]
    pub(crate) planted: Option<String>,
}

/// What is shown of a run.
#[derive(Debug, Args)]
pub(crate) struct ShownArgs {
    /// Draw what happened into this file, as an SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) timeline: Option<PathBuf>,
    /// Tell everything that happened, and not only what says most.
    #[arg(long)]
    pub(crate) trace: bool,
}

/// Arguments of `sim sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value = "100", value_parser = value::some::<u64>)]
    pub(crate) seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "FIRST", default_value = "1", value_parser = value::number::<u64>)]
    pub(crate) seed: u64,
    /// Run all of them in one scenario; otherwise the scenarios take turns, seed by seed.
    #[arg(long, value_name = "NAME", value_parser = value::scenario())]
    pub(crate) scenario: Option<Scenario>,
    /// What is planned.
    #[command(flatten)]
    pub(crate) planned: PlannedArgs,
    /// How many run at a time, instead of as many as there are cores; the result is the same.
    #[arg(long, value_name = "N", value_parser = value::some::<u16>)]
    pub(crate) threads: Option<u16>,
    /// Write the plans of failing seeds into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// Arguments of `sim replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The plan, as `beadmesh sim run --plan` wrote it.
    pub(crate) file: PathBuf,
    /// What is shown.
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
}

/// Arguments of `sim shrink`.
#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// The plan that fails.
    pub(crate) file: PathBuf,
    /// Where to write the small plan, instead of beside the big one.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Shrink to a violation of this checker, instead of the one that the plan fails with first.
    #[arg(long, value_name = "NAME")]
    pub(crate) check: Option<String>,
    /// How many runs it may take.
    #[arg(long, value_name = "N", default_value = "500", value_parser = value::some::<u32>)]
    pub(crate) runs: u32,
}
