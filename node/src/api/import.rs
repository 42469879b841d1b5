//! The import: JSONL of any size, read line by line, prepared beside the replica and handed to it in batches.
//!
//! A line that is no record is noted and the rest goes on. At most two batches are prepared ahead, so memory is bounded
//! whatever is sent.

use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::bead::import::import_change;
use beadmesh_protocol::id::ProjectId;
use beadmesh_protocol::jsonl::Record;
use beadmesh_protocol::limits::IMPORT_LINE_BYTES_MAX;
use beadmesh_store::command::{Answer, Command, ImportReport, LineNote, Prepared, ProjectContext};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{Problem, chain};
use super::extract::Said;
use super::model::{self, ImportBody, ProjectQuery};
use super::{Api, unexpected};

mod lines;
mod notes;

use lines::{Line, Lines};
use notes::Notes;

/// Records of one batch.
const BATCH_RECORDS: usize = 128;

/// Bytes of lines after which a batch is full even with fewer records.
const BATCH_BYTES: usize = 1024 * 1024;

/// Batches that are prepared at one time: as many as there are cores on a small machine.
const PREPARING_MAX: usize = 2;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(import))
}

/// Takes JSONL in; what became of lines that were not simply taken is told by their numbers.
#[utoipa::path(post, path = "/v1/import", tag = "beads", params(ProjectQuery),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = model::Answer<ImportBody>)))]
async fn import(State(api): State<Api>, query: ProjectQuery, body: Body) -> Result<Said<ImportBody>, Problem> {
    let context = ProjectContext { keys: query.project, prefix: query.prefix };
    let project = match api.core.call(Command::Project(context)).await? {
        Answer::Project(project) => project.id,
        other => return Err(unexpected(&other)),
    };
    let mut run = Run { api, project, preparing: FuturesOrdered::new(), notes: Notes::default() };
    run.read(body.into_data_stream()).await?;
    Ok(Said(run.notes.into_body()))
}

/// One import under way.
struct Run {
    api: Api,
    project: ProjectId,
    preparing: FuturesOrdered<JoinHandle<Batch>>,
    notes: Notes,
}

/// Lines that were prepared.
struct Batch {
    records: Vec<Prepared>,
    rejected: Vec<LineNote>,
}

impl Run {
    async fn read(&mut self, mut body: BodyDataStream) -> Result<(), Problem> {
        let mut lines = Lines::default();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| broken_off(&error))?;
            lines.push(&chunk);
            while let Some(line) = lines.next() {
                bytes += line.bytes_len();
                batch.push(line);
                if batch.len() == BATCH_RECORDS || bytes >= BATCH_BYTES {
                    self.prepare(std::mem::take(&mut batch)).await?;
                    bytes = 0;
                }
            }
        }
        batch.extend(lines.finish());
        self.prepare(batch).await?;
        while let Some(prepared) = self.preparing.next().await {
            self.take(prepared).await?;
        }
        Ok(())
    }

    /// Begins to prepare a batch, once one of those before it is through.
    async fn prepare(&mut self, lines: Vec<Line>) -> Result<(), Problem> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.preparing.len() == PREPARING_MAX
            && let Some(prepared) = self.preparing.next().await
        {
            self.take(prepared).await?;
        }
        let project = self.project;
        self.preparing.push_back(spawn_blocking(move || prepare(lines, project)));
        Ok(())
    }

    async fn take(&mut self, prepared: Result<Batch, JoinError>) -> Result<(), Problem> {
        let batch = prepared.map_err(|_| Problem::internal("preparing records panicked"))?;
        self.notes.add(ImportReport { rejected: batch.rejected, ..ImportReport::default() });
        if batch.records.is_empty() {
            return Ok(());
        }
        match self.api.core.call(Command::Import(batch.records)).await? {
            Answer::Imported(report) => {
                self.notes.add(report);
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Reads lines as records and makes their changes: the dear part of an import.
fn prepare(lines: Vec<Line>, project: ProjectId) -> Batch {
    let mut batch = Batch { records: Vec::with_capacity(lines.len()), rejected: Vec::new() };
    for line in lines {
        let number = line.number;
        match record(line, project) {
            Ok(prepared) => batch.records.push(prepared),
            Err(reason) => batch.rejected.push(LineNote { line: number, reason }),
        }
    }
    batch
}

fn record(line: Line, project: ProjectId) -> Result<Prepared, String> {
    let Some(bytes) = line.bytes else {
        return Err(format!("line has more than {IMPORT_LINE_BYTES_MAX} bytes, at most that many are allowed"));
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    let Record { bead, has_updated_at, has_created_at } =
        Record::parse(text, Some(project)).map_err(|error| chain(&error))?;
    let changes = import_change(&bead).map_err(|error| chain(&error))?;
    Ok(Prepared { line: line.number, bead, changes, has_updated_at, has_created_at })
}

fn broken_off(error: &axum::Error) -> Problem {
    let message = format!("the body broke off: {error}");
    let hint = "import the whole file again: what was taken already is not taken twice";
    Problem::new(StatusCode::BAD_REQUEST, "usage", message, hint)
}
