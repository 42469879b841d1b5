//! `beadmesh containers`: the containers of all machines that tell of theirs, and whether those that should run do.

mod wish;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use beadmesh_node::api::model::{Container, ContainersBody, MachinesQuery};
use serde::Serialize;

use super::Context;
use crate::args::{ContainersArgs, ContainersCommand};
use crate::failure::{Exit, Failure};
use crate::output::{container, text};

use wish::Wish;

pub(crate) use wish::standing;

/// Bytes of a file of expectations that are read at most.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// What is expected, and what is found.
#[derive(Debug, Serialize)]
pub(crate) struct Expected {
    /// How many containers are expected.
    expected: usize,
    /// How many of them are as they should be.
    met: usize,
    /// Each of them.
    containers: Vec<Met>,
    /// Containers that run and that nobody expects, as `NAME@NODE`.
    unexpected: Vec<String>,
}

/// One container that is expected.
#[derive(Debug, Serialize)]
pub(crate) struct Met {
    /// What it is called, and its node where that is said.
    pub(crate) container: String,
    /// What it is to be.
    pub(crate) wanted: String,
    /// What it is.
    pub(crate) found: String,
    /// Whether that is what it is to be.
    pub(crate) met: bool,
}

/// Shows containers, or compares them with what a file says.
pub(super) async fn run(context: &mut Context, args: ContainersArgs) -> Result<(), Failure> {
    // What a file says is read first, so that a mistake in it is told without a node.
    let wishes = match &args.command {
        Some(ContainersCommand::Expect { file }) => Some(read(file)?),
        None => None,
    };
    let mut client = context.node().await?;
    let query = MachinesQuery { node: args.node };
    let body: ContainersBody = client.get(&format!("/v1/containers{}", query.to_query())).await?;
    match wishes {
        Some(wishes) => expect(context, &wishes, &body),
        None => show(context, &body),
    }
}

fn show(context: &mut Context, body: &ContainersBody) -> Result<(), Failure> {
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(body);
    }
    for line in container::list(&body.containers, printer.columns) {
        printer.line(line)?;
    }
    for line in container::remarks(body, printer.text_columns()) {
        printer.line(line)?;
    }
    Ok(())
}

/// Says how many containers are as they should be, and which are not; ends with 1 if any is not.
fn expect(context: &mut Context, wishes: &[Wish], body: &ContainersBody) -> Result<(), Failure> {
    let told = compare(wishes, &body.containers);
    let printer = &mut context.printer;
    if printer.json {
        printer.answer(&told)?;
    } else {
        let amiss: Vec<&Met> = told.containers.iter().filter(|met| !met.met).collect();
        for line in container::amiss(&amiss, printer.columns) {
            printer.line(line)?;
        }
        printer.line(format!("{}/{} as expected.", told.met, told.expected))?;
        if !told.unexpected.is_empty() {
            printer.line(format!("Runs as well: {}.", text::clean_line(&told.unexpected.join(", "))))?;
        }
    }
    if told.met == told.expected {
        return Ok(());
    }
    let missing = told.expected - told.met;
    let message = format!("{missing} of {} containers are not as expected", told.expected);
    Err(Failure::new(Exit::Failed, "unexpected", message).hint("`beadmesh containers` shows how each stands"))
}

fn compare(wishes: &[Wish], containers: &[Container]) -> Expected {
    let met: Vec<Met> = wishes.iter().map(|wish| wish.judge(containers)).collect();
    let is_surprise = |container: &&Container| {
        container.status == "running" && !container.stale && !wishes.iter().any(|wish| wish.is_of(container))
    };
    let unexpected = containers.iter().filter(is_surprise);
    Expected {
        expected: met.len(),
        met: met.iter().filter(|met| met.met).count(),
        containers: met,
        unexpected: unexpected.map(|container| format!("{}@{}", container.name, container.node)).collect(),
    }
}

fn read(file: &Path) -> Result<Vec<Wish>, Failure> {
    let failed = |error: std::io::Error| Failure::io(format!("{} can not be read", file.display()), &error);
    let mut text = String::new();
    let opened = File::open(file).and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    if opened.map_err(failed)? as u64 > FILE_BYTES_MAX {
        let message = format!("{} has more than {FILE_BYTES_MAX} bytes", file.display());
        return Err(Failure::usage(message).hint("name fewer containers in one file"));
    }
    wish::parse(&text).map_err(|wrong| {
        let message = format!("{}:{}: {}", file.display(), wrong.line, wrong.problem);
        Failure::usage(message)
            .hint("each line is NAME or NAME@NODE, and then running, healthy or done; # begins a remark")
    })
}

#[cfg(test)]
mod tests;
