//! `bead import` and `bead export`: JSONL in and out, as streams of any length.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use axum::body::Body;
use beadmesh_node::api::model::{ImportBody, LineNote, ProjectQuery};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio_util::io::{InspectReader, ReaderStream};

use super::super::Context;
use super::super::target::{Target, unwritable};
use crate::client;
use crate::failure::{Exit, Failure};
use crate::output::Printer;
use crate::output::paint::Paint;
use crate::output::progress::Progress;
use crate::output::text;

/// Lines of each sort that people are shown.
const NOTES_SHOWN: usize = 20;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Takes beads from a file or from standard input.
pub(super) async fn import(context: &mut Context, file: &Path) -> Result<(), Failure> {
    let project = context.project()?.for_writing()?;
    let (source, total) = open(file)?;
    let mut client = context.founding_client().await?;
    let progress = Progress::bytes(&context.printer, "Importing", total);
    let counted = progress.clone();
    let reader = InspectReader::new(tokio::fs::File::from_std(source), move |bytes| counted.add(bytes.len()));
    let body = Body::from_stream(ReaderStream::with_capacity(reader, CHUNK_BYTES));
    let query = ProjectQuery { project: project.keys, prefix: project.prefix };
    let answer =
        client.upload::<ImportBody>(&format!("/v1/import{}", query.to_query()), "application/x-ndjson", body).await;
    progress.clear();
    let body = answer?;
    report(&mut context.printer, &body)?;
    match body.rejected.len() {
        0 => Ok(()),
        rejected => {
            let lines = if rejected == 1 { "1 line was".to_owned() } else { format!("{rejected} lines were") };
            let failure = Failure::new(Exit::Failed, "rejected", format!("{lines} rejected; the others are stored"));
            Err(failure.hint("mend those lines and import again: what is stored stays unchanged"))
        }
    }
}

/// Opens what is to be imported, and returns its length where that is known.
fn open(file: &Path) -> Result<(File, Option<u64>), Failure> {
    let opened = if file.as_os_str() == "-" {
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(file)
    };
    let opened = opened.and_then(|opened| Ok((opened.metadata()?, opened)));
    let cannot = |error| Failure::io(format!("{} cannot be read", file.display()), &error);
    let (found, opened) = opened.map_err(cannot)?;
    if found.is_dir() {
        let failure = Failure::usage(format!("{} is a directory", file.display()));
        return Err(failure.hint("name the JSONL file in it, such as .beads/issues.jsonl"));
    }
    Ok((opened, found.is_file().then_some(found.len())))
}

/// Prints what became of an import.
fn report(printer: &mut Printer, body: &ImportBody) -> Result<(), Failure> {
    if printer.json {
        return printer.answer(body);
    }
    let ImportBody { created, updated, unchanged, .. } = body;
    printer.line(format!("{created} created, {updated} updated, {unchanged} unchanged."))?;
    notes(printer, "Another task has that id; nothing was changed", Paint::Slow, &body.conflicting)?;
    notes(printer, "Older than what is known here, so kept as it is here", Paint::Faint, &body.older)?;
    notes(printer, "Not taken", Paint::Bad, &body.rejected)
}

fn notes(printer: &mut Printer, heading: &str, paint: Paint, notes: &[LineNote]) -> Result<(), Failure> {
    if notes.is_empty() {
        return Ok(());
    }
    printer.line(paint.on(&format!("{heading}:")))?;
    for note in notes.iter().take(NOTES_SHOWN) {
        printer.line(format!("  line {}: {}", note.line, text::clean_line(&note.reason)))?;
    }
    match notes.len().saturating_sub(NOTES_SHOWN) {
        0 => Ok(()),
        more => printer.line(format!("  and {more} more; --json lists all")),
    }
}

/// What an export to a file says.
#[derive(Debug, Serialize)]
struct ExportBody {
    /// The file.
    file: PathBuf,
    /// Beads in it.
    beads: u64,
}

/// Writes beads to a file or to standard output.
pub(super) async fn export(context: &mut Context, output: Option<&Path>) -> Result<(), Failure> {
    let query = ProjectQuery { project: context.project()?.for_reading(), prefix: None };
    let mut client = context.client().await?;
    let mut stream = client.download(&format!("/v1/export{}", query.to_query())).await?;
    let Some(path) = output.filter(|path| path.as_os_str() != "-") else {
        return each_chunk(&mut stream, |bytes| context.printer.bytes(bytes)).await;
    };
    let progress = Progress::bytes(&context.printer, "Exporting", None);
    let mut target = Target::open(path).map_err(|error| unwritable(path, &error))?;
    let mut beads: u64 = 0;
    let written = each_chunk(&mut stream, |bytes| {
        progress.add(bytes.len());
        beads += bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        target.file.write_all(bytes).map_err(|error| unwritable(path, &error))
    });
    let written = tokio::select! {
        written = written => written,
        _ = tokio::signal::ctrl_c() => {
            Err(Failure::new(Exit::Failed, "interrupted", format!("interrupted; {} is as it was", path.display())))
        }
    };
    progress.clear();
    written?;
    target.keep().map_err(|error| unwritable(path, &error))?;
    let printer = &mut context.printer;
    if printer.json {
        return printer.answer(&ExportBody { file: path.to_owned(), beads });
    }
    let count = if beads == 1 { "1 bead".to_owned() } else { format!("{beads} beads") };
    printer.note(format!("Wrote {count} to {}.", path.display()))
}

/// Hands every piece of a stream on.
async fn each_chunk(stream: &mut Body, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    while let Some(frame) = stream.frame().await {
        let frame = frame.map_err(|error| client::cut_short(&error))?;
        if let Some(bytes) = frame.data_ref() {
            take(bytes)?;
        }
    }
    Ok(())
}
