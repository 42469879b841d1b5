//! Backups: every entry as a stream of bytes while the node goes on, and such a stream taken back.
//!
//! Neither side holds all of it. What a stream that breaks off brought is kept: each entry proves itself.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use beadmesh_protocol::entry::{Entry, Sealed, Set};
use beadmesh_protocol::id::{EntryId, MeshId};
use beadmesh_store::backup::{BackupError, Header, Piece, Reader, Writer};
use beadmesh_store::command::{Answer, Command, TakenBack};
use futures::{StreamExt, stream};
use tokio::task::spawn_blocking;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{Problem, chain};
use super::extract::{Json, Said};
use super::model::{self, BackupRequest, RestoreBody};
use super::{Api, unexpected};
use crate::core::Core;

/// Entries that are asked for, or handed in, at one time.
const BATCH_ENTRIES: usize = 128;

/// Bytes of entries after which a batch is full even with fewer.
const BATCH_BYTES: usize = 256 * 1024;

/// Bytes of control entries that are handed in together: some thousands in each of a thousand nodes' lives.
const CONTROL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The media type of a backup.
const BACKUP_TYPE: &str = "application/octet-stream";

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(backup)).routes(routes!(restore))
}

/// Writes every entry as a backup, with the node's keys if asked for; a body that breaks off is not whole.
#[utoipa::path(post, path = "/v1/backup", tag = "node", request_body = BackupRequest,
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
async fn backup(State(api): State<Api>, Json(request): Json<BackupRequest>) -> Result<Response, Problem> {
    let index = match api.core.call(Command::BackupIndex).await? {
        Answer::BackupIndex(index) => index,
        other => return Err(unexpected(&other)),
    };
    let entries = u64::try_from(index.ids.len()).unwrap_or(u64::MAX);
    let header = Header { mesh: index.mesh, node: index.node, wall: index.wall, entries, has_key: request.with_key };
    let (mut writer, mut first) = Writer::begin(&header);
    if request.with_key {
        let (key, recovery) = (api.home.key()?, api.home.recovery()?);
        let recovery = recovery.as_ref().map(|text| text.reveal().as_bytes());
        first.extend_from_slice(&writer.keys(&key.to_bytes(), recovery));
    }
    let rest = Rest { core: api.core, ids: index.ids, done: 0, writer: Some(writer) };
    let pages = stream::try_unfold(rest, |mut rest| async move {
        let page = rest.next_page().await.map_err(|problem| std::io::Error::other(problem.info.message))?;
        Ok::<_, std::io::Error>(page.map(|page| (page, rest)))
    });
    let first = stream::once(std::future::ready(Ok::<_, std::io::Error>(Bytes::from(first))));
    Ok(([(CONTENT_TYPE, BACKUP_TYPE)], Body::from_stream(first.chain(pages))).into_response())
}

/// What is left of a backup that is being written.
struct Rest {
    core: Core,
    ids: Vec<EntryId>,
    done: usize,
    /// Taken when the last bytes were written.
    writer: Option<Writer>,
}

impl Rest {
    async fn next_page(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(writer) = &mut self.writer else { return Ok(None) };
        let left = &self.ids[self.done..];
        if left.is_empty() {
            return Ok(self.writer.take().map(|writer| Bytes::from(writer.end())));
        }
        let ids = left[..left.len().min(BATCH_ENTRIES)].to_vec();
        match self.core.call(Command::BackupEntries(ids)).await? {
            Answer::Sealed(entries) => {
                self.done += entries.len();
                Ok(Some(Bytes::from(writer.entries(&entries))))
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// Takes the entries of a backup of this mesh, as if a peer had brought them.
#[utoipa::path(post, path = "/v1/restore", tag = "node",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = model::Answer<RestoreBody>)))]
async fn restore(State(api): State<Api>, body: Body) -> Result<Said<RestoreBody>, Problem> {
    let mut run = Run { mesh: api.core.mesh(), api, batch: Vec::new(), bytes: 0, body: RestoreBody::default() };
    let mut reader = Reader::default();
    let mut stream = body.into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        reader.push(&chunk);
        while let Some(piece) = reader.read()? {
            run.take(piece).await?;
        }
    }
    reader.finish()?;
    Ok(Said(run.body))
}

/// A backup that is being taken back.
struct Run {
    api: Api,
    mesh: MeshId,
    batch: Vec<Sealed>,
    bytes: usize,
    body: RestoreBody,
}

impl Run {
    async fn take(&mut self, piece: Piece) -> Result<(), Problem> {
        match piece {
            Piece::Header(header) if header.mesh != self.mesh => Err(other_mesh(&header, self.mesh)),
            // This node has a key of its own.
            Piece::Header(_) | Piece::Key(_) | Piece::Recovery(_) => Ok(()),
            Piece::End => self.hand_in().await,
            Piece::Entry(sealed) => {
                self.bytes += sealed.bytes.len();
                self.batch.push(sealed);
                let is_full = self.batch.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES;
                if is_full && self.is_past_control() { self.hand_in().await } else { Ok(()) }
            }
        }
    }

    /// Returns whether the control entries, which have to be handed in together, are all there.
    fn is_past_control(&self) -> bool {
        let last = self.batch.last().and_then(|last| Entry::open_trusted(self.mesh, last.clone()).ok());
        last.is_none_or(|last| last.set() == Set::Data) || self.bytes >= CONTROL_BYTES_MAX
    }

    async fn hand_in(&mut self) -> Result<(), Problem> {
        self.bytes = 0;
        let (mesh, sealed) = (self.mesh, std::mem::take(&mut self.batch));
        let count = sealed.len();
        let opened = spawn_blocking(move || {
            sealed.into_iter().filter_map(|sealed| Entry::open(mesh, sealed).ok()).collect::<Vec<Entry>>()
        });
        let entries = opened.await.map_err(|_| Problem::internal("opening entries panicked"))?;
        self.body.unsound += u64::try_from(count - entries.len()).unwrap_or(u64::MAX);
        if entries.is_empty() {
            return Ok(());
        }
        match self.api.core.call(Command::TakeBack(mesh, entries)).await? {
            Answer::TakenBack(TakenBack { new, known, unknown }) => {
                self.body.new += new;
                self.body.known += known;
                self.body.unknown += unknown;
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }
}

fn other_mesh(header: &Header, mesh: MeshId) -> Problem {
    let (theirs, ours) = (header.mesh.short(), mesh.short());
    let message = format!("the backup is of mesh {theirs}, and this node is in mesh {ours}");
    let hint = "hand it in at a node of its own mesh; one with a key brings its node back into an empty home";
    Problem::new(StatusCode::FORBIDDEN, "refused", message, hint)
}

fn broken_off(error: &axum::Error) -> Problem {
    let message = format!("the body broke off: {error}");
    let hint = "send the whole backup again: what was taken already is not taken twice";
    Problem::new(StatusCode::BAD_REQUEST, "usage", message, hint)
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, crate::restore::code(&error), chain(&error), crate::restore::hint(&error))
    }
}
