//! How the API says that something went wrong: a status, and JSON with a stable code, a message and a hint.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use beadmesh_store::command::CommandError;

use super::model::{Answer, ErrorBody, ErrorInfo, QueryError};
use crate::home::HomeError;

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// What is said about it.
    pub info: ErrorInfo,
}

impl Problem {
    /// Says what went wrong under a stable code, and what to do about it.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let info = ErrorInfo { code: code.to_owned(), message: message.into(), hint: hint.into(), field: None };
        Self { status, info }
    }

    /// Names the field that is to blame.
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.info.field = Some(field.into());
        self
    }

    /// A field has a value it can not have.
    pub fn invalid(field: &str, problem: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        let message = format!("{field}: {problem}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message, hint).field(field)
    }

    /// It is not allowed.
    pub fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "refused", message, hint)
    }

    /// What is asked for needs a node with a network, and this is none.
    pub fn no_node() -> Self {
        let hint = "start the node with `beadmesh up`";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_node", "no node is running here", hint)
    }

    /// The body is larger than a request may be.
    pub fn too_large(bound: usize) -> Self {
        let message = format!("the request is larger than {bound} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "send less at once")
    }

    /// The rest of a body did not come.
    pub fn late_body() -> Self {
        let message = "the rest of the request did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", message, "send the whole of it without a long pause")
    }

    /// Something in here is broken.
    pub fn internal(message: impl Into<String>) -> Self {
        let hint = "this is an error in beadmesh: please report it with the node's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(Answer::new(ErrorBody { error: self.info }))).into_response()
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let status = match &error {
            CommandError::NotFound { .. } | CommandError::Unknown { .. } => StatusCode::NOT_FOUND,
            CommandError::Ambiguous { .. }
            | CommandError::Cycle { .. }
            | CommandError::Conflict { .. }
            | CommandError::Held { .. } => StatusCode::CONFLICT,
            CommandError::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            CommandError::Refused { .. } => StatusCode::FORBIDDEN,
            CommandError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, error.code(), error.to_string(), error.hint());
        match error {
            CommandError::Invalid { field, .. } => problem.field(field),
            _ => problem,
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let hint = "/openapi.json lists the keys of each route";
        Self::new(StatusCode::BAD_REQUEST, "usage", error.to_string(), hint).field(error.key())
    }
}

impl From<HomeError> for Problem {
    fn from(error: HomeError) -> Self {
        let status = match error.code() {
            "refused" => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), chain(&error), error.hint())
    }
}

/// Writes an error with everything that caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
