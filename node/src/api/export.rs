//! The export: beads as JSONL, a page at a time, so that neither side holds all of it.

use std::collections::VecDeque;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use beadmesh_protocol::id::BeadId;
use beadmesh_store::command::{Answer, Command, CommandError, ProjectContext};
use futures::stream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::model::ProjectQuery;
use super::{Api, unexpected};
use crate::core::Core;

/// Beads that are written at one time.
const PAGE_BEADS: usize = 256;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Writes beads as JSONL, one a line; a body that breaks off is not whole.
#[utoipa::path(get, path = "/v1/export", tag = "beads", params(ProjectQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = String)))]
async fn export(State(api): State<Api>, query: ProjectQuery) -> Result<Response, Problem> {
    let project = (!query.project.is_empty()).then_some(ProjectContext { keys: query.project, prefix: query.prefix });
    let ids = match api.core.call(Command::ExportIndex(project)).await? {
        Answer::ExportIndex(ids) => VecDeque::from(ids),
        other => return Err(unexpected(&other)),
    };
    let pages = stream::try_unfold((api.core, ids), |(core, mut ids)| async move {
        let page = next_page(&core, &mut ids).await?;
        Ok::<_, CommandError>(page.map(|page| (page, (core, ids))))
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(pages)).into_response())
}

async fn next_page(core: &Core, ids: &mut VecDeque<BeadId>) -> Result<Option<Bytes>, CommandError> {
    while !ids.is_empty() {
        let page = ids.drain(..ids.len().min(PAGE_BEADS)).collect();
        let Answer::Lines(lines) = core.call(Command::ExportLines(page)).await? else {
            return Err(CommandError::Store("the replica answered no lines".to_owned()));
        };
        let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        // A page of beads that are gone by now is no reason to end.
        if !text.is_empty() {
            return Ok(Some(Bytes::from(text)));
        }
    }
    Ok(None)
}
