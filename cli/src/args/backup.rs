//! Arguments of the commands about backups.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write, or - for standard output.
    pub(crate) file: PathBuf,
    /// Also write the secret key of this node: only then can the node itself be brought back.
    #[arg(long)]
    pub(crate) with_key: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A file that `beadmesh backup` wrote.
    pub(crate) file: PathBuf,
    /// Hand the entries to the node of this home, which is in the same mesh.
    #[arg(long)]
    pub(crate) into: bool,
}
