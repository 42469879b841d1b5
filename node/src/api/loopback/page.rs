//! What a browser loads before it has proved anything: a page and a script, the same for everybody and without data.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::super::model::{Answer, SessionBody};

/// Where the page lies, and where its script exchanges a code.
pub(super) const PATH: &str = "/login";

/// Where its script lies.
pub(super) const SCRIPT_PATH: &str = "/login.js";

/// What the page may load and ask: this origin alone, and no script that stands in the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// Returns the page.
pub(super) fn page() -> Response {
    loaded("text/html; charset=utf-8", include_str!("login.html"))
}

/// Returns its script.
pub(super) fn script() -> Response {
    loaded("text/javascript; charset=utf-8", include_str!("login.js"))
}

/// Hands a session to the script that brought a code.
pub(super) fn session(body: SessionBody) -> Response {
    Json(Answer::new(body)).into_response()
}

fn loaded(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, text).into_response()
}
