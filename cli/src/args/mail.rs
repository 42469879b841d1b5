//! Arguments of the commands about letters.

use std::path::PathBuf;
use std::time::Duration;

use beadmesh_node::api::model::Importance;
use clap::{Args, Subcommand, ValueEnum};

use super::value;

/// What to do with letters.
#[derive(Debug, Subcommand)]
pub(crate) enum MailCommand {
    /// Write a letter.
    Send(Box<SendArgs>),
    /// Answer a letter, in its thread.
    Reply(Box<ReplyArgs>),
    /// List the letters to you, the newest first.
    Inbox(InboxArgs),
    /// Show a letter in full, and note that you have read it.
    Show(ShowArgs),
    /// Save a file that came with a letter, fetched from another node where it is not here.
    Attachment(AttachmentArgs),
    /// Show every letter of a thread, each after those it answers.
    Thread(ThreadArgs),
    /// Acknowledge a letter: say that you have taken note of what it asks.
    Ack(AckArgs),
    /// Find letters by words in subject, body and sender.
    Search(SearchArgs),
    /// Wait until an unread letter is there, and list what is unread.
    Wait(WaitArgs),
}

/// Arguments of `mail send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Who it is to: NAME, NAME@node, @thread or @project; several may be given.
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    pub(crate) to: Vec<String>,
    /// Who gets a copy.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) cc: Vec<String>,
    /// One line that says what it is about.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) subject: String,
    /// The thread it belongs to, such as the name of a bead; a new one otherwise.
    #[arg(long, value_name = "THREAD")]
    pub(crate) thread: Option<String>,
    /// What holds for replies too.
    #[command(flatten)]
    pub(crate) common: LetterArgs,
}

/// Arguments of `mail reply`.
#[derive(Debug, Args)]
pub(crate) struct ReplyArgs {
    /// The letter, by its id or the start of it.
    #[arg(value_name = "LETTER")]
    pub(crate) letter: String,
    /// Answer everybody who got the letter, and not its sender alone.
    #[arg(long)]
    pub(crate) all: bool,
    /// What holds for letters of all kinds.
    #[command(flatten)]
    pub(crate) common: LetterArgs,
}

/// What `mail send` and `mail reply` share.
#[derive(Debug, Args)]
pub(crate) struct LetterArgs {
    /// How much it matters.
    #[arg(long, value_enum, value_name = "IMPORTANCE", default_value_t)]
    pub(crate) importance: ImportanceArg,
    /// Ask everybody it is to for an acknowledgement.
    #[arg(long)]
    pub(crate) ack: bool,
    /// A file that goes with it; may be given several times, 8 files of 16 MiB each at most.
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    /// Send it although it seems to hold a password or a key; the node logs that. Attachments are not looked into.
    #[arg(long)]
    pub(crate) allow_credentials: bool,
    /// The text, as Markdown, or - to read it from standard input.
    #[arg(value_name = "BODY", allow_hyphen_values = true)]
    pub(crate) body: String,
}

/// How much a letter matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportanceArg {
    /// It can wait for ever.
    Low,
    /// As most do.
    #[default]
    Normal,
    /// Before others.
    High,
    /// Now.
    Urgent,
}

impl From<ImportanceArg> for Importance {
    fn from(importance: ImportanceArg) -> Self {
        match importance {
            ImportanceArg::Low => Self::Low,
            ImportanceArg::Normal => Self::Normal,
            ImportanceArg::High => Self::High,
            ImportanceArg::Urgent => Self::Urgent,
        }
    }
}

/// Arguments of `mail inbox`.
#[derive(Debug, Args)]
pub(crate) struct InboxArgs {
    /// Only what you have not read.
    #[arg(long)]
    pub(crate) unread: bool,
    /// Only what is urgent.
    #[arg(long)]
    pub(crate) urgent: bool,
    /// Only since then: a day such as 2027-01-31, a time, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME", value_parser = value::since)]
    pub(crate) since: Option<String>,
    /// Which page of them.
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PageArgs {
    /// How many to list, 0 for all; 20 unless --json is given.
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = value::limit)]
    pub(crate) limit: Option<usize>,
    /// Continue after this letter, the last of the page before.
    #[arg(long, value_name = "LETTER")]
    pub(crate) after: Option<String>,
}

/// Arguments of `mail show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The letter, by its id or the start of it.
    #[arg(value_name = "LETTER")]
    pub(crate) letter: String,
    /// Look at it without noting that you have read it.
    #[arg(long)]
    pub(crate) peek: bool,
}

/// Arguments of `mail attachment`.
#[derive(Debug, Args)]
pub(crate) struct AttachmentArgs {
    /// The letter, by its id or the start of it.
    #[arg(value_name = "LETTER")]
    pub(crate) letter: String,
    /// Which of its files, by number or name; may be left out where there is one.
    #[arg(value_name = "INDEX|NAME")]
    pub(crate) which: Option<String>,
    /// Where to write it, or - for standard output; under its own name in this folder otherwise.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `mail thread`.
#[derive(Debug, Args)]
pub(crate) struct ThreadArgs {
    /// The thread, or one of its letters.
    #[arg(value_name = "THREAD|LETTER")]
    pub(crate) thread: String,
}

/// Arguments of `mail ack`.
#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// The letter, by its id or the start of it.
    #[arg(value_name = "LETTER")]
    pub(crate) letter: String,
}

/// Arguments of `mail search`.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words, all of which a letter must hold.
    #[arg(required = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// Which page of what is found.
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Arguments of `mail wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = value::duration)]
    pub(crate) timeout: Duration,
}
