//! `beadmesh completions`: scripts that make a shell complete our words.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::args::Cli;
use crate::failure::Failure;

/// Prints the script for a shell.
pub(super) fn run(context: &mut Context, shell: Shell) -> Result<(), Failure> {
    if context.printer.json {
        let failure = Failure::usage("a completion script is no JSON");
        return Err(failure.hint("leave --json out, and hand what is printed to the shell"));
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "beadmesh", &mut script);
    context.printer.bytes(&script)
}
