//! `beadmesh restore`: a node back from its backup, or the entries of a backup into a node of the same mesh.

use std::path::Path;

use axum::body::Body;
use beadmesh_node::api::model::RestoreBody;
use beadmesh_node::config::Flags;
use beadmesh_node::restore::{self, Header, RestoreError, Restored};
use serde::Serialize;
use tokio_util::io::{InspectReader, ReaderStream};

use super::Context;
use crate::args::RestoreArgs;
use crate::client;
use crate::failure::Failure;
use crate::output::progress::Progress;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What bringing a node back says.
#[derive(Debug, Serialize)]
struct RestoredBody {
    /// The mesh.
    mesh: String,
    /// The node.
    node: String,
    /// Entries in the backup.
    entries: u64,
    /// When the backup was made, by the clock of its node.
    made_at: String,
}

/// Restores from a backup.
pub(super) async fn run(context: &mut Context, args: RestoreArgs) -> Result<(), Failure> {
    let total = std::fs::metadata(&args.file).ok().map(|found| found.len());
    if args.into { into(context, &args.file, total).await } else { back(context, &args.file, total).await }
}

/// Brings a node back into an empty home.
async fn back(context: &mut Context, file: &Path, total: Option<u64>) -> Result<(), Failure> {
    let home = context.home()?;
    let names = client::config(&home, &Flags::default())?.names;
    // The backup is read twice: to see that it is whole, and to take it.
    let progress = Progress::bytes(&context.printer, "Restoring", total.map(|bytes| bytes * 2));
    let restored = restore::restore(&home, file, names, &mut |bytes| progress.add(bytes)).await;
    progress.clear();
    let Restored { header, unknown } = restored.map_err(|error| failure(&error))?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body(&header));
    }
    printer.line(format!(
        "Node {} is back, with {} as of {}.",
        header.node.short(),
        entries(header.entries),
        header.wall
    ))?;
    if unknown > 0 {
        printer.line(format!("{} of authors whom the mesh does not know were left out.", entries(unknown)))?;
    }
    printer.note(
        "Start it with `beadmesh up`: peers bring what was written since. Tickets given out before are void. Never \
         start the node that the backup is from again: two nodes would have one key.",
    )
}

/// Hands the entries of a backup to the node of this home.
async fn into(context: &mut Context, file: &Path, total: Option<u64>) -> Result<(), Failure> {
    let progress = Progress::bytes(&context.printer, "Reading", total);
    let header = restore::inspect(file, &mut |bytes| progress.add(bytes));
    progress.clear();
    header.map_err(|error| failure(&error))?;
    let mut client = context.client().await?;
    let opened = tokio::fs::File::open(file).await;
    let opened = opened.map_err(|error| Failure::io(format!("{} cannot be read", file.display()), &error))?;
    let progress = Progress::bytes(&context.printer, "Restoring", total);
    let counted = progress.clone();
    let reader = InspectReader::new(opened, move |bytes| counted.add(bytes.len()));
    let body = Body::from_stream(ReaderStream::with_capacity(reader, CHUNK_BYTES));
    let answer = client.upload::<RestoreBody>("/v1/restore", "application/octet-stream", body).await;
    progress.clear();
    let body = answer?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&body);
    }
    let RestoreBody { new, known, unknown, unsound } = body;
    printer.line(format!("{new} new, {known} known already."))?;
    if unknown > 0 {
        printer.line(format!("{} of authors whom this mesh does not know were left out.", entries(unknown)))?;
    }
    if unsound > 0 {
        printer.line(format!("{} that their authors did not sign so were left out.", entries(unsound)))?;
    }
    Ok(())
}

fn body(header: &Header) -> RestoredBody {
    RestoredBody {
        mesh: header.mesh.to_string(),
        node: header.node.to_string(),
        entries: header.entries,
        made_at: header.wall.to_string(),
    }
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn failure(error: &RestoreError) -> Failure {
    client::failure(error.code(), error, error.hint())
}
