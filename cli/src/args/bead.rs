//! Arguments of the commands about beads.

use std::path::PathBuf;
use std::time::Duration;

use beadmesh_node::api::model::Scalar;
use clap::{Args, Subcommand};

use super::lease::{ClaimArgs, ReleaseArgs};
use super::value;

/// What to do with beads.
#[derive(Debug, Subcommand)]
pub(crate) enum BeadCommand {
    /// Create a bead.
    Create(Box<CreateArgs>),
    /// List beads; those that are not closed, unless asked otherwise.
    List(ListArgs),
    /// List what can be worked on now, the most urgent first.
    Ready(ReadyArgs),
    /// List what waits for other beads.
    Blocked(BlockedArgs),
    /// Claim a bead with the paths it touches, so that nobody else works on them.
    Claim(ClaimArgs),
    /// Let a bead that you claimed go.
    Release(ReleaseArgs),
    /// Show beads in full.
    Show(IdArgs),
    /// Change fields of a bead; an empty value clears a field.
    Update(Box<UpdateArgs>),
    /// Close beads: the work is over.
    Close(CloseArgs),
    /// Open closed beads again.
    Reopen(IdArgs),
    /// Delete beads; the deletion merges like any change.
    Delete(CloseArgs),
    /// Settle a field that two people changed at once.
    Resolve(ResolveArgs),
    /// What a bead depends on.
    Dep {
        /// What to do.
        #[command(subcommand)]
        command: DepCommand,
    },
    /// Words to find a bead by.
    Label {
        /// What to do.
        #[command(subcommand)]
        command: WordsCommand,
    },
    /// Path patterns the work on a bead touches.
    Scope {
        /// What to do.
        #[command(subcommand)]
        command: WordsCommand,
    },
    /// Say something about a bead.
    Comment(CommentArgs),
    /// Take beads from a JSONL file, as `.beads/issues.jsonl`.
    Import(ImportArgs),
    /// Write the project's beads as JSONL.
    Export(ExportArgs),
}

/// Arguments of `bead create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// One line that says what is to be done.
    pub(crate) title: String,
    /// What kind of work it is: task, bug, feature, epic, chore or any other word.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Urgency, P0 (first) to P4.
    #[arg(short, long, value_name = "PRIORITY", allow_negative_numbers = true, value_parser = value::priority)]
    pub(crate) priority: Option<u8>,
    /// What is to be done, at length; - reads standard input.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) description: Option<String>,
    /// How it is to be done; - reads standard input.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) design: Option<String>,
    /// When it counts as done, as one text; - reads standard input.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) acceptance: Option<String>,
    /// One thing that must hold before it counts as done; can be given several times.
    #[arg(long = "criterion", value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) criteria: Vec<String>,
    /// Notes; - reads standard input.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) notes: Option<String>,
    /// Who works on it.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) assignee: Option<String>,
    /// Minutes the work is thought to take.
    #[arg(short, long, value_name = "MINUTES", allow_negative_numbers = true, value_parser = value::minutes)]
    pub(crate) estimate: Option<u32>,
    /// When it is due, such as 2026-03-01.
    #[arg(long, value_name = "DATE")]
    pub(crate) due: Option<String>,
    /// Until when it is put off, such as 2026-03-01.
    #[arg(long, value_name = "DATE")]
    pub(crate) defer: Option<String>,
    /// The same task in another tracker, such as gh-41.
    #[arg(long, value_name = "REF")]
    pub(crate) external_ref: Option<String>,
    /// A name of its own; one is made up otherwise.
    #[arg(long = "id", value_name = "ALIAS")]
    pub(crate) alias: Option<String>,
    /// A word to find it by.
    #[arg(short, long = "label", value_name = "LABEL", value_delimiter = ',')]
    pub(crate) labels: Vec<String>,
    /// A path pattern the work touches.
    #[arg(long = "scope", value_name = "PATTERN")]
    pub(crate) scopes: Vec<String>,
    /// What it needs of a machine, such as gpu:1,vram:40GiB,label:a100; cpu, memory and disk can be needed too.
    #[arg(long, value_name = "NEEDS")]
    pub(crate) needs: Option<String>,
    /// A bead that this one holds up.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) blocks: Vec<String>,
    /// A bead that holds this one up.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) blocked_by: Vec<String>,
    /// The bead this one is a part of.
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
}

/// Arguments of `bead update`.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The bead.
    pub(crate) id: String,
    /// One line that says what is to be done.
    #[arg(long, value_name = "TEXT", value_parser = value::text_field)]
    pub(crate) title: Option<Scalar>,
    /// Where the work stands: open, in_progress, blocked, deferred, closed or another word.
    #[arg(short, long, value_name = "STATUS", value_parser = value::text_field)]
    pub(crate) status: Option<Scalar>,
    /// Urgency, P0 (first) to P4.
    #[arg(short, long, value_name = "PRIORITY", allow_negative_numbers = true, value_parser = value::priority_field)]
    pub(crate) priority: Option<Scalar>,
    /// What kind of work it is.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = value::text_field)]
    pub(crate) kind: Option<Scalar>,
    /// What is to be done, at length; - reads standard input.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true, value_parser = value::text_field)]
    pub(crate) description: Option<Scalar>,
    /// How it is to be done; - reads standard input.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = value::text_field)]
    pub(crate) design: Option<Scalar>,
    /// When it counts as done; - reads standard input.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = value::text_field)]
    pub(crate) acceptance: Option<Scalar>,
    /// Notes; - reads standard input.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, value_parser = value::text_field)]
    pub(crate) notes: Option<Scalar>,
    /// Who works on it.
    #[arg(short, long, value_name = "NAME", value_parser = value::text_field)]
    pub(crate) assignee: Option<Scalar>,
    /// Minutes the work is thought to take.
    #[arg(short, long, value_name = "MINUTES", allow_negative_numbers = true, value_parser = value::minutes_field)]
    pub(crate) estimate: Option<Scalar>,
    /// When it is due.
    #[arg(long, value_name = "DATE", value_parser = value::text_field)]
    pub(crate) due: Option<Scalar>,
    /// Until when it is put off.
    #[arg(long, value_name = "DATE", value_parser = value::text_field)]
    pub(crate) defer: Option<Scalar>,
    /// The same task in another tracker.
    #[arg(long, value_name = "REF", value_parser = value::text_field)]
    pub(crate) external_ref: Option<Scalar>,
    /// The name people use.
    #[arg(long = "id", value_name = "ALIAS", value_parser = value::text_field)]
    pub(crate) alias: Option<Scalar>,
    /// What it needs of a machine, in place of what it needed.
    #[arg(long, value_name = "NEEDS")]
    pub(crate) needs: Option<String>,
}

/// Which beads to list, of whatever sort.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only with this label; of several, a bead must carry all.
    #[arg(short, long, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) label: Vec<String>,
    /// Only of this type; several may be given.
    #[arg(short = 't', long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub(crate) kind: Vec<String>,
    /// Only of this priority; several may be given.
    #[arg(short, long, value_name = "PRIORITY", value_delimiter = ',', allow_negative_numbers = true, value_parser = value::priority)]
    pub(crate) priority: Vec<u8>,
    /// Only of this person or agent.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) assignee: Option<String>,
    /// How many to list, 0 for all; 50 unless --json is given.
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = value::limit)]
    pub(crate) limit: Option<usize>,
    /// Continue after this bead, the last of the page before.
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
}

/// Arguments of `bead list`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ListArgs {
    /// Only with this status; several may be given.
    #[arg(short, long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<String>,
    /// Only parts of this bead.
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    /// Also what is closed or deleted.
    #[arg(long)]
    pub(crate) all: bool,
    /// Of ready beads also those that need what this machine lacks.
    #[arg(skip)]
    pub(crate) anywhere: bool,
    /// Tell of those instead.
    #[arg(skip)]
    pub(crate) why: bool,
    /// Which of them.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Arguments of `bead ready`; what is ready is open, so there is no status to choose.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReadyArgs {
    /// Claim the first of them that nobody holds.
    #[arg(long, conflicts_with_all = ["assignee", "limit", "after"])]
    pub(crate) claim: bool,
    /// How long to hold it, such as 30m or 2h: an hour unless you say otherwise, 7d at most.
    #[arg(long, value_name = "TIME", requires = "claim", allow_hyphen_values = true, value_parser = value::term)]
    pub(crate) term: Option<Duration>,
    /// Only parts of this bead.
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    /// Also those that need what this machine lacks.
    #[arg(long)]
    pub(crate) anywhere: bool,
    /// Show instead the beads that this machine lacks something for, and what each machine lacks.
    #[arg(long, conflicts_with = "claim")]
    pub(crate) why: bool,
    /// Which of them.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Arguments of `bead blocked`; what is closed waits for nothing.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BlockedArgs {
    /// Only with this status; several may be given.
    #[arg(short, long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<String>,
    /// Which of them.
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

impl From<ReadyArgs> for ListArgs {
    fn from(args: ReadyArgs) -> Self {
        Self { parent: args.parent, filter: args.filter, anywhere: args.anywhere, why: args.why, ..Self::default() }
    }
}

impl From<BlockedArgs> for ListArgs {
    fn from(args: BlockedArgs) -> Self {
        Self { status: args.status, filter: args.filter, ..Self::default() }
    }
}

/// Beads to name.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The beads; with --json one is answered as `bead`, several as `beads`.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

/// Arguments of `bead close` and `bead delete`.
#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    /// The beads; with --json one is answered as `bead`, several as `beads`.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Why.
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Arguments of `bead resolve`.
#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// The bead.
    pub(crate) id: String,
    /// The field, as `bead show` names it.
    pub(crate) field: String,
    /// The value that is to count, an empty one to clear the field; the value shown is kept without this.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
}

/// What to do with dependencies.
#[derive(Debug, Subcommand)]
pub(crate) enum DepCommand {
    /// Add a dependency.
    Add(DepArgs),
    /// Remove a dependency.
    Remove(DepArgs),
}

/// Arguments of `bead dep add` and `bead dep remove`.
#[derive(Debug, Args)]
pub(crate) struct DepArgs {
    /// The bead that depends on another.
    pub(crate) id: String,
    /// What it depends on.
    #[arg(long, value_name = "ID")]
    pub(crate) on: String,
    /// The type: blocks, parent-child, related, discovered-from or any other word; blocks when adding, any when
    /// removing.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
}

/// What to do with labels or scopes.
#[derive(Debug, Subcommand)]
pub(crate) enum WordsCommand {
    /// Add some.
    Add(WordsArgs),
    /// Remove some.
    Remove(WordsArgs),
}

/// Arguments of `bead label add` and its kin.
#[derive(Debug, Args)]
pub(crate) struct WordsArgs {
    /// The bead.
    pub(crate) id: String,
    /// What to add or remove.
    #[arg(required = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

/// Arguments of `bead comment`.
#[derive(Debug, Args)]
pub(crate) struct CommentArgs {
    /// The bead.
    pub(crate) id: String,
    /// What to say, or - to read it from standard input.
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: String,
}

/// Arguments of `bead import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file, or - for standard input.
    pub(crate) file: PathBuf,
}

/// Arguments of `bead export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to this file, which is replaced only when everything has been written; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
