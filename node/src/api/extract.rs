//! How requests are read: every refusal is JSON, says what is wrong, and names the bound or the field.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::error::Problem;
use super::model::{Answer, ListQuery, ProjectQuery};

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
        // `to_bytes` reads no further than the bound; what else can fail is the connection itself.
        let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
        let bytes = body.await.map_err(|_| Problem::too_large(BODY_BYTES_MAX))?;
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(bytes).map(Self).map_err(|error| refusal(&error))
    }
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

impl<S: Send + Sync> FromRequestParts<S> for ListQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::from_pairs(pairs(parts)?)?)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ProjectQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Ok(Self::from_pairs(pairs(parts)?)?)
    }
}

fn pairs(parts: &Parts) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Result<Query<Vec<(String, String)>>, QueryRejection> = Query::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|error| {
        let hint = "write keys and values percent-encoded";
        Problem::new(StatusCode::BAD_REQUEST, "usage", error.body_text(), hint)
    })?;
    Ok(pairs)
}
