//! Why a command did not do what it was asked, and the exit code that says so.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;

use axum::http::StatusCode;
use beadmesh_node::api::model::ErrorBody;

/// Exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It is done, or nobody listens any more.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// It was not understood.
    Usage = 2,
    /// It needs a running node, or a home that is not there yet.
    NoNode = 3,
    /// Something is in the way.
    Conflict = 4,
    /// There is no such thing.
    NotFound = 5,
    /// It is not allowed.
    Refused = 6,
    /// It took too long.
    Timeout = 7,
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// A stable word that scripts may rely on.
    pub(crate) code: Box<str>,
    /// What went wrong, without a period.
    pub(crate) message: String,
    /// What led to it, the nearest first.
    pub(crate) causes: Vec<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The field or argument to blame.
    pub(crate) field: Option<Box<str>>,
}

impl Failure {
    /// Returns a failure with a code and a message.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { exit, code, message, causes: Vec::new(), hint: None, field: None }
    }

    /// Returns a failure of the command line: something was written that has no meaning.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Returns a failure of this machine: a file, a socket, a terminal.
    pub(crate) fn io(message: impl Into<String>, source: &io::Error) -> Self {
        let code = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "read_only",
            _ => "io",
        };
        Self::new(Exit::Failed, code, message).caused_by(source)
    }

    /// Returns the end of a command whose output nobody reads any more: no failure at all.
    pub(crate) fn closed_pipe() -> Self {
        Self::new(Exit::Ok, "closed_pipe", "nobody reads the output")
    }

    /// Returns that no node is running where one is needed.
    pub(crate) fn no_node() -> Self {
        Self::new(Exit::NoNode, "no_node", "no node is running here").hint("start one with `beadmesh up`")
    }

    /// Returns that there is nothing to look at yet.
    pub(crate) fn no_home(home: &Path) -> Self {
        let failure = Self::new(Exit::NoNode, "no_home", format!("there is no home at {} yet", home.display()));
        failure.hint("`beadmesh up` or `beadmesh init` begins one; if there should be one, look at BEADMESH_HOME")
    }

    /// Returns that an answer did not come in time.
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(Exit::Timeout, "timeout", message)
    }

    /// Reads what the API answered instead of a success.
    pub(crate) fn from_answer(status: StatusCode, body: &[u8]) -> Self {
        let Ok(ErrorBody { error }) = serde_json::from_slice::<ErrorBody>(body) else {
            let failure = Self::new(exit_of(status), "internal", format!("the node answered {status}"));
            return failure.hint("is another program listening on the socket, or a node of another version?");
        };
        let exit = if error.code == "no_node" { Exit::NoNode } else { exit_of(status) };
        let mut failure = Self::new(exit, &error.code, error.message);
        failure.field = error.field.map(String::into_boxed_str);
        failure.hint = Some(error.hint).filter(|hint| !hint.is_empty());
        failure
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the field or argument to blame.
    pub(crate) fn field(mut self, field: &str) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Adds what led to it, with everything behind that.
    pub(crate) fn caused_by(mut self, source: &dyn Error) -> Self {
        let mut next = Some(source);
        while let Some(cause) = next {
            self.push_cause(cause);
            next = cause.source();
        }
        self
    }

    /// Adds a cause, unless the one before says the same already.
    fn push_cause(&mut self, cause: &dyn Display) {
        let text = cause.to_string();
        let before = self.causes.last().unwrap_or(&self.message);
        if !before.contains(&text) {
            self.causes.push(text);
        }
    }
}

/// Returns the exit code that stands for a status of the API.
fn exit_of(status: StatusCode) -> Exit {
    match status.as_u16() {
        400 | 413 | 415 | 422 => Exit::Usage,
        401 | 403 => Exit::Refused,
        404 | 410 => Exit::NotFound,
        409 => Exit::Conflict,
        408 | 504 => Exit::Timeout,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure};
    use axum::http::StatusCode;

    #[test]
    fn an_answer_of_the_api_keeps_its_code_and_decides_the_exit() {
        let body = br#"{"schema":1,"error":{"code":"ambiguous","message":"\"bm\" is ambiguous","hint":"write more"}}"#;
        let failure = Failure::from_answer(StatusCode::CONFLICT, body);
        assert_eq!((failure.exit, &*failure.code), (Exit::Conflict, "ambiguous"));
        assert_eq!(failure.hint.as_deref(), Some("write more"));
        let body = br#"{"schema":1,"error":{"code":"no_node","message":"no node","hint":"beadmesh up"}}"#;
        assert_eq!(Failure::from_answer(StatusCode::SERVICE_UNAVAILABLE, body).exit, Exit::NoNode);
    }

    #[test]
    fn an_answer_that_is_no_json_of_ours_is_a_failure_of_its_own() {
        let failure = Failure::from_answer(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!((failure.exit, &*failure.code), (Exit::Failed, "internal"));
    }
}
