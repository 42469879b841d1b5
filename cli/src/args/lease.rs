//! Arguments of the commands about claims, leases and voters.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::value;

/// How a claim is made, of a bead or of paths.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct HowArgs {
    /// Let others hold it beside you, if they say so too.
    #[arg(long)]
    pub(crate) shared: bool,
    /// How long to hold it, such as 30m or 2h: an hour unless you say otherwise, 7d at most.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::term)]
    pub(crate) term: Option<Duration>,
    /// How long to wait while others hold what clashes, such as 30s; 1h at most.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::wait)]
    pub(crate) wait: Option<Duration>,
    /// Do not ask the voters: the claim is tentative.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) offline: bool,
    /// Exit 4 where the claim is made and is not held, such as a tentative one; it stays.
    #[arg(long, conflicts_with = "offline")]
    pub(crate) require_held: bool,
}

/// Arguments of `bead claim`.
#[derive(Debug, Args)]
pub(crate) struct ClaimArgs {
    /// The bead.
    pub(crate) id: String,
    /// A path pattern to claim with it, beside its own scopes; can be given several times.
    #[arg(long = "scope", value_name = "PATTERN")]
    pub(crate) scopes: Vec<String>,
    /// Claim it though this machine lacks what it needs.
    #[arg(long)]
    pub(crate) anywhere: bool,
    /// How.
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// Arguments of `bead release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The bead.
    pub(crate) id: String,
}

/// What to do with leases.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// Claim paths, so that nobody else works on them.
    Take(TakeArgs),
    /// List claims: who holds what, and until when.
    List(LeaseListArgs),
    /// Show a claim, and what clashes with it.
    Show(LeaseArgs),
    /// Say what stands in the way of writing paths; exit 4 if anything does.
    Check(CheckArgs),
    /// Hold a claim of yours for longer.
    Renew(RenewArgs),
    /// Let a claim of yours go.
    Release(LeaseArgs),
}

/// Arguments of `lease take`.
#[derive(Debug, Args)]
pub(crate) struct TakeArgs {
    /// Path patterns, relative to the repository; 16 at most.
    #[arg(required = true, value_name = "PATTERN")]
    pub(crate) patterns: Vec<String>,
    /// How.
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// Arguments of `lease list`.
#[derive(Debug, Args)]
pub(crate) struct LeaseListArgs {
    /// Also what is over, as far as it is remembered.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only of this agent: NAME, or NAME@node.
    #[arg(long = "agent", value_name = "NAME")]
    pub(crate) holder: Option<String>,
}

/// Arguments of `lease show` and `lease release`.
#[derive(Debug, Args)]
pub(crate) struct LeaseArgs {
    /// The claim, by its id or its bead.
    pub(crate) id: String,
}

/// Arguments of `lease check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Paths, relative to the repository; - reads them from standard input, a line each.
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,
    /// What standard input holds is parted by NUL, as `git diff -z` writes it.
    #[arg(short = 'z', long = "null")]
    pub(crate) null: bool,
}

/// Arguments of `lease renew`.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// The claim, by its id or its bead.
    pub(crate) id: String,
    /// How long to hold it from now: an hour unless you say otherwise, 7d at most.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::term)]
    pub(crate) term: Option<Duration>,
}

/// What to do with voters.
#[derive(Debug, Subcommand)]
pub(crate) enum VotersCommand {
    /// List the voters, and which of them can be asked now.
    List,
    /// Choose other voters: 1, 3, 5 or 7 nodes that stay up.
    Set(SetArgs),
    /// Choose voters anew where a majority of them is lost for good; needs the recovery key.
    Recover(RecoverArgs),
}

/// Arguments of `voters set`.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The nodes, each by its name, its id, or the start of its id.
    #[arg(required = true, value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    /// How long they keep a promise, 5s to 2m: what a crashed holder costs others; as before unless given.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = value::hold)]
    pub(crate) hold: Option<Duration>,
}

/// Arguments of `voters recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The nodes, each by its name, its id, or the start of its id.
    #[arg(required = true, value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    /// The file that holds the recovery key, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
}
