//! `beadmesh completions`: scripts that make a shell complete our words.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::args::Cli;
use crate::failure::Failure;

/// Prints the script for a shell.
pub(super) fn run(context: &mut Context, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "beadmesh", &mut script);
    context.printer.bytes(&script)
}
