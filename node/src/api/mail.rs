//! Routes on letters. All of them are for agents alone: `beadmesh-agent` names who asks, a bearer token proves it.

use axum::extract::State;
use axum::http::StatusCode;
use beadmesh_protocol::clock::Wall;
use beadmesh_protocol::id::LetterId;
use beadmesh_store::command::{self, Answer, Command, InboxFilter, MailQuery, NewLetter};
use tracing::warn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::Problem;
use super::extract::{Caller, Json, Named, Said};
use super::model::{
    self, Empty, InboxQuery, LetterBody, LetterRequest, LettersBody, LettersQuery, ShowQuery, ThreadBody, ThreadQuery,
};
use super::{Api, attachments, page_size, project_of, unexpected};

/// Letters of a page when a query does not say how many.
const PAGE_LETTERS: usize = 20;

type Told<T> = Result<Said<T>, Problem>;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(send, search))
        .routes(routes!(inbox))
        .routes(routes!(show))
        .routes(routes!(ack))
        .routes(routes!(thread))
}

/// Writes a letter.
#[utoipa::path(post, path = "/v1/letters", tag = "mail", request_body = LetterRequest,
    responses((status = 201, body = model::Answer<LetterBody>)))]
async fn send(
    State(api): State<Api>,
    caller: Caller,
    Json(mut request): Json<LetterRequest>,
) -> Result<(StatusCode, Said<LetterBody>), Problem> {
    let (sender, overridden) = (caller.name(), request.allow_credentials);
    // Durable here before the letter can be.
    let attachments = attachments::claimed(&api, std::mem::take(&mut request.attachments)).await?;
    let new = NewLetter { attachments: attachments.clone(), ..new_letter(request) };
    let body = letter(&api, caller, Command::MailSend(Box::new(new))).await?;
    api.attachments.keep(&attachments).await;
    if overridden {
        let letter = &body.0.letter.id;
        warn!(%letter, sender, "a letter was sent without looking for credentials in it, as its sender asked");
    }
    Ok((StatusCode::CREATED, body))
}

/// Lists letters that came to who asks, the newest first.
#[utoipa::path(get, path = "/v1/inbox", tag = "mail", params(InboxQuery),
    responses((status = 200, body = model::Answer<LettersBody>)))]
async fn inbox(State(api): State<Api>, caller: Caller, query: InboxQuery) -> Told<LettersBody> {
    let since = query.since.map(|text| {
        let hint = "write a day such as 2027-01-31, or an RFC 3339 instant";
        let shown: String = text.chars().take(80).collect();
        Wall::parse_lenient(&text).ok_or_else(|| Problem::invalid("since", format!("{shown:?} is no time"), hint))
    });
    let filter = InboxFilter {
        unread: query.unread,
        urgent: query.urgent,
        since: since.transpose()?,
        after: after(&api, &caller, query.after).await?,
        limit: page_size(query.limit, PAGE_LETTERS),
    };
    letters(&api, caller, Command::MailInbox(filter)).await
}

/// Finds letters that hold every word, the newest first. The first search after a start waits until all letters are read.
#[utoipa::path(get, path = "/v1/letters", tag = "mail", params(LettersQuery),
    responses((status = 200, body = model::Answer<LettersBody>)))]
async fn search(State(api): State<Api>, caller: Caller, query: LettersQuery) -> Told<LettersBody> {
    let query = MailQuery {
        after: after(&api, &caller, query.after).await?,
        query: query.query,
        limit: page_size(query.limit, PAGE_LETTERS),
    };
    letters(&api, caller, Command::MailSearch(query)).await
}

/// Shows a letter, and notes that who asks has read it, unless `peek` is set.
#[utoipa::path(get, path = "/v1/letters/{id}", tag = "mail",
    params(("id" = String, Path, description = "Id of a letter, or the start of it"), ShowQuery),
    responses((status = 200, body = model::Answer<LetterBody>)))]
async fn show(State(api): State<Api>, caller: Caller, Named(letter): Named, query: ShowQuery) -> Told<LetterBody> {
    self::letter(&api, caller, Command::MailShow { letter, peek: query.peek }).await
}

/// Acknowledges a letter.
#[utoipa::path(post, path = "/v1/letters/{id}/ack", tag = "mail", request_body = Empty,
    params(("id" = String, Path, description = "Id of a letter, or the start of it")),
    responses((status = 200, body = model::Answer<LetterBody>)))]
async fn ack(
    State(api): State<Api>,
    caller: Caller,
    Named(letter): Named,
    Json(Empty {}): Json<Empty>,
) -> Told<LetterBody> {
    self::letter(&api, caller, Command::MailAck(letter)).await
}

/// Shows the letters of a thread, each after those it answers; a page ends early after long letters.
#[utoipa::path(get, path = "/v1/threads/{thread}", tag = "mail",
    params(("thread" = String, Path, description = "A thread, or a letter in it"), ThreadQuery),
    responses((status = 200, body = model::Answer<ThreadBody>)))]
async fn thread(State(api): State<Api>, caller: Caller, Named(thread): Named, query: ThreadQuery) -> Told<ThreadBody> {
    let after = after(&api, &caller, query.after).await?;
    let query = command::ThreadQuery { thread, after, limit: query.limit.unwrap_or(0) };
    match api.call(caller, Command::MailThread(query)).await? {
        Answer::Thread(thread) => Ok(Said(thread.into())),
        other => Err(unexpected(&other)),
    }
}

async fn letter(api: &Api, caller: Caller, command: Command) -> Told<LetterBody> {
    match api.call(caller, command).await? {
        Answer::Letter(letter) => Ok(Said(LetterBody { letter: (*letter).into() })),
        other => Err(unexpected(&other)),
    }
}

async fn letters(api: &Api, caller: Caller, command: Command) -> Told<LettersBody> {
    match api.call(caller, command).await? {
        Answer::Letters(page) => Ok(Said(page.into())),
        other => Err(unexpected(&other)),
    }
}

/// Returns the id of the letter that the page before ended with, however it is written.
async fn after(api: &Api, caller: &Caller, name: Option<String>) -> Result<Option<LetterId>, Problem> {
    let Some(name) = name else { return Ok(None) };
    if let Ok(id) = name.parse() {
        return Ok(Some(id));
    }
    let shown = api.call(caller.clone(), Command::MailShow { letter: name, peek: true }).await;
    match shown.map_err(|problem| problem.field("after"))? {
        Answer::Letter(letter) => Ok(Some(letter.head.id)),
        other => Err(unexpected(&other)),
    }
}

fn new_letter(request: LetterRequest) -> NewLetter {
    NewLetter {
        to: request.to,
        cc: request.cc,
        subject: request.subject.unwrap_or_default(),
        body: request.body,
        thread: request.thread,
        in_reply_to: request.in_reply_to,
        reply_all: request.reply_all,
        importance: request.importance,
        ack_required: request.ack_required,
        project: project_of(request.project),
        attachments: Vec::new(),
        allow_credentials: request.allow_credentials,
    }
}
