//! `beadmesh backup`: everything a node holds in one file, whole or not at all.

use std::fs::{self, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::body::Body;
use beadmesh_node::api::model::{BackupRequest, MembersBody};
use beadmesh_node::restore::{Header, Piece, Reader};
use http_body_util::BodyExt;
use serde::Serialize;

use super::Context;
use super::target::{Target, unwritable};
use crate::args::BackupArgs;
use crate::client;
use crate::failure::{Exit, Failure};
use crate::output::progress::Progress;

/// What a backup to a file says.
#[derive(Debug, Serialize)]
struct BackupBody {
    /// The file.
    file: PathBuf,
    /// The mesh.
    mesh: String,
    /// The node.
    node: String,
    /// Entries in it.
    entries: u64,
    /// Its length.
    bytes: u64,
    /// Whether the node's secret key is in it.
    with_key: bool,
}

/// Writes a backup.
pub(super) async fn run(context: &mut Context, args: BackupArgs) -> Result<(), Failure> {
    let BackupArgs { file, with_key, force } = args;
    let is_piped = file.as_os_str() == "-";
    if is_piped && io::stdout().is_terminal() {
        return Err(Failure::usage("a backup is no text for a terminal").hint("name a file, or pipe it into a program"));
    }
    if !is_piped && !force && fs::symlink_metadata(&file).is_ok_and(|found| found.is_file() || found.is_symlink()) {
        let failure = Failure::new(Exit::Conflict, "exists", format!("{} is there already", file.display()));
        return Err(failure.hint("name another file, or replace it with --force"));
    }
    let mut client = context.client().await?;
    let members: MembersBody = client.get("/v1/members").await?;
    let stream = client.post_stream("/v1/backup", &BackupRequest { with_key }).await?;
    let progress = Progress::steps(&context.printer, "Backing up", 0);
    let mut copy = Copy { stream, reader: Reader::default(), progress, bytes: 0, entries: 0 };
    let copied = if is_piped {
        copy.run(|bytes| context.printer.raw(bytes)).await
    } else {
        to_file(&mut copy, &file, force).await
    };
    copy.progress.clear();
    let header = copied?;
    let body = BackupBody {
        file,
        mesh: header.mesh.to_string(),
        node: header.node.to_string(),
        entries: header.entries,
        bytes: copy.bytes,
        with_key,
    };
    report(context, &body, is_piped, members.members.len() == 1)
}

/// Writes the backup to a file that only its owner can read.
async fn to_file(copy: &mut Copy, path: &Path, force: bool) -> Result<Header, Failure> {
    let cannot = |error: io::Error| unwritable(path, &error);
    let mut target = Target::open_unless_taken(path, force).map_err(cannot)?;
    if target.is_beside() {
        target.file.set_permissions(Permissions::from_mode(0o600)).map_err(cannot)?;
    }
    let written = copy.run(|bytes| target.file.write_all(bytes).map_err(cannot));
    let header = tokio::select! {
        written = written => written,
        _ = tokio::signal::ctrl_c() => {
            Err(Failure::new(Exit::Failed, "interrupted", format!("interrupted; {} is as it was", path.display())))
        }
    }?;
    target.keep().map_err(cannot)?;
    Ok(header)
}

/// A backup that is being copied, and read on the way: what is kept is whole.
struct Copy {
    stream: Body,
    reader: Reader,
    progress: Progress,
    bytes: u64,
    /// Entries read so far.
    entries: u64,
}

impl Copy {
    async fn run(&mut self, mut write: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<Header, Failure> {
        let damaged = |error: &(dyn std::error::Error + 'static)| {
            let failure = Failure::new(Exit::Failed, "internal", "the backup did not arrive whole").caused_by(error);
            failure.hint("back up again; should it fail again, `beadmesh doctor` may say why")
        };
        while let Some(frame) = self.stream.frame().await {
            let frame = frame.map_err(|error| client::cut_short(&error))?;
            let Some(bytes) = frame.data_ref() else { continue };
            self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.reader.push(bytes);
            while let Some(piece) = self.reader.read().map_err(|error| damaged(&error))? {
                match piece {
                    Piece::Header(header) => self.progress.expect(header.entries),
                    Piece::Entry(_) => self.entries += 1,
                    Piece::Key(_) | Piece::Recovery(_) | Piece::End => {}
                }
            }
            self.progress.reach(self.entries);
            write(bytes)?;
        }
        self.reader.finish().map_err(|error| damaged(&error))?;
        self.reader.header().cloned().ok_or_else(|| damaged(&io::Error::from(io::ErrorKind::UnexpectedEof)))
    }
}

fn report(context: &mut Context, body: &BackupBody, is_piped: bool, is_alone: bool) -> Result<(), Failure> {
    let printer = &mut context.printer;
    if printer.json && !is_piped {
        return printer.answer(body);
    }
    let entries = if body.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", body.entries) };
    let place = if is_piped { "standard output".to_owned() } else { body.file.display().to_string() };
    printer.note(format!("Wrote {entries}, {} bytes, to {place}.", body.bytes))?;
    if body.with_key {
        return printer.note("It holds the secret key of this node: whoever has it can be this node. Keep it safe.");
    }
    if is_alone {
        return printer.note(
            "No other node is in this mesh, and without the key no node can be brought back from this backup: \
             --with-key writes it too.",
        );
    }
    Ok(())
}
