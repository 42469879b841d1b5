//! Arguments of the command that shows a mesh at work.

use clap::Args;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the three homes where they are, and say where, instead of removing them in the end.
    #[arg(long)]
    pub(crate) keep: bool,
}
