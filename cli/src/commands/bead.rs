//! `beadmesh bead`: the tasks of the graph.

use beadmesh_node::api::model::{Bead, BeadBody, encode_segment};
use serde::Serialize;

use super::{Context, lease};
use crate::args::BeadCommand;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Printer;
use crate::output::list::Kind;
use crate::output::paint::Paint;
use crate::output::text;

mod create;
mod edit;
mod list;
mod show;
mod transfer;

/// Carries out what is to be done with beads.
pub(super) async fn run(context: &mut Context, command: BeadCommand) -> Result<(), Failure> {
    match command {
        BeadCommand::Create(args) => create::run(context, *args).await,
        BeadCommand::List(args) => list::run(context, args, Kind::All).await,
        BeadCommand::Ready(args) if args.claim => lease::claim_ready(context, args).await,
        BeadCommand::Ready(args) => list::run(context, args.into(), Kind::Ready).await,
        BeadCommand::Blocked(args) => list::run(context, args.into(), Kind::Blocked).await,
        BeadCommand::Claim(args) => lease::claim_bead(context, args).await,
        BeadCommand::Release(args) => lease::release(context, &args.id).await,
        BeadCommand::Show(args) => show::run(context, &args.ids).await,
        BeadCommand::Update(args) => edit::update(context, *args).await,
        BeadCommand::Close(args) => edit::close(context, args).await,
        BeadCommand::Reopen(args) => edit::reopen(context, args).await,
        BeadCommand::Delete(args) => edit::delete(context, args).await,
        BeadCommand::Resolve(args) => edit::resolve(context, args).await,
        BeadCommand::Dep { command } => edit::dep(context, command).await,
        BeadCommand::Label { command } => edit::words(context, command, "labels").await,
        BeadCommand::Scope { command } => edit::words(context, command, "scopes").await,
        BeadCommand::Comment(args) => edit::comment(context, args).await,
        BeadCommand::Import(args) => transfer::import(context, &args.file).await,
        BeadCommand::Export(args) => transfer::export(context, args.output.as_deref()).await,
    }
}

/// Several beads as one answer.
#[derive(Debug, Serialize)]
struct BeadsBody {
    /// The beads, in the order they were named.
    beads: Vec<Bead>,
}

/// Returns the path of a bead, and of what is below it.
fn path(bead: &str, below: &str) -> Result<String, Failure> {
    if bead.is_empty() || matches!(bead, "." | "..") {
        return Err(Failure::usage(format!("{bead:?} names no bead")).field("id"));
    }
    Ok(format!("/v1/beads/{}{below}", encode_segment(bead)))
}

/// Finds every bead that is named, each one time, before anything is done with one.
///
/// # Errors
///
/// Fails at the first name that means no bead, or several.
async fn found(client: &mut Client, ids: &[String]) -> Result<Vec<Bead>, Failure> {
    let mut beads: Vec<Bead> = Vec::new();
    for id in ids {
        let body: BeadBody = client.get(&path(id, "")?).await?;
        if !beads.iter().any(|bead| bead.id == body.bead.id) {
            beads.push(body.bead);
        }
    }
    Ok(beads)
}

/// Prints beads as JSON: as `bead` where one was named, as `beads` where several were.
fn answer(printer: &mut Printer, mut beads: Vec<Bead>, ids: &[String]) -> Result<(), Failure> {
    match (ids, beads.pop()) {
        ([_], Some(bead)) => printer.answer(&BeadBody { bead }),
        (_, last) => {
            beads.extend(last);
            printer.answer(&BeadsBody { beads })
        }
    }
}

/// Prints a bead that was changed: as JSON, or as a sentence; with --quiet nothing.
fn changed(printer: &mut Printer, body: &BeadBody, sentence: impl Fn(&str) -> String) -> Result<(), Failure> {
    if printer.json {
        return printer.answer(body);
    }
    if printer.quiet { Ok(()) } else { printer.line(sentence(&name(&body.bead))) }
}

/// Returns the alias of a bead, ready to be printed.
fn name(bead: &Bead) -> String {
    Paint::Name.on(&text::clean_line(&bead.alias))
}
