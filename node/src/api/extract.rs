//! How requests are read: every refusal is JSON, says what is wrong, and names the bound or the field.

use std::error::Error as _;
use std::io;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::response::Response;
use beadmesh_protocol::agent::{self, Token};
use beadmesh_store::command::Credential;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::error::Problem;
use super::model::{
    AGENT_HEADER, AgentsQuery, Answer, ClaimsQuery, InboxQuery, LettersQuery, ListQuery, MachinesQuery, PickQuery,
    ProjectQuery, QueryError, ShowQuery, ThreadQuery,
};

/// Bytes of a JSON request: a bead with every text at its limit fits.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A successful answer: the body with its schema, as JSON.
#[derive(Debug)]
pub(super) struct Said<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Said<T> {
    fn into_response(self) -> Response {
        axum::Json(Answer::new(self.0)).into_response()
    }
}

/// A JSON body; an empty one is an empty object.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        // `to_bytes` reads no further than the bound; what else can fail is the connection itself, or it stalls.
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
        let bytes = body.await.map_err(|error| match is_late(&error) {
            true => Problem::late_body(),
            false => Problem::too_large(BODY_BYTES_MAX),
        })?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|error| refusal(&error))
    }
}

/// Returns whether a body failed because the rest of it did not come.
fn is_late(error: &axum::Error) -> bool {
    let mut next = error.source();
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Says what is wrong with a JSON body; a key that is unknown or missing is named.
fn refusal(error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    if error.classify() != Category::Data {
        let hint = "send one JSON object";
        return Problem::new(StatusCode::BAD_REQUEST, "bad_json", format!("the body is not JSON: {message}"), hint);
    }
    // serde puts the key in back quotes, and nothing but the text tells of it.
    let keyed = ["unknown field `", "missing field `"].iter().find_map(|start| message.strip_prefix(start));
    let field = keyed.and_then(|rest| rest.split_once('`')).map(|(field, _)| field.to_owned());
    let hint = "/openapi.json lists the keys of each request";
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message, hint);
    match field {
        Some(field) => problem.field(field),
        None => problem,
    }
}

/// The bead that a path names.
#[derive(Debug)]
pub(super) struct BeadRef(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for BeadRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|error| {
            let hint = "write the alias or id percent-encoded, as one segment of the path";
            Problem::new(StatusCode::BAD_REQUEST, "usage", error.body_text(), hint)
        })?;
        Ok(Self(name))
    }
}

/// The agent, claim, letter or thread that a path names.
#[derive(Debug)]
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|error| {
            let hint = "write the name or id percent-encoded, as one segment of the path";
            Problem::new(StatusCode::BAD_REQUEST, "usage", error.body_text(), hint)
        })?;
        Ok(Self(name))
    }
}

/// The node and the metric that a path names.
#[derive(Debug)]
pub(super) struct Measured {
    /// The node.
    pub(super) node: String,
    /// What is measured.
    pub(super) metric: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Measured {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<(String, String)>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path((node, metric)) = path.map_err(|error| {
            let hint = "write the node's name or id, and the metric, percent-encoded";
            Problem::new(StatusCode::BAD_REQUEST, "usage", error.body_text(), hint)
        })?;
        Ok(Self { node, metric })
    }
}

/// The attachment that a path names.
#[derive(Debug)]
pub(super) struct AttachmentRef {
    /// The letter.
    pub(super) letter: String,
    /// Which of its attachments, from 1.
    pub(super) index: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for AttachmentRef {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<Path<(String, usize)>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path((letter, index)) = path.map_err(|error| {
            let hint = "write the letter's id, and the number of the attachment, from 1";
            Problem::new(StatusCode::BAD_REQUEST, "usage", error.body_text(), hint)
        })?;
        Ok(Self { letter, index })
    }
}

/// Who asks: the agent that the headers name with the token that proves it, or nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Caller(pub(super) Option<Credential>);

impl Caller {
    /// Returns what the agent is called; nothing where nobody asks.
    pub(super) fn name(&self) -> String {
        self.0.as_ref().map(|credential| credential.name.clone()).unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let Some(name) = parts.headers.get(AGENT_HEADER) else {
            return match token {
                None => Ok(Self(None)),
                Some(_) => {
                    let hint = "send the agent's name in that header";
                    Err(Problem::invalid(AGENT_HEADER, "a token came without the name of its agent", hint))
                }
            };
        };
        let hint = "send the name that the agent was registered under, or its address name@node";
        let name = std::str::from_utf8(name.as_bytes());
        let name = name.map_err(|_| Problem::invalid(AGENT_HEADER, "the name is not UTF-8 text", hint))?.trim();
        // Of an address, the part behind the @ is the node's name, which may be any text.
        let local = name.split_once('@').map_or(name, |(local, _)| local);
        agent::check_name(local).map_err(|error| Problem::invalid(AGENT_HEADER, error, hint))?;
        Ok(Self(Some(Credential { name: name.to_owned(), token })))
    }
}

/// Reads the token that a request bears. What is wrong with one is told without quoting it.
fn bearer(headers: &HeaderMap) -> Result<Option<Token>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let wrong = |problem: String| {
        let hint = "send `authorization: Bearer` and the token that registering the agent showed";
        Problem::new(StatusCode::UNAUTHORIZED, "refused", problem, hint).field(header::AUTHORIZATION.as_str())
    };
    let text = value.to_str().map_err(|_| wrong("the token is no text of ASCII characters".to_owned()))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong("only tokens of the kind Bearer are understood".to_owned()));
    }
    token.parse().map(Some).map_err(|error: agent::TokenError| wrong(error.to_string()))
}

/// Lets a query be read from a request: pairs that its `from_pairs` takes.
macro_rules! queries {
    ($($query:ty),+) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $query {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
                let read: Result<Self, QueryError> = Self::from_pairs(pairs(parts)?);
                Ok(read?)
            }
        }
    )+};
}

queries!(
    ListQuery,
    ProjectQuery,
    AgentsQuery,
    ClaimsQuery,
    InboxQuery,
    LettersQuery,
    MachinesQuery,
    PickQuery,
    ShowQuery,
    ThreadQuery
);

fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Result<Query<Vec<(String, String)>>, QueryRejection> = Query::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|error| {
        let hint = "write keys and values percent-encoded";
        Problem::new(StatusCode::BAD_REQUEST, "usage", error.body_text(), hint)
    })?;
    Ok(pairs)
}
