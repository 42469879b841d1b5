//! Arguments of the commands about the git guard.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with the guard.
#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Put hooks into the repository around the current directory; hooks that are there run first.
    Install(InstallArgs),
    /// Say what stands in the way of committing what is staged, as the hook does.
    Check,
    /// What the hooks call.
    #[command(hide = true)]
    Hook(HookArgs),
}

/// Arguments of `guard install`.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// Take the hooks out, and put those that were there before back.
    #[arg(long)]
    pub(crate) uninstall: bool,
    /// Also where a hook is part of the work tree, or one was put aside before.
    #[arg(long, conflicts_with = "uninstall")]
    pub(crate) force: bool,
}

/// Arguments of `guard hook`.
#[derive(Debug, Args)]
pub(crate) struct HookArgs {
    /// Which hook it is.
    #[arg(value_enum)]
    pub(crate) hook: HookArg,
    /// The path of the hook, then what git gave it.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    pub(crate) words: Vec<OsString>,
}

/// A hook of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HookArg {
    /// Runs before a commit is made.
    #[value(name = "pre-commit")]
    Commit,
    /// Runs before a merge is committed that git made by itself.
    #[value(name = "pre-merge-commit")]
    Merge,
    /// Runs before a patch that was applied is committed.
    #[value(name = "pre-applypatch")]
    Patch,
    /// Runs before commits are sent.
    #[value(name = "pre-push")]
    Push,
}
