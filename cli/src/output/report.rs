//! How a failure is told, to people and to programs.

use serde_json::json;

use super::paint::Paint;
use super::text;
use crate::failure::Failure;

/// Returns the failure as lines for people, at most `columns` wide.
pub(super) fn human(failure: &Failure, columns: usize) -> String {
    let mut out = told(Paint::Bad, "Error:", &failure.message, columns);
    for cause in &failure.causes {
        out.push_str(&told(Paint::Strong, "Caused by:", cause, columns));
    }
    if let Some(hint) = &failure.hint {
        out.push_str(&told(Paint::Strong, "Hint:", hint, columns));
    }
    out
}

fn told(paint: Paint, label: &str, text: &str, columns: usize) -> String {
    let rows = text::wrap(&format!("{label} {text}"), columns).join("\n");
    format!("{}{}\n", paint.on(label), rows.strip_prefix(label).unwrap_or(&rows))
}

/// Returns the failure as one JSON object on one line.
pub(super) fn json(failure: &Failure) -> String {
    let mut error = json!({ "code": failure.code, "message": failure.message, "hint": failure.hint });
    if let Some(field) = &failure.field {
        error["field"] = json!(field);
    }
    if !failure.causes.is_empty() {
        error["causes"] = json!(failure.causes);
    }
    let body = json!({ "schema": beadmesh_node::api::model::SCHEMA, "error": error });
    format!("{body}\n")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{human, json};
    use crate::failure::{Exit, Failure};

    fn failure() -> Failure {
        let source = io::Error::new(io::ErrorKind::NotFound, "No such file or directory");
        Failure::io("tasks.jsonl cannot be read", &source).hint("name a file that exists, or - for standard input")
    }

    #[test]
    fn an_error_names_its_causes_and_what_to_do() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&human(&failure(), usize::MAX)), @r"
        Error: tasks.jsonl cannot be read
        Caused by: No such file or directory
        Hint: name a file that exists, or - for standard input
        ");
    }

    #[test]
    fn an_error_keeps_to_the_width_of_the_terminal() {
        insta::assert_snapshot!(anstream::adapter::strip_str(&human(&failure(), 30)), @r"
        Error: tasks.jsonl cannot be
        read
        Caused by: No such file or
        directory
        Hint: name a file that exists,
        or - for standard input
        ");
    }

    #[test]
    fn an_error_is_one_object_for_programs() {
        insta::assert_snapshot!(json(&failure()), @r#"{"error":{"causes":["No such file or directory"],"code":"io","hint":"name a file that exists, or - for standard input","message":"tasks.jsonl cannot be read"},"schema":1}"#);
        let field = Failure::new(Exit::Usage, "invalid", "title: is empty").field("title");
        insta::assert_snapshot!(json(&field), @r#"{"error":{"code":"invalid","field":"title","hint":null,"message":"title: is empty"},"schema":1}"#);
    }

    #[test]
    fn what_another_machine_wrote_does_not_steer_the_terminal() {
        let text = human(&Failure::usage("no bead \"\u{1b}[2Jx\""), usize::MAX);
        assert!(!text.contains("\u{1b}[2J"), "{text:?}");
    }
}
