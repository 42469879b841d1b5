//! The command line of beadmesh: reads what is wished, asks the node, prints what it says.
//!
//! It has no rules of its own: what is right and wrong is decided by the node.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Cli, Color};
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::output::Printer;

mod args;
mod client;
mod commands;
mod failure;
mod identity;
mod output;
mod project;
mod top;

/// Carries out the command line of this process.
pub fn run() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let exit = match Cli::try_parse_from(&args) {
        Ok(cli) => obey(cli),
        Err(error) => not_understood(&args, &error),
    };
    ExitCode::from(exit as u8)
}

fn obey(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    let mut context = Context::new(global);
    // A node has many things to do at once; whoever only asks has one.
    let mut runtime = match command {
        args::Command::Up(_) | args::Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let outcome = match runtime.enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(commands::run(command, &mut context));
            // A read of standard input may still wait for somebody who types nothing more.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::io("the program cannot start", &error)),
    };
    context.printer.finish(outcome)
}

/// Prints help or the version where that was asked for, and what is wrong with the command line otherwise.
fn not_understood(args: &[OsString], error: &clap::Error) -> Exit {
    let (json, color): (bool, Color) = args::glance(args);
    let mut printer = Printer::for_flags(json, false, color);
    let text = error.render();
    if !error.use_stderr() {
        let printed = printer.bytes(text.ansi().to_string().as_bytes());
        return printer.finish(printed);
    }
    // Without a command, help says more than an error does.
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !json {
        return printer
            .urgent(text.ansi().to_string().trim_end())
            .map_or_else(|failure| failure.exit, |()| Exit::Usage);
    }
    printer.finish(Err(usage_failure(error)))
}

/// Returns what is wrong with the command line, from the lines that the parser writes.
fn usage_failure(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("a command is missing").hint("`beadmesh --help` lists the commands");
    }
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let told = lines.iter().take_while(|line| !["Usage:", "For more", "tip:"].iter().any(|end| line.starts_with(end)));
    let message = told.copied().collect::<Vec<_>>().join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let usage = lines.iter().find(|line| line.starts_with("Usage:"));
    // Names of beads begin with no dash; a title or a word may.
    let is_text = usage.is_some_and(|usage| usage.contains("<TITLE>") || usage.contains("<WORD>"));
    let tip = lines.iter().find_map(|line| line.strip_prefix("tip: "));
    let tip = elsewhere(error).or(tip.filter(|tip| is_text || !tip.starts_with("to pass ")));
    let usage = || usage.map(|line| line.replacen("Usage:", "write", 1));
    let hint = tip.map(str::to_owned).or_else(usage);
    Failure::usage(message).hint(hint.unwrap_or_else(|| "the same with --help says what can be written".to_owned()))
}

/// Returns the command that changes what `bead update` does not, where one of its flags was looked for.
fn elsewhere(error: &clap::Error) -> Option<&'static str> {
    let usage = error.get(ContextKind::Usage)?.to_string();
    let is_update = anstream::adapter::strip_str(&usage).to_string().contains("bead update");
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).filter(|_| is_update) else {
        return None;
    };
    match flag.as_str() {
        "-l" | "--label" | "--labels" | "--add-label" | "--remove-label" => {
            Some("labels are changed by `beadmesh bead label add` and `beadmesh bead label remove`")
        }
        "--scope" | "--scopes" => {
            Some("scopes are changed by `beadmesh bead scope add` and `beadmesh bead scope remove`")
        }
        "--parent" => Some("a parent is set by `beadmesh bead dep add ID --on PARENT --type parent-child`"),
        "--blocks" | "--blocked-by" | "--deps" => {
            Some("what holds a bead up is changed by `beadmesh bead dep add ID --on OTHER`, or `dep remove`")
        }
        "--criterion" | "--criteria" => {
            Some("single criteria are given to `beadmesh bead create` alone; --acceptance can be changed")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{args::Cli, usage_failure};

    fn told(line: &str) -> String {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        let failure = usage_failure(&error);
        format!("{}\n{}", failure.message, failure.hint.unwrap())
    }

    #[test]
    fn what_update_does_not_change_is_changed_elsewhere() {
        insta::assert_snapshot!(told("beadmesh bead update x --label y"), @r"
        unexpected argument '--label' found
        labels are changed by `beadmesh bead label add` and `beadmesh bead label remove`
        ");
        insta::assert_snapshot!(told("beadmesh bead update x --parent=y"), @r"
        unexpected argument '--parent' found
        a parent is set by `beadmesh bead dep add ID --on PARENT --type parent-child`
        ");
        insta::assert_snapshot!(told("beadmesh bead update x --criterion y"), @r"
        unexpected argument '--criterion' found
        single criteria are given to `beadmesh bead create` alone; --acceptance can be changed
        ");
        insta::assert_snapshot!(told("beadmesh bead close x --label y"), @r"
        unexpected argument '--label' found
        write beadmesh bead close <ID>...
        ");
    }

    #[test]
    fn what_is_wrong_with_a_command_line_fits_two_lines() {
        insta::assert_snapshot!(told("beadmesh bead create"), @r"
        the following required arguments were not provided: <TITLE>
        write beadmesh bead create <TITLE>
        ");
        insta::assert_snapshot!(told("beadmesh bead create x -p 9"), @r"
        invalid value '9' for '--priority <PRIORITY>': write P0 (first) to P4, or 0 to 4
        the same with --help says what can be written
        ");
        insta::assert_snapshot!(told("beadmesh bead crate x"), @r"
        unrecognized subcommand 'crate'
        some similar subcommands exist: 'update', 'create'
        ");
        insta::assert_snapshot!(told("beadmesh bead list --jsom"), @r"
        unexpected argument '--jsom' found
        a similar argument exists: '--json'
        ");
        insta::assert_snapshot!(told("beadmesh bead list -p -1"), @r"
        invalid value '-1' for '--priority <PRIORITY>': write P0 (first) to P4, or 0 to 4
        the same with --help says what can be written
        ");
        insta::assert_snapshot!(told("beadmesh bead update x -e -1"), @r"
        invalid value '-1' for '--estimate <MINUTES>': write whole minutes, such as 90
        the same with --help says what can be written
        ");
        insta::assert_snapshot!(told("beadmesh bead list -n -1"), @r"
        invalid value '-1' for '--limit <N>': write a whole number, 0 for all
        the same with --help says what can be written
        ");
        insta::assert_snapshot!(told("beadmesh bead"), @r"
        a command is missing
        `beadmesh --help` lists the commands
        ");
    }
}
