//! Routes on the contents of attachments: uploaded before the letter is written, and read by the letter that carries
//! them.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use beadmesh_protocol::id::{BlobHash, NodeId};
use beadmesh_protocol::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX};
use beadmesh_protocol::mail::Attachment;
use beadmesh_store::blobs::{BlobError, Incoming};
use beadmesh_store::command::{Answer, Command};
use futures::{StreamExt, stream};
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{Problem, chain};
use super::extract::{AttachmentRef, Caller, Said};
use super::members::ask_members;
use super::model::{self, AttachmentRequest, BlobBody};
use super::{Api, unexpected};
use crate::attachments::{FetchError, finished, next_piece, written};

/// The media type of what nobody has looked into.
const CONTENT: &str = "application/octet-stream";

/// How long somebody who sends a content may be silent: meanwhile it takes the place of others.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(upload)).routes(routes!(download))
}

/// Takes the content of an attachment, at most 16 MiB; what no letter carries within an hour is removed.
#[utoipa::path(post, path = "/v1/blobs", tag = "mail",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = model::Answer<BlobBody>)))]
async fn upload(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Said<BlobBody>), Problem> {
    // Only who may write letters has a use for it.
    api.call(caller, Command::MailUnread).await?;
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|bytes| bytes > ATTACHMENT_BYTES_MAX) {
        return Err(BlobError::TooLong { bytes_max: ATTACHMENT_BYTES_MAX }.into());
    }
    let mut stream = body.into_data_stream();
    let taken = match api.attachments.upload().await {
        Ok(incoming) => take(incoming, &mut stream, PIECE_PATIENCE).await,
        Err(error) => Err(error.into()),
    };
    match taken {
        Ok((hash, bytes)) => Ok((StatusCode::CREATED, Said(BlobBody { hash: hash.to_string(), bytes }))),
        Err(problem) => {
            drain(&mut stream).await;
            Err(problem)
        }
    }
}

async fn take(
    mut incoming: Incoming,
    stream: &mut BodyDataStream,
    patience: Duration,
) -> Result<(BlobHash, u64), Problem> {
    let hint = "send the whole content again: nothing was kept of it";
    loop {
        let piece = timeout(patience, stream.next()).await.map_err(|_| {
            let message = format!("nothing of the body came for {} s", patience.as_secs());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", message, hint)
        })?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "usage", format!("the body broke off: {error}"), hint)
        })?;
        incoming = written(incoming, piece).await?;
    }
    Ok(finished(incoming).await?)
}

/// Reads what is still being sent, so that whoever sends it comes to hear the answer.
async fn drain(stream: &mut BodyDataStream) {
    let mut left = ATTACHMENT_BYTES_MAX;
    while let Ok(Some(Ok(piece))) = timeout(PIECE_PATIENCE, stream.next()).await {
        left = match left.checked_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX)) {
            Some(left) => left,
            None => return,
        };
    }
}

/// Reads the content of an attachment, fetched from another node where it is not here; a body that breaks off is not
/// whole. Nothing is noted as read.
#[utoipa::path(get, path = "/v1/letters/{id}/attachments/{index}", tag = "mail",
    params(("id" = String, Path, description = "Id of a letter, or the start of it"),
        ("index" = u64, Path, description = "Number of the attachment, from 1")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
async fn download(State(api): State<Api>, caller: Caller, wanted: AttachmentRef) -> Result<Response, Problem> {
    let AttachmentRef { letter, index } = wanted;
    let letter = match api.call(caller, Command::MailShow { letter, peek: true }).await? {
        Answer::Letter(letter) => letter.head,
        other => return Err(unexpected(&other)),
    };
    let Some(attachment) = index.checked_sub(1).and_then(|at| letter.attachments.get(at)) else {
        let message = match letter.attachments.len() {
            0 => format!("the letter {} has no attachments", letter.short),
            count => format!("the letter {} has no attachment {index}, it has {count}", letter.short),
        };
        let hint = "`beadmesh mail show` lists the attachments of a letter";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", message, hint));
    };
    let content = match api.attachments.open(attachment, letter.node).await {
        Ok(content) => content,
        Err(error) => return Err(not_had(&api, attachment, letter.node, error).await),
    };
    let length = content.bytes;
    let pieces = stream::try_unfold(content, |content| async move {
        let (piece, content) = next_piece(content).await?;
        Ok::<_, std::io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), content)))
    });
    let headers = [
        (CONTENT_TYPE, CONTENT.to_owned()),
        (CONTENT_LENGTH, length.to_string()),
        // It may be anything, whatever it looks like.
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Makes sure that what a letter is to carry is durable here; returns what it says of that.
pub(super) async fn claimed(api: &Api, requests: Vec<AttachmentRequest>) -> Result<Vec<Attachment>, Problem> {
    const FIELD: &str = "attachments";
    if requests.len() > ATTACHMENTS_MAX {
        let problem = format!("there are {} of them, at most {ATTACHMENTS_MAX} are allowed", requests.len());
        return Err(Problem::invalid(FIELD, problem, "send several letters"));
    }
    let mut named = Vec::with_capacity(requests.len());
    for AttachmentRequest { hash, name } in requests {
        let parsed: Result<BlobHash, _> = hash.parse();
        let hint = "write the hash that uploading the content answered";
        named.push((parsed.map_err(|error| Problem::invalid(FIELD, error, hint))?, name));
    }
    api.attachments.claim(named).await.map_err(|(hash, error)| match error {
        BlobError::Missing { .. } | BlobError::Damaged { .. } => {
            let hint = "send it to /v1/blobs, then write the letter within an hour";
            Problem::invalid(FIELD, format!("the content {} was not uploaded here", hash.short()), hint)
        }
        other => other.into(),
    })
}

/// Says why a content is not had: whose node has it, and what to do.
async fn not_had(api: &Api, attachment: &Attachment, author: NodeId, error: FetchError) -> Problem {
    let asked = match error {
        FetchError::Here(error) => return error.into(),
        FetchError::NoNetwork => {
            let hint = "start the node with `beadmesh up`, then ask again";
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_node", error.to_string(), hint);
        }
        FetchError::Timeout => {
            let hint = "see to the connection, then try again";
            return Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", error.to_string(), hint);
        }
        FetchError::Nowhere(asked) => asked,
    };
    let mut name = author.short();
    let mut is_here = false;
    if let Ok(members) = ask_members(api).await
        && let Some(member) = members.into_iter().find(|member| member.node == author)
    {
        (name, is_here) = (member.name, member.here);
    }
    let what = format!("the content of {:?} is not here", attachment.name);
    let others = match asked.members {
        0 => "no other node is linked".to_owned(),
        1 => "the one node in reach does not give it".to_owned(),
        count => format!("none of the {count} nodes in reach gives it"),
    };
    let troubles = if asked.troubles.is_empty() { String::new() } else { format!(" ({})", asked.troubles.join("; ")) };
    if is_here {
        let message = format!("{what} any more, though the letter was written on this node, and {others}{troubles}");
        let hint = "bring a node into reach on which it was read, or put the folder `blobs` of the home back";
        return Problem::new(StatusCode::NOT_FOUND, "not_found", message, hint);
    }
    if !asked.is_author_linked {
        let message = format!("{what}: it is on node {name}, which is not linked, and {others}{troubles}");
        let hint = format!("start node {name} or bring it into reach, then try again; `beadmesh peers` shows who is");
        return Problem::new(StatusCode::GATEWAY_TIMEOUT, "unreachable", message, hint);
    }
    if asked.troubles.is_empty() {
        let message = format!("{what}, and node {name}, on which the letter was written, has lost it; {others}");
        let hint = "ask its sender to send it again, or bring a node into reach on which it was read";
        return Problem::new(StatusCode::NOT_FOUND, "not_found", message, hint);
    }
    let message = format!("{what}, and {others}{troubles}");
    let hint = format!("try again; the letter was written on node {name}, whose log may say more");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "unreachable", message, hint)
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        let status = match &error {
            BlobError::Missing { .. } | BlobError::Damaged { .. } => StatusCode::NOT_FOUND,
            BlobError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BlobError::TooShort { .. } | BlobError::Other { .. } => StatusCode::GATEWAY_TIMEOUT,
            BlobError::Crowded { .. } | BlobError::NoRoom { .. } => StatusCode::CONFLICT,
            BlobError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            BlobError::ReadOnly { .. } | BlobError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), chain(&error), error.hint())
    }
}

#[cfg(test)]
mod tests {
    use beadmesh_store::blobs::{Blobs, Config};

    use super::*;

    #[tokio::test]
    async fn a_body_that_falls_silent_is_given_up_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let blobs = Blobs::at(temp.path(), Config::default());
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"first"))]);
        let mut stream = Body::from_stream(first.chain(stream::pending())).into_data_stream();
        let problem = take(blobs.upload().unwrap(), &mut stream, Duration::from_millis(10)).await.unwrap_err();
        assert_eq!((problem.status, problem.info.code.as_str()), (StatusCode::REQUEST_TIMEOUT, "timeout"));
        assert_eq!(std::fs::read_dir(temp.path().join("uploaded")).unwrap().count(), 0);
    }
}
